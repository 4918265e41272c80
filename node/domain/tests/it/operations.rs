//! Numbers and words of operations stand in journals for ever.

use crate::golden::assert_golden;
use node_domain::operation::Operation;
use proto_record::codec::{self, Kind};

#[test]
fn the_table_of_operations_never_drifts() {
    let lines = Operation::ALL.iter().map(|operation| (operation.word().to_owned(), (*operation as u16).to_string()));
    assert_golden("operations", &lines.collect::<Vec<_>>());
}

#[test]
fn an_operation_is_encoded_by_its_number_so_that_the_table_can_grow_in_the_middle() {
    for operation in Operation::ALL {
        let bytes = codec::encode(Kind::Event, operation);
        assert_eq!(bytes, codec::encode(Kind::Event, &(*operation as u16)), "{operation:?}");
        assert_eq!(codec::decode::<Operation>(Kind::Event, &bytes).unwrap(), *operation);
    }
    assert!(codec::decode::<Operation>(Kind::Event, &codec::encode(Kind::Event, &9999u16)).is_err());
}

#[test]
fn every_operation_reads_back_from_its_number_and_no_other_number_does() {
    for number in 0..=u16::MAX {
        let found = Operation::ALL.iter().copied().find(|operation| *operation as u16 == number);
        assert_eq!(Operation::from_number(number), found);
    }
}

//! What the verifier says of streams; bundles are tested beside their reader.

use super::*;

fn item(seq: u64, place: u64, before: &Link) -> Item {
    let leaf = Leaf {
        cluster: [1; 16],
        epoch: 1,
        seq,
        stamp_us: 1_000 + seq,
        operation: 1,
        outcome: proto_record::leaf::Outcome::Done,
        version: 0,
        secret: 0,
        policies: 0,
        accessor: [0; 12],
        request: [0; 16],
        actor: "ana",
        source: "1/local",
        environment: "",
        subject: "",
        reason: "",
        detail: &[],
    };
    let leaf = leaf.encode();
    Item { seq, chain: chain::next(before, &leaf), leaf, place }
}

fn origin(last_seq: u64) -> Origin {
    let origin = Origin { cluster: Some([1; 16]), epoch: Some(1), first_seq: Some(1), last_seq: Some(last_seq), before: None };
    origin.with_genesis()
}

#[test]
fn a_stream_that_ends_too_early_names_what_is_missing() {
    let mut verifier = Verifier::new(origin(3)).remember(1);
    let first = item(1, 1, &chain::genesis(&[1; 16]));
    let link = first.chain;
    verifier.take(first);
    let verdict = verifier.finish(End::Stream { place: 2 });
    assert_eq!(verdict.findings, [Finding::at(2, Damage::Missing { first: 2, last: 3 })]);
    assert_eq!((verdict.records, verdict.last, verdict.remembered.get(&1)), (1, Some((1, link)), Some(&link)));
}

#[test]
fn the_first_record_must_follow_from_the_genesis_of_its_cluster() {
    let mut verifier = Verifier::new(origin(1));
    verifier.take(item(1, 1, &chain::genesis(&[2; 16])));
    let verdict = verifier.finish(End::Stream { place: 2 });
    assert_eq!(verdict.findings, [Finding::at(1, changed(1))]);
}

#[test]
fn an_empty_journal_is_sound() {
    let verdict = Verifier::new(Origin { last_seq: Some(0), ..origin(1) }).finish(End::Stream { place: 0 });
    assert_eq!((verdict.findings.len(), verdict.records), (0, 0));
}

#[test]
fn a_stamp_that_goes_back_is_named() {
    let mut verifier = Verifier::new(origin(2));
    let first = item(1, 1, &chain::genesis(&[1; 16]));
    let mut second = item(2, 2, &first.chain);
    let mut leaf = Leaf::decode(&second.leaf).unwrap();
    leaf.stamp_us = 1_001;
    let bytes = leaf.encode();
    second.chain = chain::next(&first.chain, &bytes);
    second.leaf = bytes;
    verifier.take(first);
    verifier.take(second);
    let texts: Vec<_> =
        verifier.finish(End::Stream { place: 3 }).findings.iter().map(|finding| finding.damage.to_string()).collect();
    assert_eq!(texts, ["record 2 was changed: its stamp is not after that of the record before"]);
}

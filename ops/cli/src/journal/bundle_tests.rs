//! Bundles with one damage each, at every kind of place: all are found, and named.

use proptest::prelude::*;
use proto_record::leaf::{Leaf, Outcome};

use super::*;
use crate::journal::finding::Unit;

const CLUSTER: [u8; 16] = [7; 16];

#[derive(Clone, Debug)]
struct Record {
    seq: u64,
    leaf: Vec<u8>,
    chain: Link,
}

fn leaf(seq: u64, subject: &str) -> Vec<u8> {
    let stamp_us = 1_790_000_000_000 + seq * 10;
    Leaf {
        cluster: CLUSTER,
        epoch: 1,
        seq,
        stamp_us,
        operation: 3,
        outcome: Outcome::Done,
        version: 1,
        secret: seq,
        policies: 0,
        accessor: [0; 12],
        request: [seq as u8; 16],
        actor: "ana",
        source: "1/127.0.0.1",
        environment: "production",
        subject,
        reason: "",
        detail: subject.as_bytes(),
    }
    .encode()
}

/// A sound journal with the records `first` to `last`.
fn journal(first: u64, last: u64) -> (Header, Vec<Record>) {
    let mut link = chain::genesis(&CLUSTER);
    let mut before = link;
    let mut records = Vec::new();
    for seq in 1..=last {
        if seq == first {
            before = link;
        }
        let leaf = leaf(seq, &format!("app/{seq}/HFR1/{}", "x".repeat(seq as usize % 7)));
        link = chain::next(&link, &leaf);
        records.push(Record { seq, leaf, chain: link });
    }
    records.drain(..first as usize - 1);
    (Header::new(&CLUSTER, 1, first, last, Some(&before)), records)
}

/// The bytes of a bundle, and where the header ends, each record starts, and the end marker starts.
fn written(header: &Header, records: &[Record]) -> (Vec<u8>, Vec<usize>) {
    let mut writer = Writer::new(Vec::new(), header).unwrap();
    let mut starts = Vec::new();
    for record in records {
        starts.push(writer.out.len());
        writer.push(record.seq, &record.leaf, &record.chain).unwrap();
    }
    starts.push(writer.out.len());
    (writer.finish().unwrap(), starts)
}

fn verdict(bytes: &[u8]) -> Verdict {
    verify(bytes, Verifier::new).unwrap()
}

fn damages(bytes: &[u8]) -> Vec<Damage> {
    verdict(bytes).findings.into_iter().map(|finding| finding.damage).collect()
}

/// The end marker stays as an honest one would be: the last record of the sound journal.
fn rewritten(header: &Header, records: &[Record], genuine_last: &Record) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), header).unwrap();
    for record in records {
        writer.push(record.seq, &record.leaf, &record.chain).unwrap();
    }
    writer.last = (genuine_last.seq, genuine_last.chain);
    writer.finish().unwrap()
}

#[test]
fn a_sound_bundle_verifies_to_its_head() {
    for (first, last) in [(1, 40), (1, 1), (17, 40)] {
        let (header, records) = journal(first, last);
        let verdict = verdict(&written(&header, &records).0);
        assert_eq!(verdict.findings, []);
        assert_eq!(verdict.records, last - first + 1);
        assert_eq!(verdict.last, Some((last, records.last().unwrap().chain)));
    }
}

#[test]
fn a_journal_rewritten_from_one_record_on_ends_in_another_head() {
    let (header, mut records) = journal(1, 20);
    let honest = records[19].chain;
    let mut link = records[9].chain;
    for record in &mut records[10..] {
        record.leaf = leaf(record.seq, "rewritten");
        link = chain::next(&link, &record.leaf);
        record.chain = link;
    }
    let verdict = verdict(&written(&header, &records).0);
    assert_eq!(verdict.findings, []);
    assert_ne!(verdict.last, Some((20, honest)), "only a head kept elsewhere shows this");
}

#[test]
fn records_of_another_cluster_and_backward_clocks_are_named() {
    let (_, records) = journal(1, 3);
    let strange = Header::new(&[8; 16], 1, 2, 3, Some(&records[0].chain));
    let texts: Vec<_> = damages(&written(&strange, &records[1..]).0).iter().map(ToString::to_string).collect();
    assert!(texts.len() == 2 && texts[0].starts_with("record 2 was changed: it belongs to cluster 0707"), "{texts:?}");
}

#[test]
fn sentences_name_record_and_byte() {
    let (header, records) = journal(1, 20);
    let (mut bytes, starts) = written(&header, &records);
    bytes[starts[16] + FRAME_BYTES + 32 + 50] ^= 1;
    let sentence = verdict(&bytes).findings[0].sentence(Unit::Byte);
    assert_eq!(sentence, format!("record 17 was changed: its content does not give its link (byte {})", starts[16]));
}

#[test]
fn no_more_than_ten_findings_are_listed_and_all_are_counted() {
    let (header, mut records) = journal(1, 60);
    for record in records.iter_mut().step_by(2) {
        record.chain = [0; 32];
    }
    let verdict = verdict(&written(&header, &records).0);
    assert_eq!(verdict.findings.len(), 10);
    assert!(verdict.findings_total >= 30);
}

#[test]
fn bytes_after_the_end_are_found() {
    let (header, records) = journal(1, 3);
    let mut bytes = written(&header, &records).0;
    bytes.push(0);
    assert_eq!(damages(&bytes), [Damage::AfterEnd]);
}

prop_compose! {
    /// A journal and two different positions in it.
    fn places()(first in 1u64..4, length in 3u64..30)
        (first in Just(first), length in Just(length), one in 0..length as usize, other in 0..length as usize - 1)
        -> (Header, Vec<Record>, usize, usize) {
        let (header, records) = journal(first, first + length - 1);
        let other = if other >= one { other + 1 } else { other };
        (header, records, one.min(other), one.max(other))
    }
}

proptest! {
    #[test]
    fn every_flipped_bit_is_found_and_its_record_named((header, records, _, _) in places(), at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let (mut bytes, starts) = written(&header, &records);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let found = damages(&bytes);
        prop_assert_eq!(found.len(), 1, "{:?}", &found);
        let record = starts.iter().rposition(|start| *start <= at);
        match record {
            None => prop_assert_eq!(&found[0], &Damage::Header),
            Some(index) if index == records.len() => prop_assert_eq!(&found[0], &Damage::End),
            Some(index) => prop_assert_eq!(found[0].records(), Some((records[index].seq, records[index].seq))),
        }
    }

    #[test]
    fn every_dropped_record_is_named((header, mut records, one, _) in places()) {
        let last = records.last().unwrap().clone();
        let dropped = records.remove(one).seq;
        prop_assert_eq!(damages(&rewritten(&header, &records, &last)), [Damage::Missing { first: dropped, last: dropped }]);
    }

    #[test]
    fn every_dropped_run_of_records_is_named((header, mut records, one, other) in places()) {
        let genuine = records.last().unwrap().clone();
        let (first, last) = (records[one].seq, records[other].seq);
        records.drain(one..=other);
        prop_assert_eq!(damages(&rewritten(&header, &records, &genuine)), [Damage::Missing { first, last }]);
    }

    #[test]
    fn two_records_that_changed_places_are_named((header, mut records, one, other) in places()) {
        let last = records.last().unwrap().clone();
        let (early, late) = (records[other].seq, records[one].seq);
        records.swap(one, other);
        let found = damages(&rewritten(&header, &records, &last));
        let expected = Damage::OutOfPlace { seq: early, instead_of: late };
        prop_assert!(found.contains(&expected), "{:?}", found);
        let concerned = found.iter().all(|damage| damage.records().is_some_and(|(first, last)| first >= late && last <= early));
        prop_assert!(concerned, "{:?}", found);
    }

    #[test]
    fn a_record_moved_to_the_back_is_named((header, mut records, one, other) in places()) {
        let last = records.last().unwrap().clone();
        let moved = records.remove(one);
        let seq = moved.seq;
        records.insert(other, moved);
        let found = damages(&rewritten(&header, &records, &last));
        let expected = [Damage::Late { seq, after: seq + (other - one) as u64 }];
        let neighbours = [Damage::OutOfPlace { seq: seq + 1, instead_of: seq }];
        prop_assert!(found == expected || found == neighbours, "{:?}", found);
    }

    #[test]
    fn every_copy_of_a_record_is_named((header, mut records, one, other) in places(), backwards in any::<bool>()) {
        let last = records.last().unwrap().clone();
        let (from, to) = if backwards { (other, one) } else { (one, other) };
        let copy = records[from].clone();
        let seq = copy.seq;
        records.insert(to, copy);
        prop_assert_eq!(damages(&rewritten(&header, &records, &last)), [Damage::Inserted { seq }]);
    }

    #[test]
    fn every_forged_record_is_named((header, mut records, one, _) in places(), chained in any::<bool>(), at_end in any::<bool>()) {
        let last = records.last().unwrap().clone();
        let at = if at_end { records.len() } else { one };
        let seq = records[0].seq + at as u64;
        let before = if at == 0 { header.origin().unwrap().before.unwrap() } else { records[at - 1].chain };
        let content = leaf(seq, "forged");
        let chain = if chained { chain::next(&before, &content) } else { [9; 32] };
        records.insert(at, Record { seq, leaf: content, chain });
        let bytes = rewritten(&header, &records, &last);
        let (_, starts) = written(&header, &records);
        prop_assert_eq!(verdict(&bytes).findings, [Finding::at(starts[at] as u64, Damage::Inserted { seq })]);
    }

    #[test]
    fn every_truncation_is_found_and_what_is_lost_is_named((header, records, _, _) in places(), at in any::<prop::sample::Index>()) {
        let (bytes, starts) = written(&header, &records);
        let at = at.index(bytes.len());
        let found = damages(&bytes[..at]);
        let complete = starts[1..].iter().filter(|end| **end <= at).count();
        let last = records.last().unwrap().seq;
        let lost = records.get(complete).map(|record| (record.seq, last));
        if at < starts[0] {
            prop_assert_eq!(found, [Damage::Header, Damage::CutOff { lost: None }]);
        } else {
            prop_assert_eq!(found, [Damage::CutOff { lost }]);
        }
    }

    #[test]
    fn foreign_bytes_between_records_are_found((header, records, one, _) in places(), junk in proptest::collection::vec(any::<u8>(), 1..200)) {
        let (mut bytes, starts) = written(&header, &records);
        bytes.splice(starts[one]..starts[one], junk);
        prop_assert_eq!(damages(&bytes), [Damage::Foreign]);
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = verify(bytes.as_slice(), Verifier::new).unwrap();
    }
}

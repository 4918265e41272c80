//! A journal that is not the history.

use chaos_history::{
    Record, RecordOutcome, RecordedOperation, exactly_once, journal_is_the_history, nothing_revealed_without_record,
};
use uuid::Uuid;

use crate::script::history;

const HISTORY: &str = "0 10 put k a -> v1 #1
                       20 30 get k -> v1 a #2
                       40 50 delete k -> v1 #3
                       60 70 get k -> refused v1 #4
                       80 90 put k b -> unknown #5";

fn record(seq: u64, request: u128, operation: RecordedOperation, version: u64) -> Record {
    Record {
        seq,
        stamp_us: seq * 10,
        operation,
        outcome: RecordOutcome::Done,
        version,
        secret: 9,
        request: Uuid::from_u128(request),
        subject: "k".into(),
    }
}

fn good() -> Vec<Record> {
    let refused = Record { outcome: RecordOutcome::Refused, secret: 0, ..record(4, 4, RecordedOperation::Read, 0) };
    vec![
        record(1, 1, RecordedOperation::Put, 1),
        record(2, 2, RecordedOperation::Read, 1),
        record(3, 3, RecordedOperation::Delete, 1),
        refused,
    ]
}

#[track_caller]
fn assert_wrong(records: &[Record], words: &str) {
    let history = history(HISTORY);
    let verdicts = [
        journal_is_the_history(&history, records),
        nothing_revealed_without_record(&history, records),
        exactly_once(&history, records),
    ];
    let found = verdicts.iter().flat_map(|verdict| &verdict.findings).any(|finding| finding.what.contains(words));
    assert!(found, "{words}: {verdicts:?}");
}

#[test]
fn a_journal_that_holds_each_answer_is_the_history_with_or_without_the_unknown_write() {
    let with = [good(), vec![record(5, 5, RecordedOperation::Put, 2)]].concat();
    for records in [good(), with] {
        assert!(journal_is_the_history(&history(HISTORY), &records).is_kept());
        assert!(nothing_revealed_without_record(&history(HISTORY), &records).is_kept());
        assert!(exactly_once(&history(HISTORY), &records).is_kept());
    }
}

#[test]
fn an_answer_without_its_record() {
    for (missing, words) in
        [(0, "was acknowledged, and no record"), (1, "was revealed"), (2, "no record"), (3, "was refused, and no")]
    {
        let mut records = good();
        records.remove(missing);
        assert_wrong(&records, words);
    }
}

#[test]
fn one_record_for_two_revelations() {
    let history = history(
        "0 10 get k -> v1 a #2
         0 10 get k -> v1 a #2",
    );
    assert!(!nothing_revealed_without_record(&history, &good()).is_kept());
}

#[test]
fn an_answer_that_names_a_record_is_held_to_that_one() {
    let mut history = history("0 10 get k -> v1 a #2");
    history[0].record = Some(2);
    assert!(nothing_revealed_without_record(&history, &good()).is_kept());
    history[0].record = Some(1);
    assert!(!nothing_revealed_without_record(&history, &good()).is_kept());
    // Reads on a stream: the journal has request ids of its own for them.
    history[0].request = Uuid::nil();
    history[0].record = Some(2);
    assert!(nothing_revealed_without_record(&history, &good()).is_kept());
    let twice = [history[0].clone(), history[0].clone()];
    assert!(!nothing_revealed_without_record(&twice, &good()).is_kept());
    history[0].key = "other".into();
    assert!(!nothing_revealed_without_record(&history, &good()).is_kept());
}

#[test]
fn a_request_that_was_done_twice() {
    assert_wrong(&[good(), vec![record(5, 1, RecordedOperation::Put, 2)]].concat(), "changed it at record 1 and at record 5");
    assert_wrong(&[good(), vec![record(5, 1, RecordedOperation::Put, 2)]].concat(), "2 records say");
}

#[test]
fn a_refused_request_that_was_done() {
    let mut records = good();
    records[3] = record(4, 4, RecordedOperation::Put, 2);
    assert_wrong(&records, "it was refused, and record 4 says that it was done");
}

#[test]
fn a_change_that_nobody_asked_for() {
    assert_wrong(&[good(), vec![record(5, 99, RecordedOperation::Put, 2)]].concat(), "nobody had asked");
}

#[test]
fn a_record_that_stands_before_one_that_was_answered_first() {
    let mut records = good();
    records.swap(1, 2);
    records[1].seq = 2;
    records[2].seq = 3;
    assert_wrong(&records, "answered before it was asked for");
}

#[test]
fn a_gap_between_records_and_a_stamp_that_stands_still() {
    let mut gap = good();
    gap.remove(2);
    assert_wrong(&gap, "record 4 follows record 2");
    let mut still = good();
    still[2].stamp_us = still[1].stamp_us;
    assert_wrong(&still, "stamp of record 3");
}

#[test]
fn records_whose_versions_do_not_follow() {
    assert_wrong(&[good(), vec![record(5, 5, RecordedOperation::Put, 3)]].concat(), "concerns v3");
    let mut wrong = good();
    wrong[0].version = 2;
    assert_wrong(&wrong, "v1 was acknowledged, and record 1 says v2");
    // A read of the newest version, sent twice, and done again after the version was hidden.
    let hidden_read = [good(), vec![record(5, 2, RecordedOperation::Read, 1)]].concat();
    assert_wrong(&hidden_read, "leave the secret at v1, hidden");
    // Somebody who is not in the history reads what he likes.
    let old_version = [good(), vec![record(5, 6, RecordedOperation::Read, 1)]].concat();
    assert!(journal_is_the_history(&history(HISTORY), &old_version).is_kept());
}

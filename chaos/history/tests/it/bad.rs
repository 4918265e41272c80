//! What no honest cluster tells.

use chaos_history::{BUDGET_DEFAULT, Judgement, exactly_once, linearizable, never_stale, operations_of};

use crate::script::history;

#[track_caller]
fn assert_no_order(text: &str) {
    let verdict = linearizable(&history(text), BUDGET_DEFAULT);
    assert_eq!(verdict.judgement, Judgement::Violated, "{verdict}");
    assert!(!verdict.findings[0].operations.is_empty(), "a finding shows the operations concerned");
}

#[track_caller]
fn assert_has_order(text: &str) {
    let verdict = linearizable(&history(text), BUDGET_DEFAULT);
    assert!(verdict.is_kept(), "{verdict}");
}

#[test]
fn a_stale_read() {
    let bad = "0 10 put k a -> v1
               20 30 put k b -> v2
               40 50 get k -> v1 a";
    assert_no_order(bad);
    assert!(never_stale(&history(bad)).findings[0].what.contains("v1 was told although v2 was known"));
}

#[test]
fn a_read_that_overlaps_the_write_may_see_either_but_not_both_ways_round() {
    assert_has_order(
        "0 10 put k a -> v1
         20 60 put k b -> v2
         30 35 get k -> v1 a
         40 45 get k -> v2 b",
    );
    assert_no_order(
        "0 10 put k a -> v1
         20 60 put k b -> v2
         30 35 get k -> v2 b
         40 45 get k -> v1 a",
    );
}

#[test]
fn a_lost_write() {
    assert_no_order(
        "0 10 put k a -> v1
         20 30 put k b -> v2
         40 50 put k c -> v2",
    );
    assert_no_order(
        "0 10 put k a -> v1
         20 30 get k -> refused v0",
    );
}

#[test]
fn a_write_done_twice() {
    let bad = "0 10 put k a -> v1
               20 30 get k -> v2 a";
    assert_no_order(bad);
    assert!(!exactly_once(&history(bad), &[]).is_kept());
    let by_retry = "0 10 put k a -> v1 #7
                    20 30 put k a -> v2 #7";
    assert!(!exactly_once(&history(by_retry), &[]).is_kept());
}

#[test]
fn a_write_of_unknown_outcome_that_was_done_twice() {
    assert_no_order(
        "0 10 put k a -> v1
         11 12 put k b -> unknown
         20 30 get k -> v2 b
         40 50 get k -> v3 b",
    );
}

#[test]
fn a_read_from_the_future() {
    assert_no_order(
        "0 10 put k a -> v1
         20 30 get k -> v2 b
         40 50 put k b -> v2",
    );
}

#[test]
fn a_version_that_goes_back() {
    assert_no_order(
        "0 10 put k a -> v1
         20 30 put k b -> v2
         40 50 put k c -> v3
         60 70 list k -> v2",
    );
}

#[test]
fn a_phantom_after_a_refusal() {
    assert_no_order(
        "0 10 put k a -> v1
         20 30 put k b over v7 -> refused v1
         40 50 get k -> v2 b",
    );
    assert_no_order(
        "0 10 put k a -> v1
         20 30 put k b -> not-done
         40 50 get k -> v2 b",
    );
}

#[test]
fn two_conditional_writes_that_both_won() {
    assert_no_order(
        "0 10 put k a -> v1
         20 50 put k b over v1 -> v2
         20 50 put k c over v1 -> v2",
    );
    assert_no_order(
        "0 10 put k a -> v1
         20 50 put k b over v1 -> v2
         20 50 put k c over v1 -> v3",
    );
}

#[test]
fn a_conditional_write_refused_although_its_condition_held() {
    assert_no_order(
        "0 10 put k a -> v1
         20 30 put k b over v1 -> refused v1",
    );
    assert_no_order(
        "0 10 put k a -> v1
         20 30 delete k -> v1
         40 50 put k b absent -> refused v1",
    );
}

#[test]
fn a_refusal_that_names_a_version_that_never_was() {
    assert_no_order(
        "0 10 put k a -> v1
         20 30 put k b over v7 -> refused v4",
    );
}

#[test]
fn a_value_that_nobody_wrote() {
    assert_no_order(
        "0 10 put k a -> v1
         20 30 get k -> v1 b",
    );
}

#[test]
fn a_hidden_secret_that_is_still_read() {
    assert_no_order(
        "0 10 put k a -> v1
         20 30 delete k -> v1
         40 50 get k -> v1 a",
    );
    assert_no_order(
        "0 10 put k a -> v1
         20 30 delete k -> v1
         40 50 delete k -> v1",
    );
}

#[test]
fn an_unknown_write_that_was_seen_and_then_was_not() {
    assert_no_order(
        "0 10 put k a -> v1
         15 16 put k b -> unknown
         20 30 get k -> v2 b
         40 50 get k -> v1 a",
    );
}

#[test]
fn an_unknown_write_that_was_seen_before_it_was_asked_for() {
    assert_no_order(
        "0 10 put k a -> v1
         20 30 get k -> v2 b
         40 50 put k b -> unknown",
    );
}

#[test]
fn a_gap_that_no_unknown_write_explains() {
    assert_has_order(
        "0 10 put k a -> v1
         15 16 put k b -> unknown
         20 30 put k c -> v3",
    );
    assert_no_order(
        "0 10 put k a -> v1
         15 16 put k b -> unknown
         20 30 put k c -> v4",
    );
    assert_no_order(
        "0 10 put k a -> v1
         15 16 put k b over v9 -> unknown
         20 30 put k c -> v3",
    );
}

#[test]
fn what_is_unknown_may_happen_much_later_or_never() {
    assert_has_order(
        "0 10 put k a -> v1
         11 12 put k b -> unknown
         13 14 delete k -> unknown
         20 30 get k -> v1 a
         40 50 put k c over v1 -> v2
         60 70 get k -> refused v2
         80 90 put k d -> v4
         95 99 list k -> v4",
    );
}

#[test]
fn secrets_are_judged_one_by_one() {
    let verdict = linearizable(
        &history(
            "0 10 put good a -> v1
             0 10 put bad b -> v1
             20 30 get good -> v1 a
             20 30 get bad -> refused v0",
        ),
        BUDGET_DEFAULT,
    );
    assert_eq!(verdict.findings_total, 1);
    assert!(verdict.findings[0].what.starts_with("bad: "), "{verdict}");
}

#[test]
fn a_search_that_is_given_up_is_no_proof() {
    let verdict = linearizable(&history("0 10 put k a -> v1"), 0);
    assert_eq!(verdict.judgement, Judgement::Undecided);
    assert!(!verdict.is_kept());
}

#[test]
fn a_history_reads_back_from_its_lines_and_a_bad_line_is_named() {
    let history = history(
        "0 10 put k a absent -> v1
         20 30 put k b over v1 -> refused v3
         40 50 list k -> v3 hidden",
    );
    let text: String = history.iter().map(|operation| chaos_history::line_of(operation) + "\n").collect();
    assert_eq!(operations_of(&text).unwrap(), history);
    let cut = &text[..text.len() - 20];
    assert!(operations_of(cut).unwrap_err().to_string().starts_with("line 3 is no operation"));
}

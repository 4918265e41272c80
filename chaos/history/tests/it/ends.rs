//! What must be there at the end, and be alike everywhere.

use chaos_history::{FinalRegister, FinalVersion, Judgement, Standing, nothing_acknowledged_is_lost, replicas_are_equal};

use crate::script::history;

fn secret(key: &str, newest: u64, versions: &[(u64, Option<&str>)]) -> FinalRegister {
    let versions = versions.iter().map(|(version, value)| FinalVersion { version: *version, value: value.map(str::to_owned) });
    FinalRegister { key: key.into(), newest, versions: versions.collect() }
}

#[track_caller]
fn assert_lost(text: &str, secrets: &[FinalRegister], words: &str) {
    let verdict = nothing_acknowledged_is_lost(&history(text), secrets);
    assert!(!verdict.is_kept());
    assert!(verdict.findings[0].what.contains(words), "{verdict}");
}

#[test]
fn an_acknowledged_write_that_is_not_there_at_the_end() {
    let one = "0 10 put k a -> v1";
    assert_lost(one, &[], "is not there");
    assert_lost("0 10 put k b -> v2", &[secret("k", 1, &[(1, Some("a"))])], "v1 is the newest");
    assert_lost(one, &[secret("k", 1, &[(1, Some("other"))])], "holds other");
    assert_lost("0 10 put k b -> v2", &[secret("k", 3, &[(1, Some("a")), (3, Some("c"))])], "gone between others");
    assert_lost("0 10 delete k -> v1", &[secret("k", 1, &[(1, Some("a"))])], "can be read");
}

#[test]
fn what_was_replaced_and_dropped_or_never_acknowledged_is_no_loss() {
    let history = history(
        "0 10 put k a -> v1
         20 30 put k b -> v2
         40 50 delete k -> v2
         60 70 put k c -> unknown",
    );
    let verdict = nothing_acknowledged_is_lost(&history, &[secret("k", 2, &[(2, None)])]);
    assert!(verdict.is_kept(), "{verdict}");
    assert_eq!(verdict.looked_at, 3);
}

fn standing(node: u64, seq: u64, chain: &str, digest: &str) -> Standing {
    Standing { node, seq, chain: chain.into(), digest: digest.into() }
}

#[test]
fn nodes_that_differ_at_one_record_are_found_and_nodes_that_were_never_compared_are_not_equal() {
    let equal = [standing(1, 5, "aa", "d"), standing(2, 5, "aa", "d"), standing(3, 4, "99", "c")];
    assert!(replicas_are_equal(&equal).is_kept());
    assert!(!replicas_are_equal(&[standing(1, 5, "aa", "d"), standing(2, 5, "ab", "d")]).is_kept());
    assert!(!replicas_are_equal(&[standing(1, 5, "aa", "d"), standing(2, 5, "aa", "e")]).is_kept());
    assert_eq!(replicas_are_equal(&[standing(1, 5, "aa", "d"), standing(2, 6, "ab", "e")]).judgement, Judgement::Undecided);
}

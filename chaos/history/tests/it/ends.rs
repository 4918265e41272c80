//! What must be there at the end, and be alike everywhere.

use chaos_history::{FinalRegister, FinalVersion, Held, Judgement, Standing, nothing_acknowledged_is_lost, replicas_are_equal};

use crate::script::history;

fn value(text: &str) -> Held {
    Held::Value(text.into())
}

/// A secret of which the newest two versions are to be kept.
fn secret(key: &str, newest: u64, versions: &[(u64, Held)]) -> FinalRegister {
    let versions = versions.iter().map(|(version, held)| FinalVersion { version: *version, held: held.clone() });
    FinalRegister { key: key.into(), newest, versions_kept: 2, versions: versions.collect() }
}

#[track_caller]
fn assert_lost(text: &str, secrets: &[FinalRegister], words: &str) {
    let verdict = nothing_acknowledged_is_lost(&history(text), secrets);
    assert!(!verdict.is_kept());
    assert!(verdict.findings[0].what.contains(words), "{verdict}");
}

#[test]
fn an_acknowledged_write_that_is_not_there_at_the_end() {
    let (one, two) = ("0 10 put k a -> v1", "0 10 put k b -> v2");
    assert_lost(one, &[], "is not there");
    assert_lost(two, &[secret("k", 1, &[(1, value("a"))])], "v1 is the newest");
    assert_lost(one, &[secret("k", 1, &[(1, value("other"))])], "holds other");
    assert_lost(two, &[secret("k", 3, &[(1, value("a")), (3, value("c"))])], "is gone, and of 3 the newest 2 are to be kept");
    assert_lost(two, &[secret("k", 3, &[(3, value("c"))])], "is gone");
    assert_lost(one, &[secret("k", 1, &[])], "is gone");
    assert_lost(one, &[secret("k", 1, &[(1, Held::Unreadable("no key".into()))])], "cannot be read at the end: no key");
    assert_lost("0 10 delete k -> v1", &[secret("k", 1, &[(1, value("a"))])], "can be read");
    assert_lost(one, &[secret("k", 1, &[(1, Held::Hidden)])], "which nobody asked for");
    let another = "0 10 put k a -> v1\n20 30 put k b -> v2\n40 50 delete k -> v2";
    assert_lost(another, &[secret("k", 2, &[(1, Held::Hidden), (2, Held::Hidden)])], "v1 was acknowledged, and is hidden");
}

#[test]
fn what_was_replaced_and_dropped_or_hidden_or_never_acknowledged_is_no_loss() {
    let told = history(
        "0 10 put k a -> v1
         20 30 put k b -> v2
         40 50 delete k -> v2
         60 70 put k c -> v3
         80 90 put k d -> unknown",
    );
    let verdict = nothing_acknowledged_is_lost(&told, &[secret("k", 3, &[(2, Held::Hidden), (3, value("c"))])]);
    assert!(verdict.is_kept(), "{verdict}");
    assert_eq!(verdict.looked_at, 4);
    let doubtful = history("0 10 put k a -> v1\n20 30 delete k -> unknown");
    let verdict = nothing_acknowledged_is_lost(&doubtful, &[secret("k", 1, &[(1, Held::Hidden)])]);
    assert!(verdict.is_kept(), "{verdict}");
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

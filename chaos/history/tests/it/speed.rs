//! A judge that takes too long is not asked.

use std::time::{Duration, Instant};

use chaos_history::{BUDGET_DEFAULT, linearizable};

use crate::world::{Shape, honest};

#[test]
fn ten_thousand_operations_on_a_hundred_secrets_take_under_five_seconds() {
    let history = honest(1, Shape { operations: 10_000, keys: 100, clients: 16, unknown_percent: 3 });
    let began = Instant::now();
    let verdict = linearizable(&history, BUDGET_DEFAULT);
    let took = began.elapsed();
    println!("{} operations on 100 secrets: {took:?}", history.len());
    assert!(verdict.is_kept(), "{verdict}");
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn many_operations_on_one_secret_are_judged_too() {
    let history = honest(2, Shape { operations: 5_000, keys: 1, clients: 16, unknown_percent: 2 });
    let began = Instant::now();
    let verdict = linearizable(&history, BUDGET_DEFAULT);
    println!("{} operations on one secret: {:?}", history.len(), began.elapsed());
    assert!(verdict.is_kept(), "{verdict}");
    assert!(began.elapsed() < Duration::from_secs(30));
}

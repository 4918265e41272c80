//! Points at which a test may end the process, as a crash would, or have something go wrong. Nothing in a release build.

use parking_lot::Mutex;
use std::collections::BTreeSet;

/// Rows that this process has written, where a test has the others damaged.
static WRITTEN: Mutex<BTreeSet<Vec<u8>>> = Mutex::new(BTreeSet::new());
const ROWS_AT_REST: &str = "stores: rows at rest are damaged";

/// Whether a test wants a row to read as damaged: every row always, or each until this process has written it.
pub(crate) fn is_damaged_row(key: &[u8]) -> bool {
    is_set("stores: every row is damaged") || is_set(ROWS_AT_REST) && !WRITTEN.lock().contains(key)
}

/// Notes that a row was written.
pub(crate) fn row_written(key: &[u8]) {
    if is_set(ROWS_AT_REST) {
        WRITTEN.lock().insert(key.to_vec());
    }
}

/// Ends the process here when `HOLDFAST_FAULT` names this point.
pub(crate) fn point(name: &str) {
    if is_set(name) {
        tracing::error!(name, "a test ends this process here");
        std::process::abort();
    }
}

/// Whether a test wants this to go wrong.
pub(crate) fn is_set(name: &str) -> bool {
    cfg!(debug_assertions) && std::env::var("HOLDFAST_FAULT").is_ok_and(|wanted| wanted == name)
}

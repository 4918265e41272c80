//! Classic bugs, put back on purpose, to show that the tests would find them: `HOLDFAST_FAULT=bug:NAME`. Nothing in a release build.

use std::sync::OnceLock;

/// Every bug that can be put back, with what it is.
pub const BUGS: [(&str, &str); 24] = [
    ("vote-not-synced", "a vote counts as saved before it is durable"),
    ("append-not-synced", "an entry counts as appended before it is durable"),
    ("committed-first", "the log calls back before it writes"),
    ("no-directory-sync", "a new segment's name is not made durable"),
    ("truncation-forgotten", "a truncation of the log is not written"),
    ("journal-not-synced", "the log is purged though the journal before it is not durable"),
    ("snapshot-not-synced", "the log is purged though the snapshot before it is not durable"),
    ("answer-before-commit", "writes are answered when they are proposed"),
    ("reveal-before-record", "values are given out before the record of it has committed"),
    ("answer-before-apply", "a node answers from a state that does not hold the answer's record yet"),
    ("stale-head", "a leader goes on deciding on what it decided in an earlier term, and takes it for the ground of today"),
    ("late-batch-applied", "the same leader, and what rests on an earlier ground is folded all the same: neither guard stands"),
    ("request-forgotten", "a second asking with the same request id is another request"),
    ("receipts-not-in-snapshots", "what was answered is forgotten by whoever starts from a snapshot"),
    ("values-not-in-snapshots", "whoever starts from a snapshot knows of values that it does not have"),
    ("failed-sync-ignored", "a sync of the log that failed counts as done"),
    ("damage-cut-off", "a log that is damaged in its middle is cut off there, and goes on"),
    ("lease-read", "a node that believes that it leads gives out what it holds, and asks nobody"),
    ("own-clock", "each node stamps what it applies by its own clock"),
    ("retried-as-new", "another try of a command is another request"),
    ("level-not-checked", "a build that is too old for what the cluster uses goes on"),
    ("half-snapshot-visible", "a snapshot has its name before all of it is written, and ends where its file does"),
    ("environment-not-bound", "what a value is bound to leaves its environment out"),
    ("doubt-forgotten", "a command that was lost on its way is told to have not happened"),
];

/// Whether a bug was put back.
#[must_use]
pub fn is_back(name: &str) -> bool {
    static WANTED: OnceLock<Option<String>> = OnceLock::new();
    if !cfg!(debug_assertions) {
        return false;
    }
    debug_assert!(BUGS.iter().any(|(known, _)| *known == name), "{name} is no bug of the list");
    let wanted = WANTED.get_or_init(|| std::env::var("HOLDFAST_FAULT").ok()?.strip_prefix("bug:").map(str::to_owned));
    wanted.as_deref() == Some(name)
}

//! The targets, one file for what belongs together.

mod api;
mod certificates;
mod files;
mod journal;
mod log;
mod names;
mod peers;
mod records;
mod rules;
mod seals;
mod snapshots;
mod state;
mod tools;

use crate::memory::{BOUNDED, PIECES, PLAIN, Worth};

/// One parser, or a few that read the same thing.
pub(crate) struct Target {
    pub(crate) name: &'static str,
    /// What it needs once.
    pub(crate) prepare: fn(),
    pub(crate) run: fn(&[u8]),
    pub(crate) seeds: fn() -> Vec<Vec<u8>>,
    pub(crate) memory: Worth,
}

const fn target(name: &'static str, run: fn(&[u8]), seeds: fn() -> Vec<Vec<u8>>, memory: Worth) -> Target {
    Target { name, prepare: nothing, run, seeds, memory }
}

fn nothing() {}

/// Every target there is. `ops/fuzz.sh` runs them in this order.
pub(crate) const ALL: &[Target] = &[
    target("records", records::run, records::seeds, PLAIN),
    target("leaf", records::leaf, records::leaves, PLAIN),
    target("state", state::run, state::seeds, PLAIN),
    target("log-body", log::body, log::bodies, PLAIN),
    Target { prepare: log::prepare, ..target("log-files", log::files, log::segments, PLAIN) },
    target("journal-body", journal::body, journal::bodies, PLAIN),
    Target { prepare: log::prepare, ..target("journal-files", journal::files, journal::segments, PLAIN) },
    target("snapshot-file", snapshots::file, snapshots::files, PIECES),
    target("snapshot-records", snapshots::records, snapshots::record_lists, PIECES),
    target("backup-entry", snapshots::entry, snapshots::entries, PLAIN),
    target("seal-file", seals::file, seals::files, PLAIN),
    target("shares", seals::shares, seals::share_texts, PLAIN),
    target("sealed-blobs", seals::blobs, seals::blob_seeds, PLAIN),
    target("journal-bundle", tools::bundle, tools::bundles, PLAIN),
    target("dotenv", tools::dotenv, tools::dotenvs, PLAIN),
    target("ticket", tools::ticket, tools::tickets, PLAIN),
    target("node-files", tools::node_files, tools::packages, PLAIN),
    Target { prepare: files::prepare, ..target("settings", files::settings, files::settings_seeds, PLAIN) },
    target("node-plan", files::plan, files::plans, PLAIN),
    target("identity-file", files::identity, files::identities, PLAIN),
    target("names", names::run, names::seeds, PLAIN),
    target("policy", rules::policy, rules::policies, PLAIN),
    target("value-rules", rules::values, rules::value_seeds, BOUNDED),
    target("signed-tokens", certificates::tokens, certificates::token_seeds, PLAIN),
    target("certificates", certificates::run, certificates::seeds, BOUNDED),
    target("peer-messages", peers::run, peers::seeds, PLAIN),
    Target { prepare: api::prepare, ..target("api", api::run, api::seeds, BOUNDED) },
];

/// The target with this name.
pub(crate) fn named(name: &str) -> Option<&'static Target> {
    ALL.iter().find(|target| target.name == name)
}

//! The rules, one a file. Each is a function from the workspace to findings, with a test that shows it can fail.

mod cargo;
mod edges;
mod layout;
mod naming;
mod places;
mod secrecy;
mod size;
mod unfinished;

use crate::{finding::Finding, workspace::Workspace};

/// A check with a name for `--only`.
pub(crate) struct Rule {
    pub(crate) name: &'static str,
    pub(crate) purpose: &'static str,
    pub(crate) check: fn(&Workspace) -> Vec<Finding>,
}

/// In the order they run: the quick ones first.
pub(crate) const ALL: &[Rule] = &[
    Rule { name: "layout", purpose: "the root holds the agreed folders and nothing else", check: layout::check },
    Rule { name: "edges", purpose: "crates depend along the agreed DAG; a package has one owner", check: edges::check },
    Rule { name: "size", purpose: "files ≤ 500 lines, functions ≤ 70 lines, without tests", check: size::check },
    Rule { name: "naming", purpose: "no utils, no handle_, do_, get_", check: naming::check },
    Rule { name: "secrecy", purpose: "types that hold secrets are not printable", check: secrecy::check },
    Rule {
        name: "places",
        purpose: "sled, bincode, clock, entropy and disk are named only where they belong",
        check: places::check,
    },
    Rule { name: "unfinished", purpose: "no marks of unfinished work, no ignored test", check: unfinished::check },
    Rule { name: "fmt", purpose: "cargo fmt --check", check: cargo::fmt },
    Rule { name: "clippy", purpose: "cargo clippy, every warning an error", check: cargo::clippy },
    Rule { name: "doc", purpose: "cargo doc, every warning an error", check: cargo::doc },
];

//! Some names may stand in few places: what touches the world is easy to find, and easy to replace.

use std::collections::BTreeSet;

use crate::{finding::Finding, source::Source, workspace::Workspace};

/// Words, the files or folders that may name them, the folder in which the rule holds, and why.
struct Place {
    words: &'static [&'static str],
    within: &'static str,
    allowed: &'static [&'static str],
    advice: &'static str,
}

const BOOT: &[&str] =
    &["node/src/boot.rs", "node/src/boot/", "node/src/main.rs", "node/src/dev.rs", "node/src/dev/", "node/src/kit.rs"];
/// The one implementation of the clock that boot hands out.
const CLOCK: &[&str] = &["node/src/clock.rs", "node/src/boot.rs", "node/src/main.rs", "node/src/dev.rs"];
/// A file with this import measures on the runtime's clock, which a test can hold still.
const RUNTIME_CLOCK: &[&str] = &["tokio", ":", ":", "time", ":", ":", "Instant"];
const WORLD: &str = "only boot names the real clock, disk, network and entropy: take it as an argument";
const PURE: &str = "the domain is pure: take it as an argument";
const CODEC: &str = "bytes are made in proto/record/src/codec.rs alone: use its encode and decode";

const PLACES: &[Place] = &[
    Place { words: &["bincode"], within: "", allowed: &["proto/record/src/codec.rs"], advice: CODEC },
    Place { words: &["sled"], within: "", allowed: &["storage/"], advice: "sled stays behind storage: use its types" },
    Place { words: &["Instant", ":", ":", "now"], within: "node/", allowed: BOOT, advice: WORLD },
    Place { words: &["SystemTime", ":", ":", "now"], within: "node/", allowed: CLOCK, advice: WORLD },
    Place { words: &["OsEntropy"], within: "node/", allowed: BOOT, advice: WORLD },
    Place { words: &["RealDisk"], within: "node/", allowed: BOOT, advice: WORLD },
    Place { words: &["std", ":", ":", "time"], within: "node/domain/", allowed: &[], advice: PURE },
    Place { words: &["std", ":", ":", "fs"], within: "node/domain/", allowed: &[], advice: PURE },
    // An address is data; a socket is the world.
    Place { words: &["TcpStream"], within: "node/domain/", allowed: &[], advice: PURE },
    Place { words: &["TcpListener"], within: "node/domain/", allowed: &[], advice: PURE },
    Place { words: &["UdpSocket"], within: "node/domain/", allowed: &[], advice: PURE },
    Place { words: &["ToSocketAddrs"], within: "node/domain/", allowed: &[], advice: PURE },
    Place { words: &["std", ":", ":", "thread"], within: "node/domain/", allowed: &[], advice: PURE },
    Place { words: &["std", ":", ":", "env"], within: "node/domain/", allowed: &[], advice: PURE },
];

/// How many files under `storage/` may name sled.
const SLED_FILES_MAX: usize = 2;

pub(super) fn check(workspace: &Workspace) -> Vec<Finding> {
    let mut findings: Vec<Finding> = workspace.product_sources().flat_map(check_source).collect();
    findings.extend(few_files_name_sled(workspace));
    findings
}

fn check_source(source: &Source) -> Vec<Finding> {
    let on_runtime_clock = !source.lines_naming(RUNTIME_CLOCK).is_empty();
    let held = PLACES.iter().filter(|place| source.path.starts_with(place.within));
    let held = held.filter(|place| !(on_runtime_clock && place.words[0] == "Instant"));
    let strange = held.filter(|place| !place.allowed.iter().any(|allowed| source.path.starts_with(allowed)));
    strange
        .flat_map(|place| {
            let named = place.words.concat();
            let lines = source.lines_naming(place.words).into_iter();
            lines.map(move |line| Finding::new("places", &source.path, line, format!("`{named}`: {}", place.advice)))
        })
        .collect()
}

fn few_files_name_sled(workspace: &Workspace) -> Vec<Finding> {
    let naming = workspace.product_sources().filter(|source| source.path.starts_with("storage/"));
    let paths: BTreeSet<_> =
        naming.filter(|source| !source.lines_naming(&["sled"]).is_empty()).map(|source| &source.path).collect();
    let extra = paths.into_iter().skip(SLED_FILES_MAX);
    extra
        .map(|path| Finding::new("places", path, 0, "a third file names sled: keep it to two, so that it can be replaced"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::source;

    #[test]
    fn the_clock_is_named_by_boot_alone() {
        let text = "fn a() { let _ = std::time::Instant::now(); }";
        assert_eq!(check_source(&source("node/src/engine/view.rs", text)).len(), 1);
        assert!(check_source(&source("node/src/boot.rs", text)).is_empty());
        let on_runtime = "use tokio::time::Instant; fn a() { let _ = Instant::now(); }";
        assert!(check_source(&source("node/src/engine/view.rs", on_runtime)).is_empty());
        assert!(check_source(&source("ops/cli/src/main.rs", text)).is_empty());
        assert_eq!(check_source(&source("node/domain/src/state.rs", text)).len(), 2);
    }

    #[test]
    fn bincode_outside_the_codec_is_found() {
        assert_eq!(check_source(&source("raft/src/log.rs", "fn a() { bincode::encode() }")).len(), 1);
        assert!(check_source(&source("proto/record/src/codec.rs", "fn a() { bincode::encode() }")).is_empty());
    }

    #[test]
    fn a_third_file_that_names_sled_is_found() {
        let file = |name: &str| source(&format!("storage/src/{name}.rs"), "fn a() { sled::open() }");
        let workspace = Workspace::of(vec![file("a"), file("b"), file("c")]);
        assert_eq!(few_files_name_sled(&workspace).len(), 1);
        assert_eq!(check_source(&source("node/src/a.rs", "use sled::Db;")).len(), 1);
    }
}

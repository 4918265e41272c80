//! What the nodes' logs give away by themselves.

use std::path::{Path, PathBuf};

use crate::trouble::Trouble;

/// sled panics where a file is not what it expects, most of all after a power cut; the server catches that and rebuilds the database.
const CAUGHT: &str = "/sled-";

/// A panic in a node's log is a bug, even where the node went on, or was taken out of the cluster later.
pub(crate) fn panics(directory: &Path) -> Result<Vec<String>, Trouble> {
    let mut found = Vec::new();
    for path in logs(directory)? {
        let log = std::fs::read(&path).map_err(Trouble::io("read", &path))?;
        let node = path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
        found.extend(panics_in(&String::from_utf8_lossy(&log)).map(|line| format!("{node}: {line}")));
    }
    Ok(found)
}

/// The logs of all nodes that ever ran in it.
fn logs(directory: &Path) -> Result<Vec<PathBuf>, Trouble> {
    let listed = std::fs::read_dir(directory).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let paths = listed.map_err(Trouble::io("list", directory))?.into_iter().map(|entry| entry.path());
    let is_log = |path: &PathBuf| {
        let name = path.file_name().map(|name| name.to_string_lossy());
        name.is_some_and(|name| name.starts_with("node") && name.ends_with(".log"))
    };
    let mut logs: Vec<PathBuf> = paths.filter(is_log).collect();
    logs.sort();
    Ok(logs)
}

fn panics_in(log: &str) -> impl Iterator<Item = &str> {
    log.lines().filter(|line| line.contains("panicked at") && !line.contains(CAUGHT)).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_panic_of_a_node_that_was_taken_away_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
        write("node1.log", "all is well\n");
        write("node4.log", "  thread 'main' panicked at raft/src/a.rs:3:1:\nwhat it says\n");
        write("node2.log", "thread 'x' panicked at /home/u/.cargo/sled-0.34/src/b.rs:1:1:\nbytes \u{fffd}\n");
        write("kit.txt", "panicked at nothing");
        assert_eq!(panics(directory.path()).unwrap(), ["node4: thread 'main' panicked at raft/src/a.rs:3:1:"]);
        assert!(panics(&directory.path().join("gone")).is_err());
    }
}

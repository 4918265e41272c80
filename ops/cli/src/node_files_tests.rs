//! Packages of a node's files: what they carry, and what they cannot be made to carry.

use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

/// A node's directory as `holdfastd kit --add` makes it.
fn kit() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    DIRECTORIES.iter().for_each(|directory| std::fs::create_dir(home.path().join(directory)).unwrap());
    for (name, ..) in PLACES {
        std::fs::write(home.path().join(name), format!("contents of {name}")).unwrap();
    }
    home
}

fn refused(home: &Path) -> String {
    NodeFiles::read(home).err().unwrap()
}

/// A package of these files.
fn package(files: &[(&str, &str)]) -> Vec<u8> {
    let mut package = [MAGIC, &[u8::try_from(files.len()).unwrap()]].concat();
    for (name, contents) in files {
        package.push(u8::try_from(name.len()).unwrap());
        package.extend_from_slice(name.as_bytes());
        package.extend_from_slice(&u32::try_from(contents.len()).unwrap().to_be_bytes());
        package.extend_from_slice(contents.as_bytes());
    }
    package
}

#[test]
fn files_arrive_as_they_were_and_private_ones_stay_private() {
    let (kit, new) = (kit(), tempfile::tempdir().unwrap());
    let home = new.path().join("node4");
    let packed = NodeFiles::read(kit.path()).unwrap().pack();
    assert!(make_room(&home).unwrap());
    NodeFiles::parse(&packed).unwrap().write(&home).unwrap();
    for (name, mode, _) in PLACES {
        assert_eq!(std::fs::read(home.join(name)).unwrap(), std::fs::read(kit.path().join(name)).unwrap());
        let found = std::fs::metadata(home.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(found & !mode, 0, "{name} has mode {found:o}");
        assert_eq!(found & 0o600, 0o600, "{name} has mode {found:o}");
    }
    assert_eq!(std::fs::metadata(&home).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(make_room(&home).unwrap_err().to_string(), "it is not empty");
}

#[test]
fn a_node_of_a_cluster_without_key_files_has_fewer_files() {
    let kit = kit();
    for name in [SEAL, "seal.key", "data/identity.json"] {
        std::fs::remove_file(kit.path().join(name)).unwrap();
    }
    let packed = NodeFiles::read(kit.path()).unwrap().pack();
    assert!(NodeFiles::parse(&packed).unwrap().file(SEAL).is_none());
    std::fs::remove_file(kit.path().join("tls/peer.key")).unwrap();
    assert_eq!(refused(kit.path()), "tls/peer.key is missing");
}

#[test]
fn a_directory_that_is_no_new_node_is_refused() {
    let with = |name: &str| {
        let kit = kit();
        std::fs::write(kit.path().join(name), "x").unwrap();
        refused(kit.path())
    };
    assert!(with("data/bootstrap.sealed").contains("founds a cluster"));
    assert!(with("data/plan.json").contains("founds a cluster"));
    assert!(with("data/lock").contains("a node has run here"));
    assert!(with("notes").contains("`holdfastd kit --add` does not make"));
    assert!(refused(Path::new("/nowhere/at/all")).contains("No such file"));
    let kit = kit();
    assert_eq!(refused(&kit.path().join(SETTINGS)), "it is no directory");
    std::fs::create_dir(kit.path().join("data/wal")).unwrap();
    assert!(refused(kit.path()).contains("data/wal is there: a node has run here"));
}

#[test]
fn a_symbolic_link_is_not_followed() {
    let kit = kit();
    let linked = kit.path().join("linked");
    symlink(kit.path(), &linked).unwrap();
    assert_eq!(refused(&linked), "it is no directory");
    assert_eq!(refused(kit.path()), "linked is a symbolic link");
    std::fs::remove_file(&linked).unwrap();
    std::fs::remove_file(kit.path().join("seal.key")).unwrap();
    symlink("/etc/hostname", kit.path().join("seal.key")).unwrap();
    assert_eq!(refused(kit.path()), "seal.key is a symbolic link");
}

#[test]
fn what_is_too_large_is_refused() {
    let kit = kit();
    std::fs::write(kit.path().join("tls/ca.pem"), vec![b'x'; PACKAGE_BYTES_MAX]).unwrap();
    assert!(refused(kit.path()).contains("at most 61440 travel"));
}

#[test]
fn a_package_names_no_other_place_than_a_new_node_has() {
    for name in ["/etc/passwd", "../seal.key", "tls/../seal.key", "tls//peer.key", "./seal.key", "data/wal", "", "data"] {
        assert_eq!(NodeFiles::parse(&package(&[(name, "x")])).err().unwrap(), "there is a file that no new node has", "{name}");
    }
    let twice = NodeFiles::parse(&package(&[(SETTINGS, "a"), (SETTINGS, "b")]));
    assert_eq!(twice.err().unwrap(), "holdfast.toml is there twice");
    assert_eq!(NodeFiles::parse(&package(&[(SETTINGS, "a")])).err().unwrap(), "tls/ca.pem is missing");
}

#[test]
fn a_package_is_whole_or_refused() {
    let packed = NodeFiles::read(kit().path()).unwrap().pack();
    for length in 0..packed.len() {
        assert!(NodeFiles::parse(&packed[..length]).is_err(), "{length} bytes");
    }
    assert_eq!(NodeFiles::parse(&[&packed[..], b"x"].concat()).err().unwrap(), "there is more than its files");
    let newer = [b"HFN2", &packed[4..]].concat();
    assert!(NodeFiles::parse(&newer).err().unwrap().contains("another version"));
    let mut endless = package(&[(SETTINGS, "a")]);
    let length = endless.len() - 5;
    endless[length..length + 4].copy_from_slice(&u32::MAX.to_be_bytes());
    assert!(NodeFiles::parse(&endless).err().unwrap().contains("cut off"));
}

#[test]
fn room_that_was_not_needed_is_given_back() {
    let parent = tempfile::tempdir().unwrap();
    let home = parent.path().join("node4");
    let is_new = make_room(&home).unwrap();
    give_back(&home, is_new);
    assert!(!home.exists());
    assert!(!make_room(parent.path()).unwrap(), "an empty directory serves");
    give_back(parent.path(), false);
    assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);
    assert!(make_room(&parent.path().join("a/b")).is_err());
}

//! Files beside a node's data: settings, the plan of a kit, who it is, where the others are.

use crate::input::{Input, part, text};
use node::config::Config;
use node::kit::NodePlan;
use std::cell::RefCell;
use std::path::Path;
use storage::{Disk, Identity, MemoryDisk, Owner};
use storage_crypto::{Key, SeededEntropy};

thread_local! {
    static HOME: RefCell<Option<tempfile::TempDir>> = const { RefCell::new(None) };
}

/// A directory in memory, where the machine has one: settings are read from a file.
pub(super) fn directory() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a directory can be made")
}

pub(super) fn prepare() {
    HOME.set(Some(directory()));
}

/// The file's text, then flags, one a line, and variables, one a line.
pub(super) fn settings(bytes: &[u8]) {
    let mut input = Input(bytes);
    let (flags, variables) = (text(input.part()), text(input.part()));
    let flags: Vec<String> = flags.lines().map(str::to_owned).collect();
    let variables =
        variables.lines().filter_map(|line| line.split_once('=')).map(|(name, value)| (name.to_owned(), value.to_owned()));
    let place = HOME.with_borrow(|home| home.as_ref().expect("it was made before").path().join("holdfast.toml"));
    std::fs::write(&place, input.0).expect("the file can be written");
    let Ok(config) = Config::load(&place, variables, &flags) else { return };
    std::fs::write(&place, config.to_toml()).expect("the file can be written");
    let again = Config::load(&place, std::iter::empty(), &[]).expect("what was written reads");
    assert_eq!(again, config, "settings change when they are written and read");
}

pub(super) fn settings_seeds() -> Vec<Vec<u8>> {
    let home = directory();
    let kit = home.path().join("kit");
    node::kit::create(&kit, &NodePlan::local(1, 7000)).expect("a kit can be made");
    let toml = std::fs::read(node::kit::node_directory(&kit, 1).join("holdfast.toml")).expect("a kit has settings");
    let flags = part(b"replication.snapshot_entries=150\nlisten.health=127.0.0.1:9000");
    let variables = part(b"HOLDFAST_LOG_LEVEL=debug\nHOLDFAST_LIMITS_BURST=5");
    vec![[part(b""), part(b""), toml.clone()].concat(), [flags, variables, toml].concat()]
}

pub(super) fn plan(bytes: &[u8]) {
    let text = text(bytes);
    if let Ok(plan) = NodePlan::parse(text) {
        let NodePlan { id, zone, client, peer } = &plan;
        let again = NodePlan::parse(&format!("id={id},zone={zone},client={client},peer={peer}"));
        assert_eq!(again.as_ref(), Ok(&plan), "a plan changes when it is written and read");
    }
    drop(proto_client::Token::parse(text));
}

pub(super) fn plans() -> Vec<Vec<u8>> {
    vec![b"id=1,zone=a,client=10.0.0.1:7100,peer=10.0.0.1:7200".to_vec(), b"hf.abcdefgh".to_vec()]
}

/// `identity.json`, or `members.json`.
pub(super) fn identity(bytes: &[u8]) {
    let (disk, dir) = (MemoryDisk::new(), Path::new("/data"));
    for name in ["identity.json", "members.json"] {
        let file = disk.create_new(&dir.join(name)).expect("a disk in memory takes a file");
        file.write_all_at(bytes, 0).expect("a disk in memory takes bytes");
    }
    let key = Key::from_bytes([7; 32]);
    drop(Identity::open(&disk, dir, &key, None));
    drop(Identity::open(&disk, dir, &key, Some(&[1; 16])));
    drop(node::fuzzing::members_in_file(&disk, dir));
}

pub(super) fn identities() -> Vec<Vec<u8>> {
    let (disk, dir) = (MemoryDisk::new(), Path::new("/data"));
    let owner = Owner { cluster: [1; 16], node: 3 };
    Identity::create(&disk, dir, owner, "a", &Key::from_bytes([7; 32]), &SeededEntropy::new(1))
        .expect("a disk in memory takes it");
    let file = disk.open(&dir.join("identity.json")).expect("it was written");
    let members = br#"{"format":1,"members":{"1":{"peer_address":"a:1","client_address":"a:2","zone":"z"}}}"#;
    vec![storage::disk::read_all(&*file, 1 << 20).expect("it was written"), members.to_vec()]
}

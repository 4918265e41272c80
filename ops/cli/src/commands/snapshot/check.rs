//! `holdfast snapshot inspect` and `verify`.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use storage_backup::{BackupSet, Contents, Entry, SnapshotHeader, Store, check_entry, check_file};
use storage_crypto::{PublicKey, hex};

use super::{existing, keys::SnapshotKeys, refused, set_of};
use crate::{
    exit::{Exit, Failure},
    output::{table, time},
    settings::Session,
};

pub(super) fn inspect(session: &Session, file: &Path) -> Result<(), Failure> {
    let bar = session.out.progress(std::fs::metadata(file).map_or(0, |about| about.len()), "checking");
    let checked = check_file(file, |read| bar.set_position(read));
    bar.finish_and_clear();
    let checked = checked.map_err(|error| {
        Failure::new(Exit::Integrity, format!("cannot use {}", file.display()), error.to_string())
            .next("holdfast snapshot list shows others")
    })?;
    let header = &checked.header;
    let (kind, after) = kind(header);
    let document = json!({
        "file": file,
        "kind": kind,
        "cluster": hex::encode(&header.cluster),
        "epoch": header.epoch,
        "after_revision": after,
        "revision": header.at.revision,
        "stamp_us": header.at.stamp_us,
        "chain": hex::encode(&header.at.chain),
        "state_digest": hex::encode(&header.at.digest),
        "secrets": header.secrets,
        "created_ms": header.created_ms,
        "key_version": header.key_version,
        "bytes": checked.bytes,
        "chunks": checked.chunks,
        "digest": hex::encode(&checked.digest),
        "signer": checked.signer.to_string(),
    });
    session.out.show(&document, |out| {
        let mut facts = vec![
            ("kind", kind.to_owned()),
            ("cluster", hex::encode(&header.cluster)),
            ("epoch", header.epoch.to_string()),
            ("made", time::local(header.created_ms)),
            ("record", header.at.revision.to_string()),
            ("time", time::local(header.at.stamp_us / 1000)),
            ("secrets", header.secrets.to_string()),
            ("bytes", format!("{} in {} chunks", checked.bytes, checked.chunks)),
            ("chain", hex::encode(&header.at.chain)),
            ("state", hex::encode(&header.at.digest)),
            ("key", format!("version {} of the root key", header.key_version)),
            ("digest", hex::encode(&checked.digest)),
            ("signer", checked.signer.to_string()),
        ];
        if let Some(after) = after {
            facts.insert(4, ("after record", after.to_string()));
        }
        table::facts(out, facts)
    })
}

fn kind(header: &SnapshotHeader) -> (&'static str, Option<u64>) {
    match header.contents {
        Contents::Full => ("full", None),
        Contents::Increment { revision, .. } => ("increment", Some(revision)),
    }
}

/// What was found of one file.
struct Found<'a> {
    entry: &'a Entry,
    fault: Option<String>,
}

pub(super) async fn verify(
    session: &Session,
    place: &str,
    signer: Option<&str>,
    keys: Option<&SnapshotKeys>,
) -> Result<(), Failure> {
    let wrong = || Failure::usage("cannot use the signer", "it is not 64 hexadecimal digits", "holdfast snapshot list prints it");
    let signer = signer.map(|text| PublicKey::parse(text).ok_or_else(wrong)).transpose()?;
    let signer = signer.or_else(|| keys.map(SnapshotKeys::signer));
    let store = existing(place)?;
    let set = set_of(&store).await?;
    let bar = session.out.progress(set.entries.iter().map(|entry| entry.bytes).sum(), "checking");
    let mut found = Vec::new();
    let mut done = 0;
    for entry in &set.entries {
        let fault = check(&store, entry, signer, keys, &|read| bar.set_position(done + read)).await;
        done += entry.bytes;
        found.push(Found { entry, fault: fault.err() });
    }
    bar.finish_and_clear();
    let signers: std::collections::BTreeSet<&str> = set.entries.iter().map(|entry| entry.signer.as_str()).collect();
    session.out.show(&document(&set, &found, signer.is_some(), keys.is_some()), |out| people(out, &set, &found))?;
    if signer.is_none() && !set.entries.is_empty() {
        let signers: Vec<_> = signers.into_iter().collect();
        session.out.note(&format!(
            "signed by {}: compare it with what your cluster prints (holdfast snapshot list)",
            signers.join(", ")
        ));
    }
    let faults = found.iter().filter(|found| found.fault.is_some()).count() + set.bad.len() + set.orphans().len();
    if faults == 0 && set.fulls().next().is_some() {
        return Ok(());
    }
    let why = if faults > 0 { format!("{faults} of its files cannot be used") } else { "it holds no full snapshot".to_owned() };
    Err(Failure::new(Exit::Integrity, format!("{place} is not whole"), why).next("holdfast snapshot save makes a new full one"))
}

async fn check(
    store: &Store,
    entry: &Entry,
    signer: Option<PublicKey>,
    keys: Option<&SnapshotKeys>,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<(), String> {
    let directory;
    let path: PathBuf = match store.local(&entry.file) {
        Some(path) => path,
        None => {
            directory = tempfile::tempdir().map_err(|error| error.to_string())?;
            let path = directory.path().join(&entry.file);
            store.fetch(entry, &path, progress).await.map_err(|error| refused(error).to_string())?;
            path
        }
    };
    let open = |version: u32| keys.and_then(|keys| keys.key(version));
    let keys = keys.map(|_| &open as storage_backup::Keys<'_>);
    check_entry(&storage_backup::RealDisk, &path, entry, signer, keys, progress).map(drop).map_err(|fault| fault.to_string())
}

fn document(set: &BackupSet, found: &[Found<'_>], compared: bool, opened: bool) -> Value {
    let file = |found: &Found<'_>| json!({ "file": found.entry.file, "fault": found.fault });
    json!({
        "files": found.iter().map(file).collect::<Vec<_>>(),
        "bad": set.bad.iter().map(|(name, why)| json!({ "entry": name, "why": why })).collect::<Vec<_>>(),
        "orphans": set.orphans().iter().map(|entry| entry.file.clone()).collect::<Vec<_>>(),
        "strays": set.strays,
        "signer_compared": compared,
        "opened": opened,
    })
}

fn people(out: &mut dyn Write, set: &BackupSet, found: &[Found<'_>]) -> io::Result<()> {
    for found in found {
        match &found.fault {
            None => writeln!(out, "ok     {}", found.entry.file)?,
            Some(fault) => writeln!(out, "wrong  {}: {fault}", found.entry.file)?,
        }
    }
    for (name, why) in &set.bad {
        writeln!(out, "wrong  {name}: {why}")?;
    }
    for orphan in set.orphans() {
        writeln!(out, "wrong  {}: it joins nothing, the snapshot before it is missing", orphan.file)?;
    }
    set.strays.iter().try_for_each(|stray| writeln!(out, "stray  {stray}: it has no entry"))
}

//! `holdfast snapshot list`, and how an entry is shown.

use std::io::{self, Write};

use proto_client::v1;
use serde_json::{Value, json};
use storage_backup::{BackupSet, Entry, EntryKind};

use super::{existing, set_of};
use crate::{
    exit::{Doing, Exit, Failure},
    output::{table, time},
    settings::Session,
};

/// What is shown of a set besides its entries.
struct About {
    place: String,
    signer: String,
    failing: bool,
    saved: Option<String>,
    drill: Option<String>,
}

pub(super) async fn list(session: &Session, from: Option<&str>) -> Result<(), Failure> {
    let (set, about) = match from {
        Some(place) => {
            let store = existing(place)?;
            let about =
                About { place: store.place().to_owned(), signer: String::new(), failing: false, saved: None, drill: None };
            (set_of(&store).await?, about)
        }
        None => of_node(session).await?,
    };
    session.out.show(&document(&set, &about), |out| people(out, &set, &about))
}

async fn of_node(session: &Session) -> Result<(BackupSet, About), Failure> {
    let answer = session.client().await?.snapshots().list(v1::ListSnapshotsRequest {}).await;
    let answer = answer.doing(|| "list snapshots".to_owned())?;
    let mut set = BackupSet::new(entries(&answer.entries)?);
    set.bad = answer.bad.into_iter().map(|line| (line, String::new())).collect();
    set.strays = answer.strays;
    let age = |ms: u64| format!("{} ago", time::span(ms));
    let drill = answer.drill_age_ms.map(|ms| format!("{}, {}", age(ms), if answer.drill_passed { "passed" } else { "failed" }));
    let about =
        About { place: answer.place, signer: answer.signer, failing: answer.failing, saved: answer.saved_age_ms.map(age), drill };
    Ok((set, about))
}

/// Entries as a node sends them.
pub(super) fn entries(documents: &[impl AsRef<[u8]>]) -> Result<Vec<Entry>, Failure> {
    let parse = |document: &dyn AsRef<[u8]>| serde_json::from_slice(document.as_ref());
    let parsed: Result<Vec<Entry>, _> = documents.iter().map(|document| parse(document)).collect();
    parsed.map_err(|error| Failure::new(Exit::Unexpected, "cannot use the list of snapshots", error.to_string()))
}

fn document(set: &BackupSet, about: &About) -> Value {
    let orphans: Vec<_> = set.orphans().iter().map(|entry| entry.file.clone()).collect();
    json!({
        "place": about.place,
        "snapshots": set.entries,
        "orphans": orphans,
        "strays": set.strays,
        "bad": set.bad.iter().map(|(name, why)| json!({ "entry": name, "why": why })).collect::<Vec<_>>(),
        "signer": about.signer,
        "failing": about.failing,
        "saved": about.saved,
        "drill": about.drill,
    })
}

fn people(out: &mut dyn Write, set: &BackupSet, about: &About) -> io::Result<()> {
    let failing = if about.failing { "a snapshot that was due has failed: holdfast alert list" } else { "" };
    table::facts(
        out,
        [
            ("place", about.place.clone()),
            ("signer", about.signer.clone()),
            ("saved", about.saved.clone().unwrap_or_default()),
            ("drill", about.drill.clone().unwrap_or_default()),
            ("failing", failing.to_owned()),
        ],
    )?;
    writeln!(out)?;
    rows(out, &set.entries)?;
    for orphan in set.orphans() {
        writeln!(out, "warning: {} joins nothing: the snapshot before it is missing", orphan.file)?;
    }
    for stray in &set.strays {
        writeln!(out, "note: {stray} has no entry: it is being written, or was cut short")?;
    }
    set.bad.iter().try_for_each(|(name, why)| writeln!(out, "warning: {name} is not believed {why}"))
}

/// Entries as a table.
pub(super) fn rows(out: &mut dyn Write, entries: &[Entry]) -> io::Result<()> {
    let row = |entry: &Entry| {
        let records = match entry.kind {
            EntryKind::Full => entry.revision.to_string(),
            EntryKind::Increment => format!("{}..{}", entry.after_revision, entry.revision),
        };
        [
            time::local(entry.created_ms),
            entry.kind.word().to_owned(),
            entry.epoch.to_string(),
            records,
            entry.secrets.to_string(),
            entry.bytes.to_string(),
            entry.file.clone(),
        ]
    };
    table::rows(out, &["MADE", "KIND", "EPOCH", "RECORDS", "SECRETS", "BYTES", "FILE"], entries.iter().map(row))
}

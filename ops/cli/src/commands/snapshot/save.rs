//! `holdfast snapshot save`.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use futures::StreamExt;
use proto_client::{Answers, v1, v1::snapshot_part::Part};
use serde_json::json;
use storage_backup::{Entry, RealDisk, Store, check_entry};
use storage_crypto::hex;

use super::{refused, set_of, show};
use crate::{
    exit::{Doing, Exit, Failure},
    settings::Session,
};

/// Has the node put it where its settings say.
pub(super) async fn there(session: &Session, incremental: bool) -> Result<(), Failure> {
    let client = session.client().await?;
    let answer = client.snapshots().save_to_store(v1::SaveToStoreRequest { incremental }).await;
    let answer = answer.doing(|| "save a snapshot".to_owned())?;
    let entry = show::entries(&[answer.entry])?.remove(0);
    said(session, &entry, &answer.place, &answer.note)
}

/// Fetches it from the node that answers, checks it, and puts it where it is wished.
pub(super) async fn here(session: &Session, place: &str, incremental: bool) -> Result<(), Failure> {
    let store = Store::open(place).map_err(refused)?;
    let set = set_of(&store).await?;
    let newest = if incremental { set.newest() } else { None };
    let after = newest.map(point).transpose()?;
    let client = session.client().await?;
    let parts = client.snapshots().save(v1::SaveSnapshotRequest { after }).await;
    let mut parts = parts.doing(|| "save a snapshot".to_owned())?;
    let partial = Partial::new(&store)?;
    let (entry, signed, mut note) = receive(session, &mut parts, &partial.path).await?;
    if incremental && newest.is_none() {
        note = "a full snapshot instead of an increment: there is none yet that it could join".to_owned();
    }
    check_entry(&RealDisk, &partial.path, &entry, None, None, |_| ()).map_err(|fault| broken(&fault))?;
    store.take(&partial.path, &entry, signed, |_| ()).await.map_err(refused)?;
    said(session, &entry, store.place(), &note)
}

fn point(newest: &Entry) -> Result<v1::SnapshotPoint, Failure> {
    let chain = hex::decode(&newest.chain).map_err(|_| broken(&"the chain of the newest entry does not read"))?;
    Ok(v1::SnapshotPoint { epoch: newest.epoch, revision: newest.revision, chain: chain.into(), log_index: newest.log_index })
}

async fn receive(
    session: &Session,
    parts: &mut Answers<v1::SnapshotPart>,
    path: &Path,
) -> Result<(Entry, Vec<u8>, String), Failure> {
    let failed = |error: std::io::Error| Failure::io(format!("cannot write {}", path.display()), &error);
    let mut file = BufWriter::new(File::create_new(path).map_err(failed)?);
    let mut bar = indicatif::ProgressBar::hidden();
    let mut note = String::new();
    while let Some(part) = parts.next().await {
        match part.doing(|| "receive the whole snapshot".to_owned())?.part {
            Some(Part::Start(start)) => {
                bar = session.out.progress(start.bytes, "saving");
                note = start.note;
            }
            Some(Part::Chunk(chunk)) => {
                file.write_all(&chunk).map_err(failed)?;
                bar.inc(chunk.len() as u64);
            }
            Some(Part::Entry(signed)) => {
                bar.finish_and_clear();
                file.flush().and_then(|()| file.get_ref().sync_all()).map_err(failed)?;
                let entry = Entry::parse(&signed).map_err(|error| broken(&error))?;
                return Ok((entry, signed.to_vec(), note));
            }
            None => {}
        }
    }
    Err(broken(&"it ended before its entry came"))
}

fn broken(why: &dyn std::fmt::Display) -> Failure {
    Failure::new(Exit::Integrity, "cannot use what came", why.to_string()).next("try again, or ask another node with --addr")
}

fn said(session: &Session, entry: &Entry, place: &str, note: &str) -> Result<(), Failure> {
    if !note.is_empty() {
        session.out.note(note);
    }
    let document = json!({ "place": place, "note": note, "snapshot": entry });
    let sentence = format!(
        "{} at record {}, {} secrets, {} bytes: {} in {place}",
        entry.kind.word(),
        entry.revision,
        entry.secrets,
        entry.bytes,
        entry.file
    );
    session.out.done(&document, &sentence)
}

/// A file that is being received; what is left of it goes with it.
struct Partial {
    path: PathBuf,
    _directory: Option<tempfile::TempDir>,
}

impl Partial {
    fn new(store: &Store) -> Result<Partial, Failure> {
        let name = format!(".{}.partial", uuid::Uuid::new_v4().simple());
        if let Some(path) = store.local(&name) {
            return Ok(Partial { path, _directory: None });
        }
        let failed = |error: std::io::Error| Failure::io("cannot make a temporary directory".to_owned(), &error);
        let directory = tempfile::tempdir().map_err(failed)?;
        Ok(Partial { path: directory.path().join(name), _directory: Some(directory) })
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // It is not there any more where it was taken.
        let _ = std::fs::remove_file(&self.path);
    }
}

//! `holdfast snapshot prune`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proto_client::v1;
use serde_json::json;
use storage_backup::{Entry, Keep, doomed};

use super::{existing, refused, set_of, show};
use crate::{
    commands::confirm,
    exit::{Doing, Failure},
    settings::Session,
};

/// What is to go.
pub(super) struct Prune {
    pub(super) keep: u32,
    pub(super) older_than: Duration,
    pub(super) from: Option<String>,
    pub(super) dry_run: bool,
}

pub(super) async fn run(session: &Session, prune: &Prune) -> Result<(), Failure> {
    let (place, gone) = match &prune.from {
        Some(place) => here(session, prune, place).await?,
        None => there(session, prune).await?,
    };
    let bytes: u64 = gone.iter().map(|entry| entry.bytes).sum();
    let document = json!({ "place": place, "dry_run": prune.dry_run, "bytes": bytes, "snapshots": gone });
    session.out.show(&document, |out| {
        show::rows(out, &gone)?;
        let word = if prune.dry_run { "would go from" } else { "went from" };
        writeln!(out, "{} snapshots, {bytes} bytes {word} {place}", gone.len())
    })
}

async fn here(session: &Session, prune: &Prune, place: &str) -> Result<(String, Vec<Entry>), Failure> {
    let store = existing(place)?;
    let set = set_of(&store).await?;
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    let since_ms = now_ms.saturating_sub(prune.older_than.as_millis() as u64);
    let doomed = doomed(&set, Keep { fulls: prune.keep as usize, since_ms });
    if prune.dry_run || doomed.is_empty() {
        return Ok((store.place().to_owned(), doomed));
    }
    confirm(session, &format!("Delete {} snapshots from {}?", doomed.len(), store.place()))?;
    for entry in &doomed {
        store.remove(entry).await.map_err(refused)?;
    }
    Ok((store.place().to_owned(), doomed))
}

async fn there(session: &Session, prune: &Prune) -> Result<(String, Vec<Entry>), Failure> {
    let client = session.client().await?;
    let older_than_ms = prune.older_than.as_millis() as u64;
    let mut request = v1::PruneSnapshotsRequest { keep: prune.keep, older_than_ms, dry_run: true };
    let mut answer = client.snapshots().prune(request).await.doing(|| "ask which snapshots would go".to_owned())?;
    if !prune.dry_run && !answer.entries.is_empty() {
        confirm(session, &format!("Delete {} snapshots from {}?", answer.entries.len(), answer.place))?;
        request.dry_run = false;
        answer = client.snapshots().prune(request).await.doing(|| "delete snapshots".to_owned())?;
    }
    Ok((answer.place, show::entries(&answer.entries)?))
}

//! Puts snapshots into the store that this node is set up with, and tells the journal.

use super::making::{Backups, Made};
use super::{After, BackupError};
use crate::api::Door;
use node_domain::Command;
use node_domain::command::Upkeep;
use node_domain::ids::Revision;
use node_domain::recovery::{RecoveryUpkeep, SavedSnapshot};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use storage_backup::{BackupSet, Entry, EntryKind, Keep, Store, doomed};
use storage_crypto::hex;
use tokio::sync::Mutex;

/// How long the journal may take to hear of a snapshot.
const TELLING: Duration = Duration::from_secs(30);

/// Saves and deletes snapshots of this node's store, one thing at a time.
pub(crate) struct Saving {
    pub(crate) backups: Arc<Backups>,
    pub(crate) door: Arc<Door>,
    /// Where setting `backup.to` says.
    place: Option<String>,
    /// It, once it could be opened.
    store: OnceLock<Store>,
    turn: Mutex<()>,
}

impl Saving {
    pub(crate) fn new(backups: Arc<Backups>, door: Arc<Door>, place: Option<String>) -> Saving {
        Saving { backups, door, place, store: OnceLock::new(), turn: Mutex::new(()) }
    }

    /// Where snapshots of this node go, as the setting has it.
    pub(crate) fn place(&self) -> Option<&str> {
        self.place.as_deref()
    }

    pub(crate) fn store(&self) -> Result<Store, BackupError> {
        if let Some(store) = self.store.get() {
            return Ok(store.clone());
        }
        let store = Store::open(self.place.as_deref().ok_or(BackupError::NoPlace)?)?;
        Ok(self.store.get_or_init(|| store).clone())
    }

    /// Makes a snapshot and puts it into the store: the increment after the newest there where that can be and is wanted.
    pub(crate) async fn save(&self, incremental: bool) -> Result<(SavedSnapshot, Entry), BackupError> {
        let _turn = self.turn.lock().await;
        let store = self.store()?;
        let set = self.own_set().await?;
        let newest = set.newest().and_then(after);
        let after = newest.clone().filter(|_| incremental);
        let mut made = self.backups.clone().make(after.clone()).await?;
        if incremental && after.is_none() {
            made.note = "a full snapshot instead of an increment: there is none yet that it could join".to_owned();
        }
        if let (EntryKind::Full, Some(newest)) = (made.entry.kind, newest) {
            self.bridge(&store, newest, &mut made).await?;
        }
        let saved = self.keep(&store, &made).await?;
        Ok((saved, made.entry.clone()))
    }

    /// Puts what was made where it should lie, and tells the journal.
    async fn keep(&self, store: &Store, made: &Made) -> Result<SavedSnapshot, BackupError> {
        store.put(&made.path, &made.entry, made.signed.clone(), |_| ()).await?;
        let saved = saved(made, store.place());
        self.tell(RecoveryUpkeep::Saved(saved.clone())).await?;
        tracing::info!(file = saved.file, bytes = saved.bytes, to = store.place(), "saved a snapshot");
        Ok(saved)
    }

    /// Saves what leads from the newest snapshot of the set to a full one that follows it; where nothing can, the full one says so.
    async fn bridge(&self, store: &Store, newest: After, full: &mut Made) -> Result<(), BackupError> {
        if newest.epoch != full.entry.epoch || newest.revision >= full.entry.revision {
            return Ok(());
        }
        let from = newest.revision;
        match self.backups.clone().make_bridge(newest, full.path.clone()).await {
            Ok(bridge) => self.keep(store, &bridge).await.map(drop),
            Err(why) => {
                let revision = full.entry.revision;
                tracing::warn!(%why, from, to = revision, "no increment leads to the full snapshot");
                let gap = format!("no point between records {from} and {revision} can be restored: {why}");
                full.note = [std::mem::take(&mut full.note), gap]
                    .into_iter()
                    .filter(|note| !note.is_empty())
                    .collect::<Vec<_>>()
                    .join("; ");
                Ok(())
            }
        }
    }

    /// What this cluster has saved in its place.
    pub(crate) async fn own_set(&self) -> Result<BackupSet, BackupError> {
        Ok(self.own(self.store()?.set().await?))
    }

    /// Entries that this cluster signed; others are none of its business.
    fn own(&self, set: BackupSet) -> BackupSet {
        let signer = self.backups.sealing().signer().public().to_string();
        BackupSet::new(set.entries.into_iter().filter(|entry| entry.signer == signer).collect())
    }

    /// Deletes what need not stay.
    pub(crate) async fn prune(&self, keep: Keep, dry_run: bool) -> Result<Vec<Entry>, BackupError> {
        let _turn = self.turn.lock().await;
        let store = self.store()?;
        let doomed = doomed(&self.own_set().await?, keep);
        if dry_run || doomed.is_empty() {
            return Ok(doomed);
        }
        for entry in &doomed {
            store.remove(entry).await?;
        }
        let (count, bytes) = (doomed.len() as u64, doomed.iter().map(|entry| entry.bytes).sum());
        self.tell(RecoveryUpkeep::Pruned { from: store.place().to_owned(), count, bytes }).await?;
        Ok(doomed)
    }

    /// Tells the journal what became of a snapshot.
    pub(crate) async fn tell(&self, upkeep: RecoveryUpkeep) -> Result<(), BackupError> {
        let command = Command::Upkeep(Box::new(Upkeep::Recovery(upkeep)));
        let told = self.door.submit_own("backup", command, TELLING).await;
        let (decided, _) = told.map_err(|lost| BackupError::Journal(lost.to_string()))?;
        decided.answer.map(drop).map_err(|rejection| BackupError::Journal(rejection.to_string()))
    }
}

/// Where the next increment goes on.
fn after(newest: &Entry) -> Option<After> {
    let chain = hex::decode(&newest.chain).ok()?.try_into().ok()?;
    Some(After { epoch: newest.epoch, revision: newest.revision, chain, log_index: newest.log_index })
}

/// What the journal keeps of a snapshot.
pub(crate) fn saved(made: &Made, place: &str) -> SavedSnapshot {
    let entry = &made.entry;
    SavedSnapshot {
        file: entry.file.clone(),
        to: place.to_owned(),
        after: (entry.kind == EntryKind::Increment).then_some(Revision(entry.after_revision)),
        revision: Revision(entry.revision),
        log_index: entry.log_index,
        digest: hex::decode(&entry.digest).ok().and_then(|digest| digest.try_into().ok()).unwrap_or_default(),
        bytes: entry.bytes,
        secrets: entry.secrets,
        note: made.note.clone(),
    }
}

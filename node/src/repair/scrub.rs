//! The scrub: reads everything that lies on the node's disk, slowly, again and again, and has repaired what is not what was written.
//!
//! Nobody reads an old journal segment, a snapshot or a seldom used value for months; damage there must not wait until it is needed, or
//! until the last good copy is gone too.

use super::Repairs;
use super::records::RecordRepair;
use crate::api::Door;
use crate::config::ScrubConfig;
use crate::engine::snapshots::{Snapshots, is_damage};
use crate::engine::values::ValueKey;
use node_domain::ids::{EnvironmentName, SecretPath};
use node_domain::repair::RepairPart;
use node_domain::sealed::SealRef;
use node_domain::secret::VersionState;
use parking_lot::Mutex;
use raft::Replica;
use std::sync::Arc;
use std::time::Duration;
use storage::journal::JournalSpan;
use storage::wal::{Wal, WalError};

/// Secrets looked at on one view: an old view keeps old state in memory.
const SECRETS_AT_ONCE: usize = 128;

/// How far the scrub has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Times that everything was read.
    pub(crate) passes: u64,
    /// The journal was read and proven up to this record.
    pub(crate) journal_seq: u64,
    /// Bytes read in all passes.
    pub(crate) bytes: u64,
    /// Things found damaged.
    pub(crate) damages: u64,
}

/// The scrub of one node.
pub(crate) struct Scrub {
    pub(crate) door: Arc<Door>,
    pub(crate) replica: Replica,
    pub(crate) wal: Wal,
    pub(crate) snapshots: Arc<Snapshots>,
    pub(crate) records: Arc<RecordRepair>,
    pub(crate) repairs: Arc<Repairs>,
    pub(crate) progress: Arc<Mutex<Progress>>,
    pub(crate) config: ScrubConfig,
}

/// One value as the state names it.
struct Named {
    environment: EnvironmentName,
    key: ValueKey,
    seal: SealRef,
}

impl Scrub {
    /// Reads everything, rests, and begins anew. Never ends.
    pub(crate) async fn run(self) {
        loop {
            // A node that is still on its way to the cluster's state has better things to read.
            if self.door.view().state.is_founded() && self.replica.leader().is_some() {
                self.pass().await;
                self.progress.lock().passes += 1;
                metrics::counter!("holdfast_scrub_passes_total").increment(1);
            }
            tokio::time::sleep(Duration::from_millis(self.config.pause_ms)).await;
        }
    }

    async fn pass(&self) {
        self.check_journal().await;
        self.check_log().await;
        self.check_snapshots().await;
        self.check_values().await;
    }

    /// Waits as long as reading so much may take.
    async fn rest(&self, bytes: u64) {
        self.progress.lock().bytes += bytes;
        metrics::counter!("holdfast_scrub_bytes_total").increment(bytes);
        tokio::time::sleep(Duration::from_secs_f64(bytes as f64 / self.config.bytes_per_second as f64)).await;
    }

    fn found(&self, part: RepairPart, what: impl Into<String>) {
        self.progress.lock().damages += 1;
        self.repairs.began(part, what);
    }

    async fn check_journal(&self) {
        let journal = &self.records.journal;
        let mut whole = true;
        for span in journal.spans() {
            let (reading, segment) = (journal.clone(), span.segment);
            let Ok(checked) = tokio::task::spawn_blocking(move || reading.check(segment)).await else { return };
            match checked {
                Ok(bytes) => {
                    let verified = span.next_seq.unwrap_or_else(|| journal.head().next_seq) - 1;
                    if whole {
                        self.progress.lock().journal_seq = verified;
                        metrics::gauge!("holdfast_journal_verified_seq").set(verified as f64);
                    }
                    self.rest(bytes).await;
                }
                Err(error) if error.damaged().is_some() => {
                    whole &= self.mend_segment(&span, error.to_string()).await;
                }
                Err(error) => tracing::warn!(%error, "a segment of the journal was not read"),
            }
        }
        if whole {
            self.records.is_mended();
        }
    }

    async fn mend_segment(&self, span: &JournalSpan, found: String) -> bool {
        self.records.is_damaged();
        self.found(RepairPart::Journal, found);
        match self.records.replace(span).await {
            Ok(()) => true,
            Err(why) => {
                self.repairs.failed(RepairPart::Journal, why);
                false
            }
        }
    }

    /// A damaged older part of the log is not needed once a snapshot holds what stands in it: vote and newest entries are elsewhere.
    async fn check_log(&self) {
        for segment in self.wal.older_segments() {
            match self.check_log_segment(segment).await {
                Ok(bytes) => self.rest(bytes).await,
                Err(error @ WalError::Corrupt { .. }) => {
                    self.found(RepairPart::Log, error.to_string());
                    match self.leave_behind(segment).await {
                        Ok(()) => self.repairs.done(RepairPart::Log),
                        Err(why) => self.repairs.failed(RepairPart::Log, why),
                    }
                }
                Err(error) => tracing::warn!(%error, "a segment of the log was not read"),
            }
        }
    }

    async fn check_log_segment(&self, segment: u64) -> Result<u64, WalError> {
        let wal = self.wal.clone();
        // A task that was cut off has read nothing.
        tokio::task::spawn_blocking(move || wal.check(segment)).await.unwrap_or(Ok(0))
    }

    /// Takes a snapshot and purges the log to it, so that the segment is not needed any more.
    async fn leave_behind(&self, segment: u64) -> Result<(), String> {
        let index = self.replica.trigger_snapshot().await.map_err(|error| error.to_string())?;
        let index = index.ok_or("nothing has been applied yet")?;
        self.replica.purge_through(index).await?;
        if self.wal.older_segments().contains(&segment) {
            return Err("entries that are not in a snapshot yet stand in the damaged segment, or are needed by nobody knows whom".into());
        }
        Ok(())
    }

    async fn check_snapshots(&self) {
        let mut damaged = Vec::new();
        for path in self.snapshots.complete().unwrap_or_default() {
            let (snapshots, reading) = (self.snapshots.clone(), path.clone());
            let Ok(verified) = tokio::task::spawn_blocking(move || snapshots.verify(&reading)).await else { return };
            match verified {
                Ok(_) => self.rest(std::fs::metadata(&path).map_or(0, |file| file.len())).await,
                // Pruned since it was listed.
                Err(_) if !path.exists() => {}
                Err(error) if is_damage(&error) => {
                    self.found(RepairPart::Snapshot, error.to_string());
                    damaged.push(path);
                }
                Err(error) => tracing::warn!(%error, "a snapshot was not read"),
            }
        }
        if damaged.is_empty() {
            return;
        }
        // The new one first: until it is there, the damaged one may be the best that there is.
        if let Err(error) = self.replica.trigger_snapshot().await {
            self.repairs.failed(RepairPart::Snapshot, error.to_string());
            return;
        }
        for path in damaged {
            if self.snapshots.verify(&path).is_err()
                && path.exists()
                && let Err(error) = self.snapshots.set_aside(&path)
            {
                tracing::warn!(%error, "a damaged snapshot was not set aside");
            }
        }
        self.repairs.done(RepairPart::Snapshot);
    }

    async fn check_values(&self) {
        let names: Vec<EnvironmentName> = self.door.view().state.environments().map(|home| home.about.name.clone()).collect();
        for name in names {
            let mut cursor = String::new();
            loop {
                let (named, next) = self.named(&name, &cursor);
                if !named.is_empty() {
                    self.check_rows(named).await;
                }
                let Some(next) = next else { break };
                cursor = next.to_string();
            }
        }
    }

    /// Values of the next secrets, and where to go on.
    fn named(&self, name: &EnvironmentName, cursor: &str) -> (Vec<Named>, Option<SecretPath>) {
        let view = self.door.view();
        let Ok(home) = view.state.environment(name) else { return (Vec::new(), None) };
        // What is sealed cannot be told from what is damaged.
        if view.state.keys().sealed(name).is_some() {
            return (Vec::new(), None);
        }
        let secrets: Vec<_> = home.under("", cursor).take(SECRETS_AT_ONCE).cloned().collect();
        let last = secrets.last().filter(|_| secrets.len() == SECRETS_AT_ONCE).map(|secret| secret.path.clone());
        let named = secrets.iter().flat_map(|secret| {
            let kept = secret.versions.iter().filter(|version| version.state != VersionState::Destroyed);
            let id = secret.id;
            kept.map(move |version| Named { environment: name.clone(), key: (id, version.number), seal: version.seal.clone() })
        });
        (named.collect(), last)
    }

    async fn check_rows(&self, named: Vec<Named>) {
        let door = self.door.clone();
        let checked = tokio::task::spawn_blocking(move || {
            let mut bytes = 0;
            let mut damaged = Vec::new();
            for named in named {
                match is_whole(&door, &named) {
                    Ok(read) => bytes += read,
                    Err(why) => damaged.push((named, why)),
                }
            }
            (bytes, damaged)
        });
        let Ok((bytes, damaged)) = checked.await else { return };
        self.rest(bytes).await;
        let mut lost = None;
        for (named, why) in damaged {
            self.found(RepairPart::Value, why);
            let Named { environment, key, seal } = named;
            if let Err(error) = self.door.mending.fetch_quietly(&self.door, &environment, key, &seal).await {
                lost = Some(error);
            }
        }
        match lost {
            Some(error) => self.repairs.failed(RepairPart::Value, error.to_string()),
            None => self.repairs.done(RepairPart::Value),
        }
    }
}

/// Whether a row holds what the state names; how many bytes were read.
fn is_whole(door: &Door, named: &Named) -> Result<u64, String> {
    let Named { environment, key, seal } = named;
    let about = |why: &str| format!("secret {} v{} of {environment}: {why}", key.0.0, key.1);
    let payload = match door.values.find_on_disk(environment, *key) {
        Ok(Some(payload)) => payload,
        // In memory still, or gone since: there is no row to look at.
        Ok(None) if door.values.is_pending(*key) || !door.view().state.holds_value(environment, key.0, key.1) => return Ok(0),
        Ok(None) => return Err(about("it is missing from the database")),
        Err(error) => return Err(about(&error.to_string())),
    };
    let bytes = (payload.ciphertext.len() + payload.wrapped_key.len()) as u64;
    if payload.digest(seal.key_version, &seal.value_id) == seal.digest {
        return Ok(bytes);
    }
    // Rewrapped since the state was looked at: then it opens all the same.
    let view = door.view();
    let Ok(home) = view.state.environment(environment) else { return Ok(bytes) };
    match door.sealing.open(&home.about, seal, &payload) {
        Err(error) if error.is_damage() => Err(about(&error.to_string())),
        _ => Ok(bytes),
    }
}

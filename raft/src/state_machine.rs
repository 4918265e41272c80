//! openraft's state machine over a [`Machine`]: keeps the position (last log id, membership) beside the machine's state, and
//! writes it into every snapshot so that the two are never apart.

use std::{io, path::PathBuf, sync::Arc};

use futures::{Stream, TryStreamExt};
use openraft::{
    EntryPayload, OptionalSend, RaftSnapshotBuilder,
    storage::{ApplyResponder, EntryResponder, RaftStateMachine},
};
use parking_lot::Mutex;
use proto_record::codec::{self, Kind};
use tokio::{sync::watch, task};

use crate::{
    config::APPLY_RUN_MAX,
    machine::{Machine, Reply, SnapshotWrite},
    offload::offload,
    snapshot_file::SnapshotFile,
    types::{Entry, LogId, Payload, Snapshot, SnapshotMeta, StoredMembership, TypeConfig},
};

/// openraft's state machine. Owned by the one task that applies.
pub struct StateMachine {
    machine: Arc<dyn Machine>,
    /// Last log id applied, and the membership as of it.
    position: SnapshotMeta,
    applied: watch::Sender<Option<u64>>,
    /// A snapshot that has been written and that openraft has yet to hear of.
    offered: Option<(SnapshotMeta, PathBuf)>,
}

impl StateMachine {
    /// Stands where the machine's newest snapshot says.
    ///
    /// # Errors
    /// When the snapshot's position cannot be read.
    pub fn new(machine: Arc<dyn Machine>) -> io::Result<StateMachine> {
        let position = match machine.newest_snapshot()? {
            Some(snapshot) => decode_position(&snapshot.position)?,
            None => SnapshotMeta::default(),
        };
        let (applied, _) = watch::channel(position.last_log_id.map(|log_id| log_id.index));
        Ok(StateMachine { machine, position, applied, offered: None })
    }

    /// The index applied last, as it moves.
    #[must_use]
    pub fn watch_applied(&self) -> watch::Receiver<Option<u64>> {
        self.applied.subscribe()
    }

    /// Captures the state where it stands; none where nothing has been applied.
    pub(crate) fn capture(&self) -> Option<(SnapshotMeta, SnapshotWrite)> {
        let last = self.position.last_log_id?;
        let write = self.machine.capture(last.index, encode_position(&self.position));
        Some((self.position.clone(), write))
    }

    /// Takes a written snapshot, for openraft to pick up when it is next told to build one.
    pub(crate) fn offer(&mut self, position: SnapshotMeta, path: PathBuf) {
        self.offered = Some((position, path));
    }

    fn builder(&self, position: SnapshotMeta, write: SnapshotWrite) -> Builder {
        Builder { machine: Arc::clone(&self.machine), position, write: Mutex::new(Some(write)) }
    }

    /// Folds a run of entries and publishes it; answers leave after that.
    fn apply_run(&mut self, run: Vec<EntryResponder<TypeConfig>>) -> io::Result<()> {
        if run.is_empty() {
            return Ok(());
        }
        let mut answers = Vec::with_capacity(run.len());
        let mut result = Ok(());
        for (entry, responder) in run {
            match self.apply_entry(entry) {
                Ok(reply) => answers.extend(responder.map(|responder| (responder, reply))),
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        self.publish();
        answers.into_iter().for_each(|(responder, reply): (ApplyResponder<TypeConfig>, Reply)| responder.send(reply));
        result
    }

    fn apply_entry(&mut self, entry: Entry) -> io::Result<Reply> {
        let reply = match entry.payload {
            EntryPayload::Blank => Reply::Nothing,
            EntryPayload::Normal(Payload(payload)) => {
                let fitted = self.machine.apply(entry.log_id.index, &payload);
                fitted.map_err(|unfit| io::Error::other(format!("apply entry {}: {unfit}", entry.log_id)))?
            }
            EntryPayload::Membership(membership) => {
                self.position.last_membership = StoredMembership::new(Some(entry.log_id), membership);
                Reply::Nothing
            }
        };
        self.position.last_log_id = Some(entry.log_id);
        Ok(reply)
    }

    fn publish(&self) {
        let Some(LogId { index, .. }) = self.position.last_log_id else { return };
        self.machine.applied(index);
        self.applied.send_replace(Some(index));
    }
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotData = SnapshotFile;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        Ok((self.position.last_log_id, self.position.last_membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin + OptionalSend,
    {
        let mut run = Vec::new();
        while let Some(entry) = entries.try_next().await? {
            run.push(entry);
            if run.len() == APPLY_RUN_MAX {
                self.apply_run(std::mem::take(&mut run))?;
                // A node that catches up must still hear its leader.
                task::yield_now().await;
            }
        }
        self.apply_run(run)
    }

    /// Gives the snapshot that `compaction` has written; none otherwise. `force` is openraft's at the start, when the log is
    /// purged and no snapshot is found: then the capture is written here and now.
    async fn try_create_snapshot_builder(&mut self, force: bool) -> Option<Builder> {
        match self.offered.take() {
            Some((position, path)) => Some(self.builder(position, Box::new(|| Ok(path)))),
            None if force => Some(self.get_snapshot_builder().await),
            None => None,
        }
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        match self.capture() {
            Some((position, write)) => self.builder(position, write),
            None => {
                let write = self.machine.capture(0, encode_position(&self.position));
                self.builder(self.position.clone(), write)
            }
        }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: SnapshotFile) -> io::Result<()> {
        let machine = Arc::clone(&self.machine);
        blocking(move || machine.install_snapshot(snapshot.path())).await?;
        self.position = meta.clone();
        self.offered = None;
        self.publish();
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot>> {
        let machine = Arc::clone(&self.machine);
        blocking(move || {
            let Some(stored) = machine.newest_snapshot()? else { return Ok(None) };
            let meta = decode_position(&stored.position)?;
            Ok(Some(Snapshot { meta, snapshot: SnapshotFile::open(&*machine.disk(), stored.path)? }))
        })
        .await
    }
}

/// Finishes one snapshot file.
pub struct Builder {
    machine: Arc<dyn Machine>,
    position: SnapshotMeta,
    write: Mutex<Option<SnapshotWrite>>,
}

impl RaftSnapshotBuilder<TypeConfig> for Builder {
    type SnapshotData = SnapshotFile;

    async fn build_snapshot(&mut self) -> io::Result<Snapshot> {
        let write = self.write.lock().take().ok_or_else(|| io::Error::other("snapshot was built before"))?;
        let machine = Arc::clone(&self.machine);
        let snapshot = blocking(move || SnapshotFile::open(&*machine.disk(), write()?)).await?;
        Ok(Snapshot { meta: self.position.clone(), snapshot })
    }
}

/// Runs `work` where it may block.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    offload(work).await.map_err(io::Error::other)?
}

pub(crate) fn encode_position(position: &SnapshotMeta) -> Vec<u8> {
    codec::encode(Kind::RaftPosition, position)
}

pub(crate) fn decode_position(bytes: &[u8]) -> io::Result<SnapshotMeta> {
    let named = |error| io::Error::new(io::ErrorKind::InvalidData, format!("position of a snapshot: {error}"));
    codec::decode(Kind::RaftPosition, bytes).map_err(named)
}

//! How replicas reach each other: over gRPC with mutual TLS, or inside one process in tests.
//!
//! Both deliver to an [`Inbox`], so that whatever is checked on arrival is checked for both.

mod acknowledged;
pub mod channel;
pub mod grpc;

pub use acknowledged::{Acknowledged, LostLog};

use std::{
    fmt::Display,
    io,
    path::PathBuf,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures::{Stream, StreamExt, future, stream::BoxStream};
use openraft::{
    errors::{Fatal, NetworkError, RPCError, Unreachable},
    raft::{
        AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult, TransferLeaderRequest,
        TransferLeaderResponse, VoteRequest, VoteResponse,
    },
};
use proto_record::codec::{self, Kind};
use storage::{
    disk::{Disk, DiskFile},
    wal::Wal,
};
use tokio::{runtime::Handle, sync::watch};

use crate::{
    machine::Machine,
    role,
    snapshot_file::SnapshotFile,
    state_machine::{blocking, decode_position},
    types::{Raft, Snapshot, SnapshotMeta, TypeConfig, Vote},
};

/// The receiving half of a replica. A transport hands it what arrived, after it has made sure who sent it.
#[derive(Clone)]
pub struct Inbox {
    id: u64,
    raft: Raft,
    machine: Arc<dyn Machine>,
    wal: Wal,
    lost: Arc<watch::Sender<Option<LostLog>>>,
}

impl Inbox {
    pub(crate) fn new(
        id: u64,
        raft: Raft,
        machine: Arc<dyn Machine>,
        wal: Wal,
        lost: Arc<watch::Sender<Option<LostLog>>>,
    ) -> Inbox {
        Inbox { id, raft, machine, wal, lost }
    }

    /// Nothing is promised any more by a node that was found to have lost what it had promised.
    ///
    /// # Errors
    /// When it was.
    pub(crate) fn check_trusted(&self) -> Result<(), LostLog> {
        self.lost.borrow().clone().map_or(Ok(()), Err)
    }

    /// Makes sure that this node still has what it has acknowledged to the leader that `vote` names: all before `acknowledged_to`.
    ///
    /// # Errors
    /// When it has not. The node is to stop: see [`Replica::watch_lost_log`](crate::Replica::watch_lost_log).
    pub(crate) fn check_holds(&self, vote: &Vote, acknowledged_to: u64) -> Result<(), LostLog> {
        let next_index = self.wal.next_index().unwrap_or(0);
        if next_index >= acknowledged_to {
            return Ok(());
        }
        // A message of a deposed leader came late: what it was told may have been overwritten since. Asked after the log, because a
        // new leader's vote is kept before its first change of the log.
        let own = self.wal.vote().and_then(|own| codec::decode::<Vote>(Kind::RaftVote, &own).ok());
        if own.is_some_and(|own| own > *vote) {
            return Ok(());
        }
        let lost = LostLog { node: self.id, acknowledged: acknowledged_to - 1, next_index };
        self.lost.send_replace(Some(lost.clone()));
        Err(lost)
    }

    pub(crate) async fn append(
        &self,
        request: AppendEntriesRequest<TypeConfig>,
    ) -> io::Result<AppendEntriesResponse<TypeConfig>> {
        let raft = self.raft.clone();
        uncancelled(async move { raft.append_entries(request).await }).await
    }

    pub(crate) fn stream_append(
        &self,
        requests: impl Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + 'static,
    ) -> Answers {
        Answers { raft: self.raft.clone(), answers: Some(self.raft.stream_append(requests).boxed()) }
    }

    pub(crate) async fn vote(&self, request: VoteRequest<TypeConfig>) -> io::Result<VoteResponse<TypeConfig>> {
        let raft = self.raft.clone();
        uncancelled(async move { raft.vote(request).await }).await
    }

    pub(crate) async fn pre_vote(&self, request: VoteRequest<TypeConfig>) -> io::Result<VoteResponse<TypeConfig>> {
        let raft = self.raft.clone();
        uncancelled(async move { raft.pre_vote(request).await }).await
    }

    pub(crate) async fn transfer_leader(
        &self,
        request: TransferLeaderRequest<TypeConfig>,
    ) -> io::Result<TransferLeaderResponse<TypeConfig>> {
        let raft = self.raft.clone();
        uncancelled(async move { raft.handle_transfer_leader(request).await }).await
    }

    /// A fresh file for a snapshot that arrives.
    pub(crate) async fn receive(&self) -> io::Result<Arriving> {
        let machine = Arc::clone(&self.machine);
        blocking(move || {
            let (disk, path) = (machine.disk(), machine.receive_path()?);
            let file = disk.create_new(&path)?;
            Ok(Arriving { disk, path, file, length: 0 })
        })
        .await
    }

    /// Verifies a snapshot that has arrived completely, and installs it. What does not verify never reaches raft, which would
    /// stop the node over it.
    pub(crate) async fn install(
        &self,
        vote: Vote,
        meta: SnapshotMeta,
        arrived: Arriving,
    ) -> io::Result<SnapshotResponse<TypeConfig>> {
        let machine = Arc::clone(&self.machine);
        let path = arrived.path.clone();
        let (position, snapshot) = blocking(move || {
            let position = decode_position(&machine.verify_snapshot(&path)?)?;
            Ok((position, SnapshotFile::open(&*machine.disk(), path)?))
        })
        .await?;
        if position != meta {
            let both = format!("snapshot was announced at {meta} and says of itself that it is at {position}");
            return Err(io::Error::new(io::ErrorKind::InvalidData, both));
        }
        let raft = self.raft.clone();
        uncancelled(async move {
            let response = raft.install_full_snapshot(vote, Snapshot { meta, snapshot }).await;
            // Raft may have had no use for it: then it is still here.
            drop(arrived);
            response
        })
        .await
    }
}

/// The answers to a stream of appends. See [`uncancelled`]: dropped on a node that has stopped, it still runs to its end.
pub(crate) struct Answers {
    raft: Raft,
    answers: Option<BoxStream<'static, Answer>>,
}

type Answer = Result<StreamAppendResult<TypeConfig>, Fatal<TypeConfig>>;

impl Stream for Answers {
    type Item = Answer;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Answer>> {
        let Some(answers) = &mut self.answers else { return Poll::Ready(None) };
        let answer = ready!(answers.poll_next_unpin(context));
        if answer.is_none() {
            self.answers = None;
        }
        Poll::Ready(answer)
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        if let Some(answers) = self.answers.take()
            && role::is_stopped(&self.raft)
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(answers.for_each(|_| future::ready(())));
        }
    }
}

/// A snapshot file that is being received. Dropped before it was installed, it removes what is there.
pub(crate) struct Arriving {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    length: u64,
}

impl Arriving {
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Adds what arrived next.
    pub(crate) async fn write(&mut self, chunk: Bytes) -> io::Result<()> {
        let (file, offset) = (Arc::clone(&self.file), self.length);
        self.length += chunk.len() as u64;
        blocking(move || file.write_all_at(&chunk, offset)).await
    }

    /// Returns when all of it is on the disk. Its name need not be: until it is installed nobody looks for it.
    pub(crate) async fn sync(&self) -> io::Result<()> {
        let file = Arc::clone(&self.file);
        blocking(move || file.sync_data()).await
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        // An installed snapshot has been moved away from here.
        if let Err(error) = self.disk.remove(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.path.display(), %error, "could not remove a snapshot that was not installed");
        }
    }
}

/// Runs a call into openraft to its end, even when the peer that caused it hangs up. openraft must not be cancelled while it
/// looks up why it stopped: the next caller would meet a state that it holds impossible, and panic.
async fn uncancelled<T, E>(call: impl Future<Output = Result<T, E>> + Send + 'static) -> io::Result<T>
where
    T: Send + 'static,
    E: Display + Send + 'static,
{
    match tokio::spawn(call).await {
        Ok(answer) => answer.map_err(|error| io::Error::other(error.to_string())),
        Err(error) => Err(io::Error::other(error)),
    }
}

/// The peer cannot be reached now: raft waits before it tries again.
fn unreachable(reason: impl ToString) -> RPCError<TypeConfig> {
    RPCError::Unreachable(Unreachable::from_string(reason))
}

/// One message was lost or unreadable: raft tries again at once.
fn garbled(reason: impl ToString) -> RPCError<TypeConfig> {
    RPCError::Network(NetworkError::from_string(reason))
}

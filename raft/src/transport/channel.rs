//! Replicas of one process, joined by function calls: the in-memory twin of the gRPC transport.
//!
//! A [`Hub`] carries messages between the replicas that joined it, and can cut or slow each direction of each link by itself.
//! A request over a link whose way back is cut arrives and takes effect; only its answer is lost.

use std::{
    collections::{HashMap, HashSet},
    io,
    time::Duration,
};

use futures::{Stream, StreamExt, future, stream};
use openraft::{
    OptionalSend, RaftNetworkFactory, RaftNetworkV2,
    base::{BoxFuture, BoxStream},
    errors::{Fatal, RPCError, ReplicationClosed, StreamingError},
    network::RPCOption,
    raft::{
        AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult, TransferLeaderRequest,
        TransferLeaderResponse, VoteRequest, VoteResponse,
    },
};
use tokio::{
    sync::{mpsc, watch},
    time,
};
use tokio_stream::wrappers::ReceiverStream;

use super::{Arriving, Inbox, unreachable};
use crate::{
    config::SNAPSHOT_CHUNK_BYTES,
    snapshot_file::SnapshotFile,
    state_machine::blocking,
    types::{Member, Snapshot, TypeConfig, Vote},
};

/// Appends on their way over one link.
const STREAM_LENGTH: usize = 64;

/// The network of one process.
#[derive(Clone)]
pub struct Hub {
    net: watch::Sender<Net>,
}

#[derive(Clone, Default)]
struct Net {
    inboxes: HashMap<u64, Inbox>,
    cut: HashSet<(u64, u64)>,
    delay: HashMap<(u64, u64), Duration>,
}

impl Default for Hub {
    fn default() -> Hub {
        Hub { net: watch::Sender::new(Net::default()) }
    }
}

impl Hub {
    /// What node `id` gives to [`Replica::start`](crate::Replica::start).
    #[must_use]
    pub fn transport(&self, id: u64) -> ChannelTransport {
        ChannelTransport { hub: self.clone(), from: id }
    }

    /// From now on messages to node `id` reach `inbox`.
    pub fn join(&self, id: u64, inbox: Inbox) {
        self.change(|net| net.inboxes.insert(id, inbox));
    }

    /// From now on nothing reaches node `id`.
    pub fn leave(&self, id: u64) {
        self.change(|net| net.inboxes.remove(&id));
    }

    /// Loses everything from `from` to `to`, and nothing the other way.
    pub fn cut_one_way(&self, from: u64, to: u64) {
        self.change(|net| net.cut.insert((from, to)));
    }

    /// Loses everything between `a` and `b`.
    pub fn cut(&self, a: u64, b: u64) {
        self.cut_one_way(a, b);
        self.cut_one_way(b, a);
    }

    /// Every message from `from` to `to` takes this long.
    pub fn delay(&self, from: u64, to: u64, by: Duration) {
        self.change(|net| net.delay.insert((from, to), by));
    }

    /// Ends every cut and delay.
    pub fn heal(&self) {
        self.change(|net| {
            net.cut.clear();
            net.delay.clear();
        });
    }

    fn change<T>(&self, change: impl FnOnce(&mut Net) -> T) {
        self.net.send_modify(|net| {
            let _ = change(net);
        });
    }

    /// Takes a message over the link: its delay, then nothing more, or an error when it is lost.
    async fn cross(&self, from: u64, to: u64) -> Result<(), RPCError<TypeConfig>> {
        let delay = self.net.borrow().delay.get(&(from, to)).copied();
        if let Some(delay) = delay {
            time::sleep(delay).await;
        }
        let lost = self.net.borrow().cut.contains(&(from, to));
        if lost { Err(unreachable(format!("link from node {from} to node {to} is cut"))) } else { Ok(()) }
    }

    /// Returns when the link from `a` to `b` is cut in one of its directions, or nobody is there any more.
    async fn broken(&self, a: u64, b: u64) {
        let mut net = self.net.subscribe();
        let is_broken = |net: &Net| net.cut.contains(&(a, b)) || net.cut.contains(&(b, a)) || !net.inboxes.contains_key(&b);
        // The hub lives as long as this future, which borrows it: waiting cannot fail.
        let _ = net.wait_for(is_broken).await;
    }

    fn inbox(&self, id: u64) -> Result<Inbox, RPCError<TypeConfig>> {
        self.net.borrow().inboxes.get(&id).cloned().ok_or_else(|| unreachable(format!("node {id} is not there")))
    }
}

/// Makes links from one node.
#[derive(Clone)]
pub struct ChannelTransport {
    hub: Hub,
    from: u64,
}

impl RaftNetworkFactory<TypeConfig> for ChannelTransport {
    type Network = Link;

    async fn new_client(&mut self, target: u64, _member: &Member) -> Link {
        Link { hub: self.hub.clone(), from: self.from, to: target }
    }
}

/// A link from one node to another.
pub struct Link {
    hub: Hub,
    from: u64,
    to: u64,
}

impl Link {
    /// Request there, work, answer back.
    async fn call<T, F>(&self, within: Duration, work: impl FnOnce(Inbox) -> F) -> Result<T, RPCError<TypeConfig>>
    where
        F: Future<Output = io::Result<T>>,
    {
        let round = async {
            self.hub.cross(self.from, self.to).await?;
            let answer = work(self.hub.inbox(self.to)?).await.map_err(unreachable)?;
            self.hub.cross(self.to, self.from).await?;
            Ok(answer)
        };
        time::timeout(within, round).await.unwrap_or_else(|_| Err(unreachable(format!("node {} did not answer", self.to))))
    }
}

impl RaftNetworkV2<TypeConfig> for Link {
    type SnapshotData = SnapshotFile;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.call(option.soft_ttl(), |inbox| async move { inbox.append(request).await }).await
    }

    fn stream_append<'s, S>(
        &'s mut self,
        requests: S,
        _option: RPCOption,
    ) -> BoxFuture<'s, Result<BoxStream<'s, Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>>>, RPCError<TypeConfig>>>
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + OptionalSend + Unpin + 'static,
    {
        Box::pin(async move {
            let (sender, receiver) = mpsc::channel(STREAM_LENGTH);
            let answers = self.hub.inbox(self.to)?.stream_append(ReceiverStream::new(receiver));
            let outward = stream::once(outward(self.hub.clone(), self.from, self.to, requests, sender));
            let failed = outward.filter_map(|sent| future::ready(sent.err().map(Err)));
            let back = backward(self.hub.clone(), self.from, self.to, answers);
            Ok(stream::select(back, failed).boxed())
        })
    }

    async fn vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.call(option.soft_ttl(), |inbox| async move { inbox.vote(request).await }).await
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.call(option.soft_ttl(), |inbox| async move { inbox.pre_vote(request).await }).await
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.call(option.soft_ttl(), |inbox| async move { inbox.transfer_leader(request).await }).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let install = self.call(option.soft_ttl(), |inbox| async move {
            let mut arriving = inbox.receive().await?;
            copy(snapshot.snapshot, &mut arriving).await?;
            inbox.install(vote, snapshot.meta, arriving).await
        });
        tokio::select! {
            installed = install => Ok(installed?),
            closed = cancel => Err(StreamingError::Closed(closed)),
        }
    }
}

/// Sends requests over one by one. It is polled with the answers and ends with them: raft does not let go of the requests of an
/// old stream before it starts a new one.
async fn outward(
    hub: Hub,
    from: u64,
    to: u64,
    mut requests: impl Stream<Item = AppendEntriesRequest<TypeConfig>> + Unpin,
    sender: mpsc::Sender<AppendEntriesRequest<TypeConfig>>,
) -> Result<(), RPCError<TypeConfig>> {
    while let Some(request) = requests.next().await {
        hub.cross(from, to).await?;
        if sender.send(request).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// Brings the answers back. Like a dead connection, a cut or the end of the other node ends the stream with an error though nothing is
/// being sent: raft would wait for ever on one that merely ended.
fn backward(
    hub: Hub,
    from: u64,
    to: u64,
    answers: impl Stream<Item = Result<StreamAppendResult<TypeConfig>, Fatal<TypeConfig>>> + Send + 'static,
) -> impl Stream<Item = Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>>> + Send + 'static {
    stream::unfold(Some((Box::pin(answers), hub)), move |state| async move {
        let (mut answers, hub) = state?;
        let answer = tokio::select! {
            answer = answers.next() => match answer {
                Some(answer) => answer.map_err(unreachable),
                None => Err(unreachable(format!("node {to} ended"))),
            },
            () = hub.broken(from, to) => Err(unreachable(format!("link between node {from} and node {to} broke"))),
        };
        let crossed = match answer {
            Ok(answer) => hub.cross(to, from).await.map(|()| answer),
            Err(error) => Err(error),
        };
        let next = crossed.is_ok().then_some((answers, hub));
        Some((crossed, next))
    })
}

async fn copy(source: SnapshotFile, target: &mut Arriving) -> io::Result<()> {
    while target.length() < source.length() {
        let (source, offset) = (source.clone(), target.length());
        let chunk = blocking(move || source.read(offset, SNAPSHOT_CHUNK_BYTES)).await?;
        target.write(chunk).await?;
    }
    target.sync().await
}

//! The sending half.

use std::{future::Future, io, time::Duration};

use futures::{Stream, StreamExt, stream};
use openraft::{
    OptionalSend, RaftNetworkFactory, RaftNetworkV2,
    base::{BoxFuture, BoxStream},
    errors::{RPCError, ReplicationClosed, StreamingError},
    network::{RPCOption, stream_append_sequential},
    raft::{
        AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult, TransferLeaderRequest,
        TransferLeaderResponse, VoteRequest, VoteResponse,
    },
};
use proto::peer::v1::{RaftMessage, RaftSnapshotHeader, RaftSnapshotPart, raft_client::RaftClient, raft_snapshot_part::Part};
use proto_record::codec::{self, Kind};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time;
use tonic::{Response, Status, transport::Channel};

use super::{
    PeerChannels,
    message::{decode, encode, encode_append},
};
use crate::{
    config::{MESSAGE_BYTES_MAX, SNAPSHOT_CHUNK_BYTES, STREAM_SETUP_TIMEOUT},
    snapshot_file::SnapshotFile,
    state_machine::blocking,
    transport::{garbled, unreachable},
    types::{Member, Snapshot, TypeConfig, Vote},
};

/// How long a link waits after the first stream that did not come about …
const PAUSE_MIN: Duration = Duration::from_millis(20);
/// … and after many: a node that comes back is caught up no later than this.
const PAUSE_MAX: Duration = Duration::from_millis(200);

/// Makes links to other nodes: three each, so that neither a snapshot nor a run of appends delays a heartbeat.
#[derive(Clone)]
pub struct GrpcTransport {
    channels: PeerChannels,
}

impl GrpcTransport {
    /// Links over `channels`.
    #[must_use]
    pub fn new(channels: PeerChannels) -> GrpcTransport {
        GrpcTransport { channels }
    }

    fn link(&self, target: u64, member: &Member, heartbeats: bool) -> Link {
        let client = RaftClient::new(self.channels.connect(target, &member.peer_address))
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        Link { target, client, heartbeats, pause: Duration::ZERO }
    }
}

impl RaftNetworkFactory<TypeConfig> for GrpcTransport {
    type Network = Link;

    async fn new_client(&mut self, target: u64, member: &Member) -> Link {
        self.link(target, member, false)
    }

    async fn new_heartbeat_client(&mut self, target: u64, member: &Member) -> Link {
        self.link(target, member, true)
    }
}

/// A link to one node.
pub struct Link {
    target: u64,
    client: RaftClient<Channel>,
    /// One short message at a time: a call each costs less than a stream each.
    heartbeats: bool,
    /// How long it waited after the last stream that did not come about; zero since one has.
    pause: Duration,
}

impl Link {
    /// openraft waits between the requests of a stream, but not between streams that never begin: without this, a leader would ask a
    /// node that is away a thousand times a second.
    async fn failed(&mut self, error: RPCError<TypeConfig>) -> RPCError<TypeConfig> {
        if self.pause.is_zero() {
            tracing::warn!(node = self.target, %error, "node cannot be reached; trying on");
        }
        self.pause = (self.pause * 2).clamp(PAUSE_MIN, PAUSE_MAX);
        time::sleep(self.pause).await;
        error
    }

    fn succeeded(&mut self) {
        if !std::mem::take(&mut self.pause).is_zero() {
            tracing::info!(node = self.target, "node is reached again");
        }
    }
}

impl RaftNetworkV2<TypeConfig> for Link {
    type SnapshotData = SnapshotFile;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        answer(option.soft_ttl(), self.client.append(encode_append(&request))).await
    }

    fn stream_append<'s, S>(
        &'s mut self,
        requests: S,
        option: RPCOption,
    ) -> BoxFuture<'s, Result<BoxStream<'s, Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>>>, RPCError<TypeConfig>>>
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + OptionalSend + Unpin + 'static,
    {
        if self.heartbeats {
            return stream_append_sequential(self, requests, option);
        }
        Box::pin(async move {
            let requests = requests.map(|request| encode_append(&request));
            let answers = match within(STREAM_SETUP_TIMEOUT, self.client.stream_append(requests)).await {
                Ok(answers) => answers.into_inner(),
                Err(error) => return Err(self.failed(error).await),
            };
            self.succeeded();
            // On a dead connection the stream ends with an error, because of the keep-alive.
            let answers = answers.map(|message| decode(&message.map_err(refused)?).map_err(garbled));
            Ok(answers.boxed() as BoxStream<'s, _>)
        })
    }

    async fn vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        answer(option.soft_ttl(), self.client.vote(encode(&request))).await
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        answer(option.soft_ttl(), self.client.pre_vote(encode(&request))).await
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RPCError<TypeConfig>> {
        answer(option.soft_ttl(), self.client.transfer_leader(encode(&request))).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let header = header(&(vote, snapshot.meta), &snapshot.snapshot);
        let parts = stream::iter([header]).chain(chunks(snapshot.snapshot));
        tokio::select! {
            installed = answer(option.soft_ttl(), self.client.install_snapshot(parts)) => Ok(installed?),
            closed = cancel => Err(StreamingError::Closed(closed)),
        }
    }
}

fn header(position: &impl Serialize, file: &SnapshotFile) -> RaftSnapshotPart {
    let body = codec::encode(Kind::RaftMessage, position).into();
    RaftSnapshotPart { part: Some(Part::Header(RaftSnapshotHeader { body, length: file.length() })) }
}

/// The file piece by piece. A piece that cannot be read ends the stream early, and the receiver drops what it has.
fn chunks(file: SnapshotFile) -> impl Stream<Item = RaftSnapshotPart> + Send + 'static {
    stream::unfold((file, 0), |(file, offset)| async move {
        let source = file.clone();
        match blocking(move || source.read(offset, SNAPSHOT_CHUNK_BYTES)).await {
            Ok(chunk) if chunk.is_empty() => None,
            Ok(chunk) => {
                let next = offset + chunk.len() as u64;
                Some((RaftSnapshotPart { part: Some(Part::Chunk(chunk)) }, (file, next)))
            }
            Err(error) => {
                log_unreadable(&file, &error);
                None
            }
        }
    })
}

fn log_unreadable(file: &SnapshotFile, error: &io::Error) {
    tracing::error!(path = %file.path().display(), %error, "a snapshot that is being sent cannot be read");
}

async fn answer<T: DeserializeOwned>(
    time: Duration,
    call: impl Future<Output = Result<Response<RaftMessage>, Status>>,
) -> Result<T, RPCError<TypeConfig>> {
    decode(within(time, call).await?.get_ref()).map_err(garbled)
}

async fn within<T>(time: Duration, call: impl Future<Output = Result<T, Status>>) -> Result<T, RPCError<TypeConfig>> {
    match time::timeout(time, call).await {
        Ok(answer) => answer.map_err(refused),
        Err(_) => Err(unreachable(format!("no answer within {} ms", time.as_millis()))),
    }
}

/// A status with what lies beneath it: tonic says "transport error" and keeps the reason as its source.
fn refused(status: Status) -> RPCError<TypeConfig> {
    let mut reason = status.message().to_owned();
    let mut source = std::error::Error::source(&status);
    while let Some(error) = source {
        reason = format!("{reason}: {error}");
        source = error.source();
    }
    unreachable(reason)
}

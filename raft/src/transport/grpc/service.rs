//! The receiving half: decodes what arrives, makes sure that the sender is who it says, and hands it to the inbox.

use std::{io, pin::Pin, sync::Arc};

use futures::{Stream, StreamExt, future, stream};
use openraft::raft::{AppendEntriesRequest, TransferLeaderRequest, VoteRequest};
use parking_lot::Mutex;
use proto::peer::v1::{
    RaftAppend, RaftMessage, RaftSnapshotHeader, RaftSnapshotPart,
    raft_server::{self, RaftServer},
    raft_snapshot_part::Part,
};
use proto_record::codec::{self, Kind};
use serde::Serialize;
use tonic::{Request, Response, Status, Streaming};

use super::{
    PeerIdentity,
    client::EPOCH_HEADER,
    message::{NEXT_INDEX, decode, decode_append, encode, malformed},
};
use crate::{
    config::MESSAGE_BYTES_MAX,
    epoch::Epoch,
    transport::{Arriving, Inbox, LostLog},
    types::{SnapshotMeta, TypeConfig, Vote},
};

/// The service that replicas call, for [`serve_peer`](super::serve_peer).
#[must_use]
pub fn raft_service(inbox: Inbox, epoch: Epoch) -> RaftServer<RaftService> {
    RaftServer::new(RaftService { inbox, epoch })
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX)
}

/// Raft's service over an inbox.
pub struct RaftService {
    inbox: Inbox,
    epoch: Epoch,
}

type Answers = Pin<Box<dyn Stream<Item = Result<RaftMessage, Status>> + Send>>;

#[tonic::async_trait]
impl raft_server::Raft for RaftService {
    type StreamAppendStream = Answers;

    async fn append(&self, request: Request<RaftAppend>) -> Result<Response<RaftMessage>, Status> {
        let peer = self.admitted(&request)?;
        let append = read_append(&self.inbox, peer, Ok(request.into_inner()))?;
        answer(self.inbox.append(append).await)
    }

    async fn stream_append(&self, request: Request<Streaming<RaftAppend>>) -> Result<Response<Answers>, Status> {
        let peer = self.admitted(&request)?;
        // The first bad message ends the stream: to skip it would leave a gap.
        let refusal = Arc::new(Mutex::new(None));
        let noted = Arc::clone(&refusal);
        let inbox = self.inbox.clone();
        let requests = request
            .into_inner()
            .map(move |message| read_append(&inbox, peer, message))
            .scan((), move |(), read| future::ready(read.map_err(|status| *noted.lock() = Some(status)).ok()));
        let answers = self.inbox.stream_append(requests).map(|result| match result {
            Ok(result) => Ok(encode(&result)),
            Err(fatal) => Err(Status::unavailable(fatal.to_string())),
        });
        let last = stream::once(async move { refusal.lock().take() }).filter_map(|status| future::ready(status.map(Err)));
        Ok(Response::new(Box::pin(answers.chain(last))))
    }

    async fn vote(&self, request: Request<RaftMessage>) -> Result<Response<RaftMessage>, Status> {
        let peer = self.admitted(&request)?;
        let vote: VoteRequest<TypeConfig> = decode(request.get_ref()).map_err(malformed)?;
        speaks_for_itself(peer, &vote.vote)?;
        answer(self.inbox.vote(vote).await)
    }

    async fn pre_vote(&self, request: Request<RaftMessage>) -> Result<Response<RaftMessage>, Status> {
        let peer = self.admitted(&request)?;
        let vote: VoteRequest<TypeConfig> = decode(request.get_ref()).map_err(malformed)?;
        speaks_for_itself(peer, &vote.vote)?;
        answer(self.inbox.pre_vote(vote).await)
    }

    async fn transfer_leader(&self, request: Request<RaftMessage>) -> Result<Response<RaftMessage>, Status> {
        let peer = self.admitted(&request)?;
        let transfer: TransferLeaderRequest<TypeConfig> = decode(request.get_ref()).map_err(malformed)?;
        speaks_for_itself(peer, transfer.from_leader())?;
        answer(self.inbox.transfer_leader(transfer).await)
    }

    async fn install_snapshot(&self, request: Request<Streaming<RaftSnapshotPart>>) -> Result<Response<RaftMessage>, Status> {
        let peer = self.admitted(&request)?;
        let mut parts = request.into_inner();
        let header = read_header(&mut parts).await?;
        let (vote, meta): (Vote, SnapshotMeta) = codec::decode(Kind::RaftMessage, &header.body).map_err(malformed)?;
        speaks_for_itself(peer, &vote)?;
        let mut arriving = self.inbox.receive().await.map_err(failed)?;
        receive(&mut arriving, header.length, parts).await?;
        answer(self.inbox.install(vote, meta, arriving).await)
    }
}

impl RaftService {
    /// Who sent it, where its data is of the same timeline.
    fn admitted<T>(&self, request: &Request<T>) -> Result<PeerIdentity, Status> {
        let PeerIdentity(peer) = peer(request)?;
        let theirs = request.metadata().get(EPOCH_HEADER).and_then(|epoch| epoch.to_str().ok()?.parse().ok()).unwrap_or(0);
        self.epoch.admit(peer, theirs).map_err(|why| {
            tracing::warn!(peer, theirs, why, "refused a message of another timeline");
            Status::failed_precondition(why)
        })?;
        self.inbox.check_trusted().map_err(|lost| lost_log(&lost))?;
        Ok(PeerIdentity(peer))
    }
}

/// Who sent it. Only [`serve_peer`](super::serve_peer) puts this in, from the certificate.
fn peer<T>(request: &Request<T>) -> Result<PeerIdentity, Status> {
    let identity = request.extensions().get().copied();
    identity.ok_or_else(|| Status::unauthenticated("raft is served to nodes with a certificate only"))
}

/// Every message of raft comes from the leader or candidate that its vote names.
fn speaks_for_itself(PeerIdentity(peer): PeerIdentity, vote: &Vote) -> Result<(), Status> {
    let claimed = vote.leader_id.node_id;
    if claimed == peer {
        return Ok(());
    }
    tracing::warn!(peer, claimed, "refused a message of a node that speaks for another");
    Err(Status::permission_denied(format!("node {peer} cannot speak as node {claimed}")))
}

fn read_append(
    inbox: &Inbox,
    peer: PeerIdentity,
    message: Result<RaftAppend, Status>,
) -> Result<AppendEntriesRequest<TypeConfig>, Status> {
    let message = message?;
    let acknowledged_to = message.acknowledged_to;
    let append = decode_append(message).map_err(malformed)?;
    speaks_for_itself(peer, &append.vote)?;
    inbox.check_holds(&append.vote, acknowledged_to).map_err(|lost| lost_log(&lost))?;
    Ok(append)
}

/// Tells the sender that this node has lost what it had acknowledged.
fn lost_log(lost: &LostLog) -> Status {
    let mut status = Status::data_loss(lost.to_string());
    status.metadata_mut().insert(NEXT_INDEX, lost.next_index.into());
    status
}

async fn read_header(parts: &mut Streaming<RaftSnapshotPart>) -> Result<RaftSnapshotHeader, Status> {
    match parts.message().await?.and_then(|first| first.part) {
        Some(Part::Header(header)) => Ok(header),
        _ => Err(malformed("a snapshot starts with its header")),
    }
}

/// Writes what arrives to disk and returns when it is all there.
async fn receive(arriving: &mut Arriving, length: u64, mut parts: Streaming<RaftSnapshotPart>) -> Result<(), Status> {
    while let Some(part) = parts.message().await? {
        let Some(Part::Chunk(chunk)) = part.part else { return Err(malformed("a snapshot has one header")) };
        arriving.write(chunk).await.map_err(failed)?;
        if arriving.length() > length {
            return Err(malformed(format!("snapshot is longer than the {length} bytes announced")));
        }
    }
    if arriving.length() < length {
        return Err(malformed(format!("snapshot ended after {} of {length} bytes", arriving.length())));
    }
    arriving.sync().await.map_err(failed)
}

fn answer<T: Serialize>(answered: io::Result<T>) -> Result<Response<RaftMessage>, Status> {
    answered.map(|answer| Response::new(encode(&answer))).map_err(failed)
}

fn failed(error: io::Error) -> Status {
    match error.kind() {
        io::ErrorKind::InvalidData => malformed(error),
        _ => Status::unavailable(error.to_string()),
    }
}

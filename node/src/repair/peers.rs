//! Asking the other members for what was lost here. Nothing that comes back is believed before it has proven itself.

use crate::engine::values::ValueKey;
use crate::repair::checks::{CATCH_UP, Digest};
use node_domain::ids::{EnvironmentName, Revision};
use node_domain::sealed::Payload;
use proto::peer::v1 as peer;
use proto::peer::v1::repair_client::RepairClient;
use proto_record::chain::Link;
use proto_record::codec::{self, Kind};
use raft::transport::grpc::PeerChannels;
use raft::{Member, Replica};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use storage::Disk;
use storage::journal::Block;
use tonic::Status;
use tonic::transport::Channel;

/// How long a member may take to answer a question, and between two pieces of an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a member may take to say what its digest was.
const DIGEST_PATIENCE: Duration = CATCH_UP.saturating_mul(2);
/// How long a member may take to make a snapshot before it sends one.
const SNAPSHOT_PATIENCE: Duration = Duration::from_secs(120);
/// Records asked for at once take no more than this, in bytes.
const RECORDS_BYTES_MAX: usize = 64 << 20;
/// The largest message that is taken.
const MESSAGE_BYTES_MAX: usize = 32 << 20;

/// The other members.
#[derive(Clone)]
pub(crate) struct RepairPeers {
    channels: PeerChannels,
    members: Members,
}

#[derive(Clone)]
enum Members {
    /// As replication knows them.
    Now(Replica),
    /// As they were when replication last ran.
    Remembered(Arc<BTreeMap<u64, Member>>),
}

impl RepairPeers {
    pub(crate) fn new(channels: PeerChannels, replica: Replica) -> RepairPeers {
        RepairPeers { channels, members: Members::Now(replica) }
    }

    pub(crate) fn remembered(channels: PeerChannels, members: BTreeMap<u64, Member>) -> RepairPeers {
        RepairPeers { channels, members: Members::Remembered(Arc::new(members)) }
    }

    /// Every member but this node.
    pub(crate) fn others(&self) -> BTreeMap<u64, Member> {
        let mut members = match &self.members {
            Members::Now(replica) => replica.members().into_iter().map(|(id, state)| (id, state.member)).collect(),
            Members::Remembered(members) => BTreeMap::clone(members),
        };
        members.remove(&self.channels.id());
        members
    }

    fn client(&self, id: u64, member: &Member) -> RepairClient<Channel> {
        RepairClient::new(self.channels.shared(id, &member.peer_address)).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// The sealed bytes of a version from whoever has bytes that `fits` takes.
    pub(crate) async fn value(
        &self,
        environment: &EnvironmentName,
        key: ValueKey,
        fits: impl Fn(&Payload) -> bool,
    ) -> Result<Payload, String> {
        let mut answers = Vec::new();
        for (id, member) in self.others() {
            let request = peer::ValueRequest { environment: environment.as_str().to_owned(), secret: key.0.0, version: key.1 };
            let mut client = self.client(id, &member);
            match within(PATIENCE, client.value(request)).await.map(tonic::Response::into_inner) {
                Ok(answer) if answer.sealed.is_empty() => answers.push(format!("node {id} has no bytes for it")),
                Ok(answer) => match codec::decode::<Payload>(Kind::Row, &answer.sealed) {
                    Ok(payload) if fits(&payload) => return Ok(payload),
                    _ => answers.push(format!("node {id} has other bytes than the state names")),
                },
                Err(why) => answers.push(format!("node {id}: {why}")),
            }
        }
        Err(if answers.is_empty() { "there is no other member".to_owned() } else { answers.join("; ") })
    }

    /// What those members say the digest of their state was after a record. Who does not remember, or does not answer, says nothing.
    pub(crate) async fn digests(&self, members: Vec<(u64, Member)>, revision: Revision) -> Vec<Digest> {
        let request = peer::DigestRequest { revision: revision.0 };
        let asked = members.iter().map(|(id, member)| async move {
            let answer = within(DIGEST_PATIENCE, self.client(*id, member).digest(request)).await.ok()?.into_inner();
            Digest::try_from(&*answer.digest).ok()
        });
        futures::future::join_all(asked).await.into_iter().flatten().collect()
    }

    /// Which of the other members run, as far as they can be reached. Who refuses to answer runs, too.
    pub(crate) async fn running(&self) -> Vec<u64> {
        let others = self.others();
        let asked = others.iter().map(|(id, member)| async move {
            let answer = tokio::time::timeout(PATIENCE, self.client(*id, member).span(peer::SpanRequest {})).await;
            answer.is_ok_and(|answer| is_of_a_node(&answer)).then_some(*id)
        });
        futures::future::join_all(asked).await.into_iter().flatten().collect()
    }

    /// Which records each of the other members keeps, those that keep the oldest first.
    pub(crate) async fn spans(&self) -> Vec<(u64, Member, peer::SpanResponse)> {
        let mut spans = Vec::new();
        for (id, member) in self.others() {
            match within(PATIENCE, self.client(id, &member).span(peer::SpanRequest {})).await {
                Ok(answer) => spans.push((id, member, answer.into_inner())),
                Err(why) => tracing::debug!(node = id, why, "a member did not say which records it keeps"),
            }
        }
        spans.sort_by_key(|(_, _, span)| span.first_seq);
        spans
    }

    /// Records `from..to` of one member, chained.
    pub(crate) async fn records(&self, id: u64, member: &Member, from: u64, to: u64) -> Result<Block, String> {
        let request = peer::RecordsRequest { from_seq: from, to_seq: to };
        let mut pieces = within(PATIENCE, self.client(id, member).records(request)).await?.into_inner();
        let (mut before, mut leaves, mut bytes) = (None, Vec::new(), 0);
        while let Some(piece) = within(PATIENCE, pieces.message()).await? {
            if before.is_none() {
                before = Link::try_from(&*piece.chain_before).ok();
            }
            bytes += piece.leaves.iter().map(bytes::Bytes::len).sum::<usize>();
            leaves.extend(piece.leaves);
            if bytes > RECORDS_BYTES_MAX || leaves.len() as u64 > to - from {
                return Err("it sends more than was asked for".to_owned());
            }
        }
        let before = before.ok_or("it does not say which link the records follow")?;
        if leaves.len() as u64 != to - from {
            return Err(format!("it sent {} of {} records", leaves.len(), to - from));
        }
        Ok(Block::following(from, before, leaves))
    }

    /// Fetches a snapshot that holds at least the entry `index_min` into a fresh file at `path`; whoever gave it. Whether it is whole is
    /// for the caller to see.
    pub(crate) async fn snapshot(&self, id: u64, index_min: u64, disk: &Arc<dyn Disk>, path: &Path) -> Result<(), String> {
        let member = self.others().remove(&id).ok_or("it is no member")?;
        let request = peer::SnapshotRequest { index_min };
        let mut pieces = within(SNAPSHOT_PATIENCE, self.client(id, &member).snapshot(request)).await?.into_inner();
        if disk.exists(path).map_err(text)? {
            disk.remove(path).map_err(text)?;
        }
        let file = disk.create_new(path).map_err(text)?;
        let (mut offset, mut length) = (0, 0);
        while let Some(piece) = within(SNAPSHOT_PATIENCE, pieces.message()).await? {
            length = piece.length;
            file.write_all_at(&piece.chunk, offset).map_err(text)?;
            offset += piece.chunk.len() as u64;
        }
        if offset == 0 || offset != length {
            return Err(format!("it sent {offset} of {length} bytes"));
        }
        file.sync_data().map_err(text)
    }
}

/// Whether a node gave this answer. What stands for a connection that did not come about is none, and that has more than one code.
fn is_of_a_node<T>(answer: &Result<T, Status>) -> bool {
    use tonic::Code::{InvalidArgument, PermissionDenied, ResourceExhausted, Unauthenticated};
    let refusals = [InvalidArgument, PermissionDenied, ResourceExhausted, Unauthenticated];
    answer.as_ref().map_or_else(|status| refusals.contains(&status.code()), |_| true)
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

async fn within<T>(patience: Duration, call: impl Future<Output = Result<T, Status>>) -> Result<T, String> {
    match tokio::time::timeout(patience, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(status)) => Err(status.message().to_owned()),
        Err(_) => Err(format!("no answer within {patience:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_node_says_is_an_answer() {
        assert!(is_of_a_node(&Ok(())));
        assert!(is_of_a_node::<()>(&Err(Status::permission_denied("not a member"))));
        for status in
            [Status::unavailable("refused"), Status::unknown("timed out"), Status::cancelled(""), Status::internal("reset")]
        {
            assert!(!is_of_a_node::<()>(&Err(status)));
        }
    }
}

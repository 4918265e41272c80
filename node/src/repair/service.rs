//! The service for members that lost something: records, sealed values, snapshots.

use crate::engine::snapshots::Snapshots;
use crate::engine::values::Values;
use crate::repair::checks::Digests;
use futures::{Stream, stream};
use node_domain::ids::{EnvironmentName, Revision, SecretId};
use proto::peer::v1 as peer;
use proto::peer::v1::repair_server::{Repair, RepairServer};
use proto_record::codec::{self, Kind};
use raft::transport::grpc::PeerIdentity;
use raft::{Replica, SnapshotFile, snapshot_index};
use std::pin::Pin;
use std::sync::Arc;
use storage::journal::{Journal, JournalError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::{Request, Response, Status};

/// Records in one piece.
const PIECE_RECORDS: usize = 1024;
/// Leaf bytes in one piece; one record may come on top.
const PIECE_BYTES: usize = 1 << 20;
/// Records that may be asked for at once.
const RECORDS_MAX: u64 = 1 << 16;
/// One piece of a snapshot.
const CHUNK_BYTES: usize = 1 << 20;
/// Streams under way at once: who repairs must not take the disk from who serves.
const STREAMS_MAX: usize = 2;

/// What a node gives to others.
pub(crate) struct RepairService {
    pub(crate) journal: Journal,
    pub(crate) values: Arc<Values>,
    pub(crate) snapshots: Arc<Snapshots>,
    pub(crate) replica: Replica,
    digests: Arc<Digests>,
    streams: Arc<Semaphore>,
}

type Pieces<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The service on the port for other nodes.
pub(crate) fn repair_service(
    journal: Journal,
    values: Arc<Values>,
    snapshots: Arc<Snapshots>,
    replica: Replica,
    digests: Arc<Digests>,
) -> RepairServer<RepairService> {
    let streams = Arc::new(Semaphore::new(STREAMS_MAX));
    RepairServer::new(RepairService { journal, values, snapshots, replica, digests, streams })
}

/// What a node keeps of the journal.
///
/// # Errors
/// In words, when its directory cannot be read.
pub(crate) async fn span_of(journal: &Journal) -> Result<peer::SpanResponse, String> {
    let journal = journal.clone();
    let span = raft::offload(move || {
        let aside_seq = journal.oldest_aside()?;
        let head = journal.head();
        Ok(peer::SpanResponse { first_seq: head.first_seq, next_seq: head.next_seq, aside_seq })
    });
    span.await.map_err(|error| error.to_string())?.map_err(|error: JournalError| error.to_string())
}

impl RepairService {
    /// A certificate alone is not enough: a node that was removed still has one.
    fn check_member<T>(&self, request: &Request<T>) -> Result<(), Status> {
        let PeerIdentity(id) =
            request.extensions().get::<PeerIdentity>().ok_or_else(|| Status::unauthenticated("the caller has no certificate"))?;
        if self.replica.members().contains_key(id) {
            return Ok(());
        }
        Err(Status::permission_denied(format!("node {id} is not a member of this cluster")))
    }
}

#[tonic::async_trait]
impl Repair for RepairService {
    async fn span(&self, request: Request<peer::SpanRequest>) -> Result<Response<peer::SpanResponse>, Status> {
        self.check_member(&request)?;
        span_of(&self.journal).await.map(Response::new).map_err(Status::unavailable)
    }

    type RecordsStream = Pieces<peer::RecordsPiece>;

    async fn records(&self, request: Request<peer::RecordsRequest>) -> Result<Response<Self::RecordsStream>, Status> {
        self.check_member(&request)?;
        let peer::RecordsRequest { from_seq, to_seq } = request.into_inner();
        if from_seq == 0 || to_seq < from_seq || to_seq - from_seq > RECORDS_MAX {
            return Err(Status::invalid_argument(format!("ask for up to {RECORDS_MAX} records, from 1 on")));
        }
        let permit = self.streams.clone().acquire_owned().await.map_err(|_| Status::unavailable("this node is stopping"))?;
        let journal = self.journal.clone();
        Ok(Response::new(pieces(from_seq, permit, move |next| read_records(&journal, next, to_seq))))
    }

    async fn value(&self, request: Request<peer::ValueRequest>) -> Result<Response<peer::ValueResponse>, Status> {
        self.check_member(&request)?;
        let peer::ValueRequest { environment, secret, version } = request.into_inner();
        let environment = EnvironmentName::parse(&environment).map_err(|bad| Status::invalid_argument(bad.to_string()))?;
        let values = self.values.clone();
        let found = raft::offload(move || values.find_uncached(&environment, (SecretId(secret), version))).await;
        let found = found.map_err(|error| Status::internal(error.to_string()))?;
        let found = found.map_err(|error| Status::data_loss(error.to_string()))?;
        let sealed = found.map(|payload| codec::encode(Kind::Row, &*payload)).unwrap_or_default();
        Ok(Response::new(peer::ValueResponse { sealed: sealed.into() }))
    }

    async fn digest(&self, request: Request<peer::DigestRequest>) -> Result<Response<peer::DigestResponse>, Status> {
        self.check_member(&request)?;
        let digest = self.digests.soon_at(Revision(request.into_inner().revision)).await;
        Ok(Response::new(peer::DigestResponse { digest: digest.map(|digest| digest.to_vec().into()).unwrap_or_default() }))
    }

    type SnapshotStream = Pieces<peer::SnapshotPiece>;

    async fn snapshot(&self, request: Request<peer::SnapshotRequest>) -> Result<Response<Self::SnapshotStream>, Status> {
        self.check_member(&request)?;
        let index_min = request.into_inner().index_min;
        let permit = self.streams.clone().acquire_owned().await.map_err(|_| Status::unavailable("this node is stopping"))?;
        let mut file = self.newest(index_min).await?;
        if file.is_none() {
            self.replica.trigger_snapshot().await.map_err(|error| Status::unavailable(error.to_string()))?;
            file = self.newest(index_min).await?;
        }
        let behind = || Status::unavailable(format!("this node has not applied entry {index_min} yet"));
        let file = file.ok_or_else(behind)?;
        Ok(Response::new(pieces(0, permit, move |offset| read_file(&file, offset))))
    }
}

impl RepairService {
    /// The newest snapshot, if it holds entry `index_min`.
    async fn newest(&self, index_min: u64) -> Result<Option<SnapshotFile>, Status> {
        let snapshots = self.snapshots.clone();
        let opened = raft::offload(move || {
            let Some(stored) = snapshots.newest()? else { return Ok(None) };
            if snapshot_index(&stored.position)?.is_none_or(|index| index < index_min) {
                return Ok(None);
            }
            SnapshotFile::open(&*snapshots.disk(), stored.path).map(Some)
        });
        let opened: std::io::Result<_> = opened.await.map_err(|error| Status::internal(error.to_string()))?;
        opened.map_err(|error| Status::internal(error.to_string()))
    }
}

/// Piece after piece from `from` on, each read when the one before was sent: no thread waits for whoever is slow to take them. `read` gives a
/// piece and where the next one begins, and none at the end.
fn pieces<T: Send + 'static>(
    from: u64,
    permit: OwnedSemaphorePermit,
    read: impl Fn(u64) -> Result<Option<(T, u64)>, Status> + Send + Sync + 'static,
) -> Pieces<T> {
    let read = Arc::new(read);
    Box::pin(stream::try_unfold((from, permit), move |(next, permit)| {
        let read = read.clone();
        async move {
            let piece = raft::offload(move || read(next)).await.map_err(|error| Status::internal(error.to_string()))??;
            Ok(piece.map(|(piece, next)| (piece, (next, permit))))
        }
    }))
}

/// Records from `next` on, before `to`.
fn read_records(journal: &Journal, next: u64, to: u64) -> Result<Option<(peer::RecordsPiece, u64)>, Status> {
    if next >= to {
        return Ok(None);
    }
    let wanted = usize::try_from(to - next).unwrap_or(usize::MAX).min(PIECE_RECORDS);
    let read = journal.link_before(next).and_then(|link| Ok((link, journal.read(next, wanted, PIECE_BYTES)?)));
    let (link, records) = read.map_err(|error| Status::data_loss(error.to_string()))?;
    let Some(last) = records.last() else { return Ok(None) };
    let after = last.seq + 1;
    let leaves = records.into_iter().map(|record| record.leaf).collect();
    Ok(Some((peer::RecordsPiece { chain_before: link.to_vec().into(), leaves }, after)))
}

fn read_file(file: &SnapshotFile, offset: u64) -> Result<Option<(peer::SnapshotPiece, u64)>, Status> {
    if offset >= file.length() {
        return Ok(None);
    }
    let chunk = file.read(offset, CHUNK_BYTES).map_err(|error| Status::data_loss(error.to_string()))?;
    let next = offset + chunk.len() as u64;
    Ok(Some((peer::SnapshotPiece { chunk, length: file.length() }, next)))
}

//! Seal files between members: what a node tells the others, and how it asks them. Behind mutual TLS, and the keys are sealed besides.

use super::Custody;
use crate::engine::snapshots::Snapshots;
use crate::engine::{Published, Sealing};
use proto::peer::v1 as peer;
use proto::peer::v1::keys_client::KeysClient;
use proto::peer::v1::keys_server::{Keys, KeysServer};
use raft::transport::grpc::PeerChannels;
use raft::{MemberState, Replica};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tonic::{Request, Response, Status};

/// How long another member may take to answer; it makes a file durable meanwhile.
const PATIENCE: Duration = Duration::from_secs(5);

/// What this node needs of the ring, and where it lies.
#[derive(Clone)]
pub(crate) struct Holdings {
    pub(crate) custody: Arc<Custody>,
    pub(crate) sealing: Arc<Sealing>,
    pub(crate) snapshots: Arc<Snapshots>,
    pub(crate) published: Arc<Published>,
}

impl Holdings {
    /// Versions of the root key without which this node could not read something. Reads headers of files: blocking.
    pub(crate) fn needed(&self) -> std::io::Result<BTreeSet<u32>> {
        let mut needed = self.snapshots.roots()?;
        needed.extend(self.sealing.roots_in(&self.published.view().state));
        Ok(needed)
    }

    /// Takes another node's seal file.
    pub(crate) async fn adopt(&self, file: Vec<u8>, handover: Vec<u8>) -> Result<u64, String> {
        let holdings = self.clone();
        let adopted = raft::offload(move || {
            let needed = holdings.needed().map_err(|error| error.to_string())?;
            let root = holdings.sealing.root_version();
            holdings.custody.adopt(&file, &handover, &needed, root).map_err(|error| error.to_string())
        });
        adopted.await.map_err(|error| error.to_string())?
    }
}

/// The service on the port for other nodes.
pub(crate) fn keys_service(holdings: Holdings) -> KeysServer<KeysService> {
    KeysServer::new(KeysService { holdings })
}

pub(crate) struct KeysService {
    holdings: Holdings,
}

#[tonic::async_trait]
impl Keys for KeysService {
    async fn describe(&self, _request: Request<peer::DescribeRequest>) -> Result<Response<peer::DescribeResponse>, Status> {
        let holdings = self.holdings.clone();
        let needed = raft::offload(move || holdings.needed()).await;
        let needed = needed.map_err(|error| Status::internal(error.to_string()))?;
        let needed = needed.map_err(|error| Status::internal(error.to_string()))?;
        Ok(Response::new(peer::DescribeResponse {
            generation: self.holdings.custody.generation(),
            root_versions: self.holdings.custody.roots(),
            roots_needed: needed.into_iter().collect(),
        }))
    }

    async fn adopt(&self, request: Request<peer::AdoptRequest>) -> Result<Response<peer::AdoptResponse>, Status> {
        let peer::AdoptRequest { seal_file, handover } = request.into_inner();
        let adopted = self.holdings.adopt(seal_file.to_vec(), handover.to_vec()).await;
        adopted.map(|generation| Response::new(peer::AdoptResponse { generation })).map_err(Status::failed_precondition)
    }

    async fn fetch(&self, _request: Request<peer::FetchRequest>) -> Result<Response<peer::FetchResponse>, Status> {
        let (seal_file, handover) = self.holdings.custody.offer();
        Ok(Response::new(peer::FetchResponse { seal_file: seal_file.into(), handover: handover.into() }))
    }
}

/// The other members, as this node reaches them.
#[derive(Clone)]
pub(crate) struct Peers {
    replica: Replica,
    channels: PeerChannels,
}

impl Peers {
    pub(crate) fn new(replica: Replica, channels: PeerChannels) -> Peers {
        Peers { replica, channels }
    }

    /// Every member but this node, whether it votes or not.
    pub(crate) fn others(&self) -> Vec<MemberState> {
        self.replica.members().into_values().filter(|member| member.id != self.replica.id()).collect()
    }

    fn client(&self, member: &MemberState) -> KeysClient<tonic::transport::Channel> {
        KeysClient::new(self.channels.shared(member.id, &member.member.peer_address))
    }

    pub(crate) async fn describe(&self, member: &MemberState) -> Result<peer::DescribeResponse, String> {
        let mut client = self.client(member);
        within(member, client.describe(peer::DescribeRequest {})).await
    }

    pub(crate) async fn adopt(&self, member: &MemberState, file: &[u8], handover: &[u8]) -> Result<u64, String> {
        let mut client = self.client(member);
        let request = peer::AdoptRequest { seal_file: file.to_vec().into(), handover: handover.to_vec().into() };
        within(member, client.adopt(request)).await.map(|answer| answer.generation)
    }

    pub(crate) async fn fetch(&self, member: &MemberState) -> Result<(Vec<u8>, Vec<u8>), String> {
        let mut client = self.client(member);
        let answer = within(member, client.fetch(peer::FetchRequest {})).await?;
        Ok((answer.seal_file.to_vec(), answer.handover.to_vec()))
    }
}

async fn within<T>(member: &MemberState, call: impl Future<Output = Result<Response<T>, Status>>) -> Result<T, String> {
    let place = || format!("node {} at {}", member.id, member.member.peer_address);
    match tokio::time::timeout(PATIENCE, call).await {
        Ok(Ok(answer)) => Ok(answer.into_inner()),
        Ok(Err(status)) => Err(format!("{}: {}", place(), status.message())),
        Err(_) => Err(format!("{}: no answer within {PATIENCE:?}", place())),
    }
}

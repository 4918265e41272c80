//! A cluster in one process, over either transport.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures::future::select_all;
use raft::{
    Epoch, Machine, Member, ProposeError, Replica, ReplicaConfig, ReplicaStatus, Reply, Role,
    transport::{
        channel::Hub,
        grpc::{GrpcTransport, PeerChannels, PeerTls, raft_service, serve_peer},
    },
};
use storage::MemoryDisk;
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};
use tonic::service::Routes;

use super::{certificates::Authority, log::TestLog, machine::Memory, proxy::Links, soon};

/// Which transport a world stands on.
pub(crate) enum Net {
    Channel(Hub),
    Grpc { authority: Box<Authority>, links: Links, listeners: Mutex<BTreeMap<u64, std::net::TcpListener>> },
}

impl Net {
    pub(crate) fn channel() -> Net {
        Net::Channel(Hub::default())
    }

    pub(crate) fn grpc() -> Net {
        Net::Grpc { authority: Box::new(Authority::new()), links: Links::default(), listeners: Mutex::default() }
    }

    /// Nothing that `from` asks of `to` arrives.
    pub(crate) fn cut_one_way(&self, from: u64, to: u64) {
        match self {
            Net::Channel(hub) => hub.cut_one_way(from, to),
            Net::Grpc { links, .. } => links.cut_one_way(from, to),
        }
    }

    pub(crate) fn isolate(&self, id: u64, others: &[u64]) {
        for other in others {
            self.cut_one_way(id, *other);
            self.cut_one_way(*other, id);
        }
    }

    pub(crate) fn heal(&self) {
        match self {
            Net::Channel(hub) => hub.heal(),
            Net::Grpc { links, .. } => links.heal(),
        }
    }

    /// Where node `id` will be reached: it is bound from now on.
    fn member(&self, id: u64) -> Member {
        let peer_address = match self {
            Net::Channel(_) => format!("node-{id}"),
            Net::Grpc { listeners, .. } => {
                let mut listeners = listeners.lock().unwrap();
                let listener = listeners.entry(id).or_insert_with(|| {
                    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
                    listener.set_nonblocking(true).unwrap();
                    listener
                });
                listener.local_addr().unwrap().to_string()
            }
        };
        Member { peer_address, client_address: String::new(), zone: format!("zone-{id}") }
    }
}

/// One running node.
pub(crate) struct Node {
    pub(crate) replica: Replica,
    pub(crate) memory: Arc<Memory>,
    server: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
    wal: TestLog,
}

pub(crate) struct World {
    pub(crate) net: Net,
    pub(crate) nodes: BTreeMap<u64, Node>,
    config: ReplicaConfig,
    dir: TempDir,
    /// Where the logs are; on the real disk without it.
    disks: Option<BTreeMap<u64, MemoryDisk>>,
}

/// Slower than the defaults, for machines that build something else meanwhile.
pub(crate) fn patient() -> ReplicaConfig {
    ReplicaConfig {
        heartbeat: Duration::from_millis(100),
        election_min: Duration::from_millis(500),
        election_max: Duration::from_millis(1_000),
        snapshot_check: Duration::from_millis(50),
        ..ReplicaConfig::default()
    }
}

impl World {
    pub(crate) fn empty(net: Net, config: ReplicaConfig) -> World {
        World { net, nodes: BTreeMap::new(), config, dir: TempDir::new().unwrap(), disks: None }
    }

    /// As [`cluster`](World::cluster), with logs on disks whose faults are the test's.
    pub(crate) async fn cluster_on_memory_disks(net: Net, config: ReplicaConfig, count: u64) -> World {
        let mut world = World::empty(net, config);
        world.disks = Some((1..=count).map(|id| (id, MemoryDisk::new())).collect());
        world.found(count).await;
        world
    }

    /// The disk that the log of node `id` is on.
    pub(crate) fn disk(&self, id: u64) -> &MemoryDisk {
        &self.disks.as_ref().unwrap()[&id]
    }

    /// A cluster of nodes 1 to `count` that has elected a leader.
    pub(crate) async fn cluster(net: Net, config: ReplicaConfig, count: u64) -> World {
        let mut world = World::empty(net, config);
        world.found(count).await;
        world
    }

    async fn found(&mut self, count: u64) {
        for id in 1..=count {
            self.start(id).await;
        }
        let members = (1..=count).map(|id| (id, self.net.member(id))).collect();
        self.replica(1).initialize(members).await.unwrap();
        self.leader().await;
    }

    /// Starts node `id` on whatever its directory holds.
    pub(crate) async fn start(&mut self, id: u64) {
        let dir = self.node_dir(id);
        let memory = Memory::open(&dir.join("state"));
        let wal = match &self.disks {
            Some(disks) => TestLog::open_on(Arc::new(disks[&id].clone()), &dir.join("wal"), id),
            None => TestLog::open(&dir.join("wal"), id),
        };
        let member = self.net.member(id);
        let machine: Arc<dyn Machine> = memory.clone();
        let (replica, server) = match &self.net {
            Net::Channel(hub) => {
                let transport = hub.transport(id);
                let replica = Replica::start(id, self.config.clone(), wal.wal(), machine, transport).await.unwrap();
                hub.join(id, replica.inbox());
                (replica, None)
            }
            Net::Grpc { authority, links, listeners } => {
                let tls = Arc::new(PeerTls::new(id, &authority.credentials(id)).unwrap());
                let channels = PeerChannels::new(tls.clone(), Arc::new(links.dial_from(id)));
                let transport = GrpcTransport::new(channels, Epoch::default());
                let replica = Replica::start(id, self.config.clone(), wal.wal(), machine, transport).await.unwrap();
                let kept = listeners.lock().unwrap().get(&id).map(|listener| listener.try_clone().unwrap());
                let listener = TcpListener::from_std(kept.unwrap()).unwrap();
                let (stop, stopped) = oneshot::channel::<()>();
                let routes = Routes::new(raft_service(replica.inbox(), Epoch::default()));
                let serving = tokio::spawn(async move {
                    serve_peer(listener, tls, routes, async { drop(stopped.await) }).await.unwrap();
                });
                (replica, Some((stop, serving)))
            }
        };
        assert_eq!(member, self.net.member(id));
        self.nodes.insert(id, Node { replica, memory, server, wal });
    }

    /// Stops node `id`; its directory stays.
    pub(crate) async fn stop(&mut self, id: u64) {
        let node = self.nodes.remove(&id).unwrap();
        if let Net::Channel(hub) = &self.net {
            hub.leave(id);
        }
        if let Some((stop, serving)) = node.server {
            drop(stop);
            soon("the peer port to close", serving).await.unwrap();
        }
        soon("the replica to stop", node.replica.shutdown()).await;
        drop(node.replica);
        node.wal.close();
    }

    pub(crate) fn node_dir(&self, id: u64) -> PathBuf {
        self.dir.path().join(format!("node-{id}"))
    }

    pub(crate) fn member(&self, id: u64) -> Member {
        self.net.member(id)
    }

    pub(crate) fn replica(&self, id: u64) -> &Replica {
        &self.nodes[&id].replica
    }

    pub(crate) fn memory(&self, id: u64) -> &Memory {
        &self.nodes[&id].memory
    }

    pub(crate) fn ids(&self) -> Vec<u64> {
        self.nodes.keys().copied().collect()
    }

    /// The node that leads, once one does.
    pub(crate) async fn leader(&self) -> u64 {
        self.leader_among(&self.ids()).await
    }

    /// The one of `ids` that leads with a quorum behind it, once one does.
    pub(crate) async fn leader_among(&self, ids: &[u64]) -> u64 {
        let led = async {
            loop {
                let leader = self.elected_among(ids).await;
                if self.replica(leader).read_barrier().await.is_ok() {
                    return leader;
                }
            }
        };
        soon("a leader with a quorum", led).await
    }

    async fn elected_among(&self, ids: &[u64]) -> u64 {
        let waits = ids.iter().map(|id| {
            let mut role = self.replica(*id).watch_role();
            Box::pin(async move {
                role.wait_for(|role| matches!(role, Role::Leader { .. })).await.unwrap();
                *id
            })
        });
        select_all(waits).await.0
    }

    pub(crate) fn others(&self, leader: u64) -> Vec<u64> {
        self.ids().into_iter().filter(|id| *id != leader).collect()
    }

    /// Writes through the leader, and returns the index.
    pub(crate) async fn write(&self, payload: &'static str) -> u64 {
        let leader = self.leader().await;
        self.write_at(leader, payload).await
    }

    pub(crate) async fn write_at(&self, id: u64, payload: &'static str) -> u64 {
        let written = async {
            loop {
                match self.replica(id).propose(Bytes::from_static(payload.as_bytes())).await {
                    // It did not enter the log; on a busy machine answers may be late for a moment.
                    Err(ProposeError::NoQuorum) => drop(self.replica(id).read_barrier().await),
                    other => return other.unwrap(),
                }
            }
        };
        let (index, reply) = soon(&format!("{payload} to commit"), written).await;
        assert!(matches!(reply, Reply::Accepted { .. }), "{reply:?}");
        index
    }

    /// Waits until node `id` has applied `index`.
    pub(crate) async fn applied(&self, id: u64, index: u64) {
        let mut applied = self.replica(id).watch_applied();
        let event = applied.wait_for(|applied| *applied >= Some(index));
        soon(&format!("node {id} to apply {index}"), event).await.unwrap();
    }

    /// Waits until the status of node `id` is as wanted.
    pub(crate) async fn status(&self, id: u64, what: &str, wanted: impl Fn(&ReplicaStatus) -> bool + Send) {
        soon(what, self.replica(id).wait_for_status(wanted)).await.unwrap();
    }

    /// Every node has applied `index`, and all hold exactly `payloads`.
    pub(crate) async fn all_hold(&self, index: u64, payloads: &[&str]) {
        for id in self.ids() {
            self.applied(id, index).await;
            assert_eq!(self.memory(id).payloads(), payloads, "node {id}");
        }
    }

    pub(crate) async fn finish(mut self) {
        for id in self.ids() {
            self.stop(id).await;
        }
    }
}

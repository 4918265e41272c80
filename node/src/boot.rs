//! The composition root: puts one node together, and takes it apart in order.
//!
//! This file alone names the real clock, disk, network and entropy; tests boot the same function with others.

mod founding;
mod mending;
pub(crate) mod opening;
mod rescue;
mod tasks;

use crate::api::door::Door;
use crate::api::streams::Streams;
use crate::api::throttle::Throttle;
use crate::authn::Authn;
use crate::backups::{Backups, Saving};
use crate::certificates::Certificates;
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::engine::forward::{Forwarder, forward_service};
use crate::engine::materializer::Materializer;
use crate::engine::proposer::{self, Submission};
use crate::engine::rules::RuleChecker;
use crate::engine::stores::Stores;
use crate::engine::{Conduit, Published};
use crate::gate::Gate;
use crate::health::Health;
use crate::leadership;
use crate::managers::{self, Managed};
use crate::members::{self, AdmittedPeers};
use crate::network::{PeerNetwork, TcpNetwork};
use crate::repair::checks::Digests;
use crate::repair::peers::RepairPeers;
use crate::repair::service::repair_service;
use crate::repair::values::ValueRepair;
use crate::seal::desk::read_seal;
use crate::seal::kms::{Keeper, KeyServices, RealKeyServices};
use crate::seal::peers::{Holdings, Peers, keys_service};
use crate::seal::server::by_itself;
use crate::seal::service::SealService;
use crate::seal::{Custody, Rotation, SealDesk, Unsealed};
use crate::serve::{self, Services, Serving};
use node_domain::members::Build;
use opening::{Local, Opened, open_local, open_stores};
use raft::timeline::LogPayloads;
use raft::transport::grpc::{GrpcTransport, PeerChannels, PeerListener, PeerTls, raft_service, serve_peer};
use raft::{Replica, Role};
use rescue::Rescue;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;
use storage::journal::Journal;
use storage::wal::Wal;
use storage::{DataDirLock, Disk, RealDisk};
use storage_crypto::entropy::{Entropy, OsEntropy};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::service::interceptor::InterceptedService;

/// How long calls under way may take when the node stops.
const DRAIN: Duration = Duration::from_secs(10);
/// How long whoever still looks into the stores may take to let go of them.
const LETTING_GO: Duration = Duration::from_secs(10);

/// What a node finds around itself.
#[derive(Clone)]
pub struct Ambient {
    /// Where it keeps its log, journal and snapshots.
    pub disk: Arc<dyn Disk>,
    /// What it stamps records with when it leads.
    pub clock: Arc<dyn Clock>,
    /// Where keys and nonces come from.
    pub entropy: Arc<dyn Entropy>,
    /// Who keeps seal keys, where a service does.
    pub kms: Arc<dyn KeyServices>,
    /// How it reaches other nodes, and they reach it.
    pub peers: Arc<dyn PeerNetwork>,
    /// What it understands.
    pub build: Build,
}

impl Ambient {
    /// The machine's own.
    #[must_use]
    pub fn real() -> Ambient {
        Ambient {
            disk: Arc::new(RealDisk),
            clock: Arc::new(SystemClock),
            entropy: Arc::new(OsEntropy),
            kms: Arc::new(RealKeyServices),
            peers: Arc::new(TcpNetwork),
            build: members::build(),
        }
    }
}

/// Why a node did not start. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[error("{doing}: {cause}")]
pub struct BootError {
    /// What was being tried.
    pub doing: String,
    /// What went wrong.
    pub cause: String,
}

pub(crate) fn failed<E: std::fmt::Display>(doing: impl Into<String>) -> impl FnOnce(E) -> BootError {
    let doing = doing.into();
    move |cause| BootError { doing, cause: cause.to_string() }
}

/// A running node.
pub struct Node {
    id: u64,
    client_address: std::net::SocketAddr,
    routes: tonic::service::Routes,
    replica: Replica,
    published: Arc<Published>,
    gate: Gate,
    health: Arc<Health>,
    stop_clients: CancellationToken,
    stop_peers: CancellationToken,
    clients: JoinSet<Result<(), String>>,
    others: JoinSet<Result<(), String>>,
    wal: Wal,
    journal: Journal,
    materializer: Arc<Materializer>,
    stores: Weak<Stores>,
    custody: Arc<Custody>,
    digests: Arc<Digests>,
    _lock: DataDirLock,
}

/// Where a node listens, how it reaches the others, and the desk of its seal.
struct Ports {
    peer_listener: PeerListener,
    client_listener: TcpListener,
    certificates: Arc<Certificates>,
    channels: PeerChannels,
    desk: Arc<SealDesk>,
}

impl Node {
    /// Starts a node whose seal opens by itself, and returns when it has applied what it knows to be committed; who leads is found out
    /// later.
    ///
    /// # Errors
    /// When something it needs is missing, damaged, or belongs to another node or cluster, or when people are needed to unseal it.
    pub async fn boot(config: Config, ambient: Ambient) -> Result<Node, BootError> {
        let doing = || BootError { doing: "unseal".into(), cause: String::new() };
        let file = read_seal(&config.seal.file).map_err(|cause| BootError { cause, ..doing() })?;
        let missing = || BootError { cause: format!("seal file {} is missing", config.seal.file.display()), ..doing() };
        let file = file.ok_or_else(missing)?;
        let people = || BootError { cause: format!("a seal of kind {} needs holdfast operator unseal", file.kind()), ..doing() };
        let keeper = Keeper::new(&ambient, &config.seal);
        let unsealed = by_itself(&config, &keeper, &file).await.ok_or_else(people)?.map_err(failed("unseal"))?;
        let listener = std::net::TcpListener::bind(&config.listen.client).and_then(|listener| {
            listener.set_nonblocking(true)?;
            Ok(listener)
        });
        let listener = listener.map_err(failed(format!("setting listen.client: listen on {}", config.listen.client)))?;
        let desk = SealDesk::new(&config, &ambient, None).map_err(failed("the seal"))?;
        Node::boot_unsealed(config, ambient, unsealed, listener, Arc::new(desk)).await
    }

    /// Starts a node with its opened seal on a port that is bound already.
    pub(crate) async fn boot_unsealed(
        config: Config,
        ambient: Ambient,
        unsealed: Unsealed,
        client_listener: std::net::TcpListener,
        desk: Arc<SealDesk>,
    ) -> Result<Node, BootError> {
        let place = &config.listen.peer;
        let peer_listener = ambient.peers.listen(place).await;
        let peer_listener = peer_listener.map_err(failed(format!("setting listen.peer: listen on {place}")))?;
        let client_listener = TcpListener::from_std(client_listener).map_err(failed("listen.client"))?;
        let certificates = Arc::new(Certificates::load(&config.tls, config.node.id)?);
        let channels = PeerChannels::new(certificates.peer(), ambient.peers.dial());
        let rescue = Rescue::new(&config, &ambient, channels.clone());
        let settings = config.clone();
        let around = ambient.clone();
        // Logs are read: that does not belong on the threads that serve.
        let opening = raft::offload(move || {
            let local = open_local(&settings, &around, unsealed)?;
            let opened = open_stores(&settings, &around, &local, &rescue)?;
            Ok::<_, BootError>((local, opened))
        });
        let (local, opened) = opening.await.map_err(failed("open the data directory"))??;
        Self::connect(config, ambient, local, opened, Ports { peer_listener, client_listener, certificates, channels, desk })
            .await
    }

    async fn connect(config: Config, ambient: Ambient, local: Local, opened: Opened, ports: Ports) -> Result<Node, BootError> {
        let Ports { peer_listener, client_listener, certificates, channels, desk: seal_desk } = ports;
        let (id, published) = (local.owner.node, opened.published.clone());
        let replica_config = config.replication.replica(&storage_crypto::hex::encode(&local.owner.cluster));
        let transport = GrpcTransport::new(channels.clone(), opened.epoch.clone());
        let acknowledged = transport.acknowledged().clone();
        let replica = Replica::start(id, replica_config, opened.wal.clone(), opened.fold.clone(), transport).await;
        let replica = replica.map_err(failed("start replication"))?;
        let (desk, submissions) = mpsc::channel::<Submission>(proposer::QUEUE_MAX);
        let (stop_clients, stop_peers) = (CancellationToken::new(), CancellationToken::new());
        let (gate, mut others) = (Gate::new(id), JoinSet::new());
        tasks::decide_while_leading(&replica, &published, &ambient, submissions, &mut others);
        tasks::watch(&mut others, &opened.materializer, &opened.stores);
        let (custody, sealing) = (local.custody.clone(), local.sealing.clone());
        let backups = open_backups(&config, &ambient, &local, &opened, &replica)?;
        let snapshots = opened.snapshots.clone();
        let holdings = Holdings { custody: custody.clone(), sealing: sealing.clone(), snapshots, published: published.clone() };
        let routes = peer_routes(&replica, &desk, &holdings, &opened);
        serve_others(&mut others, peer_listener, certificates.peer(), routes, stop_peers.clone());
        let forwarder = Forwarder::new(channels.clone(), replica.watch_role());
        let conduit = Conduit::new(replica.clone(), published.clone(), desk, forwarder);
        let helpers = RepairPeers::new(channels.clone(), replica.clone());
        let door = open_door(&config, &ambient, &local, &opened, (conduit, helpers), &gate);
        founding::found_if_new(&config, &ambient, &local, &replica, &door, &mut others, &stop_peers)?;
        let peers = Peers::new(replica.clone(), channels);
        let rotation = Arc::new(Rotation::new(holdings, peers, replica.clone(), door.clone(), seal_desk.keeper().clone()));
        tasks::watch_logs(&config, &ambient, &replica, (acknowledged, door.clone()), &mut others);
        managers::start(Managed::new(&door, &replica, &rotation, &config), &mut others, &stop_clients);
        let (watched, clock) = (opened.wal.clone(), ambient.clock.clone());
        let health = Arc::new(Health::new(door.clone(), replica.clone(), watched, (clock, certificates.clone()), &config));
        tasks::start_managers(&ambient, &replica, &door, &health, &mut others, &stop_peers);
        tasks::keep_certificates(&certificates, &ambient, &door, &mut others, &stop_peers);
        mending::start(&config, &ambient, (&opened, &door), &replica, &mut others, &stop_peers);
        let saving = Arc::new(Saving::new(backups, door.clone(), config.backup.to.clone()));
        tasks::save_by_itself(&config, &ambient, &saving, &replica, &mut others, &stop_clients);
        let client_address = client_listener.local_addr().map_err(failed("listen.client"))?;
        let mut clients = JoinSet::new();
        seal_desk.unsealed(custody.clone(), sealing);
        let seal = SealService { desk: seal_desk, door: Some(door.clone()) };
        let connections_max = config.limits.connections_max;
        let services = Services { door, replica: replica.clone(), seal, rotation, saving, health: health.clone() };
        let routes = services.routes();
        let serving = Serving { routes: routes.clone(), health: health.clone(), connections_max };
        clients.spawn(serve::clients(client_listener, certificates.client(), serving, stop_clients.clone()));
        tracing::info!(node = id, zone = %local.identity.zone, client = %client_address, "node started");
        let Opened { wal, journal, materializer, stores, digests, .. } = opened;
        Ok(Node {
            id,
            client_address,
            routes,
            replica,
            published,
            gate,
            health,
            stop_clients,
            stop_peers,
            clients,
            others,
            wal,
            journal,
            materializer,
            stores,
            custody,
            digests,
            _lock: local.lock,
        })
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Where clients reach it.
    #[must_use]
    pub fn client_address(&self) -> std::net::SocketAddr {
        self.client_address
    }

    /// What clients are served with, for callers in this process: all but their connection, with its TLS, is as it is for others.
    #[must_use]
    pub fn routes(&self) -> tonic::service::Routes {
        self.routes.clone()
    }

    /// Its replica, for tests and tools that look deeper than a client may.
    #[must_use]
    pub fn replica(&self) -> &Replica {
        &self.replica
    }

    /// Whether it has applied the founding of its cluster and knows a leader.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.published.view().state.is_founded() && self.replica.leader().is_some()
    }

    /// How it is.
    pub(crate) fn health(&self) -> Arc<Health> {
        self.health.clone()
    }

    /// Revision, chain and digest of its applied state.
    #[must_use]
    pub fn standing(&self) -> (u64, [u8; 32], [u8; 32]) {
        let view = self.published.view();
        (view.state.revision().0, view.chain, view.state.digest())
    }

    /// The feature level of its applied state: what a build must understand to be a member.
    #[must_use]
    pub fn level(&self) -> u32 {
        self.published.view().state.members().level()
    }

    /// Waits until a part of the node ends by itself, and says why: the node should then be stopped.
    pub async fn failed(&mut self) -> String {
        let mut role = self.replica.watch_role();
        let ended = |ended: Option<Result<Result<(), String>, tokio::task::JoinError>>| match ended {
            Some(Ok(Err(reason))) => reason,
            Some(Err(error)) => error.to_string(),
            Some(Ok(Ok(()))) | None => "a part of the node ended".to_owned(),
        };
        loop {
            tokio::select! {
                done = self.clients.join_next() => return ended(done),
                done = self.others.join_next() => match done {
                    // Founding ends well once; everything else goes on for as long as the node.
                    Some(Ok(Ok(()))) => {}
                    done => return ended(done),
                },
                changed = role.changed() => {
                    if let Role::Stopped { reason } = &*role.borrow() {
                        return reason.clone();
                    }
                    if changed.is_err() {
                        return "replication ended".to_owned();
                    }
                }
            }
        }
    }

    /// Where it ended over a state that had come apart, or a database that is unusable, which starting again mends: what it is started
    /// again with.
    pub(crate) fn to_start_again(&self) -> Option<Unsealed> {
        let lost = self.stores.upgrade().is_some_and(|stores| stores.is_lost());
        (lost || self.digests.came_apart()).then(|| self.custody.unsealed())
    }

    /// Stops in order: hands leadership over, answers the calls under way, then replication, then the stores.
    pub async fn shutdown(self) {
        let _ = self.let_go().await;
    }

    /// As [`shutdown`](Node::shutdown), and says whether everything was let go of, so that the node can be opened again in this process.
    ///
    /// # Errors
    /// When something still holds the stores; the process should then end.
    pub(crate) async fn let_go(mut self) -> Result<(), String> {
        leadership::let_go(&self.replica).await;
        // Calls that come now are sent to another node; those under way are answered.
        self.gate.close();
        self.stop_clients.cancel();
        if tokio::time::timeout(DRAIN, drain(&mut self.clients)).await.is_err() {
            tracing::warn!("calls were still under way after {DRAIN:?} and are cut off");
            self.clients.abort_all();
        }
        self.stop_peers.cancel();
        self.replica.shutdown().await;
        self.others.abort_all();
        drain(&mut self.others).await;
        let (wal, journal, materializer) = (self.wal, self.journal, self.materializer);
        let closing = raft::offload(move || {
            if let Err(error) = journal.sync_blocking() {
                tracing::warn!(%error, "the journal was not synced; the log brings it up again");
            }
            if let Err(error) = materializer.flush() {
                tracing::warn!(%error, "the materialized state was not flushed; the log brings it up again");
            }
            drop(materializer);
            journal.close();
            wal.close();
        });
        if let Err(error) = closing.await {
            tracing::warn!(%error, "the stores did not close cleanly");
        }
        tracing::info!(node = self.id, "node stopped");
        // The replica holds the machine, and the machine the stores; the door of the health report holds them, too.
        drop(self.replica);
        drop(self.health);
        drop(self.routes);
        let deadline = tokio::time::Instant::now() + LETTING_GO;
        while self.stores.strong_count() > 0 {
            if tokio::time::Instant::now() > deadline {
                return Err("a call still holds the node's stores".to_owned());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }
}

/// Where snapshots lie on their way out.
fn open_backups(
    config: &Config,
    ambient: &Ambient,
    local: &Local,
    opened: &Opened,
    replica: &Replica,
) -> Result<Arc<Backups>, BootError> {
    let made_from = (opened.published.clone(), local.sealing.clone(), LogPayloads::new(opened.wal.clone()));
    let place = config.node.data.join("backups");
    let backups = Backups::new(ambient, place, replica.clone(), opened.snapshots.clone(), made_from);
    backups.map(Arc::new).map_err(failed("open the directory of backups"))
}

/// What the services share.
fn open_door(
    config: &Config,
    ambient: &Ambient,
    local: &Local,
    opened: &Opened,
    (conduit, peers): (Conduit, RepairPeers),
    gate: &Gate,
) -> Arc<Door> {
    Arc::new(Door {
        mending: ValueRepair { peers, fold: opened.fold.clone(), repairs: opened.repairs.clone() },
        node_id: local.owner.node,
        conduit,
        sealing: local.sealing.clone(),
        values: opened.values.clone(),
        journal: opened.journal.clone(),
        authn: Authn::new(&config.login, ambient.clock.clone()),
        rules: RuleChecker::default(),
        throttle: Throttle::new(&config.limits),
        streams: Streams::new(&config.limits),
        gate: gate.clone(),
    })
}

/// Replication, commands on their way to the leader, seal files, and what others lost.
fn peer_routes(
    replica: &Replica,
    desk: &mpsc::Sender<Submission>,
    holdings: &Holdings,
    opened: &Opened,
) -> tonic::service::Routes {
    let Opened { journal, values, snapshots, epoch, digests, .. } = opened;
    let admitted = AdmittedPeers(opened.published.clone());
    let repair = repair_service(journal.clone(), values.clone(), snapshots.clone(), replica.clone(), digests.clone());
    tonic::service::Routes::new(InterceptedService::new(raft_service(replica.inbox(), epoch.clone()), admitted.clone()))
        .add_service(InterceptedService::new(forward_service(desk.clone()), admitted.clone()))
        .add_service(InterceptedService::new(keys_service(holdings.clone()), admitted.clone()))
        .add_service(InterceptedService::new(repair, admitted))
}

fn serve_others(
    others: &mut JoinSet<Result<(), String>>,
    listener: PeerListener,
    tls: Arc<PeerTls>,
    routes: tonic::service::Routes,
    stop: CancellationToken,
) {
    others.spawn(async move {
        let served = serve_peer(listener, tls, routes, stop.cancelled_owned()).await;
        served.map_err(|error| format!("serve other nodes: {error}"))
    });
}

async fn drain(tasks: &mut JoinSet<Result<(), String>>) {
    while tasks.join_next().await.is_some() {}
}

pub(crate) fn read(key: &str, path: &Path) -> Result<Vec<u8>, BootError> {
    std::fs::read(path).map_err(failed(format!("setting {key}: read {}", path.display())))
}

//! The composition root: puts one node together, and takes it apart in order.
//!
//! This file alone names the real clock, disk, network and entropy; tests boot the same function with others.

use crate::api::door::Door;
use crate::api::throttle::Throttle;
use crate::bootstrap::Bootstrap;
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::engine::fold::Fold;
use crate::engine::forward::{Forwarder, forward_service};
use crate::engine::materializer::Materializer;
use crate::engine::proposer::{self, Proposer, Submission};
use crate::engine::rules::RuleChecker;
use crate::engine::snapshots::{Snapshots, Standing};
use crate::engine::stores::Stores;
use crate::engine::{Conduit, Published, Sealing, Values, View};
use crate::managers::alerts::AlertManager;
use crate::serve;
use node_domain::{Ask, Command, State};
use raft::transport::grpc::{GrpcTransport, PeerChannels, PeerCredentials, PeerTls, TcpDial, raft_service, serve_peer};
use raft::{Replica, Role};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use storage::journal::{Journal, JournalOptions};
use storage::wal::{Wal, WalOptions};
use storage::{DataDirLock, Disk, Identity, Owner, RealDisk};
use storage_crypto::entropy::{Entropy, OsEntropy};
use storage_crypto::key::Key;
use storage_crypto::seal_file::{SealFile, SealKey};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long a node that leads tries to hand over before it stops.
const HAND_OVER: Duration = Duration::from_secs(1);
/// How long calls under way may take when the node stops.
const DRAIN: Duration = Duration::from_secs(10);
/// How long one try to found the cluster may take.
const FOUNDING: Duration = Duration::from_secs(5);

/// What a node finds around itself.
#[derive(Clone)]
pub struct Ambient {
    /// Where it keeps its log, journal and snapshots.
    pub disk: Arc<dyn Disk>,
    /// What it stamps records with when it leads.
    pub clock: Arc<dyn Clock>,
    /// Where keys and nonces come from.
    pub entropy: Arc<dyn Entropy>,
}

impl Ambient {
    /// The machine's own.
    #[must_use]
    pub fn real() -> Ambient {
        Ambient { disk: Arc::new(RealDisk), clock: Arc::new(SystemClock), entropy: Arc::new(OsEntropy) }
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

fn failed<E: std::fmt::Display>(doing: impl Into<String>) -> impl FnOnce(E) -> BootError {
    let doing = doing.into();
    move |cause| BootError { doing, cause: cause.to_string() }
}

/// A running node.
pub struct Node {
    id: u64,
    client_address: std::net::SocketAddr,
    replica: Replica,
    published: Arc<Published>,
    stop_clients: CancellationToken,
    stop_peers: CancellationToken,
    clients: JoinSet<Result<(), String>>,
    others: JoinSet<Result<(), String>>,
    wal: Wal,
    journal: Journal,
    materializer: Arc<Materializer>,
    _lock: DataDirLock,
}

/// What belongs to this node before it talks to anybody.
struct Local {
    identity: Identity,
    lock: DataDirLock,
    owner: Owner,
    sealing: Arc<Sealing>,
    seal_key: SealKey,
    storage_key: Key,
}

/// The opened stores of a node, at the state of its newest snapshot.
struct Opened {
    wal: Wal,
    journal: Journal,
    values: Arc<Values>,
    materializer: Arc<Materializer>,
    published: Arc<Published>,
    fold: Arc<Fold>,
}

impl Node {
    /// Starts a node and returns when it has applied what it knows to be committed; who leads is found out later.
    ///
    /// # Errors
    /// When something it needs is missing, damaged, or belongs to another node or cluster.
    pub async fn boot(config: Config, ambient: Ambient) -> Result<Node, BootError> {
        let peer_listener = listen("listen.peer", &config.listen.peer).await?;
        let client_listener = listen("listen.client", &config.listen.client).await?;
        let settings = config.clone();
        let around = ambient.clone();
        // Keys are stretched and logs are read: neither belongs on the threads that serve.
        let opening = tokio::task::spawn_blocking(move || {
            let local = open_local(&settings, &around)?;
            let opened = open_stores(&settings, &around, &local)?;
            Ok::<_, BootError>((local, opened))
        });
        let (local, opened) = opening.await.map_err(failed("open the data directory"))??;
        Self::connect(config, ambient, local, opened, peer_listener, client_listener).await
    }

    async fn connect(
        config: Config,
        ambient: Ambient,
        local: Local,
        opened: Opened,
        peer_listener: TcpListener,
        client_listener: TcpListener,
    ) -> Result<Node, BootError> {
        let Opened { wal, journal, values, materializer, published, fold } = opened;
        let id = local.owner.node;
        let channels = PeerChannels::new(peer_tls(&config, id)?, Arc::new(TcpDial));
        let tls = peer_tls(&config, id)?;
        let replica_config = config.replication.replica(&storage_crypto::hex::encode(&local.owner.cluster));
        let transport = GrpcTransport::new(channels.clone());
        let replica =
            Replica::start(id, replica_config, wal.clone(), fold, transport).await.map_err(failed("start replication"))?;

        let (desk, submissions) = mpsc::channel::<Submission>(proposer::QUEUE_MAX);
        let (stop_clients, stop_peers) = (CancellationToken::new(), CancellationToken::new());
        let mut others = JoinSet::new();
        let proposer = Proposer::new(replica.clone(), published.clone(), ambient.clock.clone());
        others.spawn(async move {
            proposer.run(submissions).await;
            Ok(())
        });
        watch_materializer(&materializer, &mut others);
        start_peers(peer_listener, tls, &replica, &desk, &mut others, &stop_peers);
        let conduit = Conduit::new(replica.clone(), published.clone(), desk, Forwarder::new(channels));
        let door = Arc::new(Door {
            node_id: id,
            conduit,
            sealing: local.sealing.clone(),
            values,
            journal: journal.clone(),
            rules: RuleChecker::default(),
            throttle: Throttle::new(&config.limits),
            stopping: stop_clients.clone(),
        });
        found_if_new(&config, &ambient, &local, &replica, &door, &mut others, &stop_peers)?;

        start_managers(&ambient, &replica, &door, &mut others, &stop_peers);
        let client_address = client_listener.local_addr().map_err(failed("listen.client"))?;
        let identity = client_identity(&config)?;
        let mut clients = JoinSet::new();
        clients.spawn(serve::clients(
            client_listener,
            identity,
            door,
            replica.clone(),
            config.limits.connections_max,
            stop_clients.clone(),
        ));
        tracing::info!(node = id, zone = %local.identity.zone, client = %client_address, "node started");
        Ok(Node {
            id,
            client_address,
            replica,
            published,
            stop_clients,
            stop_peers,
            clients,
            others,
            wal,
            journal,
            materializer,
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

    /// Revision, chain and digest of its applied state.
    #[must_use]
    pub fn standing(&self) -> (u64, [u8; 32], [u8; 32]) {
        let view = self.published.view();
        (view.state.revision().0, view.chain, view.state.digest())
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

    /// Stops in order: hands leadership over, answers the calls under way, then replication, then the stores.
    pub async fn shutdown(mut self) {
        self.hand_over().await;
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
        let closing = tokio::task::spawn_blocking(move || {
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
    }

    async fn hand_over(&self) {
        if !matches!(*self.replica.watch_role().borrow(), Role::Leader { .. }) {
            return;
        }
        let status = self.replica.status();
        let members = self.replica.members();
        let voters = status.followers.into_iter().filter(|follower| members.get(&follower.id).is_some_and(|member| member.voter));
        let Some(next) = voters.min_by_key(|follower| follower.lag) else { return };
        match tokio::time::timeout(HAND_OVER, self.replica.transfer_leader(next.id)).await {
            Ok(Ok(())) => tracing::info!(to = next.id, "handed leadership over"),
            Ok(Err(error)) => tracing::warn!(%error, "could not hand leadership over"),
            Err(_) => tracing::warn!("nobody took leadership over in time"),
        }
    }
}

async fn drain(tasks: &mut JoinSet<Result<(), String>>) {
    while tasks.join_next().await.is_some() {}
}

async fn listen(key: &str, address: &str) -> Result<TcpListener, BootError> {
    TcpListener::bind(address).await.map_err(failed(format!("setting {key}: listen on {address}")))
}

fn read(key: &str, path: &Path) -> Result<Vec<u8>, BootError> {
    std::fs::read(path).map_err(failed(format!("setting {key}: read {}", path.display())))
}

fn peer_tls(config: &Config, id: u64) -> Result<Arc<PeerTls>, BootError> {
    let credentials = PeerCredentials {
        ca_pem: read("tls.ca", &config.tls.ca)?,
        cert_pem: read("tls.peer_certificate", &config.tls.peer_certificate)?,
        key_pem: read("tls.peer_key", &config.tls.peer_key)?,
    };
    Ok(Arc::new(PeerTls::new(id, &credentials).map_err(failed("certificates between nodes"))?))
}

/// Unseals: key file → root key, and identity → storage key. Everything that belongs to somebody else is found here.
fn open_local(config: &Config, ambient: &Ambient) -> Result<Local, BootError> {
    let text = zeroize::Zeroizing::new(read("seal.key_file", &config.seal.key_file)?);
    let text = std::str::from_utf8(&text).map_err(failed("setting seal.key_file"))?;
    let seal_key = SealKey::from_key_file(text).map_err(failed(format!("seal key {}", config.seal.key_file.display())))?;
    let doing = || format!("seal file {}", config.seal.file.display());
    let seal_file = SealFile::parse(&read("seal.file", &config.seal.file)?).map_err(failed(doing()))?;
    let cluster = seal_file.cluster().map_err(failed(doing()))?;
    let root = seal_file.open(&seal_key).map_err(failed(doing()))?;
    let lock = DataDirLock::acquire(&config.node.data).map_err(failed("lock the data directory"))?;
    let identity = Identity::open(&*ambient.disk, &config.node.data, seal_key.key(), Some(&cluster));
    let identity = identity.map_err(failed("identity of this node"))?;
    if identity.node != config.node.id {
        let cause =
            format!("{} is the data of node {}, not of node {}", config.node.data.display(), identity.node, config.node.id);
        return Err(BootError { doing: "setting node.id".into(), cause });
    }
    let sealing = Arc::new(Sealing::new(cluster, root, ambient.entropy.clone()));
    let storage_key = identity.storage_key.duplicate();
    let owner = identity.owner();
    Ok(Local { identity, lock, owner, sealing, seal_key, storage_key })
}

fn open_stores(config: &Config, ambient: &Ambient, local: &Local) -> Result<Opened, BootError> {
    let data = &config.node.data;
    let key = |context| local.storage_key.derive(context, &local.owner.cluster);
    let segment_bytes = config.storage.segment_bytes;
    let wal_options = WalOptions { segment_bytes, entropy: ambient.entropy.clone(), ..WalOptions::default() };
    let (wal, _) = Wal::open(ambient.disk.clone(), &data.join("wal"), key("holdfast/v1/storage/wal"), local.owner, wal_options)
        .map_err(failed("open the write-ahead log"))?;
    let journal_options = JournalOptions { segment_bytes, entropy: ambient.entropy.clone(), ..JournalOptions::default() };
    let (journal, _) = Journal::open(
        ambient.disk.clone(),
        &data.join("journal"),
        key("holdfast/v1/storage/journal"),
        local.owner,
        journal_options,
    )
    .map_err(failed("open the journal"))?;
    let stores = Arc::new(Stores::new(data.join("state"), key("holdfast/v1/storage/state"), local.owner));
    let values = Arc::new(Values::new(stores.clone(), config.storage.value_cache_bytes));
    let materializer = Arc::new(Materializer::start(stores.clone(), values.clone()).map_err(failed("start the materializer"))?);
    let snapshots = Snapshots::open(ambient, data.join("snapshots"), local.sealing.snapshot_key(), local.owner, stores)
        .map_err(failed("open the snapshots"))?;
    let snapshots = Arc::new(snapshots);
    let standing = snapshots.restore_newest(&materializer, &values).map_err(failed("restore the newest snapshot"))?;
    let Standing { state, chain } = standing.unwrap_or_else(|| Standing::before_everything(State::empty(local.owner.cluster)));
    let head = journal.head();
    if head.next_seq == 0 || head.next_seq <= state.revision().0 {
        if state.revision().0 > 0 {
            // A crash between taking over a leader's snapshot and starting the journal behind it.
            tracing::warn!(
                journal = head.next_seq,
                snapshot = state.revision().0,
                "the journal ends before the snapshot: it goes on behind it"
            );
        }
        journal.reset(state.revision().0 + 1, chain).map_err(failed("start the journal"))?;
    }
    let view = View { state, chain };
    local.sealing.check(&view).map_err(failed("unseal"))?;
    let published = Arc::new(Published::new(view.clone()));
    let fold = Fold::new(view, published.clone(), journal.clone(), values.clone(), materializer.clone(), snapshots);
    Ok(Opened { wal, journal, values, materializer, published, fold: Arc::new(fold) })
}

/// What the node shows clients.
fn client_identity(config: &Config) -> Result<tonic::transport::Identity, BootError> {
    let certificate = read("tls.client_certificate", &config.tls.client_certificate)?;
    Ok(tonic::transport::Identity::from_pem(certificate, read("tls.client_key", &config.tls.client_key)?))
}

/// A materializer that fails ends the node.
fn watch_materializer(materializer: &Materializer, tasks: &mut JoinSet<Result<(), String>>) {
    let mut failure = materializer.watch_failure();
    tasks.spawn(async move {
        let failed = failure.wait_for(Option::is_some).await.map(|reason| reason.clone().unwrap_or_default());
        Err(failed.unwrap_or_else(|_| "the materializer ended".to_owned()))
    });
}

/// What the node does by itself while it leads.
fn start_managers(
    ambient: &Ambient,
    replica: &Replica,
    door: &Arc<Door>,
    tasks: &mut JoinSet<Result<(), String>>,
    stop: &CancellationToken,
) {
    let alerts = AlertManager::new(door.clone(), replica.clone(), ambient.clock.clone());
    let stop = stop.clone();
    tasks.spawn(async move {
        alerts.run(stop).await;
        Ok(())
    });
}

/// Serves the other nodes until `stop`.
fn start_peers(
    listener: TcpListener,
    tls: Arc<PeerTls>,
    replica: &Replica,
    desk: &mpsc::Sender<Submission>,
    tasks: &mut JoinSet<Result<(), String>>,
    stop: &CancellationToken,
) {
    let routes = tonic::service::Routes::new(raft_service(replica.inbox())).add_service(forward_service(desk.clone()));
    let stop = stop.clone().cancelled_owned();
    tasks.spawn(
        async move { serve_peer(listener, tls, routes, stop).await.map_err(|error| format!("serve other nodes: {error}")) },
    );
}

/// Where the kit left a bootstrap, founds the cluster: tells the members who they are, and has the first record made.
fn found_if_new(
    config: &Config,
    ambient: &Ambient,
    local: &Local,
    replica: &Replica,
    door: &Arc<Door>,
    tasks: &mut JoinSet<Result<(), String>>,
    stop: &CancellationToken,
) -> Result<(), BootError> {
    let data = config.node.data.clone();
    let bootstrap = Bootstrap::read(&data, &local.owner.cluster, local.seal_key.key()).map_err(failed("read the bootstrap"))?;
    let Some(bootstrap) = bootstrap else { return Ok(()) };
    let (replica, door, disk, stop) = (replica.clone(), door.clone(), ambient.disk.clone(), stop.clone());
    tasks.spawn(async move {
        tokio::select! {
            () = stop.cancelled() => Ok(()),
            founded = found(&replica, &door, bootstrap) => {
                founded?;
                Bootstrap::use_up(&*disk, &data).map_err(|error| format!("use up the bootstrap: {error}"))
            }
        }
    });
    Ok(())
}

async fn found(replica: &Replica, door: &Door, bootstrap: Bootstrap) -> Result<(), String> {
    match replica.initialize(bootstrap.members).await {
        // A node that stopped halfway goes on from here.
        Ok(()) | Err(raft::MembershipError::AlreadyFounded) => {}
        Err(error) => return Err(format!("found the cluster: {error}")),
    }
    loop {
        let ask = Ask {
            credential: None,
            request: uuid::Uuid::new_v4().into_bytes(),
            fingerprint: 0,
            source: format!("{}/kit", door.node_id),
            address: None,
        };
        let command = Command::Found(Box::new(bootstrap.founding.clone()));
        match door.conduit.submit(ask, command, tokio::time::Instant::now() + FOUNDING).await {
            // A refusal says that it was founded before: by this node, before it stopped halfway.
            Ok((decided, _)) => {
                tracing::info!(index = decided.index, founded = decided.answer.is_ok(), "the cluster is founded");
                return Ok(());
            }
            Err(lost) => tracing::info!(%lost, "waiting for a quorum to found the cluster"),
        }
    }
}

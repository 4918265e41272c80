//! The stage: a new cluster of real processes, each with an address and a disk of its own, and everything needed to take it down again.

pub(crate) mod cpu;
pub(crate) mod disk;
pub(crate) mod means;
pub(crate) mod node;
pub(crate) mod throttle;
pub(crate) mod wire;

use std::{
    collections::BTreeMap,
    net::TcpListener,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use proto_client::{Client, ClientConfig, Token, v1};
use rustix::process::Signal;

use crate::{
    shell,
    stage::{
        disk::LoopDisk,
        means::{Means, Need},
        node::{Node, Place},
        throttle::Throttle,
        wire::{Port, Wire},
    },
    trouble::Trouble,
};

/// How long a cluster may take until every node answers, on a busy machine.
pub(crate) const READY: Duration = Duration::from_secs(90);
/// One question whether a node answers, and the wait before the next.
const ASKED: Duration = Duration::from_secs(2);
const ASKED_AGAIN: Duration = Duration::from_millis(50);
/// Size of a node's disk.
const DISK_MEBIBYTES: u64 = 2_048;
/// Where nodes listen in their own network.
const CLIENT_PORT: u16 = 7100;
const PEER_PORT: u16 = 7200;
/// Our side of the switch.
const HOST: Port = 0;
const HOST_ADDRESS: u8 = 254;

/// A node that one fault at a time may touch.
pub(crate) type SharedNode = Arc<tokio::sync::Mutex<Node>>;

/// The cluster of one run.
#[derive(Debug)]
pub(crate) struct Stage {
    directory: PathBuf,
    kit: PathBuf,
    pub(crate) binary: PathBuf,
    nodes: Mutex<BTreeMap<u64, SharedNode>>,
    /// CPU time of nodes that were taken away.
    cpu_of_gone: Mutex<Duration>,
    /// The network, where nodes have one of their own.
    pub(crate) wire: OnceLock<Wire>,
    /// What was made in the system so far, and is to be undone however far the run came.
    made: Mutex<Made>,
    means: Means,
    settings: Vec<String>,
    /// Begins the names of everything that we make in the system.
    name: String,
    /// The third byte of the addresses.
    subnet: u8,
}

/// Things in the system that outlive a process.
#[derive(Debug, Default)]
struct Made {
    namespaces: Vec<String>,
    disks: Vec<LoopDisk>,
}

impl Stage {
    /// A stage in `directory` on which nothing stands yet.
    pub(crate) fn empty(directory: &Path, binary: &Path, means: &Means, settings: &[String]) -> Stage {
        let process = std::process::id();
        Stage {
            directory: directory.to_owned(),
            kit: directory.join("kit"),
            binary: binary.to_owned(),
            nodes: Mutex::default(),
            cpu_of_gone: Mutex::default(),
            wire: OnceLock::new(),
            made: Mutex::default(),
            means: means.clone(),
            settings: settings.to_vec(),
            name: format!("hfc{process}"),
            subnet: u8::try_from(process % 250).unwrap_or(0) + 1,
        }
    }

    /// Lays everything out for so many nodes, and starts none yet.
    pub(crate) async fn set_up(&self, count: u64, seed: u64) -> Result<(), Trouble> {
        if self.means.meets(Need::Network) {
            let wire = self.wire.get_or_init(|| Wire::new(seed));
            let tap = format!("{}h", self.name);
            wire.plug(HOST, &tap)?;
            let address = self.address(HOST_ADDRESS);
            shell::words(&format!("ip link set {tap} address {} mtu {}", wire::mac(HOST), wire::MTU)).await?;
            shell::words(&format!("ip addr add {address}/24 dev {tap}")).await?;
            shell::words(&format!("ip link set {tap} up")).await?;
        }
        let mut places = Vec::new();
        for id in 1..=count {
            places.push(self.place(id).await?);
        }
        self.make_kit(&places, false).await?;
        for place in places {
            self.furnish(place).await?;
        }
        Ok(())
    }

    fn made(&self) -> MutexGuard<'_, Made> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn address(&self, host: u8) -> String {
        format!("10.213.{}.{host}", self.subnet)
    }

    async fn place(&self, id: u64) -> Result<Place, Trouble> {
        let port = Port::try_from(id).ok().filter(|port| *port < HOST_ADDRESS);
        let port = port.ok_or_else(|| Trouble::unusable("a node", "this network is full"))?;
        let (namespace, client, peer) = match self.wire.get() {
            Some(wire) => {
                let address = self.address(port);
                let namespace = self.lay_cable(wire, port, &address).await?;
                (Some(namespace), format!("{address}:{CLIENT_PORT}"), format!("{address}:{PEER_PORT}"))
            }
            None => (None, free_address()?, free_address()?),
        };
        Ok(Place {
            id,
            zone: format!("zone-{id}"),
            client,
            peer,
            home: self.kit.join(format!("node{id}")),
            log: self.directory.join(format!("node{id}.log")),
            namespace,
            binary: self.binary.clone(),
        })
    }

    async fn lay_cable(&self, wire: &Wire, port: Port, address: &str) -> Result<String, Trouble> {
        let (namespace, tap) = (format!("{}-n{port}", self.name), format!("{}n{port}", self.name));
        wire.plug(port, &tap)?;
        self.made().namespaces.push(namespace.clone());
        shell::words(&format!("ip netns add {namespace}")).await?;
        shell::words(&format!("ip link set {tap} netns {namespace}")).await?;
        let within = format!("ip -n {namespace}");
        shell::words(&format!("{within} link set {tap} address {} mtu {}", wire::mac(port), wire::MTU)).await?;
        shell::words(&format!("{within} addr add {address}/24 dev {tap}")).await?;
        shell::words(&format!("{within} link set {tap} up")).await?;
        shell::words(&format!("{within} link set lo up")).await?;
        Ok(namespace)
    }

    async fn make_kit(&self, places: &[Place], add: bool) -> Result<(), Trouble> {
        let mut arguments = vec!["kit".to_owned(), "--out".to_owned(), self.kit.display().to_string()];
        if add {
            arguments.push("--add".to_owned());
        }
        for Place { id, zone, client, peer, .. } in places {
            arguments.push("--node".to_owned());
            arguments.push(format!("id={id},zone={zone},client={client},peer={peer}"));
        }
        shell::run(&self.binary.display().to_string(), arguments).await.map(drop)
    }

    /// Gives a node its disk, with what the kit laid out for it.
    async fn furnish(&self, place: Place) -> Result<SharedNode, Trouble> {
        let mut settings = vec!["log.level=info".to_owned()];
        settings.extend(self.settings.iter().cloned());
        let mut disk = None;
        if self.means.meets(Need::Disks) {
            let made = LoopDisk::new(&self.directory, &format!("disk{}", place.id));
            self.made().disks.push(made.clone());
            made.create(DISK_MEBIBYTES).await?;
            let data = made.path().join("data");
            shell::run("cp", ["-a".as_ref(), place.home.join("data").as_os_str(), data.as_os_str()]).await?;
            // An operator who moves a directory would not cut the power meanwhile.
            shell::run("sync", ["-f".as_ref(), data.as_os_str()]).await?;
            settings.push(format!("node.data={}", data.display()));
            disk = Some(made);
        }
        let throttle = match self.means.meets(Need::Throttle) {
            true => Some(Throttle::create(&format!("{}-n{}", self.name, place.id))?),
            false => None,
        };
        let id = place.id;
        let node = Arc::new(tokio::sync::Mutex::new(Node::new(place, disk, throttle, settings)));
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner).insert(id, node.clone());
        Ok(node)
    }

    /// Lays out and starts one more node, which the cluster still has to be told of. Ids are never used twice.
    pub(crate) async fn add_node(&self, id: u64) -> Result<(SharedNode, Place), Trouble> {
        let place = self.place(id).await?;
        self.make_kit(std::slice::from_ref(&place), true).await?;
        let node = self.furnish(place.clone()).await?;
        node.lock().await.start()?;
        Ok((node, place))
    }

    /// A node that is taken out of the cluster may end by itself.
    pub(crate) async fn expect_end(&self, id: u64) {
        let node = self.nodes().into_iter().find(|(known, _)| *known == id);
        if let Some((_, node)) = node {
            node.lock().await.is_meant_to_run = false;
        }
    }

    /// Takes a node away that the cluster has let go of.
    pub(crate) async fn take_away(&self, id: u64) -> Result<(), Trouble> {
        let node = self.nodes.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        let Some(node) = node else { return Ok(()) };
        let mut node = node.lock().await;
        node.kill().await?;
        *self.cpu_of_gone.lock().unwrap_or_else(PoisonError::into_inner) += node.cpu();
        if let Some(disk) = &node.disk {
            disk.unmount().await?;
            self.made().disks.retain(|made| made.path() != disk.path());
        }
        if let Some(namespace) = &node.place.namespace {
            shell::words(&format!("ip netns del {namespace}")).await?;
            self.made().namespaces.retain(|made| made != namespace);
        }
        Ok(())
    }

    /// All nodes, by id.
    pub(crate) fn nodes(&self) -> Vec<(u64, SharedNode)> {
        let nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        nodes.iter().map(|(id, node)| (*id, node.clone())).collect()
    }

    /// New certificates for a node, by the kit's authority, in place of those that it shows.
    pub(crate) async fn renew_certificates(&self, id: u64) -> Result<(), Trouble> {
        let (kit, id) = (self.kit.display().to_string(), id.to_string());
        shell::run(&self.binary.display().to_string(), ["kit", "--out", &kit, "--renew", "--id", &id]).await.map(drop)
    }

    /// The directory with the cluster's seal, and what opens it.
    pub(crate) fn seal(&self) -> PathBuf {
        self.kit.join("node1")
    }

    /// Where everything of it lies, the logs of all its nodes among it.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// A place for the files of one fault; it goes with the stage.
    pub(crate) fn aside(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// CPU time that all nodes took so far, over all their lives.
    pub(crate) async fn cpu(&self) -> Duration {
        let mut total = *self.cpu_of_gone.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, node) in self.nodes() {
            total += node.lock().await.cpu();
        }
        total
    }

    /// How to talk to the cluster, or to one of its nodes.
    pub(crate) async fn settings(&self, only: Option<u64>) -> Result<ClientConfig, Trouble> {
        let mut addresses = Vec::new();
        for (id, node) in self.nodes() {
            if only.is_none_or(|only| only == id) {
                addresses.push(node.lock().await.place.client.clone());
            }
        }
        self.settings_for(addresses)
    }

    /// How to talk to the nodes at these addresses.
    pub(crate) fn settings_for(&self, addresses: impl IntoIterator<Item = String>) -> Result<ClientConfig, Trouble> {
        let endpoints = addresses.into_iter().map(|address| format!("https://{address}"));
        let read = |name: &str| {
            let path = self.kit.join(name);
            std::fs::read(&path).map_err(Trouble::io("read", &path))
        };
        let token = String::from_utf8_lossy(&read("root-token")?).into_owned();
        let token = Token::parse(token).map_err(|error| Trouble::unusable("the kit's token", error))?;
        Ok(ClientConfig { ca_pem: Some(read("ca.pem")?), token: Some(token), ..ClientConfig::new(endpoints) })
    }

    /// A client of all nodes, or of one.
    pub(crate) async fn client(&self, only: Option<u64>) -> Result<Client, Trouble> {
        Client::connect(self.settings(only).await?).await.map_err(Trouble::cluster("connect to the cluster"))
    }

    /// Where the command line finds the cluster.
    pub(crate) fn client_toml(&self) -> PathBuf {
        self.kit.join("client.toml")
    }

    /// Undoes whatever a fault may have left behind: links, frozen, full, slow and unmounted disks, processes that stand still or
    /// do not run.
    pub(crate) async fn heal(&self) -> Result<(), Trouble> {
        if let Some(wire) = self.wire.get() {
            wire.heal();
        }
        for (_, node) in self.nodes() {
            let mut node = node.lock().await;
            node.signal(Signal::CONT);
            if let Some(disk) = node.disk.clone() {
                mend(&mut node, &disk).await?;
            }
            if !node.is_running() {
                node.start()?;
            }
        }
        Ok(())
    }

    /// Starts what does not run, and waits until every node answers.
    pub(crate) async fn all_answer(&self) -> Result<(), Trouble> {
        for (_, node) in self.nodes() {
            let mut node = node.lock().await;
            if !node.is_running() {
                node.start()?;
            }
        }
        for (id, node) in self.nodes() {
            let client = self.client(Some(id)).await?.with_timeout(ASKED);
            self.answers(id, &node, &client).await?;
        }
        Ok(())
    }

    async fn answers(&self, id: u64, node: &SharedNode, client: &Client) -> Result<(), Trouble> {
        let deadline = Instant::now() + READY;
        while let Err(error) = client.tokens().lookup_self(v1::LookupSelfRequest {}).await {
            let mut node = node.lock().await;
            let running = node.is_running();
            if !running || Instant::now() > deadline {
                let state = if running { "does not answer" } else { "has ended" };
                let why = format!("node {id} {state}: {error}\n{}", node.last_words(8));
                return Err(Trouble::Cluster { doing: "wait for the cluster", why });
            }
            drop(node);
            tokio::time::sleep(ASKED_AGAIN).await;
        }
        Ok(())
    }

    /// Ends every process, unmounts every disk and removes every namespace. What cannot be undone is told.
    pub(crate) async fn take_down(&mut self, keep: bool) -> Vec<String> {
        let mut left = Vec::new();
        for (_, node) in self.nodes() {
            let mut node = node.lock().await;
            if let Some(disk) = &node.disk {
                // A disk that hangs would keep its process from ending; one that does not hang says so here.
                let _ = disk.thaw().await;
            }
            node.begin_to_kill();
        }
        for (_, node) in self.nodes() {
            left.extend(node.lock().await.kill().await.err().map(|error| error.to_string()));
        }
        let made = std::mem::take(&mut *self.made());
        for disk in made.disks {
            if disk.device().await.is_ok() {
                left.extend(disk.unmount().await.err().map(|error| error.to_string()));
            }
        }
        for namespace in made.namespaces.iter().filter(|name| Path::new("/var/run/netns").join(name).exists()) {
            left.extend(shell::words(&format!("ip netns del {namespace}")).await.err().map(|error| error.to_string()));
        }
        self.wire = OnceLock::new();
        self.nodes = Mutex::default();
        if !keep && let Err(error) = std::fs::remove_dir_all(&self.directory) {
            left.push(format!("remove {}: {error}", self.directory.display()));
        }
        left
    }
}

/// Undoes what a fault may have done to a disk.
pub(crate) async fn mend(node: &mut Node, disk: &LoopDisk) -> Result<(), Trouble> {
    // What is not frozen cannot be thawed, and says so.
    let _ = disk.thaw().await;
    match disk.device().await {
        Ok(device) => node.throttle.iter().try_for_each(|throttle| throttle.writes_per_second(&device, 0))?,
        Err(_) => disk.mount().await?,
    }
    disk.empty()?;
    if disk.is_dead() {
        node.kill().await?;
        disk.unmount().await?;
        disk.mount().await?;
    }
    Ok(())
}

/// A free port on loopback, below the range that the system takes for outgoing connections: node after node gets the next one.
fn free_address() -> Result<String, Trouble> {
    use std::sync::atomic::{AtomicU16, Ordering};
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % 9_000).unwrap_or(0);
    for _ in 0..1_000 {
        let address = format!("127.0.0.1:{}", 13_000 + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 18_000);
        if TcpListener::bind(&address).is_ok() {
            return Ok(address);
        }
    }
    Err(Trouble::unusable("loopback", "no port is free"))
}

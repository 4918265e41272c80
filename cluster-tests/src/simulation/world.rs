//! The world: nodes with their disks, clocks and lives.

use super::chance::WorldEntropy;
use super::disk::{Decay, LifeDisk, Pace, Rotten, lay_down};
use super::network::{Life, Net};
use futures::FutureExt;
use node::boot::{Ambient, BootError, Node};
use node::clock::Clock;
use node::config::Config;
use node::kit::{self, NodePlan};
use node_domain::ids::Stamp;
use node_domain::members::Build;
use parking_lot::Mutex;
use proto::v1;
use raft::Role;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use storage::disk::memory::Faults;
use storage::{Disk, MemoryDisk};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tonic::service::Routes;

/// When simulated time begins, in microseconds since 1970. Certificates are checked by the machine's clock.
const BEGINNING_US: u64 = 1_790_000_000_000_000;
/// Short segments and few entries between snapshots: everything that happens rarely in production happens often here.
const SETTINGS: [&str; 5] = [
    "listen.client=127.0.0.1:0",
    "storage.segment_bytes=262144",
    "replication.snapshot_entries=60",
    "replication.entries_kept=10",
    "storage.value_cache_bytes=1048576",
];
/// What the first node founds the cluster from.
const BOOTSTRAP: &str = "bootstrap.sealed";
/// Addresses of nodes are made of it; only the network of a simulation has them.
const PORT: u16 = 7000;
/// What the builds at the beginning understand.
pub(super) const FIRST_LEVEL: u32 = 1;
/// What is left of a node without power may take so long to notice.
const UNDEAD: Duration = Duration::from_secs(120);

/// How callers reach the nodes that are up: their services, and their lives.
pub(super) type Doors = Arc<Mutex<BTreeMap<u64, (Routes, Life)>>>;

/// All nodes.
pub(super) struct World {
    home: tempfile::TempDir,
    pub(super) net: Net,
    pub(super) doors: Doors,
    pub(super) token: String,
    seats: BTreeMap<u64, Seat>,
    /// The highest number that a node has had.
    newest: u64,
    /// The feature level that the newest build understands.
    released: u32,
}

/// Where a node stands, whether it is up or not.
struct Seat {
    disk: MemoryDisk,
    /// The disk as the present life sees it.
    booted: MemoryDisk,
    pace: Pace,
    /// Whether something was done to the disk for which the node may end, or not start.
    spoiled: bool,
    /// Whether it is about to leave the cluster: when it has, it may end by itself.
    leaves: bool,
    rotten: Option<Rotten>,
    clock: Arc<AtomicI64>,
    /// The feature level that the build of its next life understands.
    level: u32,
    lives: u64,
    life: Life,
    state: State,
}

enum State {
    Down,
    Starting(JoinHandle<Result<Node, BootError>>),
    Up(Box<Node>),
}

fn laying_out(error: std::io::Error) -> String {
    format!("lay out the nodes: {error}")
}

/// Why a node's replication has stopped, where it has.
fn stopped(node: &Node) -> Option<String> {
    match &*node.replica().watch_role().borrow() {
        Role::Stopped { reason } => Some(reason.clone()),
        _ => None,
    }
}

/// A node that ended by itself.
pub(super) struct Ended {
    pub(super) node: u64,
    pub(super) why: String,
    /// Whether its disk was to blame.
    pub(super) excused: bool,
    pub(super) out_of_power: bool,
}

/// A node's clock: simulated time, and how far it is off.
struct NodeClock {
    began: Instant,
    offset_ms: Arc<AtomicI64>,
}

impl Clock for NodeClock {
    fn now(&self) -> Stamp {
        let since = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        Stamp((BEGINNING_US + since).saturating_add_signed(self.offset_ms.load(Ordering::Relaxed) * 1000))
    }
}

impl Seat {
    fn of(disk: MemoryDisk, level: u32) -> Seat {
        let (booted, pace, clock, life) = (disk.booted(), Pace::default(), Arc::default(), Life::default());
        Seat { disk, booted, pace, spoiled: false, leaves: false, rotten: None, clock, level, lives: 0, life, state: State::Down }
    }
}

impl World {
    /// Lays out so many nodes and starts none.
    pub(super) fn lay_out(nodes: u64) -> Result<World, String> {
        let memory = Path::new("/dev/shm");
        let home = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.map_err(laying_out)?;
        let kit = home.path().join("kit");
        kit::create(&kit, &NodePlan::local(nodes, PORT)).map_err(|error| error.to_string())?;
        let token = std::fs::read_to_string(kit.join("root-token")).map_err(laying_out)?.trim().to_owned();
        let (net, doors, seats) = (Net::new(), Doors::default(), BTreeMap::new());
        let mut world = World { home, net, doors, token, seats, newest: nodes, released: FIRST_LEVEL };
        (1..=nodes).try_for_each(|id| world.seat(id, FIRST_LEVEL))?;
        Ok(world)
    }

    /// Puts what the kit has for a node on a disk.
    fn seat(&mut self, id: u64, level: u32) -> Result<(), String> {
        let disk = MemoryDisk::new();
        let data = kit::node_directory(&self.kit(), id).join("data");
        for entry in std::fs::read_dir(&data).map_err(laying_out)? {
            let path = entry.map_err(laying_out)?.path();
            let contents = std::fs::read(&path).map_err(laying_out)?;
            lay_down(&disk, Path::new(path.file_name().unwrap_or_default()), &contents).map_err(laying_out)?;
        }
        self.seats.insert(id, Seat::of(disk, level));
        Ok(())
    }

    /// Lays out one more node under a number that none has had, with a build that understands this level, and does not start it; what the
    /// cluster has to be told of it.
    pub(super) fn add(&mut self, level: u32) -> Result<v1::AddLearnerRequest, String> {
        self.newest += 1;
        let plan = NodePlan::local(self.newest, PORT).pop().ok_or("a plan of one node is empty")?;
        kit::add_node(&self.kit(), &plan).map_err(|error| error.to_string())?;
        self.seat(plan.id, level)?;
        let NodePlan { id, zone, client, peer } = plan;
        Ok(v1::AddLearnerRequest { node_id: id, zone, client_address: client, peer_address: peer })
    }

    /// A node is about to leave the cluster.
    pub(super) fn leaves(&mut self, id: u64) {
        if let Some(seat) = self.seats.get_mut(&id) {
            seat.leaves = true;
        }
    }

    /// Takes a node away that has left.
    pub(super) fn retire(&mut self, id: u64) {
        self.kill(id);
        self.seats.remove(&id);
    }

    pub(super) fn ids(&self) -> Vec<u64> {
        self.seats.keys().copied().collect()
    }

    /// Nodes that are up.
    pub(super) fn up(&self) -> Vec<(u64, &Node)> {
        let up = self.seats.iter().filter_map(|(id, seat)| match &seat.state {
            State::Up(node) => Some((*id, &**node)),
            _ => None,
        });
        up.collect()
    }

    /// Nodes that are down, and not on their way up.
    pub(super) fn down(&self) -> Vec<u64> {
        self.seats.iter().filter(|(_, seat)| matches!(seat.state, State::Down)).map(|(id, _)| *id).collect()
    }

    fn kit(&self) -> PathBuf {
        self.home.path().join("kit")
    }

    /// Begins to start a node that is down.
    pub(super) fn start(&mut self, id: u64, began: Instant) -> Result<(), String> {
        let place = kit::node_directory(&self.kit(), id);
        let net = self.net.clone();
        let Some(seat) = self.seats.get_mut(&id).filter(|seat| matches!(seat.state, State::Down)) else { return Ok(()) };
        seat.lives += 1;
        seat.life = Life::default();
        seat.disk.set_faults(Faults::default());
        seat.spoiled = false;
        seat.booted = seat.disk.booted();
        let data = place.join(format!("life{}", seat.lives));
        let failed = |error: std::io::Error| format!("make a directory for a life of node {id}: {error}");
        std::fs::create_dir_all(&data).map_err(failed)?;
        // What founds the cluster is read from the real directory, and used up on the disk.
        if seat.disk.exists(Path::new(BOOTSTRAP)).map_err(failed)? {
            std::fs::copy(place.join("data").join(BOOTSTRAP), data.join(BOOTSTRAP)).map_err(failed)?;
        }
        let mut settings: Vec<String> = SETTINGS.iter().map(|setting| (*setting).to_owned()).collect();
        settings.push(format!("node.data={}", data.display()));
        let config =
            Config::load(&place.join("holdfast.toml"), std::iter::empty(), &settings).map_err(|error| error.to_string())?;
        let ambient = Ambient {
            disk: Arc::new(LifeDisk::new(seat.booted.clone(), &data, seat.pace.clone())),
            clock: Arc::new(NodeClock { began, offset_ms: seat.clock.clone() }),
            build: Build { level: seat.level, version: format!("simulated {}", seat.level) },
            peers: net.of(id, &seat.life),
            ..Ambient::real()
        };
        seat.state = State::Starting(tokio::spawn(Node::boot(config, ambient)));
        Ok(())
    }

    /// Takes note of nodes whose start has ended, well or not; those that are up.
    pub(super) async fn settle(&mut self) -> Vec<(u64, Result<(), String>)> {
        let mut news = Vec::new();
        for (id, seat) in &mut self.seats {
            let State::Starting(starting) = &mut seat.state else { continue };
            if !starting.is_finished() {
                continue;
            }
            let outcome = match starting.await {
                Ok(Ok(node)) => {
                    self.doors.lock().insert(*id, (node.routes(), seat.life.clone()));
                    seat.state = State::Up(Box::new(node));
                    Ok(())
                }
                failed => {
                    seat.state = State::Down;
                    seat.life.kill();
                    Err(failed.map_or_else(
                        |error| error.to_string(),
                        |booted| booted.err().map_or(String::new(), |why| why.to_string()),
                    ))
                }
            };
            news.push((*id, outcome));
        }
        news
    }

    /// `kill -9`: its process is gone, what it wrote is there.
    pub(super) fn kill(&mut self, id: u64) {
        self.end(id, |seat| {
            seat.life.kill();
            seat.disk.kill();
        });
    }

    /// Its power goes: what was not synced is lost, or not, sector by sector.
    pub(super) fn cut_power(&mut self, id: u64) {
        self.end(id, |seat| {
            seat.life.go_dark();
            seat.disk.cut_power(&WorldEntropy);
        });
    }

    fn end(&mut self, id: u64, how: impl FnOnce(&Seat)) {
        let Some(seat) = self.seats.get_mut(&id) else { return };
        self.doors.lock().remove(&id);
        how(seat);
        match std::mem::replace(&mut seat.state, State::Down) {
            // Without a disk and a network it can do nothing more; it is let go of as any node, by itself.
            State::Up(node) => drop(tokio::spawn(async move { drop(tokio::time::timeout(UNDEAD, node.shutdown()).await) })),
            State::Starting(starting) => starting.abort(),
            State::Down => {}
        }
    }

    /// Asks a node to stop, and waits until it has. One whose disk is spoiled need not.
    pub(super) async fn stop(&mut self, id: u64) -> bool {
        let Some(seat) = self.seats.get_mut(&id) else { return false };
        let State::Up(node) = std::mem::replace(&mut seat.state, State::Down) else { return false };
        let excused = seat.spoiled || seat.leaves;
        self.doors.lock().remove(&id);
        let stopped = tokio::time::timeout(UNDEAD, node.shutdown()).await.is_ok();
        seat.life.kill();
        seat.disk.kill();
        stopped || excused
    }

    /// Nodes that ended by themselves since the last look, and why. They are let go of.
    pub(super) fn ended(&mut self) -> Vec<Ended> {
        let mut ended = Vec::new();
        for (id, seat) in &mut self.seats {
            let out_of_power = !matches!(seat.state, State::Down) && !seat.booted.has_power();
            let why = match &mut seat.state {
                _ if out_of_power => Some("its power was cut within a write".to_owned()),
                State::Up(node) => match stopped(node) {
                    Some(why) => Some(why),
                    None => node.failed().now_or_never(),
                },
                _ => None,
            };
            if let Some(why) = why {
                ended.push(Ended { node: *id, why, excused: out_of_power || seat.spoiled || seat.leaves, out_of_power });
            }
        }
        for Ended { node, out_of_power, .. } in &ended {
            if *out_of_power {
                self.end(*node, |seat| seat.life.go_dark());
            } else {
                self.kill(*node);
            }
        }
        ended
    }

    /// The disk of a node, to be spoiled: whatever ends the node from now on until its disk is mended is no wonder.
    pub(super) fn spoil(&mut self, id: u64) -> Option<MemoryDisk> {
        let seat = self.seats.get_mut(&id)?;
        seat.spoiled = true;
        Some(seat.disk.clone())
    }

    /// The disk of a node, whose power is about to go.
    pub(super) fn disk(&self, id: u64) -> Option<&MemoryDisk> {
        self.seats.get(&id).map(|seat| &seat.disk)
    }

    /// Makes a node's disk slow.
    pub(super) fn slow_disk(&self, id: u64, ms_max: u64) {
        if let Some(seat) = self.seats.get(&id) {
            seat.pace.slow(ms_max);
        }
    }

    /// Makes the disk of a node one that works. A bit that turned stays, and what the node has noticed so far may still end it.
    pub(super) fn mend(&mut self, id: u64) {
        let Some(seat) = self.seats.get(&id) else { return };
        seat.pace.slow(0);
        seat.disk.set_faults(Faults::default());
    }

    /// Damages the log of a node that is down, where it can.
    pub(super) fn rot(&mut self, id: u64, decay: Decay) -> Result<bool, String> {
        let fit = |seat: &&mut Seat| seat.rotten.is_none() && matches!(seat.state, State::Down);
        let Some(seat) = self.seats.get_mut(&id).filter(fit) else { return Ok(false) };
        seat.rotten = Rotten::decay(&seat.disk, Path::new("wal"), decay).map_err(|error| format!("damage a log: {error}"))?;
        Ok(seat.rotten.is_some())
    }

    /// Puts back what a damaged log was, on a node that is down; says whether it was damaged.
    pub(super) fn put_back(&mut self, id: u64) -> bool {
        let Some(seat) = self.seats.get_mut(&id).filter(|seat| matches!(seat.state, State::Down)) else { return false };
        seat.rotten.take().map(|rotten| rotten.turn(&seat.disk)).is_some()
    }

    /// A text about files without the place where this run's lie: that one differs from run to run.
    pub(super) fn without_place(&self, text: &str) -> String {
        text.replace(&*self.home.path().to_string_lossy(), "")
    }

    /// Whether a node's log is damaged.
    pub(super) fn is_rotten(&self, id: u64) -> bool {
        self.seats.get(&id).is_some_and(|seat| seat.rotten.is_some())
    }

    /// Whether something was done to a node's disk for which it may end, or not start.
    pub(super) fn is_excused(&self, id: u64) -> bool {
        self.seats.get(&id).is_some_and(|seat| seat.spoiled || seat.leaves || !seat.booted.has_power())
    }

    /// The feature level that a node's build understands.
    pub(super) fn level(&self, id: u64) -> u32 {
        self.seats.get(&id).map_or(0, |seat| seat.level)
    }

    /// Puts another build in place of a node's, for its next life.
    pub(super) fn set_level(&mut self, id: u64, level: u32) {
        self.released = self.released.max(level);
        if let Some(seat) = self.seats.get_mut(&id) {
            seat.level = level;
        }
    }

    /// The feature level that the newest build understands.
    pub(super) fn released(&self) -> u32 {
        self.released
    }

    /// Sets a node's clock off.
    pub(super) fn set_clock(&self, id: u64, offset_ms: i64) {
        if let Some(seat) = self.seats.get(&id) {
            seat.clock.store(offset_ms, Ordering::Relaxed);
        }
    }
}

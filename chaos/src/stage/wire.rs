//! The network between the nodes: a switch in this program, with a tap in each node's namespace.
//!
//! Every Ethernet frame between nodes (and between clients and nodes) passes through here, so a link can be cut in one direction, lose,
//! delay, reorder and double frames, while TCP, TLS and the kernel on both ends are the real ones. It needs nothing of the kernel but
//! `/dev/net/tun`.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    fs::File,
    io::{Read, Write},
    os::{fd::AsRawFd, unix::fs::OpenOptionsExt},
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::trouble::Trouble;

/// `TUNSETIFF`, which is `_IOW('T', 202, int)`.
const TUNSETIFF: libc::c_ulong = 0x4004_54ca;
const IFF_TAP: i16 = 0x0002;
const IFF_NO_PI: i16 = 0x1000;
/// Large frames, so that few are needed.
pub(crate) const MTU: usize = 9_000;
const FRAME_BYTES_MAX: usize = MTU + 64;
/// Frames that wait for their time; more are lost, as in any queue.
const WAITING_MAX: usize = 20_000;
/// How often new taps are looked for.
const LOOK_AROUND: Duration = Duration::from_millis(10);
/// Frames taken from one tap before the others have their turn.
const TURN: usize = 64;

/// Where a tap is plugged in: 0 is the clients' side, others are node ids.
pub(crate) type Port = u8;

/// What happens to frames from one port to another.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Link {
    /// None arrives.
    pub(crate) cut: bool,
    /// All arrive so much later,
    pub(crate) delay: Duration,
    /// and up to so much more, each by itself: they overtake each other.
    pub(crate) jitter: Duration,
    /// So many of a hundred are lost,
    pub(crate) loss_percent: u32,
    /// and so many arrive twice.
    pub(crate) double_percent: u32,
}

/// What the switch has done to frames.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    passed: AtomicU64,
    lost: AtomicU64,
    delayed: AtomicU64,
    doubled: AtomicU64,
}

/// The same, at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) lost: u64,
    pub(crate) delayed: u64,
    pub(crate) doubled: u64,
}

impl Tally {
    /// What was done since an earlier moment.
    pub(crate) fn since(self, before: Tally) -> Tally {
        Tally {
            passed: self.passed - before.passed,
            lost: self.lost - before.lost,
            delayed: self.delayed - before.delayed,
            doubled: self.doubled - before.doubled,
        }
    }
}

type Links = BTreeMap<(Port, Port), Link>;

/// The switch. It ends, and its taps with it, when it is dropped.
#[derive(Debug)]
pub(crate) struct Wire {
    links: Arc<Mutex<Links>>,
    counts: Arc<Counts>,
    taps: Option<mpsc::Sender<(Port, File)>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Wire {
    /// A switch without taps.
    pub(crate) fn new(seed: u64) -> Wire {
        let (taps, plugged) = mpsc::channel();
        let (links, counts, stop) = (Arc::<Mutex<Links>>::default(), Arc::<Counts>::default(), Arc::<AtomicBool>::default());
        let switch = Switch {
            links: links.clone(),
            counts: counts.clone(),
            chance: ChaCha8Rng::seed_from_u64(seed),
            taps: BTreeMap::new(),
            waiting: BinaryHeap::new(),
            number: 0,
        };
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || switch.run(&plugged, &stopped));
        Wire { links, counts, taps: Some(taps), stop, thread: Some(thread) }
    }

    /// Makes the tap `name` and plugs it in. The interface exists as long as the switch does.
    pub(crate) fn plug(&self, port: Port, name: &str) -> Result<(), Trouble> {
        let tap = tap(name).map_err(Trouble::io("make a tap by", Path::new("/dev/net/tun")))?;
        let sender = self.taps.as_ref().ok_or_else(|| Trouble::unusable("the switch", "it has ended"))?;
        sender.send((port, tap)).map_err(|_| Trouble::unusable("the switch", "it has ended"))
    }

    /// Changes the link from one port to another, in this direction.
    pub(crate) fn set(&self, from: Port, to: Port, link: Link) {
        self.links.lock().unwrap_or_else(PoisonError::into_inner).insert((from, to), link);
    }

    /// Every link is whole again.
    pub(crate) fn heal(&self) {
        self.links.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// What has been done to frames so far.
    pub(crate) fn tally(&self) -> Tally {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let Counts { passed, lost, delayed, doubled } = &*self.counts;
        Tally { passed: count(passed), lost: count(lost), delayed: count(delayed), doubled: count(doubled) }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.taps = None;
        if let Some(thread) = self.thread.take() {
            // A switch that panicked has nothing left to end.
            let _ = thread.join();
        }
    }
}

/// The address of a port's tap: the last byte names the port, so that the switch never has to learn.
pub(crate) fn mac(port: Port) -> String {
    format!("02:48:46:00:00:{port:02x}")
}

#[repr(C)]
struct InterfaceRequest {
    name: [u8; 16],
    flags: i16,
    rest: [u8; 22],
}

#[allow(unsafe_code)]
fn tap(name: &str) -> std::io::Result<File> {
    let file = File::options().read(true).write(true).custom_flags(libc::O_NONBLOCK).open("/dev/net/tun")?;
    let mut request = InterfaceRequest { name: [0; 16], flags: IFF_TAP | IFF_NO_PI, rest: [0; 22] };
    for (to, from) in request.name.iter_mut().take(15).zip(name.bytes()) {
        *to = from;
    }
    // SAFETY: the descriptor is open, and the kernel reads and writes one `ifreq`, whose 40 bytes the request has.
    let done = unsafe { libc::ioctl(file.as_raw_fd(), TUNSETIFF, &raw mut request) };
    if done == 0 { Ok(file) } else { Err(std::io::Error::last_os_error()) }
}

/// A frame that waits: first by when it is due, then by when it came.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Waiting {
    due: Instant,
    number: u64,
    to: Port,
    frame: Vec<u8>,
}

struct Switch {
    links: Arc<Mutex<Links>>,
    counts: Arc<Counts>,
    chance: ChaCha8Rng,
    taps: BTreeMap<Port, File>,
    waiting: BinaryHeap<Reverse<Waiting>>,
    number: u64,
}

impl Switch {
    fn run(mut self, plugged: &mpsc::Receiver<(Port, File)>, stop: &AtomicBool) {
        let mut buffer = vec![0; FRAME_BYTES_MAX];
        while !stop.load(Ordering::Relaxed) {
            self.taps.extend(plugged.try_iter());
            self.deliver_due();
            let ready = self.wait();
            let links = self.links.lock().unwrap_or_else(PoisonError::into_inner).clone();
            for port in ready {
                for _ in 0..TURN {
                    let Some(Ok(length)) = self.taps.get(&port).map(|mut tap| tap.read(&mut buffer)) else { break };
                    self.route(port, &buffer[..length], &links);
                }
            }
        }
    }

    /// The ports with something to read, or none when it is time for something else.
    fn wait(&self) -> Vec<Port> {
        let due = self.waiting.peek().map(|Reverse(first)| first.due.saturating_duration_since(Instant::now()));
        let patience = due.unwrap_or(LOOK_AROUND).min(LOOK_AROUND);
        let patience = Timespec { tv_sec: 0, tv_nsec: i64::from(patience.subsec_nanos()) };
        let mut asked: Vec<PollFd<'_>> = self.taps.values().map(|tap| PollFd::new(tap, PollFlags::IN)).collect();
        if poll(&mut asked, Some(&patience)).is_err() {
            return Vec::new();
        }
        let ready = self.taps.keys().zip(&asked).filter(|(_, asked)| asked.revents().contains(PollFlags::IN));
        ready.map(|(port, _)| *port).collect()
    }

    fn route(&mut self, from: Port, frame: &[u8], links: &Links) {
        let Some(target) = frame.get(..6) else { return };
        // Address questions go to everybody; other calls to many are nobody's here.
        let everybody = target == [0xff; 6];
        let ports: Vec<Port> = match target {
            [0x02, 0x48, 0x46, 0, 0, port] => vec![*port],
            _ if everybody => self.taps.keys().copied().collect(),
            _ => Vec::new(),
        };
        for to in ports.into_iter().filter(|to| *to != from) {
            self.pass(to, frame, links.get(&(from, to)).copied().unwrap_or_default());
        }
    }

    fn pass(&mut self, to: Port, frame: &[u8], link: Link) {
        if link.cut || self.strikes(link.loss_percent) || self.waiting.len() >= WAITING_MAX {
            self.counts.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let copies = if self.strikes(link.double_percent) { 2 } else { 1 };
        if copies == 2 {
            self.counts.doubled.fetch_add(1, Ordering::Relaxed);
        }
        for _ in 0..copies {
            let wait = link.delay + link.jitter.mul_f64(self.chance.random());
            if wait.is_zero() {
                self.counts.passed.fetch_add(1, Ordering::Relaxed);
                self.send(to, frame);
            } else {
                self.counts.delayed.fetch_add(1, Ordering::Relaxed);
                self.number += 1;
                let due = Instant::now() + wait;
                self.waiting.push(Reverse(Waiting { due, number: self.number, to, frame: frame.to_vec() }));
            }
        }
    }

    fn strikes(&mut self, percent: u32) -> bool {
        percent > 0 && self.chance.random_range(0..100) < percent
    }

    fn deliver_due(&mut self) {
        let now = Instant::now();
        while self.waiting.peek().is_some_and(|Reverse(first)| first.due <= now) {
            if let Some(Reverse(Waiting { to, frame, .. })) = self.waiting.pop() {
                self.counts.passed.fetch_add(1, Ordering::Relaxed);
                self.send(to, &frame);
            }
        }
    }

    fn send(&self, to: Port, frame: &[u8]) {
        if let Some(mut tap) = self.taps.get(&to) {
            // A full queue, or an interface that is down, loses the frame: networks do.
            let _ = tap.write(frame);
        }
    }
}

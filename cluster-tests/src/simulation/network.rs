//! The network between simulated nodes: connections of bytes whose directions can be slow, stand still, or end.
//!
//! It is a network as TCP shows it: bytes arrive in order or not at all. A link that is cut holds what is on its way until it is healed, or
//! until one end gives up.

use super::chance;
use futures::future::BoxFuture;
use node::network::PeerNetwork;
use parking_lot::Mutex;
use raft::transport::grpc::{ByteStream, Dial, PeerListener, PeerStream};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Bytes on their way in one direction.
const PIPE_BYTES: usize = 256 << 10;
/// Bytes that travel together.
const PIECE_BYTES: usize = 64 << 10;
/// How long a caller waits for a node that does not answer at all.
const CONNECT: Duration = Duration::from_millis(1000);
/// What a machine without power leaves behind: connections that say nothing, for so long.
const SILENCE: Duration = Duration::from_secs(60);

/// The network of one world. Clones are the same.
#[derive(Clone)]
pub(super) struct Net {
    listeners: Arc<Mutex<BTreeMap<String, Listening>>>,
    links: watch::Sender<Links>,
}

struct Listening {
    node: u64,
    life: Life,
    door: mpsc::UnboundedSender<Box<dyn ByteStream>>,
}

/// Directions that are cut, and how slow the rest is.
#[derive(Clone, Debug, Default)]
pub(super) struct Links {
    cut: BTreeSet<(u64, u64)>,
    delay_ms_max: u64,
}

/// One life of a node: when it ends its connections break, or fall silent.
#[derive(Clone, Debug, Default)]
pub(super) struct Life {
    killed: CancellationToken,
    dark: CancellationToken,
}

impl Life {
    /// Its process ends: the others notice.
    pub(super) fn kill(&self) {
        self.killed.cancel();
    }

    /// Its machine loses its power: nobody is told.
    pub(super) fn go_dark(&self) {
        self.dark.cancel();
    }

    /// Returns when it has ended, one way or the other.
    pub(super) async fn ended(&self) {
        tokio::select! {
            () = self.killed.cancelled() => {}
            () = self.dark.cancelled() => {}
        }
    }

    async fn broken(&self) {
        tokio::select! {
            () = self.killed.cancelled() => {}
            () = async { self.dark.cancelled().await; sleep(SILENCE).await } => {}
        }
    }

    fn is_over(&self) -> bool {
        self.killed.is_cancelled() || self.dark.is_cancelled()
    }
}

impl Net {
    pub(super) fn new() -> Net {
        Net { listeners: Arc::default(), links: watch::Sender::new(Links { delay_ms_max: 2, ..Links::default() }) }
    }

    /// The network as one life of a node has it.
    pub(super) fn of(&self, node: u64, life: &Life) -> Arc<dyn PeerNetwork> {
        Arc::new(Plug { net: self.clone(), node, life: life.clone() })
    }

    /// Nothing goes from `from` to `to`.
    pub(super) fn cut(&self, from: u64, to: u64) {
        self.links.send_modify(|links| {
            links.cut.insert((from, to));
        });
    }

    /// Every piece takes up to so long.
    pub(super) fn slow(&self, delay_ms_max: u64) {
        self.links.send_modify(|links| links.delay_ms_max = delay_ms_max);
    }

    /// Everything goes through again, quickly.
    pub(super) fn heal(&self) {
        self.links.send_modify(|links| *links = Links { delay_ms_max: 2, ..Links::default() });
    }

    /// Waits as long as a piece takes, and while its way is cut.
    async fn cross(&self, from: u64, to: u64) {
        let most = self.links.borrow().delay_ms_max;
        sleep(Duration::from_millis(chance::of(0..=most))).await;
        // The network outlives whoever waits for it.
        let mut links = self.links.subscribe();
        let _ = links.wait_for(|links| !links.cut.contains(&(from, to))).await;
    }
}

struct Plug {
    net: Net,
    node: u64,
    life: Life,
}

impl PeerNetwork for Plug {
    fn listen(&self, address: &str) -> BoxFuture<'static, io::Result<PeerListener>> {
        let (door, incoming) = mpsc::unbounded_channel();
        let listening = Listening { node: self.node, life: self.life.clone(), door };
        self.net.listeners.lock().insert(address.to_owned(), listening);
        Box::pin(async move { Ok(PeerListener::Simulated(incoming)) })
    }

    fn dial(&self) -> Arc<dyn Dial> {
        Arc::new(Dialer { net: self.net.clone(), node: self.node, life: self.life.clone() })
    }
}

struct Dialer {
    net: Net,
    node: u64,
    life: Life,
}

impl Dial for Dialer {
    fn dial(&self, target: u64, address: &str) -> BoxFuture<'static, io::Result<PeerStream>> {
        let (net, from, life, address) = (self.net.clone(), self.node, self.life.clone(), address.to_owned());
        Box::pin(async move {
            let there = async {
                net.cross(from, target).await;
                net.cross(target, from).await;
            };
            let gone = || io::Error::from(io::ErrorKind::ConnectionRefused);
            tokio::time::timeout(CONNECT, there).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?;
            let (other, door) = {
                let listeners = net.listeners.lock();
                let listening = listeners.get(&address).filter(|listening| listening.node == target).ok_or_else(gone)?;
                (listening.life.clone(), listening.door.clone())
            };
            if life.is_over() || other.is_over() {
                return Err(gone());
            }
            let (here, here_wire) = tokio::io::duplex(PIPE_BYTES);
            let (there, there_wire) = tokio::io::duplex(PIPE_BYTES);
            door.send(Box::new(there)).map_err(|_| gone())?;
            let ((from_here, to_here), (from_there, to_there)) = (tokio::io::split(here_wire), tokio::io::split(there_wire));
            let lives = (life, other);
            tokio::spawn(carry(net.clone(), (from, target), lives.clone(), from_here, to_there));
            tokio::spawn(carry(net, (target, from), lives, from_there, to_here));
            Ok(PeerStream::Simulated(Box::new(here)))
        })
    }
}

/// Carries bytes one way, until an end closes or a life ends.
async fn carry(
    net: Net,
    (from, to): (u64, u64),
    (one, other): (Life, Life),
    mut source: ReadHalf<DuplexStream>,
    mut sink: WriteHalf<DuplexStream>,
) {
    let carrying = async {
        let mut piece = vec![0; PIECE_BYTES];
        while let Ok(count @ 1..) = source.read(&mut piece).await {
            net.cross(from, to).await;
            // What is on its way to, or from, a machine without power is lost.
            if one.is_over() || other.is_over() {
                return std::future::pending().await;
            }
            if sink.write_all(&piece[..count]).await.is_err() {
                return;
            }
        }
        // The end of a stream travels, too.
        net.cross(from, to).await;
        let _ = sink.shutdown().await;
    };
    tokio::select! {
        () = carrying => {}
        () = one.broken() => {}
        () = other.broken() => {}
    }
}

//! Connections to other nodes.

use std::{collections::HashMap, io, sync::Arc};

use futures::future::BoxFuture;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::transport::{Channel, Endpoint, Uri};

use super::{PeerStream, PeerTls, peer_name};
use crate::config::{CONNECT_TIMEOUT, CONNECTION_WINDOW_BYTES, KEEP_ALIVE, STREAM_WINDOW_BYTES};

/// How a node reaches an address. The real network, or a test's.
pub trait Dial: Send + Sync + 'static {
    /// Opens a connection to node `target`, which is said to be at `address` (`host:port`).
    fn dial(&self, target: u64, address: &str) -> BoxFuture<'static, io::Result<PeerStream>>;
}

/// The real network.
#[derive(Clone, Copy, Debug, Default)]
pub struct TcpDial;

impl Dial for TcpDial {
    fn dial(&self, _target: u64, address: &str) -> BoxFuture<'static, io::Result<PeerStream>> {
        let address = address.to_owned();
        Box::pin(async move { TcpStream::connect(address).await.map(PeerStream::Tcp) })
    }
}

/// Makes connections to other nodes, and keeps one to each for whoever asks with [`shared`](PeerChannels::shared).
#[derive(Clone)]
pub struct PeerChannels {
    tls: Arc<PeerTls>,
    dial: Arc<dyn Dial>,
    shared: Arc<Mutex<HashMap<u64, (String, Channel)>>>,
}

impl PeerChannels {
    /// Connections of the node that `tls` speaks for.
    #[must_use]
    pub fn new(tls: Arc<PeerTls>, dial: Arc<dyn Dial>) -> PeerChannels {
        PeerChannels { tls, dial, shared: Arc::default() }
    }

    /// The node that connects.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.tls.id()
    }

    /// The one connection to `target` that everything but replication shares. It connects when it is first used and again
    /// whenever it broke; a new address replaces it.
    #[must_use]
    pub fn shared(&self, target: u64, address: &str) -> Channel {
        let mut shared = self.shared.lock();
        if let Some((known, channel)) = shared.get(&target)
            && known == address
        {
            return channel.clone();
        }
        let channel = self.connect(target, address);
        shared.insert(target, (address.to_owned(), channel.clone()));
        channel
    }

    /// A connection of its own to `target`.
    #[must_use]
    pub fn connect(&self, target: u64, address: &str) -> Channel {
        let (tls, dial, address) = (Arc::clone(&self.tls), Arc::clone(&self.dial), address.to_owned());
        let connector = tower::service_fn(move |_: Uri| {
            let (tls, dial, address) = (Arc::clone(&tls), Arc::clone(&dial), address.clone());
            async move {
                let stream = connect(&tls, &*dial, target, &address).await;
                stream.map(TokioIo::new).map_err(|error| named(target, &address, &error))
            }
        });
        endpoint(target).connect_with_connector_lazy(connector)
    }
}

fn endpoint(target: u64) -> Endpoint {
    Endpoint::from_shared(format!("http://{}", peer_name(target)))
        .expect("a node's name is a host name")
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
}

async fn connect(tls: &PeerTls, dial: &dyn Dial, target: u64, address: &str) -> io::Result<TlsStream<PeerStream>> {
    let stream = dial.dial(target, address).await?;
    stream.set_nodelay()?;
    let name = ServerName::try_from(peer_name(target)).map_err(io::Error::other)?;
    TlsConnector::from(tls.client_config()).connect(name, stream).await
}

fn named(target: u64, address: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("connect to node {target} at {address}: {error}"))
}

//! A network for gRPC that can go silent: every connection runs through a relay that stops carrying bytes when its link is cut,
//! as a firewall that drops packets does. Nobody is told.

use std::{
    collections::HashSet,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures::future::BoxFuture;
use raft::transport::grpc::{Dial, PeerStream};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

#[derive(Clone, Default)]
pub(crate) struct Links {
    cut: watch::Sender<HashSet<(u64, u64)>>,
    dials: Arc<AtomicUsize>,
    away: Arc<Mutex<HashSet<u64>>>,
}

impl Links {
    /// Connections that `from` opens to `to` go silent, both the open ones and those to come. Connections that `to` opens to
    /// `from` are another link.
    pub(crate) fn cut_one_way(&self, from: u64, to: u64) {
        self.cut.send_modify(|cut| {
            cut.insert((from, to));
        });
    }

    /// Links carry again; what was lost with a connection stays lost.
    pub(crate) fn heal(&self) {
        self.cut.send_modify(HashSet::clear);
    }

    /// Nothing listens at `to` any more: whoever connects is told at once.
    pub(crate) fn leave(&self, to: u64) {
        self.away.lock().unwrap().insert(to);
    }

    pub(crate) fn come_back(&self, to: u64) {
        self.away.lock().unwrap().remove(&to);
    }

    /// How often anybody tried to connect.
    pub(crate) fn dials(&self) -> usize {
        self.dials.load(Ordering::Relaxed)
    }

    /// The network as node `from` has it.
    pub(crate) fn dial_from(&self, from: u64) -> Dialer {
        Dialer { links: self.clone(), from }
    }
}

pub(crate) struct Dialer {
    links: Links,
    from: u64,
}

impl Dial for Dialer {
    fn dial(&self, target: u64, address: &str) -> BoxFuture<'static, io::Result<PeerStream>> {
        self.links.dials.fetch_add(1, Ordering::Relaxed);
        if self.links.away.lock().unwrap().contains(&target) {
            return Box::pin(async { Err(io::ErrorKind::ConnectionRefused.into()) });
        }
        let (cut, link, address) = (self.links.cut.subscribe(), (self.from, target), address.to_owned());
        Box::pin(async move {
            open(&mut cut.clone(), link).await;
            let server = TcpStream::connect(address).await?;
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let (client, accepted) = tokio::join!(TcpStream::connect(listener.local_addr()?), listener.accept());
            let (relay, _) = accepted?;
            for stream in [&server, &relay] {
                stream.set_nodelay(true)?;
            }
            let ((client_read, client_write), (server_read, server_write)) = (relay.into_split(), server.into_split());
            tokio::spawn(carry(client_read, server_write, cut.clone(), link));
            tokio::spawn(carry(server_read, client_write, cut, link));
            client.map(PeerStream::Tcp)
        })
    }
}

/// Waits until the link is not cut.
async fn open(cut: &mut watch::Receiver<HashSet<(u64, u64)>>, link: (u64, u64)) {
    cut.wait_for(|cut| !cut.contains(&link)).await.unwrap();
}

async fn carry(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    mut cut: watch::Receiver<HashSet<(u64, u64)>>,
    link: (u64, u64),
) {
    let mut bytes = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        if cut.wait_for(|cut| !cut.contains(&link)).await.is_err() || to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}

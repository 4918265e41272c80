//! The peer port: accepts connections of other nodes, learns who they are, and serves them.

use std::{future::Future, io, sync::Arc, time::Duration};

use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tonic::{codegen::http::Request, service::Routes};
use tower::ServiceExt;

use super::{PeerIdentity, PeerListener, PeerStream, PeerTls, identity};
use crate::config::{
    CONNECT_TIMEOUT, CONNECTION_WINDOW_BYTES, FRAME_BYTES, KEEP_ALIVE, PEER_CONNECTIONS_MAX, STREAM_WINDOW_BYTES,
};

/// When the system has no more files to give, accepting again at once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves `routes` to nodes whose certificate the cluster's authority signed, until `shutdown` completes; then every
/// connection is closed. Each request carries the caller's [`PeerIdentity`] as an extension.
///
/// # Errors
/// When the listener has no address any more, and so cannot accept.
pub async fn serve_peer(
    listener: impl Into<PeerListener>,
    tls: Arc<PeerTls>,
    routes: Routes,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let mut listener = listener.into();
    let address = listener.address()?;
    let routes = routes.prepare();
    let room = Arc::new(Semaphore::new(PEER_CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    tracing::debug!(?address, "serving other nodes");
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => {}
            (accepted, permit) = accept(&mut listener, &room) => match accepted {
                Ok(stream) => drop(connections.spawn(serve(stream, Arc::clone(&tls), routes.clone(), permit))),
                Err(error) => {
                    tracing::warn!(?address, %error, "could not accept a connection of another node");
                    time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    connections.shutdown().await;
    Ok(())
}

/// Waits for room, then for a connection.
async fn accept(listener: &mut PeerListener, room: &Arc<Semaphore>) -> (io::Result<PeerStream>, OwnedSemaphorePermit) {
    let permit = Arc::clone(room).acquire_owned().await.expect("nobody closes the semaphore");
    (listener.accept().await, permit)
}

async fn serve(stream: PeerStream, tls: Arc<PeerTls>, routes: Routes, _permit: OwnedSemaphorePermit) {
    let from = stream.origin();
    let handshake = time::timeout(CONNECT_TIMEOUT, handshake(stream, &tls));
    let (stream, peer) = match handshake.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
        Ok(known) => known,
        Err(error) => {
            tracing::warn!(from, %error, "refused a connection to the peer port");
            return;
        }
    };
    let identified = routes.map_request(move |mut request: Request<_>| {
        request.extensions_mut().insert(peer);
        request
    });
    let mut server = auto::Builder::new(TokioExecutor::new()).http2_only();
    server
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES);
    let served = server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(identified));
    if let Err(error) = served.await {
        tracing::debug!(from, peer = peer.0, %error, "connection of another node ended");
    }
}

async fn handshake(stream: PeerStream, tls: &PeerTls) -> io::Result<(TlsStream<PeerStream>, PeerIdentity)> {
    stream.set_nodelay()?;
    let stream = TlsAcceptor::from(tls.server_config()).accept(stream).await?;
    let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    // The verifier asks for one; without it there is no identity.
    let certificate = certificate.ok_or_else(|| io::Error::other("peer showed no certificate"))?;
    let peer = identity::of(certificate).map_err(io::Error::other)?;
    Ok((stream, peer))
}

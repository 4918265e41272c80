//! Connections of clients, counted and bounded: whoever opens more than there is room for is sent away at once. Each is shown the
//! certificate that is in use at that moment.

use crate::certificates::ClientTls;
use futures::{Stream, StreamExt};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::server::{Connected, TcpConnectInfo};

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// A connection that gives its place back when it ends.
pub(crate) struct Counted {
    stream: TcpStream,
    _place: OwnedSemaphorePermit,
}

/// The connections that a listener accepts, at most `most` at a time, each after its TLS handshake.
pub(crate) fn bounded(
    listener: TcpListener,
    most: usize,
    tls: Arc<ClientTls>,
) -> impl Stream<Item = io::Result<TlsStream<Counted>>> {
    let most = most.min(Semaphore::MAX_PERMITS);
    let places = Arc::new(Semaphore::new(most));
    let counted = TcpListenerStream::new(listener).filter_map(move |stream| {
        let place = places.clone().try_acquire_owned();
        let counted = match (stream, place) {
            (Err(error), _) => Some(Err(error)),
            (Ok(stream), Ok(place)) => {
                // Small messages do not wait for each other; a socket that cannot be told works all the same.
                drop(stream.set_nodelay(true));
                Some(Ok(Counted { stream, _place: place }))
            }
            (Ok(_), Err(_)) => {
                metrics::counter!("holdfast_connections_refused_total").increment(1);
                tracing::debug!(most, "a connection was refused: there are as many as limits.connections_max allows");
                None
            }
        };
        std::future::ready(counted)
    });
    // Whoever is slow to shake hands holds nobody up: as many may be at it as there are places.
    let shaken = counted.map(move |counted| shake_hands(counted, tls.clone())).buffer_unordered(most.max(1));
    shaken.filter_map(std::future::ready)
}

/// The handshake on a task of its own, so that several cores take part; `None` where it failed.
async fn shake_hands(counted: io::Result<Counted>, tls: Arc<ClientTls>) -> Option<io::Result<TlsStream<Counted>>> {
    let counted = match counted {
        Ok(counted) => counted,
        Err(error) => return Some(Err(error)),
    };
    let handshake = tokio::spawn(tokio::time::timeout(HANDSHAKE, tls.acceptor().accept(counted)));
    match handshake.await {
        Ok(Ok(Ok(stream))) => return Some(Ok(stream)),
        Ok(Ok(Err(error))) => tracing::debug!(%error, "a client's handshake failed"),
        Ok(Err(_)) => tracing::debug!("a client's handshake took longer than {} s", HANDSHAKE.as_secs()),
        Err(error) => tracing::error!(%error, "a client's handshake was not carried out"),
    }
    metrics::counter!("holdfast_handshakes_failed_total").increment(1);
    None
}

impl Connected for Counted {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
    }
}

impl AsyncRead for Counted {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

//! What carries bytes between nodes: TCP, or a simulation's network.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

/// Bytes both ways.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

/// A connection to another node.
pub enum PeerStream {
    /// Over the real network.
    Tcp(TcpStream),
    /// In a simulation.
    Simulated(Box<dyn ByteStream>),
}

/// Where other nodes connect to.
pub enum PeerListener {
    /// On the real network.
    Tcp(TcpListener),
    /// In a simulation.
    Simulated(mpsc::UnboundedReceiver<Box<dyn ByteStream>>),
}

impl PeerStream {
    /// Small messages do not wait for each other.
    pub(crate) fn set_nodelay(&self) -> io::Result<()> {
        match self {
            PeerStream::Tcp(stream) => stream.set_nodelay(true),
            PeerStream::Simulated(_) => Ok(()),
        }
    }

    /// Whence it came, for the log.
    pub(crate) fn origin(&self) -> String {
        match self {
            PeerStream::Tcp(stream) => stream.peer_addr().map_or_else(|_| "?".to_owned(), |address| address.to_string()),
            PeerStream::Simulated(_) => "simulated".to_owned(),
        }
    }
}

impl PeerListener {
    /// Where it listens; none in a simulation.
    pub(crate) fn address(&self) -> io::Result<Option<SocketAddr>> {
        match self {
            PeerListener::Tcp(listener) => listener.local_addr().map(Some),
            PeerListener::Simulated(_) => Ok(None),
        }
    }

    /// The next connection.
    pub(crate) async fn accept(&mut self) -> io::Result<PeerStream> {
        match self {
            PeerListener::Tcp(listener) => listener.accept().await.map(|(stream, _)| PeerStream::Tcp(stream)),
            PeerListener::Simulated(incoming) => match incoming.recv().await {
                Some(stream) => Ok(PeerStream::Simulated(stream)),
                None => std::future::pending().await,
            },
        }
    }
}

impl From<TcpListener> for PeerListener {
    fn from(listener: TcpListener) -> PeerListener {
        PeerListener::Tcp(listener)
    }
}

impl AsyncRead for PeerStream {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            PeerStream::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            PeerStream::Simulated(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for PeerStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut *self {
            PeerStream::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            PeerStream::Simulated(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            PeerStream::Tcp(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            PeerStream::Simulated(stream) => Pin::new(stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            PeerStream::Tcp(stream) => stream.is_write_vectored(),
            PeerStream::Simulated(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            PeerStream::Tcp(stream) => Pin::new(stream).poll_flush(context),
            PeerStream::Simulated(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            PeerStream::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            PeerStream::Simulated(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

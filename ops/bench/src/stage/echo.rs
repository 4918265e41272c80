//! A bare tonic server: it answers every `Get` with the same 1 KiB, over the same TLS and HTTP/2 settings as a node. What a read takes
//! longer than this is Holdfast's own. It runs as a process of its own, as a node does.

use std::{
    convert::Infallible,
    io::Write,
    path::Path,
    task::{Context, Poll},
};

use proto_client::{ClientConfig, Token, v1};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpListener,
    process::Command,
};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    body::Body,
    codegen::{BoxFuture, Service, http},
    server::{Grpc, NamedService, UnaryService},
    transport::{Identity, Server, ServerTlsConfig},
};
use tonic_prost::ProstCodec;

use crate::{
    fault::Fault,
    stage::{CONNECTIONS, Dice, Nodes, Processes, value},
};

/// As a node has it (`node/src/serve.rs`).
const WINDOW_BYTES: u32 = 4 << 20;
/// As a node has it.
const CALLS_PER_CONNECTION_MAX: usize = 1024;

/// What the server says when it listens: one line of JSON.
#[derive(Serialize, Deserialize)]
struct Greeting {
    port: u16,
    certificate: String,
}

/// Starts the server as a process of its own; gives connections to it, and its id.
pub(crate) async fn start(processes: &mut Processes) -> Result<(Nodes, u32), Fault> {
    let own = std::env::current_exe().map_err(Fault::io("find", Path::new("this executable")))?;
    let mut command = Command::new(own);
    command.arg("echo");
    let child = processes.start_helper("the echo server".into(), command)?;
    let gone = |why: &str| Fault::Process { what: "the echo server".into(), why: why.to_owned() };
    let id = child.id().ok_or_else(|| gone("it ended at once"))?;
    let said = child.stdout.take().ok_or_else(|| gone("it has no output"))?;
    let mut line = String::new();
    BufReader::new(said).read_line(&mut line).await.map_err(|error| gone(&error.to_string()))?;
    let greeting: Greeting = serde_json::from_str(&line).map_err(|_| gone("it did not greet"))?;
    // A token of the usual length, so that the requests are as long as those to a node.
    let token = Token::parse(format!("hf_{}", "0".repeat(64))).map_err(Fault::cluster("make up a token"))?;
    let config = ClientConfig {
        ca_pem: Some(greeting.certificate.into_bytes()),
        token: Some(token),
        ..ClientConfig::new([format!("https://127.0.0.1:{}", greeting.port)])
    };
    Ok((Nodes::connect(&config, CONNECTIONS).await?, id))
}

/// The server itself: until standard input ends, that is with the process that started it.
pub(crate) async fn serve() -> Result<(), Fault> {
    let unexpected = |error: &dyn std::fmt::Display| Fault::Unexpected(format!("echo: {error}"));
    let names = ["localhost", "127.0.0.1"].map(str::to_owned);
    let certified = rcgen::generate_simple_self_signed(names).map_err(|error| unexpected(&error))?;
    let certificate = certified.cert.pem();
    let identity = Identity::from_pem(&certificate, certified.signing_key.serialize_pem());
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(Fault::io("listen at", Path::new("127.0.0.1")))?;
    let port = listener.local_addr().map_err(|error| unexpected(&error))?.port();
    let greeting = serde_json::to_string(&Greeting { port, certificate }).map_err(|error| unexpected(&error))?;
    let mut out = std::io::stdout();
    writeln!(out, "{greeting}").and_then(|()| out.flush()).map_err(|error| unexpected(&error))?;
    let incoming = TcpListenerStream::new(listener);
    let nodelay = futures::StreamExt::map(incoming, |stream| stream.inspect(|stream| drop(stream.set_nodelay(true))));
    let served = Server::builder()
        .tls_config(ServerTlsConfig::new().identity(identity))
        .map_err(|error| unexpected(&error))?
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .concurrency_limit_per_connection(CALLS_PER_CONNECTION_MAX)
        .add_service(Echo { answer: answer() })
        .serve_with_incoming(nodelay);
    tokio::select! {
        served = served => served.map_err(|error| unexpected(&error)),
        () = abandoned() => Ok(()),
    }
}

/// Waits until nobody holds the other end of standard input.
async fn abandoned() {
    let ended = tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink())).await;
    // An input that cannot be read has ended as well.
    drop(ended);
}

/// An answer like a node's.
fn answer() -> v1::GetResponse {
    let version = v1::Version {
        version: 1,
        state: v1::VersionState::Live.into(),
        created_at_ms: 1_700_000_000_000,
        created_by: "bench".into(),
        size_bytes: 1024,
        index: 100_000,
        ..v1::Version::default()
    };
    v1::GetResponse { value: Some(value(&mut Dice::new(0))), version: Some(version), index: 100_000 }
}

#[derive(Clone)]
struct Echo {
    answer: v1::GetResponse,
}

impl NamedService for Echo {
    const NAME: &'static str = "holdfast.v1.Secrets";
}

impl Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let echo = self.clone();
        Box::pin(async move { Ok(Grpc::new(ProstCodec::default()).unary(echo, request).await) })
    }
}

impl UnaryService<v1::GetRequest> for Echo {
    type Response = v1::GetResponse;
    type Future = std::future::Ready<Result<tonic::Response<v1::GetResponse>, tonic::Status>>;

    fn call(&mut self, _: tonic::Request<v1::GetRequest>) -> Self::Future {
        std::future::ready(Ok(tonic::Response::new(self.answer.clone())))
    }
}

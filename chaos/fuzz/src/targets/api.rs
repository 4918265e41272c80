//! Every call of the contract, on a node that runs in this process: message, conversion, decision, record, answer.
//!
//! The first byte says which call, the second by whom, the rest is the message. What a call leaves behind stays for the next ones, so that
//! deep places are reached; a new node starts after so many. Every input since the last start is in `api-history` of the working directory:
//! `HOLDFAST_FUZZ_REPLAY=<file>` asks all of it again, where an input fails only after others.

use super::files::directory;
use crate::input::{Input, part};
use crate::protobuf::{self, Call};
use bytes::{Buf, BufMut, Bytes};
use http::uri::PathAndQuery;
use node::boot::{Ambient, Node};
use node::config::Config;
use node::kit::{self, NodePlan};
use proto::v1;
use proto::v1::tokens_client::TokensClient;
use std::cell::RefCell;
use std::fs::File;
use std::io::Write;
use std::sync::LazyLock;
use std::time::Duration;
use tokio::runtime::Runtime;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::service::Routes;
use tonic::{Code, Request, Status};

/// Calls of one node; its journal grows with each.
const CALLS_MAX: u32 = 20_000;
/// How long one call may take before it counts as one that hangs.
const PATIENCE: Duration = Duration::from_secs(8);
/// How long it is waited for the next message of a stream.
const LISTENING: Duration = Duration::from_millis(2);
/// Messages of a stream that are read.
const HEARD_MAX: usize = 8;
/// What a node of a fuzzer is set to: nothing costly, nothing that goes on by itself, room for whatever is asked.
const SETTINGS: [&str; 7] = [
    "listen.client=127.0.0.1:0",
    "listen.peer=127.0.0.1:0",
    "storage.segment_bytes=1048576",
    "login.password_memory_kib=19456",
    "login.password_passes=2",
    "login.password_lanes=1",
    "log.level=off",
];
/// Calls that reach out, or end or change the node itself: they are asked by somebody who may do nothing, so that only parsing is reached.
const POWERLESS: [&str; 25] = [
    "/holdfast.v1.Alerts/PutSink",
    "/holdfast.v1.Alerts/Test",
    "/holdfast.v1.Issuers/Put",
    "/holdfast.v1.Cluster/AddLearner",
    "/holdfast.v1.Cluster/Promote",
    "/holdfast.v1.Cluster/Demote",
    "/holdfast.v1.Cluster/Remove",
    "/holdfast.v1.Cluster/Replace",
    "/holdfast.v1.Cluster/TransferLeader",
    "/holdfast.v1.Cluster/Drain",
    "/holdfast.v1.Snapshots/SaveToStore",
    "/holdfast.v1.Snapshots/List",
    "/holdfast.v1.Snapshots/Prune",
    "/holdfast.v1.Snapshots/Restore",
    "/holdfast.v1.Keys/RotateRoot",
    "/holdfast.v1.Keys/DropRoots",
    "/holdfast.v1.Keys/Rekey",
    "/holdfast.v1.Keys/ConfirmRekey",
    "/holdfast.v1.Keys/SealFile",
    "/holdfast.v1.Seal/Init",
    "/holdfast.v1.Seal/Adopt",
    "/holdfast.v1.Seal/Unseal",
    "/holdfast.v1.Seal/Seal",
    "/holdfast.v1.Seal/RootToken",
    "/holdfast.v1.Keys/SealEnvironment",
];

static CALLS: LazyLock<Vec<&'static Call>> = LazyLock::new(|| protobuf::calls().collect());

thread_local! {
    static STAGE: RefCell<Option<Stage>> = const { RefCell::new(None) };
}

/// A node, and what is asked of it.
struct Stage {
    runtime: Runtime,
    node: Node,
    routes: Routes,
    /// Makes the others, and is never shown to a call that could revoke it.
    root: String,
    /// What most calls are made with. It may do everything, even end itself.
    token: String,
    calls: u32,
    history: File,
    _home: tempfile::TempDir,
}

impl Stage {
    fn start() -> Stage {
        let home = directory();
        let kit = home.path().join("kit");
        kit::create(&kit, &NodePlan::local(1, 7000)).expect("a kit can be made");
        let root = std::fs::read_to_string(kit.join("root-token")).expect("a kit has a token").trim().to_owned();
        let settings: Vec<String> = SETTINGS.iter().map(|setting| (*setting).to_owned()).collect();
        let file = kit::node_directory(&kit, 1).join("holdfast.toml");
        let config = Config::load(&file, std::iter::empty(), &settings).expect("the settings are sound");
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime can be made");
        let node = runtime.block_on(async {
            let node = Node::boot(config, Ambient::real()).await.expect("the node starts");
            while !node.is_ready() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            node
        });
        let history = File::create("api-history").expect("the working directory can be written to");
        let mut stage =
            Stage { runtime, routes: node.routes(), node, root, token: String::new(), calls: 0, history, _home: home };
        stage.renew();
        stage
    }

    /// Another token, in place of one that has ended; another node, where none can be made any more.
    fn renew(&mut self) {
        let asked = v1::CreateTokenRequest {
            principal: "fuzz".to_owned(),
            policies: vec!["root".to_owned()],
            ttl_ms: 86_400_000,
            ..v1::CreateTokenRequest::default()
        };
        let mut request = Request::new(asked);
        if let Ok(bearer) = format!("Bearer {}", self.root).parse() {
            request.metadata_mut().insert("authorization", bearer);
        }
        let mut tokens = TokensClient::new(self.routes.clone());
        match self.runtime.block_on(tokens.create(request)) {
            Ok(made) => self.token = made.into_inner().token,
            Err(_) => self.calls = CALLS_MAX,
        }
    }

    fn stop(self) {
        let Stage { runtime, node, routes, .. } = self;
        drop(routes);
        runtime.block_on(node.shutdown());
    }

    fn ask(&mut self, call: &Call, whose: u8, message: &[u8]) {
        let token = match whose {
            _ if POWERLESS.contains(&call.path.as_str()) => Some("hf.nobody"),
            0..=199 => Some(self.token.as_str()),
            200..=227 => None,
            _ => Some("hf.nobody"),
        };
        let mut request = Request::new(tokio_stream::iter([Bytes::copy_from_slice(message)]));
        if let Some(bearer) = token.and_then(|token| format!("Bearer {token}").parse().ok()) {
            request.metadata_mut().insert("authorization", bearer);
        }
        let is_ours = token == Some(self.token.as_str());
        let asking = asked(self.routes.clone(), call, request);
        let answered = self.runtime.block_on(async { tokio::time::timeout(PATIENCE, asking).await });
        let code = answered.unwrap_or_else(|_| panic!("{} hangs", call.path));
        if is_ours && code == Code::Unauthenticated {
            self.renew();
        }
    }
}

async fn asked(routes: Routes, call: &Call, request: Request<impl tokio_stream::Stream<Item = Bytes> + Send + 'static>) -> Code {
    let mut client = tonic::client::Grpc::new(routes).max_decoding_message_size(64 << 20);
    client.ready().await.expect("services in this process are always ready");
    let path = PathAndQuery::from_maybe_shared(call.path.clone()).expect("the path of a call is one");
    let mut messages = match client.streaming(request, path, Raw).await {
        Ok(answer) => answer.into_inner(),
        Err(status) => return status.code(),
    };
    for _ in 0..HEARD_MAX {
        // A stream that has nothing to say yet is left; one call's answer is waited for.
        let next = if call.streams {
            let Ok(next) = tokio::time::timeout(LISTENING, messages.message()).await else { return Code::Ok };
            next
        } else {
            messages.message().await
        };
        match next {
            Ok(Some(_)) => {}
            Ok(None) => return Code::Ok,
            Err(status) => return status.code(),
        }
    }
    Code::Ok
}

/// Messages as bytes.
#[derive(Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Raw;
    type Decoder = Raw;

    fn encoder(&mut self) -> Raw {
        Raw
    }

    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        let length = from.remaining();
        Ok(Some(from.copy_to_bytes(length)))
    }
}

/// The first node; and, where it is asked for, what an earlier run asked, to the end.
pub(super) fn prepare() {
    let replayed = std::env::var_os("HOLDFAST_FUZZ_REPLAY").map(|path| std::fs::read(path).expect("the history can be read"));
    STAGE.set(Some(Stage::start()));
    let Some(history) = replayed else { return };
    let mut inputs = Input(&history);
    while !inputs.0.is_empty() {
        run(inputs.part());
    }
    std::process::exit(0);
}

pub(super) fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let (which, whose) = (usize::from(input.byte()), input.byte());
    let call = CALLS[which % CALLS.len()];
    STAGE.with_borrow_mut(|stage| {
        let worn = stage.as_ref().is_some_and(|stage| stage.calls >= CALLS_MAX);
        if worn && let Some(worn) = stage.take() {
            worn.stop();
        }
        let stage = stage.get_or_insert_with(Stage::start);
        stage.calls += 1;
        // What is not written does not keep the call from being made.
        drop(stage.history.write_all(&part(bytes)));
        stage.ask(call, whose, input.0);
    });
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let numbered = (0u8..).zip(CALLS.iter());
    let message = |(number, call): (u8, &&Call)| [vec![number, 0], protobuf::message(&call.input, "fuzz")].concat();
    let empty = (0u8..).zip(CALLS.iter()).map(|(number, _)| vec![number, 0]);
    numbered.map(message).chain(empty).collect()
}

//! The client against nodes that fail in the ways nodes fail, over real sockets.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use proto::v1::{
    self,
    environments_server::{Environments, EnvironmentsServer},
};
use proto_client::{Client, ClientConfig, Token};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    Code, Request, Response, Status,
    transport::{Identity, Server, ServerTlsConfig},
};

/// A node that answers what its script says, then success, and remembers who asked.
#[derive(Clone, Default)]
struct Node {
    script: Arc<Mutex<VecDeque<Status>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Asked {
    request_id: String,
    authorization: String,
    limited: bool,
}

impl Node {
    fn answering(script: impl IntoIterator<Item = Status>) -> Node {
        Node { script: Arc::new(Mutex::new(script.into_iter().collect())), asked: Arc::default() }
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    fn answer<T>(&self, request: &Request<impl Sized>, answer: T) -> Result<Response<T>, Status> {
        let text = |name: &str| request.metadata().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
        let asked = Asked {
            request_id: text("x-request-id"),
            authorization: text("authorization"),
            limited: request.metadata().contains_key("grpc-timeout"),
        };
        self.asked.lock().unwrap().push(asked);
        self.script.lock().unwrap().pop_front().map_or(Ok(Response::new(answer)), Err)
    }

    async fn start(&self) -> SocketAddr {
        self.start_with(Server::builder()).await
    }

    async fn start_with(&self, mut server: Server) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = server.add_service(EnvironmentsServer::new(self.clone()));
        tokio::spawn(router.serve_with_incoming(TcpListenerStream::new(listener)));
        address
    }
}

#[tonic::async_trait]
impl Environments for Node {
    async fn list(
        &self,
        request: Request<v1::ListEnvironmentsRequest>,
    ) -> Result<Response<v1::ListEnvironmentsResponse>, Status> {
        self.answer(&request, v1::ListEnvironmentsResponse { index: 7, ..Default::default() })
    }

    async fn create(&self, request: Request<v1::CreateEnvironmentRequest>) -> Result<Response<v1::Environment>, Status> {
        let name = request.get_ref().name.clone();
        self.answer(&request, v1::Environment { name, ..Default::default() })
    }

    async fn set(&self, request: Request<v1::SetEnvironmentRequest>) -> Result<Response<v1::Environment>, Status> {
        let name = request.get_ref().name.clone();
        self.answer(&request, v1::Environment { name, ..Default::default() })
    }
}

fn again() -> Status {
    let mut status = Status::aborted("the leader changed before the batch was committed");
    status.metadata_mut().insert("holdfast-retry", "same-request-id".parse().unwrap());
    status
}

async fn client(nodes: &[SocketAddr]) -> Client {
    let config = ClientConfig {
        token: Some(Token::parse("hf_test").unwrap()),
        timeout: Duration::from_secs(5),
        ..ClientConfig::new(nodes.iter().map(|address| format!("http://{address}")))
    };
    Client::connect(config).await.unwrap()
}

/// An address at which nobody listens.
async fn nobody() -> SocketAddr {
    tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

fn create(name: &str) -> v1::CreateEnvironmentRequest {
    v1::CreateEnvironmentRequest { name: name.to_owned(), ..Default::default() }
}

#[tokio::test]
async fn a_call_goes_on_to_the_next_node_with_the_same_request_id() {
    let (first, second) = (Node::answering([Status::unavailable("no leader"), again()]), Node::answering([again()]));
    let client = client(&[nobody().await, first.start().await, second.start().await]).await;
    let answer = client.environments().create(create("production")).await.unwrap();
    assert_eq!(answer.name, "production");
    let asked: Vec<_> = first.asked().into_iter().chain(second.asked()).collect();
    assert_eq!(asked.len(), 4);
    assert!(asked.iter().all(|one| *one == asked[0]), "{asked:?}");
    assert_eq!(asked[0].authorization, "Bearer hf_test");
    assert!(asked[0].limited && asked[0].request_id.len() == 36);
}

#[tokio::test]
async fn the_node_that_answered_is_asked_first_the_next_time() {
    let (first, second) = (Node::answering([Status::unavailable("sealed")]), Node::default());
    let client = client(&[first.start().await, second.start().await]).await;
    for _ in 0..3 {
        client.environments().list(v1::ListEnvironmentsRequest {}).await.unwrap();
    }
    assert_eq!((first.asked().len(), second.asked().len()), (1, 3));
    let ids: std::collections::HashSet<_> = second.asked().into_iter().map(|one| one.request_id).collect();
    assert_eq!(ids.len(), 3, "each call has its own id");
}

#[tokio::test]
async fn a_refusal_is_an_answer_and_is_not_asked_for_twice() {
    for status in
        [Status::permission_denied("ana may not"), Status::aborted("db is at v2, not v1"), Status::not_found("nothing there")]
    {
        let node = Node::answering([status.clone()]);
        let client = client(&[node.start().await, nobody().await]).await;
        let error = client.environments().create(create("a")).await.unwrap_err();
        assert_eq!((error.code, error.message.as_str(), error.attempts), (status.code(), status.message(), 1));
        assert!(!error.outcome_unknown);
        assert_eq!(error.request_id.to_string(), node.asked()[0].request_id);
    }
}

#[tokio::test]
async fn when_nobody_answers_the_error_says_why_and_that_nothing_was_done() {
    let client = client(&[nobody().await, nobody().await]).await.with_timeout(Duration::from_millis(200));
    let error = client.environments().create(create("a")).await.unwrap_err();
    assert_eq!(error.code, Code::Unavailable);
    assert!(error.message.contains("refused"), "{error}");
    assert!(error.attempts > 1 && !error.outcome_unknown);
}

#[tokio::test]
async fn what_one_attempt_leaves_open_stays_open() {
    let mut unknown = Status::unavailable("the leader changed");
    unknown.metadata_mut().insert("holdfast-outcome", "unknown".parse().unwrap());
    let node = Node::answering([unknown, Status::permission_denied("the token was revoked")]);
    let client = client(&[node.start().await]).await;
    let error = client.environments().create(create("a")).await.unwrap_err();
    assert_eq!((error.code, error.attempts, error.outcome_unknown), (Code::PermissionDenied, 2, true));
}

#[tokio::test]
async fn an_unknown_outcome_can_be_asked_again_under_its_id() {
    let node = Node::default();
    let client = client(&[node.start().await]).await;
    let id = uuid::Uuid::now_v7();
    let same = client.with_request_id(id);
    same.environments().create(create("a")).await.unwrap();
    same.environments().create(create("a")).await.unwrap();
    assert!(node.asked().iter().all(|one| one.request_id == id.to_string()));
}

#[tokio::test]
async fn each_node_can_be_asked_alone() {
    let (first, second) = (Node::default(), Node::default());
    let client = client(&[first.start().await, second.start().await]).await;
    for (_, one) in client.each_node() {
        one.environments().list(v1::ListEnvironmentsRequest {}).await.unwrap();
    }
    assert_eq!((first.asked().len(), second.asked().len()), (1, 1));
}

#[tokio::test]
async fn a_node_is_believed_only_with_a_certificate_of_the_authority() {
    let (ca, leaf, key) = authority_and_node("node.test");
    let node = Node::default();
    let tls = ServerTlsConfig::new().identity(Identity::from_pem(leaf, key));
    let address = node.start_with(Server::builder().tls_config(tls).unwrap()).await;
    let config = |ca: String, name: &str| ClientConfig {
        ca_pem: Some(ca.into_bytes()),
        server_name: Some(name.to_owned()),
        timeout: Duration::from_secs(2),
        ..ClientConfig::new([format!("https://{address}")])
    };
    let good = Client::connect(config(ca.clone(), "node.test")).await.unwrap();
    assert_eq!(good.environments().list(v1::ListEnvironmentsRequest {}).await.unwrap().index, 7);

    let stranger = authority_and_node("node.test").0;
    for bad in [config(stranger, "node.test"), config(ca, "other.test")] {
        let client = Client::connect(bad).await.unwrap().with_timeout(Duration::from_millis(300));
        let error = client.environments().list(v1::ListEnvironmentsRequest {}).await.unwrap_err();
        assert!(error.message.contains("certificate"), "{error}");
    }
    assert_eq!(node.asked().len(), 1);
}

/// The PEM of an authority, and of a certificate with its key that it gave to `name`.
fn authority_and_node(name: &str) -> (String, String, String) {
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let mut ca = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
    let issuer = rcgen::Issuer::new(ca, ca_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let leaf = rcgen::CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    (ca_pem, leaf.pem(), key.serialize_pem())
}

//! The client: its nodes, and the loop that asks them in turn.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;
use tonic::{
    Request, Response, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::Channel,
};
use uuid::Uuid;

use crate::{
    config::{ClientConfig, ConfigError, Token},
    error::ClientError,
    retry,
    services::{
        Alerts, Audit, CertRoles, Cluster, Environments, Issuers, Keys, Login, Machines, Policies, Promotions, Roles, Seal,
        Secrets, Snapshots, Tokens, Users, ValueRules, Wrapping,
    },
};

const REQUEST_ID: &str = "x-request-id";
const AUTHORIZATION: &str = "authorization";

/// A connection to one node that carries the caller's credentials.
pub type Service = InterceptedService<Channel, Credentials>;

/// Speaks to a cluster. Cloning is cheap and shares the connections.
#[derive(Clone)]
pub struct Client {
    nodes: Arc<[Node]>,
    /// Which node answered last: the next call starts there.
    preferred: Arc<AtomicUsize>,
    credentials: Credentials,
    timeout: Duration,
    request_id: Option<Uuid>,
}

#[derive(Clone)]
struct Node {
    address: String,
    channel: Channel,
}

impl Client {
    /// A client for the nodes of `config`. Connections are made when they are first used, and again when they break.
    ///
    /// # Errors
    /// When the configuration cannot be used. That no node answers shows at the first call.
    #[allow(clippy::unused_async, reason = "connections live on the runtime that this is awaited in")]
    pub async fn connect(config: ClientConfig) -> Result<Client, ConfigError> {
        let endpoints = config.endpoints()?;
        let nodes = config.endpoints.iter().zip(endpoints);
        let nodes = nodes.map(|(address, endpoint)| Node { address: address.clone(), channel: endpoint.connect_lazy() });
        Ok(Client {
            nodes: nodes.collect(),
            preferred: Arc::default(),
            credentials: Credentials::of(config.token.as_ref())?,
            timeout: config.timeout,
            request_id: None,
        })
    }

    /// The same client for another caller.
    ///
    /// # Errors
    /// When the token cannot stand in a header.
    pub fn with_token(&self, token: &Token) -> Result<Client, ConfigError> {
        Ok(Client { credentials: Credentials::of(Some(token))?, ..self.clone() })
    }

    /// The same client with another time limit for each call.
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Client {
        Client { timeout, ..self.clone() }
    }

    /// The same client, whose calls all carry `id`: to ask once more for a write whose outcome is not known.
    #[must_use]
    pub fn with_request_id(&self, id: Uuid) -> Client {
        Client { request_id: Some(id), ..self.clone() }
    }

    /// One client for each node, which asks that node alone.
    #[must_use]
    pub fn each_node(&self) -> Vec<(String, Client)> {
        let alone = |node: &Node| {
            let client = Client { nodes: Arc::new([node.clone()]), preferred: Arc::default(), ..self.clone() };
            (node.address.clone(), client)
        };
        self.nodes.iter().map(alone).collect()
    }

    /// Reading and writing secrets.
    #[must_use]
    pub fn secrets(&self) -> Secrets<'_> {
        Secrets(self)
    }

    /// Environments.
    #[must_use]
    pub fn environments(&self) -> Environments<'_> {
        Environments(self)
    }

    /// Tokens.
    #[must_use]
    pub fn tokens(&self) -> Tokens<'_> {
        Tokens(self)
    }

    /// Policies.
    #[must_use]
    pub fn policies(&self) -> Policies<'_> {
        Policies(self)
    }

    /// Roles.
    #[must_use]
    pub fn roles(&self) -> Roles<'_> {
        Roles(self)
    }

    /// Logging in.
    #[must_use]
    pub fn login(&self) -> Login<'_> {
        Login(self)
    }

    /// Users.
    #[must_use]
    pub fn users(&self) -> Users<'_> {
        Users(self)
    }

    /// Machines.
    #[must_use]
    pub fn machines(&self) -> Machines<'_> {
        Machines(self)
    }

    /// Wrapping.
    #[must_use]
    pub fn wrapping(&self) -> Wrapping<'_> {
        Wrapping(self)
    }

    /// Certificate roles.
    #[must_use]
    pub fn cert_roles(&self) -> CertRoles<'_> {
        CertRoles(self)
    }

    /// Issuers of signed tokens.
    #[must_use]
    pub fn issuers(&self) -> Issuers<'_> {
        Issuers(self)
    }

    /// The journal.
    #[must_use]
    pub fn audit(&self) -> Audit<'_> {
        Audit(self)
    }

    /// The cluster and its members.
    #[must_use]
    pub fn cluster(&self) -> Cluster<'_> {
        Cluster(self)
    }

    /// Alerts and where they go.
    #[must_use]
    pub fn alerts(&self) -> Alerts<'_> {
        Alerts(self)
    }

    /// Promotions between environments.
    #[must_use]
    pub fn promotions(&self) -> Promotions<'_> {
        Promotions(self)
    }

    /// Rules for values.
    #[must_use]
    pub fn value_rules(&self) -> ValueRules<'_> {
        ValueRules(self)
    }

    /// Keys of environments, of the system and of the cluster.
    #[must_use]
    pub fn keys(&self) -> Keys<'_> {
        Keys(self)
    }

    /// The seal of a node: ask each node by itself ([`each_node`](Client::each_node)).
    #[must_use]
    pub fn seal(&self) -> Seal<'_> {
        Seal(self)
    }

    /// Snapshots for disaster recovery.
    #[must_use]
    pub fn snapshots(&self) -> Snapshots<'_> {
        Snapshots(self)
    }

    /// The connection that the next call would use, for the generated clients of [`crate::v1`]. It carries the token and a
    /// request id, and neither retries nor limits time.
    #[must_use]
    pub fn service(&self) -> Service {
        self.service_of(self.node(0))
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    fn service_of(&self, node: &Node) -> Service {
        InterceptedService::new(node.channel.clone(), self.credentials.clone())
    }

    fn node(&self, attempt: u32) -> &Node {
        let first = self.preferred.load(Ordering::Relaxed);
        &self.nodes[(first + attempt as usize) % self.nodes.len()]
    }

    fn prefer(&self, node: &Node) {
        let index = self.nodes.iter().position(|known| std::ptr::eq(known, node));
        self.preferred.store(index.unwrap_or_default(), Ordering::Relaxed);
    }

    /// Sends a message until it is answered, refused for good, or the time is up.
    pub(crate) async fn call<Q, A, F, S>(&self, message: Q, send: F) -> Result<A, ClientError>
    where
        Q: Clone,
        F: Fn(Service, Request<Q>) -> S,
        S: Future<Output = Result<Response<A>, Status>>,
    {
        let opened = self.attempts(Limit::WholeCall, || message.clone(), send).await?;
        Ok(opened.answer)
    }

    /// Opens a stream of answers; the time limit holds for the opening alone.
    pub(crate) async fn open<Q, A, F, S>(&self, message: impl Fn() -> Q, send: F) -> Result<Opened<A>, ClientError>
    where
        F: Fn(Service, Request<Q>) -> S,
        S: Future<Output = Result<Response<A>, Status>>,
    {
        self.attempts(Limit::Opening, message, send).await
    }

    async fn attempts<Q, A, F, S>(&self, limit: Limit, message: impl Fn() -> Q, send: F) -> Result<Opened<A>, ClientError>
    where
        F: Fn(Service, Request<Q>) -> S,
        S: Future<Output = Result<Response<A>, Status>>,
    {
        let request_id = self.request_id.unwrap_or_else(Uuid::now_v7);
        let deadline = Instant::now() + self.timeout;
        // A late attempt that is only cut off by the clock says less than the failure before it.
        let mut failed: Option<ClientError> = None;
        for attempt in 0.. {
            let node = self.node(attempt);
            let request = request(message(), request_id, limit, deadline);
            let status = match tokio::time::timeout_at(deadline, send(self.service_of(node), request)).await {
                Ok(Ok(response)) => {
                    self.prefer(node);
                    return Ok(Opened { answer: response.into_inner(), request_id, address: node.address.clone() });
                }
                Ok(Err(status)) if !retry::is_out_of_time(&status) => status,
                Ok(Err(_)) | Err(_) => Status::deadline_exceeded(format!("no answer within {:?}", self.timeout)),
            };
            let mut error = ClientError::from_status(&status, request_id, &node.address, attempt + 1);
            // What one attempt left open, no later failure closes.
            error.outcome_unknown |= failed.as_ref().is_some_and(|before| before.outcome_unknown);
            let resume = Instant::now() + retry::wait(attempt + 1);
            if !retry::may_help(&status) || resume >= deadline {
                return Err(last_word(failed, error));
            }
            failed = Some(error);
            tokio::time::sleep_until(resume).await;
        }
        unreachable!("attempts end by an answer, a refusal or the deadline")
    }
}

/// What the caller is told: why nobody could answer, rather than that the time ran out while asking.
fn last_word(before: Option<ClientError>, last: ClientError) -> ClientError {
    match before {
        Some(before) if last.code == tonic::Code::DeadlineExceeded => {
            ClientError { attempts: last.attempts, outcome_unknown: last.outcome_unknown, ..before }
        }
        _ => last,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Limit {
    WholeCall,
    Opening,
}

/// A stream that was opened, and where.
pub(crate) struct Opened<A> {
    pub(crate) answer: A,
    pub(crate) request_id: Uuid,
    pub(crate) address: String,
}

fn request<Q>(message: Q, request_id: Uuid, limit: Limit, deadline: Instant) -> Request<Q> {
    let mut request = Request::new(message);
    request.metadata_mut().insert(REQUEST_ID, ascii(&request_id.to_string()));
    if limit == Limit::WholeCall {
        request.set_timeout(deadline.saturating_duration_since(Instant::now()));
    }
    request
}

fn ascii(text: &str) -> MetadataValue<Ascii> {
    text.parse().expect("a UUID is ASCII")
}

/// Puts the token, and a request id where there is none yet, into each call.
#[derive(Clone)]
pub struct Credentials {
    bearer: Option<MetadataValue<Ascii>>,
}

impl Credentials {
    fn of(token: Option<&Token>) -> Result<Credentials, ConfigError> {
        let bearer = token.map(|token| {
            let text = zeroize::Zeroizing::new(format!("Bearer {}", token.expose()));
            let mut value: MetadataValue<Ascii> = text.parse().map_err(|_| ConfigError::Token)?;
            value.set_sensitive(true);
            Ok(value)
        });
        Ok(Credentials { bearer: bearer.transpose()? })
    }
}

impl Interceptor for Credentials {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(bearer) = &self.bearer {
            request.metadata_mut().insert(AUTHORIZATION, bearer.clone());
        }
        if request.metadata().get(REQUEST_ID).is_none() {
            request.metadata_mut().insert(REQUEST_ID, ascii(&Uuid::now_v7().to_string()));
        }
        Ok(request)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Credentials(redacted)")
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses: Vec<_> = self.nodes.iter().map(|node| &node.address).collect();
        formatter.debug_struct("Client").field("nodes", &addresses).field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

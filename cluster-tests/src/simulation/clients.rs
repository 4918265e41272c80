//! Callers, and what they are told.

use super::network::Life;
use super::world::Doors;
use super::{chance, watch::Watch};
use chaos_history::{Call, Expect, Operation, Outcome, version_named};
use parking_lot::Mutex;
use proto::v1;
use proto::v1::secrets_client::SecretsClient;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tonic::service::Routes;
use tonic::{Code, Request, Status};
use uuid::Uuid;

/// The environment that callers work in.
pub(super) const ENVIRONMENT: &str = "development";
/// How long one attempt may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(4);
/// Attempts with one request id, each at another node: some callers give up early.
pub(super) const ATTEMPTS: std::ops::RangeInclusive<u64> = 1..=3;
/// Acknowledged changes that may be asked for again.
const CHANGES_REMEMBERED: usize = 400;
/// The wait before another.
const AGAIN_MS: std::ops::RangeInclusive<u64> = 5..=150;

/// All callers of a world.
#[derive(Clone)]
pub(super) struct Callers {
    doors: Doors,
    token: String,
    shared: Arc<Mutex<Shared>>,
    began: Instant,
}

#[derive(Default)]
struct Shared {
    told: Vec<Operation>,
    last_ns: u64,
    newest: HashMap<String, u64>,
    /// The newest changes that were acknowledged: asked again with the same request id they have the same answer.
    changes: VecDeque<Operation>,
    /// Failures within a node that callers were told of, and by whom.
    failures: Vec<(u64, String)>,
    watch: Watch,
}

/// What one attempt came to.
struct Told {
    outcome: Outcome,
    record: Option<u64>,
    words: String,
}

impl Callers {
    pub(super) fn new(doors: Doors, token: String, began: Instant) -> Callers {
        Callers { doors, token, shared: Arc::default(), began }
    }

    /// Now, in nanoseconds of the world: never the same twice, so that what came first is known even within one tick.
    pub(super) fn now_ns(&self) -> u64 {
        let now = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let mut shared = self.shared.lock();
        shared.last_ns = now.max(shared.last_ns + 1);
        shared.last_ns
    }

    /// Everything that was told so far, in the order in which it was told.
    pub(super) fn told(&self) -> Vec<Operation> {
        self.shared.lock().told.clone()
    }

    /// How much that is.
    pub(super) fn told_count(&self) -> usize {
        self.shared.lock().told.len()
    }

    /// The newest of it from `from` on.
    pub(super) fn told_from(&self, from: usize) -> Vec<Operation> {
        self.shared.lock().told[from..].to_vec()
    }

    /// The newest version of a secret that anybody was told of.
    pub(super) fn newest(&self, key: &str) -> u64 {
        self.shared.lock().newest.get(key).copied().unwrap_or(0)
    }

    /// Asks for an acknowledged change again, some time after it was acknowledged: whatever else has happened, the answer is the same.
    pub(super) async fn ask_again(&self, node: u64) {
        let changes: Vec<Operation> = self.shared.lock().changes.iter().cloned().collect();
        if changes.is_empty() {
            return;
        }
        let which = usize::try_from(chance::of(0..=changes.len() as u64 - 1)).unwrap_or(0);
        let first = &changes[which];
        self.again(node, first).await;
    }

    /// Asks for a change again, with the same request id; what is said now.
    pub(super) async fn again(&self, node: u64, first: &Operation) -> Outcome {
        let again = self.attempt(node, first.request, &first.key, &first.call).await.outcome;
        let is_told = matches!(again, Outcome::Written { .. } | Outcome::Hidden { .. } | Outcome::Refused { .. });
        if is_told && first.is_answered() && again != first.outcome {
            let found = format!("{first}, and when it was asked for again node {node} answered {again:?}");
            self.shared.lock().watch.found(found);
        }
        again
    }

    /// Failures within nodes that callers were told of since the last time.
    pub(super) fn failures(&self) -> Vec<(u64, String)> {
        std::mem::take(&mut self.shared.lock().failures)
    }

    /// What is watched after every step.
    pub(super) fn watch<T>(&self, look: impl FnOnce(&mut Watch) -> T) -> T {
        look(&mut self.shared.lock().watch)
    }

    /// Asks, at one node after the other where there is no answer, so often at most, and keeps what it is told.
    pub(super) async fn ask(&self, client: u32, key: String, call: Call, first: u64, attempts: u64) -> Operation {
        let (request, called_ns) = (Uuid::new_v4(), self.now_ns());
        let mut node = first;
        let mut doubt = false;
        let mut told = Told { outcome: Outcome::NotDone, record: None, words: String::new() };
        for attempt in 1..=attempts {
            told = self.attempt(node, request, &key, &call).await;
            doubt |= told.outcome == Outcome::Unknown;
            if !matches!(told.outcome, Outcome::Unknown | Outcome::NotDone) || attempt == attempts {
                break;
            }
            tokio::time::sleep(Duration::from_millis(chance::of(AGAIN_MS))).await;
            node = chance::one(&self.nodes()).unwrap_or(node);
        }
        if doubt && told.outcome == Outcome::NotDone {
            told.outcome = Outcome::Unknown;
        }
        let Told { outcome, record, words } = told;
        let returned_ns = self.now_ns();
        let operation = Operation { client, request, record, called_ns, returned_ns, key, call, outcome, words };
        let mut shared = self.shared.lock();
        if let Outcome::Written { version } | Outcome::Found { version, .. } | Outcome::Refused { found: Some(version) } =
            operation.outcome
        {
            shared.newest.insert(operation.key.clone(), version);
        }
        if operation.changed_version().is_some() {
            shared.changes.push_back(operation.clone());
            if shared.changes.len() > CHANGES_REMEMBERED {
                shared.changes.pop_front();
            }
        }
        shared.told.push(operation.clone());
        operation
    }

    /// Nodes that are up.
    pub(super) fn nodes(&self) -> Vec<u64> {
        self.doors.lock().keys().copied().collect()
    }

    /// The services of a node, and its life.
    pub(super) fn door(&self, node: u64) -> Option<(Routes, Life)> {
        self.doors.lock().get(&node).cloned()
    }

    pub(super) fn request<T>(&self, message: T, id: Uuid) -> Request<T> {
        let mut request = Request::new(message);
        let bearer = format!("Bearer {}", self.token);
        // Both are plain text.
        if let (Ok(bearer), Ok(id)) = (bearer.parse(), id.to_string().parse()) {
            request.metadata_mut().insert("authorization", bearer);
            request.metadata_mut().insert("x-request-id", id);
        }
        request.set_timeout(PATIENCE);
        request
    }

    async fn attempt(&self, node: u64, id: Uuid, key: &str, call: &Call) -> Told {
        let Some((routes, life)) = self.door(node) else {
            return Told { outcome: Outcome::NotDone, record: None, words: format!("node {node} is down") };
        };
        let answered = async {
            let told = self.call(SecretsClient::new(routes), id, key, call).await;
            if let Ok(Told { record: Some(record), .. }) = &told {
                self.shared.lock().watch.answered(node, *record);
            }
            told.unwrap_or_else(|status| {
                if matches!(status.code(), Code::Internal | Code::DataLoss) {
                    self.shared.lock().failures.push((node, format!("{call:?} of {key}: {status}")));
                }
                failed(&status, key)
            })
        };
        let unknown = |words: &str| Told { outcome: Outcome::Unknown, record: None, words: words.to_owned() };
        tokio::select! {
            biased;
            () = life.ended() => unknown("the node ended"),
            answered = tokio::time::timeout(PATIENCE, answered) => answered.unwrap_or_else(|_| unknown("no answer in time")),
        }
    }

    async fn call(&self, mut secrets: SecretsClient<Routes>, id: Uuid, key: &str, call: &Call) -> Result<Told, Status> {
        let (environment, path) = (ENVIRONMENT.to_owned(), key.to_owned());
        let told = |record, outcome| Told { outcome, record: Some(record), words: String::new() };
        match call {
            Call::Put { value, expect } => {
                let kind = match expect {
                    Expect::Anything => None,
                    Expect::Absent => Some(v1::expectation::Kind::Absent(true)),
                    Expect::Version(version) => Some(v1::expectation::Kind::Version(*version)),
                };
                let value = v1::Value { kind: Some(v1::value::Kind::Bytes(value.clone().into_bytes().into())) };
                let expect = kind.map(|kind| v1::Expectation { kind: Some(kind) });
                let put = v1::PutRequest { environment, path, value: Some(value), expect, metadata: None };
                let answer = secrets.put(self.request(put, id)).await?.into_inner();
                Ok(told(answer.index, Outcome::Written { version: answer.version }))
            }
            Call::Get => {
                let get = v1::GetRequest { environment, path, version: 0 };
                let answer = secrets.get(self.request(get, id)).await?.into_inner();
                let version = answer.version.as_ref().map_or(0, |version| version.version);
                Ok(told(answer.index, Outcome::Found { version, value: text_of(answer.value) }))
            }
            Call::Delete => {
                let delete = v1::VersionsRequest { environment, path, versions: Vec::new(), all: false };
                let answer = secrets.delete(self.request(delete, id)).await?.into_inner();
                Ok(told(answer.index, Outcome::Hidden { version: answer.versions.last().copied().unwrap_or(0) }))
            }
            Call::Look => {
                let prefix = path.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
                let list = v1::ListRequest {
                    environment,
                    prefix,
                    recursive: true,
                    limit: 0,
                    cursor: String::new(),
                    include_deleted: true,
                };
                let answer = secrets.list(self.request(list, id)).await?.into_inner();
                let found = answer.entries.into_iter().find(|entry| entry.path == key).and_then(|entry| entry.secret);
                let seen = found.map_or(Outcome::Seen { version: 0, live: false }, |secret| Outcome::Seen {
                    version: secret.newest_version,
                    live: !secret.deleted,
                });
                Ok(told(answer.index, seen))
            }
        }
    }
}

/// What a value holds, as text.
pub(super) fn text_of(value: Option<v1::Value>) -> String {
    match value.and_then(|value| value.kind) {
        Some(v1::value::Kind::Bytes(bytes)) => String::from_utf8_lossy(&bytes).into_owned(),
        _ => "not bytes".to_owned(),
    }
}

/// What a failure means, in the history's words.
fn failed(status: &Status, key: &str) -> Told {
    let said = status.metadata().get("holdfast-outcome").is_some_and(|outcome| outcome == "unknown");
    let outcome = match status.code() {
        Code::DeadlineExceeded | Code::Unknown | Code::Cancelled => Outcome::Unknown,
        _ if said => Outcome::Unknown,
        Code::NotFound | Code::FailedPrecondition => {
            version_named(status.message(), key).map_or(Outcome::NotDone, |found| Outcome::Refused { found: Some(found) })
        }
        _ => Outcome::NotDone,
    };
    Told { outcome, record: None, words: format!("{:?}: {}", status.code(), status.message()) }
}

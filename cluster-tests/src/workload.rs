//! Writers and readers that remember what they were told, to hold the cluster to it afterwards.

use proto::v1;
use proto_client::Client;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinSet;
use uuid::Uuid;

/// The environment that the workload uses.
pub const ENVIRONMENT: &str = "development";

/// A write that was tried; acknowledged when it has a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Its request id.
    pub request: Uuid,
    /// The value.
    pub value: String,
    /// The version that the cluster acknowledged.
    pub version: Option<u64>,
}

/// A read that was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// Its request id.
    pub request: Uuid,
    /// Whose secret.
    pub writer: usize,
    /// The version that was answered.
    pub version: u64,
    /// The newest version that had been acknowledged when the read began.
    pub floor: u64,
}

/// What one run of the workload was told.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// By writer, in the order tried.
    pub writes: Vec<Vec<Write>>,
    /// All answered reads.
    pub reads: Vec<Read>,
    /// Why reads were not answered, after all retries.
    pub unanswered_reads: Vec<String>,
}

impl History {
    /// Acknowledged writes.
    #[must_use]
    pub fn acknowledged(&self) -> usize {
        self.writes.iter().flatten().filter(|write| write.version.is_some()).count()
    }
}

/// A running workload: each writer puts to a secret of its own, readers read any of them.
pub struct Workload {
    stop: Arc<AtomicBool>,
    history: Arc<Mutex<History>>,
    tasks: JoinSet<()>,
}

/// The path of a writer's secret.
#[must_use]
pub fn path_of(writer: usize) -> String {
    format!("workload/writer-{writer}")
}

impl Workload {
    /// Starts writers and readers, spread over `clients`. Writer numbers and values go on from `history`.
    #[must_use]
    pub fn start(clients: &[Client], writers: usize, readers: usize, mut history: History) -> Workload {
        history.writes.resize_with(writers, Vec::new);
        let acknowledged: Arc<Vec<AtomicU64>> =
            Arc::new(history.writes.iter().map(|writes| AtomicU64::new(newest(writes))).collect());
        let (stop, history) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(history)));
        let mut tasks = JoinSet::new();
        for writer in 0..writers {
            let client = clients[writer % clients.len()].clone();
            tasks.spawn(write(client, writer, stop.clone(), history.clone(), acknowledged.clone()));
        }
        for reader in 0..readers {
            let client = clients[reader % clients.len()].clone();
            tasks.spawn(read(client, reader, stop.clone(), history.clone(), acknowledged.clone()));
        }
        Workload { stop, history, tasks }
    }

    /// What has been told so far. Taken right before a power cut: what is acknowledged later may rest on a dying disk's word.
    ///
    /// # Panics
    /// When a task panicked.
    #[must_use]
    pub fn so_far(&self) -> History {
        self.history.lock().expect("no task panicked").clone()
    }

    /// Stops and returns everything that was told.
    ///
    /// # Panics
    /// When a task panicked.
    pub async fn finish(mut self) -> History {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("no task panicked");
        }
        std::mem::take(&mut *self.history.lock().expect("no task panicked"))
    }

    /// Drops what is under way: the cluster is gone.
    pub fn abandon(mut self) {
        self.tasks.abort_all();
    }
}

fn newest(writes: &[Write]) -> u64 {
    writes.iter().filter_map(|write| write.version).max().unwrap_or(0)
}

async fn write(
    client: Client,
    writer: usize,
    stop: Arc<AtomicBool>,
    history: Arc<Mutex<History>>,
    acknowledged: Arc<Vec<AtomicU64>>,
) {
    while !stop.load(Ordering::Relaxed) {
        let request = Uuid::new_v4();
        let at = {
            let mut history = history.lock().expect("no task panicked");
            let writes = &mut history.writes[writer];
            writes.push(Write { request, value: format!("w{writer}-{}", writes.len()), version: None });
            writes.len() - 1
        };
        let value = format!("w{writer}-{at}");
        let put = v1::PutRequest {
            environment: ENVIRONMENT.into(),
            path: path_of(writer),
            value: Some(v1::Value { kind: Some(v1::value::Kind::Bytes(value.into_bytes().into())) }),
            expect: None,
            metadata: None,
        };
        match client.with_request_id(request).secrets().put(put).await {
            Ok(done) => {
                history.lock().expect("no task panicked").writes[writer][at].version = Some(done.version);
                acknowledged[writer].fetch_max(done.version, Ordering::SeqCst);
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

async fn read(
    client: Client,
    reader: usize,
    stop: Arc<AtomicBool>,
    history: Arc<Mutex<History>>,
    acknowledged: Arc<Vec<AtomicU64>>,
) {
    let mut turn = reader;
    while !stop.load(Ordering::Relaxed) {
        turn += 1;
        let writer = turn % acknowledged.len();
        let floor = acknowledged[writer].load(Ordering::SeqCst);
        let request = Uuid::new_v4();
        let get = v1::GetRequest { environment: ENVIRONMENT.into(), path: path_of(writer), version: 0 };
        match client.with_request_id(request).secrets().get(get).await {
            Ok(answer) => {
                let version = answer.version.map_or(0, |version| version.version);
                history.lock().expect("no task panicked").reads.push(Read { request, writer, version, floor });
            }
            // A secret that nobody has written yet is answered: it is not there.
            Err(error) if error.code == tonic::Code::NotFound && floor == 0 => {
                tokio::time::sleep(Duration::from_millis(20)).await
            }
            Err(error) => {
                history.lock().expect("no task panicked").unanswered_reads.push(error.to_string());
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

//! Callers that write and read all the time, and remember what they were told.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use proto_client::{Client, v1};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{
    history::{History, Read, Told},
    stage::Stage,
};
use crate::fault::Fault;

/// The environment that is written to.
pub(super) const ENVIRONMENT: &str = "development";
/// Between two calls of one caller: the faults are measured, not how much the machine can take.
const PAUSE: Duration = Duration::from_millis(5);
/// A reader asks one node only, which may be gone: it gives up soon.
const READ_TIME: Duration = Duration::from_secs(1);

/// The secret that a writer writes.
pub(super) fn path_of(writer: usize) -> String {
    format!("drill/writer-{writer}")
}

/// Callers at work.
pub(super) struct Load {
    stop: Arc<AtomicBool>,
    history: Arc<History>,
    tasks: JoinSet<()>,
}

impl Load {
    /// Starts them. Writers use all nodes, each beginning with another; a reader uses one.
    pub(super) async fn start(stage: &Stage, writers: u64, readers: u64) -> Result<Load, Fault> {
        let (writers, readers) = (writers as usize, readers as usize);
        let (stop, history) = (Arc::new(AtomicBool::new(false)), Arc::new(History::new(writers)));
        let mut tasks = JoinSet::new();
        for writer in 0..writers {
            let client = stage.client_from(writer).await?;
            tasks.spawn(write(client, writer, stop.clone(), history.clone()));
        }
        for reader in 0..readers {
            let node = reader % stage.nodes();
            let client = stage.client_of(node).await?.with_timeout(READ_TIME);
            tasks.spawn(read(client, node, reader, stop.clone(), history.clone()));
        }
        Ok(Load { stop, history, tasks })
    }

    pub(super) fn history(&self) -> &History {
        &self.history
    }

    /// Lets everybody end what is under way, and gives what they were told.
    pub(super) async fn finish(mut self) -> Told {
        self.stop.store(true, Ordering::Relaxed);
        while self.tasks.join_next().await.is_some() {}
        self.history.take()
    }
}

async fn write(client: Client, writer: usize, stop: Arc<AtomicBool>, history: Arc<History>) {
    let mut turn = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        turn += 1;
        let request = Uuid::now_v7();
        history.trying(writer);
        let value = v1::value::Kind::Bytes(format!("writer {writer}, write {turn}").into_bytes().into());
        let put = v1::PutRequest {
            environment: ENVIRONMENT.to_owned(),
            path: path_of(writer),
            value: Some(v1::Value { kind: Some(value) }),
            ..v1::PutRequest::default()
        };
        let began = history.now();
        match client.with_request_id(request).secrets().put(put).await {
            Ok(done) => history.acknowledged(writer, request, done.version, began),
            Err(_) => history.write_failed(),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn read(client: Client, node: usize, reader: usize, stop: Arc<AtomicBool>, history: Arc<History>) {
    let mut turn = reader;
    while !stop.load(Ordering::Relaxed) {
        turn += 1;
        let writer = turn % history.writers();
        let floor = history.floor(writer);
        if floor > 0 {
            let request = Uuid::now_v7();
            let get = v1::GetRequest { environment: ENVIRONMENT.to_owned(), path: path_of(writer), version: 0 };
            match client.with_request_id(request).secrets().get(get).await {
                Ok(answer) => {
                    let version = answer.version.map_or(0, |version| version.version);
                    history.answered(writer, Read { node, request, version, floor });
                }
                Err(_) => history.read_failed(),
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

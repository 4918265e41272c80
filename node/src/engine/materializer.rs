//! Writes the applied state into sled, behind the commit path, in large batches.
//!
//! It gathers what changed, writes each row once as the newest state has it, and then lets go of the values that waited.
//! Nothing here is on the way of an answer; what is lost in a crash is written again when the log is replayed.

use crate::engine::stores::{Home, Stores, row};
use crate::engine::values::{ValueKey, Values};
use node_domain::State;
use node_domain::ids::{Accessor, EnvironmentName, PolicyName, SecretPath};
use node_domain::sealed::Payload;
use proto_record::codec::{self, Kind};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;
use storage::materialized::{MaterializedError, RowOp};

/// Batches that may wait; beyond it the fold waits for the disk.
const QUEUE_MAX: usize = 8192;
/// Changes gathered into one write.
const GATHER_CHANGES_MAX: usize = 16_384;
/// How long it waits before it tries a failed write again.
const RETRY: Duration = Duration::from_secs(1);

/// One thing that changed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Changed {
    Environment(EnvironmentName),
    Secret(EnvironmentName, SecretPath),
    Token(Accessor),
    Policy(PolicyName),
}

/// What one batch changed, and the state after it.
pub(crate) struct Applied {
    pub(crate) state: State,
    pub(crate) changed: Vec<Changed>,
    pub(crate) added: Vec<(EnvironmentName, ValueKey, Arc<Payload>)>,
    pub(crate) removed: Vec<(EnvironmentName, ValueKey)>,
}

enum Work {
    Applied(Box<Applied>),
    Flush(SyncSender<Result<(), MaterializedError>>),
}

/// The handle to the thread.
pub(crate) struct Materializer {
    queue: Option<SyncSender<Work>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Materializer {
    pub(crate) fn start(stores: Arc<Stores>, values: Arc<Values>) -> std::io::Result<Materializer> {
        let (queue, work) = sync_channel(QUEUE_MAX);
        let writer = Writer { stores, values };
        let thread = std::thread::Builder::new().name("materializer".into()).spawn(move || writer.run(&work))?;
        Ok(Materializer { queue: Some(queue), thread: Some(thread) })
    }

    /// Hands over what a batch changed; waits when the disk is far behind.
    pub(crate) fn applied(&self, applied: Applied) {
        let Some(queue) = &self.queue else { return };
        match queue.try_send(Work::Applied(Box::new(applied))) {
            Ok(()) | Err(TrySendError::Disconnected(_)) => {}
            Err(TrySendError::Full(work)) => {
                tracing::warn!("the materialized state is {QUEUE_MAX} batches behind: waiting for the disk");
                let _ = queue.send(work);
            }
        }
    }

    /// Writes everything handed over so far and makes it durable. Blocking.
    pub(crate) fn flush(&self) -> std::io::Result<()> {
        let stopped = || std::io::Error::other("the materializer has stopped");
        let (sender, done) = sync_channel(1);
        self.queue.as_ref().ok_or_else(stopped)?.send(Work::Flush(sender)).map_err(|_| stopped())?;
        done.recv().map_err(|_| stopped())?.map_err(std::io::Error::other)
    }
}

impl Drop for Materializer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Writer {
    stores: Arc<Stores>,
    values: Arc<Values>,
}

/// Changes of several batches, each row once.
#[derive(Default)]
struct Gathered {
    state: Option<State>,
    changed: BTreeSet<Changed>,
    /// `None` where the value went again.
    payloads: BTreeMap<(EnvironmentName, ValueKey), Option<Arc<Payload>>>,
}

impl Gathered {
    fn take(&mut self, applied: Applied) {
        self.state = Some(applied.state);
        self.changed.extend(applied.changed);
        for (environment, key, payload) in applied.added {
            self.payloads.insert((environment, key), Some(payload));
        }
        for (environment, key) in applied.removed {
            self.payloads.insert((environment, key), None);
        }
    }

    fn len(&self) -> usize {
        self.changed.len() + self.payloads.len()
    }
}

impl Writer {
    fn run(&self, work: &Receiver<Work>) {
        while let Ok(first) = work.recv() {
            let mut gathered = Gathered::default();
            let mut flushes = Vec::new();
            self.gather(first, work, &mut gathered, &mut flushes);
            self.write_until_done(&gathered);
            self.values.stored(gathered.payloads.into_keys().map(|(_, key)| key));
            for done in flushes {
                let _ = done.send(self.stores.make_durable());
            }
        }
        if let Err(error) = self.stores.make_durable() {
            tracing::warn!(%error, "the materialized state could not be made durable; it will be rebuilt from the log");
        }
    }

    fn gather(
        &self,
        first: Work,
        work: &Receiver<Work>,
        gathered: &mut Gathered,
        flushes: &mut Vec<SyncSender<Result<(), MaterializedError>>>,
    ) {
        let mut next = Some(first);
        while let Some(piece) = next.take() {
            match piece {
                Work::Applied(applied) => gathered.take(*applied),
                // Whoever flushes waits: write what is there now.
                Work::Flush(done) => {
                    flushes.push(done);
                    return;
                }
            }
            if gathered.len() < GATHER_CHANGES_MAX {
                // Whatever came while the last write was under way joins this one.
                next = work.try_recv().ok();
            }
        }
    }

    /// A full disk is retried: the values wait in memory, the queue fills, and the fold waits. Nothing is dropped.
    fn write_until_done(&self, gathered: &Gathered) {
        let Some(state) = &gathered.state else { return };
        let rows = rows(state, gathered);
        for (home, rows) in rows {
            while let Err(error) = self.stores.write(&home, rows.clone(), state.revision().0) {
                tracing::error!(%error, ?home, "materialized state not written, trying again");
                std::thread::sleep(RETRY);
            }
        }
    }
}

/// The rows of each database, as the newest state has them. Every database gets its marker moved, rows or not.
fn rows(state: &State, gathered: &Gathered) -> BTreeMap<Home, Vec<RowOp>> {
    let mut rows: BTreeMap<Home, Vec<RowOp>> = BTreeMap::new();
    rows.insert(Home::System, Vec::new());
    for environment in state.environments() {
        rows.insert(Home::Environment(environment.about.name.clone()), Vec::new());
    }
    for changed in &gathered.changed {
        let (home, op) = row_of(state, changed);
        rows.entry(home).or_default().push(op);
    }
    for ((environment, key), payload) in &gathered.payloads {
        let value = payload.as_ref().map(|payload| codec::encode(Kind::Row, &**payload));
        rows.entry(Home::Environment(environment.clone())).or_default().push(RowOp { key: row::payload(*key), value });
    }
    rows
}

fn row_of(state: &State, changed: &Changed) -> (Home, RowOp) {
    match changed {
        Changed::Environment(name) => {
            let value = state.environment(name).ok().map(|environment| codec::encode(Kind::Row, &*environment.about));
            (Home::Environment(name.clone()), RowOp { key: row::environment(), value })
        }
        Changed::Secret(name, path) => {
            let secret = state.environment(name).and_then(|environment| environment.secret(path)).ok();
            let value = secret.map(|secret| codec::encode(Kind::Row, &**secret));
            (Home::Environment(name.clone()), RowOp { key: row::secret(path.as_str()), value })
        }
        Changed::Token(accessor) => {
            let value = state.token_by_accessor(accessor).map(|token| codec::encode(Kind::Row, token));
            (Home::System, RowOp { key: row::token(&accessor.0), value })
        }
        Changed::Policy(name) => {
            let value = state.policy(name).map(|policy| codec::encode(Kind::Row, policy));
            (Home::System, RowOp { key: row::policy(name.as_str()), value })
        }
    }
}

/// Everything in a state, as if it had just changed: to rebuild the databases from a snapshot.
pub(crate) fn everything(state: &State) -> Vec<Changed> {
    let environments = state.environments().flat_map(|environment| {
        let name = environment.about.name.clone();
        let about = std::iter::once(Changed::Environment(name.clone()));
        about.chain(environment.secrets.keys().map(move |path| Changed::Secret(name.clone(), path.clone())))
    });
    environments
        .chain(state.tokens().map(|token| Changed::Token(token.accessor)))
        .chain(state.policies().map(|policy| Changed::Policy(policy.name.clone())))
        .collect()
}

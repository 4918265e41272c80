//! Writes the applied state into sled, behind the commit path, in large batches.
//!
//! It gathers what changed, writes each row once as the newest state has it, and then lets go of the values that waited.
//! Nothing here is on the way of an answer; what is lost in a crash is written again when the log is replayed.

use crate::engine::stores::{Home, Stores, row};
use crate::engine::values::{ValueKey, Values};
use node_domain::State;
use node_domain::ids::{Accessor, EnvironmentName, PolicyName, SecretPath};
use node_domain::sealed::Payload;
use parking_lot::Mutex;
use proto_record::codec::{self, Kind};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;
use storage::materialized::{MaterializedError, RowOp};
use storage::workers;
use tokio::sync::watch;

/// Batches that may wait; beyond it the fold waits for the disk.
const QUEUE_MAX: usize = 8192;
/// Changes gathered into one write.
const GATHER_CHANGES_MAX: usize = 16_384;
/// How long changes wait for company: a row that changes often is written once, and one write carries many rows.
const GATHER_TIME: Duration = Duration::from_millis(100);
/// How long it waits before it tries a failed write again, and how often it tries.
const RETRY: Duration = Duration::from_millis(200);
const TRIES_MAX: u32 = 10;

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

type Flush = SyncSender<Result<(), MaterializedError>>;

enum Work {
    Applied(Box<Applied>),
    Flush(Flush),
}

/// The handle to the thread.
pub(crate) struct Materializer {
    queue: Option<SyncSender<Work>>,
    thread: Option<std::thread::JoinHandle<()>>,
    /// In a simulation there is no thread: whoever hands something over writes it.
    own: Option<Mutex<Writer>>,
    failure: watch::Receiver<Option<String>>,
}

impl Materializer {
    pub(crate) fn start(stores: Arc<Stores>, values: Arc<Values>) -> std::io::Result<Materializer> {
        let (queue, work) = sync_channel(QUEUE_MAX);
        let (failed, failure) = watch::channel(None);
        let writer = Writer { stores, values, newest: None, failure: failed };
        if workers::are_simulated() {
            return Ok(Materializer { queue: None, thread: None, own: Some(Mutex::new(writer)), failure });
        }
        let thread = std::thread::Builder::new().name("materializer".into()).spawn(move || writer.run(&work))?;
        Ok(Materializer { queue: Some(queue), thread: Some(thread), own: None, failure })
    }

    /// Turns into the reason when the state cannot be written any more; the node has to stop then.
    pub(crate) fn watch_failure(&self) -> watch::Receiver<Option<String>> {
        self.failure.clone()
    }

    /// Hands over what a batch changed; waits when the disk is far behind.
    pub(crate) fn applied(&self, applied: Applied) {
        if let Some(own) = &self.own {
            let mut gathered = Gathered::default();
            gathered.take(applied);
            let mut writer = own.lock();
            if let Err(error) = writer.write(&gathered) {
                writer.fail(&error);
            }
            return;
        }
        let Some(queue) = &self.queue else { return };
        match queue.try_send(Work::Applied(Box::new(applied))) {
            Ok(()) | Err(TrySendError::Disconnected(_)) => {}
            Err(TrySendError::Full(work)) => {
                tracing::warn!("the materialized state is {QUEUE_MAX} batches behind: waiting for the disk");
                let _ = queue.send(work);
            }
        }
    }

    /// Writes everything up to `state`, moves every marker to it, and makes it durable. Blocking. Records that change nothing move the
    /// state on without being handed over: without this the databases would seem to be behind the snapshot, and be rebuilt at the start.
    pub(crate) fn flush_to(&self, state: State) -> std::io::Result<()> {
        self.applied(Applied { state, changed: Vec::new(), added: Vec::new(), removed: Vec::new() });
        self.flush()
    }

    /// Writes everything handed over so far and makes it durable. Blocking.
    pub(crate) fn flush(&self) -> std::io::Result<()> {
        if let Some(own) = &self.own {
            return own.lock().flush().map_err(std::io::Error::other);
        }
        let (sender, done) = sync_channel(1);
        self.queue.as_ref().ok_or_else(stopped)?.send(Work::Flush(sender)).map_err(|_| stopped())?;
        done.recv().map_err(|_| stopped())?.map_err(std::io::Error::other)
    }
}

fn stopped() -> std::io::Error {
    std::io::Error::other("the materializer has stopped")
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
    /// The newest state handed over: the markers are its revision after a flush.
    newest: Option<State>,
    failure: watch::Sender<Option<String>>,
}

/// Changes of several batches, each row once.
#[derive(Default)]
struct Gathered {
    /// The newest state.
    state: Option<State>,
    changed: BTreeSet<Changed>,
    /// `None` where the value went again.
    payloads: BTreeMap<(EnvironmentName, ValueKey), Option<Arc<Payload>>>,
}

impl Gathered {
    fn take(&mut self, applied: Applied) {
        move_on(&mut self.state, applied.state);
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
    fn run(mut self, work: &Receiver<Work>) {
        while let Ok(first) = work.recv() {
            let mut gathered = Gathered::default();
            let mut flushes = Vec::new();
            gather(first, work, &mut gathered, &mut flushes);
            if let Err(error) = self.write(&gathered) {
                return self.give_up(&error, flushes, work);
            }
            for done in flushes {
                let _ = done.send(self.flush());
            }
        }
        if let Err(error) = self.flush() {
            tracing::warn!(%error, "the materialized state could not be made durable; it will be rebuilt from the log");
        }
    }

    fn write(&mut self, gathered: &Gathered) -> Result<(), MaterializedError> {
        self.write_with_patience(gathered)?;
        if let Some(state) = &gathered.state {
            move_on(&mut self.newest, state.clone());
        }
        let written = gathered.payloads.iter();
        self.values.stored(written.filter_map(|((_, key), payload)| payload.as_ref().map(|payload| (*key, payload))));
        Ok(())
    }

    /// Moves every marker to the newest state, then makes everything durable.
    fn flush(&self) -> Result<(), MaterializedError> {
        if let Some(state) = &self.newest {
            for home in homes(state) {
                self.stores.write(&home, Vec::new(), state.revision().0)?;
            }
        }
        self.stores.make_durable()
    }

    fn write_with_patience(&self, gathered: &Gathered) -> Result<(), MaterializedError> {
        let Some(state) = &gathered.state else { return Ok(()) };
        for (home, rows) in rows(state, gathered) {
            let mut tries = 1;
            while let Err(error) = self.stores.write(&home, rows.clone(), state.revision().0) {
                tracing::error!(%error, ?home, tries, "materialized state not written");
                let is_lost = matches!(error, MaterializedError::Unusable { .. });
                if is_lost || tries == TRIES_MAX || workers::are_simulated() {
                    return Err(error);
                }
                tries += 1;
                std::thread::sleep(RETRY);
            }
        }
        Ok(())
    }

    /// sled does not recover from an error while it is open. The node stops; at its next start the log brings back what is missing.
    fn give_up(&self, error: &MaterializedError, flushes: Vec<Flush>, work: &Receiver<Work>) {
        let reason = self.fail(error);
        let refuse = |done: Flush| {
            drop(done.send(Err(MaterializedError::Unusable { path: self.stores.directory(), why: reason.clone() })))
        };
        flushes.into_iter().for_each(refuse);
        // Nobody may wait for this thread for ever: what still comes is in the log.
        while let Ok(piece) = work.recv() {
            if let Work::Flush(done) = piece {
                refuse(done);
            }
        }
    }
}

impl Writer {
    fn fail(&self, error: &MaterializedError) -> String {
        let reason = format!("the materialized state cannot be written: {error}");
        self.failure.send_replace(Some(reason.clone()));
        reason
    }
}

/// Takes what is there and what comes in the next moment, up to a flush: whoever flushes waits.
fn gather(first: Work, work: &Receiver<Work>, gathered: &mut Gathered, flushes: &mut Vec<Flush>) {
    if matches!(first, Work::Applied(_)) {
        std::thread::sleep(GATHER_TIME);
    }
    let mut next = Some(first);
    while let Some(piece) = next.take() {
        match piece {
            Work::Applied(applied) => gathered.take(*applied),
            Work::Flush(done) => return flushes.push(done),
        }
        if gathered.len() < GATHER_CHANGES_MAX {
            next = work.try_recv().ok();
        }
    }
}

/// One that only moves the markers may come behind a newer one; rows are written as the newest has them, and markers do not go back, but to
/// the beginning: who comes late with an older state has nothing to say of where databases stand that were filled from a newer one.
fn move_on(newest: &mut Option<State>, state: State) {
    if state.revision().0 == 0 || newest.as_ref().is_none_or(|newest| newest.revision() <= state.revision()) {
        *newest = Some(state);
    }
}

fn homes(state: &State) -> Vec<Home> {
    let environments = state.environments().map(|environment| Home::Environment(environment.about.name.clone()));
    std::iter::once(Home::System).chain(environments).collect()
}

/// The rows of each database that something changed in, as the newest state has them.
fn rows(state: &State, gathered: &Gathered) -> BTreeMap<Home, Vec<RowOp>> {
    let mut rows: BTreeMap<Home, Vec<RowOp>> = BTreeMap::new();
    for changed in &gathered.changed {
        let (home, op) = row_of(state, changed);
        rows.entry(home).or_default().push(op);
    }
    for ((environment, key), payload) in &gathered.payloads {
        let (home, op) = row_of_value(environment, *key, payload.as_deref());
        rows.entry(home).or_default().push(op);
    }
    rows
}

/// The row of what changed, as a state has it.
pub(crate) fn row_of(state: &State, changed: &Changed) -> (Home, RowOp) {
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

/// The row of a value.
pub(crate) fn row_of_value(environment: &EnvironmentName, key: ValueKey, payload: Option<&Payload>) -> (Home, RowOp) {
    let value = payload.map(|payload| codec::encode(Kind::Row, payload));
    (Home::Environment(environment.clone()), RowOp { key: row::payload(key), value })
}

/// Everything in a state, as if it had just changed: to rebuild the databases from a snapshot.
pub(crate) fn everything(state: &State) -> impl Iterator<Item = Changed> + '_ {
    let environments = state.environments().flat_map(|environment| {
        let name = environment.about.name.clone();
        let about = std::iter::once(Changed::Environment(name.clone()));
        about.chain(environment.secrets.keys().map(move |path| Changed::Secret(name.clone(), path.clone())))
    });
    environments
        .chain(state.tokens().map(|token| Changed::Token(token.accessor)))
        .chain(state.policies().map(|policy| Changed::Policy(policy.name.clone())))
}

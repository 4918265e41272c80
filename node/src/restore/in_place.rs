//! Bringing back what an environment held, into the running cluster: old values come as new versions, by the caller's own rights.
//!
//! History stays whole: nothing is rewound, every value that comes back is a write on the journal. What is the same already is left alone,
//! so a restore that was cut short goes on when it is asked for again.

use super::fold::Folded;
use crate::api::door::{Caller, Door};
use crate::api::status;
use crate::api::writing::Holding;
use crate::engine::values::ValueKey;
use node_domain::command::{Expectation, TransactChange, TransactItem};
use node_domain::ids::{EnvironmentName, SecretPath};
use node_domain::operation::Operation;
use node_domain::policy::Capability;
use node_domain::sealed::Payload;
use node_domain::secret::{About, AboutChange, Secret, Version};
use node_domain::state::EnvironmentAbout;
use node_domain::{Command, Rejection, State, limits};
use proto::v1;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::mpsc;
use tonic::Status;

/// Values read ahead of those that are written.
const QUEUE_MAX: usize = 64;

/// What is to come back.
#[derive(Clone, Debug)]
pub(crate) struct InPlace {
    pub(crate) environment: EnvironmentName,
    /// One secret, or all below a prefix.
    pub(crate) scope: Scope,
    /// Whether what is newer than the point is deleted, so that exactly what was there is there.
    pub(crate) delete_newer: bool,
}

/// Which secrets of an environment.
#[derive(Clone, Debug)]
pub(crate) enum Scope {
    One(SecretPath),
    Below(String),
}

/// How one path differs.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) path: SecretPath,
    pub(crate) kind: ChangeKind,
    /// Newest version now, 0 where there was never one.
    now: u64,
    /// The version that comes back, and which secret's it was; none where something newer is looked at.
    then: Option<(ValueKey, Version, About)>,
    now_bytes: u32,
}

/// In which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChangeKind {
    /// It is gone, and comes back.
    ComesBack,
    /// It has another value, and changes back.
    ChangesBack,
    /// It was not there then.
    Newer,
}

impl Change {
    /// As the caller is shown it: nothing of a value.
    pub(crate) fn show(&self) -> v1::RestoreDifference {
        let (then_version, then_bytes) =
            self.then.as_ref().map_or((0, 0), |((_, version), then, _)| (*version, then.seal.size_bytes));
        let kind = match self.kind {
            ChangeKind::ComesBack => v1::RestoreDifferenceKind::ComesBack,
            ChangeKind::ChangesBack => v1::RestoreDifferenceKind::ChangesBack,
            ChangeKind::Newer => v1::RestoreDifferenceKind::Newer,
        };
        v1::RestoreDifference {
            path: self.path.to_string(),
            kind: kind.into(),
            now_version: self.now,
            then_version,
            now_bytes: self.now_bytes,
            then_bytes,
        }
    }
}

/// How `then` differs from `now`, in the order of paths.
///
/// # Errors
/// When the environment was not there then.
pub(crate) fn changes(then: &State, now: &State, wish: &InPlace) -> Result<Vec<Change>, Rejection> {
    let (then, now) = (then.environment(&wish.environment)?, now.environment(&wish.environment)?);
    if then.about.id != now.about.id {
        return Err(Rejection::not_found("environment", format!("{} of that time", wish.environment)));
    }
    let mut found = Vec::new();
    for old in then.secrets.values().filter(|old| wish.covers(&old.path)) {
        let Ok(version) = old.readable(None) else { continue };
        found.extend(change(old, version, now.secrets.get(&old.path).map(|now| &**now)));
    }
    for fresh in now.secrets.values().filter(|fresh| wish.covers(&fresh.path)) {
        let was_there = then.secrets.get(&fresh.path).is_some_and(|old| old.readable(None).is_ok());
        let Some(live) = fresh.readable(None).ok().filter(|_| !was_there) else { continue };
        let (path, kind) = (fresh.path.clone(), ChangeKind::Newer);
        found.push(Change { path, kind, now: fresh.newest, then: None, now_bytes: live.seal.size_bytes });
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(found)
}

fn change(old: &Secret, version: &Version, now: Option<&Secret>) -> Option<Change> {
    let live = now.and_then(|now| now.readable(None).ok());
    let same_value =
        |live: &Version| live.seal.value_id == version.seal.value_id || (live.reuse.is_some() && live.reuse == version.reuse);
    let kind = match live {
        None => ChangeKind::ComesBack,
        Some(live) if same_value(live) => return None,
        Some(_) => ChangeKind::ChangesBack,
    };
    Some(Change {
        path: old.path.clone(),
        kind,
        now: now.map_or(0, |now| now.newest),
        then: Some(((old.id, version.number), version.clone(), old.about.clone())),
        now_bytes: live.map_or(0, |live| live.seal.size_bytes),
    })
}

impl InPlace {
    fn covers(&self, path: &SecretPath) -> bool {
        match &self.scope {
            Scope::One(one) => one == path,
            Scope::Below(prefix) => path.is_under(prefix),
        }
    }

    /// Those of the differences that are acted on.
    pub(crate) fn acts_on(&self, change: &Change) -> bool {
        change.kind != ChangeKind::Newer || self.delete_newer
    }
}

/// Writes what comes back, in as few transactions as hold it. `wrote` is told how many paths are done.
///
/// # Errors
/// When the caller may not write something, or it changed since it was compared: what was written before stays.
pub(crate) async fn bring_back(
    door: &Arc<Door>,
    caller: &Caller,
    wish: &InPlace,
    folded: Folded,
    changes: Vec<Change>,
    wrote: mpsc::Sender<u64>,
) -> Result<u64, Status> {
    let about_then = folded.standing.state.environment(&wish.environment).map_err(|error| status::refused(&error))?.about.clone();
    let wanted: HashMap<ValueKey, Change> = changes
        .iter()
        .filter(|change| wish.acts_on(change))
        .filter_map(|change| change.then.as_ref().map(|(key, ..)| (*key, change.clone())))
        .collect();
    let mut batch = Batch::new(door, caller, wish);
    for change in changes.iter().filter(|change| change.kind == ChangeKind::Newer && wish.acts_on(change)) {
        let expect = Some(Expectation::Version(change.now));
        batch.add(TransactItem { path: change.path.clone(), expect, change: TransactChange::Delete }, &wrote).await?;
    }
    let (sender, mut values) = mpsc::channel(QUEUE_MAX);
    let keys: std::collections::HashSet<ValueKey> = wanted.keys().copied().collect();
    let reading = tokio::task::spawn_blocking(move || {
        folded.each_value(
            |key| keys.contains(key),
            |key, payload| {
                // Whoever wrote has gone: the rest is not needed.
                sender.blocking_send((key, payload)).is_ok()
            },
        )
    });
    while let Some((key, payload)) = values.recv().await {
        let Some(change) = wanted.get(&key) else { continue };
        match item(door, caller, wish, &about_then, change, &payload) {
            Ok(item) => batch.add(item, &wrote).await?,
            Err(rejection) => return Err(batch.refused(change, rejection).await),
        }
    }
    let read = reading.await.map_err(|error| status::fault("read a snapshot", &error))?;
    read.map_err(|error| status::fault("read a snapshot", &error))?;
    batch.flush(&wrote).await?;
    Ok(batch.done)
}

/// One value, opened with the keys of its time and sealed with those of now.
fn item(
    door: &Door,
    caller: &Caller,
    wish: &InPlace,
    about_then: &EnvironmentAbout,
    change: &Change,
    payload: &Payload,
) -> Result<TransactItem, Rejection> {
    let Some((_, version, about)) = &change.then else {
        return Err(Rejection::invalid("what is newer does not come back"));
    };
    let view = door.view();
    // A rule that looks into a value tells of it: so may only somebody who may read it.
    let mut rules = view.state.guard().rules.about(&wish.environment, &change.path, about.kind);
    if rules.any(|rule| rule.looks_into_values()) {
        let asking = caller.asking(&view, caller.token(&view)?);
        view.state.authorize(&asking, Capability::Read, Some(&wish.environment), change.path.clone())?;
    }
    let opened = door.sealing.open_once(about_then, &version.seal, payload);
    let opened = opened.map_err(|error| Rejection::NodeFault(format!("{}: {error}", change.path)))?;
    let about_now = view.state.environment(&wish.environment)?.about.clone();
    let holding =
        Holding { environment: &wish.environment, path: &change.path, kind: about.kind, structured: version.seal.structured };
    let sealed = door.seal_checked(&view, &about_now, &holding, opened.expose())?;
    let expect = Some(if change.kind == ChangeKind::ComesBack { Expectation::Absent } else { Expectation::Version(change.now) });
    let put = TransactChange::Put { sealed: Box::new(sealed), about: Box::new(AboutChange::all_of(about)) };
    Ok(TransactItem { path: change.path.clone(), expect, change: put })
}

/// Items that go together.
struct Batch {
    door: Arc<Door>,
    caller: Caller,
    environment: EnvironmentName,
    items: Vec<TransactItem>,
    bytes: usize,
    done: u64,
}

impl Batch {
    fn new(door: &Arc<Door>, caller: &Caller, wish: &InPlace) -> Batch {
        let (door, caller, environment) = (door.clone(), caller.clone(), wish.environment.clone());
        Batch { door, caller, environment, items: Vec::new(), bytes: 0, done: 0 }
    }

    async fn add(&mut self, item: TransactItem, wrote: &mpsc::Sender<u64>) -> Result<(), Status> {
        let full = self.items.len() >= limits::TRANSACTION_ITEMS_MAX;
        if full || self.bytes + item.bytes() > limits::TRANSACTION_BYTES_MAX {
            self.flush(wrote).await?;
        }
        self.bytes += item.bytes();
        self.items.push(item);
        Ok(())
    }

    /// Has what cannot be written recorded.
    async fn refused(&self, change: &Change, rejection: Rejection) -> Status {
        let environment = self.environment.to_string();
        let item = v1::TransactItem { path: change.path.to_string(), ..v1::TransactItem::default() };
        let asked = v1::TransactRequest { environment, items: vec![item] };
        let told = status::refused(&rejection);
        let recorded = self.door.submit(&self.caller.again(), Operation::SecretTransact, &asked, Err(rejection)).await;
        recorded.err().unwrap_or(told)
    }

    async fn flush(&mut self, wrote: &mpsc::Sender<u64>) -> Result<(), Status> {
        if self.items.is_empty() {
            return Ok(());
        }
        let items = std::mem::take(&mut self.items);
        (self.bytes, self.done) = (0, self.done + items.len() as u64);
        let environment = self.environment.clone();
        let asked = v1::TransactRequest { environment: environment.to_string(), ..v1::TransactRequest::default() };
        let command = Command::Transact { environment, items };
        self.door.submit(&self.caller.again(), Operation::SecretTransact, &asked, Ok(command)).await?;
        // Whoever watches may have gone.
        let _ = wrote.send(self.done).await;
        Ok(())
    }
}

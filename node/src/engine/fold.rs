//! What each node does with committed batches: fold them into the state, chain their leaves into the journal, publish.

use crate::engine::materializer::{Applied, Changed, Materializer};
use crate::engine::snapshots::Snapshots;
use crate::engine::standing::Standing;
use crate::engine::values::{ValueKey, Values};
use crate::engine::{Published, Sealing, View};
use crate::fault;
use crate::members::check_level;
use crate::repair::checks::Digests;
use bytes::Bytes;
use node_domain::ids::{EnvironmentName, Revision, SecretId, Stamp};
use node_domain::keys::KeysEvent;
use node_domain::members::Build;
use node_domain::sealed::Payload;
use node_domain::{Batch, Event, State};
use parking_lot::Mutex;
use proto_record::chain::{self, Link};
use proto_record::codec::{self, Kind};
use raft::{Epoch, Machine, Reply, SnapshotWrite, StoredSnapshot, Unfit};
use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use storage::journal::{Block, Journal};
use storage::planted;

/// The machine behind raft.
pub(crate) struct Fold {
    folding: Mutex<View>,
    published: Arc<Published>,
    journal: Journal,
    values: Arc<Values>,
    materializer: Arc<Materializer>,
    snapshots: Arc<Snapshots>,
    sealing: Arc<Sealing>,
    digests: Arc<Digests>,
    epoch: Epoch,
    build: Build,
}

impl Fold {
    pub(crate) fn new(
        view: View,
        published: Arc<Published>,
        (journal, values, materializer, snapshots): (Journal, Arc<Values>, Arc<Materializer>, Arc<Snapshots>),
        sealing: Arc<Sealing>,
        digests: Arc<Digests>,
        (epoch, build): (Epoch, Build),
    ) -> Fold {
        let folding = Mutex::new(view);
        Fold { folding, published, journal, values, materializer, snapshots, sealing, digests, epoch, build }
    }

    /// Puts the bytes of a version back, which another member had, unless the version has gone meanwhile.
    pub(crate) fn put_back(&self, environment: &EnvironmentName, key: ValueKey, payload: Arc<Payload>) {
        let folding = self.folding.lock();
        let state = folding.state.clone();
        // Under the lock: a version that is destroyed now must not come back behind its destruction.
        if !state.holds_value(environment, key.0, key.1) {
            return;
        }
        self.values.rewrapped(key, payload.clone());
        let added = vec![(environment.clone(), key, payload)];
        self.materializer.applied(Applied { state, changed: Vec::new(), added, removed: Vec::new() });
    }

    fn apply_batch(&self, index: u64, payload: &Bytes) -> Result<Reply, Unfit> {
        let mut batch: Batch = codec::decode(Kind::Batch, payload).map_err(|error| Unfit(error.to_string()))?;
        let mut folding = self.folding.lock();
        let View { state, chain } = &mut *folding;
        if batch.based_on != state.revision() && planted::is_back("late-batch-applied") {
            batch.based_on = state.revision();
        }
        if planted::is_back("own-clock") {
            let mut stamp = self.snapshots.now().0.max(state.stamp().0 + 1);
            for decision in &mut batch.decisions {
                decision.stamp = Stamp(stamp);
                stamp += decision.events.len() as u64;
            }
        }
        if batch.based_on != state.revision() {
            return Ok(Reply::Stale { revision: state.revision().0 });
        }
        self.digests.compare(index, &batch).map_err(Unfit)?;
        let effects = Effects::of(state, &batch);
        let folded = if fault::is_set("fold: come apart") { come_apart(&batch) } else { Cow::Borrowed(&batch) };
        state.apply_batch(&folded).map_err(|misfit| Unfit(misfit.to_string()))?;
        // An older build that came back just before the others had all been replaced: what follows it might misread.
        check_level(&self.build, state.members().level()).map_err(Unfit)?;
        self.digests.remember(state.revision(), state.digest());
        if effects.keys {
            self.sealing.learn(state);
        }
        *chain = self.chain_batch(state, *chain, &batch)?;
        let revision = state.revision().0;
        if !effects.is_empty() {
            effects.added.iter().for_each(|(_, key, payload)| self.values.added(*key, payload.clone()));
            effects.rewrapped.iter().for_each(|(_, key, payload)| self.values.rewrapped(*key, payload.clone()));
            effects.removed.iter().for_each(|(_, key)| self.values.removed(*key));
            let Effects { changed, mut added, rewrapped, removed, .. } = effects;
            added.extend(rewrapped);
            self.materializer.applied(Applied { state: state.clone(), changed, added, removed });
        }
        Ok(Reply::Accepted { revision })
    }

    /// Chains the batch's leaves and hands them to the journal; one that is there already, from before a restart, must be the same.
    fn chain_batch(&self, state: &State, before: Link, batch: &Batch) -> Result<Link, Unfit> {
        let mut seq = batch.based_on.0;
        let mut chain = before;
        let mut leaves = Vec::with_capacity(usize::try_from(batch.record_count()).unwrap_or(0));
        for decision in &batch.decisions {
            for at in 0..decision.events.len() {
                seq += 1;
                let leaf = decision.leaf(at, Revision(seq), state.cluster(), state.epoch());
                chain = chain::next(&chain, &leaf);
                leaves.push(Bytes::from(leaf));
            }
        }
        let head = self.journal.head();
        if seq < head.next_seq {
            if seq + 1 == head.next_seq && chain != head.chain {
                return Err(Unfit(format!("the journal at record {seq} is not what the log says: this copy is damaged")));
            }
            return Ok(chain);
        }
        if !leaves.is_empty() {
            let block = Block { first_seq: batch.based_on.0 + 1, leaves, chain_before: before, chain_after: chain };
            self.journal.append(block).map_err(|error| Unfit(format!("journal: {error}")))?;
        }
        Ok(chain)
    }
}

/// A batch as it was never decided: a test wants a node whose state comes apart.
fn come_apart(batch: &Batch) -> Cow<'_, Batch> {
    let mut apart = batch.clone();
    for event in apart.decisions.iter_mut().flat_map(|decision| &mut decision.events) {
        if let Event::SecretVersionAdded { path, expires, .. } = event
            && path.as_str().starts_with("apart/")
        {
            *expires = Some(Stamp(1));
        }
    }
    Cow::Owned(apart)
}

/// The bytes of one version.
type Stored = (node_domain::ids::EnvironmentName, (SecretId, u64), Arc<node_domain::sealed::Payload>);

/// What a batch does besides moving the state: rows to write, values to keep or to drop.
#[derive(Default)]
struct Effects {
    changed: Vec<Changed>,
    added: Vec<Stored>,
    /// The same values under another key; those that were added in the same batch among them.
    rewrapped: Vec<Stored>,
    /// Whether something about keys changed.
    keys: bool,
    removed: Vec<(node_domain::ids::EnvironmentName, (SecretId, u64))>,
}

impl Effects {
    /// `state` is the one before the batch.
    fn of(state: &State, batch: &Batch) -> Effects {
        let mut effects = Effects::default();
        let events = batch.decisions.iter().flat_map(|decision| &decision.events);
        for event in events.filter(|event| event.is_change()) {
            effects.add(state, event);
        }
        effects
    }

    fn is_empty(&self) -> bool {
        self.changed.is_empty()
    }

    fn add(&mut self, state: &State, event: &Event) {
        match event {
            Event::SecretVersionAdded { environment, path, secret, version, sealed, oldest_kept, .. } => {
                self.changed.push(Changed::Secret(environment.clone(), path.clone()));
                if let Some(payload) = &sealed.payload {
                    self.added.push((environment.clone(), (*secret, *version), Arc::new(payload.clone())));
                }
                // Kept versions are dense, so all that go stand between the oldest before this batch and the one that stays.
                let known = state.environment(environment).and_then(|home| home.secret(path)).ok();
                let oldest = known.and_then(|known| known.versions.first()).map_or(1, |version| version.number);
                self.removed.extend((oldest..*oldest_kept).map(|gone| (environment.clone(), (*secret, gone))));
            }
            Event::SecretVersionsDestroyed { environment, path, secret, versions } => {
                self.changed.push(Changed::Secret(environment.clone(), path.clone()));
                self.removed.extend(versions.iter().map(|gone| (environment.clone(), (*secret, *gone))));
            }
            Event::SecretMetadataChanged { environment, path, .. }
            | Event::SecretVersionsDeleted { environment, path, .. }
            | Event::SecretVersionsUndeleted { environment, path, .. } => {
                self.changed.push(Changed::Secret(environment.clone(), path.clone()));
            }
            Event::SecretMoved { environment, from, to, .. } | Event::SecretRenamed { environment, from, to, .. } => {
                self.changed.push(Changed::Secret(environment.clone(), from.clone()));
                self.changed.push(Changed::Secret(environment.clone(), to.clone()));
            }
            Event::EnvironmentCreated { name, .. } => self.changed.push(Changed::Environment(name.clone())),
            Event::TokenCreated { token } => self.changed.push(Changed::Token(token.accessor)),
            Event::TokenRevoked { accessor, .. } => self.changed.push(Changed::Token(*accessor)),
            Event::PolicyPut { name, .. } | Event::PolicyDeleted { name } => self.changed.push(Changed::Policy(name.clone())),
            Event::Keys(event) => self.add_keys(event),
            // Roles, identities and what guards them are in snapshots and in memory; nothing looks for them in sled.
            Event::RolePut { .. } | Event::RoleDeleted { .. } | Event::Identity(_) | Event::Guard(_) => {}
            Event::Recovery(_) | Event::Members(_) => {}
            Event::ClusterFounded { .. }
            | Event::SecretRead { .. }
            | Event::Observed { .. }
            | Event::AnsweredAgain { .. }
            | Event::Refused { .. }
            | Event::Repair(_) => {}
        }
    }
}

impl Effects {
    fn add_keys(&mut self, event: &KeysEvent) {
        match event {
            KeysEvent::Rewrapped { environment, items } => {
                for item in items {
                    self.changed.push(Changed::Secret(environment.clone(), item.path.clone()));
                    if let Some(payload) = &item.sealed.payload {
                        self.rewrapped.push((environment.clone(), (item.secret, item.version), Arc::new(payload.clone())));
                    }
                }
                return;
            }
            KeysEvent::EnvironmentKeyAdded { environment, .. } | KeysEvent::EnvironmentKeyRetired { environment, .. } => {
                self.changed.push(Changed::Environment(environment.clone()));
            }
            KeysEvent::RootRotated { wrapped, .. } => {
                self.changed.extend(wrapped.environments.iter().map(|(name, _)| Changed::Environment(name.clone())));
            }
            // The system's keys, the seal and what is sealed are in snapshots and in memory.
            _ => {}
        }
        self.keys = true;
    }
}

impl Machine for Fold {
    fn disk(&self) -> Arc<dyn storage::Disk> {
        self.snapshots.disk()
    }

    fn apply(&self, index: u64, payload: &Bytes) -> Result<Reply, Unfit> {
        self.apply_batch(index, payload)
    }

    fn applied(&self, _last_index: u64) {
        let view = self.folding.lock().clone();
        if view.state.revision().0 > 0 {
            self.epoch.set(view.state.epoch());
        }
        self.published.publish(view);
    }

    fn capture(&self, _index: u64, position: Vec<u8>) -> SnapshotWrite {
        let View { state, chain } = self.folding.lock().clone();
        let (journal, materializer) = (self.journal.clone(), self.materializer.clone());
        let (snapshots, values, published) = (self.snapshots.clone(), self.values.clone(), self.published.clone());
        Box::new(move || {
            // After this the log may be purged, and journal and databases are all that is left of it.
            if !planted::is_back("journal-not-synced") {
                journal.sync_blocking().map_err(io::Error::other)?;
            }
            snapshots.write(position, &Standing { state, chain }, &materializer, &values, &published)
        })
    }

    fn newest_snapshot(&self) -> io::Result<Option<StoredSnapshot>> {
        self.snapshots.newest()
    }

    fn receive_path(&self) -> io::Result<PathBuf> {
        self.snapshots.receive_path()
    }

    fn verify_snapshot(&self, file: &Path) -> io::Result<Vec<u8>> {
        self.snapshots.verify(file)
    }

    fn install_snapshot(&self, file: &Path) -> io::Result<()> {
        let mut folding = self.folding.lock();
        let standing = self.snapshots.install(file, &self.materializer, &self.values)?;
        check_level(&self.build, standing.state.members().level()).map_err(io::Error::other)?;
        self.sealing.learn(&standing.state);
        let next_seq = standing.state.revision().0 + 1;
        let head = self.journal.head();
        if head.next_seq != next_seq || head.chain != standing.chain {
            self.journal.reset(next_seq, standing.chain).map_err(io::Error::other)?;
        }
        self.epoch.set(standing.state.epoch());
        self.digests.forget();
        *folding = View { state: standing.state, chain: standing.chain };
        self.published.publish(folding.clone());
        Ok(())
    }
}

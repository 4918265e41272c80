//! Sealed values by secret and version: those not yet in sled, a bounded cache of the others, and sled behind both.

use crate::engine::stores::Stores;
use moka::sync::Cache;
use node_domain::ids::{EnvironmentName, SecretId};
use node_domain::sealed::Payload;
use parking_lot::RwLock;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use storage::materialized::MaterializedError;

/// Which value.
pub(crate) type ValueKey = (SecretId, u64);

/// What a database holds of a version.
pub(crate) enum Row {
    /// It has yet to be written.
    Waiting,
    Missing,
    There(Payload),
}

/// All sealed values of the applied state.
pub(crate) struct Values {
    /// Applied and not yet in sled; the materializer takes them out.
    pending: RwLock<HashMap<ValueKey, Arc<Payload>>>,
    cache: Cache<ValueKey, Arc<Payload>>,
    /// Counts values that were rewrapped; changes under the lock of `pending` only.
    rewraps: AtomicU64,
    stores: Arc<Stores>,
}

impl Values {
    pub(crate) fn new(stores: Arc<Stores>, cache_bytes: u64) -> Values {
        let weigh = |_: &ValueKey, payload: &Arc<Payload>| {
            u32::try_from(payload.ciphertext.len() + payload.wrapped_key.len() + 128).unwrap_or(u32::MAX)
        };
        let cache = Cache::builder().weigher(weigh).max_capacity(cache_bytes).build();
        Values { pending: RwLock::default(), cache, rewraps: AtomicU64::new(0), stores }
    }

    /// A version was applied.
    pub(crate) fn added(&self, key: ValueKey, payload: Arc<Payload>) {
        self.pending.write().insert(key, payload);
    }

    /// A version that was there already has other bytes: the same value, rewrapped. Whoever is reading the old ones from the disk
    /// right now does not keep them.
    pub(crate) fn rewrapped(&self, key: ValueKey, payload: Arc<Payload>) {
        let mut pending = self.pending.write();
        pending.insert(key, payload);
        self.rewraps.fetch_add(1, Ordering::Relaxed);
        self.cache.invalidate(&key);
    }

    /// Versions are in sled now, with these bytes; one that was rewrapped meanwhile still waits.
    pub(crate) fn stored<'a>(&self, written: impl IntoIterator<Item = (ValueKey, &'a Arc<Payload>)>) {
        let mut pending = self.pending.write();
        for (key, payload) in written {
            if pending.get(&key).is_some_and(|waiting| Arc::ptr_eq(waiting, payload)) {
                pending.remove(&key);
                self.cache.insert(key, payload.clone());
            }
        }
    }

    /// Forgets what is cached of a version that does not open: what is on the disk may be newer.
    pub(crate) fn forget(&self, key: ValueKey) {
        self.cache.invalidate(&key);
    }

    /// A version was destroyed or is kept no longer.
    pub(crate) fn removed(&self, key: ValueKey) {
        // A value is in one of the two: forgetting it in the cache costs more.
        if self.pending.write().remove(&key).is_none() {
            self.cache.invalidate(&key);
        }
    }

    /// The sealed bytes of a version, if they are in memory.
    pub(crate) fn find_in_memory(&self, key: ValueKey) -> Option<Arc<Payload>> {
        self.cache.get(&key).or_else(|| self.pending.read().get(&key).cloned())
    }

    /// The sealed bytes of a version; `None` when it was destroyed meanwhile. May read the disk.
    pub(crate) fn find(&self, environment: &EnvironmentName, key: ValueKey) -> Result<Option<Arc<Payload>>, MaterializedError> {
        if let Some(payload) = self.find_in_memory(key) {
            return Ok(Some(payload));
        }
        let rewraps = self.rewraps.load(Ordering::Relaxed);
        let payload = self.stores.payload(environment, key)?.map(Arc::new);
        if let Some(payload) = &payload {
            // Held against `rewrapped`: bytes that were read before it must not come into the cache after it.
            let pending = self.pending.read();
            if self.rewraps.load(Ordering::Relaxed) == rewraps && !pending.contains_key(&key) {
                self.cache.insert(key, payload.clone());
            }
        }
        Ok(payload)
    }

    /// As [`find`](Values::find), without a place in the cache: for snapshots, which read everything once.
    pub(crate) fn find_uncached(
        &self,
        environment: &EnvironmentName,
        key: ValueKey,
    ) -> Result<Option<Arc<Payload>>, MaterializedError> {
        if let Some(payload) = self.find_in_memory(key) {
            return Ok(Some(payload));
        }
        Ok(self.stores.payload(environment, key)?.map(Arc::new))
    }

    /// What lies on the disk of a version, whatever is in memory.
    pub(crate) fn find_on_disk(&self, environment: &EnvironmentName, key: ValueKey) -> Result<Row, MaterializedError> {
        if self.pending.read().contains_key(&key) {
            return Ok(Row::Waiting);
        }
        Ok(self.stores.payload(environment, key)?.map_or(Row::Missing, Row::There))
    }

    /// Forgets everything: the state was replaced.
    pub(crate) fn clear(&self) {
        self.pending.write().clear();
        self.cache.invalidate_all();
    }
}

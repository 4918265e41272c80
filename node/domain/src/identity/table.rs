//! Rows under their keys, each change of which is a change of the digest.

use crate::state::Digest;
use imbl::OrdMap;
use serde::Serialize;
use std::sync::Arc;

/// Kinds of rows in the digest: 32 to 63 are of identities.
pub(super) mod row {
    pub(in crate::identity) const USER: u8 = 32;
    pub(in crate::identity) const MACHINE: u8 = 33;
    pub(in crate::identity) const SECRET_ID: u8 = 34;
    pub(in crate::identity) const WRAPPED: u8 = 35;
    pub(in crate::identity) const CERT_ROLE: u8 = 36;
    pub(in crate::identity) const ISSUER: u8 = 37;
    pub(in crate::identity) const WRAPPED_OF: u8 = 38;
}

/// One kind of rows. A persistent structure: a clone costs nothing.
#[derive(Clone, Debug)]
pub(super) struct Table<K: Ord, V> {
    kind: u8,
    rows: OrdMap<K, Arc<V>>,
}

impl<K: Ord + Clone, V: Serialize + Clone> Table<K, V> {
    pub(super) fn new(kind: u8) -> Table<K, V> {
        Table { kind, rows: OrdMap::new() }
    }

    pub(super) fn find(&self, key: &K) -> Option<&Arc<V>> {
        self.rows.get(key)
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &Arc<V>> {
        self.rows.values()
    }

    /// Takes in a row that the digest knows already.
    pub(super) fn take(&mut self, key: K, value: Arc<V>) {
        self.rows.insert(key, value);
    }

    /// A row that must not be there yet.
    pub(super) fn add(&mut self, key: K, value: V, digest: &mut Digest) -> Result<(), &'static str> {
        if self.rows.contains_key(&key) {
            return Err("its row is there already");
        }
        self.put(key, value, digest);
        Ok(())
    }

    /// A row, instead of the one there is.
    pub(super) fn put(&mut self, key: K, value: V, digest: &mut Digest) {
        digest.add(self.kind, &value);
        if let Some(old) = self.rows.insert(key, Arc::new(value)) {
            digest.subtract(self.kind, &*old);
        }
    }

    pub(super) fn change(&mut self, key: &K, digest: &mut Digest, change: impl FnOnce(&mut V)) -> Result<(), &'static str> {
        let slot = self.rows.get_mut(key).ok_or("its row does not exist")?;
        digest.subtract(self.kind, &**slot);
        let row = Arc::make_mut(slot);
        change(row);
        digest.add(self.kind, &*row);
        Ok(())
    }

    pub(super) fn remove(&mut self, key: &K, digest: &mut Digest) -> Result<Arc<V>, &'static str> {
        let old = self.rows.remove(key).ok_or("its row does not exist")?;
        digest.subtract(self.kind, &*old);
        Ok(old)
    }

    pub(super) fn add_rows(&self, digest: &mut Digest) {
        self.rows.values().for_each(|row| digest.add(self.kind, &**row));
    }
}

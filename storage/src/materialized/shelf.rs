//! What rows lie in: sled, or, for the nodes of a simulation, memory.

use parking_lot::Mutex;
use sled::IVec;
use std::collections::BTreeMap;
use std::ops::Bound;

/// A row as it lies: its place and its sealed bytes.
pub(super) type Lying = (IVec, IVec);

/// Places and sealed bytes, in the order of places.
pub(super) enum Shelf {
    /// On a disk.
    Sled(sled::Db),
    /// Gone with its owner, as what sled has not made durable may be.
    Memory(Mutex<BTreeMap<IVec, IVec>>),
}

impl Shelf {
    pub(super) fn get(&self, place: &[u8]) -> sled::Result<Option<IVec>> {
        match self {
            Shelf::Sled(db) => db.get(place),
            Shelf::Memory(rows) => Ok(rows.lock().get(place).cloned()),
        }
    }

    pub(super) fn insert(&self, place: &[u8], blob: &[u8]) -> sled::Result<()> {
        match self {
            Shelf::Sled(db) => db.insert(place, blob).map(drop),
            Shelf::Memory(rows) => {
                rows.lock().insert(place.into(), blob.into());
                Ok(())
            }
        }
    }

    /// Lays rows down and takes others away, all or nothing.
    pub(super) fn apply(&self, rows: impl IntoIterator<Item = (IVec, Option<IVec>)>) -> sled::Result<()> {
        match self {
            Shelf::Sled(db) => {
                let mut batch = sled::Batch::default();
                for (place, blob) in rows {
                    match blob {
                        Some(blob) => batch.insert(place, blob),
                        None => batch.remove(place),
                    }
                }
                db.apply_batch(batch)
            }
            Shelf::Memory(lying) => {
                let mut lying = lying.lock();
                for (place, blob) in rows {
                    match blob {
                        Some(blob) => lying.insert(place, blob),
                        None => lying.remove(&place),
                    };
                }
                Ok(())
            }
        }
    }

    /// Everything whose place begins with `prefix`, while others may lay down more.
    pub(super) fn scan(&self, prefix: &[u8]) -> Box<dyn Iterator<Item = sled::Result<Lying>> + '_> {
        match self {
            Shelf::Sled(db) => Box::new(db.scan_prefix(prefix)),
            Shelf::Memory(rows) => {
                let prefix = prefix.to_vec();
                let mut from = Bound::Included(IVec::from(prefix.as_slice()));
                Box::new(std::iter::from_fn(move || {
                    let next = rows
                        .lock()
                        .range((from.clone(), Bound::Unbounded))
                        .next()
                        .map(|(place, blob)| (place.clone(), blob.clone()));
                    let (place, blob) = next.filter(|(place, _)| place.starts_with(&prefix))?;
                    from = Bound::Excluded(place.clone());
                    Some(Ok((place, blob)))
                }))
            }
        }
    }

    /// Hands everything to the operating system.
    pub(super) fn flush(&self) -> sled::Result<()> {
        match self {
            Shelf::Sled(db) => db.flush().map(drop),
            Shelf::Memory(_) => Ok(()),
        }
    }
}

//! The ring: everything that a seal protects.
//!
//! ```text
//! format u8 = 1 | identity key 32 | lookup key 32 | current u32 | count u32 | count × (version u32 | root key 32), versions ascending
//! ```
//! Numbers are big endian. The bytes exist only inside a sealed blob and in buffers that are zeroed.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use crate::{
    entropy::Entropy,
    key::{KEY_BYTES, Key, derive_into},
    signing::Signer,
};

/// Most versions of the root key that a ring holds. Old ones are dropped once nothing is wrapped by them.
pub const ROOTS_MAX: usize = 64;

const FORMAT: u8 = 1;
const HEADER_BYTES: usize = 1 + 2 * KEY_BYTES + 4 + 4;
const ROOT_BYTES: usize = 4 + KEY_BYTES;
const FIRST_VERSION: u32 = 1;
const CHECK_CONTEXT: &str = "holdfast/v1/ring check value";

/// Why a ring was not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RingError {
    /// Another key has this version.
    #[error("version {0} of the root key is held already, with another key")]
    Taken(u32),
    /// Versions count from 1.
    #[error("version 0 of the root key does not exist: versions count from 1")]
    Zero,
    /// No such version.
    #[error("version {0} of the root key is not held")]
    Unknown(u32),
    /// Too many old versions.
    #[error("the ring holds {ROOTS_MAX} versions of the root key already: drop those that nothing is wrapped by any more")]
    Full,
}

/// The keys above all others of one cluster.
///
/// Invariant: the current version of the root key is held.
pub struct Ring {
    identity: Key,
    lookup: Key,
    roots: BTreeMap<u32, Key>,
    current: u32,
}

impl Ring {
    /// The ring of a new cluster, with version 1 of the root key.
    #[must_use]
    pub fn generate(entropy: &dyn Entropy) -> Ring {
        Ring {
            identity: Key::generate(entropy),
            lookup: Key::generate(entropy),
            roots: BTreeMap::from([(FIRST_VERSION, Key::generate(entropy))]),
            current: FIRST_VERSION,
        }
    }

    /// A second owner of the same keys. Explicit, so that a copy is a decision.
    #[must_use]
    pub fn duplicate(&self) -> Ring {
        Ring {
            identity: self.identity.duplicate(),
            lookup: self.lookup.duplicate(),
            roots: self.roots.iter().map(|(version, key)| (*version, key.duplicate())).collect(),
            current: self.current,
        }
    }

    /// Wraps what belongs to one node, its storage key first of all. Never rotates, so that a change of the seal touches one file only.
    #[must_use]
    pub fn identity(&self) -> &Key {
        &self.identity
    }

    /// Hashes tokens, requests and values for comparison. It protects the confidentiality of no value and outlives every root key.
    #[must_use]
    pub fn lookup(&self) -> &Key {
        &self.lookup
    }

    /// The version of the root key that new keys are wrapped with, and the key.
    #[must_use]
    pub fn current(&self) -> (u32, &Key) {
        (self.current, self.roots.get(&self.current).expect("the current version is held"))
    }

    /// The key of snapshots under a version of the root key, which every node of the cluster opens.
    #[must_use]
    pub fn snapshot_key(&self, version: u32, cluster: &[u8; 16]) -> Option<Key> {
        self.root(version).map(|root| root.derive("holdfast/v1/snapshot", cluster))
    }

    /// What the cluster signs its snapshots with. It hangs on the identity key, so that it stays when the root key rotates.
    #[must_use]
    pub fn snapshot_signer(&self, cluster: &[u8; 16]) -> Signer {
        Signer::derive(&self.identity, "holdfast/v1/snapshot signing", cluster)
    }

    /// One version of the root key, if it is still held.
    #[must_use]
    pub fn root(&self, version: u32) -> Option<&Key> {
        self.roots.get(&version)
    }

    /// Every version of the root key that is held, oldest first.
    pub fn versions(&self) -> impl Iterator<Item = u32> + '_ {
        self.roots.keys().copied()
    }

    /// Adds a version of the root key; the current one stays current. Adding the same key again changes nothing.
    ///
    /// # Errors
    /// When the version is 0 or has another key, or the ring is full.
    pub fn add_root(&mut self, version: u32, key: Key) -> Result<(), RingError> {
        match self.roots.get(&version) {
            Some(held) if *held == key => return Ok(()),
            Some(_) => return Err(RingError::Taken(version)),
            None if version == 0 => return Err(RingError::Zero),
            None if self.roots.len() >= ROOTS_MAX => return Err(RingError::Full),
            None => {}
        }
        self.roots.insert(version, key);
        Ok(())
    }

    /// Wraps new keys with this version from now on.
    ///
    /// # Errors
    /// When the version is not held.
    pub fn make_current(&mut self, version: u32) -> Result<(), RingError> {
        if !self.roots.contains_key(&version) {
            return Err(RingError::Unknown(version));
        }
        self.current = version;
        Ok(())
    }

    /// Forgets an old version of the root key; the current one stays. Says whether there was one to forget.
    pub fn drop_root(&mut self, version: u32) -> bool {
        version != self.current && self.roots.remove(&version).is_some()
    }

    /// Eight bytes that tell two rings apart and reveal nothing else of them: equal on all nodes that hold the same keys.
    #[must_use]
    pub fn check_value(&self) -> [u8; 8] {
        let mut check = [0; 8];
        derive_into(CHECK_CONTEXT, &[&self.encode()], &mut check);
        check
    }

    /// The bytes, in a buffer that never grows and is zeroed when dropped.
    pub(crate) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(HEADER_BYTES + self.roots.len() * ROOT_BYTES));
        bytes.push(FORMAT);
        bytes.extend_from_slice(self.identity.expose());
        bytes.extend_from_slice(self.lookup.expose());
        bytes.extend_from_slice(&self.current.to_be_bytes());
        let count = u32::try_from(self.roots.len()).expect("a ring holds at most ROOTS_MAX versions");
        bytes.extend_from_slice(&count.to_be_bytes());
        for (version, key) in &self.roots {
            bytes.extend_from_slice(&version.to_be_bytes());
            bytes.extend_from_slice(key.expose());
        }
        bytes
    }

    /// The ring in `bytes`, unless they are anything but what [`Ring::encode`] gives.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Ring> {
        let (header, rest) = bytes.split_at_checked(HEADER_BYTES)?;
        let (format, header) = header.split_first()?;
        let (identity, header) = header.split_at(KEY_BYTES);
        let (lookup, header) = header.split_at(KEY_BYTES);
        let (current, count) = (number(&header[..4])?, number(&header[4..])?);
        let count = usize::try_from(count).ok().filter(|count| (1..=ROOTS_MAX).contains(count))?;
        if *format != FORMAT || rest.len() != count * ROOT_BYTES {
            return None;
        }
        let mut roots = BTreeMap::new();
        for entry in rest.chunks_exact(ROOT_BYTES) {
            let version = number(&entry[..4])?;
            // One ring has one form: ascending, from 1, each version once.
            let is_next = version > roots.last_key_value().map_or(0, |(last, _)| *last);
            roots.insert(version, Key::from_slice(&entry[4..]).filter(|_| is_next)?);
        }
        roots.contains_key(&current).then_some(())?;
        Some(Ring { identity: Key::from_slice(identity)?, lookup: Key::from_slice(lookup)?, roots, current })
    }
}

fn number(bytes: &[u8]) -> Option<u32> {
    bytes.try_into().ok().map(u32::from_be_bytes)
}

impl PartialEq for Ring {
    fn eq(&self, other: &Self) -> bool {
        (&self.identity, &self.lookup, &self.roots, self.current) == (&other.identity, &other.lookup, &other.roots, other.current)
    }
}

impl Eq for Ring {}

impl std::fmt::Debug for Ring {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let versions: Vec<u32> = self.versions().collect();
        write!(formatter, "Ring(root versions {versions:?}, current {})", self.current)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::SeededEntropy;

    fn ring() -> Ring {
        Ring::generate(&SeededEntropy::new(1))
    }

    fn key(byte: u8) -> Key {
        Key::from_bytes([byte; KEY_BYTES])
    }

    #[test]
    fn a_new_root_is_current_only_when_it_is_made_so_and_the_old_one_opens_until_it_is_dropped() {
        let mut ring = ring();
        let first = ring.current().1.duplicate();
        ring.add_root(2, key(2)).unwrap();
        assert_eq!(ring.current(), (1, &first));
        ring.make_current(2).unwrap();
        assert_eq!((ring.current(), ring.root(1)), ((2, &key(2)), Some(&first)));
        assert!(!ring.drop_root(2), "the current root is never dropped");
        assert!(ring.drop_root(1) && !ring.drop_root(1));
        assert_eq!((ring.root(1), ring.versions().collect::<Vec<_>>()), (None, vec![2]));
    }

    #[test]
    fn what_cannot_be_is_refused_and_changes_nothing() {
        let mut ring = ring();
        let before = ring.duplicate();
        assert_eq!(ring.add_root(0, key(2)), Err(RingError::Zero));
        assert_eq!(ring.add_root(1, key(2)), Err(RingError::Taken(1)));
        assert_eq!(ring.make_current(2), Err(RingError::Unknown(2)));
        assert_eq!(ring, before);
        ring.add_root(1, before.current().1.duplicate()).unwrap();
        assert_eq!(ring, before, "adding the same key again changes nothing");
        for version in 2..=u32::try_from(ROOTS_MAX).unwrap() {
            ring.add_root(version, key(2)).unwrap();
        }
        assert_eq!(ring.add_root(1000, key(2)), Err(RingError::Full));
        assert_eq!(Ring::decode(&ring.encode()).unwrap(), ring, "a full ring is read back");
    }

    #[test]
    fn a_ring_is_read_back_and_no_other_bytes_are() {
        let mut ring = ring();
        ring.add_root(7, key(7)).unwrap();
        ring.make_current(7).unwrap();
        let bytes = ring.encode();
        assert_eq!(bytes.len(), bytes.capacity(), "a buffer that grew would leave keys behind");
        assert_eq!(Ring::decode(&bytes).unwrap(), ring);
        for cut in 0..bytes.len() {
            assert!(Ring::decode(&bytes[..cut]).is_none(), "{cut}");
        }
        let changed = |at: usize, byte: u8| {
            let mut bytes = bytes.to_vec();
            bytes[at] = byte;
            Ring::decode(&bytes).is_none()
        };
        let (current, count, first) = (1 + 64 + 3, 1 + 64 + 7, HEADER_BYTES + 3);
        assert!(changed(0, 2) && changed(current, 6) && changed(count, 1) && changed(count, 3) && changed(first, 0));
        assert!(changed(first, 7) && changed(first, 8), "versions ascend");
    }

    #[test]
    fn rings_differ_in_their_check_values_whatever_key_differs_and_print_no_key() {
        let ring = ring();
        assert_eq!(ring.check_value(), ring.duplicate().check_value());
        let others = [
            Ring { identity: key(9), ..ring.duplicate() },
            Ring { lookup: key(9), ..ring.duplicate() },
            Ring { roots: BTreeMap::from([(1, key(9))]), ..ring.duplicate() },
        ];
        for other in others {
            assert_ne!(other.check_value(), ring.check_value());
            assert_ne!(other, ring);
        }
        assert_eq!(format!("{ring:?}"), "Ring(root versions [1], current 1)");
    }
}

//! How a row lies in sled: its key hashed, its value sealed, nothing readable but the table it belongs to.
//!
//! ```text
//! sled key    table u8 | keyed BLAKE3 of the row's key, first 16 bytes        table = first byte of the row's key
//! sled value  sealed( key length u32 | key | value ), bound to cluster, node, database and sled key
//! 0xFE        format u32, in the clear
//! 0xFF        sealed( marker u64 )
//! ```
//! Reserved keys have one byte, rows have seventeen: they never meet.

use storage_crypto::{Binding, Entropy, Key, OpenError, Purpose, sealed};

use crate::segment::Owner;

pub(crate) const FORMAT_KEY: [u8; 1] = [0xFE];
pub(crate) const MARKER_KEY: [u8; 1] = [0xFF];
pub(crate) const FORMAT: u32 = 1;

const HASH_BYTES: usize = 16;
const KEY_BYTES: usize = 1 + HASH_BYTES;
const KEY_CONTEXT: &str = "holdfast/v1/materialized keys";
const ROW_CONTEXT: &str = "holdfast/v1/materialized rows";

/// Where a row lies.
pub(crate) type Place = [u8; KEY_BYTES];

/// The keys of one database, and how its rows are bound.
pub(crate) struct Keyspace {
    hashing: Key,
    sealing: Key,
    owner: Owner,
    name: String,
}

impl Keyspace {
    pub(crate) fn new(key: &Key, owner: Owner, name: &str) -> Keyspace {
        let (hashing, sealing) = (key.derive(KEY_CONTEXT, name.as_bytes()), key.derive(ROW_CONTEXT, name.as_bytes()));
        Keyspace { hashing, sealing, owner, name: name.to_owned() }
    }

    /// Where the row with this key lies. The first byte is the table, and stays in the clear; an empty key is in table 0.
    pub(crate) fn place(&self, key: &[u8]) -> Place {
        let mut place = [0; KEY_BYTES];
        place[0] = key.first().copied().unwrap_or(0);
        place[1..].copy_from_slice(&self.hashing.keyed_hash(key)[..HASH_BYTES]);
        place
    }

    pub(crate) fn seal_row(&self, place: &[u8], key: &[u8], value: &[u8], entropy: &dyn Entropy) -> Vec<u8> {
        let mut blob = Vec::new();
        self.seal_row_into(place, key, value, entropy, &mut blob);
        blob
    }

    /// Seals a row at the end of `blob`.
    pub(crate) fn seal_row_into(&self, place: &[u8], key: &[u8], value: &[u8], entropy: &dyn Entropy, blob: &mut Vec<u8>) {
        let mut row = Vec::with_capacity(4 + key.len() + value.len());
        row.extend_from_slice(&u32::try_from(key.len()).expect("keys are names, far below 4 GiB").to_be_bytes());
        row.extend_from_slice(key);
        row.extend_from_slice(value);
        sealed::seal_into(&self.sealing, 1, &self.binding(place), &row, entropy, blob);
    }

    /// The key and the value of the row at `place`.
    pub(crate) fn open_row(&self, place: &[u8], blob: &[u8]) -> Result<(Vec<u8>, Vec<u8>), OpenError> {
        let mut key = sealed::open_bulk(&self.sealing, &self.binding(place), blob)?;
        let (len, _) = key.split_first_chunk().ok_or(OpenError::DamagedOrMoved)?;
        let len = u32::from_be_bytes(*len) as usize;
        if key.len() < 4 + len {
            return Err(OpenError::DamagedOrMoved);
        }
        let value = key.split_off(4 + len);
        key.drain(..4);
        Ok((key, value))
    }

    pub(crate) fn seal_marker(&self, marker: u64, entropy: &dyn Entropy) -> Vec<u8> {
        sealed::seal(&self.sealing, 1, &self.binding(&MARKER_KEY), &marker.to_be_bytes(), entropy)
    }

    pub(crate) fn open_marker(&self, blob: &[u8]) -> Result<u64, OpenError> {
        let bytes = sealed::open_bulk(&self.sealing, &self.binding(&MARKER_KEY), blob)?;
        bytes.try_into().map(u64::from_be_bytes).map_err(|_| OpenError::DamagedOrMoved)
    }

    /// Whether a sled key is a row's, and not a reserved one.
    pub(crate) fn is_row(place: &[u8]) -> bool {
        place.len() == KEY_BYTES
    }

    fn binding(&self, place: &[u8]) -> Binding {
        Binding::new(Purpose::Row).bytes(&self.owner.cluster).u64(self.owner.node).bytes(self.name.as_bytes()).bytes(place)
    }
}

#[cfg(test)]
mod tests {
    use storage_crypto::SeededEntropy;

    use super::*;

    fn keyspace(name: &str) -> Keyspace {
        Keyspace::new(&Key::from_bytes([1; 32]), Owner { cluster: [2; 16], node: 3 }, name)
    }

    #[test]
    fn a_row_opens_in_its_place_in_its_database_only() {
        let (rows, entropy) = (keyspace("system"), SeededEntropy::new(1));
        let place = rows.place(b"\x01db/password");
        let blob = rows.seal_row(&place, b"\x01db/password", b"value", &entropy);
        assert_eq!(rows.open_row(&place, &blob).unwrap(), (b"\x01db/password".to_vec(), b"value".to_vec()));
        assert!(rows.open_row(&rows.place(b"\x01db/other"), &blob).is_err());
        assert!(keyspace("other").open_row(&place, &blob).is_err());
        assert_ne!(place, keyspace("other").place(b"\x01db/password"));
    }

    #[test]
    fn nothing_readable_is_left_of_a_key_but_its_table() {
        let rows = keyspace("system");
        let place = rows.place(b"\x07production");
        assert_eq!(place[0], 7);
        assert!(!place[1..].windows(4).any(|window| b"production".windows(4).any(|part| part == window)));
    }
}

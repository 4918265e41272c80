//! A 256-bit key and what is derived from it.

use std::fmt;

use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize as _, Zeroizing};

use crate::{arena::Slot, entropy::Entropy};

/// Bytes in a key.
pub const KEY_BYTES: usize = 32;

const CHECK_CONTEXT: &str = "holdfast/v1/key check value";

/// A symmetric key: in pages that are locked and left out of dumps (see [`crate::arena`]), and zeroed when dropped.
pub struct Key(Slot);

impl Key {
    /// A fresh random key.
    #[must_use]
    pub fn generate(entropy: &dyn Entropy) -> Key {
        let mut slot = Slot::take();
        entropy.fill(slot.bytes_mut());
        Key(slot)
    }

    /// The key with exactly these bytes. The caller's array stays behind: [`Key::from_slice`] leaves no copy of its own.
    #[must_use]
    pub fn from_bytes(mut bytes: [u8; KEY_BYTES]) -> Key {
        let mut slot = Slot::take();
        slot.bytes_mut().copy_from_slice(&bytes);
        bytes.zeroize();
        Key(slot)
    }

    /// The key with these bytes, if there are exactly 32.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Key> {
        let mut slot = Slot::take();
        // Straight from the slice: an array on the way would leave a copy on the stack.
        (bytes.len() == KEY_BYTES).then(|| slot.bytes_mut().copy_from_slice(bytes))?;
        Some(Key(slot))
    }

    /// A second owner of the same key. Explicit, so that a copy is a decision.
    #[must_use]
    pub fn duplicate(&self) -> Key {
        let mut slot = Slot::take();
        slot.bytes_mut().copy_from_slice(self.expose());
        Key(slot)
    }

    /// The bytes themselves; every call is a place where a key is read.
    #[must_use]
    pub fn expose(&self) -> &[u8; KEY_BYTES] {
        self.0.bytes()
    }

    /// A key for one use: BLAKE3 `derive_key` over this key and `info`.
    ///
    /// `context` is written in the source, globally unique and never built at run time; what varies goes into `info`.
    #[must_use]
    pub fn derive(&self, context: &'static str, info: &[u8]) -> Key {
        let mut derived = Slot::take();
        derive_into(context, &[self.expose(), info], derived.bytes_mut());
        Key(derived)
    }

    /// A hash of `bytes` that nobody without the key can compute or check (keyed BLAKE3).
    #[must_use]
    pub fn keyed_hash(&self, bytes: &[u8]) -> [u8; 32] {
        *blake3::keyed_hash(self.expose(), bytes).as_bytes()
    }

    /// Eight bytes that tell two keys apart and reveal nothing else of them.
    #[must_use]
    pub fn check_value(&self) -> [u8; 8] {
        let mut check = [0; 8];
        derive_into(CHECK_CONTEXT, &[self.expose()], &mut check);
        check
    }
}

/// BLAKE3's `derive_key` over `parts`, one after the other. The hasher, which buffers what it was given, is zeroed.
pub(crate) fn derive_into(context: &'static str, parts: &[&[u8]], derived: &mut [u8]) {
    let mut hasher = Zeroizing::new(blake3::Hasher::new_derive_key(context));
    for part in parts {
        hasher.update(part);
    }
    Zeroizing::new(hasher.finalize_xof()).fill(derived);
}

impl PartialEq for Key {
    /// Takes the same time wherever two keys differ.
    fn eq(&self, other: &Self) -> bool {
        self.expose().ct_eq(other.expose()).into()
    }
}

impl Eq for Key {}

impl fmt::Debug for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Key(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::SeededEntropy;

    #[test]
    fn a_key_never_prints_its_bytes() {
        assert_eq!(format!("{:?}", Key::from_bytes([7; 32])), "Key(..)");
    }

    #[test]
    fn a_derived_key_depends_on_key_context_and_info() {
        let key = Key::from_bytes([1; 32]);
        let derived = key.derive("holdfast/v1/test a", b"info");
        assert_eq!(derived, key.derive("holdfast/v1/test a", b"info"));
        assert_ne!(derived, key.derive("holdfast/v1/test b", b"info"));
        assert_ne!(derived, key.derive("holdfast/v1/test a", b"other"));
        assert_ne!(derived, Key::from_bytes([2; 32]).derive("holdfast/v1/test a", b"info"));
    }

    #[test]
    fn two_generated_keys_differ_in_their_check_values() {
        let entropy = SeededEntropy::new(1);
        let (one, two) = (Key::generate(&entropy), Key::generate(&entropy));
        assert_ne!(one.check_value(), two.check_value());
        assert_eq!(one.check_value(), one.duplicate().check_value());
    }
}

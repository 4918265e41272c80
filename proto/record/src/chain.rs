//! The hash chain over journal leaves: `chain_i = BLAKE3(context | chain_{i-1} | len | leaf_i)`.
//!
//! The genesis value binds the cluster, so that two clusters never share a chain.

/// One link: 32 bytes that stand for every leaf up to and including one.
pub type Link = [u8; 32];

const CONTEXT: &str = "holdfast/v1/journal/chain";
const GENESIS_CONTEXT: &str = "holdfast/v1/journal/genesis";

/// The epoch in which every cluster is founded. Later ones go on with the chain that they begin from.
const FOUNDING_EPOCH: u32 = 1;

/// The link before the first leaf of `cluster`.
#[must_use]
pub fn genesis(cluster: &[u8; 16]) -> Link {
    let mut hasher = blake3::Hasher::new_derive_key(GENESIS_CONTEXT);
    hasher.update(cluster);
    hasher.update(&FOUNDING_EPOCH.to_be_bytes());
    *hasher.finalize().as_bytes()
}

/// The link after `leaf`, given the one before it.
#[must_use]
pub fn next(previous: &Link, leaf: &[u8]) -> Link {
    // The derived context is the same for every link: deriving it once halves the cost of a short leaf.
    static BASE: std::sync::OnceLock<blake3::Hasher> = std::sync::OnceLock::new();
    let mut hasher = BASE.get_or_init(|| blake3::Hasher::new_derive_key(CONTEXT)).clone();
    hasher.update(previous);
    hasher.update(&(leaf.len() as u64).to_be_bytes());
    hasher.update(leaf);
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_depends_on_every_leaf_and_on_their_order() {
        let genesis = genesis(&[7; 16]);
        let ab = next(&next(&genesis, b"a"), b"b");
        let ba = next(&next(&genesis, b"b"), b"a");
        let joined = next(&genesis, b"ab");
        assert_ne!(ab, ba);
        assert_ne!(ab, joined);
    }

    #[test]
    fn the_chain_of_a_known_journal_never_drifts() {
        let link = next(&next(&genesis(&[1; 16]), b"first"), b"second");
        let hex: String = link.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "721327f0f65b5af8b5460d7515491b2bf109dd674dc18e559e1ade95a7db5ab7");
    }
}

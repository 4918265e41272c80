//! A block: the leaves of one batch, or of several that follow one another, with the links of the chain before and after them.
//!
//! ```text
//! LZ4( chain before 32 | chain after 32 | (length u32 | leaf)* ), preceded by its length before compression, u32 little endian
//! ```
//! How many leaves there are, and the number of the first, stand in the frame's header.

use bytes::Bytes;
use proto_record::chain::{self, Link};

use crate::segment::NUMBER_MAX;

/// No block decompresses to more: a damaged length must not ask for the machine's memory.
const BLOCK_BYTES_MAX: usize = 512 * 1024 * 1024;
/// LZ4 makes at most so many bytes of one: what claims more is damaged, and must not ask for the memory either.
const EXPANSION_MAX: usize = 255;
const LINKS_BYTES: usize = 64;

/// Records that follow one another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The number of the first leaf; the others follow without a gap.
    pub first_seq: u64,
    /// The records' canonical bytes.
    pub leaves: Vec<Bytes>,
    /// The link before the first leaf.
    pub chain_before: Link,
    /// The link after the last leaf.
    pub chain_after: Link,
}

/// A record as it was stored, with the link that stands for it and everything before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRecord {
    /// Its number.
    pub seq: u64,
    /// Its canonical bytes.
    pub leaf: Bytes,
    /// The link after it.
    pub chain: Link,
}

/// A block is not what it says it is.
#[derive(Debug)]
pub(crate) struct ChainError {
    pub(crate) seq: u64,
    pub(crate) why: String,
}

impl Block {
    /// A block of `leaves` that follows the link `chain_before`.
    #[must_use]
    pub fn following(first_seq: u64, chain_before: Link, leaves: Vec<Bytes>) -> Block {
        let chain_after = leaves.iter().fold(chain_before, |link, leaf| chain::next(&link, leaf));
        Block { first_seq, leaves, chain_before, chain_after }
    }

    /// The number of the record after the last.
    #[must_use]
    pub fn next_seq(&self) -> u64 {
        self.first_seq + self.leaves.len() as u64
    }

    /// Every record with its link, if the links lead to the block's last one.
    pub(crate) fn records(&self) -> Result<Vec<StoredRecord>, ChainError> {
        let mut link = self.chain_before;
        let mut records = Vec::with_capacity(self.leaves.len());
        for (seq, leaf) in (self.first_seq..).zip(&self.leaves) {
            link = chain::next(&link, leaf);
            records.push(StoredRecord { seq, leaf: leaf.clone(), chain: link });
        }
        if link == self.chain_after {
            Ok(records)
        } else {
            Err(ChainError { seq: self.first_seq, why: "its block's leaves do not lead to the block's link".to_owned() })
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut plain = Vec::with_capacity(LINKS_BYTES + super::leaf_bytes(&self.leaves) + 4 * self.leaves.len());
        plain.extend_from_slice(&self.chain_before);
        plain.extend_from_slice(&self.chain_after);
        for leaf in &self.leaves {
            let len = u32::try_from(leaf.len()).expect("a leaf is shorter than a block, which is limited when it is appended");
            plain.extend_from_slice(&len.to_be_bytes());
            plain.extend_from_slice(leaf);
        }
        lz4_flex::block::compress_prepend_size(&plain)
    }

    pub(crate) fn decode(first_seq: u64, count: u32, body: &[u8]) -> Result<Block, ChainError> {
        let damaged = |why: &str| ChainError { seq: first_seq, why: why.to_owned() };
        if first_seq > NUMBER_MAX {
            return Err(damaged("no journal has so many records"));
        }
        let (len, _) = lz4_flex::block::uncompressed_size(body).map_err(|_| damaged("its block is empty"))?;
        if len > BLOCK_BYTES_MAX || len > body.len().saturating_mul(EXPANSION_MAX) {
            return Err(damaged("its block claims to be impossibly long"));
        }
        let plain = lz4_flex::block::decompress_size_prepended(body).map_err(|_| damaged("its block does not decompress"))?;
        let mut rest = Bytes::from(plain);
        if rest.len() < LINKS_BYTES {
            return Err(damaged("its block has no links"));
        }
        let links = rest.split_to(LINKS_BYTES);
        let mut leaves = Vec::with_capacity((count as usize).min(rest.len() / 4));
        while let Some(prefix) = rest.first_chunk() {
            let leaf_len = u32::from_be_bytes(*prefix) as usize;
            drop(rest.split_to(4));
            if leaf_len > rest.len() {
                return Err(damaged("a leaf of its block is cut short"));
            }
            leaves.push(rest.split_to(leaf_len));
        }
        if !rest.is_empty() || leaves.len() != count as usize {
            return Err(damaged("its block holds another number of leaves than its header says"));
        }
        let link = |at: usize| links[at..at + 32].try_into().expect("two links were cut off");
        Ok(Block { first_seq, leaves, chain_before: link(0), chain_after: link(32) })
    }
}

/// Whether a block may be appended: bounds what [`Block::encode`] takes for granted.
pub(crate) fn fits(block: &Block) -> bool {
    super::leaf_bytes(&block.leaves) + 4 * block.leaves.len() + LINKS_BYTES <= BLOCK_BYTES_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block() -> Block {
        Block::following(5, [1; 32], vec![Bytes::from_static(b"one"), Bytes::new(), Bytes::from_static(b"three")])
    }

    #[test]
    fn a_block_reads_back_with_a_link_for_every_leaf() {
        let read = Block::decode(5, 3, &block().encode()).unwrap();
        assert_eq!(read, block());
        let records = read.records().unwrap();
        assert_eq!(records.iter().map(|record| record.seq).collect::<Vec<_>>(), [5, 6, 7]);
        assert_eq!(records[2].chain, read.chain_after);
    }

    #[test]
    fn a_block_that_claims_more_than_its_bytes_can_hold_is_refused_before_memory_is_taken() {
        let mut body = block().encode();
        body[..4].copy_from_slice(&(400u32 << 20).to_le_bytes());
        assert_eq!(Block::decode(5, 3, &body).unwrap_err().why, "its block claims to be impossibly long");
        assert!(Block::decode(u64::MAX, 3, &block().encode()).is_err(), "nothing can be counted on from there");
        let zeros = Block::following(5, [1; 32], vec![Bytes::from(vec![0; 1 << 20])]);
        assert_eq!(Block::decode(5, 1, &zeros.encode()).unwrap(), zeros, "what compresses best still reads");
    }

    #[test]
    fn a_changed_leaf_breaks_the_chain_of_its_block() {
        let mut changed = block();
        changed.leaves[1] = Bytes::from_static(b"x");
        assert_eq!(changed.records().unwrap_err().seq, 5);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_decode_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let compressed = lz4_flex::block::compress_prepend_size(&bytes);
            let _ = Block::decode(1, 2, &bytes[..]).map(|block| block.records());
            let _ = Block::decode(1, 2, &compressed).map(|block| block.records());
        }
    }
}

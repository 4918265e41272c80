//! Checking the journal without trusting whoever keeps it.
//!
//! A record is a leaf and the link after it; the [`verify::Verifier`] recomputes every link from the one before, and names the
//! record where that fails. Records come from a cluster or from a [`bundle`].

// With their places, because the fuzz targets (`chaos/fuzz`) take this file from where it is.
#[path = "journal/bundle.rs"]
pub(crate) mod bundle;
#[path = "journal/finding.rs"]
pub(crate) mod finding;
#[path = "journal/verify.rs"]
pub(crate) mod verify;

use proto_record::chain::Link;

/// A record as it was handed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    /// The number that the bundle or the node gives it.
    pub(crate) seq: u64,
    pub(crate) leaf: Vec<u8>,
    pub(crate) chain: Link,
    /// Where it stands: a byte of a bundle, or a position in a stream.
    pub(crate) place: u64,
}

/// What is known of the records before the first is seen. What is not known is taken from the records, and not checked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origin {
    pub(crate) cluster: Option<[u8; 16]>,
    /// The epoch of the last record: those before it are of the same or of earlier ones.
    pub(crate) epoch: Option<u32>,
    pub(crate) first_seq: Option<u64>,
    pub(crate) last_seq: Option<u64>,
    /// The link before the first record.
    pub(crate) before: Option<Link>,
}

impl Origin {
    /// The first link of a journal follows from the cluster alone.
    pub(crate) fn with_genesis(mut self) -> Origin {
        if let (Some(1), Some(cluster)) = (self.first_seq, self.cluster) {
            self.before = Some(proto_record::chain::genesis(&cluster));
        }
        self
    }
}

/// A link as people compare it.
pub(crate) fn hex(link: &[u8]) -> String {
    storage_crypto::hex::encode(link)
}

/// The opposite of [`hex`], for exactly `N` bytes.
pub(crate) fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    storage_crypto::hex::decode(text).ok()?.try_into().ok()
}

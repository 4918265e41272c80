//! What an unsealed node holds of its seal: the file, the key that opens it and the ring inside. Every change of the file is durable
//! before the ring in memory changes.
//!
//! The rules that keep two leaders from tearing the ring apart: a generation is taken once and only upwards; a version of the root key
//! never means two keys; and no version that something needs is dropped. See `ops/docs/decisions/0010-keys.md`.

use crate::engine::Sealing;
use node_domain::keys::SealAbout;
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use storage::Disk;
use storage_crypto::entropy::Entropy;
use storage_crypto::hex;
use storage_crypto::key::Key;
use storage_crypto::ring::{Ring, RingError};
use storage_crypto::seal_file::{SealFile, SealFileError, SealedWith};
use storage_crypto::seal_key::SealKey;
use storage_crypto::sealed::OpenError;

/// An opened seal.
pub(crate) struct Unsealed {
    pub(crate) file: SealFile,
    pub(crate) key: SealKey,
    pub(crate) ring: Ring,
}

/// Why a seal file was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CustodyError {
    /// It cannot be read or opened.
    #[error("the seal file: {0}")]
    File(#[from] SealFileError),
    /// The key that came with it does not open.
    #[error("the key that came with the seal file: {0}")]
    Handover(OpenError),
    /// The ring does not take the change.
    #[error("the ring: {0}")]
    Ring(#[from] RingError),
    /// Another cluster's.
    #[error("the seal file is of cluster {found}, this node of {expected}")]
    OtherCluster { found: String, expected: String },
    /// An older one, or another one of the same generation.
    #[error("this node has generation {held} of the seal file, and was offered another generation {offered}")]
    NotNewer { held: u64, offered: u64 },
    /// The ring in it is not this one grown or trimmed.
    #[error("the seal file {0}")]
    OtherRing(String),
    /// It could not be written; nothing changed.
    #[error("write {path}: {cause}")]
    Write { path: String, cause: std::io::Error },
}

/// The seal of an unsealed node.
pub(crate) struct Custody {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    entropy: Arc<dyn Entropy>,
    sealing: Arc<Sealing>,
    held: Mutex<Unsealed>,
}

impl Custody {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        path: PathBuf,
        entropy: Arc<dyn Entropy>,
        sealing: Arc<Sealing>,
        held: Unsealed,
    ) -> Custody {
        Custody { disk, path, entropy, sealing, held: Mutex::new(held) }
    }

    /// The same once more, for a node that starts again.
    pub(crate) fn unsealed(&self) -> Unsealed {
        let held = self.held.lock();
        Unsealed { file: held.file.clone(), key: held.key.duplicate(), ring: held.ring.duplicate() }
    }

    /// What the journal keeps of the seal.
    pub(crate) fn about(&self) -> SealAbout {
        about(&self.held.lock().file)
    }

    pub(crate) fn file(&self) -> SealFile {
        self.held.lock().file.clone()
    }

    pub(crate) fn generation(&self) -> u64 {
        self.held.lock().file.generation()
    }

    pub(crate) fn roots(&self) -> Vec<u32> {
        self.held.lock().ring.versions().collect()
    }

    /// The seal file, and the key that opens it in a form that only nodes of this cluster can read.
    pub(crate) fn offer(&self) -> (Vec<u8>, Vec<u8>) {
        let held = self.held.lock();
        let handover = held.key.hand_over(&held.ring, &held.file.cluster(), held.file.generation(), &*self.entropy);
        (held.file.to_json(), handover)
    }

    /// Takes a newer seal file from another node. `needed` are versions of the root key without which this node could not read
    /// something; `root` is the version that counts. Blocking; durable on return.
    pub(crate) fn adopt(&self, json: &[u8], handover: &[u8], needed: &BTreeSet<u32>, root: u32) -> Result<u64, CustodyError> {
        let file = SealFile::parse(json)?;
        let mut held = self.held.lock();
        let (expected, found) = (held.file.cluster(), file.cluster());
        if found != expected {
            return Err(CustodyError::OtherCluster { found: hex::encode(&found), expected: hex::encode(&expected) });
        }
        if file == held.file {
            return Ok(file.generation());
        }
        if file.generation() <= held.file.generation() {
            return Err(CustodyError::NotNewer { held: held.file.generation(), offered: file.generation() });
        }
        let key = SealKey::take_over(handover, &held.ring, &found, file.generation(), file.sealed_with());
        let key = key.map_err(CustodyError::Handover)?;
        let ring = file.open(&key)?;
        check_successor(&held.ring, &ring, needed, root)?;
        self.keep(&mut held, file, key, ring)
    }

    /// Adds a version of the root key: the next generation.
    pub(crate) fn add_root(&self, version: u32, key: Key) -> Result<u64, CustodyError> {
        self.next(|ring| Ok(ring.add_root(version, key)?))
    }

    /// Forgets versions of the root key: the next generation.
    pub(crate) fn drop_roots(&self, versions: &[u32], current: u32) -> Result<u64, CustodyError> {
        self.next(|ring| {
            ring.make_current(current)?;
            for version in versions {
                ring.drop_root(*version);
            }
            Ok(())
        })
    }

    fn next(&self, change: impl FnOnce(&mut Ring) -> Result<(), CustodyError>) -> Result<u64, CustodyError> {
        let mut held = self.held.lock();
        let mut ring = held.ring.duplicate();
        change(&mut ring)?;
        let file = held.file.reseal(&held.key, &ring, &*self.entropy)?;
        let key = held.key.duplicate();
        self.keep(&mut held, file, key, ring)
    }

    /// Another seal around the same ring: the next generation.
    pub(crate) fn reseal(&self, key: SealKey) -> Result<u64, CustodyError> {
        let mut held = self.held.lock();
        let ring = held.ring.duplicate();
        let file = held.file.reseal(&key, &ring, &*self.entropy)?;
        self.keep(&mut held, file, key, ring)
    }

    /// Whether `proof` opens what `key` seals: whoever proves it has the shares, the passphrase or the key file.
    pub(crate) fn is_same_key(&self, key: &SealKey, proof: &SealKey) -> bool {
        let held = self.held.lock();
        let tried = held.file.reseal(key, &held.ring, &*self.entropy);
        tried.is_ok_and(|file| file.open(proof).is_ok())
    }

    /// Whether `proof` opens the seal that counts.
    pub(crate) fn is_opened_by(&self, proof: &SealKey) -> bool {
        self.held.lock().file.open(proof).is_ok()
    }

    fn keep(&self, held: &mut Unsealed, file: SealFile, key: SealKey, ring: Ring) -> Result<u64, CustodyError> {
        let written = storage::disk::replace(&*self.disk, &self.path, &file.to_json());
        written.map_err(|cause| CustodyError::Write { path: self.path.display().to_string(), cause })?;
        let generation = file.generation();
        tracing::info!(generation, kind = %file.kind(), roots = ?ring.versions().collect::<Vec<_>>(), "the seal file has a new generation");
        self.sealing.replace_ring(ring.duplicate());
        *held = Unsealed { file, key, ring };
        Ok(generation)
    }
}

/// A newer ring holds all that the older one held, but for versions that nothing was ever wrapped by (above `root`) and those that
/// nothing is wrapped by any more (below it).
fn check_successor(held: &Ring, offered: &Ring, needed: &BTreeSet<u32>, root: u32) -> Result<(), CustodyError> {
    let refused = |why: String| Err(CustodyError::OtherRing(why));
    if held.identity() != offered.identity() || held.lookup() != offered.lookup() {
        return refused("holds other identities: it is not this cluster's".to_owned());
    }
    for version in held.versions() {
        match (held.root(version), offered.root(version)) {
            (Some(old), Some(new)) if old != new => {
                return refused(format!("holds another key as version {version} of the root key"));
            }
            (Some(_), None) if version == root || needed.contains(&version) => {
                return refused(format!("lacks version {version} of the root key, which this node needs"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// What the journal keeps of a seal.
pub(crate) fn about(file: &SealFile) -> SealAbout {
    let generation = file.generation();
    let kind = file.kind().name().to_owned();
    match file.sealed_with() {
        SealedWith::Shamir(set) => SealAbout {
            kind,
            shares: set.shares.into(),
            threshold: set.threshold.into(),
            set: hex::encode(&set.set_id),
            generation,
        },
        _ => SealAbout { kind, generation, ..SealAbout::default() },
    }
}

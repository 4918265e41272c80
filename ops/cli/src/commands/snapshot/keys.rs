//! The keys of snapshots, out of a seal file and what opens it.

use std::path::Path;

use storage_crypto::{Key, PublicKey, Ring, SealFile, SealKey};
use zeroize::Zeroizing;

use crate::exit::{Exit, Failure};

/// An opened seal.
pub(super) struct SnapshotKeys {
    cluster: [u8; 16],
    ring: Ring,
}

impl SnapshotKeys {
    pub(super) fn key(&self, version: u32) -> Option<Key> {
        self.ring.snapshot_key(version, &self.cluster)
    }

    /// Whose signature snapshots of this cluster bear.
    pub(super) fn signer(&self) -> PublicKey {
        self.ring.snapshot_signer(&self.cluster).public()
    }
}

/// Opens a seal file by a key file.
pub(super) fn open(seal_file: Option<&Path>, key_file: Option<&Path>) -> Result<Option<SnapshotKeys>, Failure> {
    let (Some(seal_file), Some(key_file)) = (seal_file, key_file) else { return Ok(None) };
    let io = |path: &Path| {
        let what = format!("cannot read {}", path.display());
        move |error: std::io::Error| Failure::io(what, &error)
    };
    let refused = |error: &dyn std::fmt::Display| {
        Failure::new(Exit::Usage, format!("cannot open {}", seal_file.display()), error.to_string())
            .next("give the cluster's seal file and the key file that opens it")
    };
    let file = SealFile::parse(&std::fs::read(seal_file).map_err(io(seal_file))?).map_err(|error| refused(&error))?;
    let text = Zeroizing::new(std::fs::read_to_string(key_file).map_err(io(key_file))?);
    let key = SealKey::from_key_file(&text).map_err(|error| refused(&error))?;
    let ring = file.open(&key).map_err(|error| refused(&error))?;
    Ok(Some(SnapshotKeys { cluster: file.cluster(), ring }))
}

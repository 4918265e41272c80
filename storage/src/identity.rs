//! Who a data directory belongs to: `identity.json`, with the node's storage key wrapped by the ring's identity key, and a lock.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use storage_crypto::{Binding, Entropy, Key, OpenError, Purpose, hex, sealed};

use crate::{
    disk::{self, Disk},
    segment::Owner,
};

/// The newest format of `identity.json` that this release reads and writes.
pub const FORMAT: u64 = 1;

const FILE: &str = "identity.json";
const LOCK: &str = "lock";
const FILE_BYTES_MAX: u64 = 64 * 1024;
const KEY_VERSION: u32 = 1;

/// Why a data directory was not opened.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// There is no identity.
    #[error(
        "{path} is missing: this is not the data directory of a node; create a cluster or join one, or check the configured path",
        path = path.display()
    )]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// There is one already.
    #[error("{path} is there already: the directory belongs to a node; use an empty one", path = path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The directory is another cluster's.
    #[error("{path} belongs to cluster {found}, expected {expected}: check the configured path", path = path.display())]
    OtherCluster {
        /// The file.
        path: PathBuf,
        /// Its cluster.
        found: String,
        /// The cluster that was expected.
        expected: String,
    },
    /// A release that does not exist yet for this one.
    #[error("{path} was written by a newer Holdfast (format {format}, this one reads up to {FORMAT})", path = path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: u64,
    },
    /// The identity key is not the one that sealed the storage key.
    #[error("wrong identity key: {path} was sealed with that of another seal file; use the seal.json that was laid out with it", path = path.display())]
    WrongKey {
        /// The file.
        path: PathBuf,
    },
    /// The file is not what was written.
    #[error("{path} is damaged or was changed ({why}): restore it from a backup of this node", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// How it shows.
        why: String,
    },
    /// Another process has the directory open.
    #[error("data directory {path} is in use by another process: two nodes must never share one", path = path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The disk refused.
    #[error("{doing} {path}: {source}", path = path.display())]
    Io {
        /// What was being tried.
        doing: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> IdentityError + use<> {
    let path = path.to_owned();
    move |source| IdentityError::Io { doing, path, source }
}

/// Who a node is.
#[derive(Debug)]
pub struct Identity {
    /// The cluster's id.
    pub cluster: [u8; 16],
    /// The node's id; never used again, not even after the node is gone.
    pub node: u64,
    /// Where the node stands, for placement.
    pub zone: String,
    /// Seals everything this node writes to its own disk.
    pub storage_key: Key,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct IdentityFile {
    format: u64,
    cluster_id: String,
    node_id: u64,
    zone: String,
    sealed_storage_key: String,
}

impl Identity {
    /// Writes the identity of a new node, with a fresh storage key. Durable on return.
    ///
    /// # Errors
    /// When the directory has an identity already, or the disk refuses.
    pub fn create(
        disk: &dyn Disk,
        dir: &Path,
        owner: Owner,
        zone: &str,
        identity_key: &Key,
        entropy: &dyn Entropy,
    ) -> Result<Identity, IdentityError> {
        let path = dir.join(FILE);
        disk.create_dir_all(dir).map_err(io_error("creating", dir))?;
        if disk.exists(&path).map_err(io_error("looking for", &path))? {
            return Err(IdentityError::Exists { path });
        }
        let storage_key = Key::generate(entropy);
        let mut file = IdentityFile {
            format: FORMAT,
            cluster_id: hex::encode(&owner.cluster),
            node_id: owner.node,
            zone: zone.to_owned(),
            sealed_storage_key: String::new(),
        };
        let blob = sealed::seal(identity_key, KEY_VERSION, &file.binding(), storage_key.expose(), entropy);
        file.sealed_storage_key = hex::encode(&blob);
        let mut json = serde_json::to_vec_pretty(&file).expect("strings and numbers always serialize");
        json.push(b'\n');
        disk::replace(disk, &path, &json).map_err(io_error("writing", &path))?;
        Ok(Identity { cluster: owner.cluster, node: owner.node, zone: zone.to_owned(), storage_key })
    }

    /// Whether a directory has an identity.
    ///
    /// # Errors
    /// When the disk refuses to say.
    pub fn exists(disk: &dyn Disk, dir: &Path) -> Result<bool, IdentityError> {
        let path = dir.join(FILE);
        disk.exists(&path).map_err(io_error("looking for", &path))
    }

    /// Reads a node's identity. With `expected_cluster`, another cluster's is refused.
    ///
    /// # Errors
    /// See [`IdentityError`]: missing, another cluster's, a newer format, the wrong identity key and damage are told apart.
    pub fn open(
        disk: &dyn Disk,
        dir: &Path,
        identity_key: &Key,
        expected_cluster: Option<&[u8; 16]>,
    ) -> Result<Identity, IdentityError> {
        let path = dir.join(FILE);
        if !disk.exists(&path).map_err(io_error("looking for", &path))? {
            return Err(IdentityError::Missing { path });
        }
        let opened = disk.open(&path).map_err(io_error("opening", &path))?;
        let json = disk::read_all(&*opened, FILE_BYTES_MAX).map_err(io_error("reading", &path))?;
        let file = IdentityFile::parse(&path, &json)?;
        let damaged = |why: &str| IdentityError::Damaged { path: path.clone(), why: why.to_owned() };
        let cluster = hex::decode(&file.cluster_id).ok().and_then(|id| id.try_into().ok());
        let cluster: [u8; 16] = cluster.ok_or_else(|| damaged("its cluster id is not 32 hexadecimal digits"))?;
        if let Some(expected) = expected_cluster.filter(|expected| **expected != cluster) {
            return Err(IdentityError::OtherCluster { path, found: file.cluster_id, expected: hex::encode(expected) });
        }
        let blob = hex::decode(&file.sealed_storage_key).map_err(|_| damaged("its sealed key is not hexadecimal"))?;
        let key = sealed::open(identity_key, &file.binding(), &blob).map_err(|error| match error {
            OpenError::WrongKey => IdentityError::WrongKey { path: path.clone() },
            other => damaged(&other.to_string()),
        })?;
        let storage_key = Key::from_slice(key.expose()).ok_or_else(|| damaged("its storage key has another length"))?;
        Ok(Identity { cluster, node: file.node_id, zone: file.zone, storage_key })
    }

    /// Whose data this is, for everything that binds to it.
    #[must_use]
    pub fn owner(&self) -> Owner {
        Owner { cluster: self.cluster, node: self.node }
    }
}

impl IdentityFile {
    /// The format is looked at first, so that a newer file is named as such whatever else it holds.
    fn parse(path: &Path, json: &[u8]) -> Result<IdentityFile, IdentityError> {
        let damaged = |why: String| IdentityError::Damaged { path: path.to_owned(), why };
        let any: serde_json::Value = serde_json::from_slice(json).map_err(|error| damaged(error.to_string()))?;
        match any.get("format").and_then(serde_json::Value::as_u64) {
            Some(FORMAT) => serde_json::from_value(any).map_err(|error| damaged(error.to_string())),
            Some(format) if format > FORMAT => Err(IdentityError::Newer { path: path.to_owned(), format }),
            _ => Err(damaged("it names no known format".to_owned())),
        }
    }

    fn binding(&self) -> Binding {
        Binding::new(Purpose::Identity)
            .u64(self.format)
            .bytes(self.cluster_id.as_bytes())
            .u64(self.node_id)
            .bytes(self.zone.as_bytes())
    }
}

/// Keeps a data directory to one process: held from before anything is opened until after everything is closed.
#[derive(Debug)]
pub struct DataDirLock {
    _file: File,
}

impl DataDirLock {
    /// Takes the lock, which the operating system gives back when the process ends, however it ends.
    ///
    /// # Errors
    /// [`IdentityError::InUse`] when another process holds it.
    pub fn acquire(dir: &Path) -> Result<DataDirLock, IdentityError> {
        let path = dir.join(LOCK);
        std::fs::create_dir_all(dir).map_err(io_error("creating", dir))?;
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(io_error("opening", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(DataDirLock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(IdentityError::InUse { path: dir.to_owned() }),
            Err(TryLockError::Error(source)) => Err(IdentityError::Io { doing: "locking", path, source }),
        }
    }
}

#[cfg(test)]
mod tests {
    use storage_crypto::SeededEntropy;

    use super::*;
    use crate::disk::memory::MemoryDisk;

    const OWNER: Owner = Owner { cluster: [1; 16], node: 3 };

    fn identity_key() -> Key {
        Key::from_bytes([7; 32])
    }

    fn created() -> (MemoryDisk, Identity) {
        let disk = MemoryDisk::new();
        let identity =
            Identity::create(&disk, Path::new("/d"), OWNER, "zone-a", &identity_key(), &SeededEntropy::new(1)).unwrap();
        (disk, identity)
    }

    fn open(disk: &MemoryDisk, key: &Key, cluster: Option<&[u8; 16]>) -> Result<Identity, IdentityError> {
        Identity::open(disk, Path::new("/d"), key, cluster)
    }

    #[test]
    fn an_identity_is_read_back_with_its_identity_key() {
        let (disk, created) = created();
        let opened = open(&disk, &identity_key(), Some(&[1; 16])).unwrap();
        assert_eq!((opened.owner(), opened.zone.as_str()), (OWNER, "zone-a"));
        assert_eq!(opened.storage_key, created.storage_key);
    }

    #[test]
    fn an_identity_survives_a_power_cut_right_after_its_creation() {
        for seed in 0..20 {
            let (disk, _) = created();
            disk.cut_power(&SeededEntropy::new(seed));
            open(&disk, &identity_key(), None).unwrap();
        }
    }

    #[test]
    fn what_is_wrong_is_said_in_words() {
        let (disk, _) = created();
        let refusal = |result: Result<Identity, IdentityError>| result.unwrap_err().to_string();
        let missing = refusal(Identity::open(&disk, Path::new("/x"), &identity_key(), None));
        assert!(missing.starts_with("/x/identity.json is missing: this is not the data directory of a node"), "{missing}");
        let other = refusal(open(&disk, &identity_key(), Some(&[2; 16])));
        assert!(other.contains("belongs to cluster 01010101") && other.contains("expected 02020202"), "{other}");
        let wrong = refusal(open(&disk, &Key::from_bytes([8; 32]), None));
        assert!(wrong.starts_with("wrong identity key: /d/identity.json"), "{wrong}");
        let twice = Identity::create(&disk, Path::new("/d"), OWNER, "", &identity_key(), &SeededEntropy::new(1));
        assert!(refusal(twice).contains("is there already"));
        disk.tamper(Path::new("/d/identity.json"), |json| *json = br#"{"format": 9}"#.to_vec());
        let newer = refusal(open(&disk, &identity_key(), None));
        assert_eq!(newer, "/d/identity.json was written by a newer Holdfast (format 9, this one reads up to 1)");
    }

    #[test]
    fn a_changed_node_id_or_zone_is_refused() {
        for (from, to) in [("\"node_id\": 3", "\"node_id\": 4"), ("zone-a", "zone-b")] {
            let (disk, _) = created();
            disk.tamper(Path::new("/d/identity.json"), |json| {
                *json = String::from_utf8(json.clone()).unwrap().replace(from, to).into_bytes();
            });
            assert!(matches!(open(&disk, &identity_key(), None), Err(IdentityError::Damaged { .. })), "{from}");
        }
    }

    #[test]
    fn a_data_directory_is_locked_once() {
        let dir = tempfile::tempdir().unwrap();
        let lock = DataDirLock::acquire(dir.path()).unwrap();
        let refusal = DataDirLock::acquire(dir.path()).unwrap_err().to_string();
        assert!(refusal.contains("is in use by another process"), "{refusal}");
        drop(lock);
        DataDirLock::acquire(dir.path()).unwrap();
    }
}

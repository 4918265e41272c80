//! Founding a cluster: one node of a new kit carries a sealed file that says with whom and with what, and uses it up.

use node_domain::command::Founding;
use node_domain::ids::ClusterId;
use proto_record::codec::{self, Kind};
use raft::Member;
use std::collections::BTreeMap;
use std::path::Path;
use storage::Disk;
use storage_crypto::entropy::Entropy;
use storage_crypto::key::Key;
use storage_crypto::sealed::{self, Binding, Purpose};

/// The file's name in the data directory.
pub(crate) const FILE: &str = "bootstrap.sealed";

/// What a new cluster starts from.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Bootstrap {
    /// All members of the first day.
    pub(crate) members: BTreeMap<u64, Member>,
    /// Environments and the first token.
    pub(crate) founding: Founding,
}

fn binding(cluster: &ClusterId) -> Binding {
    Binding::new(Purpose::Bootstrap).bytes(cluster)
}

impl Bootstrap {
    pub(crate) fn seal(&self, cluster: &ClusterId, identity_key: &Key, entropy: &dyn Entropy) -> Vec<u8> {
        sealed::seal(identity_key, 1, &binding(cluster), &codec::encode(Kind::Bootstrap, self), entropy)
    }

    /// The bootstrap in a data directory, if it has not been used up.
    pub(crate) fn read(directory: &Path, cluster: &ClusterId, identity_key: &Key) -> Result<Option<Bootstrap>, String> {
        let path = directory.join(FILE);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("read {}: {error}", path.display())),
        };
        let opened =
            sealed::open(identity_key, &binding(cluster), &bytes).map_err(|error| format!("{}: {error}", path.display()))?;
        let bootstrap =
            codec::decode(Kind::Bootstrap, opened.expose()).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Some(bootstrap))
    }

    /// The cluster is founded: the file has done its work.
    pub(crate) fn use_up(disk: &dyn Disk, directory: &Path) -> std::io::Result<()> {
        disk.remove(&directory.join(FILE))?;
        disk.sync_dir(directory)
    }
}

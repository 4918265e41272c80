//! A kit for new nodes of a cluster of which only the seal is left: a new authority, new certificates, the old seal.

use super::{
    Keys, KitError, NodePlan, check, client_settings, lay_out, make_directory, node_directory, read, seal_node, write_authority,
    write_public,
};
use std::path::Path;
use storage_crypto::entropy::Entropy;
use storage_crypto::seal_file::{SealFile, SealFileError};
use storage_crypto::seal_key::SealKey;
use zeroize::Zeroizing;

/// Lays out `directory` for `nodes` around the `seal.json` in `seal`, and the `seal.key` beside it where there is one. Nothing in it founds
/// a cluster: one of the nodes is restored, the others follow it.
///
/// # Errors
/// When the directory is not empty, the plan does not make sense, or the seal does not open.
pub fn create_around(directory: &Path, nodes: &[NodePlan], seal: &Path, entropy: &dyn Entropy) -> Result<(), KitError> {
    check(nodes)?;
    let seal_file = read(seal.join("seal.json"))?;
    let unusable = |error: SealFileError| KitError::Plan(format!("the seal in {}: {error}", seal.display()));
    let file = SealFile::parse(&seal_file).map_err(unusable)?;
    let seal_text = seal.join("seal.key").exists().then(|| read(seal.join("seal.key")).map(Zeroizing::new)).transpose()?;
    let ring = seal_text
        .as_ref()
        .map(|text| {
            let key = SealKey::from_key_file(&String::from_utf8_lossy(text)).map_err(unusable)?;
            file.open(&key).map_err(unusable)
        })
        .transpose()?;
    make_directory(directory)?;
    let authority = write_authority(directory)?;
    write_public(&directory.join("client.toml"), client_settings(nodes, "token_file = \"root-token\"\n").as_bytes())?;
    for node in nodes {
        lay_out(directory, node, &authority, &authority.as_ref().pem())?;
        match (&seal_text, &ring) {
            (Some(seal_text), Some(ring)) => {
                let (cluster, identity_key) = (file.cluster(), ring.identity());
                let keys = Keys { cluster, seal_text, identity_key, seal_file: &seal_file, entropy };
                seal_node(directory, node, &keys)?;
            }
            // Its identity is made when somebody shows shares or the passphrase.
            _ => {
                let home = node_directory(directory, node.id);
                write_public(&home.join("seal.json"), &seal_file)?;
                write_public(&home.join("data").join(crate::seal::desk::FIRST_START), b"")?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use storage::{Identity, RealDisk};
    use storage_crypto::entropy::OsEntropy;

    #[test]
    fn a_kit_around_a_seal_is_of_the_same_cluster_and_founds_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let (old, new) = (directory.path().join("old"), directory.path().join("new"));
        super::super::create(&old, &NodePlan::local(1, 7000)).unwrap();
        let plan = NodePlan { id: 7, ..NodePlan::local(1, 7000).remove(0) };
        create_around(&new, &[plan], &node_directory(&old, 1), &OsEntropy).unwrap();
        let home = node_directory(&new, 7);
        assert_eq!(std::fs::read(home.join("seal.json")).unwrap(), std::fs::read(old.join("node1/seal.json")).unwrap());
        assert!(Identity::exists(&RealDisk, &home.join("data")).unwrap());
        assert!(!home.join("data").join(crate::bootstrap::FILE).exists());
        assert!(!new.join("root-token").exists(), "a restore makes it");
    }
}

//! The kit of a new cluster: authority, certificates, seal, identities and settings, a directory for each node.
//!
//! The operator copies each node's directory to its machine, keeps `ca.key` and `root-token` away from all of them, and starts the
//! nodes. The node with the lowest id carries the bootstrap that founds the cluster.

mod around;
mod issuing;

pub use around::create_around;
pub use issuing::renew;

use crate::bootstrap::{self, Bootstrap};
use crate::config::{
    AdvertiseConfig, BackupConfig, Config, KeysConfig, LimitsConfig, ListenConfig, LogConfig, LoginConfig, NodeConfig,
    ReplicationConfig, ScrubConfig, SealConfig, StorageConfig, TlsConfig,
};
use crate::engine::Sealing;
use crate::engine::sealing::new_token;
use crate::seal::custody::about;
use crate::seal::{PLAN_FILE, founding};
use issuing::{Issued, authority, issuer_of};
use node_domain::ids::ClusterId;
use raft::Member;
use rcgen::{CertifiedIssuer, Issuer, KeyPair};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use storage::{Identity, Owner, RealDisk};
use storage_crypto::entropy::{Entropy, OsEntropy, random};
use storage_crypto::key::Key;
use storage_crypto::ring::Ring;
use storage_crypto::seal_file::{SealFile, SealFileError};
use storage_crypto::seal_key::SealKey;

/// One node of a kit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodePlan {
    /// Its id, from 1.
    pub id: u64,
    /// Where it stands.
    pub zone: String,
    /// `address:port` for clients.
    pub client: String,
    /// `address:port` for other nodes.
    pub peer: String,
}

/// Why a kit was not made.
#[derive(Debug, thiserror::Error)]
pub enum KitError {
    /// A file or directory is in the way, or cannot be written.
    #[error("{doing} {}: {cause}", path.display())]
    File {
        /// What was being tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system says.
        cause: std::io::Error,
    },
    /// The plan cannot be right.
    #[error("{0}")]
    Plan(String),
    /// A certificate cannot be made.
    #[error("make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// An identity cannot be made.
    #[error("make an identity: {0}")]
    Identity(#[from] storage::IdentityError),
}

impl NodePlan {
    /// Parses `id=1,zone=a,client=10.0.0.1:7100,peer=10.0.0.1:7200`.
    ///
    /// # Errors
    /// When a part is missing or unknown; the error names it.
    pub fn parse(text: &str) -> Result<NodePlan, String> {
        let mut parts = BTreeMap::new();
        for part in text.split(',') {
            let (name, value) = part.split_once('=').ok_or_else(|| format!("{part:?} is not name=value"))?;
            if !["id", "zone", "client", "peer"].contains(&name) {
                return Err(format!("{name} is unknown; a node has id, zone, client and peer"));
            }
            parts.insert(name, value.to_owned());
        }
        let mut take = |name: &str| parts.remove(name).ok_or_else(|| format!("{name} is missing"));
        let id = take("id")?.parse().map_err(|_| "id is a whole number from 1".to_owned())?;
        Ok(NodePlan { id, client: take("client")?, peer: take("peer")?, zone: take("zone").unwrap_or_default() })
    }

    /// `count` nodes on this machine, each in a zone of its own: clients at `port + id`, other nodes at `port + 100 + id`.
    #[must_use]
    pub fn local(count: u64, port: u16) -> Vec<NodePlan> {
        let at = |offset: u64| format!("127.0.0.1:{}", u64::from(port) + offset);
        let zone = |id: u64| format!("zone-{}", char::from(b'a' + u8::try_from((id - 1) % 26).unwrap_or(0)));
        (1..=count).map(|id| NodePlan { id, zone: zone(id), client: at(id), peer: at(100 + id) }).collect()
    }
}

/// Makes the kit of a new cluster in `directory`, which must not exist or be empty. A key file on every node unseals it.
///
/// # Errors
/// When the plan cannot be right or something cannot be written. Nothing that exists is overwritten.
pub fn create(directory: &Path, nodes: &[NodePlan]) -> Result<(), KitError> {
    check(nodes)?;
    make_directory(directory)?;
    let entropy = Arc::new(OsEntropy);
    let cluster: ClusterId = random(&*entropy);
    let ring = Ring::generate(&*entropy);
    let identity_key = ring.identity().duplicate();
    let seal_text = SealKey::generate_key_file(&*entropy);
    let unusable = |error: SealFileError| KitError::Plan(format!("the kit's seal: {error}"));
    let seal_key = SealKey::from_key_file(&seal_text).map_err(unusable)?;
    let file = SealFile::create(&seal_key, &cluster, &ring, 1, &*entropy).map_err(unusable)?;
    let sealing = Sealing::new(cluster, ring, entropy.clone());
    let token = new_token(&*entropy);
    let founding = founding(&sealing, &token, about(&file)).map_err(|bad| KitError::Plan(bad.to_string()))?;
    let bootstrap = Bootstrap { members: members(nodes), founding };

    let authority = write_authority(directory)?;
    write_private(&directory.join("root-token"), token.as_bytes())?;
    write_public(&directory.join("client.toml"), client_settings(nodes, "token_file = \"root-token\"\n").as_bytes())?;
    let keys = Keys {
        cluster,
        seal_text: seal_text.as_bytes(),
        identity_key: &identity_key,
        seal_file: &file.to_json(),
        entropy: &*entropy,
    };
    for node in nodes {
        lay_out(directory, node, &authority, &authority.as_ref().pem())?;
        seal_node(directory, node, &keys)?;
    }
    let first = nodes.iter().min_by_key(|node| node.id).map(|node| node.id).unwrap_or(1);
    let data = node_directory(directory, first).join("data");
    write_private(&data.join(bootstrap::FILE), &bootstrap.seal(&cluster, &identity_key, &*entropy))
}

/// As [`create`], without keys: `holdfast operator init` makes them on one of the nodes, and none of them is ever in this directory.
///
/// # Errors
/// As [`create`].
pub fn create_without_keys(directory: &Path, nodes: &[NodePlan]) -> Result<(), KitError> {
    check(nodes)?;
    make_directory(directory)?;
    let authority = write_authority(directory)?;
    write_public(&directory.join("client.toml"), client_settings(nodes, "").as_bytes())?;
    let plan = serde_json::to_vec_pretty(&members(nodes)).map_err(|error| KitError::Plan(error.to_string()))?;
    for node in nodes {
        lay_out(directory, node, &authority, &authority.as_ref().pem())?;
        write_public(&node_directory(directory, node.id).join("data").join(PLAN_FILE), &plan)?;
    }
    Ok(())
}

fn write_authority(directory: &Path) -> Result<CertifiedIssuer<'static, KeyPair>, KitError> {
    let authority = authority()?;
    write_public(&directory.join("ca.pem"), authority.as_ref().pem().as_bytes())?;
    write_private(&directory.join("ca.key"), authority.key().serialize_pem().as_bytes())?;
    Ok(authority)
}

/// Adds the directory of one more node to an existing kit. The node joins as a learner when the cluster is told of it.
///
/// # Errors
/// When the kit is not whole, or the node's directory exists.
pub fn add_node(directory: &Path, node: &NodePlan) -> Result<(), KitError> {
    check(std::slice::from_ref(node))?;
    let (issuer, ca_pem) = issuer_of(directory)?;
    let sealed = std::fs::read_dir(directory)
        .map_err(|cause| KitError::File { doing: "read", path: directory.to_owned(), cause })?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.join("seal.json").exists() && path.join("seal.key").exists());
    lay_out(directory, node, &issuer, &ca_pem)?;
    // Without a key file here the node comes by the cluster's seal file from another node: holdfast operator adopt.
    let Some(sealed) = sealed else { return Ok(()) };
    let seal_text = zeroize::Zeroizing::new(read(sealed.join("seal.key"))?);
    let seal_file = read(sealed.join("seal.json"))?;
    let unusable = |error: SealFileError| KitError::Plan(format!("the kit's seal: {error}"));
    let seal_key = SealKey::from_key_file(&String::from_utf8_lossy(&seal_text)).map_err(unusable)?;
    let file = SealFile::parse(&seal_file).map_err(unusable)?;
    let (cluster, ring) = (file.cluster(), file.open(&seal_key).map_err(unusable)?);
    let keys = Keys { cluster, seal_text: &seal_text, identity_key: ring.identity(), seal_file: &seal_file, entropy: &OsEntropy };
    seal_node(directory, node, &keys)
}

/// What the nodes of a kit with keys share.
struct Keys<'a> {
    cluster: ClusterId,
    seal_text: &'a [u8],
    identity_key: &'a Key,
    seal_file: &'a [u8],
    entropy: &'a dyn Entropy,
}

fn seal_node(directory: &Path, node: &NodePlan, keys: &Keys<'_>) -> Result<(), KitError> {
    let home = node_directory(directory, node.id);
    write_private(&home.join("seal.key"), keys.seal_text)?;
    write_public(&home.join("seal.json"), keys.seal_file)?;
    let owner = Owner { cluster: keys.cluster, node: node.id };
    Identity::create(&RealDisk, &home.join("data"), owner, &node.zone, keys.identity_key, keys.entropy)?;
    Ok(())
}

fn check(nodes: &[NodePlan]) -> Result<(), KitError> {
    let mut ids: Vec<u64> = nodes.iter().map(|node| node.id).collect();
    ids.sort_unstable();
    ids.dedup();
    if nodes.is_empty() || ids.len() != nodes.len() || ids.contains(&0) {
        return Err(KitError::Plan("name at least one node; ids start at 1 and stand once each".into()));
    }
    for node in nodes {
        for address in [&node.client, &node.peer] {
            if address.parse::<std::net::SocketAddr>().is_err() {
                return Err(KitError::Plan(format!("node {}: {address:?} is not address:port", node.id)));
            }
        }
    }
    Ok(())
}

fn members(nodes: &[NodePlan]) -> BTreeMap<u64, Member> {
    let member = |node: &NodePlan| Member {
        peer_address: node.peer.clone(),
        client_address: node.client.clone(),
        zone: node.zone.clone(),
    };
    nodes.iter().map(|node| (node.id, member(node))).collect()
}

/// Where a kit keeps a node's files.
#[must_use]
pub fn node_directory(directory: &Path, id: u64) -> PathBuf {
    directory.join(format!("node{id}"))
}

fn lay_out(directory: &Path, node: &NodePlan, authority: &Issuer<'_, KeyPair>, ca_pem: &str) -> Result<(), KitError> {
    let home = node_directory(directory, node.id);
    for directory in [home.clone(), home.join("tls"), home.join("data")] {
        std::fs::create_dir(&directory).map_err(|cause| KitError::File { doing: "make directory", path: directory, cause })?;
    }
    let tls = home.join("tls");
    let host = node.client.rsplit_once(':').map_or("", |(host, _)| host).trim_matches(['[', ']']).to_owned();
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    if !names.contains(&host) {
        names.push(host);
    }
    write_public(&tls.join("ca.pem"), ca_pem.as_bytes())?;
    for (name, mode, contents) in Issued::new(node.id, names, authority)?.files() {
        write(&tls.join(name), contents.as_bytes(), mode)?;
    }
    write_public(&home.join("holdfast.toml"), settings(node).to_toml().as_bytes())
}

fn settings(node: &NodePlan) -> Config {
    Config {
        node: NodeConfig { id: node.id, zone: node.zone.clone(), data: "data".into() },
        listen: ListenConfig { client: node.client.clone(), peer: node.peer.clone(), health: None },
        advertise: AdvertiseConfig::default(),
        tls: TlsConfig {
            ca: "tls/ca.pem".into(),
            peer_certificate: "tls/peer.pem".into(),
            peer_key: "tls/peer.key".into(),
            client_certificate: "tls/client.pem".into(),
            client_key: "tls/client.key".into(),
            client_ca: None,
        },
        seal: SealConfig { file: "seal.json".into(), key_file: "seal.key".into(), kms_region: None, kms_endpoint: None },
        log: LogConfig::default(),
        replication: ReplicationConfig::default(),
        storage: StorageConfig::default(),
        keys: KeysConfig::default(),
        limits: LimitsConfig::default(),
        login: LoginConfig::default(),
        backup: BackupConfig::default(),
        scrub: ScrubConfig::default(),
    }
}

/// Settings for the command line: where the cluster is, whom to trust, which token to show.
fn client_settings(nodes: &[NodePlan], token: &str) -> String {
    let addresses: Vec<String> = nodes.iter().map(|node| format!("\"https://{}\"", node.client)).collect();
    format!(
        "# Settings for the command line: HOLDFAST_CONFIG names this file.\naddr = [{}]\nca_file = \"ca.pem\"\n{token}",
        addresses.join(", ")
    )
}

fn make_directory(directory: &Path) -> Result<(), KitError> {
    let in_the_way = |cause| KitError::File { doing: "make kit in", path: directory.to_owned(), cause };
    std::fs::create_dir_all(directory).map_err(in_the_way)?;
    let mut entries = std::fs::read_dir(directory).map_err(in_the_way)?;
    if entries.next().is_some() {
        return Err(KitError::Plan(format!("{} is not empty: name a new directory", directory.display())));
    }
    Ok(())
}

fn write_public(path: &Path, contents: &[u8]) -> Result<(), KitError> {
    write(path, contents, 0o644)
}

fn write_private(path: &Path, contents: &[u8]) -> Result<(), KitError> {
    write(path, contents, 0o600)
}

fn read(path: PathBuf) -> Result<Vec<u8>, KitError> {
    std::fs::read(&path).map_err(|cause| KitError::File { doing: "read", path, cause })
}

fn write(path: &Path, contents: &[u8], mode: u32) -> Result<(), KitError> {
    use std::os::unix::fs::OpenOptionsExt;
    let written = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path).and_then(|mut file| {
        file.write_all(contents)?;
        file.sync_all()
    });
    written.map_err(|cause| KitError::File { doing: "write", path: path.to_owned(), cause })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_names_what_is_wrong_with_it() {
        let good = NodePlan::parse("id=2,zone=b,client=10.0.0.2:1,peer=10.0.0.2:2").unwrap();
        assert_eq!((good.id, good.zone.as_str()), (2, "b"));
        assert!(NodePlan::parse("id=2,client=x:1").unwrap_err().contains("peer"));
        assert!(NodePlan::parse("id=2,colour=red").unwrap_err().contains("colour"));
        assert!(NodePlan::parse("id=two,client=a,peer=b").unwrap_err().contains("id"));
    }

    #[test]
    fn a_kit_never_overwrites() {
        let directory = tempfile::tempdir().unwrap();
        let plan = NodePlan::local(1, 7000);
        create(&directory.path().join("kit"), &plan).unwrap();
        assert!(create(&directory.path().join("kit"), &plan).unwrap_err().to_string().contains("not empty"));
        add_node(&directory.path().join("kit"), &NodePlan { id: 2, ..plan[0].clone() }).unwrap();
        assert!(add_node(&directory.path().join("kit"), &NodePlan { id: 2, ..plan[0].clone() }).is_err());
    }
}

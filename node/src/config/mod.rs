//! Settings: from a file, then the environment, then flags, each over the one before. Every error names the key.

mod backup;
mod login;
mod overlay;
mod scrub;

pub use backup::BackupConfig;
pub use login::LoginConfig;
pub use scrub::ScrubConfig;

use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// How one node is set up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Who it is and where its data lies.
    pub node: NodeConfig,
    /// Where it listens.
    pub listen: ListenConfig,
    /// What others are told to reach it by; what it listens on where nothing is said.
    #[serde(default)]
    pub advertise: AdvertiseConfig,
    /// Certificates.
    pub tls: TlsConfig,
    /// What unseals the root key.
    pub seal: SealConfig,
    /// What it says about itself.
    #[serde(default)]
    pub log: LogConfig,
    /// Intervals and sizes of replication.
    #[serde(default)]
    pub replication: ReplicationConfig,
    /// Memory and disk.
    #[serde(default)]
    pub storage: StorageConfig,
    /// Rotation of keys in the background.
    #[serde(default)]
    pub keys: KeysConfig,
    /// How much may be asked of it.
    #[serde(default)]
    pub limits: LimitsConfig,
    /// What logging in costs.
    #[serde(default)]
    pub login: LoginConfig,
    /// Snapshots for disaster recovery.
    #[serde(default)]
    pub backup: BackupConfig,
    /// Finding damage before what is damaged is needed.
    #[serde(default)]
    pub scrub: ScrubConfig,
}

/// Who a node is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeConfig {
    /// Its id in the cluster, from 1; never used again once it is gone.
    pub id: u64,
    /// Where it stands: two nodes of one zone may fail together.
    #[serde(default)]
    pub zone: String,
    /// Directory of its data.
    pub data: PathBuf,
}

/// Where a node listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListenConfig {
    /// `address:port` for clients.
    pub client: String,
    /// `address:port` for other nodes.
    pub peer: String,
    /// `address:port` for health, over plain HTTP; no such port where nothing is said. What it tells is no secret, but belongs to the
    /// network of the operators.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<String>,
}

/// What others reach a node by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdvertiseConfig {
    /// `host:port` for clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// `host:port` for other nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
}

/// Certificates, as PEM files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// The cluster's authority.
    pub ca: PathBuf,
    /// What the node shows other nodes: its only DNS name is `node-<id>`.
    pub peer_certificate: PathBuf,
    /// Its key.
    pub peer_key: PathBuf,
    /// What the node shows clients.
    pub client_certificate: PathBuf,
    /// Its key.
    pub client_key: PathBuf,
    /// Authority of client certificates; where it is set, clients may show one and log in with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_ca: Option<PathBuf>,
}

/// What unseals the root key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealConfig {
    /// The root key, wrapped.
    pub file: PathBuf,
    /// The key that unwraps it: 64 hexadecimal digits.
    pub key_file: PathBuf,
    /// The region of a key management service, where neither the environment nor the seal says it or this node differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kms_region: Option<String>,
    /// Another address of it than the region's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kms_endpoint: Option<String>,
}

/// What a node says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// `error`, `warn`, `info`, `debug`, `trace`, or a list such as `info,raft=debug`.
    pub level: String,
    /// `text` for people, `json` for machines.
    pub format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For machines.
    Json,
}

impl Default for LogConfig {
    fn default() -> LogConfig {
        LogConfig { level: "info".into(), format: LogFormat::Text }
    }
}

/// Intervals and sizes of replication.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReplicationConfig {
    /// How often a leader speaks up, in milliseconds.
    pub heartbeat_ms: u64,
    /// A follower that hears nothing for a random time from here …
    pub election_min_ms: u64,
    /// … to here stands for election.
    pub election_max_ms: u64,
    /// A snapshot is taken after this many entries …
    pub snapshot_entries: u64,
    /// … or this many bytes of log.
    pub snapshot_bytes: u64,
    /// Entries kept in the log behind a snapshot.
    pub entries_kept: u64,
}

impl Default for ReplicationConfig {
    fn default() -> ReplicationConfig {
        let defaults = raft::ReplicaConfig::default();
        let ms = |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        ReplicationConfig {
            heartbeat_ms: ms(defaults.heartbeat),
            election_min_ms: ms(defaults.election_min),
            election_max_ms: ms(defaults.election_max),
            snapshot_entries: defaults.snapshot_entries,
            snapshot_bytes: defaults.snapshot_bytes,
            entries_kept: defaults.entries_kept,
        }
    }
}

/// Memory and disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StorageConfig {
    /// Sealed values kept in memory, in bytes.
    pub value_cache_bytes: u64,
    /// Size of one segment of the write-ahead log and of the journal.
    pub segment_bytes: u64,
}

/// How much may be asked of a node. 0 is no limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Requests of one principal in a second.
    pub requests_per_second: u32,
    /// Requests of one principal at once, after a rest; 0: as many as in a second.
    pub burst: u32,
    /// Requests about one environment in a second; one principal has half of them.
    pub environment_requests_per_second: u32,
    /// Connections of clients at a time.
    pub connections_max: u32,
    /// Watches, tails of the journal and reads over a stream that one principal may have open on a node.
    pub streams_per_principal: u32,
}

impl Default for LimitsConfig {
    fn default() -> LimitsConfig {
        LimitsConfig {
            requests_per_second: 0,
            burst: 0,
            environment_requests_per_second: 0,
            connections_max: 10_000,
            streams_per_principal: 64,
        }
    }
}

impl Default for StorageConfig {
    fn default() -> StorageConfig {
        StorageConfig { value_cache_bytes: 64 << 20, segment_bytes: storage::segment::SEGMENT_BYTES }
    }
}

/// Rotation of keys in the background.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KeysConfig {
    /// Values brought under a newer key in one second, at most.
    pub rewrap_per_second: u32,
    /// A key that wraps nothing any more stays for so long, in milliseconds: calls that sealed a value by it may still be under way.
    pub retire_after_ms: u64,
}

impl Default for KeysConfig {
    fn default() -> KeysConfig {
        KeysConfig { rewrap_per_second: 2000, retire_after_ms: 65_000 }
    }
}

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("read settings {}: {cause}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        cause: std::io::Error,
    },
    /// The file is not TOML, or a key is unknown, missing or of the wrong type.
    #[error("settings {}: {cause}", path.display())]
    Parse {
        /// Which file.
        path: PathBuf,
        /// Where and what.
        cause: String,
    },
    /// A variable or flag names no key, or its value does not fit.
    #[error("{origin}: {cause}")]
    Overlay {
        /// Which variable or flag.
        origin: String,
        /// What is wrong with it.
        cause: String,
    },
    /// A value cannot be right.
    #[error("setting {key}: {cause}")]
    Value {
        /// Which key.
        key: &'static str,
        /// What is wrong with it.
        cause: String,
    },
}

impl Config {
    /// Reads the file and lays environment and flags over it. Relative paths are taken from the file's directory.
    ///
    /// # Errors
    /// When something cannot be read, is unknown, or cannot be right; the error names the key.
    pub fn load(
        path: &Path,
        environment: impl Iterator<Item = (String, String)>,
        flags: &[String],
    ) -> Result<Config, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|cause| ConfigError::Read { path: path.to_owned(), cause })?;
        let parse =
            |cause: toml::de::Error| ConfigError::Parse { path: path.to_owned(), cause: cause.to_string().trim().to_owned() };
        // The file by itself first, so that its errors carry line numbers.
        let _: Config = toml::from_str(&text).map_err(parse)?;
        let mut table: toml::Table = toml::from_str(&text).map_err(parse)?;
        overlay::environment(&mut table, environment)?;
        overlay::flags(&mut table, flags)?;
        let mut config: Config = table
            .try_into()
            .map_err(|cause: toml::de::Error| ConfigError::Parse { path: path.to_owned(), cause: cause.to_string() })?;
        config.take_paths_from(path.parent().unwrap_or(Path::new(".")));
        config.check()?;
        Ok(config)
    }

    /// The file's text.
    #[must_use]
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("settings are plain tables, texts and numbers")
    }

    /// What others reach this node by.
    #[must_use]
    pub fn member(&self) -> raft::Member {
        raft::Member {
            peer_address: self.advertise.peer.clone().unwrap_or_else(|| self.listen.peer.clone()),
            client_address: self.advertise.client.clone().unwrap_or_else(|| self.listen.client.clone()),
            zone: self.node.zone.clone(),
        }
    }

    fn take_paths_from(&mut self, directory: &Path) {
        let Config { node, tls, seal, .. } = &mut *self;
        let paths = [
            &mut node.data,
            &mut tls.ca,
            &mut tls.peer_certificate,
            &mut tls.peer_key,
            &mut tls.client_certificate,
            &mut tls.client_key,
            &mut seal.file,
            &mut seal.key_file,
        ];
        for path in paths {
            *path = directory.join(&*path);
        }
        if let Some(to) = self.backup.to.as_mut().filter(|to| !to.contains("://")) {
            *to = directory.join(&*to).to_string_lossy().into_owned();
        }
        if let Some(path) = &mut self.tls.client_ca {
            *path = directory.join(&*path);
        }
    }

    fn check(&self) -> Result<(), ConfigError> {
        let wrong = |key, cause: &str| Err(ConfigError::Value { key, cause: cause.into() });
        if self.node.id == 0 {
            return wrong("node.id", "ids start at 1");
        }
        let health = self.listen.health.iter().map(|address| ("listen.health", address));
        for (key, address) in
            [("listen.client", &self.listen.client), ("listen.peer", &self.listen.peer)].into_iter().chain(health)
        {
            if address.parse::<std::net::SocketAddr>().is_err() {
                return wrong(key, "use address:port, such as 127.0.0.1:7100 or [::]:7100");
            }
        }
        let replication = &self.replication;
        if replication.heartbeat_ms == 0 || replication.heartbeat_ms * 2 > replication.election_min_ms {
            return wrong("replication.election_min_ms", "use at least twice replication.heartbeat_ms");
        }
        if replication.election_min_ms >= replication.election_max_ms {
            return wrong("replication.election_max_ms", "use more than replication.election_min_ms");
        }
        if self.keys.rewrap_per_second == 0 {
            return wrong("keys.rewrap_per_second", "use 1 or more");
        }
        if self.limits.connections_max == 0 {
            return wrong("limits.connections_max", "use at least 1");
        }
        if self.limits.streams_per_principal == 0 {
            return wrong("limits.streams_per_principal", "use at least 1");
        }
        if self.storage.segment_bytes < 1 << 18 || self.storage.segment_bytes > 1 << 30 {
            return wrong("storage.segment_bytes", "use 256 KiB to 1 GiB");
        }
        self.backup.check()?;
        self.login.check()
    }
}

impl ReplicationConfig {
    pub(crate) fn replica(&self, cluster: &str) -> raft::ReplicaConfig {
        let ms = std::time::Duration::from_millis;
        raft::ReplicaConfig {
            cluster: cluster.to_owned(),
            heartbeat: ms(self.heartbeat_ms),
            election_min: ms(self.election_min_ms),
            election_max: ms(self.election_max_ms),
            snapshot_entries: self.snapshot_entries,
            snapshot_bytes: self.snapshot_bytes,
            entries_kept: self.entries_kept,
            ..raft::ReplicaConfig::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
[node]
id = 1
data = "data"
[listen]
client = "127.0.0.1:7101"
peer = "127.0.0.1:7201"
[tls]
ca = "ca.pem"
peer_certificate = "p.pem"
peer_key = "p.key"
client_certificate = "c.pem"
client_key = "c.key"
[seal]
file = "seal.json"
key_file = "seal.key"
"#;

    fn load(text: &str, environment: &[(&str, &str)], flags: &[&str]) -> Result<Config, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("holdfast.toml");
        std::fs::write(&path, text).unwrap();
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        Config::load(&path, environment, &flags).map_err(|error| error.to_string())
    }

    #[test]
    fn a_flag_wins_over_the_environment_which_wins_over_the_file() {
        let config = load(GOOD, &[("HOLDFAST_NODE_ID", "2"), ("HOLDFAST_LOG_LEVEL", "debug")], &["node.id=3"]).unwrap();
        assert_eq!(config.node.id, 3);
        assert_eq!(config.log.level, "debug");
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        let error = load(&GOOD.replace("[seal]", "[seal]\nkeyfile = 1"), &[], &[]).unwrap_err();
        assert!(error.contains("keyfile") && error.contains("line"), "{error}");
    }

    #[test]
    fn an_unknown_variable_or_flag_is_named() {
        assert!(load(GOOD, &[("HOLDFAST_NODE_IDD", "2")], &[]).unwrap_err().contains("HOLDFAST_NODE_IDD"));
        assert!(load(GOOD, &[], &["node.idd=1"]).unwrap_err().contains("node.idd"));
        assert!(load(GOOD, &[], &["node.id=x"]).unwrap_err().contains("node.id"));
        assert!(load(GOOD, &[], &["node.id"]).unwrap_err().contains("node.id"));
    }

    #[test]
    fn values_that_cannot_be_right_are_named() {
        assert!(load(GOOD, &[], &["node.id=0"]).unwrap_err().contains("node.id"));
        assert!(load(GOOD, &[], &["listen.peer=nowhere"]).unwrap_err().contains("listen.peer"));
        assert!(load(GOOD, &[], &["replication.election_max_ms=1"]).unwrap_err().contains("replication.election"));
    }

    #[test]
    fn what_is_written_reads_back() {
        let config = load(GOOD, &[], &[]).unwrap();
        assert_eq!(load(&config.to_toml(), &[], &[]).unwrap(), config);
    }
}

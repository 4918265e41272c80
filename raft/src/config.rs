//! Every limit and interval of replication, and the relations between them.

use std::{sync::Arc, time::Duration};

use openraft::SnapshotPolicy;

/// The largest payload that can be proposed. A batch is cut long before it.
pub const PAYLOAD_BYTES_MAX: usize = 8 << 20;

/// An append message stops growing when its entries exceed this; so does one read of the log.
pub(crate) const APPEND_BYTES_MAX: usize = 2 << 20;

/// The largest message a node takes from another.
pub(crate) const MESSAGE_BYTES_MAX: usize = 32 << 20;

/// Entries that one append message may hold.
const APPEND_ENTRIES_MAX: u64 = 1024;

/// Entries folded between two publications of the state.
pub(crate) const APPLY_RUN_MAX: usize = 1024;

/// One piece of a snapshot on the wire.
pub(crate) const SNAPSHOT_CHUNK_BYTES: usize = 1 << 20;

/// Connections that other nodes may have open here; three each are enough, one for heartbeats, appends and snapshots.
pub(crate) const PEER_CONNECTIONS_MAX: usize = 256;

/// How long a TCP connection and its TLS handshake may take.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How often a silent connection is asked whether it lives, and how long the answer may take. Without it a stream on a dead
/// connection would never end and replication would wait for it.
pub(crate) const KEEP_ALIVE: Duration = Duration::from_millis(500);

/// How long the first answer on a new append stream may take, a connection and a TLS handshake included.
pub(crate) const STREAM_SETUP_TIMEOUT: Duration = Duration::from_secs(1);

/// A leader without a quorum is silent for so many of the longest election timeouts, then asks again for as long. Raft needs two:
/// a follower's lease on the leader, and one wait before it stands; the third leaves room for the votes.
const QUIET_ELECTIONS: u32 = 3;

/// HTTP/2 windows: several full append messages may be on their way.
pub(crate) const STREAM_WINDOW_BYTES: u32 = 8 << 20;
pub(crate) const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
/// The longest HTTP/2 frame. A snapshot in frames of 16 KiB, as is usual, costs a core; a heartbeat may have to wait for one of these.
pub(crate) const FRAME_BYTES: u32 = 128 << 10;

const _: () = {
    assert!(
        PAYLOAD_BYTES_MAX + APPEND_BYTES_MAX + (APPEND_ENTRIES_MAX as usize) * 64 < MESSAGE_BYTES_MAX,
        "an append that ends with the largest payload must fit a message"
    );
    assert!(SNAPSHOT_CHUNK_BYTES < STREAM_WINDOW_BYTES as usize);
    assert!(STREAM_WINDOW_BYTES <= CONNECTION_WINDOW_BYTES);
};

/// How one node replicates. Every node of a cluster should have the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaConfig {
    /// Appears in log lines.
    pub cluster: String,
    /// A leader speaks up at least this often.
    pub heartbeat: Duration,
    /// A follower that has heard nothing for a random time between these two stands for election, once the leader's lease,
    /// which lasts `election_max`, has run out.
    pub election_min: Duration,
    /// See [`election_min`](Self::election_min).
    pub election_max: Duration,
    /// How long a read barrier waits for a quorum to confirm the leader.
    pub barrier_timeout: Duration,
    /// A snapshot is taken after this many applied entries,
    pub snapshot_entries: u64,
    /// or after this many bytes of log, whichever comes first.
    pub snapshot_bytes: u64,
    /// How often it is looked whether a snapshot is due.
    pub snapshot_check: Duration,
    /// Entries kept in the log though a snapshot holds them, so that a node which was away shortly catches up by entries.
    pub entries_kept: u64,
    /// The log may take so many bytes on disk while somebody else still needs entries that a snapshot holds; beyond it they go.
    pub held_bytes_max: u64,
    /// A learner may be promoted when it lacks at most this many entries.
    pub learner_lag_max: u64,
    /// How long a snapshot may take to be sent, verified and installed.
    pub snapshot_install_timeout: Duration,
    /// A leader whose log takes longer than this for one write hands over, and falls silent if nobody takes over.
    pub disk_stall: Duration,
}

impl Default for ReplicaConfig {
    /// The intervals come from a measurement of failover (killed leader, load on, until the next write is acknowledged, three
    /// nodes on two cores): heartbeat 50 ms and election 150–300 ms gave p50 525 ms and at most 600 ms; 300–600 ms gave 1.14 s
    /// and misses the target of 1 s. The outage is the lease (`election_max`) plus one random wait plus two rounds of votes, so
    /// 200–350 ms stays under 0.8 s, and leaves a leader four heartbeats before anybody suspects it.
    fn default() -> ReplicaConfig {
        ReplicaConfig {
            cluster: "holdfast".to_owned(),
            heartbeat: Duration::from_millis(50),
            election_min: Duration::from_millis(200),
            election_max: Duration::from_millis(350),
            barrier_timeout: Duration::from_secs(2),
            snapshot_entries: 500_000,
            snapshot_bytes: 256 << 20,
            snapshot_check: Duration::from_secs(1),
            entries_kept: 10_000,
            held_bytes_max: 1 << 30,
            learner_lag_max: 1_000,
            snapshot_install_timeout: Duration::from_secs(15 * 60),
            disk_stall: Duration::from_secs(1),
        }
    }
}

impl ReplicaConfig {
    pub(crate) fn openraft(&self) -> Result<Arc<openraft::Config>, openraft::ConfigError> {
        let config = openraft::Config {
            cluster_name: self.cluster.clone(),
            heartbeat_interval: millis(self.heartbeat),
            election_timeout_min: millis(self.election_min),
            election_timeout_max: millis(self.election_max),
            install_snapshot_timeout: millis(self.snapshot_install_timeout),
            max_payload_entries: APPEND_ENTRIES_MAX,
            replication_lag_threshold: self.learner_lag_max,
            // Ours counts bytes too, and a snapshot that fails does not stop the node: see `compaction`.
            snapshot_policy: SnapshotPolicy::Never,
            // `compaction` purges, because it knows who else needs the log.
            max_in_snapshot_log_to_keep: u64::MAX,
            purge_batch_size: 1,
            enable_pre_vote: Some(true),
            // A node that led before it restarted asks again: what it remembers of `committed` may be old.
            enable_leader_restore: Some(false),
            // Whoever is still reached by a leader that hears nobody must be free to elect another: it falls silent meanwhile.
            quorum_loss_probe_interval: Some(millis(self.election_max * QUIET_ELECTIONS)),
            backoff: "20ms 40ms 80ms ...200ms".to_owned(),
            ..openraft::Config::default()
        };
        config.validate().map(Arc::new)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_accepted() {
        ReplicaConfig::default().openraft().unwrap();
    }

    #[test]
    fn an_election_timeout_within_a_heartbeat_is_refused() {
        let config = ReplicaConfig { election_min: Duration::from_millis(50), ..ReplicaConfig::default() };
        assert!(config.openraft().is_err());
    }
}

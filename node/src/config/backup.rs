//! Settings of snapshots for disaster recovery.

use serde::{Deserialize, Serialize};

/// Where snapshots go, and how often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BackupConfig {
    /// A directory, `file:///path` or `s3://bucket/prefix` that every node reaches; credentials come from the environment. Nothing is
    /// saved by itself where it is not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// A full snapshot is due when the newest is so old, in milliseconds.
    pub full_every_ms: u64,
    /// An increment is due when the newest snapshot is so old, in milliseconds; 0: none.
    pub incremental_every_ms: u64,
    /// Full snapshots that stay, with all that joins them, when older ones are deleted after each full one; 0: nothing is deleted.
    pub keep: u32,
    /// What is younger stays in any case, in milliseconds.
    pub keep_ms: u64,
    /// Health warns when the last drill that was reported is so old, in milliseconds, or there was none; 0: it does not.
    pub drill_every_ms: u64,
}

const MINUTE_MS: u64 = 60_000;
const DAY_MS: u64 = 24 * 60 * MINUTE_MS;

impl Default for BackupConfig {
    fn default() -> BackupConfig {
        BackupConfig {
            to: None,
            full_every_ms: DAY_MS,
            incremental_every_ms: 15 * MINUTE_MS,
            keep: 7,
            keep_ms: 7 * DAY_MS,
            drill_every_ms: 31 * DAY_MS,
        }
    }
}

impl BackupConfig {
    /// How often a snapshot of any kind is due, in milliseconds.
    pub(crate) fn due_every_ms(&self) -> u64 {
        match self.incremental_every_ms {
            0 => self.full_every_ms,
            often => often.min(self.full_every_ms),
        }
    }

    pub(super) fn check(&self) -> Result<(), super::ConfigError> {
        if self.full_every_ms == 0 {
            let cause = "use at least 1; leave backup.to out where nothing is to be saved".to_owned();
            return Err(super::ConfigError::Value { key: "backup.full_every_ms", cause });
        }
        Ok(())
    }
}

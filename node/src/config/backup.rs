//! Settings of snapshots for disaster recovery.

use serde::{Deserialize, Serialize};

/// Where snapshots go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BackupConfig {
    /// A directory, `file:///path` or `s3://bucket/prefix` that every node reaches; credentials come from the environment. Nothing is
    /// saved by itself where it is not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

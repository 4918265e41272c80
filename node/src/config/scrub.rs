//! Settings of what a node does to find damage before what is damaged is needed.

use serde::{Deserialize, Serialize};

/// Reading everything on the disk again and again, and comparing states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScrubConfig {
    /// Bytes read in one second, at most; 0: nothing is read.
    pub bytes_per_second: u64,
    /// How long to rest after everything was read, in milliseconds.
    pub pause_ms: u64,
    /// How often the leader has the states of all members compared, in milliseconds; 0: never.
    pub state_check_ms: u64,
}

impl Default for ScrubConfig {
    fn default() -> ScrubConfig {
        ScrubConfig { bytes_per_second: 4 << 20, pause_ms: 600_000, state_check_ms: 300_000 }
    }
}

//! Log lines on standard error: structured, for people or for machines, and never with a secret in them.

use crate::config::{LogConfig, LogFormat};
use tracing_subscriber::EnvFilter;

/// Starts logging for this process.
///
/// # Errors
/// When the level is none, or logging has started already.
pub fn start(config: &LogConfig) -> Result<(), String> {
    let filter = EnvFilter::try_new(directives(&config.level)).map_err(|error| format!("setting log.level: {error}"))?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match config.format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().try_init(),
    };
    started.map_err(|error| error.to_string())
}

/// openraft tells every message at `info`, and each failure to reach a node many times a second; that a node is away, and back, is said
/// once by our own transport. What an operator wants of openraft is its other warnings, unless he asks for more.
fn directives(level: &str) -> String {
    const QUIET: &str = "openraft=warn,openraft::replication=error,openraft::core::heartbeat=error,\
        openraft::core::raft_core=error,openraft::engine::handler::replication_handler=error";
    if level.contains("openraft") { level.to_owned() } else { format!("{level},{QUIET}") }
}

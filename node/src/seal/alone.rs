//! A node that is sealed while no quorum can record it: it forgets its keys all the same, and says so when it is unsealed again.
//!
//! Whoever seals every node takes the quorum away before the last one; whoever seals in an emergency may have none to begin with. A
//! record that has to wait is better than keys that stay: the note beside the data says by which token and when, and nothing else.

use crate::api::Door;
use crate::seal::rotation::submit;
use node_domain::ids::{Accessor, Stamp};
use node_domain::keys::KeysUpkeep;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use storage::disk::Disk;

/// The note's name, beside a node's data.
const NOTE: &str = "sealed-alone.json";

/// By which token the node was sealed, and when by its own clock, in milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SealedAlone {
    accessor: String,
    at_ms: u64,
}

impl SealedAlone {
    pub(crate) fn new(accessor: Accessor, now: Stamp) -> SealedAlone {
        SealedAlone { accessor: accessor.to_string(), at_ms: now.as_ms() }
    }

    /// Durable when it returns.
    pub(crate) fn write(&self, disk: &dyn Disk, data: &Path) -> std::io::Result<()> {
        storage::disk::replace(disk, &place(data), &serde_json::to_vec(self)?)
    }
}

fn place(data: &Path) -> PathBuf {
    data.join(NOTE)
}

/// Tells the journal of a sealing that it does not know of, where there was one.
///
/// # Errors
/// When the journal cannot be told now: try again.
pub(crate) async fn tell(door: &Door, data: &Path) -> Result<(), String> {
    let place = place(data);
    let note = match std::fs::read(&place) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(format!("read {}: {error}", place.display())),
    };
    let parsed = serde_json::from_slice::<SealedAlone>(&note).ok();
    let parsed = parsed.and_then(|note| Some((Accessor::parse(&note.accessor).ok()?, note.at_ms)));
    // A note that says nothing is no reason to say nothing: the node was sealed, by whom and when is not known.
    let (accessor, at_ms) = parsed.unwrap_or((Accessor([0; 12]), 0));
    let upkeep = KeysUpkeep::NodeSealedAlone { node: door.node_id, accessor, at_ms };
    let told = submit(door, "seal", upkeep).await.map_err(|status| status.to_string())?;
    told.map_err(|rejection| rejection.to_string())?;
    // Told twice is better than not at all: the note goes when its record has committed.
    std::fs::remove_file(&place).map_err(|error| format!("remove {}: {error}", place.display()))
}

//! Restoring into a new cluster: one node with an empty data directory becomes the beginning of the next timeline.
//!
//! Everything is read and checked before anything is written: the files of the set, whole and signed by this cluster; the state that they
//! lead to, by chain and digest. The node then stands at that state, with the new members in its snapshot and one record behind it that
//! says where it came from; the others are empty, vote for it, and get all of it as any node that lacks the log.

mod beginning;
mod fold;
pub(crate) mod in_place;
mod plan;
mod recover;
mod values;

pub(crate) use beginning::check_finished;
pub(crate) use fold::Folded;
pub use plan::{Point, Wish};
pub use recover::{Holding, RecoverReport, inspect, recover};

use crate::boot::opening::{Local, open_local};
use crate::boot::{Ambient, BootError, failed};
use crate::config::Config;
use crate::engine::Sealing;
use crate::engine::sealing::new_token;
use crate::engine::standing::Standing;
use crate::seal::Unsealed;
use beginning::{Beginning, begin, check_empty};
use fold::fold;
use node_domain::recovery::{RecoveryEvent, Restored};
use plan::{Chosen, Trusted, choose, members};
use raft::timeline::{next_position, read_position};
use serde::Serialize;
use std::sync::Arc;
use storage::{Disk, Identity};
use storage_crypto::hex;

/// What somebody who restores is told as it goes on: what is being done, and how much of it is done.
pub type Progress<'a> = &'a mut (dyn FnMut(&str, u64, u64) + Send);

/// What a restore found, and did where it was no dry run.
#[derive(Clone, Debug, Serialize)]
pub struct RestoreReport {
    /// The cluster.
    pub cluster: String,
    /// The files that were used, in order.
    pub files: Vec<String>,
    /// Their bytes.
    pub bytes: u64,
    /// The newest record that came back.
    pub revision: u64,
    /// Its time, microseconds since 1970.
    pub stamp_us: u64,
    /// The journal's chain at it.
    pub chain: String,
    /// Digest of the state.
    pub state_digest: String,
    /// The epoch that starts.
    pub epoch: u32,
    /// Secrets that can be read, by environment.
    pub environments: Vec<(String, u64)>,
    /// Secrets in all environments, hidden ones among them.
    pub secrets: u64,
    /// Values: versions that were not destroyed.
    pub values: u64,
    /// Those of them that were destroyed while the full snapshot was written: the new cluster's journal says so. Not known in a dry run.
    pub values_gone: u64,
    /// Tokens that end.
    pub tokens_ended: u64,
    /// The members of the new cluster.
    pub members: Vec<u64>,
    /// Whether nothing was written.
    pub dry_run: bool,
    /// Where the new root token lies; none in a dry run.
    pub token_file: Option<String>,
}

/// Restores one node. Nothing is written before everything has been checked.
///
/// # Errors
/// When the files do not lead to the wished point, are damaged or another cluster's, or when the data directory is not empty.
pub async fn restore(
    config: &Config,
    ambient: &Ambient,
    texts: Vec<zeroize::Zeroizing<String>>,
    wish: &Wish,
    progress: Progress<'_>,
) -> Result<RestoreReport, BootError> {
    let unsealed = crate::seal::server::unseal_offline(config, ambient, texts).await.map_err(failed("unseal"))?;
    let cluster = unsealed.file.cluster();
    let members = members(wish, config).map_err(failed("the members of the new cluster"))?;
    let signer = unsealed.ring.snapshot_signer(&cluster).public();
    let trusted = Trusted { cluster, signer };
    let disk = &*ambient.disk;
    let chosen = choose(&wish.from, wish.at, &trusted, disk, progress).await.map_err(failed("choose snapshots"))?;
    let keys = |version: u32| unsealed.ring.snapshot_key(version, &cluster);
    let folded = fold(&chosen, disk, &keys, wish.at, progress).map_err(failed("read the snapshots"))?;
    check_new(&chosen, config.node.id).map_err(failed("setting node.id"))?;
    let epoch = chosen.next_epoch(&folded.standing.state, ambient);
    let mut report = report(&chosen, &folded, members.keys().copied().collect(), epoch);
    if wish.dry_run {
        return Ok(report);
    }
    check_empty(&*ambient.disk, &config.node.data).map_err(failed("the data directory"))?;
    let local = local(config, ambient, unsealed)?;
    check_keys(&local, &folded.standing).map_err(failed("the seal file"))?;
    let position = next_position(&chosen.position, config.node.id, members).map_err(failed("the position of the snapshot"))?;
    let token = new_token(&*ambient.entropy);
    let token_hash = local.sealing.token_hash(&token);
    let event = RecoveryEvent::Restored(Box::new(restored(&chosen, &folded.standing, epoch)));
    let beginning = Beginning { config, ambient, local: &local, position, epoch, event, root_token: Some(token_hash) };
    let written = plan::write_token(&wish.token_file, &token);
    written.map_err(failed(format!("write the root token to {}", wish.token_file.display())))?;
    report.values_gone = begin(&beginning, folded, progress).map_err(failed("write the data directory"))?;
    report.dry_run = false;
    report.token_file = Some(wish.token_file.display().to_string());
    Ok(report)
}

/// A node that never started gets its identity here.
fn local(config: &Config, ambient: &Ambient, unsealed: Unsealed) -> Result<Local, BootError> {
    let doing = || failed::<storage::IdentityError>("identity of this node");
    if !Identity::exists(&*ambient.disk, &config.node.data).map_err(doing())? {
        let owner = storage::Owner { cluster: unsealed.file.cluster(), node: config.node.id };
        let (zone, key) = (&config.node.zone, unsealed.ring.identity());
        Identity::create(&*ambient.disk, &config.node.data, owner, zone, key, &*ambient.entropy).map_err(doing())?;
    }
    open_local(config, ambient, unsealed)
}

/// The state of a running cluster as its snapshots have it at a point.
///
/// # Errors
/// When the files do not lead there, are damaged or another cluster's.
pub(crate) async fn look_back(sealing: &Arc<Sealing>, disk: &Arc<dyn Disk>, place: &str, at: Point) -> Result<Folded, String> {
    let trusted = Trusted { cluster: sealing.cluster(), signer: sealing.signer().public() };
    let chosen = choose(place, at, &trusted, &**disk, &mut |_, _, _| ()).await?;
    let (sealing, disk) = (sealing.clone(), disk.clone());
    let folding = tokio::task::spawn_blocking(move || {
        let keys = |version: u32| sealing.snapshot_key(version);
        let mut folded = fold(&chosen, &*disk, &keys, at, &mut |_, _, _| ())?;
        folded.brought = Some(Box::new(chosen));
        Ok::<_, std::io::Error>(folded)
    });
    folding.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
}

/// A number stands for one disk: an old node under the same number could come back.
fn check_new(chosen: &Chosen, id: u64) -> Result<(), String> {
    let before = read_position(&chosen.position).map_err(|error| error.to_string())?;
    if before.members.contains_key(&id) {
        return Err(format!(
            "node {id} was a member of the cluster when the snapshot was made; lay out nodes with new numbers (holdfastd kit --add), \
             because an old disk of that number may come back"
        ));
    }
    Ok(())
}

/// Every key of the state must open, or what it seals would be lost behind a cluster that looks whole.
fn check_keys(local: &Local, standing: &Standing) -> Result<(), String> {
    let view = crate::engine::View { state: standing.state.clone(), chain: standing.chain };
    local
        .sealing
        .check_all(&view)
        .map_err(|error| format!("{error}: restore with a seal file of the time of the snapshot, or from a newer snapshot"))
}

fn restored(chosen: &Chosen, standing: &Standing, epoch: u32) -> Restored {
    let state = &standing.state;
    let digest = hex::decode(&chosen.last().digest).ok().and_then(|digest| digest.try_into().ok());
    Restored {
        epoch,
        from_epoch: state.epoch(),
        revision: state.revision(),
        stamp: state.stamp(),
        files: chosen.files.iter().map(|(entry, _)| entry.file.clone()).collect(),
        from: chosen.place.clone(),
        digest: digest.unwrap_or_default(),
        by: plan::operator(),
    }
}

fn report(chosen: &Chosen, folded: &Folded, members: Vec<u64>, epoch: u32) -> RestoreReport {
    let Standing { state, chain } = &folded.standing;
    let live = |home: &node_domain::state::Environment| home.secrets.values().filter(|secret| secret.live().is_some()).count();
    let environments = state.environments().map(|home| (home.about.name.to_string(), live(home) as u64));
    RestoreReport {
        cluster: hex::encode(state.cluster()),
        files: chosen.files.iter().map(|(entry, _)| entry.file.clone()).collect(),
        bytes: chosen.files.iter().map(|(entry, _)| entry.bytes).sum(),
        revision: state.revision().0,
        stamp_us: state.stamp().0,
        chain: hex::encode(chain),
        state_digest: hex::encode(&state.digest()),
        epoch,
        environments: environments.collect(),
        secrets: state.secret_count(),
        values: folded.value_count,
        values_gone: 0,
        tokens_ended: state.token_count() as u64,
        members,
        dry_run: true,
        token_file: None,
    }
}

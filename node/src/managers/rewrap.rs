//! Bringing values under the newest key of their environment, and retiring keys that wrap nothing any more. The leader's work.
//!
//! Where it stands follows from the state alone: a new leader goes on where the last one was.

use super::Managed;
use crate::engine::View;
use crate::fault;
use crate::seal::rotation::submit;
use node_domain::ids::{EnvironmentName, SecretPath};
use node_domain::keys::{KeysUpkeep, Rewrap};
use node_domain::limits;
use node_domain::secret::VersionState;
use node_domain::state::Environment;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How often it looks whether there is something to do.
const PERIOD: Duration = Duration::from_millis(500);
/// Bytes in one record: far below what a batch takes, so that it never delays a request for long.
const BYTES_MAX: usize = 1 << 20;

const _: () = assert!(BYTES_MAX + limits::SEALED_BYTES_MAX < limits::TRANSACTION_BYTES_MAX);

/// What one node remembers of its work; nothing of it must survive.
#[derive(Default)]
struct Progress {
    /// Where in each environment the search goes on.
    cursors: HashMap<EnvironmentName, SecretPath>,
    /// Since when a key was seen to wrap nothing.
    idle: HashMap<(EnvironmentName, u32), Instant>,
}

pub(super) async fn run(managed: Managed) {
    let mut progress = Progress::default();
    loop {
        tokio::time::sleep(PERIOD).await;
        if !managed.leads() {
            progress = Progress::default();
            continue;
        }
        let view = managed.door.view();
        let names: Vec<EnvironmentName> = waiting(&view).map(|environment| environment.about.name.clone()).collect();
        drop(view);
        for name in names {
            if let Err(why) = bring_along(&managed, &mut progress, &name).await {
                tracing::warn!(environment = %name, why, "values could not be brought under the newer key; it is tried again");
            }
        }
    }
}

/// Environments with more than one key, in which something may be done.
fn waiting(view: &View) -> impl Iterator<Item = &Environment> {
    let state = &view.state;
    state.environments().filter(|home| home.about.keys.len() > 1 && state.keys().sealed(&home.about.name).is_none())
}

/// All values of one environment, batch by batch, and then the keys that are left without any.
async fn bring_along(managed: &Managed, progress: &mut Progress, name: &EnvironmentName) -> Result<(), String> {
    loop {
        let view = managed.door.view();
        let Ok(home) = view.state.environment(name) else { return Ok(()) };
        let newest = home.about.keys.last().map_or(0, |(version, _)| *version);
        let older: Vec<u32> = home.about.keys.iter().map(|(version, _)| *version).filter(|version| *version < newest).collect();
        if older.iter().all(|version| view.state.keys().uses(name, *version) == 0) {
            return retire(managed, progress, name, &older).await;
        }
        let started = Instant::now();
        let (found, cursor) = gather(managed, &view, name, progress.cursors.get(name)).await?;
        match cursor {
            Some(cursor) => drop(progress.cursors.insert(name.clone(), cursor)),
            None => drop(progress.cursors.remove(name)),
        }
        if found.is_empty() {
            // From the start again at the next look: something came in behind the search.
            return Ok(());
        }
        let count = u32::try_from(found.len()).unwrap_or(u32::MAX);
        fault::point("rewrap: gathered");
        let upkeep = KeysUpkeep::Rewrap { environment: name.clone(), items: found };
        match submit(&managed.door, "rewrap", upkeep).await.map_err(|status| status.message().to_owned())? {
            Ok(_) => metrics::counter!("holdfast_values_rewrapped_total").increment(count.into()),
            Err(rejection) => return Err(rejection.to_string()),
        }
        fault::point("rewrap: committed");
        let pace = Duration::from_secs_f64(f64::from(count) / f64::from(managed.config.rewrap_per_second));
        tokio::time::sleep(pace.saturating_sub(started.elapsed())).await;
        if !managed.leads() {
            return Ok(());
        }
    }
}

/// The next values under an older key, rewrapped; and where the search goes on, unless it is through.
async fn gather(
    managed: &Managed,
    view: &Arc<View>,
    name: &EnvironmentName,
    cursor: Option<&SecretPath>,
) -> Result<(Vec<Rewrap>, Option<SecretPath>), String> {
    let (door, view, name) = (managed.door.clone(), view.clone(), name.clone());
    let cursor = cursor.map(ToString::to_string).unwrap_or_default();
    let gathering = raft::offload(move || {
        let home = view.state.environment(&name).map_err(|rejection| rejection.to_string())?;
        let newest = home.about.keys.last().map_or(0, |(version, _)| *version);
        let mut found = Vec::new();
        let mut bytes = 0;
        for secret in home.under("", &cursor) {
            let old = secret.versions.iter().filter(|version| version.seal.key_version < newest);
            for version in old.filter(|version| version.state != VersionState::Destroyed) {
                let key = (secret.id, version.number);
                let payload = door.values.find_uncached(&name, key).map_err(|error| error.to_string())?;
                // Destroyed since the view was taken, or brought along already.
                let Some(payload) = payload else { continue };
                let sealed = door.sealing.rewrap(&home.about, &version.seal, &payload).map_err(|error| error.to_string())?;
                let Some(sealed) = sealed else { continue };
                let item = Rewrap { path: secret.path.clone(), secret: secret.id, version: version.number, sealed };
                bytes += item.bytes();
                found.push(item);
            }
            // All versions of a secret go together, so that the cursor stands between secrets.
            if found.len() + limits::VERSIONS_MAX as usize > limits::REWRAP_ITEMS_MAX || bytes > BYTES_MAX {
                return Ok((found, Some(secret.path.clone())));
            }
        }
        Ok((found, None))
    });
    gathering.await.map_err(|error| error.to_string())?
}

/// Retires the keys that have wrapped nothing for long enough.
async fn retire(managed: &Managed, progress: &mut Progress, name: &EnvironmentName, versions: &[u32]) -> Result<(), String> {
    progress.idle.retain(|(known, version), _| known != name || versions.contains(version));
    for version in versions {
        let since = *progress.idle.entry((name.clone(), *version)).or_insert_with(Instant::now);
        if since.elapsed() < Duration::from_millis(managed.config.retire_after_ms) {
            continue;
        }
        fault::point("rewrap: retiring");
        let upkeep = KeysUpkeep::RetireEnvironmentKey { environment: name.clone(), version: *version };
        match submit(&managed.door, "rewrap", upkeep).await.map_err(|status| status.message().to_owned())? {
            Ok(_) => tracing::info!(environment = %name, version, "a key that wraps nothing any more was retired"),
            Err(rejection) => return Err(rejection.to_string()),
        }
        progress.idle.remove(&(name.clone(), *version));
    }
    Ok(())
}

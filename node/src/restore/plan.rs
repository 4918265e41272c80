//! What somebody who restores wishes for, and which files it takes.

use super::Progress;
use crate::boot::Ambient;
use crate::config::Config;
use crate::kit::NodePlan;
use node_domain::State;
use raft::Member;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use storage::Disk;
use storage_backup::{Entry, Store, Wanted, check_entry};
use storage_crypto::PublicKey;
use storage_crypto::entropy::random;

/// Which state is wished back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// The newest there is.
    Newest,
    /// As of this record.
    Revision(u64),
    /// As of this time, microseconds since 1970.
    Time(u64),
}

/// What is to be restored, from where, and for whom.
#[derive(Clone, Debug)]
pub struct Wish {
    /// A directory, `file:///path` or `s3://bucket/prefix`.
    pub from: String,
    /// As of when.
    pub at: Point,
    /// The other nodes of the new cluster, empty ones; this node is a member besides.
    pub others: Vec<NodePlan>,
    /// A kit, all of whose nodes with a number that was never used are members.
    pub kit: Option<PathBuf>,
    /// Where the new root token goes: a new file.
    pub token_file: PathBuf,
    /// Only look, and say what would come back.
    pub dry_run: bool,
}

/// Whose snapshots count.
pub(super) struct Trusted {
    pub(super) cluster: [u8; 16],
    pub(super) signer: PublicKey,
}

/// The files that are used, on this machine, checked.
pub(super) struct Chosen {
    pub(super) files: Vec<(Entry, PathBuf)>,
    pub(super) place: String,
    /// Where the last of them stands in the log.
    pub(super) position: Vec<u8>,
    /// The latest of all timelines that have something in the set. A restore to a point before it starts one of its own, not the same again.
    latest_epoch: u32,
    /// Where those lie that were brought here.
    _fetched: Option<tempfile::TempDir>,
}

impl Chosen {
    pub(super) fn last(&self) -> &Entry {
        &self.files.last().expect("a plan starts with a full snapshot").0
    }

    /// The epoch that starts where `state` is restored.
    pub(super) fn next_epoch(&self, state: &State, ambient: &Ambient) -> u32 {
        epoch_after(self.latest_epoch.max(state.epoch()), ambient)
    }
}

/// An epoch later than `latest`: by the clock, so that of two that are started apart the later has the higher number, and by chance, so that two
/// that are started at the same time, by two survivors of which nobody told the other, are not the same and refuse each other.
pub(super) fn epoch_after(latest: u32, ambient: &Ambient) -> u32 {
    let since = ambient.clock.now().as_ms().saturating_sub(EPOCHS_SINCE_MS) / EPOCH_STEP_MS;
    let by_clock = u32::try_from(since.saturating_mul(EPOCHS_PER_STEP)).unwrap_or(u32::MAX);
    let chance = u64::from(u16::from_le_bytes(random(&*ambient.entropy))) % (EPOCHS_PER_STEP / 2);
    latest.max(by_clock).saturating_add(1 + u32::try_from(chance).unwrap_or(0))
}

/// Epochs are counted from the beginning of 2020, in steps of ten minutes with room for chance in each: a number lasts until 2059.
const EPOCHS_SINCE_MS: u64 = 1_577_836_800_000;
const EPOCH_STEP_MS: u64 = 600_000;
const EPOCHS_PER_STEP: u64 = 2048;

impl From<Point> for Wanted {
    fn from(point: Point) -> Wanted {
        match point {
            Point::Newest => Wanted::Newest,
            Point::Revision(revision) => Wanted::Revision(revision),
            Point::Time(stamp_us) => Wanted::Time(stamp_us),
        }
    }
}

/// Chooses the files, brings them here where they are elsewhere, and checks them: whole, signed by this cluster, what their entries say.
pub(super) async fn choose(
    place: &str,
    at: Point,
    trusted: &Trusted,
    disk: &dyn Disk,
    progress: Progress<'_>,
) -> Result<Chosen, String> {
    let store = Store::open(place).map_err(|error| error.to_string())?;
    let set = store.set().await.map_err(|error| error.to_string())?;
    for (name, why) in &set.bad {
        tracing::warn!(name, why, "an entry of the set is not believed and is left out");
    }
    if let (Point::Newest, Some((name, why))) = (at, set.bad.first()) {
        return Err(format!(
            "{name} is not what was written ({why}), and what it stands for may be the newest: name a point before it (--at-revision or \
             --at-time), or take the file out of the set if it is to be left out"
        ));
    }
    // What somebody else has put there says nothing.
    let (own, signer_of_ours) = (storage_crypto::hex::encode(&trusted.cluster), trusted.signer.to_string());
    let ours = set.entries.iter().filter(|entry| entry.cluster == own && entry.signer == signer_of_ours);
    let latest_epoch = ours.map(|entry| entry.epoch).max().unwrap_or(0);
    let plan = set.plan(at.into()).map_err(|error| format!("{}: {error}", store.place()))?;
    let Trusted { cluster, signer } = trusted;
    let total = plan.bytes();
    let (mut fetched, mut done) = (None, 0);
    let mut files = Vec::new();
    for entry in plan.files() {
        if entry.cluster != storage_crypto::hex::encode(cluster) {
            return Err(format!("{} is of cluster {}, the seal file is of another one", entry.file, entry.cluster));
        }
        let path = match store.local(&entry.file) {
            Some(path) => path,
            None => {
                if fetched.is_none() {
                    fetched = Some(tempfile::tempdir().map_err(|error| format!("make a temporary directory: {error}"))?);
                }
                let path = fetched.as_ref().map(|directory| directory.path().join(&entry.file)).unwrap_or_default();
                store.fetch(entry, &path, |_| ()).await.map_err(|error| error.to_string())?;
                path
            }
        };
        files.push((entry.clone(), path));
    }
    let mut position = Vec::new();
    for (entry, path) in &files {
        let checked = check_entry(disk, path, entry, Some(*signer), None, |read| progress("checking", done + read, total));
        position = checked.map_err(|fault| fault.to_string())?.checked.header.position;
        done += entry.bytes;
    }
    Ok(Chosen { files, place: store.place().to_owned(), position, latest_epoch, _fetched: fetched })
}

/// The members of the new cluster, this node among them.
pub(super) fn members(wish: &Wish, config: &Config) -> Result<BTreeMap<u64, Member>, String> {
    let mut members = BTreeMap::from([(config.node.id, config.member())]);
    for other in &wish.others {
        let member = Member { peer_address: other.peer.clone(), client_address: other.client.clone(), zone: other.zone.clone() };
        if members.insert(other.id, member).is_some() {
            return Err(format!("node {} stands twice; this node is a member without being named", other.id));
        }
    }
    if let Some(kit) = &wish.kit {
        for config in configs(kit, config.node.id)? {
            members.entry(config.node.id).or_insert_with(|| config.member());
        }
    }
    Ok(members)
}

/// The settings of the kit's nodes that have a number from this node's on: older numbers are of nodes that are gone.
fn configs(kit: &Path, from: u64) -> Result<Vec<Config>, String> {
    let entries = std::fs::read_dir(kit).map_err(|error| format!("read {}: {error}", kit.display()))?;
    let files = entries.filter_map(Result::ok).map(|entry| entry.path().join("holdfast.toml")).filter(|file| file.exists());
    let configs = files.map(|file| Config::load(&file, std::iter::empty(), &[]).map_err(|error| error.to_string()));
    let configs = configs.collect::<Result<Vec<Config>, String>>()?;
    Ok(configs.into_iter().filter(|config| config.node.id >= from).collect())
}

/// Writes a token where only its owner reads it.
pub(super) fn write_token(path: &Path, token: &str) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(token.as_bytes())?;
    file.sync_all()
}

/// Who runs this program, as far as the machine says.
pub(super) fn operator() -> String {
    let name = ["SUDO_USER", "USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok()).unwrap_or_default();
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = if name.is_empty() { "somebody" } else { &name };
    node_domain::limits::cut(format!("{name} on {}", host.trim()), node_domain::limits::NAME_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use node_domain::ids::Stamp;
    use std::sync::Arc;

    struct At(Stamp);

    impl crate::clock::Clock for At {
        fn now(&self) -> Stamp {
            self.0
        }
    }

    #[test]
    fn a_restore_starts_a_timeline_that_nothing_in_the_set_is_of() {
        let chosen =
            |latest_epoch| Chosen { files: Vec::new(), place: String::new(), position: Vec::new(), latest_epoch, _fetched: None };
        let state = State::empty([7; 16]).in_epoch(2);
        let at =
            |days: u64| Ambient { clock: Arc::new(At(Stamp((EPOCHS_SINCE_MS + days * 86_400_000) * 1000))), ..Ambient::real() };
        let today = at(2500);
        let started: Vec<u32> = (0..8).map(|_| chosen(2).next_epoch(&state, &today)).collect();
        assert!(started.iter().all(|epoch| *epoch > 2), "{started:?}");
        assert!(started.iter().any(|epoch| *epoch != started[0]), "the same again would be taken for the first: {started:?}");
        assert!(started.iter().all(|epoch| *epoch < epoch_after(2, &at(2501))), "the one that is started later is the later one");
        let ahead = started[0] + 1_000_000;
        assert!(chosen(ahead).next_epoch(&state, &today) > ahead, "the way from 2 was left before, by a clock that was ahead");
        assert!(epoch_after(2, &at(0)) > 2, "a clock that stands still");
        assert_eq!(epoch_after(u32::MAX, &today), u32::MAX);
        assert!(epoch_after(2, &at(39 * 365)) < u32::MAX, "for as long as somebody may use this");
    }
}

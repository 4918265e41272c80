//! Opening what lies on a node's disk: its identity, with the ring, and its stores, with the storage key.

use super::rescue::Rescue;
use super::{Ambient, BootError, failed};
use crate::config::Config;
use crate::engine::fold::Fold;
use crate::engine::materializer::Materializer;
use crate::engine::snapshots::{Restored, Snapshots};
use crate::engine::standing::Standing;
use crate::engine::stores::Stores;
use crate::engine::{Published, Sealing, Values, View};
use crate::lost_log;
use crate::repair::Repairs;
use crate::repair::checks::Digests;
use crate::seal::desk::FIRST_START;
use crate::seal::{Custody, Unsealed};
use node_domain::State;
use node_domain::repair::RepairPart;
use raft::Epoch;
use std::path::Path;
use std::sync::{Arc, Weak};
use storage::journal::{Journal, JournalError, JournalOptions};
use storage::wal::{Wal, WalOptions};
use storage::{DataDirLock, Identity, Owner, Recovered};
use storage_crypto::key::Key;

/// What belongs to this node before it talks to anybody.
pub(crate) struct Local {
    pub(crate) identity: Identity,
    pub(crate) lock: DataDirLock,
    pub(crate) owner: Owner,
    pub(crate) sealing: Arc<Sealing>,
    pub(crate) identity_key: Key,
    pub(crate) storage_key: Key,
    pub(crate) custody: Arc<Custody>,
}

/// The opened stores of a node, at the state of its newest snapshot.
pub(super) struct Opened {
    pub(super) wal: Wal,
    pub(super) journal: Journal,
    pub(super) values: Arc<Values>,
    pub(super) materializer: Arc<Materializer>,
    pub(super) published: Arc<Published>,
    pub(super) fold: Arc<Fold>,
    pub(super) snapshots: Arc<Snapshots>,
    pub(super) stores: Weak<Stores>,
    pub(super) repairs: Arc<Repairs>,
    pub(super) digests: Arc<Digests>,
    pub(super) epoch: Epoch,
}

/// What an opened seal and the data directory say of this node. Everything that belongs to somebody else is found here.
pub(crate) fn open_local(config: &Config, ambient: &Ambient, unsealed: Unsealed) -> Result<Local, BootError> {
    let cluster = unsealed.file.cluster();
    let lock = DataDirLock::acquire(&config.node.data).map_err(failed("lock the data directory"))?;
    lost_log::check(&config.node.data).map_err(failed("this node's data is an older state of itself"))?;
    let owner = Owner { cluster, node: config.node.id };
    identify(config, ambient, &unsealed, owner)?;
    let identity = Identity::open(&*ambient.disk, &config.node.data, unsealed.ring.identity(), Some(&cluster));
    let identity = identity.map_err(failed("identity of this node"))?;
    if identity.node != config.node.id {
        let cause =
            format!("{} is the data of node {}, not of node {}", config.node.data.display(), identity.node, config.node.id);
        return Err(BootError { doing: "setting node.id".into(), cause });
    }
    let identity_key = unsealed.ring.identity().duplicate();
    let sealing = Arc::new(Sealing::new(cluster, unsealed.ring.duplicate(), ambient.entropy.clone()));
    let path = config.seal.file.clone();
    let custody = Custody::new(ambient.disk.clone(), path, ambient.entropy.clone(), sealing.clone(), unsealed);
    let storage_key = identity.storage_key.duplicate();
    Ok(Local { identity, lock, owner, sealing, identity_key, storage_key, custody: Arc::new(custody) })
}

/// A node that has never started gets its identity now: the marker says so, and goes with it. Without the marker a missing identity is
/// a lost one, and a node without its data must not come back under its old number.
fn identify(config: &Config, ambient: &Ambient, unsealed: &Unsealed, owner: Owner) -> Result<(), BootError> {
    let marker = config.node.data.join(FIRST_START);
    let there = ambient.disk.exists(&marker).map_err(failed("look for the marker of a first start"))?;
    if !there {
        return Ok(());
    }
    if !Identity::exists(&*ambient.disk, &config.node.data).map_err(failed("identity of this node"))? {
        let key = unsealed.ring.identity();
        let made = Identity::create(&*ambient.disk, &config.node.data, owner, &config.node.zone, key, &*ambient.entropy);
        made.map_err(failed("make the identity of this node"))?;
    }
    let removed = ambient.disk.remove(&marker).and_then(|()| ambient.disk.sync_dir(&config.node.data));
    removed.map_err(failed("remove the marker of a first start"))
}

/// Opens the write-ahead log of a node.
pub(crate) fn open_wal(config: &Config, ambient: &Ambient, local: &Local) -> Result<(Wal, Recovered), BootError> {
    let key = local.storage_key.derive("holdfast/v1/storage/wal", &local.owner.cluster);
    let (segment_bytes, entropy) = (config.storage.segment_bytes, ambient.entropy.clone());
    let options = WalOptions { segment_bytes, entropy, ..WalOptions::default() };
    let opened = Wal::open(ambient.disk.clone(), &config.node.data.join("wal"), key, local.owner, options);
    opened.map_err(failed("open the write-ahead log"))
}

/// Opens the journal of a node.
pub(crate) fn open_journal(config: &Config, ambient: &Ambient, local: &Local) -> Result<Journal, JournalError> {
    let key = local.storage_key.derive("holdfast/v1/storage/journal", &local.owner.cluster);
    let (segment_bytes, entropy) = (config.storage.segment_bytes, ambient.entropy.clone());
    let options = JournalOptions { segment_bytes, entropy, ..JournalOptions::default() };
    let opened = Journal::open(ambient.disk.clone(), &config.node.data.join("journal"), key, local.owner, options);
    opened.map(|(journal, _)| journal)
}

/// What a node promised to others stands in its log. Without it, it would promise something else under the same number.
fn log_is_gone(place: &Path, node: u64) -> BootError {
    let cause = format!(
        "{} holds nothing, though this node has records and snapshots: its log is lost, and it must not come back under its number; keep \
         its directory, remove node {node} from the cluster (holdfast cluster remove {node}) and add one with an empty directory and a new \
         number (holdfastd kit --add, holdfast cluster add-learner)",
        place.display()
    );
    BootError { doing: "open the write-ahead log".into(), cause }
}

/// The state that the node goes on from: that of its newest snapshot, or another member's where there is none, or none to be believed.
fn restored(
    rescue: &Rescue,
    snapshots: &Snapshots,
    (wal, purged): (&Wal, Option<u64>),
    materializer: &Materializer,
    values: &Values,
) -> Result<Option<Standing>, BootError> {
    let install = |path: &Path| snapshots.install(path, materializer, values);
    if let Some(mark) = rescue.came_apart()? {
        return rescue.replace_state(&mark, snapshots, wal, purged, install).map(Some);
    }
    let found = |why| rescue.repairs.began(RepairPart::Snapshot, why);
    let restored = snapshots.restore_newest(materializer, values, purged, found);
    Ok(match restored.map_err(failed("restore the newest snapshot"))? {
        Restored::Standing(standing) => Some(*standing),
        Restored::Beginning => None,
        Restored::Lost { index_min } => Some(rescue.fetch_state(snapshots, wal, index_min, install)?),
    })
}

pub(super) fn open_stores(config: &Config, ambient: &Ambient, local: &Local, rescue: &Rescue) -> Result<Opened, BootError> {
    let data = &config.node.data;
    crate::restore::check_finished(data).map_err(failed("open the data directory"))?;
    let (wal, recovered) = open_wal(config, ambient, local)?;
    let journal = rescue.open_journal(|| open_journal(config, ambient, local))?;
    let key = local.storage_key.derive("holdfast/v1/storage/state", &local.owner.cluster);
    let stores = Arc::new(Stores::new(data.join("state"), key, local.owner));
    let values = Arc::new(Values::new(stores.clone(), config.storage.value_cache_bytes));
    let materializer = Arc::new(Materializer::start(stores.clone(), values.clone()).map_err(failed("start the materializer"))?);
    let snapshots = Snapshots::open(ambient, data.join("snapshots"), local.sealing.clone(), local.owner, stores.clone())
        .map_err(failed("open the snapshots"))?;
    let snapshots = Arc::new(snapshots);
    let log_is_new = recovered == Recovered::default();
    if log_is_new && (!journal.head().is_empty() || snapshots.newest().map_err(failed("open the snapshots"))?.is_some()) {
        return Err(log_is_gone(&data.join("wal"), local.owner.node));
    }
    let purged = recovered.purged.as_ref().map(|(index, _)| *index);
    let standing = restored(rescue, &snapshots, (&wal, purged), &materializer, &values)?;
    let Standing { state, chain } = standing.unwrap_or_else(|| Standing::before_everything(State::empty(local.owner.cluster)));
    let head = journal.head();
    if head.next_seq == 0 || head.next_seq <= state.revision().0 {
        if state.revision().0 > 0 {
            // A crash between taking over a leader's snapshot and starting the journal behind it.
            tracing::warn!(
                journal = head.next_seq,
                snapshot = state.revision().0,
                "the journal ends before the snapshot: it goes on behind it"
            );
        }
        journal.reset(state.revision().0 + 1, chain).map_err(failed("start the journal"))?;
    }
    let view = View { state, chain };
    crate::members::check_level(&ambient.build, view.state.members().level()).map_err(failed("read the state"))?;
    local.sealing.learn(&view.state);
    local.sealing.check(&view).map_err(failed("unseal"))?;
    let epoch = Epoch::new(if view.state.revision().0 == 0 && wal.last().is_none() { 0 } else { view.state.epoch() });
    let published = Arc::new(Published::new(view.clone()));
    let sealing = local.sealing.clone();
    let behind = (journal.clone(), values.clone(), materializer.clone(), snapshots.clone());
    let digests = Arc::new(Digests::new(ambient.disk.clone(), data.clone()));
    let fold = Fold::new(view, published.clone(), behind, sealing, digests.clone(), (epoch.clone(), ambient.build.clone()));
    let stores = Arc::downgrade(&stores);
    let (fold, repairs) = (Arc::new(fold), rescue.repairs.clone());
    Ok(Opened { wal, journal, values, materializer, published, fold, snapshots, stores, repairs, digests, epoch })
}

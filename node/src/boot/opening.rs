//! Opening what lies on a node's disk: its identity, with the ring, and its stores, with the storage key.

use super::rescue::Rescue;
use super::{Ambient, BootError, failed};
use crate::config::Config;
use crate::engine::fold::Fold;
use crate::engine::materializer::Materializer;
use crate::engine::snapshots::{Restored, Snapshots, Standing};
use crate::engine::stores::Stores;
use crate::engine::{Published, Sealing, Values, View};
use crate::repair::Repairs;
use crate::seal::desk::FIRST_START;
use crate::seal::{Custody, Unsealed};
use node_domain::State;
use node_domain::repair::RepairPart;
use std::path::Path;
use std::sync::{Arc, Weak};
use storage::journal::{Journal, JournalOptions};
use storage::wal::{Wal, WalOptions};
use storage::{DataDirLock, Identity, Owner, Recovered};
use storage_crypto::key::Key;

/// What belongs to this node before it talks to anybody.
pub(super) struct Local {
    pub(super) identity: Identity,
    pub(super) lock: DataDirLock,
    pub(super) owner: Owner,
    pub(super) sealing: Arc<Sealing>,
    pub(super) identity_key: Key,
    pub(super) storage_key: Key,
    pub(super) custody: Arc<Custody>,
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
}

/// What an opened seal and the data directory say of this node. Everything that belongs to somebody else is found here.
pub(super) fn open_local(config: &Config, ambient: &Ambient, unsealed: Unsealed) -> Result<Local, BootError> {
    let cluster = unsealed.file.cluster();
    let lock = DataDirLock::acquire(&config.node.data).map_err(failed("lock the data directory"))?;
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

/// What a node promised to others stands in its log. Without it, it would promise something else under the same number.
fn lost_log(place: &Path, node: u64) -> BootError {
    let cause = format!(
        "{} holds nothing, though this node has records and snapshots: its log is lost, and it must not come back under its number; keep \
         its directory, remove node {node} from the cluster (holdfast cluster remove {node}) and add one with an empty directory and a new \
         number (holdfast cluster add)",
        place.display()
    );
    BootError { doing: "open the write-ahead log".into(), cause }
}

pub(super) fn open_stores(config: &Config, ambient: &Ambient, local: &Local, rescue: &Rescue) -> Result<Opened, BootError> {
    let data = &config.node.data;
    let key = |context| local.storage_key.derive(context, &local.owner.cluster);
    let segment_bytes = config.storage.segment_bytes;
    let wal_options = WalOptions { segment_bytes, entropy: ambient.entropy.clone(), ..WalOptions::default() };
    let (wal, recovered) =
        Wal::open(ambient.disk.clone(), &data.join("wal"), key("holdfast/v1/storage/wal"), local.owner, wal_options)
            .map_err(failed("open the write-ahead log"))?;
    let journal_options = JournalOptions { segment_bytes, entropy: ambient.entropy.clone(), ..JournalOptions::default() };
    let journal = rescue.open_journal(|| {
        let (dir, key) = (data.join("journal"), key("holdfast/v1/storage/journal"));
        Journal::open(ambient.disk.clone(), &dir, key, local.owner, journal_options.clone()).map(|(journal, _)| journal)
    })?;
    let stores = Arc::new(Stores::new(data.join("state"), key("holdfast/v1/storage/state"), local.owner));
    let values = Arc::new(Values::new(stores.clone(), config.storage.value_cache_bytes));
    let materializer = Arc::new(Materializer::start(stores.clone(), values.clone()).map_err(failed("start the materializer"))?);
    let snapshots = Snapshots::open(ambient, data.join("snapshots"), local.sealing.clone(), local.owner, stores.clone())
        .map_err(failed("open the snapshots"))?;
    let snapshots = Arc::new(snapshots);
    let log_is_new = recovered == Recovered::default();
    if log_is_new && (!journal.head().is_empty() || snapshots.newest().map_err(failed("open the snapshots"))?.is_some()) {
        return Err(lost_log(&data.join("wal"), local.owner.node));
    }
    let purged = recovered.purged.as_ref().map(|(index, _)| *index);
    let found = |why| rescue.repairs.began(RepairPart::Snapshot, why);
    let restored = snapshots.restore_newest(&materializer, &values, purged, found);
    let standing = match restored.map_err(failed("restore the newest snapshot"))? {
        Restored::Standing(standing) => Some(standing),
        Restored::Beginning => None,
        Restored::Lost { index_min } => {
            Some(rescue.fetch_state(&snapshots, &wal, index_min, |path| snapshots.install(path, &materializer, &values))?)
        }
    };
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
    local.sealing.learn(&view.state);
    local.sealing.check(&view).map_err(failed("unseal"))?;
    let published = Arc::new(Published::new(view.clone()));
    let sealing = local.sealing.clone();
    let fold =
        Fold::new(view, published.clone(), journal.clone(), values.clone(), materializer.clone(), snapshots.clone(), sealing);
    let stores = Arc::downgrade(&stores);
    let (fold, repairs) = (Arc::new(fold), rescue.repairs.clone());
    Ok(Opened { wal, journal, values, materializer, published, fold, snapshots, stores, repairs })
}

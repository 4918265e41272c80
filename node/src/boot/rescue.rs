//! A start from a damaged disk: what can be had from other members is fetched before replication runs, what cannot stops the start.

use super::{Ambient, BootError, failed};
use crate::config::Config;
use crate::engine::snapshots::Snapshots;
use crate::engine::standing::Standing;
use crate::repair::apart::CameApart;
use crate::repair::peers::RepairPeers;
use crate::repair::{Repairs, address_book};
use node_domain::repair::RepairPart;
use raft::Member;
use raft::transport::grpc::PeerChannels;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use storage::Disk;
use storage::journal::{Journal, JournalError, set_aside};
use storage::snapshot::read_header;
use storage::wal::Wal;
use tokio::runtime::Handle;

/// How long other members are asked for a state before the start is given up.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long to wait before they are asked again.
const RETRY: Duration = Duration::from_millis(500);
/// Damaged segments that are set aside, one after the other, before the journal is given up.
const SET_ASIDE_MAX: usize = 1024;

/// The way to what a damaged node lacks.
pub(super) struct Rescue {
    disk: Arc<dyn Disk>,
    data: PathBuf,
    channels: PeerChannels,
    /// What was found on the way.
    pub(super) repairs: Arc<Repairs>,
}

impl Rescue {
    pub(super) fn new(config: &Config, ambient: &Ambient, channels: PeerChannels) -> Rescue {
        let (disk, data) = (ambient.disk.clone(), config.node.data.clone());
        Rescue { disk, data, channels, repairs: Repairs::new() }
    }

    /// The other members, as they were when this node last ran.
    fn others(&self) -> BTreeMap<u64, Member> {
        let mut members = address_book::read(&*self.disk, &self.data).unwrap_or_default();
        if members.is_empty() {
            members = self.members_in_snapshots();
        }
        members.remove(&self.channels.id());
        members
    }

    fn snapshot_files(&self) -> Vec<PathBuf> {
        let directory = self.data.join("snapshots");
        let names = self.disk.list(&directory).unwrap_or_default();
        names.into_iter().rev().map(|name| directory.join(name)).collect()
    }

    fn members_in_snapshots(&self) -> BTreeMap<u64, Member> {
        let headers = self.snapshot_files().into_iter().filter_map(|path| read_header(&*self.disk, &path).ok());
        headers.filter_map(|header| raft::snapshot_members(&header.position).ok()).next().unwrap_or_default()
    }

    /// Opens the journal, without what is damaged of it where somebody else has that: other members, or the log from its beginning.
    pub(super) fn open_journal(&self, open: impl Fn() -> Result<Journal, JournalError>) -> Result<Journal, BootError> {
        for _ in 0..SET_ASIDE_MAX {
            let error = match open() {
                Ok(journal) => return Ok(journal),
                Err(error) => error,
            };
            let elsewhere = !self.others().is_empty() || self.snapshot_files().is_empty();
            let Some(damaged) = error.damaged().filter(|_| elsewhere) else { return Err(failed("open the journal")(error)) };
            self.repairs.began(RepairPart::Journal, error.to_string());
            set_aside(&*self.disk, &self.data.join("journal"), damaged).map_err(failed("set a damaged journal aside"))?;
        }
        Err(BootError { doing: "open the journal".into(), cause: "it is damaged again and again".into() })
    }

    /// Whether the state here had come apart from the others': then nothing of it counts.
    pub(super) fn came_apart(&self) -> Result<Option<CameApart>, BootError> {
        let doing = "start from a state that had come apart";
        let mark = CameApart::read(&*self.disk, &self.data).map_err(failed(doing))?;
        if let Some(mark) = &mark {
            mark.check_tries().map_err(failed(doing))?;
            self.repairs.began(RepairPart::State, mark.why.clone());
            if mark.is_last_try() {
                let why = "it came apart again after it had taken another member's state; once more, and this node stays out";
                self.repairs.failed(RepairPart::State, why);
            }
        }
        Ok(mark)
    }

    /// Another member's state in the place of one that had come apart.
    pub(super) fn replace_state(
        &self,
        mark: &CameApart,
        snapshots: &Snapshots,
        wal: &Wal,
        purged: Option<u64>,
        install: impl Fn(&Path) -> io::Result<Standing>,
    ) -> Result<Standing, BootError> {
        let index_min = mark.index.max(purged.unwrap_or(0));
        let standing = self.fetch_state(snapshots, wal, index_min, install)?;
        let aside = snapshots.set_others_aside(standing.state.revision().0);
        aside.map_err(failed("set the snapshots of a state aside that had come apart"))?;
        Ok(standing)
    }

    /// A state that reaches the log's first entry, from whichever member gives one that verifies. Blocking; only on a thread that may.
    pub(super) fn fetch_state(
        &self,
        snapshots: &Snapshots,
        wal: &Wal,
        index_min: u64,
        install: impl Fn(&Path) -> io::Result<Standing>,
    ) -> Result<Standing, BootError> {
        if !self.repairs.is_under_way(RepairPart::State) {
            self.repairs.began(RepairPart::Snapshot, format!("no snapshot reaches entry {index_min} of the log"));
        }
        let others = self.others();
        let members: Vec<u64> = others.keys().copied().collect();
        let peers = RepairPeers::remembered(self.channels.clone(), others);
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut answers = Vec::new();
            for id in &members {
                let path = snapshots.receive_path().map_err(failed("receive a snapshot"))?;
                let fetched = Handle::current().block_on(peers.snapshot(*id, index_min, &self.disk, &path));
                let taken =
                    fetched.map_err(io::Error::other).and_then(|()| self.take(snapshots, wal, index_min, &path, &install));
                match taken {
                    Ok(standing) => {
                        tracing::info!(
                            from = id,
                            revision = standing.state.revision().0,
                            "took over the state of another member"
                        );
                        return Ok(standing);
                    }
                    Err(why) => answers.push(format!("node {id}: {why}")),
                }
            }
            if members.is_empty() || Instant::now() >= deadline {
                let asked = if answers.is_empty() { "no other member is known".to_owned() } else { answers.join("; ") };
                let cause = format!(
                    "a state is needed that reaches entry {index_min} of the log, and no other member gave a snapshot: {asked}"
                );
                return Err(BootError { doing: "restore the newest snapshot".into(), cause });
            }
            std::thread::sleep(RETRY);
        }
    }

    fn take(
        &self,
        snapshots: &Snapshots,
        wal: &Wal,
        index_min: u64,
        path: &Path,
        install: &impl Fn(&Path) -> io::Result<Standing>,
    ) -> io::Result<Standing> {
        let position = snapshots.verify(path)?;
        if raft::snapshot_index(&position)?.is_none_or(|index| index < index_min) {
            return Err(io::Error::other(format!("its snapshot does not reach entry {index_min}")));
        }
        raft::fit_log(wal, &position)?;
        install(path)
    }
}

//! Going on after a majority was lost, on the surviving node that is furthest: never by itself, and only by hand.
//!
//! Everything in this node's log counts from now on, whether it was known to be committed or not: what was acknowledged is on a majority, and
//! this node is the furthest of what is left of it. What it does not have is lost.

use super::Progress;
use super::beginning::{Beginning, begin_over, check_not_restoring, is_cut_short, undo};
use super::fold::Folded;
use super::plan::{epoch_after, operator};
use super::values::Spilled;
use crate::boot::opening::{Local, open_journal, open_local, open_wal};
use crate::boot::{Ambient, BootError, failed};
use crate::certificates::Certificates;
use crate::config::Config;
use crate::engine::snapshots;
use crate::engine::standing::{Standing, chain_decision, values_in};
use crate::kit::NodePlan;
use crate::repair::apart::CameApart;
use crate::repair::peers::RepairPeers;
use bytes::Bytes;
use node_domain::ids::Revision;
use node_domain::recovery::{Recovered, RecoveryEvent};
use node_domain::{Batch, State};
use proto_record::codec::{self, Kind};
use raft::Member;
use raft::timeline::{LogPayloads, last_position, next_position, read_position};
use raft::transport::grpc::PeerChannels;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use storage::journal::{Block, Journal};
use storage::snapshot::read_header;
use storage::wal::Wal;
use storage::{Disk, SnapshotReader};

/// How much of the log is read at once.
const READ_BYTES: usize = 4 << 20;

/// What a node that does not run holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Holding {
    /// The node.
    pub node: u64,
    /// Counts restores.
    pub epoch: u32,
    /// Term of the last entry of its log.
    pub last_term: u64,
    /// Index of that entry: of survivors in one epoch the one with the highest term, then index, is the furthest.
    pub last_index: u64,
    /// Last entry that it knew to be committed; it may have been more.
    pub committed_index: u64,
    /// Newest record in its log.
    pub revision: u64,
    /// Its stamp, microseconds since 1970.
    pub stamp_us: u64,
    /// The members, as it knows them.
    pub members: Vec<u64>,
    /// Those of them that vote.
    pub voters: Vec<u64>,
    /// Why its state is not to be believed, where it had come apart from the others': its snapshots may hold what they never had.
    pub came_apart: Option<String>,
}

/// What a recovery did.
#[derive(Clone, Debug, Serialize)]
pub struct RecoverReport {
    /// What the node held.
    pub held: Holding,
    /// The epoch that starts.
    pub epoch: u32,
    /// Records that count from now on and were not known to be committed.
    pub unsure: u64,
    /// Members that are gone.
    pub lost: Vec<u64>,
    /// Members from now on.
    pub members: Vec<u64>,
}

/// A node's state at the end of its log.
struct Survivor {
    local: Local,
    wal: Wal,
    folded: Folded,
    position: Vec<u8>,
    unsure: u64,
    committed: u64,
}

/// Says what the data directory of a node that does not run holds.
///
/// # Errors
/// When it runs, is sealed by a key that is not at hand, or is damaged.
pub async fn inspect(config: &Config, ambient: &Ambient, texts: Vec<zeroize::Zeroizing<String>>) -> Result<Holding, BootError> {
    let survivor = survivor(config, ambient, texts).await?;
    let holding = holding(config, ambient, &survivor);
    survivor.wal.close();
    holding.map_err(failed("say what this node holds"))
}

/// Makes this node the beginning of the next timeline, with `others` (new, empty nodes) as members besides. `survivors` are what other
/// survivors hold, as far as somebody looked.
///
/// # Errors
/// As [`inspect`], or when another survivor is further, enough of them are left to go on without a loss, or the data directory cannot be
/// written.
pub async fn recover(
    config: &Config,
    ambient: &Ambient,
    texts: Vec<zeroize::Zeroizing<String>>,
    (others, survivors): (&[NodePlan], &[Holding]),
    progress: Progress<'_>,
) -> Result<RecoverReport, BootError> {
    let survivor = survivor(config, ambient, texts).await?;
    let held = holding(config, ambient, &survivor).map_err(failed("say what this node holds"))?;
    check_furthest(&held, survivors).map_err(failed("go on with this node"))?;
    check_believed(&held, &config.node.data).map_err(failed("go on with this node"))?;
    check_nobody_runs(config, ambient, &survivor).await?;
    let members = members(config, others, &held).map_err(failed("the members of the cluster"))?;
    let lost: Vec<u64> = held.members.iter().copied().filter(|id| !members.contains_key(id)).collect();
    let Survivor { local, wal, folded, position, unsure, .. } = survivor;
    catch_journal_up(config, ambient, &local, &wal, &folded).map_err(failed("bring the journal up to the log"))?;
    wal.close();
    let state = &folded.standing.state;
    let recovered = Recovered {
        epoch: epoch_after(state.epoch(), ambient),
        node: config.node.id,
        revision: state.revision(),
        stamp: state.stamp(),
        unsure,
        lost: lost.clone(),
        by: operator(),
    };
    let (epoch, ids) = (recovered.epoch, members.keys().copied().collect());
    let position = next_position(&position, config.node.id, members).map_err(failed("the position of the snapshot"))?;
    let event = RecoveryEvent::Recovered(Box::new(recovered));
    let beginning = Beginning { config, ambient, local: &local, position, epoch, event, root_token: None };
    begin_over(&beginning, folded, progress).map_err(failed("write the data directory"))?;
    Ok(RecoverReport { held, epoch, unsure, lost, members: ids })
}

async fn survivor(config: &Config, ambient: &Ambient, texts: Vec<zeroize::Zeroizing<String>>) -> Result<Survivor, BootError> {
    let data = &config.node.data;
    check_not_restoring(data).map_err(failed("the data directory"))?;
    // Opening what is not there would make it.
    if !data.join("wal").exists() && !is_cut_short(data) {
        let cause = format!("{} holds no log: this node is no survivor", data.display());
        return Err(BootError { doing: "the data directory".into(), cause });
    }
    let unsealed = crate::seal::server::unseal_offline(config, ambient, texts).await.map_err(failed("unseal"))?;
    let local = open_local(config, ambient, unsealed)?;
    undo(&*ambient.disk, data).map_err(failed("take back a recovery that was cut short"))?;
    let (wal, _) = open_wal(config, ambient, &local)?;
    fold_log(config, ambient, local, wal).map_err(failed("read what this node holds"))
}

/// The newest snapshot, and everything that is in the log behind it.
fn fold_log(config: &Config, ambient: &Ambient, local: Local, wal: Wal) -> io::Result<Survivor> {
    let start = start(config, ambient, &local, &wal)?;
    let (mut standing, full) = match start {
        Some((standing, full, path)) => (standing, Some((full, path))),
        None => (Standing::before_everything(State::empty(local.owner.cluster)), None),
    };
    let snapshot = full.as_ref().map(|(full, _)| full.header().position.clone());
    let from = snapshot.as_deref().map(read_position).transpose()?.map_or(0, |position| position.index);
    let committed = raft::timeline::committed_index(&wal)?.unwrap_or(0);
    let (mut spilled, mut unsure) = (Spilled::new()?, 0);
    each_batch(&wal, from, |index, batch| {
        if batch.based_on != standing.state.revision() {
            return Ok(());
        }
        unsure += if index > committed { batch.record_count() } else { 0 };
        for decision in &batch.decisions {
            standing.take_decision(decision)?;
            decision.events.iter().try_for_each(|event| spilled.keep(event))?;
        }
        Ok(())
    })?;
    let position = last_position(&wal, snapshot.as_deref())?;
    let value_count = values_in(&standing.state).count() as u64;
    let folded = Folded { standing, spilled, full, brought: None, value_count };
    Ok(Survivor { local, wal, folded, position, unsure, committed })
}

/// The newest snapshot that is whole and from which the log goes on.
fn start(
    config: &Config,
    ambient: &Ambient,
    local: &Local,
    wal: &Wal,
) -> io::Result<Option<(Standing, SnapshotReader, PathBuf)>> {
    let mut damaged = None;
    for path in snapshots::complete_in(&*ambient.disk, &config.node.data.join("snapshots"))? {
        match read(&*ambient.disk, &path, local) {
            Ok((standing, reader)) => {
                let position = read_position(&reader.header().position)?;
                if wal.purged().is_some_and(|(purged, _)| purged > position.index) {
                    break;
                }
                return Ok(Some((standing, reader, path)));
            }
            Err(error) => {
                tracing::warn!(%error, "a snapshot is passed over");
                damaged = Some(error);
            }
        }
    }
    match (damaged, wal.purged()) {
        (Some(error), Some(_)) => {
            Err(io::Error::other(format!("the log does not go on from any snapshot that is whole: {error}")))
        }
        (None, Some((index, _))) => {
            Err(io::Error::other(format!("the log goes on from entry {index}, and no snapshot reaches it")))
        }
        (_, None) => Ok(None),
    }
}

fn read(disk: &dyn Disk, path: &Path, local: &Local) -> io::Result<(Standing, SnapshotReader)> {
    let version = read_header(disk, path).map_err(io::Error::other)?.key_version;
    let key = local.sealing.snapshot_key(version);
    let key = key.ok_or_else(|| io::Error::other(format!("version {version} of the root key is not held")))?;
    let reader = SnapshotReader::open(disk, path, &key).map_err(io::Error::other)?;
    let standing = Standing::read(&reader, path, |_, _, _| Ok(()))?;
    Ok((standing, reader))
}

fn each_batch(wal: &Wal, from: u64, mut take: impl FnMut(u64, Batch) -> io::Result<()>) -> io::Result<()> {
    let log = LogPayloads::new(wal.clone());
    let mut index = from;
    loop {
        let entries = log.after(index, READ_BYTES).map_err(io::Error::other)?;
        let Some((last, _)) = entries.last() else { return Ok(()) };
        let next = *last;
        for (at, payload) in entries {
            if let Some(payload) = payload {
                take(at, codec::decode(Kind::Batch, &payload)?)?;
            }
        }
        index = next;
    }
}

/// The journal holds what was applied; what the log has behind it counts from now on, too.
fn catch_journal_up(config: &Config, ambient: &Ambient, local: &Local, wal: &Wal, folded: &Folded) -> io::Result<()> {
    let journal = open_journal(config, ambient, local).map_err(io::Error::other)?;
    let head = journal.head();
    if head.next_seq > 0 {
        append_missing(&journal, wal, head.next_seq, head.chain, &folded.standing.state)?;
    }
    journal.sync_blocking().map_err(io::Error::other)?;
    let reached = journal.head();
    journal.close();
    if head.next_seq > 0 && (reached.next_seq, reached.chain) != (folded.standing.state.revision().0 + 1, folded.standing.chain) {
        return Err(io::Error::other("the log does not lead from the end of the journal to its own end"));
    }
    Ok(())
}

fn append_missing(journal: &Journal, wal: &Wal, next_seq: u64, chain: [u8; 32], state: &State) -> io::Result<()> {
    let (mut seq, mut chain) = (next_seq - 1, chain);
    let first = wal.first_index().unwrap_or(1).saturating_sub(1);
    each_batch(wal, first, |_, batch| {
        if batch.based_on.0 != seq {
            return Ok(());
        }
        let (first_seq, chain_before) = (seq + 1, chain);
        let mut leaves = Vec::new();
        for decision in &batch.decisions {
            chain = chain_decision(decision, seq, chain, state);
            for at in 0..decision.events.len() {
                seq += 1;
                leaves.push(Bytes::from(decision.leaf(at, Revision(seq), state.cluster(), state.epoch())));
            }
        }
        let block = Block { first_seq, leaves, chain_before, chain_after: chain };
        journal.append(block).map_err(io::Error::other)
    })
}

/// What a state holds that had come apart would count for everybody from now on.
fn check_believed(held: &Holding, data: &Path) -> Result<(), String> {
    let Some(why) = &held.came_apart else { return Ok(()) };
    Err(format!(
        "{why}: go on with another survivor; where there is none, and this state is better than nothing, remove came-apart.json from {} and \
         recover again, without a start in between",
        data.display()
    ))
}

/// A member that runs may be one of a majority: then there would be two clusters, and what one of them acknowledges would be lost.
async fn check_nobody_runs(config: &Config, ambient: &Ambient, survivor: &Survivor) -> Result<(), BootError> {
    let doing = "ask the other members whether they run";
    let members = read_position(&survivor.position).map_err(failed(doing))?.members;
    let certificates = Certificates::load(&config.tls, config.node.id)?;
    let channels = PeerChannels::new(certificates.peer(), ambient.peers.dial());
    let running = RepairPeers::remembered(channels, members).running().await;
    if running.is_empty() {
        return Ok(());
    }
    Err(failed(doing)(format!(
        "nodes {running:?} run: if they are a majority with this one, start it, and nothing is lost; if they are not, stop them, have \
         holdfastd inspect say what each holds, and go on with the furthest"
    )))
}

/// What is on another survivor and not here would be lost without need.
fn check_furthest(held: &Holding, survivors: &[Holding]) -> Result<(), String> {
    let reach = |one: &Holding| (one.epoch, one.last_term, one.last_index);
    if let Some(further) = survivors.iter().filter(|other| reach(other) > reach(held)).max_by_key(|other| reach(other)) {
        let (epoch, term, index) = reach(further);
        return Err(format!(
            "node {} is further (epoch {epoch}, term {term}, entry {index}) than this node (epoch {}, term {}, entry {}): recover there",
            further.node, held.epoch, held.last_term, held.last_index
        ));
    }
    let left: BTreeSet<u64> = survivors.iter().chain([held]).map(|one| one.node).filter(|id| held.voters.contains(id)).collect();
    if !survivors.is_empty() && left.len() * 2 > held.voters.len() {
        return Err(format!("nodes {left:?} are a majority of the voters {:?}: start them, nothing is lost", held.voters));
    }
    Ok(())
}

fn holding(config: &Config, ambient: &Ambient, survivor: &Survivor) -> io::Result<Holding> {
    let position = read_position(&survivor.position)?;
    let state = &survivor.folded.standing.state;
    Ok(Holding {
        node: survivor.local.owner.node,
        epoch: state.epoch(),
        last_term: position.term,
        last_index: position.index,
        committed_index: survivor.committed,
        revision: state.revision().0,
        stamp_us: state.stamp().0,
        members: position.members.keys().copied().collect(),
        voters: position.voters.into_iter().collect(),
        came_apart: CameApart::read(&*ambient.disk, &config.node.data)?.map(|mark| mark.why),
    })
}

fn members(config: &Config, others: &[NodePlan], held: &Holding) -> Result<BTreeMap<u64, Member>, String> {
    let mut members = BTreeMap::from([(config.node.id, config.member())]);
    for other in others {
        if held.members.contains(&other.id) {
            return Err(format!(
                "node {} was a member: another survivor is set aside and joins anew, under a new number, or its log could speak against \
                 this one",
                other.id
            ));
        }
        let member = Member { peer_address: other.peer.clone(), client_address: other.client.clone(), zone: other.zone.clone() };
        members.insert(other.id, member);
    }
    Ok(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(node: u64, last_term: u64, last_index: u64) -> Holding {
        let members = vec![1, 2, 3, 4, 5];
        let voters = members.clone();
        Holding {
            node,
            epoch: 1,
            last_term,
            last_index,
            committed_index: 0,
            revision: 0,
            stamp_us: 0,
            members,
            voters,
            came_apart: None,
        }
    }

    #[test]
    fn learners_are_no_majority() {
        let of = |node| Holding { members: (1..=6).collect(), voters: vec![1, 2, 3], ..held(node, 2, 10) };
        assert_eq!(check_furthest(&of(1), &[of(4), of(5), of(6)]), Ok(()));
        let refused = check_furthest(&of(1), &[of(2)]).unwrap_err();
        assert_eq!(refused, "nodes {1, 2} are a majority of the voters [1, 2, 3]: start them, nothing is lost");
    }

    #[test]
    fn only_the_furthest_survivor_goes_on_and_only_where_no_majority_is_left() {
        assert_eq!(check_furthest(&held(4, 2, 10), &[held(5, 2, 10)]), Ok(()));
        assert_eq!(check_furthest(&held(4, 3, 1), &[held(5, 2, 900)]), Ok(()), "a later term counts more than a longer log");
        let refused = check_furthest(&held(4, 2, 10), &[held(5, 2, 11)]).unwrap_err();
        assert!(refused.starts_with("node 5 is further (epoch 1, term 2, entry 11) than this node"), "{refused}");
        let refused = check_furthest(&held(3, 2, 11), &[held(4, 2, 10), held(5, 2, 10)]).unwrap_err();
        assert_eq!(refused, "nodes {3, 4, 5} are a majority of the voters [1, 2, 3, 4, 5]: start them, nothing is lost");
    }
}

//! Getting records back: those before the first that this node's journal holds, from what was set aside here or from other members, and
//! those of damaged segments.

use super::Repairs;
use super::peers::RepairPeers;
use crate::api::Door;
use node_domain::recovery::Timeline;
use node_domain::repair::RepairPart;
use proto::peer::v1::SpanResponse;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use storage::journal::{Block, Journal, JournalError, JournalSpan};

/// Records fetched at once, and put back as one segment where there is room for many.
const RECORDS: u64 = 16_384;
/// How long to wait between two segments: others read and write as well.
const PAUSE: Duration = Duration::from_millis(20);
/// How often it is looked whether something is missing.
const LOOK: Duration = Duration::from_secs(5);
/// Looks without success before the journal is said to have failed.
const TRIES: u32 = 6;

/// The records of one node, to be made whole.
pub(crate) struct RecordRepair {
    pub(crate) journal: Journal,
    pub(crate) peers: RepairPeers,
    pub(crate) repairs: Arc<Repairs>,
    /// What knows where timelines began.
    pub(crate) door: Arc<Door>,
    /// What is being repaired is a segment among others, not what is missing in front of the first.
    damaged: AtomicBool,
}

impl RecordRepair {
    pub(crate) fn new(door: Arc<Door>) -> RecordRepair {
        let (journal, peers, repairs) = (door.journal.clone(), door.mending.peers.clone(), door.mending.repairs.clone());
        RecordRepair { journal, peers, repairs, door, damaged: AtomicBool::new(false) }
    }

    /// A segment does not read: the journal is not whole before [`is_mended`](RecordRepair::is_mended).
    pub(crate) fn is_damaged(&self) {
        if !self.repairs.is_under_way(RepairPart::Journal) {
            self.damaged.store(true, Ordering::Relaxed);
        }
    }

    /// All that the journal holds has been read.
    pub(crate) fn is_mended(&self) {
        if self.damaged.swap(false, Ordering::Relaxed) {
            self.repairs.done(RepairPart::Journal);
        }
    }

    /// Whether records in front of the first are known to be lost here.
    fn lacks_records(&self) -> bool {
        self.repairs.is_under_way(RepairPart::Journal) && !self.damaged.load(Ordering::Relaxed)
    }

    /// Puts back what the journal lacks in front, whenever it lacks something. Never ends.
    pub(crate) async fn run(self: Arc<Self>) {
        let mut in_vain = 0;
        loop {
            match self.fill().await {
                Ok(true) => {
                    in_vain = 0;
                    if self.lacks_records() {
                        self.repairs.done(RepairPart::Journal);
                    }
                    self.clear_aside().await;
                }
                Ok(false) => {}
                Err(why) => {
                    in_vain += 1;
                    tracing::debug!(why, "records are missing and could not be fetched yet");
                    if in_vain >= TRIES {
                        let first = self.journal.first_seq();
                        self.repairs.began(RepairPart::Journal, format!("records before {first} are missing"));
                        self.repairs.failed(RepairPart::Journal, why);
                    }
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Puts records back until the journal starts at the first there is. `false` where it has never held anything.
    async fn fill(&self) -> Result<bool, String> {
        let started = self.journal.first_seq();
        if started == 0 || self.journal.spans().is_empty() {
            return Ok(false);
        }
        let (mut kept, mut fetched) = (0, 0);
        loop {
            let first = self.journal.first_seq();
            if first == 1 {
                break;
            }
            // Each time takes the number of a segment: where few are left, more records go into each.
            let most = (first - 1).div_ceil(self.journal.room_before().max(1)).max(RECORDS);
            // What this node had itself comes first: it is nearer, and others may have left with theirs.
            let put_back = self.put_back(most).await;
            let more = if put_back > 0 { 0 } else { self.fetch_before(first, first.saturating_sub(most).max(1)).await? };
            // The whole cluster starts here, or one of its timelines.
            if put_back + more == 0 {
                break;
            }
            if kept + fetched == 0 {
                tracing::info!(first = started, "putting back the records before the first of this node's journal");
            }
            (kept, fetched) = (kept + put_back, fetched + more);
            tokio::time::sleep(PAUSE).await;
        }
        if kept + fetched > 0 {
            tracing::info!(kept, fetched, "the journal is whole");
        }
        Ok(true)
    }

    /// Puts some records that were set aside here back in front; how many.
    async fn put_back(&self, most: u64) -> u64 {
        let journal = self.journal.clone();
        blocking(move || journal.put_back(most)).await.unwrap_or_else(|why| {
            tracing::warn!(why, "records that were set aside could not be put back");
            0
        })
    }

    /// Removes what was set aside and the journal holds again.
    async fn clear_aside(&self) {
        let journal = self.journal.clone();
        if let Err(why) = blocking(move || journal.clear_aside()).await {
            tracing::warn!(why, "segments that nobody needs any more were not removed");
        }
    }

    /// Puts up to the records `from..first` in front, from the first member whose records prove themselves; how many. 0 where there have
    /// never been any.
    async fn fetch_before(&self, first: u64, from: u64) -> Result<u64, String> {
        let mut answers = Vec::new();
        let spans = self.peers.spans().await;
        let begins_here = is_beginning(first, self.door.view().state.recovery().timelines());
        for (id, member, span) in spans {
            if span.first_seq >= first || span.first_seq == 0 || span.next_seq < first {
                answers.push(format!("node {id} keeps none of them"));
                continue;
            }
            let from = from.max(span.first_seq);
            let put = match self.block(id, &member, from, first).await {
                Ok(block) => self.put_before(block).await,
                Err(why) => Err(why),
            };
            match put {
                Ok(()) => return Ok(first - from),
                Err(why) => answers.push(format!("node {id}: {why}")),
            }
        }
        // That nobody has them is no sign that there were none: members may have left with them.
        if begins_here {
            return Ok(0);
        }
        Err(format!("no member has the records before {first}: {}", answers.join("; ")))
    }

    async fn put_before(&self, block: Block) -> Result<(), String> {
        let journal = self.journal.clone();
        blocking(move || journal.put_before(&block)).await
    }

    /// Replaces a damaged segment by the same records of another member.
    pub(crate) async fn replace(&self, damaged: &JournalSpan) -> Result<(), String> {
        let ends = || self.journal.spans().into_iter().find(|span| span.segment == damaged.segment)?.next_seq;
        let to = match ends() {
            Some(next) => next,
            None => {
                let journal = self.journal.clone();
                blocking(move || journal.turn()).await?;
                ends().ok_or("the segment could not be closed")?
            }
        };
        let mut answers = Vec::new();
        for (id, member, span) in self.peers.spans().await {
            if span.first_seq > damaged.first_seq || span.next_seq < to {
                answers.push(format!("node {id} does not keep them"));
                continue;
            }
            let replaced = match self.block(id, &member, damaged.first_seq, to).await {
                Ok(block) => {
                    let (journal, segment) = (self.journal.clone(), damaged.segment);
                    blocking(move || journal.replace(segment, block.leaves)).await
                }
                Err(why) => Err(why),
            };
            match replaced {
                Ok(()) => return Ok(()),
                Err(why) => answers.push(format!("node {id}: {why}")),
            }
        }
        Err(format!("no member gives records {} to {to}: {}", damaged.first_seq, answers.join("; ")))
    }

    /// The records of what becomes one segment, which is held in memory while it is written.
    async fn block(&self, id: u64, member: &raft::Member, from: u64, to: u64) -> Result<Block, String> {
        let mut block = self.peers.records(id, member, from, (from + RECORDS).min(to)).await?;
        while block.next_seq() < to {
            let piece = self.peers.records(id, member, block.next_seq(), (block.next_seq() + RECORDS).min(to)).await?;
            block.leaves.extend(piece.leaves);
            block.chain_after = piece.chain_after;
        }
        Ok(block)
    }
}

/// Whether a journal that starts with record `first` may lack nothing: the cluster begins there, or a timeline that a restore began. Nobody
/// has what was before then; whether somebody does is asked all the same, but nobody has lost it. A recovery goes on with the journal.
pub(crate) fn is_beginning(first: u64, timelines: &[Timeline]) -> bool {
    first == 1 || timelines.iter().any(|timeline| timeline.anew && timeline.after.0 + 1 == first)
}

/// Whether a node may leave, with the records that it keeps: others keep them, too. `spans` is of each member that answers. What is newer
/// than the newest of the others comes to them by the log.
///
/// # Errors
/// In words, when it alone keeps some, or may.
pub(crate) fn check_kept(spans: &[(u64, SpanResponse)], leaving: u64, is_beginning: impl Fn(u64) -> bool) -> Result<(), String> {
    // Of who leaves, what is set aside counts, too; of the others only what they hold for sure.
    let own = spans.iter().find(|(id, _)| *id == leaving).map(|(_, span)| {
        let first = if span.aside_seq > 0 { span.aside_seq.min(span.first_seq) } else { span.first_seq };
        (first, span.next_seq)
    });
    let others = spans.iter().filter(|(id, span)| *id != leaving && span.first_seq > 0);
    let mut others: Vec<_> = others.map(|(_, span)| (span.first_seq, span.next_seq)).collect();
    others.sort_unstable();
    let (begins, end) = match (own, others.first()) {
        (Some((0, _)), _) | (None, None) => return Ok(()),
        (Some(own), _) => own,
        // What it keeps is not known: the others must have it all.
        (None, Some((first, _))) if is_beginning(*first) => (*first, others.iter().map(|(_, next)| *next).max().unwrap_or(0)),
        (None, Some((first, _))) => {
            return Err(format!(
                "node {leaving} does not answer, and no other member keeps the records before {first}: bring it back until one has \
                 fetched them (holdfast cluster remove --even-so goes on without them)"
            ));
        }
    };
    if others.is_empty() {
        others.push((end, end));
    }
    let mut covered = begins;
    for (first, next) in others {
        let gap = covered..first.min(end);
        if !gap.is_empty() {
            return Err(format!(
                "node {leaving} alone keeps records {} to {}: wait until another member has fetched them (holdfast cluster remove \
                 --even-so goes on without them)",
                gap.start,
                gap.end - 1
            ));
        }
        covered = covered.max(next);
    }
    Ok(())
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, JournalError> + Send + 'static) -> Result<T, String> {
    let done = raft::offload(work).await.map_err(|error| error.to_string())?;
    done.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use node_domain::ids::{Revision, Stamp};

    #[test]
    fn nobody_leaves_with_records_that_nobody_else_keeps() {
        let check = |spans: &[(u64, u64, u64, u64)], leaving| {
            let span = |(id, first_seq, next_seq, aside_seq): &(u64, u64, u64, u64)| {
                (*id, SpanResponse { first_seq: *first_seq, next_seq: *next_seq, aside_seq: *aside_seq })
            };
            check_kept(&spans.iter().map(span).collect::<Vec<_>>(), leaving, |first| first == 1 || first == 40)
        };
        let check_kept = |spans: &[(u64, u64, u64)], leaving| {
            check(&spans.iter().map(|(id, first, next)| (*id, *first, *next, 0)).collect::<Vec<_>>(), leaving)
        };
        assert_eq!(check_kept(&[(1, 1, 90), (2, 1, 90), (3, 7, 90)], 1), Ok(()));
        assert_eq!(check_kept(&[(1, 1, 90), (2, 5, 90), (3, 7, 90)], 3), Ok(()));
        assert_eq!(check_kept(&[(1, 0, 0), (2, 5, 90)], 1), Ok(()), "a node without records");
        assert_eq!(check_kept(&[(1, 1, 92), (2, 1, 90)], 1), Ok(()), "the newest come by the log");
        assert_eq!(check_kept(&[(1, 8, 90), (2, 1, 90)], 1), Ok(()), "the others have everything");
        assert_eq!(check_kept(&[(1, 8, 90), (2, 8, 90)], 1), Ok(()), "what is lost is not lost once more");
        assert_eq!(check_kept(&[(1, 8, 90), (2, 1, 5), (3, 8, 90)], 1), Ok(()), "it does not keep what is missing");
        assert_eq!(check_kept(&[(2, 1, 90), (3, 7, 90)], 1), Ok(()), "it does not answer, and is not needed");
        assert_eq!(check_kept(&[(2, 40, 90), (3, 70, 90)], 1), Ok(()), "there has never been more");

        let refused = |spans: &[(u64, u64, u64)], why: &str| {
            let said = check_kept(spans, 1).unwrap_err();
            assert!(said.starts_with(why), "{said}");
        };
        refused(&[(1, 1, 90), (2, 5, 90), (3, 7, 90), (4, 0, 0)], "node 1 alone keeps records 1 to 4: wait");
        refused(&[(1, 1, 90), (2, 0, 0)], "node 1 alone keeps records 1 to 89: wait");
        refused(&[(1, 20, 90), (2, 40, 90)], "node 1 alone keeps records 20 to 39: wait");
        refused(&[(2, 1, 51), (3, 60, 90)], "node 1 alone keeps records 51 to 59: wait");
        refused(&[(1, 1, 90), (2, 1, 51), (3, 60, 90)], "node 1 alone keeps records 51 to 59: wait");
        refused(&[(2, 5, 90), (3, 7, 90)], "node 1 does not answer, and no other member keeps the records before 5: bring");

        // A leader's snapshot has just been taken over: what was there before is set aside.
        let said = check(&[(1, 60, 90, 1), (2, 60, 90, 0), (3, 70, 90, 0)], 1).unwrap_err();
        assert!(said.starts_with("node 1 alone keeps records 1 to 59: wait"), "{said}");
        assert_eq!(check(&[(1, 60, 90, 1), (2, 1, 90, 0), (3, 70, 90, 1)], 1), Ok(()));
        assert!(check(&[(1, 1, 90, 0), (2, 60, 90, 1)], 1).is_err(), "it is not sure that they lead there");
    }

    #[test]
    fn a_journal_that_starts_where_a_restore_did_lacks_nothing() {
        let timeline = |epoch, after, anew| Timeline { epoch, after: Revision(after), since: Stamp(0), anew };
        let timelines = [timeline(2, 40, true), timeline(3, 70, false), timeline(4, 100, true)];
        let beginnings: Vec<u64> = (1..200).filter(|first| is_beginning(*first, &timelines)).collect();
        assert_eq!(beginnings, [1, 41, 101]);
    }
}

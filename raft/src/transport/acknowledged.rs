//! What other nodes have said is durable on them, so that a disk that was put back to an earlier day is found out.
//!
//! raft never asks again for what was acknowledged: a leader that hears of it has no answer but to stop, and a leader that went on
//! would count an entry as held by a quorum that holds it no more. So the sender remembers, for as long as its process lives, and tells
//! with every append; a receiver whose log ends before that refuses the append and stops ([`LostLog`]). A receiver that answers all the
//! same is not believed.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, OnceLock},
};

use openraft::raft::{AppendEntriesRequest, StreamAppendError, StreamAppendResult};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::types::{TypeConfig, Vote};

/// A log that ends before what its node had acknowledged as durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostLog {
    /// Whose log.
    pub node: u64,
    /// The last index that it had acknowledged.
    pub acknowledged: u64,
    /// The index that its next entry would have.
    pub next_index: u64,
}

impl fmt::Display for LostLog {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LostLog { node, acknowledged, next_index } = self;
        match next_index {
            0 => write!(formatter, "the log of node {node} is empty")?,
            _ => write!(formatter, "the log of node {node} ends before entry {next_index}")?,
        }
        write!(
            formatter,
            ", and it had acknowledged entry {acknowledged} as durable: its disk is an older one, or has lost what was written; put the \
             right disk back, or remove the node and bring it back under a new number: a number is never used again"
        )
    }
}

/// What the other nodes have acknowledged to this one. Clones share it.
#[derive(Clone, Default)]
pub struct Acknowledged {
    peers: Arc<Mutex<BTreeMap<u64, Known>>>,
    lost: Arc<watch::Sender<BTreeMap<u64, LostLog>>>,
}

/// Of one node. An entry that it acknowledged may go again when another leader overwrites it; one that is committed as well may not.
#[derive(Clone, Copy)]
struct Known {
    /// Under whose lead.
    vote: Vote,
    /// The index after the last one that it acknowledged to this lead, or that is in `committed`.
    next: u64,
    /// The same of what was committed besides.
    committed: u64,
}

/// One stream of appends to one node.
#[derive(Clone)]
pub(crate) struct Conversation {
    all: Acknowledged,
    node: u64,
    /// A stream belongs to one lead.
    vote: Arc<OnceLock<Vote>>,
}

impl Acknowledged {
    /// The nodes that lost what they had acknowledged, as they are found.
    #[must_use]
    pub fn watch_lost(&self) -> watch::Receiver<BTreeMap<u64, LostLog>> {
        self.lost.subscribe()
    }

    /// A conversation with one node.
    pub(crate) fn converse(&self, node: u64) -> Conversation {
        Conversation { all: self.clone(), node, vote: Arc::default() }
    }

    /// Makes it known that a node has lost what it had acknowledged.
    fn found(&self, lost: &LostLog) {
        let is_news = self.lost.send_if_modified(|known| known.insert(lost.node, lost.clone()).as_ref() != Some(lost));
        if is_news {
            tracing::error!(peer = lost.node, acknowledged = lost.acknowledged, "{lost}");
        }
    }
}

impl Conversation {
    /// Another one with the same node, perhaps under another lead.
    pub(crate) fn begin(&self) -> Conversation {
        self.all.converse(self.node)
    }

    /// Takes note of a request that is about to be sent; the index after the last one that the node has acknowledged, 0 for none.
    pub(crate) fn asks(&self, request: &AppendEntriesRequest<TypeConfig>) -> u64 {
        let vote = *self.vote.get_or_init(|| request.vote);
        let committed = request.leader_commit.map_or(0, |log_id| log_id.index + 1);
        let mut peers = self.all.peers.lock();
        let known = peers.entry(self.node).or_insert(Known { vote, next: 0, committed: 0 });
        if known.vote != vote {
            *known = Known { vote, next: known.committed, committed: known.committed };
        }
        known.committed = known.committed.max(known.next.min(committed));
        known.next
    }

    /// Takes note of an answer.
    ///
    /// # Errors
    /// When it says that the log ends before what was acknowledged: raft must not hear of it.
    pub(crate) fn answered(&self, answer: &StreamAppendResult<TypeConfig>) -> Result<(), LostLog> {
        let mut peers = self.all.peers.lock();
        let known = peers.get_mut(&self.node).filter(|known| Some(&known.vote) == self.vote.get());
        // An answer to an earlier lead says nothing.
        let Some(known) = known else { return Ok(()) };
        match answer {
            Ok(Some(log_id)) => known.next = known.next.max(log_id.index + 1),
            Err(StreamAppendError::Conflict(log_id)) if log_id.index < known.next => {
                let lost = LostLog { node: self.node, acknowledged: known.next - 1, next_index: log_id.index };
                drop(peers);
                self.all.found(&lost);
                return Err(lost);
            }
            _ => {}
        }
        Ok(())
    }

    /// The node itself says that it has lost what it had acknowledged.
    pub(crate) fn admitted(&self, next_index: u64) {
        let acknowledged = self.all.peers.lock().get(&self.node).map_or(0, |known| known.next.saturating_sub(1));
        self.all.found(&LostLog { node: self.node, acknowledged, next_index });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::LogId;

    fn vote(term: u64) -> Vote {
        Vote::new_committed(term, 1)
    }

    fn log_id(term: u64, index: u64) -> LogId {
        LogId::new(vote(term).leader_id, index)
    }

    fn request(term: u64, committed: Option<u64>) -> AppendEntriesRequest<TypeConfig> {
        let leader_commit = committed.map(|index| log_id(term, index));
        AppendEntriesRequest { vote: vote(term), prev_log_id: None, entries: Vec::new(), leader_commit }
    }

    fn conflict(index: u64) -> StreamAppendResult<TypeConfig> {
        Err(StreamAppendError::Conflict(log_id(1, index)))
    }

    #[test]
    fn a_log_that_ends_before_what_was_acknowledged_is_found_and_raft_does_not_hear_of_it() {
        let all = Acknowledged::default();
        let stream = all.converse(2);
        assert_eq!(stream.asks(&request(1, None)), 0);
        stream.answered(&conflict(7)).expect("a search for where the logs part is nothing unusual");
        stream.answered(&Ok(Some(log_id(1, 9)))).unwrap();
        assert_eq!(all.converse(2).asks(&request(1, None)), 10, "the next stream tells it");
        assert_eq!(all.converse(3).asks(&request(1, None)), 0, "of another node nothing is known");
        stream.answered(&conflict(10)).unwrap();
        let lost = stream.answered(&conflict(9)).unwrap_err();
        assert_eq!(lost, LostLog { node: 2, acknowledged: 9, next_index: 9 });
        assert_eq!(all.watch_lost().borrow().get(&2), Some(&lost));
    }

    #[test]
    fn what_another_leader_may_overwrite_is_not_held_against_a_node() {
        let all = Acknowledged::default();
        let (first, late) = (all.converse(2), all.converse(2));
        first.asks(&request(1, None));
        late.asks(&request(1, None));
        first.answered(&Ok(Some(log_id(1, 9)))).unwrap();
        first.asks(&request(1, Some(4)));
        let second = all.converse(2);
        assert_eq!(second.asks(&request(3, Some(4))), 5, "what was committed stays");
        second.answered(&conflict(7)).expect("5 to 9 may have been overwritten");
        late.answered(&Ok(Some(log_id(1, 9)))).unwrap();
        assert_eq!(second.asks(&request(3, Some(4))), 5, "an answer to an earlier lead says nothing");
        second.answered(&conflict(4)).unwrap_err();
    }
}

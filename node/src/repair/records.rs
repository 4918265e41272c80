//! Getting records back: those before the first that this node's journal holds, and those of damaged segments.

use super::Repairs;
use super::peers::RepairPeers;
use node_domain::repair::RepairPart;
use std::sync::Arc;
use std::time::Duration;
use storage::journal::{Block, Journal, JournalError};

/// Records fetched at once, and put back as one segment.
const RECORDS: u64 = 16_384;
/// How long to wait between two fetches: others read and write as well.
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
}

impl RecordRepair {
    /// Fetches what the journal lacks in front, whenever it lacks something. Never ends.
    pub(crate) async fn run(self) {
        let mut in_vain = 0;
        loop {
            match self.fill().await {
                Ok(true) => {
                    in_vain = 0;
                    self.repairs.done(RepairPart::Journal);
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

    /// Fetches records until the journal starts at the first there is. `false` where it has never held anything.
    async fn fill(&self) -> Result<bool, String> {
        let started = self.journal.first_seq();
        if started == 0 || self.journal.spans().is_empty() {
            return Ok(false);
        }
        if started == 1 {
            return Ok(true);
        }
        tracing::info!(first = started, "fetching the records before the first of this node's journal");
        let mut fetched = 0;
        loop {
            let first = self.journal.first_seq();
            if first == 1 {
                break;
            }
            let from = first.saturating_sub(RECORDS).max(1);
            match self.fetch_before(first, from).await? {
                // The whole cluster starts here.
                0 => break,
                more => fetched += more,
            }
            tokio::time::sleep(PAUSE).await;
        }
        if fetched > 0 {
            tracing::info!(fetched, "the journal is whole");
            if let Err(error) = self.journal.clear_superseded() {
                tracing::warn!(%error, "segments that nobody needs any more were not removed");
            }
        }
        Ok(true)
    }

    /// Puts up to the records `from..first` in front, from the first member whose records prove themselves; how many. 0 where no member
    /// has ever had any.
    async fn fetch_before(&self, first: u64, from: u64) -> Result<u64, String> {
        let mut answers = Vec::new();
        let spans = self.peers.spans().await;
        let known_lost = self.repairs.is_under_way(RepairPart::Journal);
        if spans.len() == self.peers.others().len() && spans.iter().all(|(_, _, span)| span.first_seq >= first) && !known_lost {
            return Ok(0);
        }
        for (id, member, span) in spans {
            if span.first_seq >= first || span.first_seq == 0 || span.next_seq < first {
                answers.push(format!("node {id} keeps none of them"));
                continue;
            }
            let from = from.max(span.first_seq);
            let put = match self.peers.records(id, &member, from, first).await {
                Ok(block) => self.put_before(block).await,
                Err(why) => Err(why),
            };
            match put {
                Ok(()) => return Ok(first - from),
                Err(why) => answers.push(format!("node {id}: {why}")),
            }
        }
        Err(format!("no member has the records before {first}: {}", answers.join("; ")))
    }

    async fn put_before(&self, block: Block) -> Result<(), String> {
        let journal = self.journal.clone();
        blocking(move || journal.put_before(&block)).await
    }
}

async fn blocking(work: impl FnOnce() -> Result<(), JournalError> + Send + 'static) -> Result<(), String> {
    let done = raft::offload(work).await.map_err(|error| error.to_string())?;
    done.map_err(|error| error.to_string())
}

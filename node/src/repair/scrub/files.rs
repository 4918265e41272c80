//! Journal, log and snapshots, read from first byte to last.

use super::{Ended, Holdings, Scrub, is_loss};
use crate::engine::snapshots::is_damage;
use node_domain::repair::RepairPart;
use std::path::PathBuf;
use std::time::Duration;
use storage::journal::{JournalError, JournalSpan};
use storage::segment::SegmentError;
use storage::wal::WalError;
use tokio::time::Instant;

/// How long a new snapshot may take before a damaged one is left to the next pass.
const RENEWAL: Duration = Duration::from_secs(120);

impl Scrub {
    /// Every frame, leaf and link of the journal; whether it is whole now.
    pub(super) fn check_journal(&self) -> Result<bool, Ended> {
        let Holdings { records, door, .. } = &self.holdings;
        let mut is_whole = true;
        for span in records.journal.spans() {
            let verified = match self.read(|disk| records.journal.check_by(span.segment, disk)) {
                Ok(checked) => Some(checked.next_seq),
                Err(error) => {
                    self.unless_stopping()?;
                    self.mend_segment(&span, &error)?
                }
            };
            is_whole &= verified.is_some();
            if let Some(next) = verified.filter(|_| is_whole) {
                door.mending.repairs.scrubbed(|progress| progress.journal_seq = progress.journal_seq.max(next.saturating_sub(1)));
                metrics::gauge!("holdfast_journal_verified_seq").set(next.saturating_sub(1) as f64);
            }
        }
        if is_whole {
            records.is_mended();
        }
        Ok(is_whole)
    }

    /// Has a damaged segment replaced; the record after its last, if it reads now.
    fn mend_segment(&self, span: &JournalSpan, error: &JournalError) -> Result<Option<u64>, Ended> {
        let records = &self.holdings.records;
        let is_held = records.journal.spans().iter().any(|held| held.segment == span.segment);
        let is_lost = error.damaged().is_some()
            || matches!(error, JournalError::Segment(SegmentError::Io { source, .. }) if is_loss(source));
        if !is_held || !is_lost {
            tracing::warn!(%error, "a segment of the journal was not read");
            return Ok(None);
        }
        records.is_damaged();
        self.found(RepairPart::Journal, error.to_string());
        let mended = self.try_to(|| self.wait(records.replace(span)))?;
        if let Err(why) = mended {
            self.settled(RepairPart::Journal, Err(why));
            return Ok(None);
        }
        Ok(self.read(|disk| records.journal.check_by(span.segment, disk)).ok().map(|checked| checked.next_seq))
    }

    /// A damaged older segment of the log is not needed once a snapshot holds what stands in it: the vote and the newest entries are in
    /// memory, and in the newest segment.
    pub(super) fn check_log(&self) -> Result<bool, Ended> {
        let wal = &self.holdings.wal;
        let mut is_whole = true;
        for segment in wal.older_segments() {
            match self.read(|disk| wal.check(segment, disk)) {
                Ok(_) => {}
                Err(error) => {
                    self.unless_stopping()?;
                    is_whole &= self.mend_log(segment, &error)?;
                }
            }
        }
        Ok(is_whole)
    }

    fn mend_log(&self, segment: u64, error: &WalError) -> Result<bool, Ended> {
        let is_lost = match error {
            WalError::Corrupt { .. } => true,
            WalError::Io { source, .. } => is_loss(source),
            _ => false,
        };
        if !is_lost {
            tracing::warn!(%error, "a segment of the log was not read");
            return Ok(false);
        }
        self.found(RepairPart::Log, error.to_string());
        let mended = self.try_to(|| self.wait(self.leave_behind(segment)))?;
        Ok(self.settled(RepairPart::Log, mended))
    }

    /// Takes a snapshot and purges the log to it, so that the segment is needed no more.
    async fn leave_behind(&self, segment: u64) -> Result<(), String> {
        let Holdings { replica, wal, .. } = &self.holdings;
        let index = replica.trigger_snapshot().await.map_err(|error| error.to_string())?;
        replica.purge_through(index.ok_or("nothing has been applied yet")?).await?;
        if wal.older_segments().contains(&segment) {
            return Err("entries that are in no snapshot yet stand in the damaged segment".to_owned());
        }
        Ok(())
    }

    /// Every chunk of every snapshot. A damaged one makes way once a new one is there: until then it may be the best there is.
    pub(super) fn check_snapshots(&self) -> Result<bool, Ended> {
        let snapshots = &self.holdings.snapshots;
        let mut damaged = Vec::new();
        for path in snapshots.complete().unwrap_or_default() {
            match self.read(|disk| snapshots.verify_by(disk, &path)) {
                Ok(_) => {}
                Err(error) => {
                    self.unless_stopping()?;
                    // Pruned since it was listed.
                    if !snapshots.disk().exists(&path).unwrap_or(true) {
                        continue;
                    }
                    if !is_damage(&error) {
                        tracing::warn!(%error, "a snapshot was not read");
                        continue;
                    }
                    self.found(RepairPart::Snapshot, error.to_string());
                    damaged.push(path);
                }
            }
        }
        if damaged.is_empty() { Ok(true) } else { self.make_way(&damaged) }
    }

    /// Whoever renews snapshots takes the new one as soon as damage is known.
    fn make_way(&self, damaged: &[PathBuf]) -> Result<bool, Ended> {
        let (snapshots, repairs) = (&self.holdings.snapshots, &self.holdings.door.mending.repairs);
        let deadline = Instant::now() + RENEWAL;
        while repairs.is_under_way(RepairPart::Snapshot) {
            if Instant::now() > deadline {
                return Ok(false);
            }
            self.rest(Duration::from_millis(100))?;
        }
        for path in damaged {
            // It may have been written over by the new one.
            if snapshots.disk().exists(path).unwrap_or(true)
                && snapshots.verify(path).is_err()
                && let Err(error) = snapshots.set_aside(path)
            {
                tracing::warn!(%error, "a damaged snapshot was not set aside");
            }
        }
        Ok(true)
    }
}

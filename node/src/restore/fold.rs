//! Folds a full snapshot and increments up to a point.

use super::Progress;
use super::plan::{Chosen, Point};
use super::values::Spilled;
use crate::engine::standing::{Standing, values_in};
use crate::engine::values::ValueKey;
use node_domain::sealed::Payload;
use node_domain::{Batch, Decision};
use proto_record::codec::{self, Kind};
use std::io;
use std::path::{Path, PathBuf};
use storage::snapshot::read_header;
use storage::{Disk, SnapshotReader};
use storage_backup::Keys;

/// Records between two words about progress.
const PROGRESS_RECORDS: u64 = 4096;

/// The state that was wished for, and where its values are.
pub(crate) struct Folded {
    pub(crate) standing: Standing,
    /// Values of versions that came with increments, or were rewrapped in them.
    pub(super) spilled: Spilled,
    /// The full snapshot, for the values that came with it; none where the log goes back to the founding.
    pub(super) full: Option<(SnapshotReader, PathBuf)>,
    /// Keeps files that were brought here.
    pub(super) brought: Option<Box<Chosen>>,
    /// How many values the state has.
    pub(super) value_count: u64,
}

/// Reads all files and checks what they lead to: chain and digest at the end of each.
pub(super) fn fold(chosen: &Chosen, disk: &dyn Disk, keys: Keys<'_>, at: Point, progress: Progress<'_>) -> io::Result<Folded> {
    let (full_entry, full_path) = &chosen.files[0];
    let full = reader(disk, full_path, keys)?;
    let (mut records, total) = (0, full_entry.secrets);
    let mut standing = Standing::read(&full, full_path, |_, _, _| {
        records += 1;
        if records % PROGRESS_RECORDS == 0 {
            progress("reading", records, total.max(records));
        }
        Ok(())
    })?;
    let mut spilled = Spilled::new()?;
    for (_, path) in &chosen.files[1..] {
        let reader = reader(disk, path, keys)?;
        if replay(&mut standing, &reader, &mut spilled, at)? {
            break;
        }
        if standing.point() != reader.header().at {
            return Err(io::Error::other(format!("{} leads to another state than its header names", path.display())));
        }
    }
    standing.state.check_digest().map_err(|error| io::Error::other(error.to_string()))?;
    let value_count = values_in(&standing.state).count() as u64;
    let full = Some((full, full_path.clone()));
    Ok(Folded { standing, spilled, full, brought: None, value_count })
}

impl Folded {
    /// Every value that is wanted, once, as it stood at the point; `take` says whether it wants more.
    pub(crate) fn each_value(
        mut self,
        wanted: impl Fn(&ValueKey) -> bool,
        mut take: impl FnMut(ValueKey, Payload) -> bool,
    ) -> io::Result<()> {
        let (spilled, mut goes_on) = (&self.spilled, true);
        if let Some((full, _)) = &self.full {
            Standing::read_values(full, |_, key, payload| {
                if goes_on && wanted(&key) && !spilled.holds(key) {
                    goes_on = take(key, payload);
                }
                Ok(())
            })?;
        }
        self.spilled.each(|_, key, payload| {
            if goes_on && wanted(&key) {
                goes_on = take(key, payload);
            }
            Ok(())
        })
    }
}

fn reader(disk: &dyn Disk, path: &Path, keys: Keys<'_>) -> io::Result<SnapshotReader> {
    let version = read_header(disk, path).map_err(io::Error::other)?.key_version;
    let key = keys(version).ok_or_else(|| {
        io::Error::other(format!(
            "{} is sealed by version {version} of the root key, which the seal file does not hold: use a seal file of that time",
            path.display()
        ))
    })?;
    SnapshotReader::open(disk, path, &key).map_err(io::Error::other)
}

/// Folds an increment; `true` where the wished point was reached within it.
fn replay(standing: &mut Standing, reader: &SnapshotReader, spilled: &mut Spilled, at: Point) -> io::Result<bool> {
    let mut reached = false;
    // Every record is read, even behind the point: a file that is damaged there is not to be trusted before it.
    for record in reader.records() {
        let record = record.map_err(io::Error::other)?;
        if reached {
            continue;
        }
        let batch: Batch = codec::decode(Kind::Batch, &record)?;
        if batch.based_on != standing.state.revision() {
            return Err(io::Error::other(format!(
                "a batch of the increment rests on record {}, the state is at {}",
                batch.based_on.0,
                standing.state.revision().0
            )));
        }
        for decision in &batch.decisions {
            if is_beyond(standing, decision, at) {
                reached = true;
                break;
            }
            standing.take_decision(decision)?;
            decision.events.iter().try_for_each(|event| spilled.keep(event))?;
        }
    }
    Ok(reached)
}

/// Whether what a request led to ends after the point. A request comes back whole or not at all.
fn is_beyond(standing: &Standing, decision: &Decision, at: Point) -> bool {
    let events = decision.events.len() as u64;
    match at {
        Point::Newest => false,
        Point::Revision(revision) => standing.state.revision().0 + events > revision,
        Point::Time(stamp_us) => decision.stamp.0 + events.saturating_sub(1) > stamp_us,
    }
}

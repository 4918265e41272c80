//! Records beside the journal: what a reset or damage took out of it is kept under another name, and can be put back.
//!
//! A node that takes over a leader's snapshot begins its journal behind it. Until it has the records between, those that it had itself
//! may be the only ones of their kind: other members may have left with theirs.

use super::{
    Block, Journal, JournalError,
    block::ChainError,
    index::{Blocks, Start},
    shared::Shared,
};
use crate::disk::Disk;
use crate::segment::{
    SegmentError,
    frame::Header,
    recovery::{self, Segment},
    segment_id,
};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// Taken out by a reset.
const SUPERSEDED: &str = ".superseded";
/// Taken out with a segment that does not read.
const DAMAGED: &str = ".damaged";

/// Gives segments that a reset has discarded another name: kept, but no part of the journal any more.
pub(super) fn supersede(disk: &dyn Disk, dir: &Path, segments: &[PathBuf]) -> io::Result<()> {
    if segments.is_empty() { Ok(()) } else { put_aside(disk, dir, segments, SUPERSEDED) }
}

/// Takes a damaged segment and all older ones out of a journal that is not open, and keeps them beside the others. What is left can be
/// opened; what is missing is put back from there as far as it reads, and other nodes have the rest.
///
/// # Errors
/// As the operating system says.
pub fn set_aside(disk: &dyn Disk, dir: &Path, damaged: &Path) -> io::Result<()> {
    let last = damaged.file_name().and_then(|name| segment_id(&name.to_string_lossy()));
    let names = disk.list(dir)?.into_iter();
    let lost = names.filter(|name| segment_id(name).is_some_and(|id| last.is_none_or(|last| id <= last)));
    put_aside(disk, dir, &lost.map(|name| dir.join(name)).collect::<Vec<_>>(), DAMAGED)
}

fn put_aside(disk: &dyn Disk, dir: &Path, segments: &[PathBuf], ending: &str) -> io::Result<()> {
    for path in segments {
        disk.rename(path, &free_name(disk, path, ending)?)?;
    }
    disk.sync_dir(dir)
}

/// A segment of the same number may have been set aside before: its records are others.
fn free_name(disk: &dyn Disk, path: &Path, ending: &str) -> io::Result<PathBuf> {
    let named = |times: u64| {
        let mut aside = path.as_os_str().to_owned();
        aside.push(if times == 0 { ending.to_owned() } else { format!(".{times}{ending}") });
        PathBuf::from(aside)
    };
    let mut times = 0;
    while disk.exists(&named(times))? {
        times += 1;
    }
    Ok(named(times))
}

/// The number of the segment that was set aside under this name.
fn segment_aside(name: &str) -> Option<u64> {
    let name = name.strip_suffix(SUPERSEDED).or_else(|| name.strip_suffix(DAMAGED))?;
    let times = |(_, times): &(&str, &str)| !times.is_empty() && times.bytes().all(|byte| byte.is_ascii_digit());
    segment_id(name.rsplit_once('.').filter(times).map_or(name, |(name, _)| name))
}

/// A segment that was set aside, as far as it reads.
#[derive(Clone)]
pub(super) struct Aside {
    id: u64,
    first_frame: Header,
    start: Start,
    /// The record after the last that reads.
    next_seq: u64,
}

impl Journal {
    /// The oldest record that is set aside and comes before the first that is kept; 0 where there is none.
    ///
    /// # Errors
    /// As the operating system says.
    pub fn oldest_aside(&self) -> Result<u64, JournalError> {
        let aside = self.aside()?;
        let first = self.first_seq();
        let starts = aside.values().flatten().map(|aside| aside.start.next_seq);
        Ok(starts.filter(|start| *start < first).min().unwrap_or(0))
    }

    /// Removes what was set aside and is in the journal again.
    ///
    /// # Errors
    /// As the operating system says.
    pub fn clear_aside(&self) -> Result<(), JournalError> {
        let shared = self.0.shared();
        let aside = self.aside()?;
        // After the listing: a reset says so here before it sets anything aside, and takes no name that exists.
        let head = self.head();
        let is_back = |aside: &Option<Aside>| match aside {
            Some(aside) => head.first_seq <= aside.start.next_seq && aside.next_seq <= head.next_seq,
            None => head.first_seq == 1 && !head.is_empty(),
        };
        let back: Vec<&PathBuf> = aside.iter().filter(|(_, aside)| is_back(aside)).map(|(path, _)| path).collect();
        if back.is_empty() {
            return Ok(());
        }
        let mut known = shared.aside.lock();
        for path in back {
            known.remove(path);
            shared.disk.remove(path).map_err(SegmentError::io("removing", path))?;
        }
        Ok(shared.disk.sync_dir(&shared.dir).map_err(SegmentError::io("removing segments from", &shared.dir))?)
    }

    /// Puts up to `most` records that were set aside back in front of the first that is kept; how many. 0 where none of them lead to it.
    /// Durable on return. What does not read is passed over.
    ///
    /// # Errors
    /// When the disk refuses, or the journal is started anew meanwhile.
    pub fn put_back(&self, most: u64) -> Result<u64, JournalError> {
        let first = {
            let state = self.0.shared().state.lock();
            let first = state.index.segments.first().map(|segment| segment.start);
            // While a reset is under way, the two differ.
            first.filter(|first| first.next_seq == state.head.first_seq)
        };
        let Some(first) = first else { return Ok(0) };
        for (path, aside) in self.aside()? {
            let Some(aside) = aside.filter(|aside| (aside.start.next_seq + 1..=aside.next_seq).contains(&first.next_seq)) else {
                continue;
            };
            let Ok(block) = self.records_aside(&path, &aside, first.next_seq.saturating_sub(most), first.next_seq) else {
                continue;
            };
            if block.next_seq() == first.next_seq && block.chain_after == first.chain && !block.leaves.is_empty() {
                self.put_before(&block)?;
                return Ok(block.leaves.len() as u64);
            }
        }
        Ok(0)
    }

    /// What is set aside; nothing is known of a file whose first frame does not read. Each is read once while the journal is open.
    fn aside(&self) -> Result<BTreeMap<PathBuf, Option<Aside>>, JournalError> {
        let shared = self.0.shared();
        let mut known = shared.aside.lock();
        let names = shared.disk.list(&shared.dir).map_err(SegmentError::io("listing", &shared.dir))?;
        let mut now = BTreeMap::new();
        for (id, name) in names.iter().filter_map(|name| Some((segment_aside(name)?, name))) {
            let path = shared.dir.join(name);
            let aside = known.remove(&path).unwrap_or_else(|| read_aside(shared, id, &path));
            now.insert(path, aside);
        }
        known.clone_from(&now);
        Ok(now)
    }

    /// Those of the records `from..to` that a segment holds, as far as it reads.
    fn records_aside(&self, path: &Path, aside: &Aside, from: u64, to: u64) -> Result<Block, JournalError> {
        let shared = self.0.shared();
        let from = from.max(aside.start.next_seq);
        let (mut chain_before, mut leaves) = (aside.start.chain, Vec::new());
        let segment = Segment { id: aside.id, path: path.to_owned(), start: aside.first_frame, carried: Vec::new() };
        recovery::read_as_far_as_it_goes(&*shared.disk, &segment, &mut |at, frame| {
            let Header { first, count, offset, .. } = frame.header;
            if count == 0 || first >= to || first + u64::from(count) <= from {
                return Ok(());
            }
            let body = recovery::open_frame(&shared.codec, at.id, &at.path, frame)?;
            let damaged = |error: ChainError| SegmentError::corrupt(&at.path, offset, error.why);
            let block = Block::decode(first, count, &body).map_err(damaged)?;
            if first <= from {
                chain_before = block.chain_before;
            }
            for record in block.records().map_err(damaged)? {
                if record.seq < from {
                    chain_before = record.chain;
                } else if record.seq < to {
                    leaves.push(record.leaf);
                }
            }
            Ok(())
        })?;
        Ok(Block::following(from, chain_before, leaves))
    }
}

fn read_aside(shared: &Shared, id: u64, path: &Path) -> Option<Aside> {
    let segment = recovery::opened(&*shared.disk, &shared.codec, id, path).ok().flatten()?;
    let start = Start::of(&segment.carried)?;
    let mut blocks = Blocks::starting_at(start.next_seq);
    // What does not read any more ends it: the rest is as good as not there.
    let _ = recovery::read_as_far_as_it_goes(&*shared.disk, &segment, &mut |at, frame| blocks.add(at, frame));
    Some(Aside { id, first_frame: segment.start, start, next_seq: blocks.next_seq })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_what_was_set_aside() {
        let number = |name: &str| segment_aside(&name.replace('#', "00000000000000a1.seg"));
        assert_eq!(number("#.superseded"), Some(0xa1));
        assert_eq!(number("#.12.superseded"), Some(0xa1));
        assert_eq!(number("#.damaged"), Some(0xa1));
        for other in ["#", "#.making", "#..superseded", "#.x.superseded", "seg.superseded", ".superseded", "1.superseded"] {
            assert_eq!(number(other), None, "{other}");
        }
    }
}

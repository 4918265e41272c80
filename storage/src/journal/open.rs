//! Opens the journal: finds where it ends, and sets aside what a reset has superseded.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::{Condvar, Mutex};
use storage_crypto::Key;

use super::{
    JournalError, JournalHead, JournalOptions, aside,
    handle::Inner,
    index::{Blocks, Index, JournalSegment, Located, Start},
    shared::{Shared, State, read_block},
};
use crate::{
    disk::Disk,
    segment::{
        Owner, SegmentError,
        appender::Appender,
        frame::{FrameCodec, Stream},
        maker::Maker,
        recovery::{self, Spare, Survey},
    },
    workers,
};

pub(crate) fn open(
    disk: Arc<dyn Disk>,
    dir: &Path,
    key: Key,
    owner: Owner,
    options: JournalOptions,
) -> Result<Inner, JournalError> {
    disk.create_dir_all(dir).map_err(SegmentError::io("creating", dir))?;
    let codec = Arc::new(FrameCodec::new(key, owner, Stream::Journal));
    let mut survey = surveyed(&*disk, dir, &codec)?;
    let mut segments = survey.segments.iter().map(JournalSegment::of).collect::<Result<Vec<_>, _>>()?;
    // What was put back in front of a reset stays with it.
    let restored = |at: usize| segments[..at].iter().rev().take_while(|segment| segment.start.restored).count();
    let reset = segments.iter().rposition(|segment| segment.start.reset).map(|at| at - restored(at));
    if let (Some(gap), None) = (survey.stale.last(), reset) {
        return Err(SegmentError::corrupt(gap, 0, "the segment after it is missing").into());
    }
    refuse_disorder(&segments[reset.unwrap_or(0)..])?;

    let mut head = JournalHead::default();
    let mut tail = Vec::new();
    if let Some(last) = survey.segments.last() {
        let start = Start::decode(last)?;
        head = JournalHead { first_seq: start.next_seq, next_seq: start.next_seq, chain: start.chain };
    }
    let mut blocks = Blocks::starting_at(head.next_seq);
    let (resume, spare) = survey.settle(&*disk, &mut |segment, frame| blocks.add(segment, frame))?;
    if let (Some(last), Some(segment)) = (blocks.found.last(), survey.segments.last()) {
        let located = Located { segment: segment.id, path: segment.path.clone(), block: *last };
        let block = read_block(&*disk, &codec, &located)?;
        head.next_seq = block.next_seq();
        head.chain = block.chain_after;
        tail = blocks.found;
    }
    let discarded = segments.drain(..reset.unwrap_or(0)).map(|segment| segment.path).collect::<Vec<_>>();
    aside::supersede(&*disk, dir, &[std::mem::take(&mut survey.stale), discarded].concat())
        .map_err(SegmentError::io("setting aside superseded segments in", dir))?;
    if let Some(oldest) = segments.first() {
        head.first_seq = oldest.start.next_seq;
    }

    let maker = maker(&disk, dir, options.segment_bytes, survey.surplus(), spare)?;
    let appender = Appender::new(Arc::clone(&codec), Arc::clone(&options.entropy), dir.to_owned(), maker, resume);
    let state = State::opened(head, Index::recovered(segments, tail));
    let shared = Arc::new(Shared {
        disk,
        dir: dir.to_owned(),
        codec,
        entropy: Arc::clone(&options.entropy),
        mending: Mutex::new(()),
        aside: Mutex::default(),
        cache_bytes_max: options.cache_bytes,
        state: Mutex::new(state),
        work: Condvar::new(),
        room: Condvar::new(),
    });
    Inner::start(shared, appender, &options).map_err(|source| SegmentError::io("starting the writer of", dir)(source).into())
}

/// A segment never starts before the one that it follows, whatever is or is not in that one.
fn refuse_disorder(segments: &[JournalSegment]) -> Result<(), SegmentError> {
    let starts = |segment: &JournalSegment| segment.start.next_seq;
    match segments.windows(2).find(|pair| starts(&pair[0]) > starts(&pair[1])) {
        Some([before, segment]) => {
            let why = format!("it starts at record {}, the segment before it at {}", starts(segment), starts(before));
            Err(SegmentError::corrupt(&segment.path, 0, why))
        }
        _ => Ok(()),
    }
}

/// Who makes the next segments: it takes the spare one, and removes those that are too many.
fn maker(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    segment_bytes: u64,
    surplus: Vec<PathBuf>,
    spare: Option<Spare>,
) -> Result<Arc<Maker>, SegmentError> {
    let maker = Maker::new(Arc::clone(disk), dir.to_owned(), segment_bytes, !workers::are_simulated());
    let maker = maker.map_err(SegmentError::io("starting the helper of", dir))?;
    maker.remove(surplus);
    if let Some((id, file)) = spare {
        maker.offer(id, file);
    }
    Ok(Arc::new(maker))
}

/// What the directory holds. A crash in the middle of a reset leaves a newest segment in which nothing can be read, behind a gap: it
/// was never used, and goes.
fn surveyed(disk: &dyn Disk, dir: &Path, codec: &FrameCodec) -> Result<Survey, SegmentError> {
    let survey = recovery::survey(disk, dir, codec)?;
    if !survey.segments.is_empty() || survey.stale.is_empty() || !survey.is_blank(disk)? {
        return Ok(survey);
    }
    survey
        .unused()
        .try_for_each(|path| disk.remove(path))
        .and_then(|()| disk.sync_dir(dir))
        .map_err(SegmentError::io("removing a half made segment from", dir))?;
    surveyed(disk, dir, codec)
}

#[cfg(test)]
mod tests {
    use storage_crypto::SeededEntropy;

    use super::*;
    use crate::{
        disk::memory::MemoryDisk,
        fuzzing::{SealedFrame, segment},
        journal::{Block, Journal},
        segment::segment_path,
    };
    use bytes::Bytes;

    fn opened(starts: [u64; 2]) -> Result<JournalHead, JournalError> {
        let (disk, dir) = (Arc::new(MemoryDisk::new()), Path::new("/journal"));
        let (key, owner) = (Key::from_bytes([5; 32]), Owner { cluster: [1; 16], node: 2 });
        for (id, next_seq) in (1..).zip(starts) {
            let start = Start { reset: false, restored: false, next_seq, chain: [1; 32] };
            let (number, entropy) = (id - 1, SeededEntropy::new(id));
            let bytes = segment(false, (&key, owner), (id, number), &start.encode(), &[], &entropy);
            disk.create_new(&segment_path(dir, id)).unwrap().write_all_at(&bytes, 0).unwrap();
        }
        let (journal, head) = Journal::open(disk, dir, key, owner, JournalOptions::default())?;
        journal.close();
        Ok(head)
    }

    #[test]
    fn a_link_that_only_the_newest_segment_carries_is_held_against_the_records_before_it() {
        let block = Block::following(1, [1; 32], vec![Bytes::from_static(b"one"), Bytes::from_static(b"two")]);
        for (carried, is_sound) in [(block.chain_after, true), ([9; 32], false)] {
            let (disk, dir) = (Arc::new(MemoryDisk::new()), Path::new("/journal"));
            let (key, owner) = (Key::from_bytes([5; 32]), Owner { cluster: [1; 16], node: 2 });
            let body = block.encode();
            let frames = [SealedFrame { count: 2, first: 1, watermark: 0, body: &body }];
            let segments = [(1, 0, 1, [1; 32], &frames[..]), (2, 2, 3, carried, &[])];
            for (id, number, next_seq, chain, frames) in segments {
                let start = Start { reset: false, restored: false, next_seq, chain }.encode();
                let bytes = segment(false, (&key, owner), (id, number), &start, frames, &SeededEntropy::new(id));
                disk.create_new(&segment_path(dir, id)).unwrap().write_all_at(&bytes, 0).unwrap();
            }
            let (journal, head) = Journal::open(disk, dir, key, owner, JournalOptions::default()).unwrap();
            assert_eq!((head.next_seq, head.chain), (3, carried));
            assert_eq!(journal.verify().is_ok(), is_sound);
            journal.close();
        }
    }

    #[test]
    fn a_journal_whose_segments_start_in_disorder_is_refused() {
        assert_eq!(opened([7, 7]).unwrap(), JournalHead { first_seq: 7, next_seq: 7, chain: [1; 32] });
        let refused = opened([9, 7]).unwrap_err().to_string();
        assert!(refused.contains("it starts at record 7, the segment before it at 9"), "{refused}");
    }
}

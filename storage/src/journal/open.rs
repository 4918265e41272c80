//! Opens the journal: finds where it ends, and sets aside what a reset has superseded.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use storage_crypto::Key;

use super::{
    JournalError, JournalHead, JournalOptions, JournalStats,
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
        recovery,
    },
};

const SUPERSEDED: &str = ".superseded";

pub(crate) fn open(
    disk: Arc<dyn Disk>,
    dir: &Path,
    key: Key,
    owner: Owner,
    options: JournalOptions,
) -> Result<Inner, JournalError> {
    disk.create_dir_all(dir).map_err(SegmentError::io("creating", dir))?;
    let codec = Arc::new(FrameCodec::new(key, owner, Stream::Journal));
    let mut survey = recovery::survey(&*disk, dir, &codec)?;
    let mut segments = survey.segments.iter().map(JournalSegment::of).collect::<Result<Vec<_>, _>>()?;
    let reset = segments.iter().rposition(|segment| segment.start.reset);
    if let (Some(gap), None) = (survey.stale.last(), reset) {
        return Err(SegmentError::corrupt(gap, 0, "the segment after it is missing").into());
    }

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
    supersede(&*disk, dir, &[std::mem::take(&mut survey.stale), discarded].concat())
        .map_err(SegmentError::io("setting aside superseded segments in", dir))?;
    if let Some(oldest) = segments.first() {
        head.first_seq = oldest.start.next_seq;
    }

    let maker = Maker::new(Arc::clone(&disk), dir.to_owned(), options.segment_bytes, true);
    let maker = Arc::new(maker.map_err(SegmentError::io("starting the helper of", dir))?);
    maker.remove(survey.surplus());
    if let Some((id, file)) = spare {
        maker.offer(id, file);
    }
    let appender = Appender::new(Arc::clone(&codec), Arc::clone(&options.entropy), dir.to_owned(), maker, resume);
    let stats = JournalStats { segments: segments.len() as u64, ..JournalStats::default() };
    let state = State {
        head,
        index: Index::recovered(segments, tail),
        cache: VecDeque::new(),
        cache_bytes: 0,
        queue: Vec::new(),
        queued_bytes: 0,
        next_op: 1,
        failed: None,
        closing: false,
        gathering: false,
        stats,
    };
    let shared = Arc::new(Shared {
        disk,
        dir: dir.to_owned(),
        codec,
        cache_bytes_max: options.cache_bytes,
        state: Mutex::new(state),
        work: Condvar::new(),
        room: Condvar::new(),
    });
    Inner::start(shared, appender, &options).map_err(|source| SegmentError::io("starting the writer of", dir)(source).into())
}

/// Gives segments that a reset has discarded another name: kept, but no part of the journal any more.
pub(crate) fn supersede(disk: &dyn Disk, dir: &Path, segments: &[PathBuf]) -> io::Result<()> {
    for path in segments {
        let mut aside = path.clone().into_os_string();
        aside.push(SUPERSEDED);
        disk.rename(path, Path::new(&aside))?;
    }
    if segments.is_empty() { Ok(()) } else { disk.sync_dir(dir) }
}

//! Opens the log: replays every frame, and checks that what is left has no hole.

use std::{io, path::Path, sync::Arc};

use bytes::Bytes;
use storage_crypto::Key;

use super::{
    Recovered, WalError, WalOptions,
    core::{Carried, WalCore},
    records::Record,
    shared::Shared,
    view::{LiveSegment, View, WrittenRecord},
    writer::WalDriver,
};
use crate::{
    disk::Disk,
    segment::{
        FIRST_SEGMENT, Owner,
        appender::{Appender, Position},
        frame::{Frame, FrameCodec, Stream},
        maker::Maker,
        recovery::{self, Segment},
    },
};

pub(crate) fn recover(
    disk: Arc<dyn Disk>,
    dir: &Path,
    key: Key,
    owner: Owner,
    options: &WalOptions,
    threaded: bool,
) -> Result<(WalDriver, Recovered), WalError> {
    disk.create_dir_all(dir).map_err(WalError::io("creating", dir))?;
    let codec = Arc::new(FrameCodec::new(key, owner, Stream::Log));
    let survey = recovery::survey(&*disk, dir, &codec)?;
    let mut replay = Replay { codec: &codec, view: View::new(options.cache_bytes), carried: Carried::default() };
    if let Some(oldest) = survey.segments.first() {
        replay.start(oldest)?;
    }
    for pair in survey.segments.windows(2) {
        recovery::read_closed(&*disk, &pair[0], pair[1].start.number, &mut |segment, frame| replay.frame(segment, frame))?;
    }
    let (resume, spare) = survey.settle(&*disk, &mut |segment, frame| replay.frame(segment, frame))?;
    if let Some(oldest) = survey.segments.first() {
        replay.check(oldest)?;
    }
    let Replay { mut view, carried, .. } = replay;
    for segment in &survey.segments {
        let file = segment.open(&*disk)?;
        let bytes = file.len().map_err(WalError::io("reading the length of", &segment.path))?;
        view.segments.insert(segment.id, LiveSegment { file, bytes });
    }
    view.vote.clone_from(&carried.vote);
    view.committed.clone_from(&carried.committed);
    let maker = Maker::new(disk, dir.to_owned(), options.segment_bytes, threaded);
    let maker = Arc::new(maker.map_err(WalError::io("starting the helper of", dir))?);
    maker.remove([survey.stale.clone(), survey.surplus()].concat());
    if let Some((id, file)) = spare {
        maker.offer(id, file);
    }
    let entropy = Arc::clone(&options.entropy);
    let appender = Appender::new(Arc::clone(&codec), entropy, dir.to_owned(), Arc::clone(&maker), resume);
    let shared = Arc::new(Shared::new(view, codec, dir, Arc::clone(&maker)));
    let recovered = recovered(&shared).map_err(WalError::io("reading the last entry from", dir))?;
    Ok((WalDriver { core: WalCore { appender, maker, carried }, shared }, recovered))
}

fn recovered(shared: &Shared) -> io::Result<Recovered> {
    let mut state = shared.state.lock();
    shared.restore_last(&mut state)?;
    let view = &state.view;
    Ok(Recovered {
        vote: view.vote.clone(),
        committed: view.committed.clone(),
        purged: view.purged.clone(),
        first_index: view.first_index(),
        last: view.last(),
    })
}

struct Replay<'a> {
    codec: &'a FrameCodec,
    view: View,
    carried: Carried,
}

impl Replay<'_> {
    /// Only the oldest segment's carried state matters: the later ones repeat what the records before them said.
    fn start(&mut self, oldest: &Segment) -> Result<(), WalError> {
        let damaged = || WalError::corrupt(&oldest.path, 0, "what it carries over does not decode");
        for record in Record::decode_all(Bytes::copy_from_slice(&oldest.carried)).ok_or_else(damaged)? {
            self.carried.apply(&record);
        }
        Ok(())
    }

    fn frame(&mut self, segment: &Segment, frame: &Frame<'_>) -> Result<(), WalError> {
        let header = frame.header;
        let damaged = |why: String| WalError::corrupt(&segment.path, header.offset, why);
        let body = recovery::open_frame(self.codec, segment.id, &segment.path, frame)?;
        let records = Record::decode_all(Bytes::from(body)).ok_or_else(|| damaged("its records do not decode".to_owned()))?;
        let position = Position { segment: segment.id, offset: header.offset, bytes: header.frame_bytes() as u32 };
        for record in records {
            if let Record::Entry(index, _) = &record
                && let Some(next) = self.view.next_index().filter(|next| next != index)
            {
                return Err(damaged(format!("entry {index} stands where {next} comes next")));
            }
            self.carried.apply(&record);
            self.apply(record, position);
        }
        Ok(())
    }

    fn apply(&mut self, record: Record, position: Position) {
        // Entries before the oldest segment are gone: an old purge says nothing about where the first one found stands.
        if matches!(record, Record::Purge(..)) && self.view.next_index().is_none() {
            return;
        }
        let written = WrittenRecord::from(&record);
        // A copy, so that one small entry in the cache does not hold its whole frame in memory.
        let record = match record {
            Record::Entry(index, payload) => Record::Entry(index, Bytes::copy_from_slice(&payload)),
            other => other,
        };
        self.view.request(&record, 0);
        self.view.written(&written, position);
        self.view.written_through(0);
    }

    /// The oldest entry follows what was purged: no segment is missing at the front.
    fn check(&mut self, oldest: &Segment) -> Result<(), WalError> {
        let first = self.view.start();
        match (&self.carried.purged, first) {
            (None, _) if oldest.id != FIRST_SEGMENT => {
                Err(WalError::corrupt(&oldest.path, 0, "segments before it are missing, and nothing was ever purged"))
            }
            (None, _) => Ok(()),
            (Some((purged, _)), Some(first)) if first > purged + 1 => {
                let why = format!("entries {} to {} are missing before it", purged + 1, first - 1);
                Err(WalError::corrupt(&oldest.path, 0, why))
            }
            (Some((purged, meta)), _) => {
                self.view.request(&Record::Purge(*purged, meta.clone()), 0);
                self.view.written(&WrittenRecord::Purge(*purged), Position { segment: 0, offset: 0, bytes: 0 });
                Ok(())
            }
        }
    }
}

//! Finds where a directory of segments ends, and refuses one that has lost something durable.
//!
//! Frames are read until the first that is not valid: there the log stops. If anything behind the stop is a valid frame whose
//! watermark lies beyond the stop, then the frame at the stop had been durable: it is damaged, not torn, and the directory is refused
//! as it is. Otherwise the rest is the trace of a write that nobody was told about; it is overwritten with zeros.
//!
//! One damaged frame at the very end cannot be told from a torn one. Watermark frames, written when the log is idle, keep that window short.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use storage_crypto::OpenError;

use super::{
    SegmentError, SegmentStart,
    appender::{Resume, Tail},
    frame::{ALIGNMENT, Frame, FrameCodec, HEADER_BYTES, Header, MARK_ALIGNMENT, claimed_bytes},
    maker, segment_id, segment_path,
};
use crate::disk::{Disk, DiskFile, read_all, read_exact_at};
use crate::planted;

/// No segment is longer; a length beyond is damage, not something to allocate.
const SEGMENT_BYTES_MAX: u64 = 1 << 31;

/// A segment whose first frame is valid.
pub(crate) struct Segment {
    pub(crate) id: u64,
    pub(crate) path: PathBuf,
    /// The header of its first frame.
    pub(crate) start: Header,
    /// What its first frame carries over.
    pub(crate) carried: Vec<u8>,
}

impl Segment {
    /// Opens the file. A segment that is only listed holds no descriptor: a journal may have thousands.
    pub(crate) fn open(&self, disk: &dyn Disk) -> Result<Arc<dyn DiskFile>, SegmentError> {
        disk.open(&self.path).map_err(SegmentError::io("opening", &self.path))
    }
}

struct Unused {
    id: u64,
    path: PathBuf,
}

/// What a directory holds.
pub(crate) struct Survey {
    /// Segments in use, oldest first, without a gap. The last one is the tail.
    pub(crate) segments: Vec<Segment>,
    /// Segments before a gap: left over from a removal that a crash cut short.
    pub(crate) stale: Vec<PathBuf>,
    unused: Vec<Unused>,
}

/// Lists a directory and reads the first frame of each segment.
pub(crate) fn survey(disk: &dyn Disk, dir: &Path, codec: &FrameCodec) -> Result<Survey, SegmentError> {
    let names = disk.list(dir).map_err(SegmentError::io("listing", dir))?;
    for half_made in names.iter().filter(|name| name.ends_with(super::MAKING_EXTENSION)) {
        let path = dir.join(half_made);
        disk.remove(&path).map_err(SegmentError::io("removing", &path))?;
    }
    let ids: Vec<u64> = names.iter().filter_map(|name| segment_id(name)).collect();
    let gap = ids.windows(2).rposition(|pair| pair[1] != pair[0] + 1).map_or(0, |at| at + 1);
    let stale = ids[..gap].iter().map(|id| segment_path(dir, *id)).collect();
    let (mut segments, mut unused) = (Vec::new(), Vec::new());
    for &id in ids[gap..].iter().rev() {
        let path = segment_path(dir, id);
        let file = disk.open(&path).map_err(SegmentError::io("opening", &path))?;
        match read_start(codec, id, &path, &*file)? {
            Some((start, carried)) => segments.push(Segment { id, path, start, carried }),
            None if segments.is_empty() => unused.push(Unused { id, path }),
            None => return Err(SegmentError::corrupt(&path, 0, "its first frame does not read, and later segments are in use")),
        }
    }
    segments.reverse();
    unused.reverse();
    Ok(Survey { segments, stale, unused })
}

fn read_start(codec: &FrameCodec, id: u64, path: &Path, file: &dyn DiskFile) -> Result<Option<(Header, Vec<u8>)>, SegmentError> {
    let Some(bytes) = read_frame(file, path, 0)? else { return Ok(None) };
    let Some(frame) = Frame::in_front_of(&bytes, id, 0) else { return Ok(None) };
    let body = open_frame(codec, id, path, &frame)?;
    let start = SegmentStart::decode(path, &body)?;
    let len = file.len().map_err(SegmentError::io("reading the length of", path))?;
    if len < start.capacity {
        return Err(SegmentError::corrupt(path, len, format!("it was made {} bytes long", start.capacity)));
    }
    Ok(Some((frame.header, start.carried.to_vec())))
}

/// The bytes that the frame at `offset` claims; nothing where there is no frame.
pub(crate) fn read_frame(file: &dyn DiskFile, path: &Path, offset: u64) -> Result<Option<Vec<u8>>, SegmentError> {
    let mut head = [0; HEADER_BYTES];
    let io = |source| SegmentError::io("reading", path)(source);
    if file.read_at(&mut head, offset).map_err(io)? < HEADER_BYTES {
        return Ok(None);
    }
    let room = file.len().map_err(io)?.min(SEGMENT_BYTES_MAX).saturating_sub(offset);
    let Some(claimed) = claimed_bytes(&head).filter(|claimed| *claimed as u64 <= room) else { return Ok(None) };
    let mut bytes = vec![0; claimed];
    read_exact_at(file, &mut bytes, offset).map_err(io)?;
    Ok(Some(bytes))
}

/// Opens a frame whose checksum was right: what fails now is no accident of the disk.
pub(crate) fn open_frame(codec: &FrameCodec, id: u64, path: &Path, frame: &Frame<'_>) -> Result<Vec<u8>, SegmentError> {
    codec.open(id, frame).map_err(|error| match error {
        OpenError::WrongKey => SegmentError::WrongKey { path: path.to_owned() },
        other => {
            SegmentError::corrupt(path, frame.header.offset, format!("its checksum is right, but its seal is not ({other})"))
        }
    })
}

/// What is called for each frame after the first of a segment.
pub(crate) type Visit<'a> = &'a mut dyn FnMut(&Segment, &Frame<'_>) -> Result<(), SegmentError>;

/// Reads a segment that has a successor: every frame up to number `end` has to be there.
pub(crate) fn read_closed(disk: &dyn Disk, segment: &Segment, end: u64, visit: Visit<'_>) -> Result<(), SegmentError> {
    let bytes = read_segment(&segment.path, &*segment.open(disk)?)?;
    let stop = walk(segment, &bytes, visit)?;
    if stop.number == end {
        return Ok(());
    }
    let why = format!("frames {} to {end} do not read, and the next segment was started after them", stop.number);
    Err(SegmentError::corrupt(&segment.path, stop.offset, why))
}

/// The segment in this file, wherever the file lies; nothing where its first frame does not read.
pub(crate) fn opened(disk: &dyn Disk, codec: &FrameCodec, id: u64, path: &Path) -> Result<Option<Segment>, SegmentError> {
    let file = disk.open(path).map_err(SegmentError::io("opening", path))?;
    let start = read_start(codec, id, path, &*file)?;
    Ok(start.map(|(start, carried)| Segment { id, path: path.to_owned(), start, carried }))
}

/// Reads a segment until the first frame that does not read, wherever that is.
pub(crate) fn read_as_far_as_it_goes(disk: &dyn Disk, segment: &Segment, visit: Visit<'_>) -> Result<(), SegmentError> {
    let bytes = read_segment(&segment.path, &*segment.open(disk)?)?;
    walk(segment, &bytes, visit).map(drop)
}

/// Reads a segment that has a successor, from first frame to last: every frame has to be there and to open. Each is given by its number
/// and path. Says how many bytes it read.
pub(crate) fn check_closed(
    disk: &dyn Disk,
    codec: &FrameCodec,
    (id, path): (u64, &Path),
    (next_id, next_path): (u64, &Path),
) -> Result<u64, SegmentError> {
    let open = |path: &Path| disk.open(path).map_err(SegmentError::io("opening", path));
    let unread = |path: &Path| SegmentError::corrupt(path, 0, "its first frame does not read");
    let (start, carried) = read_start(codec, id, path, &*open(path)?)?.ok_or_else(|| unread(path))?;
    let (next, _) = read_start(codec, next_id, next_path, &*open(next_path)?)?.ok_or_else(|| unread(next_path))?;
    let segment = Segment { id, path: path.to_owned(), start, carried };
    let mut read = 0;
    read_closed(disk, &segment, next.number, &mut |at, frame| {
        read += frame.header.frame_bytes() as u64;
        open_frame(codec, at.id, &at.path, frame).map(drop)
    })?;
    Ok(read)
}

impl Survey {
    /// Reads the tail, finds where the log stops, refuses damage, and overwrites what was torn.
    ///
    /// Returns where appending resumes and, if there is one, a zeroed segment to append to next.
    pub(crate) fn settle(&self, disk: &dyn Disk, visit: Visit<'_>) -> Result<(Resume, Option<Spare>), SegmentError> {
        let mut torn = Vec::new();
        let mut resume = Resume { tail: None, next_segment: super::FIRST_SEGMENT, next_number: 0 };
        // Where damage is reported: the stop, wherever its proof was found.
        let mut stop_at = None;
        if let Some(segment) = self.segments.last() {
            let file = segment.open(disk)?;
            let bytes = read_segment(&segment.path, &*file)?;
            let stop = walk(segment, &bytes, visit)?;
            let capacity = bytes.len() as u64;
            resume.tail = Some(Tail { id: segment.id, file: Arc::clone(&file), capacity, end: stop.offset });
            resume.next_segment = segment.id + 1;
            resume.next_number = stop.number;
            stop_at = Some((segment.path.clone(), stop.offset));
            refuse_damage(&stop_at, stop.number, &segment.path, segment.id, &bytes, stop.offset)?;
            let doubtful = first_not_vouched_for(segment.id, &bytes, stop.offset);
            torn.push((&segment.path, file, bytes, doubtful, stop.offset));
        } else if let Some(first) = self.unused.first() {
            resume.next_segment = first.id;
        }
        let mut spare = None;
        for unused in &self.unused {
            let file = disk.open(&unused.path).map_err(SegmentError::io("opening", &unused.path))?;
            let bytes = read_segment(&unused.path, &*file)?;
            refuse_damage(&stop_at, resume.next_number, &unused.path, unused.id, &bytes, 0)?;
            spare.get_or_insert_with(|| (unused.id, Arc::clone(&file)));
            torn.push((&unused.path, file, bytes, 0, 0));
        }
        if self.segments.is_empty() && self.unused.first().is_some_and(|first| first.id != super::FIRST_SEGMENT) {
            let first = &self.unused[0].path;
            return Err(SegmentError::corrupt(first, 0, "no frame in the directory reads, and it is not the first segment"));
        }
        for (path, file, bytes, doubtful, end) in torn {
            write_again(path, &*file, &bytes, doubtful, end)?;
            erase(path, &*file, &bytes, end)?;
        }
        Ok((resume, spare))
    }

    /// Segments in which no first frame reads.
    pub(crate) fn unused(&self) -> impl Iterator<Item = &PathBuf> {
        self.unused.iter().map(|unused| &unused.path)
    }

    /// Whether no unused segment holds any frame at all.
    pub(crate) fn is_blank(&self, disk: &dyn Disk) -> Result<bool, SegmentError> {
        for Unused { id, path } in &self.unused {
            let file = disk.open(path).map_err(SegmentError::io("opening", path))?;
            let bytes = read_segment(path, &*file)?;
            if (0..bytes.len()).step_by(ALIGNMENT).any(|offset| Frame::at(&bytes, *id, offset).is_some()) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Unused segments beyond the next: they are made anew when it is their turn.
    pub(crate) fn surplus(&self) -> Vec<PathBuf> {
        self.unused.iter().skip(1).map(|unused| unused.path.clone()).collect()
    }
}

/// A segment of zeros, by its number.
pub(crate) type Spare = (u64, Arc<dyn DiskFile>);

fn read_segment(path: &Path, file: &dyn DiskFile) -> Result<Vec<u8>, SegmentError> {
    read_all(file, SEGMENT_BYTES_MAX).map_err(SegmentError::io("reading", path))
}

struct Stop {
    offset: u64,
    number: u64,
}

fn walk(segment: &Segment, bytes: &[u8], visit: Visit<'_>) -> Result<Stop, SegmentError> {
    let mut offset = segment.start.frame_bytes();
    let mut number = segment.start.number + 1;
    let next = |offset: usize, number: u64| {
        let places = [offset, offset.next_multiple_of(MARK_ALIGNMENT)];
        places.into_iter().filter_map(|at| Frame::at(bytes, segment.id, at)).find(|frame| frame.header.number == number)
    };
    while let Some(frame) = next(offset, number) {
        visit(segment, &frame)?;
        offset =
            usize::try_from(frame.header.offset).expect("a frame in memory has an offset in memory") + frame.header.frame_bytes();
        number += 1;
    }
    Ok(Stop { offset: offset as u64, number })
}

/// Looks behind the stop for a frame that proves the one at the stop to have been durable.
fn refuse_damage(
    stop_at: &Option<(PathBuf, u64)>,
    stop: u64,
    path: &Path,
    id: u64,
    bytes: &[u8],
    from: u64,
) -> Result<(), SegmentError> {
    let from = usize::try_from(from).expect("offsets lie within a segment in memory");
    for offset in (from..bytes.len()).step_by(ALIGNMENT) {
        let Some(frame) = Frame::at(bytes, id, offset) else { continue };
        let Header { number, watermark, .. } = frame.header;
        if watermark > stop && !planted::is_back("damage-cut-off") {
            let (at, at_offset) = stop_at.clone().unwrap_or_else(|| (path.to_owned(), 0));
            let why = format!(
                "frame {stop} does not read, but frame {number} at offset {offset} of {} says that all before {watermark} were durable",
                path.display()
            );
            return Err(SegmentError::corrupt(&at, at_offset, why));
        }
    }
    Ok(())
}

/// Where the first frame before `end` stands of which no later one says that it was durable.
fn first_not_vouched_for(segment: u64, bytes: &[u8], end: u64) -> u64 {
    let offsets = (0..usize::try_from(end).expect("offsets lie within a segment in memory")).step_by(ALIGNMENT);
    let headers: Vec<Header> = offsets.filter_map(|offset| Some(Frame::at(bytes, segment, offset)?.header)).collect();
    let durable = headers.iter().map(|header| header.watermark).max().unwrap_or(0);
    headers.iter().find(|header| header.number >= durable).map_or(end, |header| header.offset)
}

/// Writes what stands at the end of the log once more, as it is. After a sync that failed the system takes for written what may stand in
/// its memory alone: whoever reads it there, in a process started later, would call durable what no sync writes any more.
fn write_again(path: &Path, file: &dyn DiskFile, bytes: &[u8], from: u64, end: u64) -> Result<(), SegmentError> {
    let place = |offset| usize::try_from(offset).expect("offsets lie within a segment in memory");
    let written = &bytes[place(from)..place(end)];
    if written.is_empty() { Ok(()) } else { file.write_all_at(written, from).map_err(SegmentError::io("writing again", path)) }
}

/// Overwrites whatever is behind the stop with zeros, and syncs it.
fn erase(path: &Path, file: &dyn DiskFile, bytes: &[u8], from: u64) -> Result<(), SegmentError> {
    let from = usize::try_from(from).expect("offsets lie within a segment in memory");
    let Some(first) = bytes[from..].iter().position(|byte| *byte != 0) else {
        // What was read may still be only in the page cache, after a crash of the process alone.
        return file.sync_data().map_err(SegmentError::io("syncing", path));
    };
    let last = bytes.iter().rposition(|byte| *byte != 0).expect("a byte before this one is not zero");
    maker::fill(file, (from + first) as u64, last as u64 + 1).map_err(SegmentError::io("erasing the torn tail of", path))
}

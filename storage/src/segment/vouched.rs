//! Which bytes of a segment cannot be damaged unnoticed, for whoever damages disks on purpose.

use std::{ops::Range, path::Path};

use super::{
    frame::{ALIGNMENT, Frame, HEADER_BYTES, Header},
    segment_id,
};

/// Where in the `bytes` of a segment's file the frames stand for which a later frame of it says that they were durable. Damage there can
/// never pass for a write that was cut off: whoever opens the directory has to refuse it. Nothing for a file that is no segment.
#[must_use]
pub fn vouched(path: &Path, bytes: &[u8]) -> Vec<Range<usize>> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    let Some(id) = name.and_then(|name| segment_id(&name)) else { return Vec::new() };
    // What fills a frame up to the next is nobody's.
    let frames = (0..bytes.len()).step_by(ALIGNMENT).filter_map(|offset| Frame::at(bytes, id, offset));
    let frames: Vec<_> = frames.map(|frame| (frame.header.number, frame.header.watermark, frame.header)).collect();
    let durable = frames.iter().map(|(_, watermark, _)| *watermark).max().unwrap_or(0);
    let before = frames.iter().filter(|(number, ..)| *number < durable);
    let range = |header: Header| header.offset as usize..header.offset as usize + HEADER_BYTES + header.len as usize;
    before.map(|(_, _, header)| range(*header)).collect()
}

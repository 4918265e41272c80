//! A journal in one file, to be kept and checked far from the cluster.
//!
//! ```text
//! {"format":"holdfast-journal-bundle/1","cluster":"…","epoch":1,"first_seq":1,"last_seq":90,"before":"…"}   one line of JSON
//! 0123456789abcdef                                              check of that line: 8 bytes, hexadecimal, and a newline
//! frame*   "HFR1" | seq u64 | length u32 | check 8 | chain 32 | leaf (length bytes)
//! end      "HFE1" | seq u64 of the last record | 0 u32 | check 8 | chain 32 after the last record
//! ```
//! Numbers are big endian. `check` is the first 8 bytes of `chain::next(zeros, bytes before it)`: it finds where a frame is
//! damaged and proves nothing; the proof is the chain. `before` is the link before the first record, `null` where unknown.

use std::io::{self, Read, Write};

use proto_record::chain::{self, Link};
use serde::{Deserialize, Serialize};

use super::{
    Item, Origin,
    finding::{Damage, Finding},
    hex, unhex,
    verify::{End, Verdict, Verifier},
};

const FORMAT: &str = "holdfast-journal-bundle/1";
const RECORD: &[u8; 4] = b"HFR1";
const END: &[u8; 4] = b"HFE1";
const FRAME_BYTES: usize = 24;
const HEADER_BYTES_MAX: usize = 4_096;
/// No leaf is larger: a reason and paths, never a value.
const LEAF_BYTES_MAX: u32 = 16 << 20;

/// The first line of a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Header {
    format: String,
    cluster: String,
    epoch: u32,
    first_seq: u64,
    last_seq: u64,
    before: Option<String>,
}

impl Header {
    pub(crate) fn new(cluster: &[u8; 16], epoch: u32, first_seq: u64, last_seq: u64, before: Option<&Link>) -> Header {
        Header {
            format: FORMAT.to_owned(),
            cluster: hex(cluster),
            epoch,
            first_seq,
            last_seq,
            before: before.map(|link| hex(link)),
        }
    }

    /// What the header says, as the verifier takes it.
    pub(crate) fn origin(&self) -> Option<Origin> {
        let before = match &self.before {
            Some(text) => Some(unhex::<32>(text)?),
            None => None,
        };
        let (first_seq, last_seq) = (Some(self.first_seq), Some(self.last_seq));
        let origin = Origin { cluster: Some(unhex(&self.cluster)?), epoch: Some(self.epoch), first_seq, last_seq, before };
        // What follows from the cluster alone is not taken from a file.
        Some(origin.with_genesis())
    }

    fn parse(line: &str, check: &str) -> Option<Header> {
        let header: Header = serde_json::from_str(line).ok()?;
        let sound = header.format == FORMAT && check == hex(&check_of(line.as_bytes()));
        (sound && header.origin().is_some()).then_some(header)
    }
}

fn check_of(bytes: &[u8]) -> [u8; 8] {
    let link = chain::next(&[0; 32], bytes);
    link[..8].try_into().expect("a link has 32 bytes")
}

/// Writes a bundle record by record.
pub(crate) struct Writer<W: Write> {
    out: W,
    last: (u64, Link),
}

impl<W: Write> Writer<W> {
    pub(crate) fn new(mut out: W, header: &Header) -> io::Result<Writer<W>> {
        let line = serde_json::to_string(header)?;
        writeln!(out, "{line}\n{}", hex(&check_of(line.as_bytes())))?;
        Ok(Writer { out, last: (header.first_seq.saturating_sub(1), [0; 32]) })
    }

    pub(crate) fn push(&mut self, seq: u64, leaf: &[u8], chain: &Link) -> io::Result<()> {
        let length = u32::try_from(leaf.len()).ok().filter(|length| *length <= LEAF_BYTES_MAX);
        let length = length.ok_or_else(|| io::Error::other(format!("record {seq} is larger than any record may be")))?;
        self.frame(RECORD, seq, length, chain)?;
        self.out.write_all(leaf)?;
        self.last = (seq, *chain);
        Ok(())
    }

    /// Writes the end marker. A bundle without it counts as cut off.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        let (seq, chain) = self.last;
        self.frame(END, seq, 0, &chain)?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn frame(&mut self, magic: &[u8; 4], seq: u64, length: u32, chain: &Link) -> io::Result<()> {
        let mut frame = Vec::with_capacity(FRAME_BYTES + chain.len());
        frame.extend_from_slice(magic);
        frame.extend_from_slice(&seq.to_be_bytes());
        frame.extend_from_slice(&length.to_be_bytes());
        frame.extend_from_slice(&check_of(&frame));
        frame.extend_from_slice(chain);
        self.out.write_all(&frame)
    }
}

/// A frame whose check holds.
struct Frame {
    is_end: bool,
    seq: u64,
    length: u32,
}

impl Frame {
    fn parse(bytes: &[u8]) -> Option<Frame> {
        let (body, check) = bytes.split_at_checked(FRAME_BYTES - 8)?;
        let (magic, numbers) = body.split_at(4);
        let is_end = magic == END;
        if (!is_end && magic != RECORD) || check != check_of(body) {
            return None;
        }
        let (seq, length) = numbers.split_at(8);
        let length = u32::from_be_bytes(length.try_into().ok()?);
        let frame = Frame { is_end, seq: u64::from_be_bytes(seq.try_into().ok()?), length };
        (frame.length <= LEAF_BYTES_MAX).then_some(frame)
    }
}

/// Reads a whole bundle through a verifier, which `prepare` makes of what the header says.
pub(crate) fn verify(input: impl Read, prepare: impl FnOnce(Origin) -> Verifier) -> io::Result<Verdict> {
    let mut reader = Reader { input, ahead: Vec::new(), place: 0 };
    let header = reader.header()?;
    let mut verifier = prepare(header.as_ref().and_then(Header::origin).unwrap_or_default());
    if header.is_none() {
        verifier.note(Finding::at(0, Damage::Header));
        reader.skip_to_frame()?;
    }
    let end = reader.records(&mut verifier)?;
    Ok(verifier.finish(end))
}

struct Reader<R: Read> {
    input: R,
    /// Bytes that were read and not yet consumed; they start at `place`.
    ahead: Vec<u8>,
    place: u64,
}

impl<R: Read> Reader<R> {
    /// Looks at up to `count` bytes; fewer only at the end of the file.
    fn peek(&mut self, count: usize) -> io::Result<&[u8]> {
        if self.ahead.len() < count {
            let missing = (count - self.ahead.len()) as u64;
            self.input.by_ref().take(missing).read_to_end(&mut self.ahead)?;
        }
        Ok(&self.ahead[..count.min(self.ahead.len())])
    }

    fn consume(&mut self, count: usize) {
        let count = count.min(self.ahead.len());
        self.ahead.drain(..count);
        self.place += count as u64;
    }

    /// The header, consumed; none (and nothing consumed) when it is damaged.
    fn header(&mut self) -> io::Result<Option<Header>> {
        let start = self.peek(HEADER_BYTES_MAX)?;
        let mut ends = start.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at);
        let (Some(first), Some(second)) = (ends.next(), ends.next()) else { return Ok(None) };
        let text = |range: std::ops::Range<usize>| std::str::from_utf8(&start[range]).ok();
        let header = match (text(0..first), text(first + 1..second)) {
            (Some(line), Some(check)) => Header::parse(line, check),
            _ => None,
        };
        if header.is_some() {
            self.consume(second + 1);
        }
        Ok(header)
    }

    /// Moves to the next sound frame, or to the end of the file.
    fn skip_to_frame(&mut self) -> io::Result<()> {
        while !self.peek(1)?.is_empty() && Frame::parse(self.peek(FRAME_BYTES)?).is_none() {
            // Reading ahead in pieces keeps the search linear.
            let seen = self.peek(HEADER_BYTES_MAX)?;
            let sound = |at: &usize| seen.get(*at..at + FRAME_BYTES).is_some_and(|bytes| Frame::parse(bytes).is_some());
            let step = (1..seen.len()).find(|at| seen[*at] == b'H' && sound(at));
            let whole_piece = seen.len().saturating_sub(FRAME_BYTES - 1).max(1);
            let step = step.unwrap_or(if seen.len() < HEADER_BYTES_MAX { seen.len() } else { whole_piece });
            self.consume(step);
        }
        Ok(())
    }

    fn records(&mut self, verifier: &mut Verifier) -> io::Result<End> {
        loop {
            let place = self.place;
            let start = self.peek(FRAME_BYTES)?;
            let Some(frame) = Frame::parse(start) else {
                if start.len() < FRAME_BYTES {
                    return Ok(End::CutOff { place });
                }
                verifier.take_damage(place);
                self.skip_to_frame()?;
                continue;
            };
            let whole = FRAME_BYTES + 32 + frame.length as usize;
            let bytes = self.peek(whole)?;
            if bytes.len() < whole {
                return Ok(End::CutOff { place });
            }
            let (chain, leaf) = bytes[FRAME_BYTES..].split_at(32);
            let chain: Link = chain.try_into().expect("32 bytes were split off");
            let leaf = leaf.to_vec();
            self.consume(whole);
            if frame.is_end {
                if !self.peek(1)?.is_empty() {
                    verifier.note(Finding::at(self.place, Damage::AfterEnd));
                }
                return Ok(End::Marker { last_seq: frame.seq, chain, place });
            }
            verifier.take(Item { seq: frame.seq, leaf, chain, place });
        }
    }
}

#[cfg(test)]
#[path = "bundle_tests.rs"]
mod tests;

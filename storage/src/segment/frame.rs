//! One frame: a header in the clear, covered by a checksum, and a sealed body that is bound to the header and its place.

use storage_crypto::{Binding, Entropy, Key, OpenError, Purpose, sealed};

use super::{NUMBER_MAX, Owner};

const MAGIC: [u8; 4] = *b"HFF1";
const CHECKED_FROM: usize = 8;

/// Bytes before the sealed body.
pub(crate) const HEADER_BYTES: usize = 48;

/// Frames start on multiples of this, so that a scan for them need not look at every byte.
pub(crate) const ALIGNMENT: usize = 8;

/// A frame that only carries a watermark starts on a multiple of this, a disk's sector, instead of right behind the one before.
pub(crate) const MARK_ALIGNMENT: usize = 512;

/// Which kind of log a frame belongs to; a frame of one never opens in the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Log,
    Journal,
}

/// What a frame says in the clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Bytes of the sealed body.
    pub(crate) len: u32,
    /// How many records the body holds; 0 for the frames that only carry a watermark, or start a segment.
    pub(crate) count: u32,
    /// Counts frames across segments.
    pub(crate) number: u64,
    /// The index or sequence number of the first record, 0 where there is none.
    pub(crate) first: u64,
    /// Where in its segment the frame starts.
    pub(crate) offset: u64,
    /// Every frame below this number was durable when this one was written.
    pub(crate) watermark: u64,
}

/// A frame whose checksum is right.
pub(crate) struct Frame<'a> {
    pub(crate) header: Header,
    fields: &'a [u8],
    sealed: &'a [u8],
}

/// Seals and opens the frames of one stream of one node.
pub(crate) struct FrameCodec {
    key: Key,
    owner: Owner,
    stream: Stream,
}

/// How much room a frame with a body of `body_len` bytes takes.
pub(crate) fn frame_bytes(body_len: usize) -> usize {
    (HEADER_BYTES + sealed::OVERHEAD_BYTES + body_len).next_multiple_of(ALIGNMENT)
}

/// The length in the header of a frame with a body of `body_len` bytes.
pub(crate) fn sealed_len(body_len: usize) -> u32 {
    u32::try_from(body_len + sealed::OVERHEAD_BYTES).expect("a frame is cut to fit a segment of under 4 GiB")
}

impl FrameCodec {
    pub(crate) fn new(key: Key, owner: Owner, stream: Stream) -> FrameCodec {
        FrameCodec { key, owner, stream }
    }

    /// Writes a frame at the end of `out`, padded to the alignment. The header's `len` is [`sealed_len`] of the body.
    pub(crate) fn encode(&self, segment: u64, header: Header, body: &[u8], entropy: &dyn Entropy, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[0; 4]);
        let fields = header.fields();
        out.extend_from_slice(&fields);
        sealed::seal_into(&self.key, 1, &self.binding(segment, &fields), body, entropy, out);
        let crc = checksum(segment, &out[start + CHECKED_FROM..]);
        out[start + 4..start + CHECKED_FROM].copy_from_slice(&crc.to_be_bytes());
        out.resize(start + frame_bytes(body.len()), 0);
    }

    /// The plaintext of a frame's body.
    pub(crate) fn open(&self, segment: u64, frame: &Frame<'_>) -> Result<Vec<u8>, OpenError> {
        sealed::open_bulk(&self.key, &self.binding(segment, frame.fields), frame.sealed)
    }

    fn binding(&self, segment: u64, fields: &[u8]) -> Binding {
        let purpose = match self.stream {
            Stream::Log => Purpose::LogFrame,
            Stream::Journal => Purpose::JournalBlock,
        };
        Binding::new(purpose).bytes(&self.owner.cluster).u64(self.owner.node).u64(segment).bytes(fields)
    }
}

impl Header {
    fn fields(&self) -> [u8; HEADER_BYTES - CHECKED_FROM] {
        let mut fields = [0; HEADER_BYTES - CHECKED_FROM];
        fields[0..4].copy_from_slice(&self.len.to_be_bytes());
        fields[4..8].copy_from_slice(&self.count.to_be_bytes());
        fields[8..16].copy_from_slice(&self.number.to_be_bytes());
        fields[16..24].copy_from_slice(&self.first.to_be_bytes());
        fields[24..32].copy_from_slice(&self.offset.to_be_bytes());
        fields[32..40].copy_from_slice(&self.watermark.to_be_bytes());
        fields
    }

    fn parse(fields: &[u8; HEADER_BYTES - CHECKED_FROM]) -> Header {
        Header {
            len: u32::from_be_bytes(part(fields, 0)),
            count: u32::from_be_bytes(part(fields, 4)),
            number: u64::from_be_bytes(part(fields, 8)),
            first: u64::from_be_bytes(part(fields, 16)),
            offset: u64::from_be_bytes(part(fields, 24)),
            watermark: u64::from_be_bytes(part(fields, 32)),
        }
    }

    /// Bytes from the start of this frame to the start of the next.
    pub(crate) fn frame_bytes(&self) -> usize {
        (HEADER_BYTES + self.len as usize).next_multiple_of(ALIGNMENT)
    }
}

impl<'a> Frame<'a> {
    /// The frame that starts at `offset` of a segment's `bytes`, if there is one and its checksum is right.
    pub(crate) fn at(bytes: &'a [u8], segment: u64, offset: usize) -> Option<Frame<'a>> {
        Frame::in_front_of(bytes.get(offset..)?, segment, offset as u64)
    }

    /// The frame that `bytes` start with, read from `offset` of its segment.
    pub(crate) fn in_front_of(bytes: &'a [u8], segment: u64, offset: u64) -> Option<Frame<'a>> {
        let (head, rest) = bytes.split_at_checked(HEADER_BYTES)?;
        if head[..4] != MAGIC {
            return None;
        }
        let fields = &head[CHECKED_FROM..];
        let header = Header::parse(fields.try_into().ok()?);
        let is_possible = [header.number, header.first, header.watermark].iter().all(|number| *number <= NUMBER_MAX);
        if header.offset != offset || !is_possible {
            return None;
        }
        let sealed = rest.get(..header.len as usize)?;
        let checked = bytes.get(CHECKED_FROM..HEADER_BYTES + sealed.len())?;
        let crc = u32::from_be_bytes(part(head, 4));
        (checksum(segment, checked) == crc).then_some(Frame { header, fields, sealed })
    }
}

/// Reads only a header, unchecked: how many bytes the frame that starts here claims to have.
pub(crate) fn claimed_bytes(head: &[u8; HEADER_BYTES]) -> Option<usize> {
    if head[..4] != MAGIC {
        return None;
    }
    let fields = head[CHECKED_FROM..].try_into().ok()?;
    Some(Header::parse(fields).frame_bytes())
}

fn checksum(segment: u64, checked: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(checked);
    hasher.update(&segment.to_be_bytes());
    hasher.finalize()
}

fn part<const N: usize>(bytes: &[u8], start: usize) -> [u8; N] {
    let mut part = [0; N];
    part.copy_from_slice(&bytes[start..start + N]);
    part
}

#[cfg(test)]
mod tests {
    use storage_crypto::SeededEntropy;

    use super::*;

    const OWNER: Owner = Owner { cluster: [1; 16], node: 2 };

    fn codec() -> FrameCodec {
        FrameCodec::new(Key::from_bytes([5; 32]), OWNER, Stream::Log)
    }

    fn encoded() -> Vec<u8> {
        let header = Header { len: sealed_len(4), count: 3, number: 9, first: 7, offset: 0, watermark: 8 };
        let mut bytes = Vec::new();
        codec().encode(4, header, b"body", &SeededEntropy::new(1), &mut bytes);
        bytes
    }

    #[test]
    fn a_frame_opens_in_its_place_and_nowhere_else() {
        let bytes = encoded();
        assert_eq!(bytes.len(), frame_bytes(4));
        let frame = Frame::at(&bytes, 4, 0).unwrap();
        assert_eq!((frame.header.count, frame.header.number, frame.header.first, frame.header.watermark), (3, 9, 7, 8));
        assert_eq!(frame.header.frame_bytes(), bytes.len());
        assert_eq!(codec().open(4, &frame).unwrap(), b"body");
        assert!(Frame::at(&bytes, 5, 0).is_none(), "another segment");
        assert!(codec().open(5, &frame).is_err(), "another segment");
        let moved = [vec![0; 8], bytes.clone()].concat();
        assert!(Frame::at(&moved, 4, 8).is_none(), "another offset");
        let journal = FrameCodec::new(Key::from_bytes([5; 32]), OWNER, Stream::Journal);
        assert_eq!(journal.open(4, &frame).unwrap_err(), OpenError::WrongKey);
    }

    #[test]
    fn a_frame_with_numbers_that_no_log_gets_to_is_none() {
        let sound = Header { len: sealed_len(4), count: 3, number: NUMBER_MAX, first: 7, offset: 0, watermark: 8 };
        for (header, reads) in [
            (sound, true),
            (Header { number: NUMBER_MAX + 1, ..sound }, false),
            (Header { first: u64::MAX, ..sound }, false),
            (Header { watermark: u64::MAX, ..sound }, false),
        ] {
            let mut bytes = Vec::new();
            codec().encode(4, header, b"body", &SeededEntropy::new(1), &mut bytes);
            assert_eq!(Frame::at(&bytes, 4, 0).is_some(), reads, "{header:?}");
        }
    }

    #[test]
    fn every_flipped_bit_of_a_frame_fails_its_checksum() {
        let bytes = encoded();
        let covered = HEADER_BYTES + sealed::OVERHEAD_BYTES + 4;
        for bit in 0..covered * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Frame::at(&damaged, 4, 0).is_none(), "bit {bit} made no difference");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_a_frame_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let mut with_magic = MAGIC.to_vec();
            with_magic.extend(&bytes);
            assert!(Frame::at(&with_magic, 0, 0).is_none());
        }
    }
}

//! How much memory one execution took, against how much its input may be worth.

use crate::ALLOCATOR;

/// What an input of `length` bytes may take: so much, and so much for each byte.
#[derive(Clone, Copy)]
pub(crate) struct Worth {
    pub(crate) bytes: usize,
    pub(crate) each: usize,
}

/// For parsers: what they keep is bounded by what they read.
pub(crate) const PLAIN: Worth = Worth { bytes: 4 << 20, each: 256 };
/// Where pieces have a longest length of their own: chunks of snapshots.
pub(crate) const PIECES: Worth = Worth { bytes: 64 << 20, each: 256 };
/// Where a whole node answers, or something compiles what it reads under a bound of its own.
pub(crate) const BOUNDED: Worth = Worth { bytes: 96 << 20, each: 1024 };

/// The memory in use, from where the peak is counted.
pub(crate) fn begin() -> usize {
    ALLOCATOR.reset_peak_usage();
    ALLOCATOR.current_usage()
}

/// Ends the program where the execution since [`begin`] took more than its input is worth.
pub(crate) fn end(before: usize, worth: Worth, length: usize) {
    let (taken, most) = (ALLOCATOR.peak_usage().saturating_sub(before), worth.bytes + worth.each * length);
    assert!(taken <= most, "an input of {length} bytes took {taken} bytes of memory, at most {most} are expected");
}

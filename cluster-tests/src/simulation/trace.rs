//! What happened, as one number.

use std::fmt::Display;

/// The number of FNV-1a, 64 bits, and what it grows by.
const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

/// Takes in everything that the world did and saw, in order. Runs that differ anywhere differ here.
#[derive(Clone, Debug)]
pub struct Trace {
    hash: u64,
    lines: u64,
    verbose: bool,
}

impl Trace {
    /// Nothing yet. `verbose` shows every line on standard error.
    #[must_use]
    pub fn new(verbose: bool) -> Trace {
        Trace { hash: BASIS, lines: 0, verbose }
    }

    pub(super) fn line(&mut self, at_ms: u64, what: impl Display) {
        let line = format!("{at_ms:>9} ms  {what}\n");
        for byte in line.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(PRIME);
        }
        self.lines += 1;
        if self.verbose {
            use std::io::Write;
            // Whoever reads it may have gone.
            let _ = std::io::stderr().write_all(line.as_bytes());
        }
    }

    /// The number.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// How many lines it stands for.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.lines
    }
}

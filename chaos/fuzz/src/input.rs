//! Cuts an input into the parts that a target is about. What is missing is zero or empty, so that no input is useless.

/// What is left of an input.
pub(crate) struct Input<'a>(pub(crate) &'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn byte(&mut self) -> u8 {
        self.array::<1>()[0]
    }

    pub(crate) fn number(&mut self) -> u64 {
        // Small ones mostly: they are what reaches far.
        match self.byte() {
            255 => u64::from_be_bytes(self.array()),
            small => small.into(),
        }
    }

    pub(crate) fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut array = [0; N];
        let (taken, rest) = self.0.split_at(N.min(self.0.len()));
        array[..taken.len()].copy_from_slice(taken);
        self.0 = rest;
        array
    }

    /// As many bytes as the two before them say.
    pub(crate) fn part(&mut self) -> &'a [u8] {
        let length = usize::from(u16::from_be_bytes(self.array())).min(self.0.len());
        let (part, rest) = self.0.split_at(length);
        self.0 = rest;
        part
    }
}

/// The opposite of [`Input::part`], for seeds.
pub(crate) fn part(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    [&length.to_be_bytes()[..], &bytes[..length.into()]].concat()
}

/// A text as a parser is given it: what is no text is nothing that it could be given.
pub(crate) fn text(bytes: &[u8]) -> &str {
    match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
    }
}

/// That a form is stable: what was read and written once reads and writes the same again. `again` reads and writes.
pub(crate) fn stable(bytes: &[u8], again: impl Fn(&[u8]) -> Option<Vec<u8>>) {
    let Some(once) = again(bytes) else { return };
    let twice = again(&once).expect("what was written reads");
    assert_eq!(once, twice, "a form changes when it is read and written again");
}

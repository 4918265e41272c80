//! Lower-case hexadecimal, for the few keys and ids that people see.

use std::fmt::Write as _;

/// What is wrong with a text that should be hexadecimal.
#[derive(Debug, PartialEq, Eq)]
pub enum HexError {
    /// A character that is not a hexadecimal digit, by its position.
    Digit(usize),
    /// An odd number of digits.
    Odd,
}

/// The digits of `bytes`.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The bytes that `text` stands for; upper and lower case digits are read.
///
/// # Errors
/// When a character is no digit, or one digit is missing.
pub fn decode(text: &str) -> Result<Vec<u8>, HexError> {
    let digits = text.as_bytes();
    if let Some(position) = digits.iter().position(|digit| !digit.is_ascii_hexdigit()) {
        return Err(HexError::Digit(position));
    }
    if !digits.len().is_multiple_of(2) {
        return Err(HexError::Odd);
    }
    Ok(digits.chunks_exact(2).map(|pair| (nibble(pair[0]) << 4) | nibble(pair[1])).collect())
}

fn nibble(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        b'A'..=b'F' => digit - b'A' + 10,
        _ => unreachable!("every digit was checked before"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_reads_back_as_it_was_written_and_names_a_bad_digit() {
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(decode(&encode(&bytes)).unwrap(), bytes);
        assert_eq!(decode("AbC0").unwrap(), [0xab, 0xc0]);
        assert_eq!(decode("00g0"), Err(HexError::Digit(2)));
        assert_eq!(decode("000"), Err(HexError::Odd));
    }
}

//! Accessors: what names a token or a secret id without being it.

use crate::exit::Failure;

/// What tokens, secret ids and wrapping tokens start with.
const PREFIXES: [&str; 3] = ["hf_", "hfs_", "hfw_"];

/// The accessor, unless it is what it should name: that stays on this machine.
///
/// # Errors
/// When it starts as a token, a secret id or a wrapping token does. It is not quoted.
pub(crate) fn checked(text: &str) -> Result<&str, Failure> {
    if !PREFIXES.iter().any(|prefix| text.starts_with(prefix)) {
        return Ok(text);
    }
    Err(Failure::usage(
        "cannot send that",
        "it is a token itself, not its accessor: it would stand in the journal",
        "use the accessor that `holdfast token list` or `holdfast machine secret-ids` shows; for the token in use, `holdfast token lookup`",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_in_the_place_of_its_accessor_is_refused_and_not_quoted() {
        for text in ["hf_0123456789", "hfs_0123456789", "hfw_0123456789"] {
            let failure = checked(text).err().unwrap();
            assert!(!failure.to_string().contains("0123456789"), "{failure}");
        }
        assert_eq!(checked("0198f2c1").ok(), Some("0198f2c1"));
    }
}

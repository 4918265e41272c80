//! What people see instead of a value, and text that cannot play tricks on a terminal.

/// Stands for a value of any length: the length is a hint too.
pub(crate) const MASK: &str = "••••••••";

/// Text with every control character written out: a description may not move the cursor or set a title.
pub(crate) fn harmless(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for sign in text.chars() {
        if sign.is_control() || is_bidirectional(sign) { safe.extend(sign.escape_default()) } else { safe.push(sign) }
    }
    safe
}

/// Marks that make text read in another order than it stands.
fn is_bidirectional(sign: char) -> bool {
    matches!(sign, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_written_out() {
        assert_eq!(harmless("a\u{1b}[2Jb\n"), "a\\u{1b}[2Jb\\n");
        assert_eq!(harmless("grün 🔑"), "grün 🔑");
        assert_eq!(harmless("a\u{202e}b"), "a\\u{202e}b");
    }
}

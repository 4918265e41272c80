//! What a record may quote of what somebody typed: so much of it at most, and nothing that looks like a token.
//!
//! People paste a token where its accessor belongs, and a file of keys where a path belongs. What is refused for it stands in the
//! journal for ever, so the text of it may not.

use crate::event::Event;
use crate::guard::GuardEvent;
use crate::limits;
use crate::rejection::Rejection;

/// What the texts of tokens, wrapping tokens and secret ids start with.
const PREFIXES: [&str; 3] = ["hf_", "hfs_", "hfw_"];
/// So many hexadecimal digits behind it are no word any more.
const DIGITS_MIN: usize = 16;
/// What stands in the place of one.
const BLANK: &str = "[a token]";

/// Whether any piece of `text` looks like a token, a wrapping token or a secret id.
#[must_use]
pub fn holds_token(text: &str) -> bool {
    found(text).is_some()
}

/// `text`, with everything blanked that looks like a token.
#[must_use]
pub fn without_tokens(text: String) -> String {
    let Some(first) = found(&text) else { return text };
    let mut clean = String::with_capacity(text.len());
    let (mut rest, mut next) = (text.as_str(), Some(first));
    while let Some((start, end)) = next {
        clean.push_str(&rest[..start]);
        clean.push_str(BLANK);
        rest = &rest[end..];
        next = found(rest);
    }
    clean.push_str(rest);
    clean
}

/// Where the first token starts and ends.
fn found(text: &str) -> Option<(usize, usize)> {
    let mut starts = text.match_indices("hf").map(|(start, _)| start);
    starts.find_map(|start| {
        let piece = &text[start..];
        let prefix = PREFIXES.iter().find(|prefix| piece.starts_with(**prefix))?;
        let digits = piece[prefix.len()..].bytes().take_while(u8::is_ascii_hexdigit).count();
        (digits >= DIGITS_MIN).then_some((start, start + prefix.len() + digits))
    })
}

impl Rejection {
    /// The refusal as it is told and recorded: none of its texts is long, and none holds a token.
    #[must_use]
    pub fn quotable(mut self) -> Rejection {
        for text in self.texts() {
            *text = limits::cut(without_tokens(std::mem::take(text)), limits::REFUSAL_TEXT_BYTES_MAX);
        }
        self
    }
}

impl Event {
    /// The event as it is recorded: nothing in it that somebody typed looks like a token.
    pub(crate) fn make_quotable(&mut self) {
        let clean = |text: &mut String| *text = without_tokens(std::mem::take(text));
        match self {
            Event::Refused { environment, subject, rejection, .. } => {
                [environment, subject].into_iter().chain(rejection.texts()).for_each(clean);
            }
            Event::Observed { subject, .. } | Event::AnsweredAgain { subject, .. } => clean(subject),
            Event::Guard(GuardEvent::AlertRaised { subject, text, .. }) => [subject, text].into_iter().for_each(clean),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_blanked_wherever_it_stands_and_a_word_is_not() {
        let digits = "0123456789abcdef".repeat(4);
        for prefix in PREFIXES {
            let text = format!("app/{prefix}{digits}/x, {prefix}{digits}");
            assert!(holds_token(&text));
            assert_eq!(without_tokens(text), "app/[a token]/x, [a token]");
        }
        for word in ["hf_model", "hfs_", "app/hf_cafe", "half", "hf_0000", "h\u{e4}hf_"] {
            assert_eq!(without_tokens(word.to_owned()), word);
        }
    }

    #[test]
    fn a_refusal_is_told_in_few_words() {
        let long =
            Rejection::Conflict { path: "p".repeat(5000), found: "f".repeat(5000), expected: format!("hf_{}", "0".repeat(64)) };
        let Rejection::Conflict { path, found, expected } = long.quotable() else { panic!("another refusal") };
        assert_eq!((path.len(), found.len()), (limits::REFUSAL_TEXT_BYTES_MAX, limits::REFUSAL_TEXT_BYTES_MAX));
        assert_eq!(expected, BLANK);
    }
}

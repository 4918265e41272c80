//! What the words of a refusal say of where a secret stands.

/// The newest version that a refusal names: `secret KEY does not exist`, `KEY is at v3, not v2`, `KEY is at absent, not v2`,
/// `KEY v3 is deleted: …`, `KEY is at v3 (deleted), not live`. None where it says nothing of that: such a call was not done for another
/// reason.
#[must_use]
pub fn version_named(words: &str, key: &str) -> Option<u64> {
    if words.strip_prefix("secret ").and_then(|rest| rest.strip_prefix(key)) == Some(" does not exist") {
        return Some(0);
    }
    let rest = words.strip_prefix(key)?.strip_prefix(' ')?;
    let (place, hidden_alone) = match rest.strip_prefix("is at ") {
        Some(place) => (place, false),
        None => (rest, true),
    };
    if place.starts_with("absent") {
        return Some(0);
    }
    let digits = place.strip_prefix('v')?;
    let end = digits.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(digits.len());
    let version = digits[..end].parse().ok()?;
    (!hidden_alone || digits[end..].starts_with(" is deleted")).then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_tells_where_the_secret_stands() {
        let at = |words| version_named(words, "a/k");
        assert_eq!(at("secret a/k does not exist"), Some(0));
        assert_eq!(at("a/k is at v12, not v2"), Some(12));
        assert_eq!(at("a/k is at absent, not v2"), Some(0));
        assert_eq!(at("a/k is at v3 (deleted), not live"), Some(3));
        assert_eq!(at("a/k v3 is deleted: undelete it, or name another version"), Some(3));
    }

    #[test]
    fn a_refusal_for_another_reason_says_nothing_of_the_secret() {
        for words in
            ["development is sealed: unseal it", "v3 was destroyed meanwhile", "a/k v3 is expired since 3 ms", "b/k is at v3"]
        {
            assert_eq!(version_named(words, "a/k"), None, "{words}");
        }
    }
}

//! Which paths a rule is about.

use crate::ids::check_segment;
use crate::limits;
use crate::rejection::Rejection;
use serde::{Deserialize, Serialize};

/// `db/password`, `db/+/password` (any one segment), `db/*` (all that starts so), `*`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathPattern {
    /// The pattern without its final `*`.
    stem: String,
    /// Whether it ended in `*`.
    open: bool,
    /// Whether a segment is `+`; otherwise a plain comparison does.
    wild: bool,
}

impl PathPattern {
    /// Parses a pattern.
    ///
    /// # Errors
    /// When it has a `*` elsewhere than at its end, an empty segment, or is too long.
    pub fn parse(text: &str) -> Result<PathPattern, Rejection> {
        let wrong = |why: &str| {
            let quoted: String = text.chars().take(limits::QUOTE_BYTES_MAX / 4).collect();
            Rejection::invalid(format!("path pattern {quoted:?}: {why}"))
        };
        if text.is_empty() || text.len() > limits::PATH_BYTES_MAX {
            return Err(wrong("use 1 to 512 bytes; * stands for every path"));
        }
        let (stem, open) = text.strip_suffix('*').map_or((text, false), |stem| (stem, true));
        let mut segments = stem.split('/').peekable();
        while let Some(segment) = segments.next() {
            let unfinished = open && segments.peek().is_none();
            if segment == "+" || (unfinished && segment.is_empty()) {
                continue;
            }
            check_segment(segment).map_err(wrong)?;
        }
        Ok(PathPattern { stem: stem.to_owned(), open, wild: stem.split('/').any(|segment| segment == "+") })
    }

    /// The pattern of every path.
    #[must_use]
    pub fn every() -> PathPattern {
        PathPattern { stem: String::new(), open: true, wild: false }
    }

    /// The pattern without its final `*`.
    pub(super) fn stem(&self) -> &str {
        &self.stem
    }

    /// Whether it ended in `*`.
    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    /// Whether `path` fits.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        if self.wild {
            return self.matches_by_segment(path);
        }
        if self.open { path.starts_with(&self.stem) } else { path == self.stem }
    }

    /// Whether every path that starts with `prefix` fits.
    #[must_use]
    pub fn matches_all_under(&self, prefix: &str) -> bool {
        self.open && self.matches(prefix)
    }

    /// Whether some path that starts with `prefix` could fit.
    #[must_use]
    pub fn matches_some_under(&self, prefix: &str) -> bool {
        let mut wanted = self.stem.split('/').peekable();
        let mut found = prefix.split('/').peekable();
        while let Some(candidate) = found.next() {
            let Some(segment) = wanted.next() else { return false };
            // The last segment of a prefix is the start of one, and so is that of a pattern before its `*`.
            let (begun, unfinished) = (found.peek().is_none(), self.open && wanted.peek().is_none());
            let fits = segment == "+"
                || segment == candidate
                || (begun && segment.starts_with(candidate))
                || (unfinished && candidate.starts_with(segment));
            if !fits || unfinished {
                return fits;
            }
        }
        true
    }

    fn matches_by_segment(&self, path: &str) -> bool {
        let mut found = path.split('/');
        let mut wanted = self.stem.split('/').peekable();
        while let Some(segment) = wanted.next() {
            let Some(candidate) = found.next() else { return false };
            let unfinished = self.open && wanted.peek().is_none();
            let fits = if unfinished && segment != "+" {
                candidate.starts_with(segment)
            } else {
                segment == "+" || segment == candidate
            };
            if !fits {
                return false;
            }
        }
        self.open || found.next().is_none()
    }
}

impl std::fmt::Display for PathPattern {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}{}", self.stem, if self.open { "*" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        PathPattern::parse(pattern).unwrap().matches(path)
    }

    #[test]
    fn a_pattern_matches_exactly_by_segment_or_by_start() {
        assert!(matches("db/password", "db/password"));
        assert!(!matches("db/password", "db/password2"));
        assert!(matches("db/*", "db/a/b"));
        assert!(!matches("db/*", "dbx"));
        assert!(matches("db/pass*", "db/password"));
        assert!(matches("*", "anything/at/all"));
        assert!(matches("db/+/password", "db/one/password"));
        assert!(!matches("db/+/password", "db/one/two/password"));
        assert!(!matches("db/+", "db"));
        assert!(matches("+/x/*", "a/x/b/c"));
        assert!(matches("+/x*", "a/xyz"));
        assert!(!matches("+/x*", "a/yx"));
    }

    #[test]
    fn a_pattern_with_a_star_inside_is_refused() {
        for bad in ["", "a*b", "*/a", "a//b", "/a", "a/", "a b", "**"] {
            assert!(PathPattern::parse(bad).is_err(), "{bad:?}");
        }
    }
}

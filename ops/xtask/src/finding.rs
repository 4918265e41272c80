//! What a check found.

use std::fmt;

/// One thing to change, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// Relative to the root of the workspace, with `/`.
    pub(crate) path: String,
    /// From 1; 0 where the whole file or folder is meant.
    pub(crate) line: usize,
    /// The name of the rule, as in `--only`.
    pub(crate) rule: &'static str,
    /// What is wrong and what to do.
    pub(crate) advice: String,
}

impl Finding {
    pub(crate) fn new(rule: &'static str, path: &str, line: usize, advice: impl Into<String>) -> Finding {
        Finding { path: path.to_owned(), line, rule, advice: advice.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}: {}: {}", self.path, self.line.max(1), self.rule, self.advice)
    }
}

//! Histories as text: one operation a line, as JSON.

use crate::operation::Operation;

/// A line that is no operation.
#[derive(Debug, thiserror::Error)]
#[error("line {line} is no operation: {cause}")]
pub struct BadLine {
    /// Which line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub cause: serde_json::Error,
}

/// The line of an operation, without its end.
///
/// # Panics
/// Never: an operation holds nothing that JSON cannot say.
#[must_use]
pub fn line_of(operation: &Operation) -> String {
    serde_json::to_string(operation).expect("an operation is texts and numbers")
}

/// The operations of a text. Empty lines are passed over.
///
/// # Errors
/// At the first line that is no operation. A last line that was cut off is one of those: a run that was killed leaves it, and whoever
/// judges the rest takes it away first, so that it is a person's decision.
pub fn operations_of(text: &str) -> Result<Vec<Operation>, BadLine> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines.map(|(at, line)| serde_json::from_str(line).map_err(|cause| BadLine { line: at + 1, cause })).collect()
}

//! What a check came to.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::operation::Operation;

/// Findings that a verdict shows; more of the same say nothing new.
const FINDINGS_MAX: usize = 20;
/// Operations shown with one finding.
const OPERATIONS_MAX: usize = 24;

/// How a promise was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Judgement {
    /// It was.
    Kept,
    /// It was broken.
    Violated,
    /// The search was given up: as bad as a violation, because nobody knows.
    Undecided,
}

/// One promise, judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The promise in words.
    pub promise: String,
    /// Whether it was kept.
    pub judgement: Judgement,
    /// How many things were looked at.
    pub looked_at: usize,
    /// What was found, the first twenty.
    pub findings: Vec<Finding>,
    /// All findings, those that are not shown included.
    pub findings_total: usize,
}

/// Something that an honest cluster would not have done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What is wrong, in words.
    pub what: String,
    /// The operations concerned, in the order in which they were asked for.
    pub operations: Vec<Operation>,
}

impl Finding {
    pub(crate) fn new(what: impl Into<String>, operations: impl IntoIterator<Item = Operation>) -> Finding {
        let mut operations: Vec<Operation> = operations.into_iter().collect();
        operations.sort_by_key(|operation| operation.called_ns);
        operations.truncate(OPERATIONS_MAX);
        Finding { what: what.into(), operations }
    }
}

impl Verdict {
    pub(crate) fn of(promise: &str, looked_at: usize) -> Verdict {
        let promise = promise.to_owned();
        Verdict { promise, judgement: Judgement::Kept, looked_at, findings: Vec::new(), findings_total: 0 }
    }

    pub(crate) fn violated(&mut self, finding: Finding) {
        self.judgement = Judgement::Violated;
        self.add(finding);
    }

    /// A violation that was found elsewhere outweighs a doubt.
    pub(crate) fn undecided(&mut self, finding: Finding) {
        if self.judgement == Judgement::Kept {
            self.judgement = Judgement::Undecided;
        }
        self.add(finding);
    }

    fn add(&mut self, finding: Finding) {
        self.findings_total += 1;
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        }
    }

    /// Whether the promise was kept. An undecided search was not a proof.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.judgement == Judgement::Kept
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.judgement {
            Judgement::Kept => "kept",
            Judgement::Violated => "VIOLATED",
            Judgement::Undecided => "UNDECIDED",
        };
        write!(formatter, "{word}: {} ({} looked at)", self.promise, self.looked_at)?;
        for finding in &self.findings {
            write!(formatter, "\n  {}", finding.what)?;
            for operation in &finding.operations {
                write!(formatter, "\n    {operation}")?;
            }
        }
        let more = self.findings_total - self.findings.len();
        if more > 0 { write!(formatter, "\n  and {more} more") } else { Ok(()) }
    }
}

//! What clients were told, and whether an honest cluster could have told it.
//!
//! A history is a list of [`Operation`]s: who asked for what, when the question left and when the answer came, by one observer's
//! clock. Each promise is a function that takes a history (and, where it needs them, the journal's [`Record`]s, the secrets as they
//! stand at the end, or the nodes' standings) and returns a [`Verdict`] in words, with the operations concerned:
//!
//! | promise | function |
//! |---|---|
//! | there is one order of all operations on a secret that explains every answer | [`linearizable`] |
//! | no answer is older than what had been acknowledged before it was asked for | [`never_stale`] |
//! | a request is done once, however often it was sent | [`exactly_once`] |
//! | what was acknowledged is there at the end | [`nothing_acknowledged_is_lost`] |
//! | no value was revealed without its record | [`nothing_revealed_without_record`] |
//! | the journal is the history | [`journal_is_the_history`] |
//! | nodes at the same record stand at the same chain and state | [`replicas_are_equal`] |
//!
//! # This crate never
//! waits, reads a clock, or touches a disk or a socket: the same history has the same verdict everywhere.

mod acknowledged;
mod exactly_once;
mod journal;
mod linearizable;
mod lines;
mod operation;
mod refusal;
mod register;
mod replicas;
mod stale;
mod verdict;

pub use crate::{
    acknowledged::{FinalRegister, FinalVersion, Held, nothing_acknowledged_is_lost},
    exactly_once::exactly_once,
    journal::{Record, RecordOutcome, RecordedOperation, journal_is_the_history, nothing_revealed_without_record},
    linearizable::{BUDGET_DEFAULT, linearizable},
    lines::{BadLine, line_of, operations_of},
    operation::{Call, Expect, Operation, Outcome},
    refusal::version_named,
    replicas::{Standing, replicas_are_equal},
    stale::never_stale,
    verdict::{Finding, Judgement, Verdict},
};

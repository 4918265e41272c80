//! Whether each request was done once, however often it was sent.

use std::collections::HashMap;

use uuid::Uuid;

use crate::{
    journal::Record,
    operation::{Call, Operation, Outcome},
    verdict::{Finding, Verdict},
};

/// No request made two versions, no version was made by two requests, no value stands at two versions, and no request has two
/// records that changed something. Without the journal at hand, `records` is empty.
#[must_use]
pub fn exactly_once(operations: &[Operation], records: &[Record]) -> Verdict {
    let mut verdict = Verdict::of("a request is done once, however often it was sent", operations.len() + records.len());
    one_version_a_request(operations, &mut verdict);
    one_request_a_version(operations, &mut verdict);
    one_version_a_value(operations, &mut verdict);
    one_change_a_request(operations, records, &mut verdict);
    verdict
}

fn one_version_a_request(operations: &[Operation], verdict: &mut Verdict) {
    let mut told: HashMap<(Uuid, &str), &Operation> = HashMap::new();
    for operation in operations.iter().filter(|operation| operation.changed_version().is_some()) {
        let first = *told.entry((operation.request, &operation.key)).or_insert(operation);
        if first.outcome != operation.outcome {
            let what = format!("{}: one request was answered in two ways", operation.key);
            verdict.violated(Finding::new(what, [first.clone(), operation.clone()]));
        }
    }
}

fn one_request_a_version(operations: &[Operation], verdict: &mut Verdict) {
    let mut makers: HashMap<(&str, u64), &Operation> = HashMap::new();
    for operation in operations {
        let Outcome::Written { version } = operation.outcome else { continue };
        let first = *makers.entry((&operation.key, version)).or_insert(operation);
        if first.request != operation.request {
            let what = format!("{}: two requests were told that they made v{version}", operation.key);
            verdict.violated(Finding::new(what, [first.clone(), operation.clone()]));
        }
    }
}

fn one_version_a_value(operations: &[Operation], verdict: &mut Verdict) {
    let mut places: HashMap<(&str, &str), (u64, &Operation)> = HashMap::new();
    for operation in operations {
        let (value, version) = match (&operation.call, &operation.outcome) {
            (Call::Put { value, .. }, Outcome::Written { version }) => (value, *version),
            (_, Outcome::Found { version, value }) => (value, *version),
            _ => continue,
        };
        let (first, by) = *places.entry((&operation.key, value)).or_insert((version, operation));
        if first != version {
            let what = format!("{}: the value {value} stands at v{first} and at v{version}", operation.key);
            verdict.violated(Finding::new(what, [by.clone(), operation.clone()]));
        }
    }
}

fn one_change_a_request(operations: &[Operation], records: &[Record], verdict: &mut Verdict) {
    let mut changes: HashMap<(Uuid, &str), u64> = HashMap::new();
    for record in records.iter().filter(|record| record.is_change()) {
        if let Some(first) = changes.insert((record.request, &record.subject), record.seq) {
            let what = format!(
                "{}: request {} changed it at record {first} and at record {}",
                record.subject, record.request, record.seq
            );
            let concerned = operations.iter().filter(|operation| operation.request == record.request);
            verdict.violated(Finding::new(what, concerned.cloned()));
        }
    }
}

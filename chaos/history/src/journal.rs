//! Whether the journal is the history: each answer has its record, each change its request, and their order is one that clients saw.

use std::collections::{BTreeMap, HashMap, HashSet};

use proto_record::leaf::{Leaf, Outcome as LeafOutcome};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    operation::{Call, Operation, Outcome},
    verdict::{Finding, Verdict},
};

/// Operation numbers of the journal that a history knows.
const SECRET_PUT: u16 = 10;
const SECRET_READ: u16 = 12;
const SECRET_LIST: u16 = 14;
const SECRET_DELETE: u16 = 18;

/// What the checks need of one record of the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its number.
    pub seq: u64,
    /// The leader's stamp, microseconds since 1970.
    pub stamp_us: u64,
    /// What was asked.
    pub operation: RecordedOperation,
    /// How it ended.
    pub outcome: RecordOutcome,
    /// The version concerned, 0 where none.
    pub version: u64,
    /// The id of the secret concerned, 0 where none: the record of a request that was answered again has none.
    pub secret: u64,
    /// The request id.
    pub request: Uuid,
    /// The path.
    pub subject: String,
}

/// What a record says was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecordedOperation {
    /// A put.
    Put,
    /// A read.
    Read,
    /// A listing.
    List,
    /// A delete.
    Delete,
    /// What a history does not hold.
    Other,
}

/// How a record says that it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecordOutcome {
    /// Done.
    Done,
    /// Refused, for whatever reason.
    Refused,
}

impl Record {
    /// What the checks need of a leaf.
    #[must_use]
    pub fn of(leaf: &Leaf<'_>) -> Record {
        let operation = match leaf.operation {
            SECRET_PUT => RecordedOperation::Put,
            SECRET_READ => RecordedOperation::Read,
            SECRET_LIST => RecordedOperation::List,
            SECRET_DELETE => RecordedOperation::Delete,
            _ => RecordedOperation::Other,
        };
        Record {
            seq: leaf.seq,
            stamp_us: leaf.stamp_us,
            operation,
            outcome: if leaf.outcome == LeafOutcome::Done { RecordOutcome::Done } else { RecordOutcome::Refused },
            version: leaf.version,
            secret: leaf.secret,
            request: Uuid::from_bytes(leaf.request),
            subject: leaf.subject.to_owned(),
        }
    }

    /// Whether it made or hid a version.
    #[must_use]
    pub fn is_change(&self) -> bool {
        let changing = matches!(self.operation, RecordedOperation::Put | RecordedOperation::Delete);
        changing && self.outcome == RecordOutcome::Done && self.secret != 0
    }

    fn is_revelation(&self) -> bool {
        self.operation == RecordedOperation::Read && self.outcome == RecordOutcome::Done
    }
}

/// Every value that somebody was given has a record of its own that says so: the request, the secret and the version. Where the
/// answer names its record, it is that one.
#[must_use]
pub fn nothing_revealed_without_record(operations: &[Operation], records: &[Record]) -> Verdict {
    let mut recorded: HashMap<(Uuid, &str, u64), usize> = HashMap::new();
    let mut by_seq: HashMap<u64, &Record> = HashMap::new();
    for record in records.iter().filter(|record| record.is_revelation()) {
        *recorded.entry((record.request, &record.subject, record.version)).or_default() += 1;
        by_seq.insert(record.seq, record);
    }
    let revealed = operations.iter().filter(|operation| matches!(operation.outcome, Outcome::Found { .. }));
    let mut verdict = Verdict::of("no value was revealed without its record", revealed.clone().count());
    for operation in revealed {
        let Outcome::Found { version, .. } = operation.outcome else { continue };
        let own = (operation.request, operation.key.as_str(), version);
        let told = match operation.record {
            // A record tells of one revelation: whoever names it next names one that is gone.
            Some(seq) => by_seq.remove(&seq).is_some_and(|record| {
                let request = if own.0.is_nil() { Uuid::nil() } else { record.request };
                (request, record.subject.as_str(), record.version) == own
            }),
            None => recorded.get_mut(&own).is_some_and(|left| {
                let told = *left > 0;
                *left = left.saturating_sub(1);
                told
            }),
        };
        if !told {
            let what = format!("{}: v{version} was revealed, and no record says so", operation.key);
            verdict.violated(Finding::new(what, [operation.clone()]));
        }
    }
    verdict
}

/// Records are dense and their stamps increase; each answer has its record; each change of these secrets was asked for by somebody in
/// the history; no record stands before one that was answered before it was asked for; and the changes, in the journal's order, make
/// the versions that they say. `records` are those made while the history was, without a gap.
#[must_use]
pub fn journal_is_the_history(operations: &[Operation], records: &[Record]) -> Verdict {
    let mut verdict = Verdict::of("the journal is the history", operations.len() + records.len());
    records_follow_each_other(records, &mut verdict);
    let places = Places::of(records);
    for operation in operations {
        if let Some(what) = places.what_is_wrong(operation) {
            verdict.violated(Finding::new(format!("{}: {what}", operation.key), [operation.clone()]));
        }
    }
    nobody_else_changed(operations, records, &mut verdict);
    order_agrees_with_real_time(operations, &places, &mut verdict);
    versions_count_up(records, operations, &mut verdict);
    verdict
}

fn records_follow_each_other(records: &[Record], verdict: &mut Verdict) {
    for pair in records.windows(2) {
        if pair[1].seq != pair[0].seq + 1 {
            verdict.violated(Finding::new(format!("record {} follows record {}", pair[1].seq, pair[0].seq), []));
        }
        if pair[1].stamp_us <= pair[0].stamp_us {
            verdict.violated(Finding::new(format!("the stamp of record {} is not after the one before", pair[1].seq), []));
        }
    }
}

/// The records of each request.
struct Places<'a>(HashMap<Uuid, Vec<&'a Record>>);

impl<'a> Places<'a> {
    fn of(records: &'a [Record]) -> Places<'a> {
        let mut places: HashMap<Uuid, Vec<&Record>> = HashMap::new();
        for record in records {
            places.entry(record.request).or_default().push(record);
        }
        Places(places)
    }

    fn records(&self, request: Uuid) -> &[&'a Record] {
        self.0.get(&request).map_or(&[], Vec::as_slice)
    }

    fn what_is_wrong(&self, operation: &Operation) -> Option<String> {
        let own = self.records(operation.request).iter().filter(|record| record.subject == operation.key);
        let changes: Vec<_> = own.clone().filter(|record| record.is_change()).collect();
        match operation.outcome {
            Outcome::Written { version } | Outcome::Hidden { version } => match changes.as_slice() {
                [] => Some("it was acknowledged, and no record says so".to_owned()),
                [record] if record.version != version => {
                    Some(format!("v{version} was acknowledged, and record {} says v{}", record.seq, record.version))
                }
                [_] => None,
                several => Some(format!("{} records say that it was done", several.len())),
            },
            Outcome::Refused { .. } | Outcome::NotDone if !changes.is_empty() => {
                Some(format!("it was refused, and record {} says that it was done", changes[0].seq))
            }
            Outcome::Refused { .. } if !operation.request.is_nil() && own.count() == 0 => {
                Some("it was refused, and no record says so".to_owned())
            }
            Outcome::Unknown if changes.len() > 1 => Some(format!("{} records say that it was done", changes.len())),
            // A listing's record names its prefix.
            Outcome::Seen { .. } if self.records(operation.request).is_empty() => {
                Some("it was listed, and no record says so".to_owned())
            }
            _ => None,
        }
    }
}

fn nobody_else_changed(operations: &[Operation], records: &[Record], verdict: &mut Verdict) {
    let keys: HashSet<&str> = operations.iter().map(|operation| operation.key.as_str()).collect();
    let asked: HashSet<(Uuid, &str)> = operations
        .iter()
        .filter(|operation| operation.is_write())
        .map(|operation| (operation.request, operation.key.as_str()))
        .collect();
    for record in records.iter().filter(|record| record.is_change() && keys.contains(record.subject.as_str())) {
        if !asked.contains(&(record.request, record.subject.as_str())) {
            let what = format!("{}: record {} changed it, and nobody had asked for that", record.subject, record.seq);
            verdict.violated(Finding::new(what, []));
        }
    }
}

/// An operation that was asked for after another had been answered has a later record. Where it was sent several times, any of its
/// records may be the one that was answered.
fn order_agrees_with_real_time(operations: &[Operation], places: &Places<'_>, verdict: &mut Verdict) {
    struct Placed<'a> {
        operation: &'a Operation,
        first: u64,
        last: u64,
    }
    let placed = operations.iter().filter(|operation| operation.is_answered()).filter_map(|operation| {
        if let (Outcome::Found { .. }, Some(seq)) = (&operation.outcome, operation.record) {
            return Some(Placed { operation, first: seq, last: seq });
        }
        let records = places.records(operation.request);
        let own = records.iter().filter(|record| record.subject == operation.key || matches!(operation.call, Call::Look));
        let own = own.filter(|record| operation.changed_version().is_none() || record.is_change());
        let seqs: Vec<u64> = own.map(|record| record.seq).collect();
        Some(Placed { operation, first: *seqs.first()?, last: *seqs.last()? })
    });
    let mut by_call: Vec<Placed<'_>> = placed.collect();
    by_call.sort_by_key(|placed| placed.operation.called_ns);
    let mut by_return: Vec<&Placed<'_>> = by_call.iter().collect();
    by_return.sort_by_key(|placed| placed.operation.returned_ns);
    let mut returned = by_return.into_iter().peekable();
    let mut latest: Option<&Placed<'_>> = None;
    for placed in &by_call {
        while let Some(earlier) = returned.next_if(|earlier| earlier.operation.returned_ns < placed.operation.called_ns) {
            if latest.is_none_or(|latest| latest.first < earlier.first) {
                latest = Some(earlier);
            }
        }
        if let Some(earlier) = latest.filter(|earlier| earlier.first > placed.last) {
            let what = format!(
                "record {} stands before record {}, which was answered before it was asked for",
                placed.last, earlier.first
            );
            verdict.violated(Finding::new(what, [earlier.operation.clone(), placed.operation.clone()]));
        }
    }
}

/// Replays the records of secrets that began within them. Reads of the history are of the newest version; others may be of any.
fn versions_count_up(records: &[Record], operations: &[Operation], verdict: &mut Verdict) {
    let keys: HashSet<&str> = operations.iter().map(|operation| operation.key.as_str()).collect();
    let found = || operations.iter().filter(|operation| matches!(operation.outcome, Outcome::Found { .. }));
    let requests: HashSet<Uuid> = found().map(|operation| operation.request).collect();
    let named: HashSet<u64> = found().filter_map(|operation| operation.record).collect();
    let of_the_newest = |record: &Record| requests.contains(&record.request) || named.contains(&record.seq);
    let mut newest: BTreeMap<&str, (u64, bool)> = BTreeMap::new();
    for record in records.iter().filter(|record| keys.contains(record.subject.as_str())) {
        let stands = newest.get(record.subject.as_str()).copied();
        let fits = match (record.operation, stands) {
            (RecordedOperation::Put, Some((version, _))) if record.is_change() => record.version == version + 1,
            (RecordedOperation::Delete, Some((version, live))) if record.is_change() => live && record.version == version,
            (RecordedOperation::Read, Some((version, live))) if record.is_revelation() && of_the_newest(record) => {
                live && record.version == version
            }
            // Where it stood before the first of these records, nobody knows.
            _ => true,
        };
        if !fits {
            let (version, live) = stands.unwrap_or_default();
            let hidden = if live { "" } else { ", hidden" };
            let what = format!(
                "{}: record {} concerns v{}, and the records before it leave the secret at v{version}{hidden}",
                record.subject, record.seq, record.version
            );
            verdict.violated(Finding::new(what, []));
        }
        if record.is_change() {
            newest.insert(&record.subject, (record.version, record.operation == RecordedOperation::Put));
        }
    }
}

//! What travels in one Raft entry: decisions that all rest on one revision.

use crate::event::Event;
use crate::ids::{Accessor, ClusterId, PrincipalName, RequestId, Revision, Stamp};
use proto_record::codec::{self, Kind};
use proto_record::leaf::{Leaf, Outcome};
use serde::{Deserialize, Serialize};

/// Decisions made serially on a head that stood at `based_on`. A machine whose state stands elsewhere drops the whole batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// The revision that the first decision was made on.
    pub based_on: Revision,
    /// In order.
    pub decisions: Vec<Decision>,
}

/// What one request led to: who asked, and the events. Each event is one record of the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Stamp of the first record; the i-th record's is `stamp + i`.
    pub stamp: Stamp,
    /// Who asked; `None` when no valid token was shown.
    pub actor: Option<PrincipalName>,
    /// Which token was shown.
    pub accessor: Option<Accessor>,
    /// The record that changed a policy or role last: which rules were in force.
    pub policies: Revision,
    /// The caller's request id.
    pub request: RequestId,
    /// Keyed hash of the request's content, to tell a repeated request from a reused id.
    pub fingerprint: u64,
    /// `node/address` of the caller.
    pub source: String,
    /// Invariant: never empty.
    pub events: Vec<Event>,
}

impl Batch {
    /// How many records the batch holds.
    #[must_use]
    pub fn record_count(&self) -> u64 {
        self.decisions.iter().map(|decision| decision.events.len() as u64).sum()
    }
}

impl Decision {
    /// The canonical journal leaf of the event at `at`, which is record `seq`.
    #[must_use]
    pub fn leaf(&self, at: usize, seq: Revision, cluster: &ClusterId, epoch: u32) -> Vec<u8> {
        let event = &self.events[at];
        let what = event.about_what();
        let (outcome, reason) = match event {
            Event::Refused { rejection, .. } if rejection.is_violation() => (Outcome::Violation, rejection.to_string()),
            Event::Refused { rejection, .. } if rejection.is_denial() => (Outcome::Denied, rejection.to_string()),
            Event::Refused { rejection, .. } => (Outcome::Refused, rejection.to_string()),
            _ => (Outcome::Done, String::new()),
        };
        let detail = codec::encode(Kind::Event, &*event.without_payload());
        Leaf {
            cluster: *cluster,
            epoch,
            seq: seq.0,
            stamp_us: self.stamp.0 + at as u64,
            operation: event.operation() as u16,
            outcome,
            version: what.version,
            secret: what.secret,
            policies: self.policies.0,
            accessor: self.accessor.map_or([0; 12], |accessor| accessor.0),
            request: self.request,
            actor: self.actor.as_ref().map_or("-", PrincipalName::as_str),
            source: &self.source,
            environment: what.environment,
            subject: what.subject,
            reason: &reason,
            detail: &detail,
        }
        .encode()
    }
}

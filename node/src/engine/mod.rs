//! The engine: from a command to its committed records and back.
//!
//! [`Conduit`] takes a command on any node and brings it to the leader's [`proposer`], which decides and proposes; the
//! [`fold::Fold`] applies what has committed on every node, feeds journal and [`materializer`], and publishes a [`View`].

pub(crate) mod conduit;
pub(crate) mod fold;
pub(crate) mod forward;
pub(crate) mod materializer;
pub(crate) mod proposer;
pub(crate) mod rules;
pub(crate) mod sealing;
pub(crate) mod snapshots;
pub(crate) mod standing;
pub(crate) mod stores;
pub(crate) mod values;
pub(crate) mod view;

pub(crate) use conduit::{Conduit, Lost};
pub(crate) use sealing::Sealing;
pub(crate) use values::Values;
pub(crate) use view::{Published, View};

/// A decision that nobody asked for: what tests feed to whatever folds them.
#[cfg(test)]
pub(crate) fn unasked(stamp: node_domain::ids::Stamp, event: node_domain::Event) -> node_domain::Decision {
    node_domain::Decision {
        stamp,
        actor: None,
        accessor: None,
        policies: node_domain::ids::Revision(0),
        request: [0; 16],
        fingerprint: 0,
        source: String::new(),
        events: vec![event],
    }
}

//! Managers: what the node that leads does by itself, without being asked. What they do becomes records, as everything does.

pub(crate) mod alerts;

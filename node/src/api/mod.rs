//! The gRPC services: each call is parsed, brought to its outcome by the door, and answered from the view that holds it.

pub(crate) mod access;
pub(crate) mod alerts;
pub(crate) mod audit;
pub(crate) mod cluster;
pub(crate) mod convert;
pub(crate) mod door;
pub(crate) mod environments;
pub(crate) mod identity;
pub(crate) mod keys;
pub(crate) mod listing;
pub(crate) mod policies;
pub(crate) mod policy_rules;
pub(crate) mod promotions;
pub(crate) mod reading;
pub(crate) mod restoring;
pub(crate) mod secrets;
pub(crate) mod simulation;
pub(crate) mod snapshots;
pub(crate) mod status;
pub(crate) mod streams;
pub(crate) mod throttle;
pub(crate) mod value_rules;
pub(crate) mod watch;
pub(crate) mod writing;

pub(crate) use door::Door;

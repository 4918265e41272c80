//! Where alerts go. How to reach a sink is sealed: the address of a webhook is often a secret by itself.

use super::alert::{Severity, words};
use crate::ids::{SinkName, Stamp};
use crate::limits;
use crate::rejection::Rejection;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

words! {
    /// How a sink is reached.
    SinkKind, "the kind of a sink" {
        /// A signed POST.
        Webhook "webhook",
        /// A mail.
        Smtp "smtp",
        /// A line in the log of the node that leads.
        Log "log",
    }
}

/// One place where alerts go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sink {
    /// Its name.
    pub name: SinkName,
    /// How it is reached.
    pub kind: SinkKind,
    /// Where, as far as everybody with a view of alerts may know: `https://hooks.example.com`.
    pub place: String,
    /// Address and credentials, sealed; opened only by the node that delivers.
    pub sealed: Bytes,
    /// Alerts that matter less are not sent there.
    pub least: Severity,
    /// Deliveries.
    pub delivered: u64,
    /// Failures since the last delivery.
    pub failures: u32,
    /// No delivery is tried before.
    pub resumes: Stamp,
    /// What went wrong the last time, since the last delivery.
    pub last_error: String,
}

/// A sink that somebody asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkWish {
    /// Its name.
    pub name: SinkName,
    /// How it is reached.
    pub kind: SinkKind,
    /// Where, without anything secret.
    pub place: String,
    /// Address and credentials, sealed.
    pub sealed: Bytes,
    /// Alerts that matter less are not sent there.
    pub least: Severity,
}

impl SinkWish {
    pub(super) fn check(&self) -> Result<(), Rejection> {
        if self.place.len() > limits::TEXT_BYTES_MAX || self.sealed.len() > limits::SINK_BYTES_MAX {
            return Err(Rejection::Limit(format!(
                "address and credentials of a sink are at most {} bytes",
                limits::SINK_BYTES_MAX
            )));
        }
        Ok(())
    }
}

impl Sink {
    pub(super) fn new(wish: SinkWish) -> Sink {
        let SinkWish { name, kind, place, sealed, least } = wish;
        Sink { name, kind, place, sealed, least, delivered: 0, failures: 0, resumes: Stamp(0), last_error: String::new() }
    }

    /// How long a sink that failed is left alone: it doubles from a second to ten minutes.
    pub(super) fn wait_ms(&self) -> u64 {
        (limits::SINK_WAIT_MS_MIN << self.failures.saturating_sub(1).min(16)).min(limits::SINK_WAIT_MS_MAX)
    }
}

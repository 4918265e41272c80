//! What a drill found: a document that is signed with the cluster's key, and a few lines for people.

use std::{
    io::{self, Write},
    path::Path,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use serde::Serialize;
use storage_crypto::{Signer, hex};

use super::scratch::Restored;
use crate::output::time;

const SIGNED_CONTEXT: &[u8] = b"holdfast/v1/drill report\n";

/// One thing that was looked at.
#[derive(Serialize)]
pub(super) struct Step {
    what: String,
    passed: bool,
    detail: String,
    after_ms: u64,
}

impl Step {
    pub(super) fn took(started: Instant) -> u64 {
        u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// What a drill found.
#[derive(Serialize)]
pub(super) struct Report {
    schema: &'static str,
    from: String,
    pub(super) made_ms: u64,
    pub(super) revision: u64,
    pub(super) secrets: u64,
    values: u64,
    bytes: u64,
    files: Vec<String>,
    chain: String,
    state_digest: String,
    /// From the start to the first secret that was answered.
    pub(super) recovered_ms: u64,
    pub(super) total_ms: u64,
    steps: Vec<Step>,
}

impl Report {
    pub(super) fn new(from: &str) -> Report {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
        Report {
            schema: "holdfast/v1/drill",
            from: from.to_owned(),
            made_ms: now,
            revision: 0,
            secrets: 0,
            values: 0,
            bytes: 0,
            files: Vec::new(),
            chain: String::new(),
            state_digest: String::new(),
            recovered_ms: 0,
            total_ms: 0,
            steps: Vec::new(),
        }
    }

    pub(super) fn restored(&mut self, restored: &Restored, after_ms: u64) {
        (self.revision, self.secrets, self.values) = (restored.revision, restored.secrets, restored.values);
        (self.bytes, self.files) = (restored.bytes, restored.files.clone());
        (self.chain, self.state_digest) = (restored.chain.clone(), restored.state_digest.clone());
        self.step("snapshots whole, signed, and folded to the state that they name", after_ms);
    }

    pub(super) fn step(&mut self, what: &str, after_ms: u64) {
        self.steps.push(Step { what: what.to_owned(), passed: true, detail: String::new(), after_ms });
    }

    pub(super) fn checked(&mut self, what: &str, passed: bool, detail: impl Into<String>) {
        self.steps.push(Step { what: what.to_owned(), passed, detail: detail.into(), after_ms: 0 });
    }

    pub(super) fn fail(&mut self, what: &str, detail: &str) {
        self.checked(what, false, detail);
    }

    pub(super) fn passed(&self) -> bool {
        !self.steps.is_empty() && self.steps.iter().all(|step| step.passed)
    }

    /// One line of JSON, one line with its signature.
    pub(super) fn sign(&self, signer: &Signer) -> Vec<u8> {
        // Texts and numbers always serialize.
        let json = serde_json::to_vec(self).unwrap_or_default();
        let signature = signer.sign(&[SIGNED_CONTEXT, &json].concat());
        let line = format!("\n{} {}\n", signer.public(), hex::encode(&signature));
        [&json[..], line.as_bytes()].concat()
    }

    pub(super) fn people(&self, out: &mut dyn Write, path: &Path) -> io::Result<()> {
        for step in &self.steps {
            let mark = if step.passed { "ok    " } else { "failed" };
            let after = if step.after_ms > 0 { format!(" ({:.1} s)", step.after_ms as f64 / 1000.0) } else { String::new() };
            let detail = if step.detail.is_empty() { String::new() } else { format!(": {}", step.detail) };
            writeln!(out, "{mark}  {}{detail}{after}", step.what)?;
        }
        writeln!(
            out,
            "{} secrets, {} values, {} bytes of {} at record {}; the first secret after {:.1} s",
            self.secrets,
            self.values,
            self.bytes,
            time::local(self.made_ms),
            self.revision,
            self.recovered_ms as f64 / 1000.0
        )?;
        writeln!(out, "signed report: {}", path.display())
    }
}

/// What stands for a report in the journal.
pub(super) fn digest(signed: &[u8]) -> [u8; 32] {
    *blake3::hash(signed).as_bytes()
}

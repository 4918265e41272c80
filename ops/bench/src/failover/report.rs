//! What is told in the end: a histogram for each fault, and what must hold.

use std::{io::Write, path::Path, time::Duration};

use serde::Serialize;

use super::{
    FailoverPlan, Kind, Net,
    checks::Findings,
    faults::{Figures, Round},
    history::Told,
    stage::Stage,
};
use crate::fault::Fault;

/// Bars are at most this long.
const BAR: usize = 40;

/// The outcome of a drill.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    network: Net,
    setting: String,
    secrets: u64,
    faults: Vec<Row>,
    skipped: Vec<Kind>,
    writes_acknowledged: u64,
    writes_failed: u64,
    reads_answered_by_node: Vec<u64>,
    reads_failed: u64,
    findings: Findings,
    secrets_lost: u64,
}

/// One fault. Times in milliseconds.
#[derive(Debug, Serialize)]
struct Row {
    fault: Kind,
    rounds: usize,
    target_ms: f64,
    met: bool,
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    /// The slowest single writer of each round.
    writer_p50_ms: f64,
    writer_max_ms: f64,
    comeback_max_ms: f64,
    terms_max: u64,
    gaps_ms: Vec<f64>,
}

impl Row {
    fn of(figures: &Figures) -> Row {
        let sorted = |gap: fn(&Round) -> Duration| {
            let mut times: Vec<f64> = figures.rounds.iter().map(|round| gap(round).as_secs_f64() * 1000.0).collect();
            times.sort_by(f64::total_cmp);
            times
        };
        let (gaps, writers) = (sorted(|round| round.gap), sorted(|round| round.writer));
        let comeback = sorted(|round| round.comeback);
        let (p99_ms, target_ms) = (quantile(&gaps, 0.99), figures.kind.target_ms());
        Row {
            fault: figures.kind,
            rounds: gaps.len(),
            target_ms,
            met: p99_ms <= target_ms,
            p50_ms: quantile(&gaps, 0.5),
            p99_ms,
            max_ms: quantile(&gaps, 1.0),
            writer_p50_ms: quantile(&writers, 0.5),
            writer_max_ms: quantile(&writers, 1.0),
            comeback_max_ms: quantile(&comeback, 1.0),
            terms_max: figures.rounds.iter().map(|round| round.terms).max().unwrap_or(0),
            gaps_ms: gaps,
        }
    }

    fn write(&self, out: &mut dyn Write) -> std::io::Result<()> {
        let met = if self.met { "met" } else { "MISSED" };
        writeln!(out, "\n{}, {} times: no write was acknowledged for", self.fault.title(), self.rounds)?;
        writeln!(
            out,
            "  p50 {:.0} ms, p99 {:.0} ms, max {:.0} ms (target p99 {:.0} ms: {met})",
            self.p50_ms, self.p99_ms, self.max_ms, self.target_ms
        )?;
        writeln!(
            out,
            "  slowest writer: p50 {:.0} ms, max {:.0} ms; while it came back: max {:.0} ms; terms: at most {} a round",
            self.writer_p50_ms, self.writer_max_ms, self.comeback_max_ms, self.terms_max
        )?;
        let width = self.target_ms / 20.0;
        for (bucket, count) in buckets(&self.gaps_ms, width) {
            let (from, to) = (bucket as f64 * width, (bucket + 1) as f64 * width);
            let bar = "#".repeat((count * BAR).div_ceil(self.rounds.max(1)));
            writeln!(out, "  {from:>7.1} – {to:>7.1} ms {count:>4} {bar}")?;
        }
        Ok(())
    }
}

impl Report {
    pub(super) fn of(
        plan: &FailoverPlan,
        stage: &Stage,
        skipped: Vec<Kind>,
        figures: Vec<Figures>,
        told: &Told,
        findings: Findings,
    ) -> Report {
        let by_node = (0..stage.nodes()).map(|node| told.reads.iter().filter(|read| read.node == node).count() as u64);
        Report {
            network: plan.network,
            setting: stage.description(),
            secrets: plan.secrets,
            faults: figures.iter().map(Row::of).collect(),
            skipped,
            writes_acknowledged: told.writes.len() as u64,
            writes_failed: told.writes_failed,
            reads_answered_by_node: by_node.collect(),
            reads_failed: told.reads_failed,
            secrets_lost: plan.secrets.saturating_sub(findings.secrets),
            findings,
        }
    }

    /// Whether nothing was lost, no write failed after its retries, and every target was met.
    pub(super) fn is_good(&self) -> bool {
        self.findings.broken == 0 && self.secrets_lost == 0 && self.writes_failed == 0 && self.faults.iter().all(|row| row.met)
    }

    /// Shows it to people, and to a machine where a file is named.
    pub(super) fn show(&self, json: Option<&Path>) -> Result<(), Fault> {
        let mut out = std::io::stdout().lock();
        self.write(&mut out).map_err(Fault::io("write the report to", Path::new("the terminal")))?;
        let Some(path) = json else { return Ok(()) };
        let text = serde_json::to_vec_pretty(self).map_err(|error| Fault::Unexpected(format!("write JSON: {error}")))?;
        std::fs::write(path, text).map_err(Fault::io("write", path))
    }

    fn write(&self, out: &mut dyn Write) -> std::io::Result<()> {
        writeln!(out, "{}; {} secrets", self.setting, self.secrets)?;
        for row in &self.faults {
            row.write(out)?;
        }
        let by_node: Vec<String> =
            self.reads_answered_by_node.iter().enumerate().map(|(node, count)| format!("node {}: {count}", node + 1)).collect();
        writeln!(out, "\n{} writes acknowledged, {} failed after retries", self.writes_acknowledged, self.writes_failed)?;
        writeln!(out, "reads answered: {}; {} not answered by their one node", by_node.join(", "), self.reads_failed)?;
        writeln!(out, "{} records on every node's journal, with equal chains unless said otherwise", self.findings.records)?;
        writeln!(out, "{} secrets lost, {} promises broken", self.secrets_lost, self.findings.broken)?;
        self.findings.complaints.iter().try_for_each(|complaint| writeln!(out, "  {complaint}"))
    }
}

/// The smallest time that `share` of all, which are sorted, do not exceed.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
}

/// How many of the sorted times fall into each bucket, empty ones left out.
fn buckets(sorted: &[f64], width: f64) -> Vec<(u64, usize)> {
    let mut counted: Vec<(u64, usize)> = Vec::new();
    for time in sorted {
        let bucket = (time / width) as u64;
        match counted.last_mut() {
            Some((last, count)) if *last == bucket => *count += 1,
            _ => counted.push((bucket, 1)),
        }
    }
    counted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_thirty_rounds_the_worst_is_the_99th_percentile() {
        let times: Vec<f64> = (1..=30).map(f64::from).collect();
        assert!((quantile(&times, 0.99) - 30.0).abs() < f64::EPSILON);
        assert!((quantile(&times, 0.5) - 15.0).abs() < f64::EPSILON);
        assert!(quantile(&[], 0.5).abs() < f64::EPSILON);
    }

    #[test]
    fn buckets_count_what_falls_into_them() {
        assert_eq!(buckets(&[1.0, 9.0, 10.0, 35.0], 10.0), [(0, 2), (1, 1), (3, 1)]);
    }
}

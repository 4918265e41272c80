//! What to measure, for how long, and on which cluster.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::Serialize;

use crate::{failover::FailoverPlan, restore::RestorePlan};

/// Secrets in one `GetMany`.
pub(crate) const MANY: usize = 32;
/// Streams of reads open at once …
pub(crate) const STREAMS: usize = 4;
/// … and reads under way on each.
pub(crate) const STREAM_WINDOW: usize = 64;
/// Calls of `GetMany` under way.
pub(crate) const MANY_IN_FLIGHT: usize = 16;
/// Rules of each policy that `--policies` asks for.
pub(crate) const RULES: usize = 20;
/// Policies that the caller's token may name beside its own.
const POLICIES_MAX: u64 = 255;
/// Calls under way at once that `--in-flight` may ask for.
const IN_FLIGHT_MAX: u64 = 4096;

#[derive(Parser)]
#[command(name = "ops-bench", version, about = "Measures a cluster of three beside the raw disk and a bare echo", after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) other: Option<Other>,
    #[command(flatten)]
    pub(crate) plan: Plan,
}

const EXAMPLES: &str = "Examples:
  ops-bench                                          everything, about two minutes
  ops-bench --seconds 10 --json figures.json         longer slots, and the figures for a machine
  ops-bench --only reads,echo --in-flight 64         one comparison
  ops-bench --only reads --policies 0                how much of a read is authorization: compare with 200
  ops-bench failover --secrets 1000 --rounds 3       the leader lost in every way that loopback allows
  ops-bench restore --secrets 20000                  everything lost, and brought back
  ops-bench --attach kit/client.toml                 a cluster that runs already";

#[derive(Subcommand)]
pub(crate) enum Other {
    /// Take the leader away again and again, and measure how long nobody is answered
    Failover(FailoverPlan),
    /// Lose a whole cluster, bring it back from a snapshot, and measure time and memory
    Restore(RestorePlan),
    /// The bare echo server, as a process of its own
    #[command(hide = true)]
    Echo,
}

/// A run.
#[derive(Args, Clone, Debug)]
pub(crate) struct Plan {
    /// Seconds that each row is measured, over all rounds
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) seconds: u64,
    /// Rounds that the seconds are divided into; the median of them is told
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=99))]
    pub(crate) rounds: u64,
    /// Measure only these
    #[arg(long, value_enum, value_delimiter = ',', value_name = "WORK")]
    pub(crate) only: Vec<Work>,
    /// Calls under way at once, for writes, reads and the echo
    #[arg(long, value_delimiter = ',', default_value = "1,16,64,256", value_parser = clap::value_parser!(u64).range(1..=IN_FLIGHT_MAX))]
    pub(crate) in_flight: Vec<u64>,
    /// Policies of 20 rules that the caller holds beside the one that counts
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(0..=POLICIES_MAX))]
    pub(crate) policies: u64,
    /// Write the figures to this file as well
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Measure the running cluster that these settings lead to (the `client.toml` of its kit)
    #[arg(long, value_name = "CLIENT_TOML")]
    pub(crate) attach: Option<PathBuf>,
    /// Environment that is written to and read from, below `bench/`
    #[arg(long, default_value = "development")]
    pub(crate) environment: String,
    /// Where the cluster and the file for the raw disk are put; a real disk, or figures of writes mean nothing
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) directory: Option<PathBuf>,
}

/// A kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Work {
    /// `fdatasync` after each 1 KiB written to a pre-written file
    Disk,
    /// `Get`, answered by a bare tonic server with a constant
    Echo,
    /// `Put` of 1 KiB
    Writes,
    /// `Get` of 1 KiB, on the journal before it is answered
    Reads,
    /// `GetMany` of 32
    Many,
    /// `GetStream`
    Stream,
}

/// One kind of work with so much of it under way: a row of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Measure {
    pub(crate) work: Work,
    /// Calls, or reads of streams, under way at once.
    pub(crate) in_flight: usize,
}

impl Plan {
    /// The rows, in the order of the report.
    pub(crate) fn measures(&self) -> Vec<Measure> {
        let wanted = |work: &Work| self.only.is_empty() || self.only.contains(work);
        let mut measures: Vec<_> =
            Work::value_variants().iter().filter(|work| wanted(work)).flat_map(|work| self.levels(*work)).collect();
        measures.sort_unstable();
        measures.dedup();
        measures
    }

    fn levels(&self, work: Work) -> Vec<Measure> {
        let levels = match work {
            Work::Disk => vec![1],
            Work::Many => vec![MANY_IN_FLIGHT],
            Work::Stream => vec![STREAMS * STREAM_WINDOW],
            Work::Echo | Work::Writes | Work::Reads => {
                self.in_flight.iter().map(|level| usize::try_from(*level).unwrap_or(usize::MAX)).collect()
            }
        };
        levels.into_iter().map(|in_flight| Measure { work, in_flight }).collect()
    }
}

impl Work {
    /// What a row is called.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Work::Disk => "fdatasync of 1 KiB",
            Work::Echo => "bare echo",
            Work::Writes => "write 1 KiB",
            Work::Reads => "audited read",
            Work::Many => "audited GetMany(32)",
            Work::Stream => "audited GetStream",
        }
    }

    /// Whether the cluster does it.
    pub(crate) fn needs_cluster(self) -> bool {
        !matches!(self, Work::Disk | Work::Echo)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(words: &[&str]) -> Plan {
        Arguments::try_parse_from([&["ops-bench"], words].concat()).unwrap().plan
    }

    #[test]
    fn everything_is_measured_unless_told_otherwise() {
        let measures = plan(&[]).measures();
        assert_eq!(measures.len(), 1 + 4 + 4 + 4 + 1 + 1);
        assert_eq!(measures.first(), Some(&Measure { work: Work::Disk, in_flight: 1 }));
    }

    #[test]
    fn a_row_stands_once_however_often_it_is_named() {
        let measures = plan(&["--only", "reads,disk,reads", "--in-flight", "64,1,64"]).measures();
        let row = |work, in_flight| Measure { work, in_flight };
        assert_eq!(measures, [row(Work::Disk, 1), row(Work::Reads, 1), row(Work::Reads, 64)]);
    }

    #[test]
    fn nothing_in_flight_is_refused() {
        assert!(Arguments::try_parse_from(["ops-bench", "--in-flight", "0"]).is_err());
    }
}

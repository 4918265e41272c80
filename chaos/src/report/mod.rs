//! What a run came to: JSON for machines, a page for people.

mod chart;
mod headline;
mod page;
mod replay;
mod series;

use std::{collections::BTreeMap, path::Path};

use chaos_history::{Operation, Outcome, Verdict, operations_of};
use serde::{Deserialize, Serialize};

use crate::{
    nemesis::{Kind, Strike},
    plan::{FaultPlan, Plan, Span},
    run::{Order, Played},
    stage::cpu::Busy,
    trouble::Trouble,
};

/// The names of a run's files.
pub(crate) const HISTORY: &str = "history.jsonl";
const JSON: &str = "report.json";
const PAGE: &str = "report.html";

/// Everything that a run came to, but the history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Whether every promise was kept, and the run meant something.
    pub(crate) passed: bool,
    /// The plan's name, and the plan.
    pub(crate) name: String,
    pub(crate) plan: Plan,
    pub(crate) seed: u64,
    /// How to do it again.
    pub(crate) replay: String,
    /// When it began, by the clock on the wall.
    pub(crate) began: String,
    /// How long faults struck, and how long everything took.
    pub(crate) lasted: Span,
    pub(crate) took_ms: u64,
    pub(crate) healed_at_ms: u64,
    /// Whose cluster.
    pub(crate) cluster: String,
    pub(crate) strikes: Vec<Strike>,
    /// Faults of the plan that can not strike here, and whether they fail the run.
    pub(crate) skipped: Vec<Skipped>,
    #[serde(default)]
    pub(crate) strict: bool,
    pub(crate) faults: Vec<FaultCount>,
    /// How busy our own nodes kept the machine while clients worked.
    #[serde(default)]
    pub(crate) busy: Option<Busy>,
    /// Answers that count as unknown, because the power of all nodes was failing.
    #[serde(default)]
    pub(crate) doubted: u64,
    /// Nodes that ended by themselves outside a fault, and panics.
    pub(crate) deaths: Vec<String>,
    /// Operations by what they were and what came of them.
    pub(crate) operations: BTreeMap<String, BTreeMap<String, u64>>,
    pub(crate) verdicts: Vec<Verdict>,
}

/// A fault that can not strike here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Skipped {
    pub(crate) kind: Kind,
    pub(crate) why: String,
}

/// How often a fault struck.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FaultCount {
    pub(crate) kind: Kind,
    pub(crate) struck: usize,
    pub(crate) missed: usize,
    /// How often the plan wants it.
    pub(crate) wanted: u32,
}

/// The report of a run.
pub(crate) fn of_run(
    order: &Order,
    faults: &[FaultPlan],
    skipped: Vec<Skipped>,
    played: &Played,
    verdicts: Vec<Verdict>,
) -> Report {
    let count = |fault: &FaultPlan| {
        let of_kind = || played.strikes.iter().filter(|strike| strike.kind == fault.kind);
        let struck = of_kind().filter(|strike| strike.fired).count();
        FaultCount { kind: fault.kind, struck, missed: of_kind().count() - struck, wanted: fault.times_min }
    };
    Report {
        passed: verdicts.iter().all(Verdict::is_kept),
        name: order.name.clone(),
        plan: order.plan.clone(),
        seed: order.seed,
        replay: replay::of(order),
        began: played.began.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        lasted: Span(order.lasts),
        took_ms: played.took_ms,
        healed_at_ms: played.healed_at_ms,
        cluster: if order.attach.is_some() {
            "a running cluster".into()
        } else {
            format!("{} new nodes on this machine", order.plan.nodes)
        },
        strikes: played.strikes.clone(),
        skipped,
        strict: order.strict,
        busy: played.busy,
        doubted: played.doubted,
        faults: faults.iter().map(count).collect(),
        deaths: played.deaths.clone(),
        operations: by_outcome(&played.operations),
        verdicts,
    }
}

fn by_outcome(operations: &[Operation]) -> BTreeMap<String, BTreeMap<String, u64>> {
    let mut counts: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
    for operation in operations {
        let outcome = match operation.outcome {
            Outcome::Written { .. } | Outcome::Found { .. } | Outcome::Seen { .. } | Outcome::Hidden { .. } => "done",
            Outcome::Refused { .. } => "refused",
            Outcome::NotDone => "not done",
            Outcome::Unknown => "unknown",
        };
        let call = match operation.call {
            chaos_history::Call::Put { .. } => "put",
            chaos_history::Call::Get => "get",
            chaos_history::Call::Look => "list",
            chaos_history::Call::Delete => "delete",
        };
        *counts.entry(call.to_owned()).or_default().entry(outcome.to_owned()).or_default() += 1;
    }
    counts
}

/// Writes the report into a run's directory.
pub(crate) fn write(directory: &Path, report: &Report, operations: &[Operation]) -> Result<(), Trouble> {
    let json = serde_json::to_vec_pretty(report).map_err(|error| Trouble::unusable("the report", error))?;
    let path = directory.join(JSON);
    std::fs::write(&path, json).map_err(Trouble::io("write", &path))?;
    let path = directory.join(PAGE);
    std::fs::write(&path, page::of(report, operations)).map_err(Trouble::io("write", &path))
}

/// Makes the page of a run's directory anew; the report.
pub(crate) fn again(directory: &Path) -> Result<Report, Trouble> {
    let path = directory.join(JSON);
    let text = std::fs::read_to_string(&path).map_err(Trouble::io("read", &path))?;
    let report: Report = serde_json::from_str(&text).map_err(|error| Trouble::unusable(path.display().to_string(), error))?;
    let history = directory.join(HISTORY);
    let operations = operations_of(&std::fs::read_to_string(&history).map_err(Trouble::io("read", &history))?);
    let operations = operations.map_err(|error| Trouble::unusable(history.display().to_string(), error))?;
    write(directory, &report, &operations)?;
    Ok(report)
}

/// What a person at the terminal wants to know.
pub(crate) fn summary(report: &Report, directory: &Path) -> String {
    let mut text = String::new();
    let struck: usize = report.faults.iter().map(|fault| fault.struck).sum();
    let answered: u64 = report
        .operations
        .values()
        .flat_map(|by| by.iter())
        .filter(|(outcome, _)| is_answer(outcome))
        .map(|(_, count)| count)
        .sum();
    text.push_str(&format!("{answered} operations answered, {struck} faults struck\n"));
    for fault in &report.faults {
        text.push_str(&format!("  {:<18} {:>4} times", fault.kind.word(), fault.struck));
        if fault.missed > 0 {
            text.push_str(&format!(", missed {}", fault.missed));
        }
        text.push('\n');
    }
    for Skipped { kind, why } in &report.skipped {
        text.push_str(&format!("  {:<18} skipped: {why}\n", kind.word()));
    }
    if let Some(busy) = &report.busy {
        text.push_str(&format!("{busy}\n"));
    }
    text.extend(doubted(report).map(|line| line + "\n"));
    for verdict in &report.verdicts {
        text.push_str(&format!("{verdict}\n"));
    }
    let word = if report.passed { "passed" } else { "FAILED" };
    let struck = headline::faults(&report.faults, &report.skipped);
    text.push_str(&format!("{word}; {struck}; {}\n", directory.join(PAGE).display()));
    text.push_str(&format!("again: {}", report.replay));
    text
}

/// What a fault made of answers, in words; nothing where it made nothing of them.
fn doubted(report: &Report) -> Option<String> {
    let answers = |count: u64| format!("{count} answers came while the power of all nodes was failing, and count as unknown");
    Some(report.doubted).filter(|count| *count > 0).map(answers)
}

fn is_answer(outcome: &str) -> bool {
    outcome == "done" || outcome == "refused"
}

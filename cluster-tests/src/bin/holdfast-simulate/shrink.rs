//! A failing seed, made smaller: fewer steps, and fewer kinds of them.

use crate::process::{self, Bug, Report};
use crate::{Wanted, show};
use cluster_tests::simulation::Without;

/// Below so many steps nothing is worth another run.
const STEPS_MIN: u64 = 5;

/// Whether the seed fails; says with how little it still does.
pub(crate) fn found(seed: u64, wanted: &Wanted) -> bool {
    let first = process::of(seed, wanted, Bug::None);
    if first.findings.is_empty() {
        show(&format!("seed {seed}: nothing found, so there is nothing to shrink"));
        return false;
    }
    let mut smallest = Smallest { seed, wanted: as_far_as(wanted, &first), report: first, runs: 1 };
    smallest.shorten();
    smallest.leave_out();
    smallest.shorten();
    let Smallest { wanted, report, runs, .. } = &smallest;
    let finding = report.findings.join("\n  ");
    show(&format!("seed {seed}, after {runs} runs:\n  {finding}\n  again: {} --trace", process::again(seed, wanted)));
    true
}

/// No further than the walk came.
fn as_far_as(wanted: &Wanted, report: &Report) -> Wanted {
    let walked = report.counts.get("steps").copied().unwrap_or(wanted.steps);
    Wanted { steps: walked.min(wanted.steps), ..wanted.clone() }
}

/// The smallest walk so far that fails.
struct Smallest {
    seed: u64,
    wanted: Wanted,
    report: Report,
    runs: u64,
}

impl Smallest {
    /// Takes a walk for the smallest where it fails, too. In whatever way: one mistake shows in several.
    fn try_on(&mut self, wanted: Wanted) -> bool {
        self.runs += 1;
        let report = process::of(self.seed, &wanted, Bug::None);
        let fails = !report.findings.is_empty();
        if fails {
            (self.wanted, self.report) = (as_far_as(&wanted, &report), report);
        }
        fails
    }

    /// Half as many steps, or, where that is too few, halfway between.
    fn shorten(&mut self) {
        let mut enough_not = 0;
        while self.wanted.steps > enough_not + STEPS_MIN {
            let steps = enough_not + (self.wanted.steps - enough_not) / 2;
            if !self.try_on(Wanted { steps, ..self.wanted.clone() }) {
                enough_not = steps;
            }
        }
    }

    fn leave_out(&mut self) {
        for word in Without::words() {
            if self.report.counts.contains_key(&word)
                && let Some(without) = self.wanted.without.and(&word)
            {
                self.try_on(Wanted { without, ..self.wanted.clone() });
            }
        }
    }
}

//! The medians of all rounds, and ratios that are made within each round.

use serde::Serialize;

use crate::{
    measure::{Round, Slot},
    plan::{Measure, Plan, Work},
    stage::Stage,
};

/// A whole run, as `--json` writes it. Times are in microseconds.
#[derive(Serialize)]
pub(crate) struct Summary {
    pub(crate) about: About,
    pub(crate) rows: Vec<Row>,
    pub(crate) ratios: Vec<Ratio>,
}

/// Under what circumstances.
#[derive(Serialize)]
pub(crate) struct About {
    pub(crate) stage: String,
    pub(crate) file_system: String,
    pub(crate) seconds: u64,
    pub(crate) rounds: u64,
    /// The nodes, in the order in which rows name them.
    pub(crate) nodes: Vec<String>,
    /// Who led when the run began and when it ended.
    pub(crate) leaders: Vec<String>,
    /// The largest share of the machine that other processes took in a slot, where it is known.
    pub(crate) foreign_cpu_share_max: Option<f64>,
}

/// One kind of work. Each figure is the median of the rounds, but for the longest time and the errors.
#[derive(Serialize)]
pub(crate) struct Row {
    #[serde(flatten)]
    pub(crate) measure: Measure,
    pub(crate) title: &'static str,
    pub(crate) per_second: f64,
    pub(crate) per_second_rounds: Vec<f64>,
    /// Calls that were timed, in all rounds: of few, the 99th percentile says little.
    pub(crate) calls: u64,
    /// Of a call; a `GetMany` has many operations in it.
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) max_us: f64,
    /// Processor time of all servers for one operation.
    pub(crate) server_cpu_us: Option<f64>,
    /// Processor time of this program for one operation.
    pub(crate) client_cpu_us: f64,
    pub(crate) by_node: Vec<NodeShare>,
    pub(crate) errors: u64,
    pub(crate) first_error: Option<String>,
    pub(crate) foreign_cpu_share: Option<f64>,
}

/// What one node did of a row.
#[derive(Serialize)]
pub(crate) struct NodeShare {
    pub(crate) share: f64,
    pub(crate) p50_us: f64,
}

/// Two rows compared.
#[derive(Serialize)]
pub(crate) struct Ratio {
    pub(crate) name: String,
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
    /// What the design asks for, where it does.
    pub(crate) goal: Option<Goal>,
}

/// A bound that the design sets (section 8).
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Goal {
    AtLeast(f64),
    AtMost(f64),
}

impl Summary {
    pub(crate) fn of(plan: &Plan, stage: &Stage, leaders: Vec<String>, rounds: &[Round]) -> Summary {
        let rows: Vec<Row> = plan.measures().into_iter().map(|measure| Row::of(measure, rounds)).collect();
        let foreign = rounds.iter().flatten().filter_map(|slot| slot.spent.foreign);
        let about = About {
            stage: stage.description.clone(),
            file_system: stage.file_system.clone(),
            seconds: plan.seconds,
            rounds: plan.rounds,
            nodes: stage.cluster.as_ref().map(crate::stage::Nodes::names).unwrap_or_default(),
            leaders,
            foreign_cpu_share_max: foreign.max_by(f64::total_cmp),
        };
        Summary { about, rows, ratios: ratios(plan, rounds) }
    }

    pub(crate) fn errors(&self) -> u64 {
        self.rows.iter().map(|row| row.errors).sum()
    }
}

impl Row {
    fn of(measure: Measure, rounds: &[Round]) -> Row {
        let slots: Vec<&Slot> = rounds.iter().filter_map(|round| find(round, measure)).collect();
        let middle = |figure: &dyn Fn(&Slot) -> f64| median(slots.iter().map(|slot| figure(slot)));
        let per_operation = |slot: &Slot, seconds: f64| seconds * 1e6 / slot.tally.operations().max(1) as f64;
        let servers = slots.iter().map(|slot| slot.spent.servers.map(|seconds| per_operation(slot, seconds)));
        let nodes = slots.first().map_or(0, |slot| slot.tally.done.len());
        let share = |node: usize| NodeShare {
            share: middle(&|slot| slot.tally.done[node] as f64 / slot.tally.operations().max(1) as f64),
            p50_us: middle(&|slot| slot.tally.by_node[node].quantile_us(0.5)),
        };
        Row {
            measure,
            title: measure.work.title(),
            per_second: middle(&per_second),
            per_second_rounds: slots.iter().map(|slot| per_second(slot)).collect(),
            calls: slots.iter().map(|slot| slot.tally.latencies().count()).sum(),
            p50_us: middle(&p50_us),
            p99_us: middle(&|slot| slot.tally.latencies().quantile_us(0.99)),
            max_us: slots.iter().map(|slot| slot.tally.latencies().longest_us()).fold(0.0, f64::max),
            server_cpu_us: servers.collect::<Option<Vec<_>>>().filter(|_| measure.work != Work::Disk).map(median),
            client_cpu_us: middle(&|slot| per_operation(slot, slot.spent.own)),
            by_node: (0..nodes).map(share).collect(),
            errors: slots.iter().map(|slot| slot.tally.errors).sum(),
            first_error: slots.iter().find_map(|slot| slot.tally.first_error.clone()),
            foreign_cpu_share: slots.iter().map(|slot| slot.spent.foreign).collect::<Option<Vec<_>>>().map(median),
        }
    }
}

fn find(round: &Round, measure: Measure) -> Option<&Slot> {
    round.iter().find(|slot| slot.measure == measure)
}

fn per_second(slot: &Slot) -> f64 {
    slot.tally.operations() as f64 / slot.seconds
}

fn p50_us(slot: &Slot) -> f64 {
    slot.tally.latencies().quantile_us(0.5)
}

fn ratios(plan: &Plan, rounds: &[Round]) -> Vec<Ratio> {
    let row = |work, in_flight| Measure { work, in_flight };
    let mut ratios = Vec::new();
    for measure in plan.measures().into_iter().filter(|measure| measure.work == Work::Reads) {
        let in_flight = measure.in_flight;
        let rate = |round: &Round| Some(per_second(find(round, measure)?) / per_second(find(round, row(Work::Echo, in_flight))?));
        let goal = (in_flight == 64).then_some(Goal::AtLeast(0.7));
        ratios.extend(Ratio::of(format!("reads ÷ echoes a second, {in_flight} in flight"), goal, rounds, &rate));
    }
    let one_write = |round: &Round| {
        let floor = p50_us(find(round, row(Work::Disk, 1))?) + p50_us(find(round, row(Work::Echo, 1))?);
        Some(p50_us(find(round, row(Work::Writes, 1))?) / floor)
    };
    let name = "one client's write ÷ (fdatasync + echo round trip), p50".to_owned();
    ratios.extend(Ratio::of(name, Some(Goal::AtMost(2.0)), rounds, &one_write));
    for (work, goal) in [(Work::Many, 150.0), (Work::Stream, 250.0)] {
        let thousands = |round: &Round| Some(per_second(round.iter().find(|slot| slot.measure.work == work)?) / 1000.0);
        ratios.extend(Ratio::of(format!("{}, thousands a second", work.title()), Some(Goal::AtLeast(goal)), rounds, &thousands));
    }
    ratios
}

impl Ratio {
    /// `None` where a row that it needs was not measured, or brought nothing.
    fn of(name: String, goal: Option<Goal>, rounds: &[Round], ratio: &dyn Fn(&Round) -> Option<f64>) -> Option<Ratio> {
        let found: Vec<f64> = rounds.iter().map(ratio).collect::<Option<_>>()?;
        if found.is_empty() || !found.iter().all(|ratio| ratio.is_finite()) {
            return None;
        }
        let least = found.iter().copied().fold(f64::INFINITY, f64::min);
        let most = found.iter().copied().fold(0.0, f64::max);
        Some(Ratio { name, median: median(found), least, most, goal })
    }

    pub(crate) fn is_reached(&self) -> Option<bool> {
        self.goal.map(|goal| match goal {
            Goal::AtLeast(bound) => self.median >= bound,
            Goal::AtMost(bound) => self.median <= bound,
        })
    }
}

/// The middle one; of an even number, the mean of the two in the middle; 0 of none.
fn median(figures: impl IntoIterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = figures.into_iter().collect();
    sorted.sort_unstable_by(f64::total_cmp);
    match (sorted.len(), sorted.len() / 2) {
        (0, _) => 0.0,
        (count, middle) if count % 2 == 0 => f64::midpoint(sorted[middle - 1], sorted[middle]),
        (_, middle) => sorted[middle],
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::Parser;

    use super::*;
    use crate::{
        measure::{Spent, tally::Tally},
        plan::Arguments,
    };

    fn slot(work: Work, in_flight: usize, count: u64, took_us: u64) -> Slot {
        let mut tally = Tally::of(1);
        (0..count).for_each(|_| tally.answered(0, Duration::from_micros(took_us), 1));
        let spent = Spent { servers: Some(0.5), own: 0.25, foreign: Some(0.0) };
        Slot { measure: Measure { work, in_flight }, seconds: 1.0, tally, spent }
    }

    fn plan(words: &[&str]) -> Plan {
        Arguments::try_parse_from([&["ops-bench"], words].concat()).unwrap().plan
    }

    #[test]
    fn a_median_is_the_middle() {
        assert!((median([3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median([4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
        assert!(median([]).abs() < 1e-9);
    }

    #[test]
    fn reads_are_compared_with_the_echo_of_the_same_round() {
        let rounds = [(100, 200), (10, 10), (300, 400)]
            .map(|(reads, echoes)| vec![slot(Work::Echo, 64, echoes, 1), slot(Work::Reads, 64, reads, 1)]);
        let ratios = ratios(&plan(&["--only", "reads,echo", "--in-flight", "64"]), &rounds);
        let [ratio] = ratios.as_slice() else { panic!("{} ratios", ratios.len()) };
        assert!((ratio.median - 0.75).abs() < 1e-9 && (ratio.least - 0.5).abs() < 1e-9 && (ratio.most - 1.0).abs() < 1e-9);
        assert_eq!(ratio.is_reached(), Some(true));
    }

    #[test]
    fn what_was_not_measured_is_not_compared() {
        let rounds = [vec![slot(Work::Reads, 64, 10, 1)]];
        assert!(ratios(&plan(&["--only", "reads", "--in-flight", "64"]), &rounds).is_empty());
    }

    #[test]
    fn one_write_is_compared_with_what_it_cannot_avoid() {
        let round = vec![slot(Work::Disk, 1, 9, 100), slot(Work::Echo, 1, 9, 100), slot(Work::Writes, 1, 9, 600)];
        let ratios = ratios(&plan(&["--only", "disk,echo,writes", "--in-flight", "1"]), &[round]);
        assert!((ratios[0].median - 3.0).abs() < 0.1);
        assert_eq!(ratios[0].is_reached(), Some(false));
    }

    #[test]
    fn processor_time_is_told_for_one_operation() {
        let row = Row::of(Measure { work: Work::Reads, in_flight: 1 }, &[vec![slot(Work::Reads, 1, 1000, 1)]]);
        assert!((row.server_cpu_us.unwrap() - 500.0).abs() < 1e-6 && (row.client_cpu_us - 250.0).abs() < 1e-6);
    }
}

//! Measuring: rounds of short slots, one slot for each row, in another order each round.

mod calls;
mod cpu;
mod disk;
pub(crate) mod histogram;
mod stream;
pub(crate) mod tally;

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

pub(crate) use self::cpu::Spent;
use self::{disk::RawFile, tally::Tally};
use crate::{
    fault::Fault,
    plan::{Measure, Plan, STREAM_WINDOW, Work},
    say,
    stage::{Dice, Nodes, Stage},
};

/// Work that is done before a slot counts: connections are made, caches filled.
const WARM: Duration = Duration::from_millis(250);
/// How long a call may be under way after its slot has ended.
const LATE_MAX: Duration = Duration::from_secs(20);

/// What one slot gave.
pub(crate) struct Slot {
    pub(crate) measure: Measure,
    pub(crate) seconds: f64,
    pub(crate) tally: Tally,
    pub(crate) spent: Spent,
}

/// One slot for each row, in the order of the report.
pub(crate) type Round = Vec<Slot>;

/// When a slot counts: what is answered in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    begin: Instant,
    end: Instant,
}

impl Window {
    fn after_warming(length: Duration) -> Window {
        let begin = Instant::now() + WARM;
        Window { begin, end: begin + length }
    }

    fn is_over(&self, now: Instant) -> bool {
        now >= self.end
    }

    fn holds(&self, answered: Instant) -> bool {
        self.begin <= answered && answered < self.end
    }
}

/// Runs all rounds of `plan`.
pub(crate) async fn all(plan: &Plan, stage: &Stage) -> Result<Vec<Round>, Fault> {
    let measures = plan.measures();
    let length = Duration::from_secs(plan.seconds).div_f64(plan.rounds as f64);
    let raw =
        if measures.iter().any(|measure| measure.work == Work::Disk) { Some(RawFile::make(&stage.directory)?) } else { None };
    let mut rounds = Vec::new();
    for number in 1..=plan.rounds {
        say(&format!("round {number} of {}", plan.rounds));
        let mut round = Round::new();
        for at in shuffled(measures.len(), number) {
            round.push(slot(stage, raw.as_ref(), measures[at], length).await?);
        }
        round.sort_unstable_by_key(|slot| slot.measure);
        rounds.push(round);
    }
    Ok(rounds)
}

/// The numbers below `count` in an order that depends on `seed`.
fn shuffled(count: usize, seed: u64) -> Vec<usize> {
    let mut dice = Dice::new(seed);
    let mut keyed: Vec<(u64, usize)> = (0..count).map(|number| (dice.roll(), number)).collect();
    keyed.sort_unstable();
    keyed.into_iter().map(|(_, number)| number).collect()
}

async fn slot(stage: &Stage, raw: Option<&RawFile>, measure: Measure, length: Duration) -> Result<Slot, Fault> {
    let missing = || Fault::Unexpected(format!("{} is measured without its stage", measure.work.title()));
    let window = Window::after_warming(length);
    let (workers, names) = match measure.work {
        Work::Disk => (raw.ok_or_else(missing)?.begin(window), vec!["disk".to_owned()]),
        Work::Echo => {
            let (echo, _) = stage.echo.as_ref().ok_or_else(missing)?;
            (begin(stage, echo, measure, window), echo.names())
        }
        _ => {
            let cluster = stage.cluster.as_ref().ok_or_else(missing)?;
            (begin(stage, cluster, measure, window), cluster.names())
        }
    };
    let watched = cpu::watch(stage, measure.work == Work::Echo, window);
    let (tally, spent) = tokio::join!(finish(workers, Tally::of(names.len()), window), watched);
    Ok(Slot { measure, seconds: length.as_secs_f64(), tally, spent: spent? })
}

/// Starts the workers of one slot.
fn begin(stage: &Stage, nodes: &Nodes, measure: Measure, window: Window) -> JoinSet<Tally> {
    let mut workers = JoinSet::new();
    let streams = if measure.work == Work::Stream { measure.in_flight / STREAM_WINDOW } else { 0 };
    for worker in 0..streams {
        workers.spawn(stream::read(
            nodes.route(worker, nodes.len()),
            nodes.len(),
            stage.environment.clone(),
            window,
            worker as u64,
        ));
    }
    if streams == 0 {
        for worker in 0..measure.in_flight {
            let route = nodes.route(worker, measure.in_flight);
            let job = calls::Job { work: measure.work, environment: stage.environment.clone(), window };
            workers.spawn(job.run(route, nodes.len(), worker as u64));
        }
    }
    workers
}

/// Waits for all workers; what is not answered long after the end is an error.
async fn finish(mut workers: JoinSet<Tally>, mut sum: Tally, window: Window) -> Tally {
    let latest = tokio::time::Instant::from_std(window.end + LATE_MAX);
    loop {
        match tokio::time::timeout_at(latest, workers.join_next()).await {
            Ok(Some(Ok(tally))) => sum.add(&tally),
            Ok(Some(Err(failed))) => sum.failed(&format!("a worker of the bench failed: {failed}")),
            Ok(None) => return sum,
            Err(_) => {
                (0..workers.len()).for_each(|_| sum.failed(&format!("no answer {LATE_MAX:?} after the end of the slot")));
                workers.shutdown().await;
                return sum;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_round_has_all_rows_in_an_order_of_its_own() {
        let (first, second) = (shuffled(15, 1), shuffled(15, 2));
        assert_ne!(first, second);
        for mut order in [first, second] {
            order.sort_unstable();
            assert_eq!(order, (0..15).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_slot_counts_what_is_answered_in_it() {
        let window = Window::after_warming(Duration::from_secs(1));
        assert!(!window.holds(window.begin - Duration::from_nanos(1)));
        assert!(window.holds(window.begin) && !window.is_over(window.begin));
        assert!(!window.holds(window.end) && window.is_over(window.end));
    }
}

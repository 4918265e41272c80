//! Which fault strikes when: every one of the plan in turn, in an order that the seed decides.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rand::{RngExt, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use tokio::{task::JoinSet, time::Instant};

use super::{Blow, Kind, Scene, Strike, backup, certificates, clock, cluster, disk, network, process};
use crate::{plan::FaultPlan, trouble::Trouble};

/// What a run has seen so far, for whoever watches.
type Told = Arc<dyn Fn(&Strike) + Send + Sync>;

/// What is still missing when the time is up has as much time again, but no less than it takes every fault of a short run to have its
/// turn on a busy machine, …
const EXTRA_TIME_MIN: Duration = Duration::from_secs(60);
/// … and no more than this.
const EXTRA_TIME_MAX: Duration = Duration::from_secs(5 * 60);

/// Strikes until the time is up, and on for a while where a fault has struck too rarely; every strike, in order.
pub(crate) async fn conduct(
    scene: &Arc<Scene>,
    faults: &[FaultPlan],
    hands: usize,
    rest: Duration,
    lasts: Duration,
    seed: u64,
    told: Told,
) -> Vec<Strike> {
    let (up, extra) = (Instant::now() + lasts, lasts.clamp(EXTRA_TIME_MIN, EXTRA_TIME_MAX));
    let time = Time { up, over: up + extra };
    let bag = Arc::new(Mutex::new(Bag::of(faults.to_vec(), seed)));
    let mut running = JoinSet::new();
    for hand in 0..hands {
        let (scene, bag, told) = (scene.clone(), bag.clone(), told.clone());
        let chance = ChaCha8Rng::seed_from_u64(seed ^ (hand as u64 + 1).rotate_left(32));
        running.spawn(async move { one_hand(&scene, &bag, rest, time, chance, &*told).await });
    }
    let mut strikes = Vec::new();
    while let Some(hand) = running.join_next().await {
        strikes.extend(hand.unwrap_or_default());
    }
    strikes.sort_by_key(|strike: &Strike| strike.began_ms);
    strikes
}

/// A fault that missed has another turn before the others come again, but not for ever.
const MISSES_MAX: u32 = 3;

/// Every fault comes once before any comes twice.
struct Bag {
    faults: Vec<FaultPlan>,
    left: Vec<FaultPlan>,
    misses: HashMap<Kind, u32>,
    struck: HashMap<Kind, u32>,
    chance: ChaCha8Rng,
}

/// When faults end.
#[derive(Clone, Copy)]
struct Time {
    /// From here on only those strike that have struck too rarely, …
    up: Instant,
    /// … and from here on none.
    over: Instant,
}

impl Bag {
    fn of(faults: Vec<FaultPlan>, seed: u64) -> Bag {
        let chance = ChaCha8Rng::seed_from_u64(seed);
        Bag { faults, left: Vec::new(), misses: HashMap::new(), struck: HashMap::new(), chance }
    }

    fn take(&mut self, is_up: bool) -> Option<FaultPlan> {
        if is_up {
            let left = std::mem::take(&mut self.left);
            self.left = left.into_iter().filter(|fault| self.lacks(fault)).collect();
        }
        if self.left.is_empty() {
            self.misses.clear();
            self.left = self.faults.iter().filter(|fault| !is_up || self.lacks(fault)).cloned().collect();
            self.left.shuffle(&mut self.chance);
        }
        self.left.pop()
    }

    fn lacks(&self, fault: &FaultPlan) -> bool {
        self.struck.get(&fault.kind).copied().unwrap_or(0) < fault.times_min
    }

    /// One that missed comes again soon: others had its target, or too little went on for it to show.
    fn note(&mut self, fault: FaultPlan, fired: bool) {
        if fired {
            *self.struck.entry(fault.kind).or_default() += 1;
            return;
        }
        let misses = self.misses.entry(fault.kind).or_default();
        *misses += 1;
        if *misses < MISSES_MAX {
            let at = self.chance.random_range(0..=self.left.len());
            self.left.insert(at, fault);
        }
    }
}

async fn one_hand(
    scene: &Scene,
    bag: &Mutex<Bag>,
    rest: Duration,
    time: Time,
    mut chance: ChaCha8Rng,
    told: &(dyn Fn(&Strike) + Send + Sync),
) -> Vec<Strike> {
    let mut strikes = Vec::new();
    while Instant::now() < time.over {
        let is_up = Instant::now() > time.up;
        let Some(fault) = bag.lock().unwrap_or_else(PoisonError::into_inner).take(is_up) else { break };
        let strike = strike(scene, &fault, &mut chance).await;
        told(&strike);
        bag.lock().unwrap_or_else(PoisonError::into_inner).note(fault, strike.fired);
        strikes.push(strike);
        tokio::time::sleep(rest.mul_f64(chance.random_range(0.5..1.5))).await;
    }
    strikes
}

async fn strike(scene: &Scene, fault: &FaultPlan, chance: &mut ChaCha8Rng) -> Strike {
    let began_ms = scene.recorder.now_ms();
    let outcome = blow(scene, fault.kind, fault.lasts.0, chance).await;
    let ended_ms = scene.recorder.now_ms();
    let kind = fault.kind;
    match outcome {
        Ok(Blow { target, evidence }) => Strike { kind, target, began_ms, ended_ms, fired: true, evidence },
        Err(trouble) => Strike { kind, target: String::new(), began_ms, ended_ms, fired: false, evidence: trouble.to_string() },
    }
}

async fn blow(scene: &Scene, kind: Kind, lasts: Duration, chance: &mut ChaCha8Rng) -> Result<Blow, Trouble> {
    match kind {
        Kind::Kill => process::kill(scene, lasts, chance).await,
        Kind::KillAll => process::kill_all(scene, lasts, chance).await,
        Kind::Pause => process::pause(scene, lasts, chance).await,
        Kind::Restart => process::restart(scene, lasts, chance).await,
        Kind::RollingRestart => process::rolling_restart(scene, lasts).await,
        Kind::PowerCut => disk::power_cut(scene, lasts, chance).await,
        Kind::PowerCutAll => disk::power_cut_all(scene, lasts, chance).await,
        Kind::Isolate => network::isolate(scene, lasts, chance).await,
        Kind::IsolateOneWay => network::isolate_one_way(scene, lasts, chance).await,
        Kind::Ring => network::ring(scene, lasts, chance).await,
        Kind::Flap => network::flap(scene, lasts, chance).await,
        Kind::Delay => network::delay(scene, lasts, chance).await,
        Kind::Loss => network::loss(scene, lasts, chance).await,
        Kind::SlowDisk => disk::slow(scene, lasts, chance).await,
        Kind::HungDisk => disk::hung(scene, lasts, chance).await,
        Kind::FullDisk => disk::full(scene, lasts, chance).await,
        Kind::FailingDisk => disk::failing(scene, lasts, chance).await,
        Kind::HandOver => cluster::hand_over(scene).await,
        Kind::Snapshot => cluster::snapshot(scene, chance).await,
        Kind::Member => cluster::member(scene, lasts, chance).await,
        Kind::RotateKey => cluster::rotate_key(scene).await,
        Kind::SealEnvironment => cluster::seal_environment(scene, lasts).await,
        Kind::Certificates => certificates::certificates(scene, lasts, chance).await,
        Kind::SaveAndRestore => backup::save_and_restore(scene).await,
        Kind::Clock => clock::clock(scene, lasts, chance).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;

    fn bag() -> Bag {
        let faults = Plan::find("smoke").unwrap().fault;
        Bag::of(faults, 1)
    }

    #[test]
    fn every_fault_comes_once_before_any_comes_twice() {
        let mut bag = bag();
        let count = bag.faults.len();
        let mut seen: Vec<Kind> = (0..count).map(|_| bag.take(false).unwrap().kind).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), count);
        assert!(bag.take(false).is_some(), "and then again");
    }

    #[test]
    fn a_fault_that_missed_comes_again_and_when_the_time_is_up_only_those_that_are_missing_do() {
        let mut bag = bag();
        let missed = bag.take(false).unwrap();
        bag.note(missed.clone(), false);
        while let Some(fault) = bag.take(false) {
            if fault.kind == missed.kind {
                break;
            }
            bag.note(fault, true);
        }
        for fault in bag.faults.clone() {
            if fault.kind != missed.kind {
                bag.note(fault, true);
            }
        }
        assert_eq!(bag.take(true).map(|fault| fault.kind), Some(missed.kind));
        bag.note(missed, true);
        assert_eq!(bag.take(true), None);
    }
}

//! Which fault strikes when: every one of the plan in turn, in an order that the seed decides.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rand::{RngExt, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use tokio::{task::JoinSet, time::Instant};

use super::{Blow, Kind, Scene, Strike, clock, cluster, disk, network, process};
use crate::{plan::FaultPlan, trouble::Trouble};

/// What a run has seen so far, for whoever watches.
type Told = Arc<dyn Fn(&Strike) + Send + Sync>;

/// Strikes until the time is up; every strike, in order.
pub(crate) async fn conduct(
    scene: &Arc<Scene>,
    faults: &[FaultPlan],
    hands: usize,
    rest: Duration,
    lasts: Duration,
    seed: u64,
    told: Told,
) -> Vec<Strike> {
    let end = Instant::now() + lasts;
    let bag = Arc::new(Mutex::new(Bag {
        faults: faults.to_vec(),
        left: Vec::new(),
        misses: HashMap::new(),
        chance: ChaCha8Rng::seed_from_u64(seed),
    }));
    let mut running = JoinSet::new();
    for hand in 0..hands {
        let (scene, bag, told) = (scene.clone(), bag.clone(), told.clone());
        let chance = ChaCha8Rng::seed_from_u64(seed ^ (hand as u64 + 1).rotate_left(32));
        running.spawn(async move { one_hand(&scene, &bag, rest, end, chance, &*told).await });
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
    chance: ChaCha8Rng,
}

impl Bag {
    fn take(&mut self) -> Option<FaultPlan> {
        if self.left.is_empty() {
            self.left = self.faults.clone();
            self.left.shuffle(&mut self.chance);
            self.misses.clear();
        }
        self.left.pop()
    }

    /// Others had its target, or too little went on for it to show.
    fn give_back(&mut self, fault: FaultPlan) {
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
    end: Instant,
    mut chance: ChaCha8Rng,
    told: &(dyn Fn(&Strike) + Send + Sync),
) -> Vec<Strike> {
    let mut strikes = Vec::new();
    while Instant::now() < end {
        let Some(fault) = bag.lock().unwrap_or_else(PoisonError::into_inner).take() else { break };
        let strike = strike(scene, &fault, &mut chance).await;
        told(&strike);
        if !strike.fired {
            bag.lock().unwrap_or_else(PoisonError::into_inner).give_back(fault);
        }
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
        Kind::Clock => clock::clock(scene, lasts, chance).await,
    }
}

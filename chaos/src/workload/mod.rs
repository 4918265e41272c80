//! Clients that read and write secrets, and say what they were told.

pub(crate) mod outcome;
mod pace;
mod worker;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use proto_client::Client;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tokio::task::JoinSet;

use crate::{
    plan::WorkloadPlan,
    recorder::Recorder,
    workload::{pace::Pace, worker::Worker},
};

/// Which secrets a run uses: no other run uses them.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    /// The environment.
    pub(crate) environment: String,
    /// Begins every path, and ends with a slash.
    pub(crate) prefix: String,
    count: u32,
    change_ms: u64,
}

impl Keys {
    pub(crate) fn new(environment: &str, run: &str, plan: &WorkloadPlan) -> Keys {
        let change_ms = u64::try_from(plan.keys_for.0.as_millis()).unwrap_or(u64::MAX).max(1);
        Keys { environment: environment.to_owned(), prefix: format!("chaos/{run}/"), count: plan.keys, change_ms }
    }

    /// Begins the paths that are in use at a time; ends with a slash.
    pub(crate) fn folder(&self, now_ms: u64) -> String {
        format!("{}{:04}/", self.prefix, now_ms / self.change_ms)
    }

    /// The paths in use at a time.
    pub(crate) fn in_use(&self, now_ms: u64) -> Vec<String> {
        let folder = self.folder(now_ms);
        (0..self.count).map(|key| format!("{folder}k{key}")).collect()
    }
}

/// The running clients.
pub(crate) struct Workload {
    stop: Arc<AtomicBool>,
    tasks: JoinSet<()>,
}

impl Workload {
    /// Starts the plan's clients. Some know all nodes, the others one each: those stay with a node that is cut off.
    pub(crate) fn start(client: &Client, plan: &WorkloadPlan, keys: &Keys, recorder: &Recorder, seed: u64) -> Workload {
        let stop = Arc::new(AtomicBool::new(false));
        let pace = Arc::new(Pace::new(plan.rate));
        let alone = client.each_node();
        let mut tasks = JoinSet::new();
        for number in 0..plan.clients {
            let client = match number % 2 {
                0 => client.clone(),
                _ => alone[number as usize / 2 % alone.len()].1.clone(),
            };
            let worker = Worker {
                number,
                client: client.with_timeout(plan.timeout.0),
                keys: keys.clone(),
                recorder: recorder.clone(),
                chance: ChaCha8Rng::seed_from_u64(seed ^ u64::from(number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)),
                value_bytes_max: plan.value_bytes_max,
                pace: pace.clone(),
                stop: stop.clone(),
                values: 0,
                known: Default::default(),
                stream: None,
            };
            tasks.spawn(worker.run());
        }
        Workload { stop, tasks }
    }

    /// Lets every client end what it is doing.
    pub(crate) async fn stop(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        while self.tasks.join_next().await.is_some() {}
    }
}

//! What a service manager does: a node that ended by itself is started again, and that it ended is told.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use tokio::{sync::oneshot, task::JoinHandle};

use crate::{
    recorder::Recorder,
    run::{Deaths, take},
    say,
    stage::{self, Stage},
};

const LOOK: Duration = Duration::from_millis(500);
/// A node that ends again within this time has not come back: it is not told once more, and is left alone for as long.
const COME_BACK: Duration = Duration::from_secs(5);

/// The running watch.
pub(crate) struct Watch {
    deaths: Deaths,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Watch {
    pub(crate) fn start(stage: Arc<Stage>, recorder: Recorder) -> Watch {
        let deaths = Deaths::default();
        let (stop, mut stopped) = oneshot::channel();
        let seen = deaths.clone();
        let task = tokio::spawn(async move {
            let mut started = HashMap::new();
            loop {
                tokio::select! {
                    _ = &mut stopped => return,
                    () = tokio::time::sleep(LOOK) => look(&stage, &recorder, &seen, &mut started).await,
                }
            }
        });
        Watch { deaths, stop, task }
    }

    /// Ends it; who had ended by itself.
    pub(crate) async fn stop(self) -> Vec<String> {
        // It may have ended with the runtime.
        let _ = self.stop.send(());
        let _ = self.task.await;
        take(&self.deaths)
    }
}

/// A node that a fault has at the moment is the fault's.
async fn look(stage: &Stage, recorder: &Recorder, deaths: &Deaths, started: &mut HashMap<u64, Instant>) {
    for (id, node) in stage.nodes() {
        let Ok(mut node) = node.try_lock() else { continue };
        let came_back = started.get(&id).is_none_or(|started| started.elapsed() > COME_BACK);
        if !node.is_meant_to_run || node.is_running() || !came_back {
            continue;
        }
        let at = recorder.now_ms() as f64 / 1e3;
        let told = format!("node {id} ended by itself at {at:.1} s: {}", node.last_words(2).replace('\n', " / "));
        say(&told);
        deaths.lock().unwrap_or_else(PoisonError::into_inner).push(told);
        // A fault that missed may have left its disk as it was.
        if let Some(disk) = node.disk.clone()
            && let Err(trouble) = stage::mend(&mut node, &disk).await
        {
            say(&format!("the disk of node {id}: {trouble}"));
        }
        started.insert(id, Instant::now());
        if let Err(trouble) = node.start() {
            say(&format!("node {id} was not started again: {trouble}"));
        }
    }
}

//! What lies around the node and is looked at on a thread of its own, because a disk that hangs would keep whoever looks.

use crate::config::Config;
use parking_lot::Mutex;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How often it is looked.
const LOOK: Duration = Duration::from_secs(5);

/// What was seen, and when.
#[derive(Clone, Debug)]
pub(super) struct Around {
    pub(super) looked: Instant,
    /// Bytes free and in all, where the data lies.
    pub(super) room: Option<(u64, u64)>,
}

/// Where to look, and what was seen last.
pub(super) struct Surroundings {
    data: PathBuf,
    newest: Mutex<Around>,
}

impl Surroundings {
    pub(super) fn of(config: &Config) -> Surroundings {
        let data = config.node.data.clone();
        let newest = Mutex::new(look(&data));
        Surroundings { data, newest }
    }

    pub(super) fn newest(&self) -> Around {
        self.newest.lock().clone()
    }

    /// Looks again and again. A look that never ends leaves the last one standing, which gets old.
    pub(super) async fn keep_looking(self: Arc<Self>) {
        let mut next = tokio::time::interval(LOOK);
        next.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            next.tick().await;
            let own = Arc::clone(&self);
            if let Ok(looked) = raft::offload(move || look(&own.data)).await {
                *self.newest.lock() = looked;
            }
        }
    }
}

fn look(data: &Path) -> Around {
    let room = rustix::fs::statvfs(data).ok().map(|room| (room.f_bavail * room.f_frsize, room.f_blocks * room.f_frsize));
    Around { looked: Instant::now(), room }
}

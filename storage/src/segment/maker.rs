//! Makes segments ahead of their use, on a thread of its own, and removes those that are done with.
//!
//! A segment is written with zeros, synced, renamed into place, and its directory synced. Appending to it later changes neither a length
//! nor an extent, so that `fdatasync` writes nothing but the bytes.

use std::{
    io,
    path::PathBuf,
    sync::Arc,
    thread::{self, JoinHandle},
};

use parking_lot::{Condvar, Mutex};

use super::{making_path, segment_path};
use crate::disk::{Disk, DiskFile};
use crate::planted;

const FILL_BYTES: usize = 256 * 1024;
/// Small enough that an append's sync is not kept waiting behind the filling of the next segment.
const SYNC_EVERY_BYTES: u64 = 2 * 1024 * 1024;

/// Makes and removes the segments of one directory.
pub(crate) struct Maker {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
    threaded: bool,
}

struct Shared {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    segment_bytes: u64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    wanted: Option<u64>,
    making: Option<u64>,
    ready: Option<(u64, Arc<dyn DiskFile>)>,
    failure: Option<String>,
    remove: Vec<PathBuf>,
    stop: bool,
}

impl Maker {
    /// With `threaded`, work is done on a helper thread; without, when it is asked for (simulations).
    pub(crate) fn new(disk: Arc<dyn Disk>, dir: PathBuf, segment_bytes: u64, threaded: bool) -> io::Result<Maker> {
        let shared = Arc::new(Shared { disk, dir, segment_bytes, state: Mutex::default(), changed: Condvar::new() });
        let thread = if threaded {
            let shared = Arc::clone(&shared);
            Some(thread::Builder::new().name("segments".to_owned()).spawn(move || shared.run())?)
        } else {
            None
        };
        Ok(Maker { shared, thread: Mutex::new(thread), threaded })
    }

    /// Hands over a zeroed segment that recovery found.
    pub(crate) fn offer(&self, id: u64, file: Arc<dyn DiskFile>) {
        self.shared.state.lock().ready = Some((id, file));
    }

    /// Asks for segment `id` to be made in the background.
    pub(crate) fn prepare(&self, id: u64) {
        let mut state = self.shared.state.lock();
        if self.threaded && state.ready.as_ref().is_none_or(|(ready, _)| *ready != id) {
            state.wanted = Some(id);
            self.shared.changed.notify_all();
        }
    }

    /// Segment `id` with at least `capacity` bytes of zeros: the one made ahead, or one made now.
    pub(crate) fn take(&self, id: u64, capacity: u64) -> io::Result<Arc<dyn DiskFile>> {
        let prepared = {
            let mut state = self.shared.state.lock();
            while state.making == Some(id) && !state.stop {
                self.shared.changed.wait(&mut state);
            }
            // Whatever is still wanted is made here: the helper must not make it a second time.
            state.wanted = None;
            state.ready.take_if(|(ready, _)| *ready == id)
        };
        let Some((_, file)) = prepared else { return self.shared.make(id, capacity.max(self.shared.segment_bytes)) };
        let len = file.len()?;
        if len < capacity {
            fill(&*file, len, capacity)?;
        }
        Ok(file)
    }

    /// Removes files in the background.
    pub(crate) fn remove(&self, paths: Vec<PathBuf>) {
        if self.threaded {
            self.shared.state.lock().remove.extend(paths);
            self.shared.changed.notify_all();
        } else {
            self.shared.remove(&paths);
        }
    }

    /// Whether the next segment is already made, and if its making failed, why.
    pub(crate) fn spare(&self) -> (bool, Option<String>) {
        let state = self.shared.state.lock();
        (state.ready.is_some(), state.failure.clone())
    }
}

impl Drop for Maker {
    fn drop(&mut self) {
        self.shared.state.lock().stop = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.lock().take() {
            // A panic of the helper has been printed; there is nothing more to do about it here.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn run(&self) {
        let mut state = self.state.lock();
        loop {
            if let Some(id) = state.wanted.take() {
                state.making = Some(id);
                drop(state);
                let made = self.make(id, self.segment_bytes);
                state = self.state.lock();
                state.making = None;
                match made {
                    Ok(file) => (state.ready, state.failure) = (Some((id, file)), None),
                    // Not fatal yet: whoever needs the segment tries again and gets the error.
                    Err(error) => state.failure = Some(error.to_string()),
                }
                self.changed.notify_all();
            } else if !state.remove.is_empty() {
                let paths = std::mem::take(&mut state.remove);
                drop(state);
                self.remove(&paths);
                state = self.state.lock();
            } else if state.stop {
                return;
            } else {
                self.changed.wait(&mut state);
            }
        }
    }

    fn make(&self, id: u64, capacity: u64) -> io::Result<Arc<dyn DiskFile>> {
        let (making, place) = (making_path(&self.dir, id), segment_path(&self.dir, id));
        if self.disk.exists(&making)? {
            self.disk.remove(&making)?;
        }
        let file = self.disk.create_new(&making)?;
        let filled = fill(&*file, 0, capacity).and_then(|()| self.disk.rename(&making, &place));
        if let Err(error) = filled {
            // Gives a full disk its room back; the error that matters is the first.
            let _ = self.disk.remove(&making);
            return Err(error);
        }
        if !planted::is_back("no-directory-sync") {
            self.disk.sync_dir(&self.dir)?;
        }
        Ok(file)
    }

    /// Oldest first, so that what a crash leaves is the newest part of the log without a gap.
    fn remove(&self, paths: &[PathBuf]) {
        for path in paths {
            if let Err(error) = self.disk.remove(path) {
                tracing::warn!(path = %path.display(), %error, "a segment that is no longer needed was not removed");
            }
        }
        if let Err(error) = self.disk.sync_dir(&self.dir) {
            tracing::warn!(dir = %self.dir.display(), %error, "the removal of segments was not synced");
        }
    }
}

/// Writes zeros over `from..to`, and syncs them.
pub(crate) fn fill(file: &dyn DiskFile, from: u64, to: u64) -> io::Result<()> {
    let zeros = vec![0; FILL_BYTES];
    let (mut at, mut synced) = (from, from);
    while at < to {
        let count = (to - at).min(FILL_BYTES as u64);
        file.write_all_at(&zeros[..usize::try_from(count).map_err(io::Error::other)?], at)?;
        at += count;
        if at - synced >= SYNC_EVERY_BYTES {
            file.sync_data()?;
            synced = at;
        }
    }
    file.sync_data()
}

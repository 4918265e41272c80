//! Reading what was written long ago, to see whether it is still there.

use std::io;

use super::{Wal, WalError};
use crate::{
    disk::Disk,
    segment::{recovery, segment_path},
};

impl Wal {
    /// The segments that nothing is written to any more, oldest first.
    #[must_use]
    pub fn older_segments(&self) -> Vec<u64> {
        let state = self.shared().state.lock();
        let mut segments: Vec<u64> = state.view.segments.keys().copied().collect();
        segments.pop();
        segments
    }

    /// Reads one of the older segments by `disk`, and checks that every frame is there that the next one goes on from. Says how many bytes
    /// it read; none where the segment has gone meanwhile.
    ///
    /// # Errors
    /// At the first frame that is not what was written, or where the disk refuses.
    pub fn check(&self, segment: u64, disk: &dyn Disk) -> Result<u64, WalError> {
        let shared = self.shared();
        let is_older = || self.older_segments().contains(&segment);
        let next = {
            let state = shared.state.lock();
            state.view.segments.range(segment + 1..).next().map(|(id, _)| *id)
        };
        let Some(next) = next.filter(|_| is_older()) else { return Ok(0) };
        let (path, next_path) = (segment_path(&shared.dir, segment), segment_path(&shared.dir, next));
        let checked = recovery::check_closed(disk, &shared.codec, (segment, &path), (next, &next_path));
        match checked {
            // Removed while it was looked at: nothing in it is needed.
            Err(WalError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound && !is_older() => Ok(0),
            checked => checked,
        }
    }
}

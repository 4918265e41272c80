//! Reading what was written long ago, to see whether it is still there.

use super::{Wal, WalError};
use crate::segment::{recovery, segment_path};

impl Wal {
    /// The segments that nothing is written to any more, oldest first.
    #[must_use]
    pub fn older_segments(&self) -> Vec<u64> {
        let state = self.shared().state.lock();
        let mut segments: Vec<u64> = state.view.segments.keys().copied().collect();
        segments.pop();
        segments
    }

    /// Reads one of the older segments and checks every frame. Says how many bytes it read; none where the segment has gone meanwhile.
    ///
    /// # Errors
    /// At the first frame that is not what was written.
    pub fn check(&self, segment: u64) -> Result<u64, WalError> {
        let shared = self.shared();
        let both = {
            let state = shared.state.lock();
            let mut found = state.view.segments.range(segment..).map(|(id, live)| (*id, live.file.clone()));
            found.next().filter(|(id, _)| *id == segment).zip(found.next())
        };
        let Some(((id, file), (next_id, next))) = both else { return Ok(0) };
        let (path, next_path) = (segment_path(&shared.dir, id), segment_path(&shared.dir, next_id));
        let end = recovery::first_number(&shared.codec, next_id, &next_path, &*next)?;
        recovery::check_closed(&shared.codec, id, &path, &*file, end)
    }
}

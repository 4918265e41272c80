//! The raw disk: what no write can be faster than. One thread writes 1 KiB to a file that is there already, and waits for `fdatasync`.

use std::{
    fs::File,
    io::{self, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use tokio::task::JoinSet;

use super::{Window, tally::Tally};
use crate::{fault::Fault, stage::VALUE_BYTES};

/// As long as a segment of the write-ahead log.
const FILE_BYTES: usize = 16 << 20;
const NAME: &str = "raw-disk";

/// A file that was written in full, so that writing it again changes no metadata.
pub(crate) struct RawFile {
    file: Arc<File>,
}

impl RawFile {
    /// Writes the file.
    pub(crate) fn make(directory: &Path) -> Result<RawFile, Fault> {
        let path: PathBuf = directory.join(NAME);
        let made = File::create(&path).and_then(|mut file| {
            file.write_all(&vec![0; FILE_BYTES])?;
            file.sync_all()?;
            Ok(file)
        });
        Ok(RawFile { file: Arc::new(made.map_err(Fault::io("write", &path))?) })
    }

    /// Starts the one writer of a slot.
    pub(crate) fn begin(&self, window: Window) -> JoinSet<Tally> {
        let file = Arc::clone(&self.file);
        let mut workers = JoinSet::new();
        workers.spawn_blocking(move || write(&file, window));
        workers
    }
}

fn write(file: &File, window: Window) -> Tally {
    let mut tally = Tally::of(1);
    for turn in 0_u64.. {
        let asked = Instant::now();
        if window.is_over(asked) || tally.is_hopeless() {
            break;
        }
        let written = write_once(file, turn);
        let answered = Instant::now();
        match written {
            Ok(()) if window.holds(answered) => tally.answered(0, answered - asked, 1),
            Ok(()) => {}
            Err(error) => tally.failed(&error.to_string()),
        }
    }
    tally
}

fn write_once(file: &File, turn: u64) -> io::Result<()> {
    let places = (FILE_BYTES / VALUE_BYTES) as u64;
    // Different bytes each time: a disk may notice that nothing changes.
    let bytes = [turn as u8; VALUE_BYTES];
    file.write_all_at(&bytes, turn % places * VALUE_BYTES as u64)?;
    file.sync_data()
}

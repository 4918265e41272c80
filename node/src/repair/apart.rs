//! The mark beside a state that is not to be believed, because it had come apart from the others'.

use serde::{Deserialize, Serialize};
use std::io;
use std::path::Path;
use storage::Disk;
use storage::disk::{read_all, replace};

const FILE: &str = "came-apart.json";
const BYTES_MAX: u64 = 1 << 16;
/// How often a node takes another member's state; when it comes apart once more, it stays out.
const TRIES: u32 = 3;

/// What is known of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CameApart {
    pub(crate) why: String,
    /// The entry of the log at which it was noticed: a state that is taken instead reaches it.
    pub(crate) index: u64,
    /// How often the state has come apart since it was last found to agree.
    pub(crate) times: u32,
}

impl CameApart {
    /// The mark in a node's directory, if there is one.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn read(disk: &dyn Disk, data: &Path) -> io::Result<Option<CameApart>> {
        let path = data.join(FILE);
        if !disk.exists(&path)? {
            return Ok(None);
        }
        let bytes = read_all(&*disk.open(&path)?, BYTES_MAX)?;
        // A mark that does not read is a mark all the same.
        let unread = |_| CameApart { why: "the mark of an earlier check does not read".to_owned(), index: 0, times: 1 };
        Ok(Some(serde_json::from_slice(&bytes).unwrap_or_else(unread)))
    }

    /// Marks the directory, once more.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn mark(disk: &dyn Disk, data: &Path, index: u64, why: &str) -> io::Result<()> {
        let before = CameApart::read(disk, data)?.map_or(0, |before| before.times);
        let mark = CameApart { why: why.to_owned(), index, times: before + 1 };
        replace(disk, &data.join(FILE), &serde_json::to_vec_pretty(&mark)?)
    }

    /// Takes the mark away.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn clear(disk: &dyn Disk, data: &Path) -> io::Result<()> {
        disk.remove(&data.join(FILE))?;
        disk.sync_dir(data)
    }

    /// Whether another state may be taken once more.
    ///
    /// # Errors
    /// In words, when that was done often enough.
    pub(crate) fn check_tries(&self) -> Result<(), String> {
        if self.times <= TRIES {
            return Ok(());
        }
        let why = &self.why;
        Err(format!(
            "{why}; this node took another member's state {TRIES} times and came apart again: keep the directory, see whether all nodes run the \
             same version, and add a node with an empty directory and a new number (holdfast cluster add-learner)"
        ))
    }

    /// Whether this is the last time.
    pub(crate) fn is_last_try(&self) -> bool {
        self.times >= TRIES
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use storage::MemoryDisk;

    fn place() -> (MemoryDisk, &'static Path) {
        let (disk, data) = (MemoryDisk::new(), Path::new("/d"));
        disk.create_dir_all(data).unwrap();
        (disk, data)
    }

    #[test]
    fn a_node_that_comes_apart_again_and_again_stays_out() {
        let (disk, data) = place();
        for time in 1..=TRIES {
            CameApart::mark(&disk, data, 7, "apart").unwrap();
            let mark = CameApart::read(&disk, data).unwrap().unwrap();
            mark.check_tries().unwrap();
            assert_eq!((mark.times, mark.is_last_try()), (time, time == TRIES));
        }
        CameApart::mark(&disk, data, 9, "apart").unwrap();
        let refusal = CameApart::read(&disk, data).unwrap().unwrap().check_tries().unwrap_err();
        assert!(refusal.contains("came apart again"), "{refusal}");
        CameApart::clear(&disk, data).unwrap();
        assert_eq!(CameApart::read(&disk, data).unwrap(), None);
    }

    #[test]
    fn a_mark_that_does_not_read_is_one() {
        let (disk, data) = place();
        disk.create_new(&data.join(FILE)).unwrap().write_all_at(b"{", 0).unwrap();
        let mark = CameApart::read(&disk, data).unwrap().unwrap();
        assert!(mark.why.contains("does not read"));
    }
}

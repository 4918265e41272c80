//! A node's real log.

use std::{path::Path, sync::Arc};

use storage::{
    disk::{Disk, RealDisk},
    wal::{Wal, WalOptions},
};
use storage_crypto::Key;

pub(crate) struct TestLog {
    wal: Wal,
}

impl TestLog {
    /// Opens the log in `dir`, or starts one.
    pub(crate) fn open(dir: &Path, node: u64) -> TestLog {
        TestLog::open_on(Arc::new(RealDisk), dir, node)
    }

    pub(crate) fn open_on(disk: Arc<dyn Disk>, dir: &Path, node: u64) -> TestLog {
        let owner = storage::Owner { cluster: [1; 16], node };
        let options = WalOptions { segment_bytes: 4 << 20, ..WalOptions::default() };
        let (wal, _) = Wal::open(disk, dir, Key::from_bytes([7; 32]), owner, options).unwrap();
        TestLog { wal }
    }

    pub(crate) fn wal(&self) -> Wal {
        self.wal.clone()
    }

    /// Ends the log's threads; whoever still asks it gets an error.
    pub(crate) fn close(self) {
        self.wal.close();
    }
}

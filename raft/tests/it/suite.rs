//! openraft's own suite for storage.

use std::sync::Arc;

use openraft::{
    StorageError,
    testing::log::{StoreBuilder, Suite},
};
use raft::{Machine, TypeConfig, log_store::LogStore, state_machine::StateMachine};
use tempfile::TempDir;

use crate::support::{log::TestLog, machine::Memory};

struct Stores;

impl StoreBuilder<TypeConfig, LogStore, StateMachine, (TestLog, TempDir)> for Stores {
    async fn build(&self) -> Result<((TestLog, TempDir), LogStore, StateMachine), StorageError<TypeConfig>> {
        let dir = TempDir::new().unwrap();
        let log = TestLog::open(&dir.path().join("wal"), 1);
        let machine: Arc<dyn Machine> = Memory::open(&dir.path().join("state"));
        let stores = (LogStore::new(log.wal()), StateMachine::new(machine).unwrap());
        Ok(((log, dir), stores.0, stores.1))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn log_and_state_machine_keep_what_openraft_asks_of_them() {
    Suite::test_all(Stores).await.unwrap();
}

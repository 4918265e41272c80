//! The log store where openraft's suite does not look.

use std::io;

use bytes::Bytes;
use futures::StreamExt;
use openraft::{
    EntryPayload, RaftLogReader,
    alias::EntryOf,
    storage::{IOFlushed, RaftLogStorage},
    testing::{blank_ent, log_id},
    type_config::TypeConfigExt,
};
use raft::{Payload, TypeConfig, log_store::LogStore};
use tempfile::TempDir;

use crate::support::{log::TestLog, soon};

fn proposed(index: u64, bytes: usize) -> EntryOf<TypeConfig> {
    EntryOf::<TypeConfig> {
        log_id: log_id::<TypeConfig>(1, 1, index),
        payload: EntryPayload::Normal(Payload(Bytes::from(vec![index as u8; bytes]))),
    }
}

async fn append(log: &mut LogStore, entries: Vec<EntryOf<TypeConfig>>) -> io::Result<()> {
    let (sender, flushed) = TypeConfig::oneshot();
    log.append(entries, IOFlushed::signal(sender)).await?;
    soon("the append to be answered", flushed).await.map_err(io::Error::other)?
}

#[tokio::test]
async fn an_append_to_a_log_that_was_closed_reports_an_error_rather_than_nothing() {
    let dir = TempDir::new().unwrap();
    let log = TestLog::open(dir.path(), 1);
    let mut store = LogStore::new(log.wal());
    append(&mut store, vec![blank_ent::<TypeConfig>(1, 1, 0)]).await.unwrap();
    log.close();
    assert!(append(&mut store, vec![blank_ent::<TypeConfig>(1, 1, 1)]).await.is_err());
    assert!(store.purge(log_id::<TypeConfig>(1, 1, 0)).await.is_err());
}

#[tokio::test]
async fn one_read_for_replication_is_bounded_in_bytes_and_never_empty() {
    let dir = TempDir::new().unwrap();
    let log = TestLog::open(dir.path(), 1);
    let mut store = LogStore::new(log.wal());
    append(&mut store, (0..8).map(|index| proposed(index, 1 << 20)).collect()).await.unwrap();

    let bounded = store.limited_get_log_entries(0, 8).await.unwrap().len();
    assert!((1..8).contains(&bounded), "{bounded}");
    append(&mut store, vec![proposed(8, 4 << 20)]).await.unwrap();
    assert_eq!(store.limited_get_log_entries(8, 9).await.unwrap().len(), 1);
    assert_eq!(store.try_get_log_entries(0..9).await.unwrap().len(), 9);
}

#[tokio::test]
async fn entries_stream_in_order_however_many_pieces_they_are_read_in() {
    let dir = TempDir::new().unwrap();
    let log = TestLog::open(dir.path(), 1);
    let mut store = LogStore::new(log.wal());
    append(&mut store, (0..12).map(|index| proposed(index, 1 << 20)).collect()).await.unwrap();
    let streamed: Vec<_> = store.entries_stream(3..11).await.map(|entry| entry.unwrap().log_id.index).collect().await;
    assert_eq!(streamed, (3..11).collect::<Vec<_>>());
}

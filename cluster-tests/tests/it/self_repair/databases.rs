//! sled opens well, and is damaged deeper down, as it may be after a power cut: nothing shows before somebody reads or writes there.

use super::*;
use cluster_tests::processes::copy_directory;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// sled writes in segments of this length, and the pages of a disk have this one.
const SEGMENT: usize = 512 * 1024;
const PAGE: usize = 4096;
/// So many values are some segments.
const VALUES: usize = 900;

/// Stops a node in order, so that all it has is in its databases.
fn stop(cluster: &mut ProcessCluster, node: usize) {
    cluster.signal(node, libc::SIGTERM);
    assert_eq!(cluster.wait_ended(node, PATIENCE), Some(0));
}

fn open(database: &Path) -> sled::Result<sled::Db> {
    sled::Config::default().path(database).flush_every_ms(None).open()
}

/// What is looked at when a database is opened: its rows with a key of one byte.
fn opens_well(database: &Path) -> bool {
    let opened = catch_unwind(AssertUnwindSafe(|| {
        open(database).is_ok_and(|db| [0xFE, 0xFF].iter().all(|key| matches!(db.get([*key]), Ok(Some(_)))))
    }));
    opened.unwrap_or(false)
}

fn reads_well(database: &Path) -> bool {
    let read = catch_unwind(AssertUnwindSafe(|| open(database).is_ok_and(|db| db.iter().all(|row| row.is_ok()))));
    read.unwrap_or(false)
}

/// The bytes of the database with one segment damaged so that it opens and cannot be read.
fn damaged_deeper_down(database: &Path) -> Vec<u8> {
    let whole = std::fs::read(database.join("db")).unwrap();
    let damages = (0..whole.len()).step_by(SEGMENT).map(|segment| {
        let mut bytes = whole.clone();
        for page in (segment..whole.len().min(segment + SEGMENT)).step_by(PAGE).skip(2) {
            bytes[(page + PAGE / 2).min(whole.len() - 1)] ^= 1;
        }
        bytes
    });
    let mut fitting = damages.filter(|bytes| {
        let tried = tempfile::tempdir().unwrap();
        let copy = || {
            let copy = tempfile::tempdir_in(&tried).unwrap().keep();
            copy_directory(database, &copy);
            std::fs::write(copy.join("db"), bytes).unwrap();
            copy
        };
        opens_well(&copy()) && !reads_well(&copy())
    });
    fitting.next().expect("some segment is not looked at when sled opens")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_opens_well_and_cannot_be_used_is_built_anew_while_the_process_lives_on() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = cluster(directory.path()).await;
    let client = cluster.client(None).await;
    put_all(&client, 0..VALUES).await;
    snapshot_all(&cluster).await;
    let victim = (cluster.ready().await + 1) % 3;
    stop(&mut cluster, victim);
    // Started once more, sled knows where everything lies, and looks at little the next time.
    cluster.start(victim);
    cluster.ready().await;
    stop(&mut cluster, victim);
    let database = cluster.home(victim).join("data/state").join(ENVIRONMENT);
    std::fs::write(database.join("db"), damaged_deeper_down(&database)).unwrap();

    cluster.start(victim);
    cluster.ready().await;
    put_all(&client, 0..VALUES).await;
    let (log, again) = (cluster.log(victim), "this node starts again, to mend its copy of the state");
    until("the node starts again", || async { std::fs::read_to_string(&log).unwrap().contains(again) }).await;
    cluster.ready().await;
    every_value_is_right(&cluster.client(Some(victim)).await, 0..VALUES).await;
    every_journal_is_whole(&cluster).await;
    assert!(cluster.ended().is_empty(), "no process ended");
    assert!(!cluster.home(victim).join("data/state/.unusable").exists(), "the mark is gone with what it stood for");
    // And once more, from what was built anew.
    cluster.kill(victim);
    cluster.start(victim);
    cluster.ready().await;
    every_value_is_right(&cluster.client(Some(victim)).await, 0..VALUES).await;
    let said = std::fs::read_to_string(&log).unwrap();
    assert_eq!(said.matches(again).count(), 1, "{said}");
}

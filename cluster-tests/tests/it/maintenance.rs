//! Work on a running cluster: restarts, drains, and a disk that stops writing, none of which a client has to notice.

use cluster_tests::checks::everything_holds;
use cluster_tests::disks::LoopDisk;
use cluster_tests::processes::ProcessCluster;
use cluster_tests::workload::{ENVIRONMENT, History, Workload};
use proto::v1;
use proto_client::Client;
use std::time::{Duration, Instant};

const WRITERS: usize = 6;
const READERS: usize = 6;

/// No call ended without its answer, retries included.
pub(crate) fn no_call_failed(history: &History) {
    let unanswered = history.writes.iter().flatten().filter(|write| write.version.is_none()).count();
    assert_eq!(unanswered, 0, "every write was acknowledged after retries");
    assert_eq!(history.unanswered_reads, Vec::<String>::new(), "every read was answered after retries");
}

/// Waits until the workload has been told of this many more writes.
pub(crate) async fn goes_on(workload: &Workload, writes: usize) {
    let before = workload.so_far().acknowledged();
    let deadline = Instant::now() + Duration::from_secs(60);
    while workload.so_far().acknowledged() < before + writes {
        assert!(Instant::now() < deadline, "the workload does not go on");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn put(client: &Client, path: &str) -> Result<u64, proto_client::ClientError> {
    let value = Some(v1::Value { kind: Some(v1::value::Kind::Bytes("v".into())) });
    let put = v1::PutRequest { environment: ENVIRONMENT.into(), path: path.into(), value, ..Default::default() };
    client.secrets().put(put).await.map(|done| done.version)
}

#[tokio::test(flavor = "multi_thread")]
async fn all_nodes_are_restarted_one_after_the_other_and_no_call_fails() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = ProcessCluster::prepare(directory.path(), 3);
    cluster.start_all();
    cluster.ready().await;
    let mut clients = Vec::new();
    for first in 0..cluster.len() {
        clients.push(cluster.client_from(first).await);
    }
    let workload = Workload::start(&clients, WRITERS, READERS, History::default());
    goes_on(&workload, 50).await;
    for node in 0..cluster.len() {
        cluster.signal(node, libc::SIGTERM);
        assert_eq!(cluster.wait_ended(node, Duration::from_secs(20)), Some(0), "a stop that was asked for ends well");
        cluster.start(node);
        cluster.ready().await;
        goes_on(&workload, 50).await;
    }
    let history = workload.finish().await;
    println!("{} acknowledged writes, {} answered reads", history.acknowledged(), history.reads.len());
    no_call_failed(&history);
    everything_holds(&cluster, &history).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_leader_hands_over_and_takes_no_calls_until_it_is_resumed() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = ProcessCluster::prepare(directory.path(), 3);
    cluster.start_all();
    let leader = cluster.ready().await;
    let node_id = leader as u64 + 1;
    let workload = Workload::start(&[cluster.client_from(leader).await], WRITERS, READERS, History::default());
    goes_on(&workload, 20).await;

    let client = cluster.client(None).await;
    let drained = client.cluster().drain(v1::MemberRequest { node_id, even_so: false }).await.unwrap();
    assert_ne!(drained.leader_id, node_id, "a drained leader has handed over");
    let itself = cluster.client(Some(leader)).await.with_timeout(Duration::from_millis(500));
    let refused = put(&itself, "drain/refused").await.unwrap_err();
    assert_eq!(refused.code, tonic::Code::Unavailable);
    assert!(refused.message.contains("takes no calls"), "{refused}");
    let status = itself.with_timeout(Duration::from_secs(5)).cluster().status(v1::StatusRequest {}).await.unwrap();
    assert!(status.draining, "a drained node still tells where it stands");
    goes_on(&workload, 20).await;

    client.cluster().resume(v1::MemberRequest { node_id, even_so: false }).await.unwrap();
    put(&itself.with_timeout(Duration::from_secs(5)), "drain/taken").await.unwrap();
    let history = workload.finish().await;
    no_call_failed(&history);
    everything_holds(&cluster, &history).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn draining_a_node_that_is_no_member_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = ProcessCluster::prepare(directory.path(), 1);
    cluster.start_all();
    cluster.ready().await;
    let refused = cluster.client(None).await.cluster().drain(v1::MemberRequest { node_id: 9, even_so: false }).await.unwrap_err();
    assert_eq!(refused.code, tonic::Code::NotFound);
    assert!(refused.message.contains("node 9 is not a member"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_disk_hangs_makes_way_and_comes_back_when_it_writes_again() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = ProcessCluster::prepare(directory.path(), 3);
    let mut disks = Vec::new();
    for node in 0..3 {
        match LoopDisk::create(directory.path(), &format!("disk{node}"), 512) {
            Ok(disk) => disks.push(disk),
            Err(reason) => {
                println!("SKIPPED: no loop-mounted disk here ({reason}); this test needs root and loop devices");
                return;
            }
        }
    }
    for (node, disk) in disks.iter().enumerate() {
        cluster.move_data(node, &disk.path().join("data"));
    }
    cluster.start_all();
    let leader = cluster.ready().await;
    let others: Vec<usize> = (0..3).filter(|node| *node != leader).collect();
    let workload = Workload::start(&[cluster.client_from(others[0]).await], WRITERS, READERS, History::default());
    goes_on(&workload, 20).await;

    let frozen = disks[leader].freeze().unwrap();
    let hung = Instant::now();
    let witness = cluster.client(Some(others[0])).await;
    // Until it is noticed the others commit what the hanging leader sends them; its own disk is not needed for a quorum.
    while witness.cluster().status(v1::StatusRequest {}).await.is_ok_and(|status| status.leader_id == leader as u64 + 1) {
        assert!(hung.elapsed() < Duration::from_secs(20), "the leader stays, though its disk hangs");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("{:?} until another node led", hung.elapsed());
    goes_on(&workload, 10 * WRITERS).await;
    drop(frozen);
    cluster.ready().await;
    let history = workload.finish().await;
    no_call_failed(&history);
    everything_holds(&cluster, &history).await;
    cluster.kill_all();
}

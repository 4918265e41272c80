//! Who belongs to the cluster: what is remembered of nodes that left, and what all of them understand.

use crate::seal::{get, put};
use cluster_tests::processes::{ProcessCluster, READY, learner};
use cluster_tests::waiting::{found, until};
use futures::TryStreamExt;
use node::kit::NodePlan;
use proto::v1;
use proto_client::Client;
use tonic::Code;

/// What such records are about, oldest first: nodes, or levels.
async fn recorded(client: &Client, operation: &str) -> Vec<String> {
    let query = v1::QueryRequest { operation: operation.into(), oldest_first: true, ..Default::default() };
    let records: Vec<_> = client.audit().query(query).await.unwrap().try_collect().await.unwrap();
    let about = |record: v1::AuditRecord| {
        if record.version == 0 { record.subject } else { format!("{} {}", record.subject, record.version) }
    };
    records.into_iter().map(about).collect()
}

fn member(node_id: u64) -> v1::MemberRequest {
    v1::MemberRequest { node_id, even_so: false }
}

/// What one node acknowledges is read at another at once, each time.
async fn assert_never_stale(writes: &Client, reads: &Client) {
    for number in 0..10 {
        let text = number.to_string();
        put(writes, "app/key", text.as_bytes()).await;
        assert_eq!(get(reads, "app/key").await, text.as_bytes());
    }
}

async fn voters(client: &Client) -> Vec<u64> {
    let members = client.cluster().status(v1::StatusRequest {}).await.unwrap().members;
    members.iter().filter(|member| member.voter).map(|member| member.node_id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_node_is_on_the_journal_is_not_listened_to_and_its_number_is_not_given_again() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = ProcessCluster::prepare(directory.path(), 3);
    cluster.start_all();
    let leader = cluster.ready().await;
    let client = cluster.client_from(leader).await;
    let mut seen = found("all members are on the journal", async || {
        let seen = recorded(&client, "member.seen").await;
        (seen.len() >= 3).then_some(seen)
    })
    .await;
    seen.sort_unstable();
    assert_eq!(seen, ["node-1", "node-2", "node-3"]);
    until("all have announced", async || recorded(&client, "level.raised").await == ["features 1"]).await;

    let gone = (leader + 1) % 3;
    let node_id = gone as u64 + 1;
    client.cluster().remove(v1::MemberRequest { node_id, even_so: false }).await.unwrap();
    // At once: before it is on the journal.
    let plan = NodePlan::parse(&format!("id={node_id},client=127.0.0.1:1,peer=127.0.0.1:2")).unwrap();
    let refused = client.cluster().add_learner(learner(&plan)).await.unwrap_err();
    assert_eq!(refused.code, Code::InvalidArgument);
    assert_eq!(refused.message, format!("node {node_id} was a member and left: a number is never used again; 4 is free"));
    until("its leaving is on the journal", async || recorded(&client, "member.left").await == [format!("node-{node_id}")]).await;
    // It goes on running, and asks the others for their votes.
    until("somebody refuses it", async || {
        (0..3).filter(|node| *node != gone).any(|node| {
            std::fs::read_to_string(cluster.log(node)).is_ok_and(|log| log.contains("refused a call of a node that was removed"))
        })
    })
    .await;

    let other_id = (0..3).find(|node| *node != gone && *node != leader).unwrap() as u64 + 1;
    let plan = cluster.add_node();
    client.cluster().add_learner(learner(&plan)).await.unwrap();
    let unknown = client.cluster().replace(v1::ReplaceRequest { node_id: 9, by_node_id: plan.id }).await.unwrap_err();
    assert_eq!(unknown.code, Code::NotFound, "{unknown}");
    until("node 4 takes the place of another", async || {
        client.cluster().replace(v1::ReplaceRequest { node_id: other_id, by_node_id: plan.id }).await.is_ok()
    })
    .await;
    let members = client.cluster().status(v1::StatusRequest {}).await.unwrap().members;
    let votes: Vec<_> = members.iter().filter(|member| member.voter).map(|member| member.node_id).collect();
    assert!(members.len() == 2 && votes == [leader as u64 + 1, 4], "{members:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voter_is_not_taken_out_while_those_left_would_be_no_majority() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = ProcessCluster::prepare(directory.path(), 3);
    cluster.start_all();
    let leader = cluster.ready().await;
    let client = cluster.client_from(leader).await;
    let (away, other) = ((leader + 1) % 3, (leader + 2) % 3);
    cluster.kill(away);
    let remove = async |node: usize| client.cluster().remove(member(node as u64 + 1)).await;
    let refused = remove(other).await.unwrap_err();
    assert_eq!(refused.code, Code::FailedPrecondition, "{refused}");
    assert!(refused.message.contains("of the 2 voters that would be left 1 answer"), "{refused}");
    let kept = client.cluster().demote(member(other as u64 + 1)).await.unwrap_err();
    assert_eq!((kept.code, kept.message), (refused.code, refused.message));
    remove(away).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demoted_leader_hands_over_and_answers_as_a_learner_until_it_votes_again() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = ProcessCluster::prepare(directory.path(), 3);
    cluster.start_all();
    let leader = cluster.ready().await;
    let node_id = leader as u64 + 1;
    let (itself, other) = (cluster.client(Some(leader)).await, cluster.client(Some((leader + 1) % 3)).await);
    let client = cluster.client_from(leader).await;
    let unknown = client.cluster().demote(member(9)).await.unwrap_err();
    assert_eq!(unknown.code, Code::NotFound, "{unknown}");
    until("all are on the journal", async || recorded(&client, "member.seen").await.len() == 3).await;

    let demoted = client.cluster().demote(member(node_id)).await.unwrap();
    assert_ne!(demoted.leader_id, node_id, "it has handed over");
    client.cluster().demote(member(node_id)).await.unwrap();
    until("it knows that it has no vote", async || {
        itself.cluster().health(v1::HealthRequest {}).await.is_ok_and(|health| health.role == "learner" && health.ready)
    })
    .await;
    assert_eq!(voters(&itself).await, (1..=3).filter(|id| *id != node_id).collect::<Vec<_>>());
    assert_never_stale(&other, &itself).await;
    assert_never_stale(&itself, &other).await;
    let name = format!("node-{node_id}");
    until("the journal knows", async || recorded(&client, "member.seen").await[3..] == [name.clone()]).await;
    assert!(recorded(&client, "cluster.demote").await.ends_with(std::slice::from_ref(&name)));
    assert!(recorded(&client, "member.left").await.is_empty());

    until("it votes again", async || client.cluster().promote(member(node_id)).await.is_ok()).await;
    assert_eq!(voters(&client).await, [1, 2, 3]);
    client.cluster().transfer_leader(member(node_id)).await.unwrap();
    assert_never_stale(&other, &itself).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_never_voted_answers_and_the_last_vote_stays() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = ProcessCluster::prepare(directory.path(), 1);
    cluster.start_all();
    cluster.ready().await;
    let founder = cluster.client(Some(0)).await;
    put(&founder, "app/before", b"before").await;
    let plan = cluster.add_node();
    founder.cluster().add_learner(learner(&plan)).await.unwrap();
    let itself = cluster.client(Some(1)).await;
    assert_eq!(get(&itself, "app/before").await, b"before");
    assert_never_stale(&founder, &itself).await;
    assert_never_stale(&itself, &founder).await;
    for even_so in [false, true] {
        let refused = founder.cluster().demote(v1::MemberRequest { node_id: 1, even_so }).await.unwrap_err();
        assert_eq!(refused.code, Code::FailedPrecondition, "{refused}");
    }
    assert_eq!(voters(&itself).await, [1]);
}

#[cfg(debug_assertions)]
#[tokio::test(flavor = "multi_thread")]
async fn an_older_build_does_not_start_once_all_members_understood_more() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = ProcessCluster::prepare(directory.path(), 3);
    cluster.start_all();
    cluster.ready().await;
    let client = cluster.client(None).await;
    until("level 1", async || recorded(&client, "level.raised").await == ["features 1"]).await;
    // A rolling upgrade: the level rises with the last of them, not before.
    cluster.set_variable("HOLDFAST_FEATURE_LEVEL", Some("2"));
    for node in 0..cluster.len() {
        assert_eq!(recorded(&client, "level.raised").await, ["features 1"]);
        cluster.signal(node, libc::SIGTERM);
        assert_eq!(cluster.wait_ended(node, READY), Some(0));
        cluster.start(node);
        cluster.ready().await;
    }
    until("level 2", async || recorded(&client, "level.raised").await == ["features 1", "features 2"]).await;
    client.cluster().trigger_snapshot(v1::TriggerSnapshotRequest {}).await.unwrap();
    let node = cluster.ready().await;
    cluster.client(Some(node)).await.cluster().trigger_snapshot(v1::TriggerSnapshotRequest {}).await.unwrap();
    cluster.set_variable("HOLDFAST_FEATURE_LEVEL", None);
    cluster.kill(node);
    cluster.start(node);
    assert_eq!(cluster.wait_ended(node, READY), Some(1), "the older build ends");
    let log = std::fs::read_to_string(cluster.log(node)).unwrap();
    assert!(log.contains("the cluster uses features of level 2") && log.contains("understands level 1"), "{log}");
    cluster.set_variable("HOLDFAST_FEATURE_LEVEL", Some("2"));
    cluster.start(node);
    cluster.ready().await;
}

//! Clients against each other.

use cluster_tests::processes::ProcessCluster;
use proto::v1;
use proto_client::Client;

async fn put_if(client: &Client, path: &str, value: String, version: u64) -> Result<u64, tonic::Code> {
    let request = v1::PutRequest {
        environment: "development".into(),
        path: path.into(),
        value: Some(v1::Value { kind: Some(v1::value::Kind::Bytes(value.into_bytes().into())) }),
        expect: Some(v1::Expectation { kind: Some(v1::expectation::Kind::Version(version)) }),
        metadata: None,
    };
    client.secrets().put(request).await.map(|done| done.version).map_err(|error| error.code)
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_conditional_writes_on_different_nodes_exactly_one_wins_every_round() {
    let rounds: u64 = std::env::var("HOLDFAST_RACE_ROUNDS").ok().and_then(|count| count.parse().ok()).unwrap_or(3_000);
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = ProcessCluster::prepare(directory.path(), 3);
    cluster.start_all();
    let leader = cluster.ready().await;
    // Neither is the leader: both go the long way.
    let (one, other) = (cluster.client(Some((leader + 1) % 3)).await, cluster.client(Some((leader + 2) % 3)).await);
    let mut wins = [0u64; 2];
    for version in 0..rounds {
        let (first, second) = tokio::join!(
            put_if(&one, "race/secret", format!("one {version}"), version),
            put_if(&other, "race/secret", format!("other {version}"), version)
        );
        match (first, second) {
            (Ok(won), Err(tonic::Code::FailedPrecondition)) if won == version + 1 => wins[0] += 1,
            (Err(tonic::Code::FailedPrecondition), Ok(won)) if won == version + 1 => wins[1] += 1,
            outcome => panic!("round {version}: {outcome:?}"),
        }
    }
    println!("{rounds} rounds, wins {wins:?}");
    assert_eq!(wins[0] + wins[1], rounds);
}

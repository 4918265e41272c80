//! How many streams one principal may have open on a node.

use cluster_tests::processes::{ProcessCluster, READY};
use proto::v1;
use proto_client::Client;
use std::time::{Duration, Instant};
use tonic::Code;

const MOST: usize = 3;

async fn world(directory: &std::path::Path) -> (ProcessCluster, Client) {
    let mut cluster = ProcessCluster::prepare(directory, 1);
    cluster.set(&format!("limits.streams_per_principal={MOST}"));
    cluster.start_all();
    cluster.ready().await;
    let client = cluster.client(None).await;
    (cluster, client)
}

fn watch() -> v1::WatchRequest {
    v1::WatchRequest { environment: "production".into(), prefix: String::new(), after_index: 0 }
}

/// A client of somebody else with the same rights.
async fn somebody_else(cluster: &ProcessCluster, root: &Client) -> Client {
    let request = v1::CreateTokenRequest { principal: "bob".into(), policies: vec!["root".into()], ..Default::default() };
    let made = root.tokens().create(request).await.unwrap();
    cluster.keep_root_token(&made.token);
    cluster.client(None).await
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_of_one_principal_are_bounded_and_one_that_ends_makes_room() {
    let directory = tempfile::tempdir().unwrap();
    let (cluster, root) = world(directory.path()).await;
    let mut open = vec![root.secrets().watch(watch()).await.unwrap(), root.secrets().watch(watch()).await.unwrap()];
    let tail = root.audit().tail(v1::TailRequest::default()).await.unwrap();
    let refused = root.secrets().watch(watch()).await.unwrap_err();
    assert_eq!(refused.code, Code::ResourceExhausted);
    assert!(refused.message.contains("has 3 open streams") && refused.message.contains("end one"), "{}", refused.message);
    let refused = root.audit().tail(v1::TailRequest::default()).await.unwrap_err();
    assert_eq!(refused.code, Code::ResourceExhausted, "whatever kind of stream it is");
    assert!(root.secrets().get_stream(8).await.is_err(), "reads over a stream count, too");
    let request = v1::GetRequest { environment: "production".into(), path: "none".into(), ..Default::default() };
    assert_eq!(root.secrets().get(request).await.unwrap_err().code, Code::NotFound, "single calls go on");
    somebody_else(&cluster, &root).await.secrets().watch(watch()).await.unwrap();

    open.pop();
    drop(tail);
    let deadline = Instant::now() + READY;
    // The node hears of it when the connection does.
    while let Err(refused) = root.secrets().watch(watch()).await.map(|stream| open.push(stream)) {
        assert!(refused.code == Code::ResourceExhausted && Instant::now() < deadline, "{}", refused.message);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

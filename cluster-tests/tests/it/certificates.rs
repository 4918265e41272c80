//! Certificates change while the nodes run, and no client has to notice.

use crate::maintenance::{goes_on, no_call_failed};
use cluster_tests::checks::everything_holds;
use cluster_tests::processes::ProcessCluster;
use cluster_tests::workload::{History, Workload};
use node::kit::{self, NodePlan};
use proto::v1;
use std::path::Path;
use std::time::{Duration, Instant};

const NODES: u64 = 3;

/// Puts files in place of others of a running node, each written beside first.
fn lay(files: &[(&Path, Vec<u8>)]) {
    for (path, contents) in files {
        let partial = path.with_extension("partial");
        std::fs::write(&partial, contents).unwrap();
        std::fs::rename(&partial, path).unwrap();
    }
}

/// Waits until a client that trusts the kit's authority as it is now can speak to a node, or cannot.
async fn shows(cluster: &ProcessCluster, node: usize, trusted: bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let client = cluster.client(Some(node)).await.with_timeout(Duration::from_millis(500));
        let asked = client.cluster().health(v1::HealthRequest {}).await;
        if asked.is_ok() == trusted {
            return;
        }
        assert!(Instant::now() < deadline, "node {}: {asked:?}", node + 1);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_certificate_and_the_authority_change_under_load_and_no_call_fails() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = ProcessCluster::prepare(directory.path(), NODES);
    let other = directory.path().join("other");
    kit::create_without_keys(&other, &NodePlan::local(NODES, 7000)).unwrap();
    let (trusted, read) = (cluster.kit().join("ca.pem"), |path: &Path| std::fs::read(path).unwrap());
    let (old, new) = (read(&trusted), read(&other.join("ca.pem")));
    let both = [old.clone(), new.clone()].concat();
    cluster.start_all();
    cluster.ready().await;
    lay(&[(&trusted, both.clone())]);
    let mut clients = Vec::new();
    for first in 0..cluster.len() {
        clients.push(cluster.client_from(first).await);
    }
    let workload = Workload::start(&clients, 6, 6, History::default());
    goes_on(&workload, 20).await;

    // Everybody trusts both, then shows the new one, then trusts the new one only.
    for node in 0..cluster.len() {
        lay(&[(&cluster.home(node).join("tls/ca.pem"), both.clone())]);
    }
    for node in 0..cluster.len() {
        let log = |cluster: &ProcessCluster| std::fs::read_to_string(cluster.log(node)).unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        while !log(&cluster).contains("certificates were replaced") {
            assert!(Instant::now() < deadline, "{}", log(&cluster));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    lay(&[(&trusted, new.clone())]);
    for node in 0..cluster.len() {
        shows(&cluster, node, false).await;
        let (from, home) = (kit::node_directory(&other, node as u64 + 1).join("tls"), cluster.home(node).join("tls"));
        let names = ["peer.pem", "peer.key", "client.pem", "client.key"];
        let files: Vec<_> = names.map(|name| (home.join(name), read(&from.join(name)))).into();
        lay(&files.iter().map(|(path, contents)| (path.as_path(), contents.clone())).collect::<Vec<_>>());
        shows(&cluster, node, true).await;
        goes_on(&workload, 20).await;
    }
    for node in 0..cluster.len() {
        lay(&[(&cluster.home(node).join("tls/ca.pem"), new.clone())]);
    }

    // Open connections keep what they were made with: all of them are made anew now.
    for node in 0..cluster.len() {
        cluster.signal(node, libc::SIGTERM);
        assert_eq!(cluster.wait_ended(node, Duration::from_secs(20)), Some(0), "a stop that was asked for ends well");
        cluster.start(node);
        cluster.ready().await;
        goes_on(&workload, 20).await;
    }
    let history = workload.finish().await;
    no_call_failed(&history);
    lay(&[(&trusted, old)]);
    for node in 0..cluster.len() {
        shows(&cluster, node, false).await;
    }
    lay(&[(&trusted, new)]);
    everything_holds(&cluster, &history).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_that_cannot_be_used_are_left_lying_and_somebody_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = ProcessCluster::prepare(directory.path(), 1);
    cluster.start_all();
    cluster.ready().await;
    let client = cluster.client(None).await;
    let tls = cluster.home(0).join("tls");
    let key = std::fs::read(tls.join("client.key")).unwrap();
    lay(&[(&tls.join("client.key"), std::fs::read(tls.join("peer.key")).unwrap())]);
    let says = async |wanted: Option<&str>| {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let report = client.cluster().health(v1::HealthRequest {}).await.unwrap();
            let said = report.indicators.into_iter().find(|indicator| indicator.name == "certificates").map(|found| found.says);
            if said.as_ref().map(|said| said.contains(wanted.unwrap_or(""))) == wanted.map(|_| true) {
                return;
            }
            assert!(Instant::now() < deadline, "{said:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    says(Some("do not fit together")).await;
    shows(&cluster, 0, true).await;
    lay(&[(&tls.join("client.key"), key)]);
    says(None).await;
}

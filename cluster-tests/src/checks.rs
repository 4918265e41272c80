//! What must hold after anything: each promise is a function with its name.

use crate::processes::ProcessCluster;
use crate::workload::{ENVIRONMENT, History, path_of};
use proto::v1;
use proto_client::Client;
use proto_record::chain;
use proto_record::leaf::{Leaf, Outcome};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

/// The operation number of a read in a leaf.
const SECRET_READ: u16 = 12;
/// How long nodes may take to stand at the same record once nothing is asked of them.
const SETTLE: Duration = Duration::from_secs(30);

/// The journal of one node, from its first record to its head.
pub struct Journal {
    /// Leaves by sequence number, without a gap.
    pub leaves: Vec<Vec<u8>>,
    /// The chain after the last.
    pub chain: Vec<u8>,
}

/// Exports a node's journal and checks it link by link: dense, ordered, chained from the genesis to the node's head.
///
/// # Panics
/// When it does not verify.
pub async fn the_journal_verifies(client: &Client) -> Journal {
    let head = client.audit().head(v1::HeadRequest {}).await.expect("a node tells its head");
    assert_eq!(head.first_seq, 1, "the journal is whole");
    let cluster: [u8; 16] = head.cluster_id.as_ref().try_into().expect("a cluster id has 16 bytes");
    let mut records =
        client.audit().export(v1::ExportRequest { from_seq: 1, to_seq: head.seq }).await.expect("a node exports its journal");
    let (mut link, mut stamp) = (chain::genesis(&cluster), 0);
    let mut leaves = Vec::new();
    while let Some(record) = futures::StreamExt::next(&mut records).await {
        let record = record.expect("the export goes on to its end");
        assert_eq!(record.seq, leaves.len() as u64 + 1, "records are dense");
        link = chain::next(&link, &record.leaf);
        assert_eq!(record.chain, link.as_slice(), "record {} has the link that its place gives it", record.seq);
        let leaf = Leaf::decode(&record.leaf).expect("a leaf decodes");
        assert_eq!(leaf.seq, record.seq);
        assert!(leaf.stamp_us > stamp, "stamps strictly increase at record {}", record.seq);
        stamp = leaf.stamp_us;
        leaves.push(record.leaf.to_vec());
    }
    assert_eq!(leaves.len() as u64, head.seq, "the journal reaches its head");
    assert_eq!(link.as_slice(), head.chain, "the chain ends at the head");
    Journal { leaves, chain: link.to_vec() }
}

/// Every acknowledged write is there, once, at its version; what was not acknowledged is there at most once.
///
/// # Panics
/// When one was lost, doubled or changed.
pub async fn no_acknowledged_write_is_lost(client: &Client, history: &History) {
    for (writer, writes) in history.writes.iter().enumerate() {
        let mut at_version = BTreeMap::new();
        for write in writes {
            if let Some(version) = write.version {
                let before = at_version.insert(version, write.value.clone());
                assert_eq!(before, None, "two writes of writer {writer} were told that they are v{version}");
            }
        }
        let Some((newest_acknowledged, _)) = at_version.last_key_value() else { continue };
        let request = v1::HistoryRequest { environment: ENVIRONMENT.into(), path: path_of(writer) };
        let versions = client.secrets().history(request).await.expect("an acknowledged secret has a history");
        let newest = versions.secret.expect("a history names its secret").newest_version;
        assert!(
            newest >= *newest_acknowledged,
            "writer {writer}: v{newest_acknowledged} was acknowledged, v{newest} is the newest"
        );
        assert!(newest <= writes.len() as u64, "writer {writer}: {} writes were tried, v{newest} is the newest", writes.len());
        for kept in versions.versions {
            let request = v1::GetRequest { environment: ENVIRONMENT.into(), path: path_of(writer), version: kept.version };
            let found = text(client.secrets().get(request).await.expect("a kept version is readable"));
            match at_version.get(&kept.version) {
                Some(expected) => assert_eq!(&found, expected, "writer {writer} v{}", kept.version),
                None => assert!(
                    writes.iter().any(|write| write.version.is_none() && write.value == found),
                    "writer {writer} v{} holds {found}, which no unacknowledged write put there",
                    kept.version
                ),
            }
        }
    }
}

fn text(answer: v1::GetResponse) -> String {
    match answer.value.and_then(|value| value.kind) {
        Some(v1::value::Kind::Bytes(bytes)) => String::from_utf8_lossy(&bytes).into_owned(),
        _ => String::new(),
    }
}

/// Every answered read stands in the journal as done, under its request id.
///
/// # Panics
/// When one is missing.
pub fn every_answered_read_is_journalled(journal: &Journal, history: &History) {
    let mut journalled = HashSet::new();
    for leaf in &journal.leaves {
        let leaf = Leaf::decode(leaf).expect("a verified leaf decodes");
        if leaf.operation == SECRET_READ && leaf.outcome == Outcome::Done {
            journalled.insert((leaf.request, leaf.version));
        }
    }
    for read in &history.reads {
        let record = (read.request.into_bytes(), read.version);
        assert!(
            journalled.contains(&record),
            "the read {} of v{} was answered and is not on the journal",
            read.request,
            read.version
        );
    }
}

/// Every acknowledged write stands in the journal exactly once.
///
/// # Panics
/// When one is missing or doubled.
pub fn every_acknowledged_write_is_journalled_once(journal: &Journal, history: &History) {
    let mut count: HashMap<[u8; 16], u32> = HashMap::new();
    for leaf in &journal.leaves {
        let leaf = Leaf::decode(leaf).expect("a verified leaf decodes");
        // A version's record names its secret; the record of a repeated request does not.
        if leaf.outcome == Outcome::Done && leaf.secret != 0 && leaf.operation != SECRET_READ {
            *count.entry(leaf.request).or_default() += 1;
        }
    }
    for write in history.writes.iter().flatten() {
        let found = count.get(&write.request.into_bytes()).copied().unwrap_or(0);
        let expected = if write.version.is_some() { 1..=1 } else { 0..=1 };
        assert!(expected.contains(&found), "write {} ({:?}) stands {found} times on the journal", write.request, write.version);
    }
}

/// No read answered less than what had been acknowledged before it began.
///
/// # Panics
/// When one did.
pub fn reads_are_never_stale(history: &History) {
    for read in &history.reads {
        let (version, floor) = (read.version, read.floor);
        assert!(version >= floor, "read {} answered v{version} though v{floor} had been acknowledged before it", read.request);
    }
}

/// All nodes come to stand at the same record, with the same chain and the same digest.
///
/// # Panics
/// When they do not within half a minute.
pub async fn all_nodes_agree(clients: &[Client]) {
    let deadline = Instant::now() + SETTLE;
    loop {
        let mut standings = Vec::new();
        for client in clients {
            let status = client.cluster().status(v1::StatusRequest {}).await.expect("a node tells its status");
            standings.push((status.node_id, status.seq, status.chain, status.state_digest));
        }
        // Each status is itself a record, so compare what two nodes say of the same record.
        if agree(clients, &standings).await {
            return;
        }
        assert!(Instant::now() < deadline, "nodes do not agree: {standings:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn agree(clients: &[Client], standings: &[(u64, u64, impl PartialEq, impl PartialEq)]) -> bool {
    // The digest does not move with records that change nothing, and statuses change nothing.
    let digests = standings.windows(2).all(|pair| pair[0].3 == pair[1].3);
    let lowest = standings.iter().map(|standing| standing.1).min().unwrap_or(0);
    let mut links = Vec::new();
    for client in clients {
        let Ok(mut records) = client.audit().export(v1::ExportRequest { from_seq: lowest, to_seq: lowest }).await else {
            return false;
        };
        let Some(Ok(record)) = futures::StreamExt::next(&mut records).await else { return false };
        links.push(record.chain);
    }
    digests && links.windows(2).all(|pair| pair[0] == pair[1])
}

/// Everything that must hold of a cluster at rest, whatever was done to it: asked of every node.
///
/// # Panics
/// When something of it does not.
pub async fn everything_holds(cluster: &ProcessCluster, history: &History) {
    let mut clients = Vec::new();
    for node in 0..cluster.len() {
        clients.push(cluster.client(Some(node)).await);
    }
    all_nodes_agree(&clients).await;
    no_acknowledged_write_is_lost(&clients[0], history).await;
    reads_are_never_stale(history);
    for client in &clients {
        let journal = the_journal_verifies(client).await;
        every_answered_read_is_journalled(&journal, history);
        every_acknowledged_write_is_journalled_once(&journal, history);
    }
}

//! What must hold after every fault: nothing that anybody was told is lost, doubled or older than what was told before, and every node
//! has the same journal.

use std::collections::HashMap;

use futures::StreamExt;
use proto_client::{Client, v1};
use proto_record::{
    chain,
    leaf::{Leaf, Outcome},
};
use serde::Serialize;

use super::{
    history::Told,
    stage::Stage,
    traffic::{ENVIRONMENT, path_of},
};
use crate::{fault::Fault, say};

/// The number of a read in a leaf.
const SECRET_READ: u16 = 12;
const PAGE: u32 = 10_000;
/// Complaints that are shown; all are counted.
const SHOWN: usize = 10;

/// What was found.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Findings {
    /// Records on the journal of every node, link by link.
    pub(super) records: u64,
    /// Secrets that were put before the first fault and are there.
    pub(super) secrets: u64,
    /// What does not hold: none is good.
    pub(super) broken: u64,
    /// The first of them, in words.
    pub(super) complaints: Vec<String>,
}

impl Findings {
    fn complain(&mut self, what: impl FnOnce() -> String) {
        self.broken += 1;
        if self.complaints.len() < SHOWN {
            self.complaints.push(what());
        }
    }
}

/// What one node's journal says, by request: how often something was done, and the version.
#[derive(Default)]
struct Journalled {
    writes: HashMap<[u8; 16], (u32, u64)>,
    reads: HashMap<[u8; 16], u64>,
}

/// Checks everything.
pub(super) async fn all(stage: &Stage, told: &Told) -> Result<Findings, Fault> {
    let mut findings = Findings::default();
    let heads = heads(stage).await?;
    let common = heads.iter().map(|head| head.seq).min().unwrap_or(0);
    findings.records = common;
    let mut ends = Vec::new();
    for (node, (client, head)) in stage.each().iter().zip(&heads).enumerate() {
        say(&format!("reading the journal of node {}: {common} records", node + 1));
        let (journalled, end) = read(client, head, common, &mut findings, node).await?;
        ends.push(end);
        writes_are_journalled_once(told, &journalled, node, &mut findings);
        reads_are_journalled(told, &journalled, node, &mut findings);
    }
    if ends.windows(2).any(|pair| pair[0] != pair[1]) {
        findings.complain(|| format!("the chains of the nodes differ at record {common}"));
    }
    reads_are_not_stale(told, &mut findings);
    versions_stand(stage, told, &mut findings).await?;
    findings.secrets = count_seeds(stage).await?;
    Ok(findings)
}

async fn heads(stage: &Stage) -> Result<Vec<v1::HeadResponse>, Fault> {
    let mut heads = Vec::new();
    for client in stage.each() {
        heads.push(client.audit().head(v1::HeadRequest {}).await.map_err(Fault::cluster("ask for the head of the journal"))?);
    }
    Ok(heads)
}

/// Reads a journal to record `to`, and checks each link; gives its last one.
async fn read(
    client: &Client,
    head: &v1::HeadResponse,
    to: u64,
    findings: &mut Findings,
    node: usize,
) -> Result<(Journalled, Vec<u8>), Fault> {
    const DOING: &str = "export the journal";
    let cluster: [u8; 16] = head.cluster_id.as_ref().try_into().map_err(Fault::cluster(DOING))?;
    let mut journalled = Journalled::default();
    let mut link = chain::genesis(&cluster);
    let mut next = 1;
    let export = v1::ExportRequest { from_seq: 1, to_seq: to };
    let mut records = client.audit().export(export).await.map_err(Fault::cluster(DOING))?;
    while let Some(record) = records.next().await {
        let record = record.map_err(Fault::cluster(DOING))?;
        link = chain::next(&link, &record.leaf);
        if record.seq != next || record.chain != link.as_slice() {
            findings.complain(|| format!("node {}: record {} does not follow record {}", node + 1, record.seq, next - 1));
        }
        next += 1;
        let leaf = Leaf::decode(&record.leaf).map_err(Fault::cluster(DOING))?;
        if leaf.outcome != Outcome::Done || leaf.secret == 0 {
            continue;
        }
        if leaf.operation == SECRET_READ {
            journalled.reads.insert(leaf.request, leaf.version);
        } else {
            let entry = journalled.writes.entry(leaf.request).or_default();
            *entry = (entry.0 + 1, leaf.version);
        }
    }
    if next != to + 1 {
        findings.complain(|| format!("node {}: the journal ends at record {}, not at {to}", node + 1, next - 1));
    }
    Ok((journalled, link.to_vec()))
}

fn writes_are_journalled_once(told: &Told, journalled: &Journalled, node: usize, findings: &mut Findings) {
    for write in &told.writes {
        let found = journalled.writes.get(write.request.as_bytes());
        if found != Some(&(1, write.version)) {
            findings.complain(|| format!("node {}: write {} was told v{}: {found:?}", node + 1, write.request, write.version));
        }
    }
}

fn reads_are_journalled(told: &Told, journalled: &Journalled, node: usize, findings: &mut Findings) {
    for read in &told.reads {
        let found = journalled.reads.get(read.request.as_bytes());
        if found != Some(&read.version) {
            findings.complain(|| format!("node {}: read {} was told v{}: {found:?}", node + 1, read.request, read.version));
        }
    }
}

fn reads_are_not_stale(told: &Told, findings: &mut Findings) {
    for read in told.reads.iter().filter(|read| read.version < read.floor) {
        findings.complain(|| {
            format!("node {} answered v{} to a read that began after v{} was known", read.node + 1, read.version, read.floor)
        });
    }
}

/// Every writer's secret stands at the newest version that was told, or at one that was tried and never told.
async fn versions_stand(stage: &Stage, told: &Told, findings: &mut Findings) -> Result<(), Fault> {
    for (writer, tried) in told.tried.iter().enumerate() {
        let versions = || told.writes.iter().filter(move |write| write.writer == writer).map(|write| write.version);
        let newest_told = versions().max().unwrap_or(0);
        let request = v1::HistoryRequest { environment: ENVIRONMENT.to_owned(), path: path_of(writer) };
        let history = stage.client().secrets().history(request).await.map_err(Fault::cluster("read a history"))?;
        let newest = history.secret.map_or(0, |secret| secret.newest_version);
        if newest < newest_told || newest > *tried {
            findings
                .complain(|| format!("writer {writer}: v{newest_told} was told, {tried} were tried, v{newest} is the newest"));
        }
    }
    Ok(())
}

async fn count_seeds(stage: &Stage) -> Result<u64, Fault> {
    let mut request = v1::ListRequest {
        environment: ENVIRONMENT.to_owned(),
        prefix: "seed/".to_owned(),
        recursive: true,
        limit: PAGE,
        ..Default::default()
    };
    let mut count = 0;
    loop {
        let page = stage.client().secrets().list(request.clone()).await.map_err(Fault::cluster("list the secrets"))?;
        count += page.entries.len() as u64;
        if page.next_cursor.is_empty() {
            return Ok(count);
        }
        request.cursor = page.next_cursor;
    }
}

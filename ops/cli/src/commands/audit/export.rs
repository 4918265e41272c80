//! `holdfast audit export`.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::PathBuf,
};

use clap::Args;
use futures::StreamExt;
use proto_client::{Client, v1};
use proto_record::chain::{self, Link};
use serde_json::json;

use crate::{
    exit::{Doing, Exit, Failure},
    journal::{
        bundle::{Header, Writer},
        hex,
    },
    settings::Session,
};

/// Writes the journal to a bundle.
#[derive(Args)]
#[command(after_help = "Examples:
  holdfast audit export --out journal.hfj
  holdfast audit export --out november.hfj --from-seq 120000
  holdfast audit verify --bundle journal.hfj

Keep the chain that it prints apart from the bundle: whoever changes one cannot change the other.")]
pub(crate) struct Export {
    /// The bundle, a new file.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// From this record; the first that the node holds when left out.
    #[arg(long, value_name = "RECORD")]
    from_seq: Option<u64>,
    /// To this record; the newest when left out.
    #[arg(long, value_name = "RECORD")]
    to_seq: Option<u64>,
}

/// Where the journal of the node that answers stands.
pub(super) struct Head {
    pub(super) cluster: [u8; 16],
    pub(super) chain: Link,
    pub(super) message: v1::HeadResponse,
}

/// Asks a client for its head.
pub(super) async fn head(client: &Client) -> Result<Head, Failure> {
    let message = client.audit().head(v1::HeadRequest {}).await.doing(|| "ask for the head of the journal".to_owned())?;
    let bad = || Failure::new(Exit::Unexpected, "cannot use the head of the journal", "the node sent a malformed one");
    let cluster = message.cluster_id.as_ref().try_into().map_err(|_| bad())?;
    let chain = message.chain.as_ref().try_into().map_err(|_| bad())?;
    Ok(Head { cluster, chain, message })
}

/// One node that answers, and its head: records and head must come from the same.
pub(super) async fn one_node(client: &Client) -> Result<(String, Client, Head), Failure> {
    let mut failed = None;
    for (address, node) in client.each_node() {
        match head(&node).await {
            Ok(head) => return Ok((address, node, head)),
            Err(failure) if failure.exit == Exit::Unavailable => failed = Some(failure),
            Err(failure) => return Err(failure),
        }
    }
    Err(failed.unwrap_or_else(|| Failure::usage("no node is named", "--addr is empty", "give --addr")))
}

impl Export {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let (_, node, head) = one_node(&session.client().await?).await?;
        let first = self.from_seq.unwrap_or(head.message.first_seq).max(1);
        let last = self.to_seq.unwrap_or(head.message.seq).min(head.message.seq);
        if first > last {
            let why = format!("the journal holds records {} to {}", head.message.first_seq, head.message.seq);
            return Err(Failure::usage("there is nothing to export", why, "choose other records"));
        }
        let before = link_before(&node, &head, first).await?;
        let header = Header::new(&head.cluster, head.message.epoch, first, last, before.as_ref());
        let failed = |error: std::io::Error| Failure::io(format!("cannot write {}", self.out.display()), &error);
        let file = File::create_new(&self.out).map_err(failed)?;
        let mut bundle = Writer::new(BufWriter::new(file), &header).map_err(failed)?;
        let bar = session.out.progress(last + 1 - first, "exporting");
        let mut records = export(&node, first, last).await?;
        let mut link = Link::default();
        while let Some(record) = records.next().await {
            let record = record.doing(|| "read all records".to_owned())?;
            link = link_of(&record)?;
            bundle.push(record.seq, &record.leaf, &link).map_err(failed)?;
            bar.inc(1);
        }
        let mut file = bundle.finish().map_err(failed)?;
        file.flush().and_then(|()| file.get_ref().sync_all()).map_err(failed)?;
        bar.finish_and_clear();
        let document = json!({ "bundle": self.out, "first": first, "last": last, "chain": hex(&link) });
        let sentence =
            format!("records {first} to {last} are in {}; the chain ends in {last}:{}", self.out.display(), hex(&link));
        session.out.done(&document, &sentence)
    }
}

/// The records of one node.
pub(super) async fn export(
    node: &Client,
    from_seq: u64,
    to_seq: u64,
) -> Result<proto_client::Answers<v1::ExportedRecord>, Failure> {
    let request = v1::ExportRequest { from_seq, to_seq };
    node.audit().export(request).await.doing(|| "read the journal".to_owned())
}

/// The link of a record as it came.
pub(super) fn link_of(record: &v1::ExportedRecord) -> Result<Link, Failure> {
    let why = || format!("record {} came with a malformed link", record.seq);
    record.chain.as_ref().try_into().map_err(|_| Failure::new(Exit::Integrity, "cannot use the journal", why()))
}

/// The link before the first record: the genesis, or that of the record before, where the node still holds it.
async fn link_before(node: &Client, head: &Head, first: u64) -> Result<Option<Link>, Failure> {
    if first == 1 {
        return Ok(Some(chain::genesis(&head.cluster)));
    }
    if first <= head.message.first_seq {
        return Ok(None);
    }
    let mut before = export(node, first - 1, first - 1).await?;
    match before.next().await {
        Some(record) => link_of(&record.doing(|| "read the record before".to_owned())?).map(Some),
        None => Ok(None),
    }
}

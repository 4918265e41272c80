//! `holdfast audit verify`.

use std::{
    fs::File,
    io::{BufReader, Write},
    path::{Path, PathBuf},
};

use clap::Args;
use futures::StreamExt;
use proto_client::Client;
use proto_record::chain::Link;
use serde_json::{Value, json};

use super::export::{Head, export, head, link_of, one_node};
use crate::{
    exit::{Doing, Exit, Failure},
    journal::{
        Item, Origin, bundle,
        finding::{Damage, Finding, Unit},
        hex, unhex,
        verify::{End, FINDINGS_MAX, Verdict, Verifier},
    },
    settings::Session,
};

const EXAMPLES: &str = "\
Examples:
  holdfast audit verify
  holdfast audit verify --all-nodes
  holdfast audit verify --bundle journal.hfj
  holdfast audit verify --bundle december.hfj --from-head 120000:9f2c…
  holdfast audit verify --expect-head 90:4be1…

Without a head kept elsewhere the chain proves that nothing was changed in part; with one, that nothing was rewritten.";

/// Recomputes the chain.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Verify {
    /// A bundle, not the cluster. Nothing is asked of anybody.
    #[arg(long, value_name = "FILE", conflicts_with = "all_nodes")]
    bundle: Option<PathBuf>,
    /// Every node of --addr, and that their chains are the same.
    #[arg(long)]
    all_nodes: bool,
    /// From this record; the first that the node holds when left out.
    #[arg(long, value_name = "RECORD", conflicts_with = "bundle")]
    from_seq: Option<u64>,
    /// The link after a record, kept elsewhere, from which the first one here must follow.
    #[arg(long, value_name = "RECORD:HEX", value_parser = Anchor::parse)]
    from_head: Option<Anchor>,
    /// The link kept elsewhere that the chain must reach: at a record, or at the end.
    #[arg(long, value_name = "[RECORD:]HEX", value_parser = Anchor::parse_expected)]
    expect_head: Option<Anchor>,
}

/// A link that was kept elsewhere, and the record it stands after; none means the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Anchor {
    seq: Option<u64>,
    link: Link,
}

impl Anchor {
    fn parse_expected(text: &str) -> Result<Anchor, String> {
        let (seq, link) = match text.split_once(':') {
            Some((seq, link)) => (Some(seq.parse().map_err(|_| "the record is a number")?), link),
            None => (None, text),
        };
        let link = unhex(link).ok_or("a link has 64 hexadecimal digits")?;
        Ok(Anchor { seq, link })
    }

    fn parse(text: &str) -> Result<Anchor, String> {
        let anchor = Anchor::parse_expected(text)?;
        if anchor.seq.is_some() { Ok(anchor) } else { Err("write RECORD:HEX".to_owned()) }
    }
}

/// What was verified, and how it came out.
struct Report {
    source: String,
    unit: Unit,
    first_seq: Option<u64>,
    /// The first record was taken as given, for lack of a link before it.
    unanchored: bool,
    verdict: Verdict,
}

impl Verify {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        if let Some(path) = &self.bundle {
            let report = self.bundle(path)?;
            return conclude(session, &[report], None);
        }
        let client = session.client().await?;
        if self.all_nodes {
            return self.all_nodes(session, &client).await;
        }
        let (address, node, head) = one_node(&client).await?;
        let report = self.node(session, &address, &node, &head, None).await?;
        conclude(session, &[report], None)
    }

    fn bundle(&self, path: &Path) -> Result<Report, Failure> {
        let name = path.display().to_string();
        let failed = |error: std::io::Error| Failure::io(format!("cannot read {name}"), &error);
        let file = File::open(path).map_err(failed)?;
        let (mut first_seq, mut unanchored) = (None, false);
        let verdict = bundle::verify(BufReader::with_capacity(1 << 20, file), |origin| {
            first_seq = origin.first_seq;
            let (origin, mismatch) = self.anchored(origin);
            unanchored = origin.before.is_none();
            let mut verifier = self.prepared(origin, None);
            if let Some(finding) = mismatch {
                verifier.note(finding);
            }
            verifier
        });
        let verdict = self.compared(verdict.map_err(failed)?, None);
        Ok(Report { source: name, unit: Unit::Byte, first_seq, unanchored, verdict })
    }

    async fn all_nodes(&self, session: &Session, client: &Client) -> Result<(), Failure> {
        let mut heads = Vec::new();
        let mut absent = Vec::new();
        for (address, node) in client.each_node() {
            match head(&node).await {
                Ok(head) => heads.push((address, node, head)),
                Err(failure) => absent.push(failure),
            }
        }
        let Some(common) = heads.iter().map(|(_, _, head)| head.message.seq).min() else {
            return Err(absent.pop().unwrap_or_else(|| Failure::usage("no node is named", "--addr is empty", "give --addr")));
        };
        let mut reports = Vec::new();
        for (address, node, head) in &heads {
            reports.push(self.node(session, address, node, head, Some(common)).await?);
        }
        conclude(session, &reports, Some(common))?;
        match absent.into_iter().next() {
            None => Ok(()),
            Some(first) => {
                let what = format!("verified {} of {} nodes", heads.len(), client.each_node().len());
                Err(Failure::new(Exit::Partial, what, first.why()).next("verify the others when they answer"))
            }
        }
    }

    /// Verifies one node to its own head, and remembers the link at `common`.
    async fn node(
        &self,
        session: &Session,
        address: &str,
        node: &Client,
        head: &Head,
        common: Option<u64>,
    ) -> Result<Report, Failure> {
        let message = &head.message;
        let first = self.from_seq.unwrap_or(message.first_seq).max(1);
        let origin = Origin {
            cluster: Some(head.cluster),
            epoch: Some(message.epoch),
            first_seq: Some(first),
            last_seq: Some(message.seq),
            before: None,
        };
        let (origin, mismatch) = self.anchored(origin.with_genesis());
        let unanchored = origin.before.is_none();
        let mut verifier = self.prepared(origin, common);
        mismatch.into_iter().for_each(|finding| verifier.note(finding));
        let bar = session.out.progress((message.seq + 1).saturating_sub(first), "verifying");
        let mut place = 0;
        if first <= message.seq {
            let mut records = export(node, first, message.seq).await?;
            while let Some(record) = records.next().await {
                let record = record.doing(|| "read all records".to_owned())?;
                place += 1;
                verifier.take(Item { seq: record.seq, chain: link_of(&record)?, leaf: record.leaf.to_vec(), place });
                bar.inc(1);
            }
        }
        bar.finish_and_clear();
        let verdict = self.compared(verifier.finish(End::Stream { place: place + 1 }), Some((message.seq, head.chain)));
        let source = format!("node {} ({address})", message.node_id);
        Ok(Report { source, unit: Unit::Position, first_seq: Some(first), unanchored, verdict })
    }

    /// The link kept elsewhere takes the place of what the journal says of itself.
    fn anchored(&self, origin: Origin) -> (Origin, Option<Finding>) {
        let anchor = self.from_head.and_then(|anchor| Some((anchor.seq?, anchor.link)));
        let Some((seq, link)) = anchor.filter(|(seq, _)| origin.first_seq == Some(seq + 1)) else { return (origin, None) };
        let differs = |found: &Link| *found != link;
        let mismatch = origin.before.filter(differs).map(|found| {
            let damage = Damage::Anchor { seq, found, expected: link };
            Finding { damage, place: None }
        });
        // A contradiction is one finding; the records are then checked against what they came with.
        let before = if mismatch.is_some() { origin.before } else { Some(link) };
        (Origin { before, ..origin }, mismatch)
    }

    fn prepared(&self, origin: Origin, common: Option<u64>) -> Verifier {
        let verifier = Verifier::new(origin);
        let wanted = [self.expect_head.and_then(|anchor| anchor.seq), self.from_head.and_then(|anchor| anchor.seq), common];
        wanted.into_iter().flatten().fold(verifier, Verifier::remember)
    }

    /// Compares the chain with the links kept elsewhere, and with the head that the node claims.
    fn compared(&self, mut verdict: Verdict, claimed: Option<(u64, Link)>) -> Verdict {
        let last = verdict.last;
        let kept = self.expect_head.map(|anchor| (anchor.seq, anchor.link));
        let begun = self.from_head.filter(|anchor| verdict.remembered.contains_key(&anchor.seq.unwrap_or(0)));
        let claimed = claimed.filter(|(seq, _)| *seq > 0).map(|(seq, link)| (Some(seq), link));
        let expectations = [kept, begun.map(|anchor| (anchor.seq, anchor.link)), claimed];
        for (seq, expected) in expectations.into_iter().flatten() {
            let at_end = last.filter(|(last, _)| seq.is_none_or(|seq| seq == *last));
            let remembered = seq.and_then(|seq| verdict.remembered.get(&seq).map(|link| (seq, *link)));
            let (seq, found) = at_end.or(remembered).unwrap_or((seq.unwrap_or(0), Link::default()));
            if found != expected {
                verdict.add(Finding { damage: Damage::Head { seq, found, expected }, place: None });
            }
        }
        verdict
    }
}

impl Report {
    fn last_seq(&self) -> u64 {
        self.verdict.last.map_or(0, |(seq, _)| seq)
    }

    fn document(&self) -> Value {
        json!({
            "source": self.source,
            "first": self.first_seq,
            "last": self.last_seq(),
            "records": self.verdict.records,
            "chain": self.verdict.last.map(|(_, link)| hex(&link)),
            "first_taken_as_given": self.unanchored,
            "findings": self.verdict.findings.iter().map(|finding| finding.document(self.unit)).collect::<Vec<_>>(),
            "findings_total": self.verdict.findings_total,
        })
    }

    fn people(&self, out: &mut dyn Write) -> std::io::Result<()> {
        let chain = self.verdict.last.map(|(seq, link)| format!("; the chain ends in {seq}:{}", hex(&link))).unwrap_or_default();
        writeln!(out, "{}: {} records verified{chain}", self.source, self.verdict.records)?;
        if let (true, Some(first), true) = (self.unanchored, self.first_seq, self.verdict.records > 0) {
            writeln!(out, "  record {first} is taken as given: no link before it is known (--from-head gives one)")?;
        }
        for finding in &self.verdict.findings {
            writeln!(out, "  {}", finding.sentence(self.unit))?;
        }
        let more = self.verdict.findings_total.saturating_sub(FINDINGS_MAX);
        if more > 0 { writeln!(out, "  and {more} more") } else { Ok(()) }
    }
}

/// Prints the reports; fails when one has findings or the chains differ at `common`.
fn conclude(session: &Session, reports: &[Report], common: Option<u64>) -> Result<(), Failure> {
    let agree = common.map(|common| agree_at(reports, common));
    let documents: Vec<_> = reports.iter().map(Report::document).collect();
    let sound = reports.iter().all(|report| report.verdict.findings_total == 0) && agree != Some(false);
    let document = json!({ "sound": sound, "reports": documents, "compared_at": common, "agree": agree });
    session.out.show(&document, |out| {
        for report in reports {
            report.people(out)?;
        }
        match (common, agree) {
            (Some(common), Some(true)) => writeln!(out, "all {} chains are the same at record {common}", reports.len()),
            (Some(common), Some(false)) => writeln!(out, "the chains differ at record {common}"),
            _ => Ok(()),
        }
    })?;
    if sound {
        return Ok(());
    }
    let damaged = reports.iter().find_map(|report| Some((report, report.verdict.findings.first()?)));
    let (what, why) = match damaged {
        Some((report, finding)) => (format!("the journal of {} is not sound", report.source), finding.sentence(report.unit)),
        None => ("the nodes hold different journals".to_owned(), "their chains differ at the same record".to_owned()),
    };
    Err(Failure::new(Exit::Integrity, what, why))
}

/// Whether all nodes have the same link after the newest record that all of them have.
fn agree_at(reports: &[Report], common: u64) -> bool {
    let mut links = reports.iter().map(|report| report.verdict.remembered.get(&common));
    let first = links.next().flatten();
    // A journal without records has no link: nothing there differs.
    common == 0 || (first.is_some() && links.all(|link| link == first))
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;

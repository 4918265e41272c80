//! What the command line reads from files and from others: exported journals, `.env` files, tickets, packages of a node's files. Its sources are taken as they are: it is no library.

#[allow(dead_code, unreachable_pub)]
#[path = "../../../../ops/cli/src/dotenv.rs"]
mod dotenv_text;
#[allow(dead_code, unused_imports, unreachable_pub)]
#[path = "../../../../ops/cli/src/journal.rs"]
mod journal;
#[allow(dead_code, unreachable_pub)]
#[path = "../../../../ops/cli/src/node_files.rs"]
mod package;
#[allow(dead_code, unreachable_pub)]
#[path = "../../../../ops/cli/src/ticket.rs"]
mod ticket_text;

use crate::input::text;
use journal::bundle::{Header, Writer, verify};
use journal::verify::Verifier;
use package::NodeFiles;
use proto_record::chain;
use ticket_text::Ticket;

pub(super) fn bundle(bytes: &[u8]) {
    let verdict = verify(bytes, |origin| Verifier::new(origin).remember(2)).expect("a slice can always be read");
    assert!(verdict.findings.len() <= verdict.findings_total, "findings were made up");
    assert!(verdict.records <= bytes.len() as u64, "records were made up");
    for finding in &verdict.findings {
        assert!(!finding.damage.to_string().is_empty(), "a finding says nothing");
    }
}

pub(super) fn bundles() -> Vec<Vec<u8>> {
    let leaves = super::records::leaves();
    let cluster = [3; 16];
    let bundle = |first: u64, count: usize| {
        let mut link = chain::genesis(&cluster);
        let header = Header::new(&cluster, 1, first, first + count as u64 - 1, Some(&link));
        let mut writer = Writer::new(Vec::new(), &header).expect("a vector takes every byte");
        for (seq, leaf) in (first..).zip(&leaves[..count]) {
            let mut leaf = leaf.clone();
            // Its number stands behind magic, cluster and epoch.
            leaf[24..32].copy_from_slice(&seq.to_be_bytes());
            leaf[32..40].copy_from_slice(&(1_790_000_000_000_000 + seq).to_be_bytes());
            link = chain::next(&link, &leaf);
            writer.push(seq, &leaf, &link).expect("a vector takes every byte");
        }
        writer.finish().expect("a vector takes every byte")
    };
    let whole = bundle(1, 4);
    let cut = whole[..whole.len() - 40].to_vec();
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    vec![whole, bundle(7, 2), cut, damaged]
}

pub(super) fn dotenv(bytes: &[u8]) {
    let Ok(entries) = dotenv_text::parse(text(bytes)) else { return };
    let written = dotenv_text::format(entries.iter().map(|entry| (entry.name.as_str(), entry.value.as_str())));
    let again = dotenv_text::parse(&written).unwrap_or_else(|_| panic!("what was written does not read"));
    let pairs = |entries: &[dotenv_text::Entry]| -> Vec<(String, String)> {
        entries.iter().map(|entry| (entry.name.clone(), entry.value.clone())).collect()
    };
    assert_eq!(pairs(&again), pairs(&entries), "entries change when they are written and read");
}

pub(super) fn dotenvs() -> Vec<Vec<u8>> {
    let texts =
        ["A=1\n", "# a remark\nexport DB_URL=\"postgres://a:b@c/d?x=\\\"y\\\"\"\n", "A='it is'\nB=\"two\\nlines\"\n\nC=\n"];
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

pub(super) fn ticket(bytes: &[u8]) {
    let Ok(ticket) = Ticket::parse(text(bytes)) else { return };
    let again = Ticket::parse(&ticket.text()).unwrap_or_else(|_| panic!("what was written does not read"));
    assert!(again.addresses == ticket.addresses && again.token == ticket.token, "a ticket changes when it is written and read");
}

pub(super) fn tickets() -> Vec<Vec<u8>> {
    let ticket = |server_name: Option<&str>| Ticket {
        addresses: vec!["https://10.0.0.1:7100".to_owned(), "https://[::1]:7100".to_owned()],
        server_name: server_name.map(str::to_owned),
        authority: "-----BEGIN CERTIFICATE-----".to_owned(),
        token: "hfw_0123".to_owned().into(),
    };
    [None, Some("holdfast")].map(|name| ticket(name).text().as_bytes().to_vec()).into()
}

pub(super) fn node_files(bytes: &[u8]) {
    let Ok(files) = NodeFiles::parse(bytes) else { return };
    let packed = files.pack();
    let again = NodeFiles::parse(&packed).unwrap_or_else(|_| panic!("what was packed does not read"));
    assert!(*again.pack() == *packed, "files change when they are packed and read");
}

pub(super) fn packages() -> Vec<Vec<u8>> {
    let file = |name: &str| [&[name.len() as u8][..], name.as_bytes(), &[0, 0, 0, 1, b'x']].concat();
    let names = ["holdfast.toml", "tls/ca.pem", "tls/peer.pem", "tls/peer.key", "tls/client.pem", "tls/client.key", "seal.json"];
    let package = |names: &[&str]| {
        let files: Vec<u8> = names.iter().flat_map(|name| file(name)).collect();
        [b"HFN1", &[names.len() as u8][..], &files].concat()
    };
    vec![package(&names), package(&names[..6]), package(&names[..2])]
}

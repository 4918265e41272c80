//! What the command line reads from files: exported journals and `.env` files. Its sources are taken as they are: it is no library.

#[allow(dead_code, unreachable_pub)]
#[path = "../../../../ops/cli/src/dotenv.rs"]
mod dotenv_text;
#[allow(dead_code, unused_imports, unreachable_pub)]
#[path = "../../../../ops/cli/src/journal.rs"]
mod journal;

use crate::input::text;
use journal::bundle::{Header, Writer, verify};
use journal::verify::Verifier;
use proto_record::chain;

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
        let mut link = chain::genesis(&cluster, 1);
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

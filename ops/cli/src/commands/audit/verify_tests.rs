//! Bundles against heads that were kept elsewhere.

use proto_record::{chain, leaf::Leaf, leaf::Outcome};

use super::*;
use crate::journal::bundle::{Header, Writer};

const CLUSTER: [u8; 16] = [4; 16];

/// Writes the records `first..=last` of one journal to a file; gives the links after all of its records.
fn bundle(path: &Path, first: u64, last: u64) -> Vec<Link> {
    let mut links = vec![chain::genesis(&CLUSTER)];
    let mut leaves = Vec::new();
    for seq in 1..=last {
        let leaf = Leaf {
            cluster: CLUSTER,
            epoch: 1,
            seq,
            stamp_us: seq,
            operation: 1,
            outcome: Outcome::Done,
            version: 0,
            secret: 0,
            policies: 0,
            accessor: [0; 12],
            request: [0; 16],
            actor: "ana",
            source: "1/local",
            environment: "",
            subject: "",
            reason: "",
            detail: &[],
        };
        leaves.push(leaf.encode());
        links.push(chain::next(&links[seq as usize - 1], &leaves[seq as usize - 1]));
    }
    let before = (first > 1).then(|| links[first as usize - 1]);
    let header = Header::new(&CLUSTER, 1, first, last, before.as_ref());
    let mut writer = Writer::new(File::create(path).unwrap(), &header).unwrap();
    for seq in first..=last {
        writer.push(seq, &leaves[seq as usize - 1], &links[seq as usize]).unwrap();
    }
    writer.finish().unwrap();
    links
}

fn verify(path: &Path, from_head: Option<Anchor>, expect_head: Option<Anchor>) -> Vec<String> {
    let verify = Verify { bundle: None, all_nodes: false, from_seq: None, from_head, expect_head };
    let report = verify.bundle(path).unwrap_or_else(|failure| panic!("{failure}"));
    report.verdict.findings.iter().map(|finding| finding.sentence(report.unit)).collect()
}

fn anchor(seq: u64, link: Link) -> Option<Anchor> {
    Some(Anchor { seq: Some(seq), link })
}

#[test]
fn a_head_kept_elsewhere_must_be_reached() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.hfj");
    let links = bundle(&path, 1, 9);
    assert!(verify(&path, None, Some(Anchor { seq: None, link: links[9] })).is_empty());
    assert!(verify(&path, None, anchor(5, links[5])).is_empty());
    let found = verify(&path, None, anchor(5, links[6]));
    assert!(found.len() == 1 && found[0].starts_with("the chain at record 5 is "), "{found:?}");
    assert_eq!(verify(&path, None, anchor(12, links[9])).len(), 1, "a record that is not there is not reached");
}

#[test]
fn a_later_bundle_must_follow_from_the_head_of_the_one_before() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("b.hfj");
    let links = bundle(&path, 6, 9);
    assert!(verify(&path, anchor(5, links[5]), None).is_empty());
    let found = verify(&path, anchor(5, [1; 32]), None);
    assert!(found.len() == 1 && found[0].starts_with("the chain before record 6 is "), "{found:?}");
    assert_eq!(verify(&path, anchor(7, [1; 32]), None).len(), 1, "a head inside the bundle is compared as well");
}

#[test]
fn anchors_are_written_as_the_export_prints_them() {
    let text = format!("90:{}", hex(&[7; 32]));
    assert_eq!(Anchor::parse(&text), Ok(Anchor { seq: Some(90), link: [7; 32] }));
    assert_eq!(Anchor::parse_expected(&hex(&[7; 32])), Ok(Anchor { seq: None, link: [7; 32] }));
    assert!(Anchor::parse(&hex(&[7; 32])).is_err() && Anchor::parse("90:7f").is_err());
}

//! Whether nodes that stand at the same record stand at the same chain and the same state.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::verdict::{Finding, Verdict};

/// Where one node stood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Which node.
    pub node: u64,
    /// The newest record that it had applied.
    pub seq: u64,
    /// The chain at that record, in hexadecimal.
    pub chain: String,
    /// The digest of its state at that record, in hexadecimal; empty where only the chain is known.
    pub digest: String,
}

/// Nodes at the same record agree. That no record was seen at two nodes decides nothing.
#[must_use]
pub fn replicas_are_equal(standings: &[Standing]) -> Verdict {
    let mut verdict = Verdict::of("nodes at the same record stand at the same chain and the same state", standings.len());
    let mut by_seq: BTreeMap<u64, Vec<&Standing>> = BTreeMap::new();
    for standing in standings {
        by_seq.entry(standing.seq).or_default().push(standing);
    }
    let mut compared = 0;
    for (seq, standings) in by_seq {
        for pair in standings.windows(2).filter(|pair| pair[0].node != pair[1].node) {
            compared += 1;
            let (one, other) = (pair[0], pair[1]);
            let digests = !one.digest.is_empty() && !other.digest.is_empty() && one.digest != other.digest;
            if one.chain != other.chain || digests {
                let what = if digests { "state" } else { "chain" };
                let what = format!("at record {seq}, nodes {} and {} do not have the same {what}", one.node, other.node);
                verdict.violated(Finding::new(what, []));
            }
        }
    }
    if compared == 0 {
        verdict.undecided(Finding::new("no two nodes were seen at the same record", []));
    }
    verdict
}

//! What must hold after every step, by name.

use node::boot::Node;
use raft::Role;
use std::collections::BTreeMap;

/// Remembers what was seen, and says where what is seen now cannot be.
#[derive(Default)]
pub(super) struct Watch {
    /// Chain and digest at each revision that any node stood at.
    seen: BTreeMap<u64, ([u8; 32], [u8; 32])>,
    /// Where each node stood when it was looked at last, in its life.
    stood: BTreeMap<u64, u64>,
    /// The newest term that each node was in, in all of its lives: it is published when the vote for it is durable.
    terms: BTreeMap<u64, u64>,
    /// How often each node has begun.
    lives: BTreeMap<u64, u64>,
    /// In which of its lives a node led in a term.
    led: BTreeMap<(u64, u64), u64>,
    /// The newest record that an answer named, and by whom it was answered since the last look.
    answered: Vec<(u64, u64)>,
    findings: Vec<String>,
}

impl Watch {
    /// A node answered with a record.
    pub(super) fn answered(&mut self, node: u64, record: u64) {
        self.answered.push((node, record));
    }

    /// A node begins another life: it may stand where its disk says.
    pub(super) fn begins(&mut self, node: u64) {
        *self.lives.entry(node).or_default() += 1;
        self.stood.remove(&node);
        self.answered.retain(|(by, _)| *by != node);
    }

    /// Looks at everything that is up; `understands` says which feature level a node's build does.
    pub(super) fn look(&mut self, up: &[(u64, &Node)], understands: impl Fn(u64) -> u32) {
        for (id, node) in up {
            let (revision, chain, digest) = node.standing();
            self.state_is_one(*id, revision, chain, digest);
            self.nobody_goes_back(*id, revision);
            self.no_vote_is_forgotten(*id, node.replica().status().term);
            self.nobody_leads_twice_in_a_term(*id, &node.replica().watch_role().borrow());
            self.nothing_is_answered_before_its_record(*id, revision);
            self.nobody_goes_beyond_its_build(*id, node.level(), understands(*id));
        }
    }

    /// Takes note of what somebody else found.
    pub(super) fn found(&mut self, what: String) {
        self.findings.push(what);
    }

    /// What was found so far.
    pub(super) fn findings(&self) -> &[String] {
        &self.findings
    }

    fn state_is_one(&mut self, node: u64, revision: u64, chain: [u8; 32], digest: [u8; 32]) {
        let first = *self.seen.entry(revision).or_insert((chain, digest));
        if first != (chain, digest) {
            self.findings
                .push(format!("node {node} at revision {revision} has another state or chain than a node had there before"));
        }
        // Far behind nobody stands any more, but who comes back: enough is kept for that.
        while self.seen.len() > 100_000 {
            self.seen.pop_first();
        }
    }

    fn no_vote_is_forgotten(&mut self, node: u64, term: u64) {
        let newest = self.terms.entry(node).or_default();
        if term < *newest {
            self.findings.push(format!("node {node} was in term {newest} and is in term {term}: it has forgotten its vote"));
        }
        *newest = term.max(*newest);
    }

    fn nobody_leads_twice_in_a_term(&mut self, node: u64, role: &Role) {
        let Role::Leader { term } = role else { return };
        let life = self.lives.get(&node).copied().unwrap_or(0);
        let first = *self.led.entry((*term, node)).or_insert(life);
        if first != life {
            self.findings.push(format!("node {node} leads in term {term} in two of its lives"));
        }
    }

    fn nobody_goes_back(&mut self, node: u64, revision: u64) {
        let before = self.stood.insert(node, revision).unwrap_or(0);
        if revision < before {
            self.findings.push(format!("node {node} went back from revision {before} to {revision}"));
        }
    }

    fn nobody_goes_beyond_its_build(&mut self, node: u64, uses: u32, level: u32) {
        if uses > level {
            self.findings.push(format!("node {node} goes on in a cluster of level {uses} with a build of level {level}"));
        }
    }

    fn nothing_is_answered_before_its_record(&mut self, node: u64, revision: u64) {
        let findings = &mut self.findings;
        self.answered.retain(|(by, record)| {
            if *by == node && *record > revision {
                findings.push(format!("node {node} answered with record {record} and stands at {revision}"));
            }
            *by != node
        });
    }
}

//! Recomputes the chain, record by record, and says what is wrong where.
//!
//! Memory does not grow with the journal: one record is held back (so that the next can tell a gap from a record that stands too
//! early), and those that stand too early wait for their turn, at most [`EARLY_MAX`] of them.

use std::collections::BTreeMap;

use proto_record::{
    chain::{self, Link},
    leaf::Leaf,
};

use super::{
    Item, Origin,
    finding::{Damage, Finding},
};

/// More findings than this say nothing new.
pub(crate) const FINDINGS_MAX: usize = 10;
/// A record that stands too early waits here until the chain reaches it.
const EARLY_MAX: usize = 1_024;

/// What came out.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// In the order of their places, at most [`FINDINGS_MAX`].
    pub(crate) findings: Vec<Finding>,
    /// All findings, those that are not listed included.
    pub(crate) findings_total: usize,
    /// Records that follow from the one before them.
    pub(crate) records: u64,
    /// The newest record and the link after it.
    pub(crate) last: Option<(u64, Link)>,
    /// The links after the records asked for with [`Verifier::remember`], where they were seen.
    pub(crate) remembered: BTreeMap<u64, Link>,
}

impl Verdict {
    /// Adds what a comparison with the outside found.
    pub(crate) fn add(&mut self, finding: Finding) {
        self.findings_total += 1;
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        }
    }
}

/// How the records ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    /// With a marker at `place` that says which record is the last and what its link is.
    Marker { last_seq: u64, chain: Link, place: u64 },
    /// The source had no more; where it should end is in [`Origin::last_seq`].
    Stream { place: u64 },
    /// In the middle, or without a marker.
    CutOff { place: u64 },
}

/// Takes records in the order in which they were handed over.
pub(crate) struct Verifier {
    origin: Origin,
    /// The record that should come next.
    expected: Option<u64>,
    /// Links that may stand before it: none when unknown, several when a record before was damaged.
    bases: Vec<Link>,
    stamp_us: u64,
    epoch: u32,
    held: Option<Item>,
    gaps: Vec<Gap>,
    early: BTreeMap<u64, Early>,
    /// Where bytes were found that are no record, since the last record.
    lost: Option<u64>,
    doubt: Option<Doubt>,
    findings: Vec<Finding>,
    records: u64,
    last: Option<(u64, Link)>,
    /// Records whose links are kept for the verdict, once they are known.
    remembered: BTreeMap<u64, Option<Link>>,
}

/// Records that were not there when their turn came. They may still come later.
struct Gap {
    first: u64,
    last: u64,
    place: u64,
    base: Option<Link>,
}

struct Early {
    item: Item,
    instead_of: u64,
}

/// Two records with one number, both fitting: the next record decides which is genuine.
struct Doubt {
    seq: u64,
    first: (Link, u64),
    second: (Link, u64),
}

impl Verifier {
    pub(crate) fn new(origin: Origin) -> Verifier {
        Verifier {
            expected: origin.first_seq,
            bases: origin.before.into_iter().collect(),
            origin,
            stamp_us: 0,
            epoch: 0,
            held: None,
            gaps: Vec::new(),
            early: BTreeMap::new(),
            lost: None,
            doubt: None,
            findings: Vec::new(),
            records: 0,
            last: None,
            remembered: BTreeMap::new(),
        }
    }

    /// Keeps the link after record `seq` for the verdict.
    pub(crate) fn remember(mut self, seq: u64) -> Verifier {
        self.remembered.insert(seq, None);
        self
    }

    /// The next record.
    pub(crate) fn take(&mut self, item: Item) {
        if let Some(held) = self.held.take() {
            self.judge(held, Some(&item));
        }
        self.held = Some(item);
    }

    /// Bytes at `place` are no record.
    pub(crate) fn take_damage(&mut self, place: u64) {
        if let Some(held) = self.held.take() {
            self.judge(held, None);
        }
        self.lost.get_or_insert(place);
    }

    /// Something that only the reader can see.
    pub(crate) fn note(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// The end: everything that is still open is decided.
    pub(crate) fn finish(mut self, end: End) -> Verdict {
        if let End::Marker { last_seq, .. } = end {
            self.origin.last_seq.get_or_insert(last_seq);
        }
        if let Some(held) = self.held.take() {
            self.judge(held, None);
        }
        self.close(end);
        for (seq, early) in std::mem::take(&mut self.early) {
            self.find(early.item.place, Damage::Inserted { seq });
        }
        for gap in std::mem::take(&mut self.gaps) {
            self.find(gap.place, Damage::Missing { first: gap.first, last: gap.last });
        }
        self.findings.sort_by_key(|finding| finding.place.unwrap_or(u64::MAX));
        let findings_total = self.findings.len();
        self.findings.truncate(FINDINGS_MAX);
        Verdict {
            findings: self.findings,
            findings_total,
            records: self.records,
            last: self.last,
            remembered: self.remembered.into_iter().filter_map(|(seq, link)| Some((seq, link?))).collect(),
        }
    }

    fn find(&mut self, place: u64, damage: Damage) {
        self.findings.push(Finding::at(place, damage));
    }

    /// Decides what a record is, knowing which one stands after it.
    fn judge(&mut self, item: Item, next: Option<&Item>) {
        let expected = *self.expected.get_or_insert(item.seq);
        let seq = self.number_of(&item, expected);
        if self.origin.last_seq.is_some_and(|last| seq > last) {
            return self.find(item.place, Damage::Inserted { seq });
        }
        let spike = next.is_some_and(|next| (expected..seq).contains(&next.seq)) && self.lost.is_none();
        if seq < expected {
            self.settle_lost();
            return self.judge_late(item, seq, expected);
        }
        if spike {
            return self.set_aside(item, seq, expected);
        }
        if seq > expected {
            self.skip_to(seq, expected, item.place);
        }
        self.settle_lost();
        if self.is_forged_twin(&item, next) {
            return self.find(item.place, Damage::Inserted { seq });
        }
        if let Some(copy) = self.early.remove(&seq) {
            self.find(copy.item.place, Damage::Inserted { seq });
        }
        self.accept(&item, seq);
        self.meet_twin(&item, next);
        self.admit_early(next);
    }

    /// The number of a record: its frame and its content say it, and one of them may be damaged.
    fn number_of(&self, item: &Item, expected: u64) -> u64 {
        match Leaf::decode(&item.leaf) {
            Ok(leaf) if leaf.seq == expected => expected,
            _ => item.seq,
        }
    }

    /// A record whose turn has passed: it was missing, or it is one too many.
    fn judge_late(&mut self, item: Item, seq: u64, expected: u64) {
        if self.doubt.as_ref().is_some_and(|doubt| doubt.second.1 == item.place) {
            return;
        }
        let Some(index) = self.gaps.iter().position(|gap| (gap.first..=gap.last).contains(&seq)) else {
            return self.find(item.place, Damage::Inserted { seq });
        };
        let gap = self.gaps.remove(index);
        if gap.first == seq && gap.base.is_some_and(|base| chain::next(&base, &item.leaf) != item.chain) {
            self.find(item.place, changed(seq));
        }
        if gap.first < seq {
            self.gaps.push(Gap { last: seq - 1, ..gap });
        }
        if seq < gap.last {
            self.gaps.push(Gap { first: seq + 1, base: Some(item.chain), ..gap });
        }
        self.records += 1;
        self.find(item.place, Damage::Late { seq, after: expected - 1 });
    }

    /// Keeps a record that stands too early for its turn.
    fn set_aside(&mut self, item: Item, seq: u64, expected: u64) {
        if self.early.contains_key(&seq) || self.early.len() == EARLY_MAX {
            return self.find(item.place, Damage::Inserted { seq });
        }
        self.early.insert(seq, Early { item, instead_of: expected });
    }

    /// The records from `expected` to before `seq` are not here: damaged, or gone.
    fn skip_to(&mut self, seq: u64, expected: u64, place: u64) {
        match self.lost.take() {
            Some(lost) => self.find(lost, Damage::Frame { first: expected, last: seq - 1 }),
            None => self.gaps.push(Gap { first: expected, last: seq - 1, place, base: self.sure_base() }),
        }
        self.bases.clear();
        self.doubt = None;
        self.expected = Some(seq);
    }

    fn sure_base(&self) -> Option<Link> {
        (self.bases.len() == 1).then(|| self.bases[0])
    }

    /// Bytes that stood in front of the very record that was expected took the place of none.
    fn settle_lost(&mut self) {
        if let Some(place) = self.lost.take() {
            self.find(place, Damage::Foreign);
        }
    }

    fn follows(&self, item: &Item) -> bool {
        self.bases.iter().any(|base| chain::next(base, &item.leaf) == item.chain)
    }

    /// Two records with one number, of which only the second follows from the record before.
    fn is_forged_twin(&self, item: &Item, next: Option<&Item>) -> bool {
        next.is_some_and(|next| next.seq == item.seq && self.follows(next) && !self.follows(item))
    }

    /// Checks a record in its place, and moves on.
    fn accept(&mut self, item: &Item, seq: u64) {
        let follows = self.bases.is_empty() || self.follows(item);
        self.settle_doubt(item);
        if follows {
            self.check_content(item, seq);
            self.bases = vec![item.chain];
        } else {
            self.find(item.place, changed(seq));
            // Either its content or its link is damaged: the next record fits one of the two.
            let computed = self.bases.iter().map(|base| chain::next(base, &item.leaf));
            self.bases = computed.chain([item.chain]).collect();
            self.bases.dedup();
            self.bases.drain(..self.bases.len().saturating_sub(4));
        }
        self.records += u64::from(follows);
        self.last = Some((seq, item.chain));
        if let Some(link) = self.remembered.get_mut(&seq) {
            *link = Some(item.chain);
        }
        self.expected = Some(seq + 1);
    }

    /// What a record says of itself must fit, too: one clock, one cluster, one number.
    fn check_content(&mut self, item: &Item, seq: u64) {
        let how = match Leaf::decode(&item.leaf) {
            Err(error) => Some(format!("its content is {error}")),
            Ok(leaf) if leaf.seq != seq => Some(format!("its content says that it is record {}", leaf.seq)),
            Ok(_) if item.seq != seq => Some(format!("its frame says that it is record {}", item.seq)),
            Ok(leaf) if self.origin.cluster.is_some_and(|cluster| cluster != leaf.cluster) => {
                Some(format!("it belongs to cluster {}", super::hex(&leaf.cluster)))
            }
            Ok(leaf) if leaf.epoch < self.epoch || self.origin.epoch.is_some_and(|epoch| epoch < leaf.epoch) => {
                Some(format!("it belongs to epoch {}", leaf.epoch))
            }
            Ok(leaf) if leaf.stamp_us <= self.stamp_us => Some("its stamp is not after that of the record before".to_owned()),
            Ok(leaf) => {
                (self.stamp_us, self.epoch) = (leaf.stamp_us, leaf.epoch);
                None
            }
        };
        if let Some(how) = how {
            self.find(item.place, Damage::Changed { seq, how });
        }
    }

    /// Remembers that the next record has the same number and may be the genuine one.
    fn meet_twin(&mut self, item: &Item, next: Option<&Item>) {
        let Some(next) = next.filter(|next| next.seq == item.seq && (&next.leaf, next.chain) != (&item.leaf, item.chain)) else {
            return;
        };
        self.doubt = Some(Doubt { seq: item.seq, first: (item.chain, item.place), second: (next.chain, next.place) });
        self.bases.push(next.chain);
    }

    /// The record after two twins shows which of them it follows from.
    fn settle_doubt(&mut self, item: &Item) {
        if let Some(doubt) = self.doubt.take() {
            let fits = |link: &Link| chain::next(link, &item.leaf) == item.chain;
            self.blame_twin(&doubt, fits(&doubt.second.0) && !fits(&doubt.first.0));
        }
    }

    fn blame_twin(&mut self, doubt: &Doubt, is_first_forged: bool) {
        let place = if is_first_forged { doubt.first.1 } else { doubt.second.1 };
        self.find(place, Damage::Inserted { seq: doubt.seq });
    }

    /// Records that stood too early, when their turn has come and no other claims it.
    fn admit_early(&mut self, next: Option<&Item>) {
        while let Some(expected) = self.expected {
            if next.is_some_and(|next| next.seq == expected) {
                return;
            }
            let Some(Early { item, instead_of }) = self.early.remove(&expected) else { return };
            self.find(item.place, Damage::OutOfPlace { seq: expected, instead_of });
            self.accept(&item, expected);
        }
    }

    fn close(&mut self, end: End) {
        let place = match end {
            End::Marker { place, .. } | End::Stream { place } | End::CutOff { place } => place,
        };
        let expected = self.expected.unwrap_or(1);
        let absent = self.origin.last_seq.filter(|last| expected <= *last).map(|last| (expected, last));
        let cut_off = matches!(end, End::CutOff { .. });
        match (absent, self.lost.take()) {
            (Some((first, last)), Some(lost)) => self.find(lost, Damage::Frame { first, last }),
            (Some(lost), None) if cut_off => self.find(place, Damage::CutOff { lost: Some(lost) }),
            (Some((first, last)), None) => self.find(place, Damage::Missing { first, last }),
            (None, Some(lost)) if cut_off => self.find(lost, Damage::End),
            (None, Some(lost)) => self.find(lost, Damage::Foreign),
            (None, None) if cut_off => self.find(place, Damage::CutOff { lost: None }),
            (None, None) => {}
        }
        if let End::Marker { last_seq, chain, place } = end {
            if let Some(doubt) = self.doubt.take() {
                self.blame_twin(&doubt, doubt.second.0 == chain && doubt.first.0 != chain);
            }
            let differs = absent.is_none() && !self.bases.is_empty() && !self.bases.contains(&chain);
            if differs || self.origin.last_seq != Some(last_seq) {
                self.find(place, Damage::End);
            }
        }
        if let Some(doubt) = self.doubt.take() {
            self.blame_twin(&doubt, false);
        }
    }
}

fn changed(seq: u64) -> Damage {
    Damage::Changed { seq, how: "its content does not give its link".to_owned() }
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;

//! Shares on their way to being enough. Anybody who reaches the port may give one, and its checksum proves no origin: a forged share
//! must neither take the place of a true one nor cost the others what they gave. So all that could be true are kept, by where they came
//! from, and whichever of them fit together are the key.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use storage_crypto::Share;
use storage_crypto::seal_key::SealKey;
use storage_crypto::shamir::{ShareError, ShareSet, Shares};
use zeroize::Zeroizing;

/// Whether a text is a share of this set at all: its form and its checksum. It costs next to nothing.
///
/// # Errors
/// When it is not.
pub(crate) fn check(set: &ShareSet, text: &str) -> Result<(), ShareError> {
    Shares::new(set).add(text).map(drop)
}

/// Shares kept, beyond those of a set once; more make the place that gave most forget its oldest.
const SPARE: usize = 32;
/// Combinations that are tried for one share. Shares of places that gave few are tried first, so that who gives many hides nothing.
const COMBINATIONS_MAX: usize = 4096;

/// Where a share came from.
pub(crate) type Origin = Option<IpAddr>;

struct Candidate {
    origin: Origin,
    index: u8,
    text: Zeroizing<String>,
}

/// What was given so far, the oldest first.
#[derive(Default)]
pub(crate) struct Gathering {
    given: Vec<Candidate>,
}

impl Gathering {
    /// How many different shares were given.
    pub(crate) fn have(&self) -> usize {
        self.given.iter().map(|candidate| candidate.index).collect::<BTreeSet<_>>().len()
    }

    /// Forgets what was given from there.
    pub(crate) fn forget(&mut self, origin: Origin) {
        self.given.retain(|candidate| candidate.origin != origin);
    }

    /// Takes one more share; the key, where some of what was given make it.
    ///
    /// # Errors
    /// When the text is no share of this set, was given already, or those that should be enough by now are not.
    pub(crate) fn add(&mut self, set: &ShareSet, text: &str, origin: Origin) -> Result<Option<SealKey>, ShareError> {
        check(set, text)?;
        let share = Share::parse(text)?;
        let (index, text) = (share.index(), share.text());
        let known = self.given.iter().any(|candidate| blake3::hash(candidate.text.as_bytes()) == blake3::hash(text.as_bytes()));
        if known {
            let have = u8::try_from(self.have()).unwrap_or(u8::MAX);
            return Err(ShareError::Duplicate { index, have, need: set.threshold });
        }
        self.given.push(Candidate { origin, index, text });
        if self.given.len() > usize::from(set.shares) + SPARE {
            self.forget_oldest();
        }
        if self.have() < usize::from(set.threshold) {
            return Ok(None);
        }
        self.combined(set).map(Some)
    }

    fn by_origin(&self) -> BTreeMap<Origin, usize> {
        let mut counts = BTreeMap::new();
        self.given.iter().for_each(|candidate| *counts.entry(candidate.origin).or_default() += 1);
        counts
    }

    fn forget_oldest(&mut self) {
        let counts = self.by_origin();
        let most = counts.iter().max_by_key(|(_, count)| **count).map(|(origin, _)| *origin);
        let oldest = most.and_then(|origin| self.given.iter().position(|candidate| candidate.origin == origin));
        if let Some(at) = oldest {
            self.given.remove(at);
        }
    }

    /// The key of the first shares that fit together, the newest among them.
    fn combined(&self, set: &ShareSet) -> Result<SealKey, ShareError> {
        let counts = self.by_origin();
        let Some((newest, older)) = self.given.split_last() else { return Err(ShareError::WrongKey) };
        let mut older: Vec<&Candidate> = older.iter().filter(|candidate| candidate.index != newest.index).collect();
        older.sort_by_key(|candidate| counts.get(&candidate.origin).copied().unwrap_or(0));
        let mut tries = COMBINATIONS_MAX;
        let mut chosen = vec![newest];
        pick(set, &older, &mut chosen, &mut tries).ok_or(ShareError::WrongKey)
    }
}

/// Adds shares to those that are chosen until there are enough, one way after the other.
fn pick<'a>(set: &ShareSet, from: &[&'a Candidate], chosen: &mut Vec<&'a Candidate>, tries: &mut usize) -> Option<SealKey> {
    let missing = usize::from(set.threshold).saturating_sub(chosen.len());
    if missing == 0 {
        *tries = tries.saturating_sub(1);
        let mut shares = Shares::new(set);
        chosen.iter().try_for_each(|candidate| shares.add(&candidate.text).map(drop)).ok()?;
        return SealKey::from_shares(&shares).ok();
    }
    for at in 0..from.len() {
        if *tries == 0 || from.len() - at < missing {
            return None;
        }
        let next = from[at];
        if chosen.iter().any(|candidate| candidate.index == next.index) {
            continue;
        }
        chosen.push(next);
        let found = pick(set, &from[at + 1..], chosen, tries);
        chosen.pop();
        if found.is_some() {
            return found;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use storage_crypto::entropy::{Entropy, OsEntropy};
    use storage_crypto::ring::Ring;
    use storage_crypto::seal_file::{SealFile, SealedWith};

    const ANA: Origin = Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)));
    const BOB: Origin = Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2)));
    const EVE: Origin = Some(IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 9)));

    /// Names every set the same, as whoever has seen the status of a node can name his own.
    struct OneSet;

    impl Entropy for OneSet {
        fn fill(&self, bytes: &mut [u8]) {
            if bytes.len() == 8 { bytes.fill(7) } else { OsEntropy.fill(bytes) }
        }
    }

    /// A set of three of five, and its shares.
    fn split() -> (ShareSet, Vec<String>) {
        let (key, shares) = SealKey::split(3, 5, &OneSet).unwrap();
        let file = SealFile::create(&key, &[1; 16], &Ring::generate(&OsEntropy), 1, &OsEntropy).unwrap();
        let SealedWith::Shamir(set) = file.sealed_with().clone() else { panic!("it is a set of shares") };
        (set, shares.iter().map(|share| share.text().to_string()).collect())
    }

    #[test]
    fn shares_that_fit_together_are_the_key_whoever_gave_others_before() {
        let ((set, shares), (_, forged)) = (split(), split());
        let mut gathering = Gathering::default();
        for text in &forged[..2] {
            assert!(gathering.add(&set, text, EVE).unwrap().is_none());
        }
        // The forged ones have the places of 1 and 2; three true ones are enough all the same.
        assert!(matches!(gathering.add(&set, &shares[2], ANA), Err(ShareError::WrongKey)));
        assert!(matches!(gathering.add(&set, &shares[0], ANA), Err(ShareError::WrongKey)));
        assert!(gathering.add(&set, &shares[1], BOB).unwrap().is_some());
    }

    #[test]
    fn a_share_counts_once_and_who_takes_his_back_takes_nobody_elses() {
        let (set, shares) = split();
        let mut gathering = Gathering::default();
        gathering.add(&set, &shares[0], ANA).unwrap();
        assert!(matches!(gathering.add(&set, &shares[0], BOB), Err(ShareError::Duplicate { index: 1, have: 1, need: 3 })));
        gathering.add(&set, &shares[1], BOB).unwrap();
        gathering.forget(EVE);
        assert_eq!(gathering.have(), 2);
        gathering.forget(BOB);
        assert_eq!(gathering.have(), 1);
    }

    #[test]
    fn a_flood_of_forged_shares_drives_out_only_its_own() {
        let (set, shares) = split();
        let mut gathering = Gathering::default();
        gathering.add(&set, &shares[0], ANA).unwrap();
        gathering.add(&set, &shares[1], BOB).unwrap();
        for _ in 0..12 {
            for forged in split().1 {
                drop(gathering.add(&set, &forged, EVE));
            }
        }
        assert!(gathering.given.len() <= usize::from(set.shares) + SPARE);
        assert!(gathering.add(&set, &shares[4], ANA).unwrap().is_some());
    }
}

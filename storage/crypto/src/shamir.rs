//! A seal key in several hands: split into shares, of which a threshold gives it back (Shamir's scheme over GF(256), by `vsss-rs`).
//!
//! Combining too few or foreign shares gives a wrong key without a word. A share therefore names its set, and the set, which lies in
//! `seal.json`, holds a check value of the key.

use std::convert::Infallible;

use rand_chacha::rand_core::{TryCryptoRng, TryRng};
use serde::{Deserialize, Serialize};
use vsss_rs::Gf256;
use zeroize::Zeroizing;

use crate::{
    entropy::{self, Entropy},
    hex, hex_field,
    key::{KEY_BYTES, Key},
    sealed::Binding,
    share::Share,
};

/// Most shares of one key.
pub const SHARES_MAX: u8 = 32;

/// Why a key was not split, or a share not taken. Nothing of a share stands in it but its number and its set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShareError {
    /// The text does not look like a share at all.
    #[error(
        "this is not a share: a share starts with hfs1- and has {} letters and digits behind it",
        crate::share::SHARE_CHARACTERS
    )]
    NotAShare,
    /// A form that does not exist yet for this release.
    #[error("this share was written by a newer holdfast (form {0}, this one reads form 1)")]
    Newer(u32),
    /// Some characters are not those that were written down.
    #[error("the share was mistyped: {what}")]
    Mistyped {
        /// How it shows.
        what: String,
    },
    /// The share is another key's.
    #[error(
        "share {index} is of set {}, this seal needs set {}: it belongs to another cluster, or to the time before the shares were renewed",
        hex::encode(found),
        hex::encode(needed)
    )]
    OtherSet {
        /// Which share it is.
        index: u8,
        /// The set that it names.
        found: [u8; 8],
        /// The set of the seal.
        needed: [u8; 8],
    },
    /// The share names its set and disagrees with it.
    #[error(
        "share {index} says {} of {}, its set {} of {}: it was not made by holdfast",
        found.0, found.1, needed.0, needed.1
    )]
    OtherShape {
        /// Which share it is.
        index: u8,
        /// Threshold and number of shares that it names.
        found: (u8, u8),
        /// Those of the set.
        needed: (u8, u8),
    },
    /// The same share again.
    #[error("share {index} was given already: {} more of the other shares needed", need.saturating_sub(*have))]
    Duplicate {
        /// Which share it is.
        index: u8,
        /// How many shares there are now.
        have: u8,
        /// How many are needed.
        need: u8,
    },
    /// Not enough shares yet.
    #[error("{have} of {need} shares were given: {} missing", need.saturating_sub(*have))]
    TooFew {
        /// How many shares there are.
        have: u8,
        /// How many are needed.
        need: u8,
    },
    /// Enough shares, and their key is not the one.
    #[error("the shares do not combine to the key of their set: at least one of them was changed; give them again")]
    WrongKey,
    /// No key can be split like this.
    #[error("a key cannot be split into {shares} shares of which {threshold} are needed: {why}")]
    Shape {
        /// How many should be needed.
        threshold: u8,
        /// How many there should be.
        shares: u8,
        /// What is allowed.
        why: &'static str,
    },
}

/// The set that shares belong to, as `seal.json` holds it. Not secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShareSet {
    /// Random; tells the shares of one split from those of another.
    #[serde(with = "hex_field")]
    pub set_id: [u8; 8],
    /// How many shares give the key.
    pub threshold: u8,
    /// How many there are.
    pub shares: u8,
    /// Check value of the key.
    #[serde(with = "hex_field")]
    pub key_check: [u8; 8],
}

impl ShareSet {
    /// Whether such a set can be.
    ///
    /// # Errors
    /// Says what is allowed.
    pub fn check(&self) -> Result<(), ShareError> {
        check_shape(self.threshold, self.shares)
    }

    pub(crate) fn bind(&self, binding: Binding) -> Binding {
        binding.bytes(&self.set_id).u64(self.threshold.into()).u64(self.shares.into()).bytes(&self.key_check)
    }
}

fn check_shape(threshold: u8, shares: u8) -> Result<(), ShareError> {
    let refused = |why| Err(ShareError::Shape { threshold, shares, why });
    if !(1..=SHARES_MAX).contains(&shares) {
        return refused("1 to 32 shares are allowed");
    }
    if !(1..=shares).contains(&threshold) {
        return refused("at least one and at most all of them can be needed");
    }
    if threshold == 1 && shares > 1 {
        return refused("each share alone would be the whole key; with one holder, make one share");
    }
    Ok(())
}

/// Splits `key` into `shares` parts, any `threshold` of which give it back.
///
/// # Errors
/// When the numbers cannot be: 1 to [`SHARES_MAX`] shares, and one alone is enough only where there is only one.
pub fn split(key: &Key, threshold: u8, shares: u8, entropy: &dyn Entropy) -> Result<(ShareSet, Vec<Share>), ShareError> {
    check_shape(threshold, shares)?;
    let set = ShareSet { set_id: entropy::random(entropy), threshold, shares, key_check: key.check_value() };
    if threshold == 1 {
        // A polynomial of degree nought: the share is the key. The library starts at two.
        let only = Share::new(&set, 1, key.duplicate());
        return Ok((set, vec![only]));
    }
    let points = Gf256::split_bytes(threshold.into(), shares.into(), key.expose(), EntropyRng(entropy))
        .expect("threshold and number of shares were checked, and a key is not empty");
    let parts = points.into_iter().map(Zeroizing::new).map(|point| {
        let (index, part) = point.split_first().expect("a point has an x");
        Share::new(&set, *index, Key::from_slice(part).expect("a point has a y for each byte of the key"))
    });
    let parts = parts.collect();
    Ok((set, parts))
}

/// How far the gathering of shares is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// How many different shares there are.
    pub have: u8,
    /// How many are needed.
    pub need: u8,
}

impl Progress {
    /// Whether there are enough.
    #[must_use]
    pub fn is_enough(self) -> bool {
        self.have >= self.need
    }
}

/// Gathers shares of one set until there are enough. Dropping it zeroes them.
pub struct Shares {
    set: ShareSet,
    given: Vec<Share>,
}

impl Shares {
    /// Nothing gathered yet.
    #[must_use]
    pub fn new(set: &ShareSet) -> Shares {
        Shares { set: set.clone(), given: Vec::with_capacity(set.shares.into()) }
    }

    /// The set that is being gathered.
    #[must_use]
    pub fn set(&self) -> &ShareSet {
        &self.set
    }

    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        // At most one for each index, of which there are at most SHARES_MAX.
        let have = u8::try_from(self.given.len()).unwrap_or(u8::MAX);
        Progress { have, need: self.set.threshold }
    }

    /// Takes one more share, as a person typed it.
    ///
    /// # Errors
    /// When it is mistyped, another set's, or given already; what was gathered before stays.
    pub fn add(&mut self, text: &str) -> Result<Progress, ShareError> {
        let share = Share::parse(text)?;
        let index = share.index();
        if share.set_id() != self.set.set_id {
            return Err(ShareError::OtherSet { index, found: share.set_id(), needed: self.set.set_id });
        }
        let shape = (self.set.threshold, self.set.shares);
        if share.shape() != shape {
            return Err(ShareError::OtherShape { index, found: share.shape(), needed: shape });
        }
        if self.given.iter().any(|given| given.index() == index) {
            let Progress { have, need } = self.progress();
            return Err(ShareError::Duplicate { index, have, need });
        }
        self.given.push(share);
        Ok(self.progress())
    }

    /// The key, once there are enough shares.
    ///
    /// # Errors
    /// When there are too few, or one of them was changed.
    pub(crate) fn combine(&self) -> Result<Key, ShareError> {
        let Progress { have, need } = self.progress();
        if have < need {
            return Err(ShareError::TooFew { have, need });
        }
        let combined = match self.given.as_slice() {
            [only] => Zeroizing::new(only.expose().to_vec()),
            several => interpolate(several)?,
        };
        let key = Key::from_slice(&combined).ok_or(ShareError::WrongKey)?;
        if key.check_value() == self.set.key_check { Ok(key) } else { Err(ShareError::WrongKey) }
    }
}

fn interpolate(shares: &[Share]) -> Result<Zeroizing<Vec<u8>>, ShareError> {
    let points = shares.iter().map(|share| {
        let mut point = Vec::with_capacity(1 + KEY_BYTES);
        point.push(share.index());
        point.extend_from_slice(share.expose());
        point
    });
    let points: Zeroizing<Vec<Vec<u8>>> = Zeroizing::new(points.collect());
    Gf256::combine_bytes(&points[..]).map(Zeroizing::new).map_err(|_| ShareError::WrongKey)
}

impl std::fmt::Debug for Shares {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Progress { have, need } = self.progress();
        write!(formatter, "Shares({have} of {need}, set {})", hex::encode(&self.set.set_id))
    }
}

/// Our source of chance, in the shape that the library asks for.
struct EntropyRng<'a>(&'a dyn Entropy);

impl TryRng for EntropyRng<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_le_bytes(entropy::random(self.0)))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_le_bytes(entropy::random(self.0)))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(bytes);
        Ok(())
    }
}

impl TryCryptoRng for EntropyRng<'_> {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::entropy::SeededEntropy;

    fn split_seeded(threshold: u8, shares: u8, seed: u64) -> (Key, ShareSet, Vec<Share>) {
        let entropy = SeededEntropy::new(seed);
        let key = Key::generate(&entropy);
        let (set, parts) = split(&key, threshold, shares, &entropy).unwrap();
        (key, set, parts)
    }

    fn copy(set: &ShareSet, part: &Share) -> Share {
        Share::new(set, part.index(), Key::from_bytes(*part.expose()))
    }

    fn gathered(set: &ShareSet, parts: &[&Share]) -> Shares {
        let mut shares = Shares::new(set);
        parts.iter().for_each(|part| _ = shares.add(&part.text()).unwrap());
        shares
    }

    /// A threshold, a number of shares, a seed, and an order in which the shares turn up.
    fn splits() -> impl Strategy<Value = (u8, u8, u64, Vec<usize>)> {
        (2..=SHARES_MAX).prop_flat_map(|shares| {
            let order = Just((0..usize::from(shares)).collect::<Vec<_>>()).prop_shuffle();
            (2..=shares, Just(shares), any::<u64>(), order)
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5000))]

        #[test]
        fn any_threshold_of_shares_gives_the_key_and_one_fewer_says_how_many_are_missing(
            (threshold, shares, seed, order) in splits()
        ) {
            let (key, set, parts) = split_seeded(threshold, shares, seed);
            prop_assert_eq!(parts.len(), usize::from(shares));
            let chosen: Vec<&Share> = order.iter().take(usize::from(threshold)).map(|at| &parts[*at]).collect();
            prop_assert_eq!(gathered(&set, &chosen).combine().unwrap(), key.duplicate());
            let fewer = gathered(&set, &chosen[1..]).combine().unwrap_err();
            prop_assert_eq!(fewer, ShareError::TooFew { have: threshold - 1, need: threshold });
            // What the library would have made of them without our count:
            if threshold > 2 {
                let parts: Vec<Share> = chosen[1..].iter().map(|part| copy(&set, part)).collect();
                prop_assert_ne!(Key::from_slice(&interpolate(&parts).unwrap()).unwrap(), key);
            }
        }

        #[test]
        fn a_share_of_another_set_is_named_and_leaves_the_gathering_as_it_was(
            (threshold, shares, seed, order) in splits()
        ) {
            let (key, set, parts) = split_seeded(threshold, shares, seed);
            let (_, _, others) = split_seeded(threshold, shares, seed.wrapping_add(1));
            let mut gathering = Shares::new(&set);
            for at in order.iter().take(usize::from(threshold)) {
                let index = parts[*at].index();
                let foreign = gathering.add(&others[*at].text()).unwrap_err();
                prop_assert_eq!(foreign, ShareError::OtherSet { index, found: others[*at].set_id(), needed: set.set_id });
                gathering.add(&parts[*at].text()).unwrap();
            }
            prop_assert_eq!(gathering.combine().unwrap(), key);
        }
    }

    #[test]
    fn the_same_share_twice_counts_once_and_is_named() {
        let (key, set, parts) = split_seeded(2, 3, 1);
        let mut shares = Shares::new(&set);
        assert_eq!(shares.add(&parts[2].text()), Ok(Progress { have: 1, need: 2 }));
        let refusal = shares.add(&parts[2].text()).unwrap_err().to_string();
        assert_eq!(refusal, "share 3 was given already: 1 more of the other shares needed");
        assert_eq!(shares.combine().unwrap_err().to_string(), "1 of 2 shares were given: 1 missing");
        assert!(shares.add(&parts[0].text()).unwrap().is_enough());
        assert_eq!(shares.combine().unwrap(), key);
        shares.add(&parts[1].text()).unwrap();
        assert_eq!(shares.combine().unwrap(), key, "more than enough is enough");
    }

    #[test]
    fn a_forged_share_with_a_good_checksum_is_found_by_the_check_value() {
        let (_, set, parts) = split_seeded(3, 5, 2);
        let mut forged = *parts[2].expose();
        forged[31] ^= 1;
        let forged = Share::new(&set, 3, Key::from_bytes(forged));
        let shares = gathered(&set, &[&parts[0], &parts[1], &forged]);
        assert_eq!(shares.combine().unwrap_err(), ShareError::WrongKey);
        let other_shape = copy(&ShareSet { threshold: 2, ..set.clone() }, &parts[0]);
        let refusal = Shares::new(&set).add(&other_shape.text()).unwrap_err().to_string();
        assert!(refusal.contains("share 1 says 2 of 5, its set 3 of 5"), "{refusal}");
    }

    #[test]
    fn one_holder_has_one_share_and_no_share_of_several_is_the_key() {
        let (key, set, parts) = split_seeded(1, 1, 3);
        assert_eq!(gathered(&set, &[&parts[0]]).combine().unwrap(), key);
        let (key, _, parts) = split_seeded(2, 32, 3);
        assert!(parts.iter().all(|part| part.expose() != key.expose()));
        for (threshold, shares) in [(0, 0), (0, 1), (2, 1), (1, 2), (4, 3), (2, 33), (255, 255)] {
            let refusal = split(&key, threshold, shares, &SeededEntropy::new(1)).map(|_| ()).unwrap_err();
            assert!(matches!(refusal, ShareError::Shape { .. }), "{threshold} of {shares}");
        }
    }
}

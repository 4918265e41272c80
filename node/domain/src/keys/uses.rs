//! How many values each version of an environment's key wraps: when a version wraps none, it can go.

use crate::ids::EnvironmentName;
use crate::secret::{Secret, VersionState};
use imbl::OrdMap;

/// Values by environment and version of its key. It follows from the secrets, so it stands in no digest and no snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeyUses {
    counts: OrdMap<(EnvironmentName, u32), u64>,
}

/// Values of one secret by version of the key. Nearly always one.
pub(crate) type Tally = Vec<(u32, u64)>;

/// What one secret uses: destroyed versions have no value any more.
pub(crate) fn tally(secret: &Secret) -> Tally {
    let mut tally = Tally::with_capacity(1);
    for version in secret.versions.iter().filter(|version| version.state != VersionState::Destroyed) {
        let key = version.seal.key_version;
        match tally.iter_mut().find(|(known, _)| *known == key) {
            Some((_, count)) => *count += 1,
            None => tally.push((key, 1)),
        }
    }
    tally
}

impl KeyUses {
    pub(crate) fn of(&self, environment: &EnvironmentName, version: u32) -> u64 {
        self.counts.get(&(environment.clone(), version)).copied().unwrap_or(0)
    }

    /// A secret used `before`, and uses `after`.
    pub(crate) fn shift(&mut self, environment: &EnvironmentName, before: &Tally, after: &Tally) {
        if before == after {
            return;
        }
        for (version, count) in after {
            *self.counts.entry((environment.clone(), *version)).or_default() += count;
        }
        for (version, count) in before {
            let key = (environment.clone(), *version);
            let left = self.of(environment, *version).saturating_sub(*count);
            if left == 0 {
                self.counts.remove(&key)
            } else {
                self.counts.insert(key, left)
            };
        }
    }
}

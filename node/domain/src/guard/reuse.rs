//! Which values stand in several environments, by keyed fingerprints: nothing is learnt of a value but that it is the same.

use crate::ids::{EnvironmentName, SecretId};
use crate::secret::{Secret, VersionState};
use imbl::OrdMap;

/// A keyed hash of a value, the same in every environment.
pub(crate) type Fingerprint = [u8; 16];

/// The newest versions by fingerprint. It follows from the secrets: no row of the digest, no piece of a snapshot.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReuseIndex(OrdMap<(Fingerprint, SecretId), EnvironmentName>);

impl ReuseIndex {
    /// The newest version of `secret` is this from now on.
    pub(crate) fn add(&mut self, environment: &EnvironmentName, secret: &Secret) {
        if let Some(fingerprint) = fingerprint(secret) {
            self.0.insert((fingerprint, secret.id), environment.clone());
        }
    }

    /// What stood of `secret` stands no more.
    pub(crate) fn remove(&mut self, secret: &Secret) {
        if let Some(fingerprint) = fingerprint(secret) {
            self.0.remove(&(fingerprint, secret.id));
        }
    }

    /// Another environment that has the same value, if one does.
    pub(crate) fn elsewhere(&self, fingerprint: &Fingerprint, environment: &EnvironmentName) -> Option<&EnvironmentName> {
        let range = (*fingerprint, SecretId(0))..=(*fingerprint, SecretId(u64::MAX));
        self.0.range(range).map(|(_, home)| home).find(|home| *home != environment)
    }
}

fn fingerprint(secret: &Secret) -> Option<Fingerprint> {
    secret.versions.last().filter(|newest| newest.state != VersionState::Destroyed).and_then(|newest| newest.reuse)
}

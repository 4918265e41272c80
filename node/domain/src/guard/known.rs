//! The addresses that principals came from before, as far back as a bounded memory goes.

use crate::ids::{PrincipalName, Stamp};
use crate::limits;
use crate::state::Digest;
use imbl::OrdMap;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::sync::Arc;

const ROW: u8 = 67;

/// Where one principal came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownAddresses {
    /// Who.
    pub principal: PrincipalName,
    /// Those remembered, the oldest first. Invariant: at most `limits::KNOWN_ADDRESSES_MAX`.
    pub addresses: Vec<IpAddr>,
    /// When the newest was added.
    pub changed: Stamp,
}

/// All that is remembered. Invariant: at most `limits::KNOWN_PRINCIPALS_MAX`.
#[derive(Clone, Debug, Default)]
pub struct Known(OrdMap<PrincipalName, Arc<KnownAddresses>>);

impl Known {
    /// What is remembered of this principal.
    #[must_use]
    pub fn of(&self, principal: &PrincipalName) -> Option<&KnownAddresses> {
        self.0.get(principal).map(|known| &**known)
    }

    pub(super) fn add(&mut self, principal: &PrincipalName, address: IpAddr, now: Stamp, digest: &mut Digest) {
        if !self.0.contains_key(principal) && self.0.len() >= limits::KNOWN_PRINCIPALS_MAX {
            // Whoever showed nothing new for longest is forgotten.
            let oldest = self.0.values().min_by_key(|known| known.changed).map(|known| known.principal.clone());
            if let Some(gone) = oldest.and_then(|oldest| self.0.remove(&oldest)) {
                digest.subtract(ROW, &*gone);
            }
        }
        let old = self.0.get(principal).cloned();
        let mut addresses = old.as_ref().map(|old| old.addresses.clone()).unwrap_or_default();
        if addresses.len() >= limits::KNOWN_ADDRESSES_MAX {
            addresses.remove(0);
        }
        addresses.push(address);
        let new = KnownAddresses { principal: principal.clone(), addresses, changed: now };
        if let Some(old) = old {
            digest.subtract(ROW, &*old);
        }
        digest.add(ROW, &new);
        self.take(Arc::new(new));
    }

    pub(super) fn take(&mut self, known: Arc<KnownAddresses>) {
        self.0.insert(known.principal.clone(), known);
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = &Arc<KnownAddresses>> {
        self.0.values()
    }

    pub(super) fn add_rows(&self, digest: &mut Digest) {
        self.0.values().for_each(|known| digest.add(ROW, &**known));
    }
}

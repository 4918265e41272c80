//! What all records so far amount to, as far as keys go.

use super::uses::KeyUses;
use crate::ids::{EnvironmentName, PrincipalName, Stamp};
use crate::rejection::Rejection;
use crate::state::Digest;
use bytes::Bytes;
use imbl::OrdMap;
use serde::{Deserialize, Serialize};

/// Kinds of rows in the digest: 16 to 31 are for keys.
pub(super) mod row {
    pub(in super::super) const ROOT: u8 = 16;
    pub(in super::super) const SYSTEM: u8 = 17;
    pub(in super::super) const SEALED: u8 = 18;
    pub(in super::super) const SEAL: u8 = 19;
    pub(in super::super) const ADDED: u8 = 20;
}

/// The version of the root key that a cluster is founded with.
pub(super) const FIRST_ROOT: u32 = 1;

/// The part of the state that is about keys. A persistent structure: a clone costs nothing.
#[derive(Clone, Debug)]
pub struct KeysState {
    /// The version of the root key that everything is wrapped by.
    pub(super) root: u32,
    /// Wrapped by the root key.
    pub(super) system: OrdMap<u32, Bytes>,
    pub(super) sealed: OrdMap<EnvironmentName, EnvironmentSeal>,
    pub(super) seal: Option<SealAbout>,
    /// When a version of an environment's key was added, for all but the first.
    pub(super) added: OrdMap<(EnvironmentName, u32), Stamp>,
    /// Invariant: follows from the secrets.
    pub(crate) uses: KeyUses,
}

/// That an environment is sealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentSeal {
    /// Since when.
    pub since: Stamp,
    /// By whom.
    pub by: PrincipalName,
}

/// What holds the root key: no part of the seal itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealAbout {
    /// `key-file`, `passphrase`, `shamir` …
    pub kind: String,
    /// How many shares there are; 0 where there are none.
    pub shares: u32,
    /// How many of them unseal.
    pub threshold: u32,
    /// Which set of shares, in hexadecimal digits.
    pub set: String,
    /// Counts changes of the seal file.
    pub generation: u64,
}

/// One piece of it in a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum KeysPiece {
    Root(u32),
    System(u32, Bytes),
    Sealed(EnvironmentName, EnvironmentSeal),
    Seal(SealAbout),
    Added(EnvironmentName, u32, Stamp),
}

impl Default for KeysState {
    fn default() -> KeysState {
        KeysState {
            root: FIRST_ROOT,
            system: OrdMap::new(),
            sealed: OrdMap::new(),
            seal: None,
            added: OrdMap::new(),
            uses: KeyUses::default(),
        }
    }
}

impl KeysState {
    /// The version of the root key that everything is wrapped by.
    #[must_use]
    pub fn root(&self) -> u32 {
        self.root
    }

    /// Versions of the system's key, wrapped by the root key, ascending.
    pub fn system(&self) -> impl Iterator<Item = (u32, &Bytes)> {
        self.system.iter().map(|(version, wrapped)| (*version, wrapped))
    }

    /// That and since when an environment is sealed.
    #[must_use]
    pub fn sealed(&self, environment: &EnvironmentName) -> Option<&EnvironmentSeal> {
        self.sealed.get(environment)
    }

    /// What holds the root key, as the journal last had it.
    #[must_use]
    pub fn seal(&self) -> Option<&SealAbout> {
        self.seal.as_ref()
    }

    /// How many values of an environment have data keys that this version of its key wraps.
    #[must_use]
    pub fn uses(&self, environment: &EnvironmentName, version: u32) -> u64 {
        self.uses.of(environment, version)
    }

    /// When a version of an environment's key was added; `None` for the first.
    #[must_use]
    pub fn added(&self, environment: &EnvironmentName, version: u32) -> Option<Stamp> {
        self.added.get(&(environment.clone(), version)).copied()
    }

    /// Refuses what cannot be done while the environment is sealed.
    ///
    /// # Errors
    /// When it is; the refusal says what to do.
    pub fn check_open(&self, environment: &EnvironmentName) -> Result<(), Rejection> {
        if self.sealed.is_empty() || !self.sealed.contains_key(environment) {
            return Ok(());
        }
        let hint = format!(": holdfast env unseal {environment}");
        Err(Rejection::Sealed { what: format!("environment {environment}"), hint })
    }

    /// All pieces, lazily.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = KeysPiece> + '_ {
        let root = (self.root != FIRST_ROOT).then_some(KeysPiece::Root(self.root));
        let system = self.system.iter().map(|(version, wrapped)| KeysPiece::System(*version, wrapped.clone()));
        let sealed = self.sealed.iter().map(|(name, seal)| KeysPiece::Sealed(name.clone(), seal.clone()));
        let added = self.added.iter().map(|((name, version), stamp)| KeysPiece::Added(name.clone(), *version, *stamp));
        root.into_iter().chain(system).chain(sealed).chain(self.seal.clone().map(KeysPiece::Seal)).chain(added)
    }

    /// Takes in one piece of a snapshot.
    pub(crate) fn take(&mut self, piece: KeysPiece) {
        match piece {
            KeysPiece::Root(version) => self.root = version,
            KeysPiece::System(version, wrapped) => drop(self.system.insert(version, wrapped)),
            KeysPiece::Sealed(name, seal) => drop(self.sealed.insert(name, seal)),
            KeysPiece::Seal(seal) => self.seal = Some(seal),
            KeysPiece::Added(name, version, stamp) => drop(self.added.insert((name, version), stamp)),
        }
    }

    /// Adds all rows to a digest that is computed anew.
    pub(crate) fn add_rows(&self, digest: &mut Digest) {
        for piece in self.pieces() {
            let kind = match &piece {
                KeysPiece::Root(_) => row::ROOT,
                KeysPiece::System(..) => row::SYSTEM,
                KeysPiece::Sealed(..) => row::SEALED,
                KeysPiece::Seal(_) => row::SEAL,
                KeysPiece::Added(..) => row::ADDED,
            };
            digest.add(kind, &piece);
        }
    }
}

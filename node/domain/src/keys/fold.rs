//! Folding: what each event about keys changes.

use super::state::{EnvironmentSeal, FIRST_ROOT, KeysPiece, SealAbout, row};
use super::{KeysEvent, Rewrap, WrappedRoots};
use crate::ids::EnvironmentName;
use crate::secret::VersionState;
use crate::state::{At, State};
use bytes::Bytes;

impl State {
    pub(crate) fn fold_keys(&mut self, event: &KeysEvent, at: &At<'_>) -> Result<(), &'static str> {
        match event {
            KeysEvent::EnvironmentKeyAdded { environment, version, wrapped_key, .. } => {
                self.fold_environment_key(environment, *version, wrapped_key, at)
            }
            KeysEvent::Rewrapped { environment, items } => items.iter().try_for_each(|item| self.fold_rewrap(environment, item)),
            KeysEvent::EnvironmentKeyRetired { environment, version } => self.fold_retirement(environment, *version),
            KeysEvent::EnvironmentSealed { environment } => {
                let by = at.actor.cloned().ok_or("an environment is sealed by somebody")?;
                let seal = EnvironmentSeal { since: at.stamp, by };
                self.digest.add(row::SEALED, &KeysPiece::Sealed(environment.clone(), seal.clone()));
                let before = self.keys.sealed.insert(environment.clone(), seal);
                before.map_or(Ok(()), |_| Err("its environment is sealed already"))
            }
            KeysEvent::EnvironmentUnsealed { environment } => {
                let seal = self.keys.sealed.remove(environment).ok_or("its environment is not sealed")?;
                self.digest.subtract(row::SEALED, &KeysPiece::Sealed(environment.clone(), seal));
                Ok(())
            }
            KeysEvent::SystemKeyAdded { version, wrapped_key, .. } => {
                self.digest.add(row::SYSTEM, &KeysPiece::System(*version, wrapped_key.clone()));
                let before = self.keys.system.insert(*version, wrapped_key.clone());
                before.map_or(Ok(()), |_| Err("its version of the system's key is there already"))
            }
            KeysEvent::RootRotated { version, wrapped, .. } => self.fold_root(*version, wrapped),
            KeysEvent::SealChanged { seal } | KeysEvent::SealInitialized { seal } => {
                self.fold_seal(seal.clone());
                Ok(())
            }
            KeysEvent::NodeUnsealed { .. }
            | KeysEvent::NodeSealed { .. }
            | KeysEvent::NodeSealedAlone { .. }
            | KeysEvent::RootMinted { .. } => Ok(()),
        }
    }

    fn fold_environment_key(
        &mut self,
        environment: &EnvironmentName,
        version: u32,
        wrapped: &Bytes,
        at: &At<'_>,
    ) -> Result<(), &'static str> {
        self.with_about(environment, |about| {
            if about.keys.last().is_some_and(|(newest, _)| *newest >= version) {
                return Err("its version of the key is not the next");
            }
            about.keys.push((version, wrapped.clone()));
            Ok(())
        })?;
        self.digest.add(row::ADDED, &KeysPiece::Added(environment.clone(), version, at.stamp));
        self.keys.added.insert((environment.clone(), version), at.stamp);
        Ok(())
    }

    fn fold_rewrap(&mut self, environment: &EnvironmentName, item: &Rewrap) -> Result<(), &'static str> {
        self.with_secret(environment, &item.path, |secret| {
            if secret.id != item.secret {
                return Err("another secret stands at its path");
            }
            let version = secret.version_mut(item.version).ok_or("its version does not exist")?;
            if version.state == VersionState::Destroyed || version.seal.value_id != item.sealed.seal.value_id {
                return Err("it is not the value that it rewraps");
            }
            version.seal = item.sealed.seal.clone();
            Ok(())
        })
    }

    fn fold_retirement(&mut self, environment: &EnvironmentName, version: u32) -> Result<(), &'static str> {
        self.with_about(environment, |about| {
            let before = about.keys.len();
            about.keys.retain(|(known, _)| *known != version);
            if about.keys.len() + 1 == before { Ok(()) } else { Err("its version of the key does not exist") }
        })?;
        if let Some(stamp) = self.keys.added.remove(&(environment.clone(), version)) {
            self.digest.subtract(row::ADDED, &KeysPiece::Added(environment.clone(), version, stamp));
        }
        Ok(())
    }

    fn fold_root(&mut self, version: u32, wrapped: &WrappedRoots) -> Result<(), &'static str> {
        for (environment, keys) in &wrapped.environments {
            self.with_about(environment, |about| {
                if !about.keys.iter().map(|(version, _)| version).eq(keys.iter().map(|(version, _)| version)) {
                    return Err("it wraps other versions of an environment's key than there are");
                }
                about.keys.clone_from(keys);
                Ok(())
            })?;
        }
        for (number, key) in &wrapped.system {
            let old = self.keys.system.insert(*number, key.clone()).ok_or("it wraps a system's key that is not there")?;
            self.digest.subtract(row::SYSTEM, &KeysPiece::System(*number, old));
            self.digest.add(row::SYSTEM, &KeysPiece::System(*number, key.clone()));
        }
        if self.keys.root != FIRST_ROOT {
            self.digest.subtract(row::ROOT, &KeysPiece::Root(self.keys.root));
        }
        self.keys.root = version;
        if version != FIRST_ROOT {
            self.digest.add(row::ROOT, &KeysPiece::Root(version));
        }
        Ok(())
    }

    fn fold_seal(&mut self, seal: SealAbout) {
        self.digest.add(row::SEAL, &KeysPiece::Seal(seal.clone()));
        if let Some(old) = self.keys.seal.replace(seal) {
            self.digest.subtract(row::SEAL, &KeysPiece::Seal(old));
        }
    }
}

//! Folding: what each event changes. Nothing here may refuse; an event that does not fit is a bug, and the node stops.

use super::{At, Digest, Environment, EnvironmentAbout, Left, Receipt, State};
use crate::batch::{Batch, Decision};
use crate::event::{Cause, Event};
use crate::guard::GuardEvent;
use crate::identity::IdentityEvent;
use crate::ids::{EnvironmentName, PolicyName, PrincipalName, Revision, SecretPath, Stamp};
use crate::keys::{KeysEvent, tally};
use crate::operation::Operation;
use crate::policy::{Memo, Policy, ROOT, Role};
use crate::secret::{About, Secret, Version, VersionState};
use crate::token::Token;
use std::sync::Arc;

/// A record that does not fit the state: replicas have diverged, or the code has a bug. Never a user's doing.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("record {} does not fit the state: {what}", .at.0)]
pub struct Misfit {
    /// The record.
    pub at: Revision,
    /// Which of its claims is not so.
    pub what: &'static str,
}

/// Kinds of rows in the digest.
pub(super) mod row {
    pub(in crate::state) const ENVIRONMENT: u8 = 1;
    pub(in crate::state) const SECRET: u8 = 2;
    pub(in crate::state) const TOKEN: u8 = 3;
    pub(in crate::state) const POLICY: u8 = 4;
    pub(in crate::state) const ROLE: u8 = 5;
    pub(in crate::state) const LEFT: u8 = 6;
    // 16 to 31: keys; 32 to 63: identities; 64 to 95: guard; 112 to 119: recovery; 120 to 127: members.
}

impl State {
    /// Folds a batch whose ground is this state; returns `false`, and changes nothing, when its ground has moved.
    ///
    /// # Errors
    /// When a record does not fit: the caller must stop the node.
    pub fn apply_batch(&mut self, batch: &Batch) -> Result<bool, Misfit> {
        if batch.based_on != self.revision {
            return Ok(false);
        }
        batch.decisions.iter().try_for_each(|decision| self.apply(decision))?;
        Ok(true)
    }

    /// Folds one decision: each of its events is the next record.
    ///
    /// # Errors
    /// When a record does not fit: the caller must stop the node.
    pub fn apply(&mut self, decision: &Decision) -> Result<(), Misfit> {
        for (at, event) in decision.events.iter().enumerate() {
            let stamp = Stamp(decision.stamp.0 + at as u64);
            let seq = Revision(self.revision.0 + 1);
            let misfit = |what| Misfit { at: seq, what };
            if stamp <= self.stamp {
                return Err(misfit("its stamp is not later than the one before"));
            }
            self.fold(event, seq, stamp, decision.actor.as_ref()).map_err(misfit)?;
            self.revision = seq;
            self.stamp = stamp;
        }
        self.remember_receipt(decision);
        Ok(())
    }

    fn remember_receipt(&mut self, decision: &Decision) {
        let Some(actor) = &decision.actor else { return };
        // The answer of a login held a token that is kept nowhere: there is nothing to answer a second asking with.
        let logged_in = decision.events.iter().any(Event::is_login);
        let answerable = |event: &Event| event.is_answered_again() && !event.is_aside();
        if logged_in || !decision.events.iter().any(answerable) {
            return;
        }
        let versions = decision.events.iter().flat_map(|event| self.answered_versions(event)).collect();
        self.receipts.remember(Receipt {
            request: decision.request,
            actor: actor.clone(),
            fingerprint: decision.fingerprint,
            index: self.revision,
            stamp: self.stamp,
            versions,
        });
    }

    fn fold(&mut self, event: &Event, seq: Revision, stamp: Stamp, actor: Option<&PrincipalName>) -> Result<(), &'static str> {
        let at = At { seq, stamp, actor };
        let actor = || actor.cloned().ok_or("it changes something without an actor");
        match event {
            Event::ClusterFounded { cluster } => self.fold_founding(*cluster, stamp),
            Event::EnvironmentCreated { name, id, description, wrapped_key, .. } => {
                let about = EnvironmentAbout {
                    name: name.clone(),
                    id: *id,
                    description: description.clone(),
                    created: stamp,
                    keys: vec![(1, wrapped_key.clone())],
                };
                self.digest.add(row::ENVIRONMENT, &about);
                let fresh = Environment::fresh(Arc::new(about));
                self.environments.insert(name.clone(), fresh).map_or(Ok(()), |_| Err("its environment exists already"))
            }
            Event::SecretVersionAdded { .. } => self.fold_version(event, seq, stamp, actor()?),
            Event::SecretMetadataChanged { environment, path, about, .. } => self.with_secret(environment, path, |secret| {
                secret.about.change(about);
                secret.updated = stamp;
                Ok(())
            }),
            Event::SecretVersionsDeleted { environment, path, versions, .. } => {
                self.fold_states(environment, path, versions, VersionState::Deleted, stamp)
            }
            Event::SecretVersionsUndeleted { environment, path, versions, .. } => {
                self.fold_states(environment, path, versions, VersionState::Live, stamp)
            }
            Event::SecretVersionsDestroyed { environment, path, versions, .. } => {
                self.fold_states(environment, path, versions, VersionState::Destroyed, stamp)
            }
            Event::SecretMoved { .. } | Event::SecretRenamed { .. } => self.fold_moved(event, stamp),
            Event::TokenCreated { token } => {
                let token = Token { created: stamp, ..Token::clone(token) };
                self.digest.add(row::TOKEN, &token);
                self.remember_token(Arc::new(token)).map_or(Ok(()), |_| Err("its token exists already"))
            }
            Event::TokenRevoked { accessor, .. } => self.end_token(accessor),
            Event::PolicyPut { name, rules, version } => {
                self.policies_changed = seq;
                self.fold_policy(Policy { name: name.clone(), rules: rules.clone(), version: *version, updated: stamp });
                Ok(())
            }
            Event::PolicyDeleted { name } => self.drop_policy(name, seq),
            Event::RolePut { name, description, policies, version } => {
                self.policies_changed = seq;
                let (description, policies) = (description.clone(), policies.clone());
                self.fold_role(Role { name: name.clone(), description, policies, version: *version, updated: stamp });
                Ok(())
            }
            Event::RoleDeleted { name } => {
                self.policies_changed = seq;
                self.memo = Memo::default();
                let old = self.roles.remove(name).ok_or("its role does not exist")?;
                self.digest.subtract(row::ROLE, &old);
                Ok(())
            }
            Event::Keys(event) => self.fold_keys(event, &at),
            Event::Identity(event) => self.fold_identity(event, &at),
            Event::Guard(event) => self.guard.fold(event, &at, &mut self.digest),
            Event::Recovery(event) => self.fold_recovery(event, &at),
            Event::Members(event) => self.fold_members(event, &at),
            Event::SecretRead { .. }
            | Event::Observed { .. }
            | Event::AnsweredAgain { .. }
            | Event::Refused { .. }
            | Event::Repair(_) => Ok(()),
        }
    }

    fn fold_founding(&mut self, cluster: crate::ids::ClusterId, stamp: Stamp) -> Result<(), &'static str> {
        if self.is_founded() {
            return Err("a cluster is founded once");
        }
        self.cluster = cluster;
        let root = PolicyName::parse(ROOT).map_err(|_| "the root policy has a bad name")?;
        self.fold_policy(Policy::root(root, stamp));
        Ok(())
    }

    pub(super) fn fold_policy(&mut self, policy: Policy) {
        self.memo = Memo::default();
        self.digest.add(row::POLICY, &policy);
        if let Some(old) = self.policies.insert(policy.name.clone(), Arc::new(policy)) {
            self.digest.subtract(row::POLICY, &old);
        }
    }

    fn drop_policy(&mut self, name: &PolicyName, seq: Revision) -> Result<(), &'static str> {
        self.policies_changed = seq;
        self.memo = Memo::default();
        let old = self.policies.remove(name).ok_or("its policy does not exist")?;
        self.digest.subtract(row::POLICY, &old);
        Ok(())
    }

    fn fold_role(&mut self, role: Role) {
        self.memo = Memo::default();
        self.digest.add(row::ROLE, &role);
        if let Some(old) = self.roles.insert(role.name.clone(), Arc::new(role)) {
            self.digest.subtract(row::ROLE, &old);
        }
    }

    fn fold_identity(&mut self, event: &IdentityEvent, at: &At<'_>) -> Result<(), &'static str> {
        match event {
            IdentityEvent::TokenRenewed { accessor, expires, .. } => {
                self.change_token(accessor, |token| token.expires = Some(*expires))
            }
            IdentityEvent::TokenUsed { accessor, left, .. } => self.use_token(accessor, *left, at.stamp),
            event => {
                let changed = self.identity.changes_logins_of(event);
                self.identity.fold(event, at, &mut self.digest)?;
                event.ends_logins_of().or(changed).map_or(Ok(()), |principal| self.end_logins(&principal))
            }
        }
    }

    fn fold_version(&mut self, event: &Event, seq: Revision, stamp: Stamp, actor: PrincipalName) -> Result<(), &'static str> {
        let Event::SecretVersionAdded { environment, path, secret: id, version, sealed, expires, oldest_kept, about, .. } = event
        else {
            return Err("it adds no version");
        };
        let added = Version {
            number: *version,
            state: VersionState::Live,
            created: stamp,
            created_by: actor,
            expires: *expires,
            seal: sealed.seal.clone(),
            reuse: sealed.reuse,
            index: seq,
        };
        let home = self.environments.get_mut(environment).ok_or("its environment does not exist")?;
        if !home.secrets.contains_key(path) {
            if *version != 1 && *version != home.first_version(path) {
                return Err("the first version of a secret is 1, or follows those that its path has had");
            }
            if let Some(left) = home.left.remove(path) {
                self.digest.subtract(row::LEFT, &(environment, path, left));
            }
            let mut secret = Secret {
                id: *id,
                path: path.clone(),
                about: About::default(),
                created: stamp,
                updated: stamp,
                newest: *version,
                versions: vec![added],
            };
            secret.about.change(about);
            self.digest.add(row::SECRET, &(environment, &secret));
            self.keys.uses.shift(environment, &Vec::new(), &tally(&secret));
            self.reuse.add(environment, &secret);
            home.place(Arc::new(secret));
            return Ok(());
        }
        self.with_secret(environment, path, |secret| {
            if secret.id != *id || *version != secret.newest + 1 {
                return Err("its version is not the next of its secret");
            }
            secret.newest = *version;
            secret.updated = stamp;
            secret.about.change(about);
            secret.versions.push(added);
            secret.versions.retain(|version| version.number >= *oldest_kept);
            Ok(())
        })
    }

    fn fold_states(
        &mut self,
        environment: &EnvironmentName,
        path: &SecretPath,
        versions: &[u64],
        state: VersionState,
        stamp: Stamp,
    ) -> Result<(), &'static str> {
        self.with_secret(environment, path, |secret| {
            secret.updated = stamp;
            for number in versions {
                let version = secret.version_mut(*number).ok_or("its version does not exist")?;
                if version.state == VersionState::Destroyed {
                    return Err("a destroyed version stays destroyed");
                }
                version.state = state;
            }
            Ok(())
        })
    }

    fn fold_move(
        &mut self,
        environment: &EnvironmentName,
        from: &SecretPath,
        to: &SecretPath,
        stamp: Stamp,
    ) -> Result<Left, &'static str> {
        let home = self.environments.get_mut(environment).ok_or("its environment does not exist")?;
        if home.secrets.contains_key(to) {
            return Err("something stands where the secret moves to");
        }
        let secret = home.secrets.remove(from).ok_or("its secret does not exist")?;
        self.digest.subtract(row::SECRET, &(environment, &*secret));
        let moved = Secret { path: to.clone(), updated: stamp, ..Secret::clone(&secret) };
        self.digest.add(row::SECRET, &(environment, &moved));
        home.place(Arc::new(moved));
        Ok(Left { secret: secret.id, newest: secret.newest })
    }

    fn fold_moved(&mut self, event: &Event, stamp: Stamp) -> Result<(), &'static str> {
        let (environment, from, to) = match event {
            // Before paths remembered anything.
            Event::SecretMoved { environment, from, to, .. } => {
                return self.fold_move(environment, from, to, stamp).map(drop);
            }
            Event::SecretRenamed { environment, from, to, .. } => (environment, from, to),
            _ => return Err("it moves nothing"),
        };
        let left = self.fold_move(environment, from, to, stamp)?;
        let home = self.environments.get_mut(environment).ok_or("its environment does not exist")?;
        if let Some(gone) = home.left.remove(to) {
            self.digest.subtract(row::LEFT, &(environment, to, gone));
        }
        home.left.insert(from.clone(), left);
        self.digest.add(row::LEFT, &(environment, from, left));
        Ok(())
    }

    /// Changes what does not change with every write of an environment.
    pub(crate) fn with_about(
        &mut self,
        environment: &EnvironmentName,
        change: impl FnOnce(&mut EnvironmentAbout) -> Result<(), &'static str>,
    ) -> Result<(), &'static str> {
        let home = self.environments.get_mut(environment).ok_or("its environment does not exist")?;
        self.digest.subtract(row::ENVIRONMENT, &*home.about);
        let about = Arc::make_mut(&mut home.about);
        change(about)?;
        self.digest.add(row::ENVIRONMENT, &*about);
        Ok(())
    }

    pub(crate) fn with_secret(
        &mut self,
        environment: &EnvironmentName,
        path: &SecretPath,
        change: impl FnOnce(&mut Secret) -> Result<(), &'static str>,
    ) -> Result<(), &'static str> {
        let home = self.environments.get_mut(environment).ok_or("its environment does not exist")?;
        let slot = home.secrets.get_mut(path).ok_or("its secret does not exist")?;
        self.digest.subtract(row::SECRET, &(environment, &**slot));
        let before = tally(slot);
        self.reuse.remove(slot);
        let secret = Arc::make_mut(slot);
        change(secret)?;
        self.digest.add(row::SECRET, &(environment, &*secret));
        self.keys.uses.shift(environment, &before, &tally(secret));
        self.reuse.add(environment, secret);
        Ok(())
    }

    /// The versions that an event made, changed or looked at, with the expiry of new ones: what a receipt answers a second asking
    /// with. `self` is the state after the event.
    fn answered_versions(&self, event: &Event) -> Vec<(u64, Option<Stamp>)> {
        match event {
            // The record of a promotion says it once more, in the order of its items and with those that were the same already.
            Event::SecretVersionAdded { cause: Cause::Promotion { .. }, .. } => Vec::new(),
            Event::Guard(GuardEvent::PromotionApplied { versions, .. }) => {
                versions.iter().map(|version| (*version, None)).collect()
            }
            Event::SecretVersionAdded { version, expires, .. } => vec![(*version, *expires)],
            Event::SecretVersionsDeleted { versions, .. }
            | Event::SecretVersionsUndeleted { versions, .. }
            | Event::SecretVersionsDestroyed { versions, .. } => versions.iter().map(|version| (*version, None)).collect(),
            Event::SecretMoved { environment, to, .. } | Event::SecretRenamed { environment, to, .. } => {
                vec![(self.newest(environment, to.as_str()), None)]
            }
            Event::Guard(GuardEvent::PromotionPlanned { plan }) => vec![(plan.id, None)],
            Event::Guard(GuardEvent::RulePut { rule }) => vec![(rule.version, None)],
            Event::PolicyPut { version, .. } | Event::RolePut { version, .. } => vec![(*version, None)],
            Event::Keys(KeysEvent::EnvironmentKeyAdded { version, .. } | KeysEvent::SystemKeyAdded { version, .. }) => {
                vec![(u64::from(*version), None)]
            }
            // The check of a transaction, which no other item of it changes.
            Event::Observed { operation: Operation::SecretTransact, environment: Some(environment), subject } => {
                vec![(self.newest(environment, subject), None)]
            }
            _ => Vec::new(),
        }
    }

    /// Number of the newest version of what stands there, 0 where nothing does.
    fn newest(&self, environment: &EnvironmentName, path: &str) -> u64 {
        let secret = self.environments.get(environment).and_then(|home| home.secrets.get(path));
        secret.map_or(0, |secret| secret.newest)
    }

    /// The digest computed from all rows: what the carried one must equal.
    #[must_use]
    pub fn recomputed_digest(&self) -> Digest {
        let mut digest = Digest::default();
        for environment in self.environments.values() {
            digest.add(row::ENVIRONMENT, &*environment.about);
            for secret in environment.secrets.values() {
                digest.add(row::SECRET, &(&environment.about.name, &**secret));
            }
            for (path, left) in &environment.left {
                digest.add(row::LEFT, &(&environment.about.name, path, *left));
            }
        }
        self.tokens.values().for_each(|token| digest.add(row::TOKEN, &**token));
        self.policies.values().for_each(|policy| digest.add(row::POLICY, &**policy));
        self.roles.values().for_each(|role| digest.add(row::ROLE, &**role));
        self.keys.add_rows(&mut digest);
        self.identity.add_rows(&mut digest);
        self.guard.add_rows(&mut digest);
        self.recovery.add_rows(&mut digest);
        self.members.add_rows(&mut digest);
        digest
    }
}

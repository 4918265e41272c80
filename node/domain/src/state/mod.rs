//! The state: what all records so far amount to. A persistent structure, so that a head, a view and a snapshot are O(1) clones.

mod apply;
mod digest;
mod pieces;
mod receipts;
mod tokens;

use apply::row;

pub use apply::Misfit;
pub use digest::Digest;
pub use pieces::{BadPieces, Piece};
pub use receipts::{Receipt, Receipts};

use crate::guard::{GuardState, ReuseIndex};
use crate::identity::IdentityState;
use crate::ids::{
    Accessor, ClusterId, EnvironmentId, EnvironmentName, PolicyName, PrincipalName, Revision, RoleName, SecretId, SecretPath,
    Stamp, TokenHash,
};
use crate::keys::KeysState;
use crate::members::MembersState;
use crate::policy::{Asking, Capability, Explanation, Grants, Memo, Policy, Role, Sight, Verdict};
use crate::recovery::RecoveryState;
use crate::rejection::Rejection;
use crate::secret::{Secret, Version, VersionState};
use crate::token::Token;
use bytes::Bytes;
use imbl::{HashMap, OrdMap, OrdSet};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Everything that the records so far amount to, without the sealed values themselves.
#[derive(Clone, Debug)]
pub struct State {
    pub(crate) cluster: ClusterId,
    pub(crate) epoch: u32,
    pub(crate) revision: Revision,
    pub(crate) stamp: Stamp,
    pub(crate) environments: OrdMap<EnvironmentName, Environment>,
    pub(crate) tokens: HashMap<TokenHash, Arc<Token>>,
    pub(crate) accessors: OrdMap<Accessor, TokenHash>,
    /// Invariant: the tokens that end, each with its end; follows from `tokens`.
    pub(crate) ends: OrdSet<(Stamp, Accessor)>,
    /// Invariant: the tokens that each token made and that end with it; follows from `tokens`.
    pub(crate) families: HashMap<Accessor, OrdSet<Accessor>>,
    /// Invariant: the tokens that came of a login, each with whose it was; follows from `tokens`.
    pub(crate) logins: OrdSet<(PrincipalName, Accessor)>,
    pub(crate) policies: OrdMap<PolicyName, Arc<Policy>>,
    pub(crate) roles: OrdMap<RoleName, Arc<Role>>,
    /// The record that changed a policy or role last: which rules were in force.
    pub(crate) policies_changed: Revision,
    /// Rules made ready to be asked. Follows from `policies` and `roles`: whoever changes them puts an empty one here.
    pub(crate) memo: Memo,
    pub(crate) keys: KeysState,
    pub(crate) identity: IdentityState,
    pub(crate) guard: GuardState,
    pub(crate) recovery: RecoveryState,
    pub(crate) members: MembersState,
    /// Follows from the secrets.
    pub(crate) reuse: ReuseIndex,
    pub(crate) receipts: Receipts,
    pub(crate) digest: Digest,
}

/// Which record is being folded.
#[derive(Clone, Copy, Debug)]
pub struct At<'a> {
    /// Its number.
    pub seq: Revision,
    /// Its stamp.
    pub stamp: Stamp,
    /// Who asked.
    pub actor: Option<&'a PrincipalName>,
}

/// One environment and its secrets.
#[derive(Clone, Debug)]
pub struct Environment {
    /// What does not change with every write.
    pub about: Arc<EnvironmentAbout>,
    /// By path, in order.
    pub secrets: OrdMap<SecretPath, Arc<Secret>>,
    /// Paths that a secret moved away from, and where its versions had come to by then: numbers at a path never go back, so that
    /// who expects one there never meets another secret under it. Invariant: none of them is a path of `secrets`.
    pub left: OrdMap<SecretPath, Left>,
    /// Invariant: follows from `secrets`.
    paths: OrdMap<SecretId, SecretPath>,
}

/// What stood at a path before it was moved away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// Which secret.
    pub secret: SecretId,
    /// Its newest version then.
    pub newest: u64,
}

impl Environment {
    /// An environment without secrets.
    pub(crate) fn fresh(about: Arc<EnvironmentAbout>) -> Environment {
        Environment { about, secrets: OrdMap::new(), left: OrdMap::new(), paths: OrdMap::new() }
    }

    /// The secret with this id, wherever it stands.
    #[must_use]
    pub fn secret_by_id(&self, id: SecretId) -> Option<&Arc<Secret>> {
        self.secrets.get(self.paths.get(&id)?)
    }

    /// A secret stands at its path from now on; where it stood before, it has been taken away.
    pub(crate) fn place(&mut self, secret: Arc<Secret>) {
        self.paths.insert(secret.id, secret.path.clone());
        self.secrets.insert(secret.path.clone(), secret);
    }

    /// The number of the first version of a secret that is made here.
    #[must_use]
    pub fn first_version(&self, path: &SecretPath) -> u64 {
        self.left.get(path).map_or(1, |left| left.newest + 1)
    }
}

/// What an environment is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentAbout {
    /// Its name.
    pub name: EnvironmentName,
    /// What its keys and ciphertexts are bound to.
    pub id: EnvironmentId,
    /// Free text.
    pub description: String,
    /// When it was made.
    pub created: Stamp,
    /// Its key versions, each wrapped by the root key, ascending.
    pub keys: Vec<(u32, Bytes)>,
}

/// That someone may do something somewhere: acting code takes the subject from here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permit<T> {
    /// Who.
    pub principal: PrincipalName,
    /// On what.
    pub subject: T,
}

impl State {
    /// The state of a cluster before its first record.
    #[must_use]
    pub fn empty(cluster: ClusterId) -> State {
        State {
            cluster,
            epoch: 1,
            revision: Revision(0),
            stamp: Stamp(0),
            environments: OrdMap::new(),
            tokens: HashMap::new(),
            accessors: OrdMap::new(),
            ends: OrdSet::new(),
            families: HashMap::new(),
            logins: OrdSet::new(),
            policies: OrdMap::new(),
            roles: OrdMap::new(),
            policies_changed: Revision(0),
            memo: Memo::default(),
            keys: KeysState::default(),
            identity: IdentityState::default(),
            guard: GuardState::default(),
            recovery: RecoveryState::default(),
            members: MembersState::default(),
            reuse: ReuseIndex::default(),
            receipts: Receipts::default(),
            digest: Digest::default(),
        }
    }

    /// The cluster.
    #[must_use]
    pub fn cluster(&self) -> &ClusterId {
        &self.cluster
    }

    /// Whether the cluster has been founded: its first policy is there.
    #[must_use]
    pub fn is_founded(&self) -> bool {
        !self.policies.is_empty()
    }

    /// Counts restores, from 1.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Number of the newest record folded in.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// Stamp of the newest record folded in.
    #[must_use]
    pub fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// A digest of all rows: equal states at equal revisions have equal digests.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        self.digest.bytes()
    }

    /// All environments, by name.
    pub fn environments(&self) -> impl Iterator<Item = &Environment> {
        self.environments.values()
    }

    /// How many secrets there are in all environments; hidden ones count.
    #[must_use]
    pub fn secret_count(&self) -> u64 {
        self.environments.values().map(|environment| environment.secrets.len() as u64).sum()
    }

    /// How many tokens are remembered, whether they still count or not.
    #[must_use]
    pub fn token_count(&self) -> usize {
        self.tokens.len()
    }

    /// The environment with this name.
    ///
    /// # Errors
    /// When there is none.
    pub fn environment(&self, name: &EnvironmentName) -> Result<&Environment, Rejection> {
        self.environments.get(name).ok_or_else(|| Rejection::not_found("environment", name))
    }

    /// Whether this version is remembered and was not destroyed, so that its bytes must be somewhere. Looks at every secret of the
    /// environment: for doubt, not for every day.
    #[must_use]
    pub fn holds_value(&self, environment: &EnvironmentName, secret: SecretId, version: u64) -> bool {
        let home = self.environments.get(environment);
        let found = home.and_then(|home| home.secret_by_id(secret));
        found.and_then(|known| known.version(version)).is_some_and(|version| version.state != VersionState::Destroyed)
    }

    /// All policies, by name.
    pub fn policies(&self) -> impl Iterator<Item = &Policy> {
        self.policies.values().map(|policy| &**policy)
    }

    /// The policy with this name.
    #[must_use]
    pub fn policy(&self, name: &PolicyName) -> Option<&Policy> {
        self.policies.get(name).map(|policy| &**policy)
    }

    /// All roles, by name.
    pub fn roles(&self) -> impl Iterator<Item = &Role> {
        self.roles.values().map(|role| &**role)
    }

    /// The role with this name.
    #[must_use]
    pub fn role(&self, name: &RoleName) -> Option<&Role> {
        self.roles.get(name).map(|role| &**role)
    }

    /// The record that changed a policy or role last: it names the rules in force.
    #[must_use]
    pub fn policies_changed(&self) -> Revision {
        self.policies_changed
    }

    /// Keys and their rotation.
    #[must_use]
    pub fn keys(&self) -> &KeysState {
        &self.keys
    }

    /// Who may log in, and how.
    #[must_use]
    pub fn identity(&self) -> &IdentityState {
        &self.identity
    }

    /// Alerts, promotions, rules for values.
    #[must_use]
    pub fn guard(&self) -> &GuardState {
        &self.guard
    }

    /// Snapshots, restores and drills.
    #[must_use]
    pub fn recovery(&self) -> &RecoveryState {
        &self.recovery
    }

    /// Who belongs to the cluster, and what all of them understand.
    #[must_use]
    pub fn members(&self) -> &MembersState {
        &self.members
    }

    /// Another environment whose newest versions have this value too, as far as fingerprints tell.
    #[must_use]
    pub fn reused_elsewhere(&self, environment: &EnvironmentName, version: &Version) -> Option<&EnvironmentName> {
        version.reuse.as_ref().and_then(|value| self.reuse.elsewhere(value, environment))
    }

    /// Asks the token's rules whether it may use `capability` on `subject`.
    ///
    /// # Errors
    /// When no rule allows it or one denies it; the refusal says which.
    pub fn authorize<T: AsRef<str>>(
        &self,
        asking: &Asking<'_>,
        capability: Capability,
        environment: Option<&EnvironmentName>,
        subject: T,
    ) -> Result<Permit<T>, Rejection> {
        let verdict = self.judge(asking, capability, environment, subject.as_ref());
        permit(&verdict, asking, capability, environment, subject)
    }

    /// Asks the token's rules whether it may list anything at all under `prefix`; what stands there makes no difference.
    /// What it is shown is another question: [`State::sight`].
    ///
    /// # Errors
    /// When no rule could allow anything there or one denies all of it; the refusal says which.
    pub fn authorize_listing(
        &self,
        asking: &Asking<'_>,
        environment: &EnvironmentName,
        prefix: String,
    ) -> Result<Permit<String>, Rejection> {
        self.authorize_under(asking, Capability::List, environment, prefix)
    }

    /// Asks the token's rules whether it may use `capability` on anything at all under `prefix`, whatever stands there.
    ///
    /// # Errors
    /// When no rule could allow anything there or one denies all of it; the refusal says which.
    pub fn authorize_under(
        &self,
        asking: &Asking<'_>,
        capability: Capability,
        environment: &EnvironmentName,
        prefix: String,
    ) -> Result<Permit<String>, Rejection> {
        let verdict = self.judge_under(asking, capability, environment, &prefix);
        permit(&verdict, asking, capability, Some(environment), prefix)
    }

    /// Which rule decides about `capability` on `subject`.
    #[must_use]
    pub fn judge(
        &self,
        asking: &Asking<'_>,
        capability: Capability,
        environment: Option<&EnvironmentName>,
        subject: &str,
    ) -> Verdict {
        if asking.is_bound_elsewhere(environment) {
            return Verdict::BoundElsewhere;
        }
        self.grants_of(asking.token).judge(capability, environment, subject, &asking.circumstances())
    }

    /// Which rule decides whether anything may be listed under `prefix`.
    #[must_use]
    pub fn judge_listing(&self, asking: &Asking<'_>, environment: &EnvironmentName, prefix: &str) -> Verdict {
        self.judge_under(asking, Capability::List, environment, prefix)
    }

    fn judge_under(&self, asking: &Asking<'_>, capability: Capability, environment: &EnvironmentName, prefix: &str) -> Verdict {
        if asking.is_bound_elsewhere(Some(environment)) {
            return Verdict::BoundElsewhere;
        }
        self.grants_of(asking.token).judge_under(capability, environment, prefix, &asking.circumstances())
    }

    /// Which paths of `environment` the token may list.
    #[must_use]
    pub fn sight<'a>(&self, asking: &Asking<'a>, environment: &EnvironmentName) -> Sight<'a> {
        Sight::new(self.grants_of(asking.token), *asking, environment.clone())
    }

    /// The verdict, with every rule that is about the request and why it does or does not count.
    #[must_use]
    pub fn explain(
        &self,
        asking: &Asking<'_>,
        capability: Capability,
        environment: Option<&EnvironmentName>,
        subject: &str,
    ) -> Explanation {
        let verdict = self.judge(asking, capability, environment, subject);
        let grants = self.grants_of(asking.token);
        let with_roles = grants.policies().map(|policy| {
            let given = asking.token.roles.iter().filter(|name| self.gives(name, &policy.name));
            let named = asking.token.policies.contains(&policy.name);
            (policy.clone(), if named { Vec::new() } else { given.cloned().collect() })
        });
        Explanation::of(verdict, with_roles, asking, (capability, environment, subject))
    }

    /// Whether the role gives the policy.
    #[must_use]
    pub fn gives(&self, role: &RoleName, policy: &PolicyName) -> bool {
        self.roles.get(role).is_some_and(|role| role.policies.contains(policy))
    }

    /// The rules of a token, made ready to be asked.
    #[must_use]
    pub fn grants_of(&self, token: &Token) -> Arc<Grants> {
        self.memo.grants(token, || self.policies_of(token))
    }

    /// The policies that a token names and those of the roles that it names, some of them more than once.
    fn policies_of<'a>(&'a self, token: &'a Token) -> impl Iterator<Item = &'a Arc<Policy>> {
        let of_roles = token.roles.iter().filter_map(|name| self.roles.get(name)).flat_map(|role| &role.policies);
        token.policies.iter().chain(of_roles).filter_map(|name| self.policies.get(name))
    }

    /// The state as it would be with this policy.
    #[must_use]
    pub fn supposing(&self, policy: Policy) -> State {
        let mut supposed = self.clone();
        supposed.fold_policy(policy);
        supposed
    }
}

fn permit<T: AsRef<str>>(
    verdict: &Verdict,
    asking: &Asking<'_>,
    capability: Capability,
    environment: Option<&EnvironmentName>,
    subject: T,
) -> Result<Permit<T>, Rejection> {
    if verdict.is_allowed() {
        return Ok(Permit { principal: asking.token.principal.clone(), subject });
    }
    Err(Rejection::Denied {
        principal: asking.token.principal.to_string(),
        capability: capability.word().into(),
        subject: subject.as_ref().to_owned(),
        environment: environment.map_or_else(|| "the system".to_owned(), ToString::to_string),
        why: verdict.why(asking.token),
    })
}

impl AsRef<str> for SecretPath {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl Environment {
    /// The secret at this path.
    ///
    /// # Errors
    /// When none ever stood there, or it was moved away.
    pub fn secret(&self, path: &SecretPath) -> Result<&Arc<Secret>, Rejection> {
        self.secrets.get(path).ok_or_else(|| Rejection::not_found("secret", path))
    }

    /// Secrets whose path starts with `prefix` and comes after `cursor`, in order.
    pub fn under<'a>(&'a self, prefix: &'a str, cursor: &'a str) -> impl Iterator<Item = &'a Arc<Secret>> {
        use std::ops::Bound::{Excluded, Included, Unbounded};
        let start = if cursor >= prefix { Excluded(cursor) } else { Included(prefix) };
        let start = if cursor.is_empty() { Included(prefix) } else { start };
        self.secrets
            .range::<_, str>((start, Unbounded))
            .map(|(_, secret)| secret)
            .take_while(move |secret| secret.path.is_under(prefix))
    }
}

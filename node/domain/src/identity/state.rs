//! What all records so far amount to, as far as identities go.

use super::rows::{certificate_principals, jwt_principals};
use super::table::{Table, row};
use super::{CertRole, Grants, IdentityEvent, Issuer, Machine, SecretId, Totp, User, Wrapped, WrappedOf};
use crate::ids::{Accessor, IdentityName, PrincipalName, Stamp, TokenHash};
use crate::state::{At, Digest};
use bytes::Bytes;
use imbl::{OrdMap, OrdSet};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The part of the state that is about identities. A persistent structure: a clone costs nothing.
#[derive(Clone, Debug)]
pub struct IdentityState {
    users: Table<IdentityName, User>,
    machines: Table<IdentityName, Machine>,
    secret_ids: Table<TokenHash, SecretId>,
    wrapped: Table<TokenHash, Wrapped>,
    /// Invariant: each of `wrapped`.
    wrapped_of: Table<TokenHash, WrappedOf>,
    cert_roles: Table<IdentityName, CertRole>,
    issuers: Table<IdentityName, Issuer>,
    /// Invariant: follows from `machines`.
    role_ids: OrdMap<[u8; 16], IdentityName>,
    /// Invariant: follows from `secret_ids`.
    secret_ids_of: OrdMap<(IdentityName, Accessor), TokenHash>,
    /// Invariant: follows from `secret_ids`.
    secret_id_ends: OrdSet<(Stamp, TokenHash)>,
    /// Invariant: follows from `wrapped`.
    wrapped_by: OrdMap<Accessor, TokenHash>,
    /// Invariant: follows from `wrapped`.
    wrapped_ends: OrdSet<(Stamp, TokenHash)>,
    /// Invariant: the sum of all payloads in `wrapped`.
    wrapped_bytes: usize,
}

impl Default for IdentityState {
    fn default() -> IdentityState {
        IdentityState {
            users: Table::new(row::USER),
            machines: Table::new(row::MACHINE),
            secret_ids: Table::new(row::SECRET_ID),
            wrapped: Table::new(row::WRAPPED),
            wrapped_of: Table::new(row::WRAPPED_OF),
            cert_roles: Table::new(row::CERT_ROLE),
            issuers: Table::new(row::ISSUER),
            role_ids: OrdMap::new(),
            secret_ids_of: OrdMap::new(),
            secret_id_ends: OrdSet::new(),
            wrapped_by: OrdMap::new(),
            wrapped_ends: OrdSet::new(),
            wrapped_bytes: 0,
        }
    }
}

/// One piece of it in a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum IdentityPiece {
    User(Arc<User>),
    Machine(Arc<Machine>),
    SecretId(Arc<SecretId>),
    Wrapped(Arc<Wrapped>),
    CertRole(Arc<CertRole>),
    Issuer(Arc<Issuer>),
    /// Comes after what is wrapped.
    WrappedOf(Arc<WrappedOf>),
}

impl IdentityState {
    /// The user with this name.
    #[must_use]
    pub fn user(&self, name: &IdentityName) -> Option<&User> {
        self.users.find(name).map(|user| &**user)
    }

    /// All users, by name.
    pub fn users(&self) -> impl Iterator<Item = &User> {
        self.users.values().map(|user| &**user)
    }

    /// The machine with this name.
    #[must_use]
    pub fn machine(&self, name: &IdentityName) -> Option<&Machine> {
        self.machines.find(name).map(|machine| &**machine)
    }

    /// The machine with this role id.
    #[must_use]
    pub fn machine_by_role_id(&self, role_id: &[u8; 16]) -> Option<&Machine> {
        self.machine(self.role_ids.get(role_id)?)
    }

    /// All machines, by name.
    pub fn machines(&self) -> impl Iterator<Item = &Machine> {
        self.machines.values().map(|machine| &**machine)
    }

    /// The secret id with this hash.
    #[must_use]
    pub fn secret_id(&self, hash: &TokenHash) -> Option<&SecretId> {
        self.secret_ids.find(hash).map(|secret| &**secret)
    }

    /// The secret ids of a machine, by accessor.
    pub fn secret_ids_of<'a>(&'a self, machine: &'a IdentityName) -> impl Iterator<Item = &'a SecretId> {
        let from = (machine.clone(), Accessor([0; 12]));
        let theirs = self.secret_ids_of.range(from..).take_while(move |((whose, _), _)| whose == machine);
        theirs.filter_map(|(_, hash)| self.secret_id(hash))
    }

    /// The secret id of a machine with this accessor.
    #[must_use]
    pub fn secret_id_by_accessor(&self, machine: &IdentityName, accessor: Accessor) -> Option<&SecretId> {
        self.secret_id(self.secret_ids_of.get(&(machine.clone(), accessor))?)
    }

    /// Everything that is wrapped, what was handed over included.
    pub(super) fn all_wrapped(&self) -> impl Iterator<Item = &Wrapped> {
        self.wrapped.values().map(|wrapped| &**wrapped)
    }

    /// Which version of a secret the wrapping token with this hash wraps, if it is one.
    #[must_use]
    pub fn wrapped_of(&self, hash: &TokenHash) -> Option<&WrappedOf> {
        self.wrapped_of.find(hash).map(|of| &**of)
    }

    /// What is wrapped by the wrapping token with this hash.
    #[must_use]
    pub fn wrapped(&self, hash: &TokenHash) -> Option<&Wrapped> {
        self.wrapped.find(hash).map(|wrapped| &**wrapped)
    }

    /// The certificate role with this name.
    #[must_use]
    pub fn cert_role(&self, name: &IdentityName) -> Option<&CertRole> {
        self.cert_roles.find(name).map(|role| &**role)
    }

    /// All certificate roles, by name.
    pub fn cert_roles(&self) -> impl Iterator<Item = &CertRole> {
        self.cert_roles.values().map(|role| &**role)
    }

    /// The issuer with this name.
    #[must_use]
    pub fn issuer(&self, name: &IdentityName) -> Option<&Issuer> {
        self.issuers.find(name).map(|issuer| &**issuer)
    }

    /// All issuers, by name.
    pub fn issuers(&self) -> impl Iterator<Item = &Issuer> {
        self.issuers.values().map(|issuer| &**issuer)
    }

    /// Whose tokens, made by logging in, end because what logs them in, or what that gives, becomes another; to be asked before the
    /// event is folded.
    pub(crate) fn changes_logins_of(&self, event: &IdentityEvent) -> Option<PrincipalName> {
        match event {
            IdentityEvent::CertRolePut { role } => {
                let old = self.cert_role(&role.name)?;
                let same = (&old.names, &old.common_names, &old.grants) == (&role.names, &role.common_names, &role.grants);
                certificate_principals(&role.name).filter(|_| !same)
            }
            IdentityEvent::IssuerPut { issuer } => {
                let about = |issuer: &Issuer| Issuer { version: 0, updated: Stamp(0), ..issuer.clone() };
                let old = self.issuer(&issuer.name)?;
                jwt_principals(&issuer.name).filter(|_| about(old) != about(issuer))
            }
            _ => None,
        }
    }

    /// Users, machines, secret ids, wrappings and their bytes, certificate roles, issuers: what is bounded.
    #[must_use]
    pub fn counts(&self) -> [usize; 7] {
        let Self { users, machines, secret_ids, wrapped, cert_roles, issuers, .. } = self;
        [users.len(), machines.len(), secret_ids.len(), wrapped.len(), self.wrapped_bytes, cert_roles.len(), issuers.len()]
    }

    /// Secret ids that have ended at `now`, those first that ended first.
    pub(super) fn secret_ids_ended_by(&self, now: Stamp) -> impl Iterator<Item = &SecretId> {
        let ended = self.secret_id_ends.iter().take_while(move |(end, _)| *end <= now);
        ended.filter_map(|(_, hash)| self.secret_id(hash))
    }

    /// Wrappings that have ended at `now`, those first that ended first.
    pub(super) fn wrapped_ended_by(&self, now: Stamp) -> impl Iterator<Item = &Wrapped> {
        let ended = self.wrapped_ends.iter().take_while(move |(end, _)| *end <= now);
        ended.filter_map(|(_, hash)| self.wrapped(hash))
    }

    /// Folds an event. Those about tokens are folded where the tokens are.
    pub(crate) fn fold(&mut self, event: &IdentityEvent, at: &At<'_>, digest: &mut Digest) -> Result<(), &'static str> {
        use IdentityEvent as E;
        match event {
            E::TokenRenewed { .. } | E::TokenUsed { .. } => Err("it is about a token"),
            E::MachineCreated { machine } => {
                let machine = Machine { created: at.stamp, ..Machine::clone(machine) };
                self.role_ids.insert(machine.role_id, machine.name.clone());
                self.machines.add(machine.name.clone(), machine, digest)
            }
            E::MachineDeleted { name } => self.fold_machine_deleted(name, digest),
            E::SecretIdIssued { secret } => {
                let secret = SecretId { created: at.stamp, ..SecretId::clone(secret) };
                self.index_secret_id(&secret);
                self.secret_ids.add(secret.hash, secret, digest)
            }
            E::SecretIdRevoked { machine, accessor } => self.forget_secret_id(machine, *accessor, digest),
            E::SecretIdUsed { machine, accessor, left } => match left {
                Some(0) => self.forget_secret_id(machine, *accessor, digest),
                left => {
                    let hash = self.secret_ids_of.get(&(machine.clone(), *accessor)).ok_or("its secret id does not exist")?;
                    self.secret_ids.change(hash, digest, |secret| secret.uses_left = *left)
                }
            },
            E::Wrapped { .. } | E::SecretWrapped { .. } | E::Unwrapped { .. } | E::WrappedEnded { .. } => {
                self.fold_wrapped(event, at, digest)
            }
            E::CertRolePut { role } => {
                self.cert_roles.put(role.name.clone(), CertRole { updated: at.stamp, ..CertRole::clone(role) }, digest);
                Ok(())
            }
            E::CertRoleDeleted { name } => self.cert_roles.remove(name, digest).map(drop),
            E::IssuerPut { issuer } => {
                self.issuers.put(issuer.name.clone(), Issuer { updated: at.stamp, ..Issuer::clone(issuer) }, digest);
                Ok(())
            }
            E::IssuerDeleted { name } => self.issuers.remove(name, digest).map(drop),
            E::CertificateLoggedIn { .. } | E::JwtLoggedIn { .. } => Ok(()),
            E::MachineGrantsSet { name, after, .. } => {
                self.machines.change(name, digest, |machine| machine.grants = Grants::clone(after))
            }
            event => self.fold_user(event, at, digest),
        }
    }

    fn fold_user(&mut self, event: &IdentityEvent, at: &At<'_>, digest: &mut Digest) -> Result<(), &'static str> {
        use IdentityEvent as E;
        match event {
            E::UserCreated { user } => self.users.add(user.name.clone(), User { created: at.stamp, ..User::clone(user) }, digest),
            E::UserDeleted { name } => self.users.remove(name, digest).map(drop),
            E::UserGrantsSet { name, after, .. } => self.users.change(name, digest, |user| user.grants = Grants::clone(after)),
            E::UserDisabled { name } => self.users.change(name, digest, |user| user.disabled = true),
            E::UserEnabled { name } => self.users.change(name, digest, |user| user.disabled = false),
            E::UserUnlocked { name } => self.users.change(name, digest, |user| user.failures = super::Failures::default()),
            E::UserPasswordSet { name, password, .. } => self.users.change(name, digest, |user| {
                user.password.clone_from(password);
                user.credential += 1;
                user.failures = super::Failures::default();
            }),
            E::TotpEnrolled { name, sealed, recovery, .. } => self.users.change(name, digest, |user| {
                user.totp_pending = Some(Totp::new(sealed.clone(), recovery.clone()));
            }),
            E::TotpConfirmed { name, step } => self.users.change(name, digest, |user| {
                user.totp = user.totp_pending.take().map(|totp| Totp { last_step: *step, ..totp });
                user.credential += 1;
            }),
            E::TotpRemoved { name } => self.users.change(name, digest, |user| {
                (user.totp, user.totp_pending) = (None, None);
                user.credential += 1;
            }),
            E::UserLoggedIn { name, step, recovery } => self.users.change(name, digest, |user| {
                user.failures = super::Failures::default();
                if let Some(totp) = &mut user.totp {
                    totp.last_step = step.unwrap_or(totp.last_step);
                    totp.recovery.retain(|code| Some(code) != recovery.as_ref());
                }
            }),
            E::LoginFailed { user: Some(name), cause, .. } if cause.counts() => {
                self.users.change(name, digest, |user| user.failures.add(at.stamp))
            }
            E::LoginFailed { .. } => Ok(()),
            _ => Err("it is not about a user"),
        }
    }

    fn fold_wrapped(&mut self, event: &IdentityEvent, at: &At<'_>, digest: &mut Digest) -> Result<(), &'static str> {
        match event {
            IdentityEvent::Wrapped { wrapped } => {
                let wrapped = Wrapped { created: at.stamp, ..Wrapped::clone(wrapped) };
                self.index_wrapped(&wrapped);
                self.wrapped.add(wrapped.hash, wrapped, digest)
            }
            IdentityEvent::SecretWrapped { wrapped, of } => {
                self.wrapped_of.add(of.hash, of.clone(), digest)?;
                self.fold_wrapped(&IdentityEvent::Wrapped { wrapped: wrapped.clone() }, at, digest)
            }
            IdentityEvent::Unwrapped { accessor, .. } => {
                let hash = self.wrapped_by.get(accessor).ok_or("its wrapping does not exist")?;
                let bytes = &mut self.wrapped_bytes;
                self.wrapped.change(hash, digest, |wrapped| {
                    *bytes -= wrapped.payload.len();
                    wrapped.payload = Bytes::new();
                    wrapped.unwrapped = Some(at.stamp);
                })
            }
            IdentityEvent::WrappedEnded { accessor, .. } => {
                let hash = self.wrapped_by.remove(accessor).ok_or("its wrapping does not exist")?;
                let gone = self.wrapped.remove(&hash, digest)?;
                if self.wrapped_of.find(&hash).is_some() {
                    self.wrapped_of.remove(&hash, digest)?;
                }
                self.wrapped_bytes -= gone.payload.len();
                self.wrapped_ends.remove(&(gone.expires, hash));
                Ok(())
            }
            _ => Err("it is not about a wrapping"),
        }
    }

    fn fold_machine_deleted(&mut self, name: &IdentityName, digest: &mut Digest) -> Result<(), &'static str> {
        let machine = self.machines.remove(name, digest)?;
        self.role_ids.remove(&machine.role_id);
        let theirs: Vec<_> = self.secret_ids_of(name).map(|secret| secret.accessor).collect();
        theirs.into_iter().try_for_each(|accessor| self.forget_secret_id(name, accessor, digest))
    }

    fn forget_secret_id(&mut self, machine: &IdentityName, accessor: Accessor, digest: &mut Digest) -> Result<(), &'static str> {
        let hash = self.secret_ids_of.remove(&(machine.clone(), accessor)).ok_or("its secret id does not exist")?;
        let gone = self.secret_ids.remove(&hash, digest)?;
        if let Some(end) = gone.expires {
            self.secret_id_ends.remove(&(end, hash));
        }
        Ok(())
    }

    fn index_secret_id(&mut self, secret: &SecretId) {
        self.secret_ids_of.insert((secret.machine.clone(), secret.accessor), secret.hash);
        self.secret_id_ends.extend(secret.expires.map(|end| (end, secret.hash)));
    }

    /// Ends all that waits for its hand-over.
    pub(crate) fn end_wrappings(&mut self, digest: &mut Digest) -> Result<(), &'static str> {
        for (_, hash) in std::mem::take(&mut self.wrapped_by) {
            self.wrapped.remove(&hash, digest)?;
            if self.wrapped_of.find(&hash).is_some() {
                self.wrapped_of.remove(&hash, digest)?;
            }
        }
        (self.wrapped_ends, self.wrapped_bytes) = (OrdSet::new(), 0);
        Ok(())
    }

    fn index_wrapped(&mut self, wrapped: &Wrapped) {
        self.wrapped_by.insert(wrapped.accessor, wrapped.hash);
        self.wrapped_ends.insert((wrapped.expires, wrapped.hash));
        self.wrapped_bytes += wrapped.payload.len();
    }

    /// All pieces, lazily.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = IdentityPiece> + '_ {
        let users = self.users.values().cloned().map(IdentityPiece::User);
        users
            .chain(self.machines.values().cloned().map(IdentityPiece::Machine))
            .chain(self.secret_ids.values().cloned().map(IdentityPiece::SecretId))
            .chain(self.wrapped.values().cloned().map(IdentityPiece::Wrapped))
            .chain(self.wrapped_of.values().cloned().map(IdentityPiece::WrappedOf))
            .chain(self.cert_roles.values().cloned().map(IdentityPiece::CertRole))
            .chain(self.issuers.values().cloned().map(IdentityPiece::Issuer))
    }

    /// Takes in one piece of a snapshot.
    pub(crate) fn take(&mut self, piece: IdentityPiece) {
        match piece {
            IdentityPiece::User(user) => self.users.take(user.name.clone(), user),
            IdentityPiece::Machine(machine) => {
                self.role_ids.insert(machine.role_id, machine.name.clone());
                self.machines.take(machine.name.clone(), machine);
            }
            IdentityPiece::SecretId(secret) => {
                self.index_secret_id(&secret);
                self.secret_ids.take(secret.hash, secret);
            }
            IdentityPiece::Wrapped(wrapped) => {
                self.index_wrapped(&wrapped);
                self.wrapped.take(wrapped.hash, wrapped);
            }
            IdentityPiece::WrappedOf(of) => self.wrapped_of.take(of.hash, of),
            IdentityPiece::CertRole(role) => self.cert_roles.take(role.name.clone(), role),
            IdentityPiece::Issuer(issuer) => self.issuers.take(issuer.name.clone(), issuer),
        }
    }

    /// Adds all rows to a digest that is computed anew.
    pub(crate) fn add_rows(&self, digest: &mut Digest) {
        self.users.add_rows(digest);
        self.machines.add_rows(digest);
        self.secret_ids.add_rows(digest);
        self.wrapped.add_rows(digest);
        self.wrapped_of.add_rows(digest);
        self.cert_roles.add_rows(digest);
        self.issuers.add_rows(digest);
    }
}

//! What happened to identities.

use super::rows::{certificate_principals, jwt_principals};
use super::{
    CertRole, Grants, Issuer, IssuerKeys, Machine, PasswordHash, SecretId, Totp, User, Wrapped, WrappedOf, machine_principal,
    user_principal,
};
use crate::event::What;
use crate::ids::{Accessor, IdentityName, PrincipalName, Stamp};
use crate::limits;
use crate::operation::Operation;
use crate::token::Login;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// One thing that happened. New kinds are added at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum IdentityEvent {
    TokenRenewed {
        accessor: Accessor,
        principal: PrincipalName,
        expires: Stamp,
    },
    /// One of the uses of a token that has a number of them; at none left it ends.
    TokenUsed {
        accessor: Accessor,
        principal: PrincipalName,
        left: u32,
    },
    UserCreated {
        user: Box<User>,
    },
    /// Its tokens end.
    UserDisabled {
        name: IdentityName,
    },
    UserEnabled {
        name: IdentityName,
    },
    /// Its tokens end.
    UserDeleted {
        name: IdentityName,
    },
    /// Its tokens end.
    UserPasswordSet {
        name: IdentityName,
        /// `None` in a journal leaf.
        password: Option<PasswordHash>,
        digest: [u8; 32],
    },
    /// It counts from its first code on.
    TotpEnrolled {
        name: IdentityName,
        /// Empty in a journal leaf.
        sealed: Bytes,
        digest: [u8; 32],
        recovery: Vec<[u8; 32]>,
    },
    TotpConfirmed {
        name: IdentityName,
        step: u64,
    },
    TotpRemoved {
        name: IdentityName,
    },
    UserUnlocked {
        name: IdentityName,
    },
    /// Comes with the refusal of a login, and says what the refusal does not.
    LoginFailed {
        login: Login,
        user: Option<IdentityName>,
        cause: FailedBy,
    },
    UserLoggedIn {
        name: IdentityName,
        /// The step of the code.
        step: Option<u64>,
        /// The recovery code that is used up.
        recovery: Option<[u8; 32]>,
    },
    MachineCreated {
        machine: Box<Machine>,
    },
    /// Its secret ids and tokens end.
    MachineDeleted {
        name: IdentityName,
    },
    SecretIdIssued {
        secret: Box<SecretId>,
    },
    SecretIdRevoked {
        machine: IdentityName,
        accessor: Accessor,
    },
    /// At none left it ends.
    SecretIdUsed {
        machine: IdentityName,
        accessor: Accessor,
        left: Option<u32>,
    },
    /// What is no value of a secret.
    Wrapped {
        wrapped: Box<Wrapped>,
    },
    Unwrapped {
        accessor: Accessor,
        about: String,
    },
    /// Its time was up; what nobody has unwrapped is gone.
    WrappedEnded {
        accessor: Accessor,
        about: String,
        was_unwrapped: bool,
    },
    CertRolePut {
        role: Box<CertRole>,
    },
    CertRoleDeleted {
        name: IdentityName,
    },
    IssuerPut {
        issuer: Box<Issuer>,
    },
    IssuerDeleted {
        name: IdentityName,
    },
    CertificateLoggedIn {
        role: IdentityName,
        /// SHA-256 of the certificate.
        fingerprint: [u8; 32],
        shown: String,
    },
    JwtLoggedIn {
        issuer: IdentityName,
        subject: String,
        /// Its `jti`, where it has one.
        id: String,
    },
    /// Its tokens end.
    UserGrantsSet {
        name: IdentityName,
        before: Box<Grants>,
        after: Box<Grants>,
    },
    /// Its tokens end; its secret ids count on.
    MachineGrantsSet {
        name: IdentityName,
        before: Box<Grants>,
        after: Box<Grants>,
    },
    /// The value of a secret.
    SecretWrapped {
        wrapped: Box<Wrapped>,
        of: WrappedOf,
    },
}

/// What was wrong with a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailedBy {
    /// Nobody has this name, role id or certificate.
    Unknown,
    /// The user is locked after too many failures.
    Locked,
    /// The user is disabled.
    Disabled,
    /// The password or the secret id is wrong, or has ended.
    Secret,
    /// The code is wrong, too early, too late, or was used before.
    Code,
    /// A second factor is required, and the user has none or showed none.
    NoCode,
    /// It came from where it does not count.
    Address,
    /// What was shown is not signed by a key of its issuer, or not in a way that counts.
    Signature,
    /// Issuer, audience, subject or a bound claim is not what it must be.
    Claims,
    /// Its time is up, or has not come.
    Time,
    /// The issuer's keys cannot be had, or are not there.
    Keys,
}

impl FailedBy {
    /// Whether it is one of the failures after which a user is locked.
    #[must_use]
    pub fn counts(self) -> bool {
        matches!(self, FailedBy::Secret | FailedBy::Code)
    }

    /// The word for the journal.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            FailedBy::Unknown => "unknown",
            FailedBy::Locked => "locked",
            FailedBy::Disabled => "disabled",
            FailedBy::Secret => "secret",
            FailedBy::Code => "code",
            FailedBy::NoCode => "no-code",
            FailedBy::Address => "address",
            FailedBy::Signature => "signature",
            FailedBy::Claims => "claims",
            FailedBy::Time => "time",
            FailedBy::Keys => "keys",
        }
    }
}

impl IdentityEvent {
    /// What was asked.
    #[must_use]
    pub fn operation(&self) -> Operation {
        use IdentityEvent as E;
        match self {
            E::TokenRenewed { .. } => Operation::TokenRenew,
            E::TokenUsed { .. } => Operation::TokenUse,
            E::UserCreated { .. } => Operation::UserCreate,
            E::UserDisabled { .. } => Operation::UserDisable,
            E::UserEnabled { .. } => Operation::UserEnable,
            E::UserDeleted { .. } => Operation::UserDelete,
            E::UserPasswordSet { .. } => Operation::UserPassword,
            E::TotpEnrolled { .. } => Operation::UserTotpEnrol,
            E::TotpConfirmed { .. } => Operation::UserTotpConfirm,
            E::TotpRemoved { .. } => Operation::UserTotpRemove,
            E::UserUnlocked { .. } => Operation::UserUnlock,
            E::LoginFailed { .. } => Operation::LoginFailed,
            E::UserLoggedIn { .. } => Operation::LoginPassword,
            E::MachineCreated { .. } => Operation::MachineCreate,
            E::MachineDeleted { .. } => Operation::MachineDelete,
            E::SecretIdIssued { .. } => Operation::MachineSecretId,
            E::SecretIdRevoked { .. } => Operation::MachineRevokeSecretId,
            E::SecretIdUsed { .. } => Operation::LoginMachine,
            E::Wrapped { .. } | E::SecretWrapped { .. } => Operation::Wrap,
            E::Unwrapped { .. } => Operation::Unwrap,
            E::WrappedEnded { .. } => Operation::WrapEnd,
            E::CertRolePut { .. } => Operation::CertRolePut,
            E::CertRoleDeleted { .. } => Operation::CertRoleDelete,
            E::IssuerPut { .. } => Operation::IssuerPut,
            E::IssuerDeleted { .. } => Operation::IssuerDelete,
            E::CertificateLoggedIn { .. } => Operation::LoginCertificate,
            E::JwtLoggedIn { .. } => Operation::LoginJwt,
            E::UserGrantsSet { .. } => Operation::UserGrant,
            E::MachineGrantsSet { .. } => Operation::MachineGrant,
        }
    }

    /// Whether the state changes by it, beyond the count of records.
    #[must_use]
    pub fn is_change(&self) -> bool {
        match self {
            IdentityEvent::CertificateLoggedIn { .. } | IdentityEvent::JwtLoggedIn { .. } => false,
            IdentityEvent::LoginFailed { user, cause, .. } => user.is_some() && cause.counts(),
            _ => true,
        }
    }

    /// Whose tokens, made by logging in, end with it; a name that ends in `/` stands for all below it.
    #[must_use]
    pub fn ends_logins_of(&self) -> Option<PrincipalName> {
        match self {
            IdentityEvent::UserDisabled { name }
            | IdentityEvent::UserDeleted { name }
            | IdentityEvent::UserPasswordSet { name, .. }
            | IdentityEvent::UserGrantsSet { name, .. } => Some(user_principal(name)),
            IdentityEvent::MachineDeleted { name } | IdentityEvent::MachineGrantsSet { name, .. } => {
                Some(machine_principal(name))
            }
            IdentityEvent::CertRoleDeleted { name } => certificate_principals(name),
            IdentityEvent::IssuerDeleted { name } => jwt_principals(name),
            _ => None,
        }
    }

    /// About how many bytes of varying size it takes in the log, never much less than it does.
    #[must_use]
    pub fn varying_bytes(&self) -> usize {
        match self {
            IdentityEvent::UserCreated { user } => user.grants.size_hint(),
            IdentityEvent::TotpEnrolled { sealed, recovery, .. } => sealed.len() + recovery.len() * 32,
            IdentityEvent::MachineCreated { machine } => machine.grants.size_hint(),
            IdentityEvent::Wrapped { wrapped } | IdentityEvent::SecretWrapped { wrapped, .. } => {
                wrapped.payload.len() + wrapped.about.len()
            }
            IdentityEvent::CertRolePut { role } => {
                (role.names.len() + role.common_names.len()) * (limits::CERTIFICATE_NAME_BYTES_MAX + 2) + role.grants.size_hint()
            }
            IdentityEvent::IssuerPut { issuer } => {
                let keys = match &issuer.keys {
                    IssuerKeys::Inline(keys) => keys.len(),
                    IssuerKeys::Url(url) => url.len(),
                };
                let claims: usize = issuer.bound_claims.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
                keys + claims + issuer.url.len() + issuer.audience.len() + issuer.grants.size_hint()
            }
            IdentityEvent::UserGrantsSet { before, after, .. } | IdentityEvent::MachineGrantsSet { before, after, .. } => {
                before.size_hint() + after.size_hint()
            }
            _ => 0,
        }
    }

    /// The event as a journal leaf holds it: what proves somebody, and what is sealed, is there by its digest only.
    #[must_use]
    pub fn without_payload(&self) -> Option<IdentityEvent> {
        match self {
            IdentityEvent::UserCreated { user } if user.password.is_some() => {
                let bare = |totp: &Totp| Totp { sealed: Bytes::new(), ..totp.clone() };
                let totp = user.totp.as_ref().map(bare);
                let totp_pending = user.totp_pending.as_ref().map(bare);
                Some(IdentityEvent::UserCreated {
                    user: Box::new(User { password: None, totp, totp_pending, ..User::clone(user) }),
                })
            }
            IdentityEvent::UserPasswordSet { name, password: Some(_), digest } => {
                Some(IdentityEvent::UserPasswordSet { name: name.clone(), password: None, digest: *digest })
            }
            IdentityEvent::TotpEnrolled { name, sealed, digest, recovery } if !sealed.is_empty() => {
                let (name, recovery) = (name.clone(), recovery.clone());
                Some(IdentityEvent::TotpEnrolled { name, sealed: Bytes::new(), digest: *digest, recovery })
            }
            IdentityEvent::Wrapped { wrapped } if !wrapped.payload.is_empty() => {
                let wrapped = Wrapped { payload: Bytes::new(), ..Wrapped::clone(wrapped) };
                Some(IdentityEvent::Wrapped { wrapped: Box::new(wrapped) })
            }
            IdentityEvent::SecretWrapped { wrapped, of } if !wrapped.payload.is_empty() => {
                let wrapped = Wrapped { payload: Bytes::new(), ..Wrapped::clone(wrapped) };
                Some(IdentityEvent::SecretWrapped { wrapped: Box::new(wrapped), of: of.clone() })
            }
            _ => None,
        }
    }

    /// Environment, subject, secret and version as a record shows them.
    #[must_use]
    pub fn about_what(&self) -> What<'_> {
        use IdentityEvent as E;
        What::system(match self {
            E::TokenRenewed { principal, .. } | E::TokenUsed { principal, .. } => principal.as_str(),
            E::UserCreated { user } => user.name.as_str(),
            E::UserDisabled { name }
            | E::UserEnabled { name }
            | E::UserDeleted { name }
            | E::UserPasswordSet { name, .. }
            | E::TotpEnrolled { name, .. }
            | E::TotpConfirmed { name, .. }
            | E::TotpRemoved { name }
            | E::UserUnlocked { name }
            | E::UserLoggedIn { name, .. }
            | E::MachineDeleted { name }
            | E::CertRoleDeleted { name }
            | E::IssuerDeleted { name } => name.as_str(),
            E::LoginFailed { user, cause, .. } => user.as_ref().map_or(cause.word(), IdentityName::as_str),
            E::MachineCreated { machine } => machine.name.as_str(),
            E::SecretIdIssued { secret } => secret.machine.as_str(),
            E::SecretIdRevoked { machine, .. } | E::SecretIdUsed { machine, .. } => machine.as_str(),
            E::Wrapped { wrapped } | E::SecretWrapped { wrapped, .. } => &wrapped.about,
            E::Unwrapped { about, .. } | E::WrappedEnded { about, .. } => about,
            E::CertRolePut { role } => role.name.as_str(),
            E::IssuerPut { issuer } => issuer.name.as_str(),
            E::CertificateLoggedIn { shown, .. } => shown,
            E::JwtLoggedIn { subject, .. } => subject,
            E::UserGrantsSet { name, .. } | E::MachineGrantsSet { name, .. } => name.as_str(),
        })
    }
}

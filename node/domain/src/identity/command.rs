//! What can be asked about identities.

use super::{Grants, Issuer, NameGlob, PasswordHash, Wrapped};
use crate::ids::{Accessor, EnvironmentName, IdentityName, SecretId, TokenHash};
use crate::operation::Operation;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// What a holder of a token asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum IdentityCommand {
    /// From now on, for as long as is asked or one renewal lasts; the caller's own token where none is named.
    RenewToken {
        accessor: Option<Accessor>,
        increment_ms: u64,
    },
    LookupToken {
        accessor: Accessor,
    },
    CreateUser(UserWish),
    ListUsers,
    ReadUser {
        name: IdentityName,
    },
    DisableUser {
        name: IdentityName,
    },
    EnableUser {
        name: IdentityName,
    },
    DeleteUser {
        name: IdentityName,
    },
    UnlockUser {
        name: IdentityName,
    },
    SetPassword(PasswordChange),
    EnrolTotp(TotpWish),
    /// `steps` are those that the code fits, by the door's reckoning, for the secret with this digest.
    ConfirmTotp {
        name: IdentityName,
        digest: [u8; 32],
        steps: Vec<u64>,
    },
    RemoveTotp {
        name: IdentityName,
    },
    CreateMachine {
        name: IdentityName,
        role_id: [u8; 16],
        grants: Grants,
        secret_ttl_ms: u64,
        secret_uses: u32,
    },
    ListMachines,
    DeleteMachine {
        name: IdentityName,
    },
    /// The door drew the text; 0 for how the machine says.
    IssueSecretId {
        machine: IdentityName,
        hash: TokenHash,
        ttl_ms: u64,
        uses: u32,
    },
    ListSecretIds {
        machine: IdentityName,
    },
    RevokeSecretId {
        machine: IdentityName,
        accessor: Accessor,
    },
    /// The door drew the text and sealed the contents.
    Wrap(WrapWish),
    PutCertRole {
        name: IdentityName,
        names: Vec<NameGlob>,
        common_names: Vec<String>,
        grants: Grants,
    },
    ListCertRoles,
    DeleteCertRole {
        name: IdentityName,
    },
    PutIssuer(Box<Issuer>),
    ListIssuers,
    DeleteIssuer {
        name: IdentityName,
    },
    /// Other grants for a user; its tokens end.
    SetUserGrants {
        name: IdentityName,
        grants: Grants,
    },
    /// Other grants for a machine; its tokens end, its secret ids count on.
    SetMachineGrants {
        name: IdentityName,
        grants: Grants,
    },
    /// As [`Wrap`](IdentityCommand::Wrap), for what the caller brings: not the second half of an answer, but a use of its own.
    WrapGiven(WrapWish),
}

/// A user that somebody asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserWish {
    /// The name.
    pub name: IdentityName,
    /// The password, hashed at the door.
    pub password: PasswordHash,
    /// What a login gives.
    pub grants: Grants,
    /// Whether a login without a second factor is refused.
    pub requires_totp: bool,
}

/// A new password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasswordChange {
    /// Whose.
    pub name: IdentityName,
    /// The new one, hashed at the door.
    pub password: PasswordHash,
    /// The version of the user's credential at which the door found the old password right; `None` where it was not shown or wrong.
    pub proven: Option<u64>,
}

/// A second factor that somebody asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TotpWish {
    /// Whose.
    pub name: IdentityName,
    /// The secret that the door drew, sealed.
    pub sealed: Bytes,
    /// Keyed hashes of the recovery codes.
    pub recovery: Vec<[u8; 32]>,
}

/// Something to be wrapped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrapWish {
    /// Keyed hash of the wrapping token's text.
    pub hash: TokenHash,
    /// The contents, sealed.
    pub payload: Bytes,
    /// What is in it.
    pub about: String,
    /// How long it waits.
    pub ttl_ms: u64,
    /// Environment, secret and version, where it is the value of a secret.
    pub of: Option<(EnvironmentName, SecretId, u64)>,
}

/// What the cluster asks of itself: the leader's managers, without a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum IdentityUpkeep {}

/// What the caller is told beyond that it is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum IdentityAnswer {
    /// What was wrapped, still sealed: the node that took the request opens it.
    Unwrapped(Box<Wrapped>),
}

impl IdentityCommand {
    /// Operation, environment and subject, for the record of a request that is not done.
    #[must_use]
    pub fn describe(&self) -> (Operation, String, String) {
        use IdentityCommand as C;
        let (operation, subject) = match self {
            C::RenewToken { accessor, .. } => {
                (Operation::TokenRenew, accessor.map_or_else(String::new, |accessor| accessor.to_string()))
            }
            C::LookupToken { accessor } => (Operation::TokenLookup, accessor.to_string()),
            C::CreateUser(wish) => (Operation::UserCreate, wish.name.to_string()),
            C::ListUsers => (Operation::UserList, String::new()),
            C::ReadUser { name } => (Operation::UserRead, name.to_string()),
            C::DisableUser { name } => (Operation::UserDisable, name.to_string()),
            C::EnableUser { name } => (Operation::UserEnable, name.to_string()),
            C::DeleteUser { name } => (Operation::UserDelete, name.to_string()),
            C::UnlockUser { name } => (Operation::UserUnlock, name.to_string()),
            C::SetPassword(change) => (Operation::UserPassword, change.name.to_string()),
            C::EnrolTotp(wish) => (Operation::UserTotpEnrol, wish.name.to_string()),
            C::ConfirmTotp { name, .. } => (Operation::UserTotpConfirm, name.to_string()),
            C::RemoveTotp { name } => (Operation::UserTotpRemove, name.to_string()),
            C::CreateMachine { name, .. } => (Operation::MachineCreate, name.to_string()),
            C::ListMachines => (Operation::MachineList, String::new()),
            C::DeleteMachine { name } => (Operation::MachineDelete, name.to_string()),
            C::IssueSecretId { machine, .. } => (Operation::MachineSecretId, machine.to_string()),
            C::ListSecretIds { machine } => (Operation::MachineSecretIds, machine.to_string()),
            C::RevokeSecretId { machine, .. } => (Operation::MachineRevokeSecretId, machine.to_string()),
            C::Wrap(wish) | C::WrapGiven(wish) => (Operation::Wrap, wish.about.clone()),
            C::PutCertRole { name, .. } => (Operation::CertRolePut, name.to_string()),
            C::ListCertRoles => (Operation::CertRoleList, String::new()),
            C::DeleteCertRole { name } => (Operation::CertRoleDelete, name.to_string()),
            C::PutIssuer(issuer) => (Operation::IssuerPut, issuer.name.to_string()),
            C::ListIssuers => (Operation::IssuerList, String::new()),
            C::DeleteIssuer { name } => (Operation::IssuerDelete, name.to_string()),
            C::SetUserGrants { name, .. } => (Operation::UserGrant, name.to_string()),
            C::SetMachineGrants { name, .. } => (Operation::MachineGrant, name.to_string()),
        };
        (operation, String::new(), subject)
    }
}

impl IdentityUpkeep {
    /// Operation, environment and subject, for the record of a request that is not done.
    #[must_use]
    pub fn describe(&self) -> (Operation, String, String) {
        match *self {}
    }
}

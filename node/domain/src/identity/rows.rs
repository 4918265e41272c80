//! What the state knows of identities, row by row.

use super::{Grants, NameGlob};
use crate::ids::{Accessor, BadName, EnvironmentName, IdentityName, PrincipalName, Stamp, TokenHash};
use crate::limits;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A person who logs in with a password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The name, which is also the principal of its tokens.
    pub name: IdentityName,
    /// How the password is checked; `None` in a journal leaf.
    pub password: Option<PasswordHash>,
    /// Changes with what proves the user, and never comes back, not for another of the name: what a door verified counts only while this stands still.
    pub credential: u64,
    /// What a login gives.
    pub grants: Grants,
    /// The second factor in use.
    pub totp: Option<Totp>,
    /// The second factor that waits for its first code.
    pub totp_pending: Option<Totp>,
    /// Whether a login without a second factor is refused.
    pub requires_totp: bool,
    /// Whether every login is refused.
    pub disabled: bool,
    /// Wrong passwords and codes.
    pub failures: Failures,
    /// When it was made.
    pub created: Stamp,
    /// Who made it.
    pub created_by: PrincipalName,
}

/// A password as the state keeps it: Argon2id, computed at the door.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasswordHash {
    /// Random, one for each password.
    pub salt: [u8; 16],
    /// What the password gives.
    pub hash: [u8; 32],
    /// Cost: memory, in KiB.
    pub memory_kib: u32,
    /// Cost: passes over it.
    pub passes: u32,
    /// Cost: lanes.
    pub lanes: u32,
}

impl PasswordHash {
    /// What the journal keeps of it.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.salt);
        hasher.update(&self.hash);
        *hasher.finalize().as_bytes()
    }
}

/// A second factor: a TOTP secret (RFC 6238, SHA-1, six digits, 30 seconds) and codes for the day it is lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totp {
    /// The secret, sealed; empty in a journal leaf.
    pub sealed: Bytes,
    /// BLAKE3 of the sealed secret: which one a door checked a code against.
    pub digest: [u8; 32],
    /// The last step whose code was accepted, 0 before the first: no code is accepted twice, nor any before it.
    pub last_step: u64,
    /// Keyed hashes of the recovery codes that are left.
    pub recovery: Vec<[u8; 32]>,
}

impl Totp {
    /// A second factor that was never used.
    #[must_use]
    pub fn new(sealed: Bytes, recovery: Vec<[u8; 32]>) -> Totp {
        let digest = *blake3::hash(&sealed).as_bytes();
        Totp { sealed, digest, last_step: 0, recovery }
    }

    /// The one of the steps that a code fits which counts at `now`: in the window, and later than every step before it.
    #[must_use]
    pub fn accepted(&self, steps: &[u64], now: Stamp) -> Option<u64> {
        let current = now.0 / limits::TOTP_STEP_US;
        let counts = |step: &&u64| step.abs_diff(current) <= limits::TOTP_WINDOW && **step > self.last_step;
        steps.iter().find(counts).copied()
    }
}

/// Wrong passwords and codes of one user.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failures {
    /// When. Invariant: fewer than lock the user, ascending.
    pub recent: Vec<Stamp>,
    /// No login before this.
    pub locked_until: Option<Stamp>,
}

impl Failures {
    /// Whether logins are refused at `now`.
    #[must_use]
    pub fn is_locked_at(&self, now: Stamp) -> bool {
        self.locked_until.is_some_and(|until| now < until)
    }

    /// One more at `now`; the one that is too many locks, and the count starts anew.
    pub(super) fn add(&mut self, now: Stamp) {
        self.recent.retain(|then| now.0 - then.0 <= limits::LOGIN_FAILURES_WINDOW_US);
        self.recent.push(now);
        if self.recent.len() >= limits::LOGIN_FAILURES_MAX {
            *self = Failures { recent: Vec::new(), locked_until: Some(now.plus_ms(limits::LOCKOUT_MS)) };
        }
    }
}

/// A program that logs in with its role id and a secret id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The name; `machine/<name>` is the principal of its tokens.
    pub name: IdentityName,
    /// What it says who it is with; no secret.
    pub role_id: [u8; 16],
    /// What a login gives.
    pub grants: Grants,
    /// How long a new secret id counts; 0 for ever.
    pub secret_ttl_ms: u64,
    /// How many logins a new secret id is good for; 0 for any number.
    pub secret_uses: u32,
    /// When it was made.
    pub created: Stamp,
    /// Who made it.
    pub created_by: PrincipalName,
}

/// What a machine proves itself with. Only a keyed hash of the text is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretId {
    /// Whose.
    pub machine: IdentityName,
    /// Keyed hash of the text.
    pub hash: TokenHash,
    /// Public id.
    pub accessor: Accessor,
    /// When it ends.
    pub expires: Option<Stamp>,
    /// Logins left, where they are counted.
    pub uses_left: Option<u32>,
    /// When it was made.
    pub created: Stamp,
    /// Who made it.
    pub created_by: PrincipalName,
}

/// Something wrapped for hand-over: whoever has the wrapping token opens it, once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wrapped {
    /// Keyed hash of the wrapping token's text.
    pub hash: TokenHash,
    /// Public id.
    pub accessor: Accessor,
    /// The contents, sealed; empty in a journal leaf, and once they were handed over.
    pub payload: Bytes,
    /// BLAKE3 of the sealed contents.
    pub digest: [u8; 32],
    /// What is in it: `token of ana`, `secret id of machine ci`. Whoever unwraps compares it with what he expects.
    pub about: String,
    /// When it was handed over.
    pub unwrapped: Option<Stamp>,
    /// When it ends.
    pub expires: Stamp,
    /// When it was made.
    pub created: Stamp,
    /// Who made it.
    pub created_by: PrincipalName,
}

/// Which version of which secret a wrapping holds: it opens only while that can be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrappedOf {
    /// Keyed hash of the wrapping token's text.
    pub hash: TokenHash,
    /// Where the secret stands.
    pub environment: EnvironmentName,
    /// Which secret, wherever it was moved to since.
    pub secret: crate::ids::SecretId,
    /// Which version of it.
    pub version: u64,
}

/// Which client certificates log in, and what that gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertRole {
    /// The name; `cert/<name>/…` are the principals of its tokens.
    pub name: IdentityName,
    /// A certificate fits when one of its subject alternative names fits one of these.
    pub names: Vec<NameGlob>,
    /// A certificate fits when its common name is one of these.
    pub common_names: Vec<String>,
    /// What a login gives.
    pub grants: Grants,
    /// When it last changed.
    pub updated: Stamp,
}

/// Whose signed tokens (JWT) log in, and what that gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issuer {
    /// The name; `jwt/<name>/…` are the principals of its tokens.
    pub name: IdentityName,
    /// What `iss` must be.
    pub url: String,
    /// What `aud` must hold.
    pub audience: String,
    /// Where the keys are.
    pub keys: IssuerKeys,
    /// Claims that must have exactly these values.
    pub bound_claims: BTreeMap<String, String>,
    /// What a login gives.
    pub grants: Grants,
    /// The record that changed it last: what a door verified counts only while this stands still.
    pub version: u64,
    /// When it last changed.
    pub updated: Stamp,
}

/// Where the keys of an issuer are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum IssuerKeys {
    /// A JSON Web Key Set.
    Inline(String),
    /// An address of one, which each node fetches for itself.
    Url(String),
}

/// The principal of a user's tokens.
///
/// # Panics
/// Never: every name of an identity is one of a principal.
#[must_use]
pub fn user_principal(name: &IdentityName) -> PrincipalName {
    PrincipalName::parse(name.as_str()).expect("names of identities are shorter and of fewer characters than principals")
}

/// The principal of a machine's tokens.
///
/// # Panics
/// Never: names of identities are short enough for what stands before them.
#[must_use]
pub fn machine_principal(name: &IdentityName) -> PrincipalName {
    PrincipalName::parse(&format!("machine/{name}")).expect("names of identities leave room for what stands before them")
}

/// The principal of who logs in by a certificate that shows `shown`.
///
/// # Errors
/// Never in practice: whatever is shown is cut and spelt so that it fits.
pub fn certificate_principal(role: &IdentityName, shown: &str) -> Result<PrincipalName, BadName> {
    PrincipalName::parse(&spelt(&format!("cert/{role}/"), shown))
}

/// The principal of who logs in by a token of `issuer` for `subject`.
///
/// # Errors
/// Never in practice: whatever is shown is cut and spelt so that it fits.
pub fn jwt_principal(issuer: &IdentityName, subject: &str) -> Result<PrincipalName, BadName> {
    PrincipalName::parse(&spelt(&format!("jwt/{issuer}/"), subject))
}

/// All who log in by a certificate role.
pub(super) fn certificate_principals(role: &IdentityName) -> Option<PrincipalName> {
    PrincipalName::parse(&format!("cert/{role}/")).ok()
}

/// All who log in by tokens of an issuer.
pub(super) fn jwt_principals(issuer: &IdentityName) -> Option<PrincipalName> {
    PrincipalName::parse(&format!("jwt/{issuer}/")).ok()
}

/// `name` behind `prefix`, as a principal may be spelt. Where that loses anything, a hash of the whole name keeps two from becoming one.
fn spelt(prefix: &str, name: &str) -> String {
    let legal = |letter: char| letter.is_ascii_alphanumeric() || "-_.@:/".contains(letter);
    let room = limits::NAME_BYTES_MAX - prefix.len();
    if name.chars().all(legal) && name.len() <= room && !name.is_empty() {
        return format!("{prefix}{name}");
    }
    let hash = blake3::hash(name.as_bytes()).to_hex();
    let kept: String =
        name.chars().map(|letter| if legal(letter) { letter } else { '-' }).take(room.saturating_sub(13)).collect();
    format!("{prefix}{kept}-{}", &hash[..12])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_names_never_become_one_principal() {
        let role = IdentityName::parse(&"r".repeat(limits::IDENTITY_NAME_BYTES_MAX)).unwrap();
        let long = |end: &str| certificate_principal(&role, &format!("{}{end}", "x".repeat(300))).unwrap();
        assert_ne!(long("a"), long("b"));
        assert_ne!(jwt_principal(&role, "a b").unwrap(), jwt_principal(&role, "a-b").unwrap());
        let github = IdentityName::parse("github").unwrap();
        assert_eq!(jwt_principal(&github, "repo:org/app:ref:main").unwrap().as_str(), "jwt/github/repo:org/app:ref:main");
        assert!(jwt_principal(&github, "").is_ok() && jwt_principal(&github, "ümlaut").is_ok());
    }
}

//! Issuers of signed tokens (JWT): the door checks signature and claims, the state says what a token that fits gives.

use super::decide::done;
use super::login::{Failed, NotYet, Passed};
use super::{FailedBy, IdentityEvent, Issuer, IssuerKeys, jwt_principal};
use crate::decide::{Context, Decided, Desk};
use crate::ids::{IdentityName, Stamp, TokenHash};
use crate::limits;
use crate::policy::Capability;
use crate::rejection::Rejection;
use crate::state::State;
use crate::token::{Login, is_within};
use serde::{Deserialize, Serialize};

/// What the door verified: signature, times, issuer, audience and bound claims, all against one version of the issuer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JwtLogin {
    /// Whose token.
    pub issuer: IdentityName,
    /// The version of the issuer that it was verified against.
    pub version: u64,
    /// Its `sub`.
    pub subject: String,
    /// Its `jti`, or empty.
    pub id: String,
    /// Its `exp`.
    pub expires: Stamp,
    /// Keyed hash of the token's text that the door drew.
    pub token: TokenHash,
}

/// The issuer, as the door knew it.
fn standing<'a>(state: &'a State, name: &IdentityName, version: u64) -> Result<&'a Issuer, NotYet> {
    let issuer = state.identity.issuer(name);
    let issuer = issuer.ok_or(NotYet::Failed(Failed { user: None, cause: FailedBy::Unknown }))?;
    if issuer.version == version {
        return Ok(issuer);
    }
    Err(NotYet::Moved(Rejection::Conflict {
        path: format!("issuer {}", issuer.name),
        found: format!("v{}", issuer.version),
        expected: format!("v{version}"),
    }))
}

/// What the door found wrong is wrong, if it looked at the issuer as it stands.
pub(super) fn refuse(state: &State, name: &IdentityName, version: u64, cause: FailedBy) -> NotYet {
    standing(state, name, version).err().unwrap_or(NotYet::Failed(Failed { user: None, cause }))
}

pub(super) fn judge(state: &State, context: &Context, login: &JwtLogin) -> Result<Passed, NotYet> {
    let failed = |cause| NotYet::Failed(Failed { user: None, cause });
    let issuer = standing(state, &login.issuer, login.version)?;
    if login.expires <= context.stamp {
        return Err(failed(FailedBy::Secret));
    }
    if !is_within(&issuer.grants.networks, context.address) {
        return Err(failed(FailedBy::Address));
    }
    let principal = jwt_principal(&issuer.name, &login.subject).map_err(|_| failed(FailedBy::Unknown))?;
    let mut token = issuer.grants.token(login.token, principal, Login::Jwt, false, context);
    // Nothing that was given for a signed token outlives it but by being given for a longer time on purpose: no renewal beyond.
    token.terms.expires_latest = token.expires;
    token.terms.renewal_ms = 0;
    let cut = |text: &str| limits::cut(text.to_owned(), limits::CERTIFICATE_NAME_BYTES_MAX);
    let event = IdentityEvent::JwtLoggedIn { issuer: issuer.name.clone(), subject: cut(&login.subject), id: cut(&login.id) };
    Ok((event, token))
}

impl Desk<'_> {
    pub(super) fn put_issuer(&self, issuer: Issuer) -> Decided {
        self.permit_system(Capability::Identities, issuer.name.as_str())?;
        self.check_giving(&issuer.grants)?;
        let long = |text: &str| text.is_empty() || text.len() > limits::TEXT_BYTES_MAX;
        if long(&issuer.url) || long(&issuer.audience) {
            return Err(Rejection::invalid(format!(
                "an issuer has an address and an audience of 1 to {} bytes each",
                limits::TEXT_BYTES_MAX
            )));
        }
        let (keys, most) = match &issuer.keys {
            IssuerKeys::Inline(keys) => (keys, limits::KEY_SET_BYTES_MAX),
            IssuerKeys::Url(url) => (url, limits::TEXT_BYTES_MAX),
        };
        if keys.is_empty() || keys.len() > most {
            return Err(Rejection::invalid(format!("a key set, or its address, has 1 to {most} bytes")));
        }
        let claims = &issuer.bound_claims;
        if claims.len() > limits::BOUND_CLAIMS_MAX || claims.iter().any(|(name, value)| long(name) || long(value)) {
            return Err(Rejection::invalid(format!("an issuer binds at most {} claims", limits::BOUND_CLAIMS_MAX)));
        }
        let old = self.state.identity.issuer(&issuer.name);
        if old.is_none() {
            self.check_room("issuer", self.state.identity.counts()[6], None)?;
        }
        let version = self.seq(0).0;
        done(IdentityEvent::IssuerPut { issuer: Box::new(Issuer { version, updated: self.context.stamp, ..issuer }) })
    }

    pub(super) fn delete_issuer(&self, name: IdentityName) -> Decided {
        self.permit_system(Capability::Identities, name.as_str())?;
        self.state.identity.issuer(&name).ok_or_else(|| Rejection::not_found("issuer", &name))?;
        done(IdentityEvent::IssuerDeleted { name })
    }
}

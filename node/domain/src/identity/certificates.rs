//! TLS client certificates: which of them log in, by the names that they show.

use super::decide::done;
use super::login::{Failed, Passed};
use super::{CertRole, FailedBy, Grants, IdentityEvent, certificate_principal};
use crate::decide::{Context, Decided, Desk};
use crate::ids::{IdentityName, Stamp, TokenHash};
use crate::limits;
use crate::policy::Capability;
use crate::rejection::Rejection;
use crate::state::State;
use crate::token::{Login, is_within};
use serde::{Deserialize, Serialize};

/// `ci.example.org`, or `*.example.org`: `*` stands for one label or part of it, once or more, never for a dot. One with a colon is for
/// URIs, one with an `@` for mail addresses, any other for DNS names: none fits a name of another kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameGlob(String);

impl NameGlob {
    /// Parses a glob.
    ///
    /// # Errors
    /// When it is empty, too long, has signs that no name has, or fits every name.
    pub fn parse(text: &str) -> Result<NameGlob, Rejection> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.@:/*".contains(&byte);
        let fits = (1..=limits::CERTIFICATE_NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(legal);
        if !fits || text.bytes().all(|byte| b"*.".contains(&byte)) {
            return Err(Rejection::invalid("a name to match has 1 to 255 letters, digits and -_.@:/*, and not only * and dots"));
        }
        Ok(NameGlob(text.to_ascii_lowercase()))
    }

    /// Whether `name` fits, whatever its case.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        if kind(&self.0) != kind(name) {
            return false;
        }
        let name = name.to_ascii_lowercase();
        let (mut glob, mut labels) = (self.0.split('.'), name.split('.'));
        loop {
            match (glob.next(), labels.next()) {
                (None, None) => return true,
                (Some(pattern), Some(label)) if fits_label(pattern, label) => {}
                _ => return false,
            }
        }
    }
}

/// Kinds of names that a certificate shows, told by the sign that only they have.
#[derive(PartialEq, Eq)]
enum Kind {
    Dns,
    Mail,
    Uri,
}

fn kind(name: &str) -> Kind {
    match (name.contains(':'), name.contains('@')) {
        (true, _) => Kind::Uri,
        (false, true) => Kind::Mail,
        (false, false) => Kind::Dns,
    }
}

/// The first and the last piece are fixed at their ends, those between stand anywhere in order.
fn fits_label(pattern: &str, label: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == label };
    let Some(mut left) = label.strip_prefix(first) else { return false };
    let mut pieces: Vec<&str> = rest.split('*').collect();
    let last = pieces.pop().unwrap_or("");
    for piece in pieces {
        let Some(at) = left.find(piece) else { return false };
        left = &left[at + piece.len()..];
    }
    // A star is never nothing in a label that is nothing else.
    left.ends_with(last) && !label.is_empty()
}

impl std::fmt::Display for NameGlob {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What the door read from a certificate that TLS has verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateLogin {
    /// The role asked for; where none is, the first by name that fits.
    pub role: Option<IdentityName>,
    /// Its subject alternative names.
    pub names: Vec<String>,
    /// Its common name, or empty.
    pub common_name: String,
    /// SHA-256 of it.
    pub fingerprint: [u8; 32],
    /// When it ends.
    pub not_after: Stamp,
    /// Keyed hash of the token's text that the door drew.
    pub token: TokenHash,
}

impl CertificateLogin {
    /// What it is called in the journal.
    #[must_use]
    pub fn shown(&self) -> &str {
        if self.common_name.is_empty() { self.names.first().map_or("", String::as_str) } else { &self.common_name }
    }

    /// The name by which it fits a role.
    fn fits(&self, role: &CertRole) -> Option<&str> {
        let by_name = self.names.iter().find(|name| role.names.iter().any(|glob| glob.matches(name)));
        let by_common_name = || role.common_names.contains(&self.common_name).then_some(&self.common_name);
        by_name.or_else(by_common_name).map(String::as_str)
    }
}

pub(super) fn judge(state: &State, context: &Context, login: &CertificateLogin) -> Result<Passed, Failed> {
    let failed = |cause| Failed { user: None, cause };
    let asked = |role: &&CertRole| login.role.as_ref().is_none_or(|name| *name == role.name);
    let fitting = state.identity.cert_roles().filter(asked).find_map(|role| Some((role, login.fits(role)?)));
    let (role, name) = fitting.ok_or(failed(FailedBy::Unknown))?;
    if login.not_after <= context.stamp {
        return Err(failed(FailedBy::Secret));
    }
    if !is_within(&role.grants.networks, context.address) {
        return Err(failed(FailedBy::Address));
    }
    let principal = certificate_principal(&role.name, name).map_err(|_| failed(FailedBy::Unknown))?;
    let mut token = role.grants.token(login.token, principal, Login::Certificate, false, context);
    // The token never outlives the certificate.
    token.expires = token.expires.map(|end| end.min(login.not_after));
    token.terms.expires_latest = token.terms.expires_latest.map(|end| end.min(login.not_after));
    let shown = limits::cut(name.to_owned(), limits::CERTIFICATE_NAME_BYTES_MAX);
    Ok((IdentityEvent::CertificateLoggedIn { role: role.name.clone(), fingerprint: login.fingerprint, shown }, token))
}

impl Desk<'_> {
    pub(super) fn put_cert_role(
        &self,
        name: IdentityName,
        names: Vec<NameGlob>,
        common_names: Vec<String>,
        grants: Grants,
    ) -> Decided {
        self.permit_system(Capability::Identities, name.as_str())?;
        self.check_giving(&grants)?;
        let count = names.len() + common_names.len();
        let too_long = |name: &String| name.is_empty() || name.len() > limits::CERTIFICATE_NAME_BYTES_MAX;
        if count == 0 || count > limits::CERTIFICATE_NAMES_MAX || common_names.iter().any(too_long) {
            return Err(Rejection::invalid(format!(
                "a certificate role matches 1 to {} names of at most {} bytes",
                limits::CERTIFICATE_NAMES_MAX,
                limits::CERTIFICATE_NAME_BYTES_MAX
            )));
        }
        if self.state.identity.cert_role(&name).is_none() {
            self.check_room("certificate role", self.state.identity.counts()[5], None)?;
        }
        let role = CertRole { name, names, common_names, grants, updated: self.context.stamp };
        done(IdentityEvent::CertRolePut { role: Box::new(role) })
    }

    pub(super) fn delete_cert_role(&self, name: IdentityName) -> Decided {
        self.permit_system(Capability::Identities, name.as_str())?;
        self.state.identity.cert_role(&name).ok_or_else(|| Rejection::not_found("certificate role", &name))?;
        done(IdentityEvent::CertRoleDeleted { name })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_a_label_and_never_for_a_dot() {
        let fits = |glob: &str, name: &str| NameGlob::parse(glob).unwrap().matches(name);
        assert!(fits("ci.example.org", "CI.example.org"));
        assert!(fits("*.example.org", "ci.example.org"));
        assert!(!fits("*.example.org", "example.org"));
        assert!(!fits("*.example.org", "a.b.example.org"));
        assert!(!fits("*.example.org", ".example.org"));
        assert!(fits("ci-*-x.org", "ci-7-x.org"));
        assert!(!fits("ci-*-x.org", "ci-x.org"));
        assert!(fits("a*b*c", "a1b2c"));
        assert!(!fits("a*b*c", "ac"));
        assert!(!fits("ci.example.org", "ci.example.org.evil.com"));
        assert!(!fits("*.example.org", "spiffe://evil/.example.org"), "a name of another kind");
        assert!(!fits("*.example.org", "ana@.example.org") && fits("*@example.org", "ana@example.org"));
        assert!(fits("spiffe://cluster/*", "spiffe://cluster/db") && !fits("spiffe://cluster/*", "cluster"));
        for bad in ["", "*", "*.*", "a b", "ä"] {
            assert!(NameGlob::parse(bad).is_err(), "{bad}");
        }
    }
}

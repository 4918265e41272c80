//! Signed tokens of other issuers: signature, times, issuer, audience, bound claims.

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation};
use node_domain::identity::{FailedBy, Issuer};
use node_domain::ids::Stamp;
use serde_json::{Map, Value};

/// Algorithms that count: each has a public key. `none` and those with a shared secret never do.
const ALGORITHMS: [Algorithm; 3] = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];
/// How far the clocks of issuer and node may be apart, in seconds.
const LEEWAY_SECONDS: u64 = 60;
/// Largest token that is looked at, in bytes.
const BYTES_MAX: usize = 16 << 10;

/// What a verified token says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Verified {
    pub(crate) subject: String,
    pub(crate) id: String,
    pub(crate) expires: Stamp,
}

/// Why a token does not count: for the journal, and in words for this node's log. Whoever shows it is told neither.
pub(crate) type Wrong = (FailedBy, String);

fn wrong<T>(cause: FailedBy, why: impl Into<String>) -> Result<T, Wrong> {
    Err((cause, why.into()))
}

/// The id of the key that a token says it was signed with.
///
/// # Errors
/// When it is no token, or its algorithm does not count.
pub(crate) fn key_id(jwt: &str) -> Result<Option<String>, Wrong> {
    if jwt.len() > BYTES_MAX {
        return wrong(FailedBy::Signature, format!("it has more than {BYTES_MAX} bytes"));
    }
    let header = header(jwt)?;
    if !ALGORITHMS.contains(&header.alg) {
        return wrong(FailedBy::Signature, "its algorithm is none of RS256, ES256, EdDSA");
    }
    Ok(header.kid)
}

/// Checks a token of `issuer` with its keys, at `now` by this node's clock.
pub(crate) fn verify(issuer: &Issuer, jwt: &str, keys: &JwkSet, now: Stamp) -> Result<Verified, Wrong> {
    let key_id = key_id(jwt)?;
    let key = key(keys, key_id.as_deref())?;
    let header = header(jwt)?;
    let decoding = DecodingKey::from_jwk(key).or_else(|_| wrong(FailedBy::Keys, "its key cannot be used"))?;
    let mut validation = Validation::new(header.alg);
    validation.set_audience(&[&issuer.audience]);
    validation.set_issuer(&[&issuer.url]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    // By this node's clock, below: not by the one that the library reads.
    (validation.validate_exp, validation.validate_nbf) = (false, false);
    let claims = jsonwebtoken::decode::<Map<String, Value>>(jwt, &decoding, &validation);
    let claims = claims.map_err(|error| {
        let by_claims = matches!(
            error.kind(),
            ErrorKind::InvalidIssuer
                | ErrorKind::InvalidAudience
                | ErrorKind::InvalidSubject
                | ErrorKind::MissingRequiredClaim(_)
        );
        let cause = if by_claims { FailedBy::Claims } else { FailedBy::Signature };
        (cause, format!("its signature or its claims are wrong: {error}"))
    });
    let claims = claims?.claims;
    let now = now.as_ms() / 1000;
    let expires = seconds(&claims, "exp").map_or_else(|| wrong(FailedBy::Claims, "it has no time at which it ends"), Ok)?;
    if now >= expires.saturating_add(LEEWAY_SECONDS) {
        return wrong(FailedBy::Time, "its time is up");
    }
    if seconds(&claims, "nbf").is_some_and(|from| from > now + LEEWAY_SECONDS) {
        return wrong(FailedBy::Time, "its time has not come");
    }
    for (name, wanted) in &issuer.bound_claims {
        let found = claim(&claims, name);
        if !found.is_some_and(|found| fits(found, wanted)) {
            return wrong(FailedBy::Claims, format!("its claim {name} is not the one that issuer {} is bound to", issuer.name));
        }
    }
    let text = |name: &str| claims.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let subject = text("sub");
    if subject.is_empty() {
        return wrong(FailedBy::Claims, "it names nobody");
    }
    let ends_ms = expires.saturating_add(LEEWAY_SECONDS).saturating_mul(1_000_000);
    Ok(Verified { subject, id: text("jti"), expires: Stamp(ends_ms) })
}

fn header(jwt: &str) -> Result<Header, Wrong> {
    jsonwebtoken::decode_header(jwt).or_else(|_| wrong(FailedBy::Signature, "it is no signed token"))
}

fn key<'a>(keys: &'a JwkSet, id: Option<&str>) -> Result<&'a Jwk, Wrong> {
    let found = match (id, keys.keys.as_slice()) {
        (Some(id), _) => keys.find(id),
        (None, [only]) => Some(only),
        (None, _) => None,
    };
    let for_signatures = |key: &&Jwk| key.common.public_key_use.as_ref().is_none_or(|used| *used == PublicKeyUse::Signature);
    found.filter(for_signatures).map_or_else(|| wrong(FailedBy::Keys, "the issuer has no such key"), Ok)
}

/// A time in seconds; fractions are dropped.
fn seconds(claims: &Map<String, Value>, name: &str) -> Option<u64> {
    let value = claims.get(name)?;
    let fraction = || value.as_f64().filter(|seconds| (0.0..1e15).contains(seconds)).map(|seconds| seconds as u64);
    value.as_u64().or_else(fraction)
}

/// A claim by its name, or by its place (RFC 6901) where the name starts with a slash: `/kubernetes.io/namespace`.
fn claim<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let Some(path) = name.strip_prefix('/') else { return claims.get(name) };
    let mut parts = path.split('/').map(|part| part.replace("~1", "/").replace("~0", "~"));
    let first = claims.get(&parts.next()?)?;
    parts.try_fold(first, |value, part| value.get(&part))
}

fn fits(found: &Value, wanted: &str) -> bool {
    match found {
        Value::String(text) => text == wanted,
        Value::Bool(_) | Value::Number(_) => serde_json::from_str::<Value>(wanted).is_ok_and(|wanted| wanted == *found),
        Value::Array(items) => items.iter().any(|item| item.as_str() == Some(wanted)),
        Value::Null | Value::Object(_) => false,
    }
}

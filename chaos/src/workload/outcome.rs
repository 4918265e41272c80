//! What an answer, or a failure, says about a secret.

use chaos_history::{Outcome, version_named};
use proto_client::{ClientError, v1};
use tonic::Code;

/// Stands between a value's name and what fills it up.
const FILLING: char = '|';

/// A value that can be told apart from every other, with so many bytes at least.
pub(crate) fn value(name: &str, bytes: usize) -> Vec<u8> {
    let mut text = format!("{name}{FILLING}");
    // The filling depends on the name, so that two values cannot be mixed without a trace.
    let seed = name.bytes().fold(7_u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte));
    let letters = (0..bytes.saturating_sub(text.len())).map(|at| char::from(b'a' + (seed.wrapping_add((at % 251) as u8)) % 26));
    text.extend(letters);
    text.into_bytes()
}

/// The name of a value, if it is as it was written.
pub(crate) fn name_of(found: Option<&v1::Value>) -> String {
    let Some(v1::value::Kind::Bytes(bytes)) = found.and_then(|found| found.kind.as_ref()) else {
        return "not bytes".to_owned();
    };
    let text = String::from_utf8_lossy(bytes);
    let name = text.split(FILLING).next().unwrap_or_default();
    if bytes.as_ref() == value(name, bytes.len()) { name.to_owned() } else { format!("damaged: {} bytes", bytes.len()) }
}

/// What a get was answered.
pub(crate) fn found(answer: &v1::GetResponse) -> Outcome {
    let version = answer.version.as_ref().map_or(0, |version| version.version);
    Outcome::Found { version, value: name_of(answer.value.as_ref()) }
}

/// What a failure means, in the history's words.
pub(crate) fn failed(error: &ClientError, key: &str) -> Outcome {
    if error.outcome_unknown { Outcome::Unknown } else { refused(error.code, &error.message, key) }
}

/// What a refusal says of where the secret stands. One that says nothing of it is a call that was not done.
pub(crate) fn refused(code: Code, message: &str, key: &str) -> Outcome {
    let says_so = matches!(code, Code::NotFound | Code::FailedPrecondition);
    let found = if says_so { version_named(message, key) } else { None };
    found.map_or(Outcome::NotDone, |found| Outcome::Refused { found: Some(found) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_keeps_its_name_and_damage_shows() {
        let bytes = value("c1-7", 300);
        assert_eq!(bytes.len(), 300);
        let found = |bytes: Vec<u8>| name_of(Some(&v1::Value { kind: Some(v1::value::Kind::Bytes(bytes.into())) }));
        assert_eq!(found(bytes.clone()), "c1-7");
        let mut bent = bytes;
        bent[200] ^= 1;
        assert_eq!(found(bent), "damaged: 300 bytes");
        assert_eq!(found(value("c1-7", 0)), "c1-7");
    }

    #[test]
    fn a_refusal_tells_where_the_secret_stands() {
        let at = |code, message: &str| refused(code, message, "a/k");
        let refused = |version| Outcome::Refused { found: Some(version) };
        assert_eq!(at(Code::NotFound, "secret a/k does not exist"), refused(0));
        assert_eq!(at(Code::FailedPrecondition, "a/k is at v12, not v2"), refused(12));
        assert_eq!(at(Code::FailedPrecondition, "a/k is at absent, not v2"), refused(0));
        assert_eq!(at(Code::FailedPrecondition, "a/k is at v3 (deleted), not live"), refused(3));
        assert_eq!(at(Code::FailedPrecondition, "a/k v3 is deleted: undelete it, or name another version"), refused(3));
    }

    #[test]
    fn a_refusal_for_another_reason_says_nothing_of_the_secret() {
        let at = |code, message: &str| refused(code, message, "a/k");
        assert_eq!(at(Code::FailedPrecondition, "development is sealed: unseal it"), Outcome::NotDone);
        assert_eq!(at(Code::NotFound, "v3 was destroyed meanwhile"), Outcome::NotDone);
        assert_eq!(at(Code::FailedPrecondition, "a/k v3 is expired since 3 ms: put a new version"), Outcome::NotDone);
        assert_eq!(at(Code::PermissionDenied, "a/k is at v3, not v2"), Outcome::NotDone);
    }
}

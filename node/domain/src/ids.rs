//! Names and numbers, each its own type. Texts are parsed here and nowhere else.

use crate::limits;
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;
use std::sync::Arc;

/// Sixteen random bytes that name a cluster.
pub type ClusterId = [u8; 16];
/// Sixteen random bytes that name an environment for ever; keys and ciphertexts are bound to it.
pub type EnvironmentId = [u8; 16];
/// The caller's id of one request.
pub type RequestId = [u8; 16];
/// A keyed hash of a token's text: the text itself is never kept.
pub type TokenHash = [u8; 32];

/// Sequence number of a journal record; also the revision of the state after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Revision(pub u64);

/// The record number at which a secret was created: unique for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SecretId(pub u64);

/// The leader's clock in a record: microseconds since 1970, strictly increasing along the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Stamp(pub u64);

impl Stamp {
    /// The stamp `ms` milliseconds later.
    #[must_use]
    pub fn plus_ms(self, ms: u64) -> Stamp {
        Stamp(self.0.saturating_add(ms.saturating_mul(1000)))
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub fn as_ms(self) -> u64 {
        self.0 / 1000
    }
}

/// Why a text is not the name that it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{kind} {quoted}: {why}")]
pub struct BadName {
    /// What it should have been.
    pub kind: String,
    /// The text, cut and escaped.
    pub quoted: String,
    /// The rule it breaks.
    pub why: String,
}

fn bad(kind: &'static str, text: &str, why: &str) -> BadName {
    let mut end = text.len().min(limits::QUOTE_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    BadName { kind: kind.into(), quoted: format!("{:?}", &text[..end]), why: why.into() }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Parses the name: the only constructor.
            ///
            /// # Errors
            /// When the text breaks a rule; the error names it.
            pub fn parse(text: &str) -> Result<$name, BadName> {
                $check(text)?;
                Ok($name(Arc::from(text)))
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                $name::parse(&text).map_err(serde::de::Error::custom)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, formatter)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name!(
    /// A name of an environment: `production`.
    EnvironmentName,
    check_environment
);
name!(
    /// Where a secret stands in its environment: `db/primary/password`.
    SecretPath,
    check_path
);
name!(
    /// A name of a policy.
    PolicyName,
    check_policy
);
name!(
    /// A name of a role: policies under one name.
    RoleName,
    check_role
);
name!(
    /// A name of a place that alerts go to.
    SinkName,
    check_sink
);
name!(
    /// A name of a rule for values.
    RuleName,
    check_rule
);
name!(
    /// Who asks: a person, a service, a pipeline.
    PrincipalName,
    check_principal
);

name!(
    /// A name of a user, a machine, a certificate role or an issuer.
    IdentityName,
    check_identity
);

fn check_environment(text: &str) -> Result<(), BadName> {
    let fits = text.len() <= limits::NAME_BYTES_MAX
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if fits { Ok(()) } else { Err(bad("environment", text, "use 1 to 63 of a-z, 0-9 and -, starting with a letter")) }
}

fn check_name(kind: &'static str, text: &str) -> Result<(), BadName> {
    let fits = (1..=limits::NAME_BYTES_MAX).contains(&text.len())
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.@:/".contains(&byte));
    if fits { Ok(()) } else { Err(bad(kind, text, "use 1 to 63 letters, digits and -_.@:/, starting with a letter or digit")) }
}

fn check_policy(text: &str) -> Result<(), BadName> {
    check_name("policy", text)
}

fn check_role(text: &str) -> Result<(), BadName> {
    check_name("role", text)
}

fn check_sink(text: &str) -> Result<(), BadName> {
    check_name("sink", text)
}

fn check_rule(text: &str) -> Result<(), BadName> {
    check_name("rule", text)
}

fn check_principal(text: &str) -> Result<(), BadName> {
    check_name("principal", text)
}

/// Narrower than a principal's: `machine/ci` and `jwt/github/…` are principals that nobody can take by calling a user so.
fn check_identity(text: &str) -> Result<(), BadName> {
    let fits = (1..=limits::IDENTITY_NAME_BYTES_MAX).contains(&text.len())
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.@".contains(&byte));
    if fits { Ok(()) } else { Err(bad("name", text, "use 1 to 40 letters, digits and -_.@, starting with a letter or digit")) }
}

fn check_path(text: &str) -> Result<(), BadName> {
    if text.is_empty() || text.len() > limits::PATH_BYTES_MAX {
        return Err(bad("path", text, "use 1 to 512 bytes"));
    }
    let mut segments = 0;
    for segment in text.split('/') {
        segments += 1;
        check_segment(segment).map_err(|why| bad("path", text, why))?;
    }
    if segments > limits::PATH_SEGMENTS_MAX {
        return Err(bad("path", text, "use at most 32 segments"));
    }
    Ok(())
}

/// The rule for one segment of a path, shared with path patterns.
pub(crate) fn check_segment(segment: &str) -> Result<(), &'static str> {
    if segment.is_empty() {
        return Err("no segment may be empty (no leading, trailing or double /)");
    }
    if segment == "." || segment == ".." || segment == "+" {
        return Err("no segment may be . or .. or +");
    }
    if segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.@:=,+~".contains(&byte)) {
        Ok(())
    } else {
        Err("use letters, digits and -_.@:=,+~ in segments")
    }
}

impl SecretPath {
    /// Whether the path stands under `prefix`: an empty prefix, or a folder that ends in `/`, or the start of a name.
    #[must_use]
    pub fn is_under(&self, prefix: &str) -> bool {
        self.0.starts_with(prefix)
    }
}

/// Public id of a token, for lists and revocation; no token can be made from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Accessor(pub [u8; 12]);

impl Accessor {
    /// The accessor of the token with this hash.
    #[must_use]
    pub fn of(hash: &TokenHash) -> Accessor {
        let derived = blake3::derive_key("holdfast/v1/accessor", hash);
        let mut bytes = [0; 12];
        bytes.copy_from_slice(&derived[..12]);
        Accessor(bytes)
    }

    /// Parses the 24 hexadecimal digits that people see.
    ///
    /// # Errors
    /// When the text is anything else.
    pub fn parse(text: &str) -> Result<Accessor, BadName> {
        // It is not quoted: what stands where an accessor belongs is often the token itself.
        let wrong = || BadName {
            kind: "accessor".into(),
            quoted: format!("of {} bytes", text.len()),
            why: "use the 24 hexadecimal digits that `token list` shows, never the token itself".into(),
        };
        if text.len() != 24 || !text.is_ascii() {
            return Err(wrong());
        }
        let mut bytes = [0; 12];
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).map_err(|_| wrong())?;
        }
        Ok(Accessor(bytes))
    }
}

impl fmt::Display for Accessor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_segments_of_plain_characters() {
        for good in ["a", "db/password", "a.b/c-d/e_f", "v1:x@y", "APP=1", "a/b/c/d/e"] {
            assert!(SecretPath::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "/", "/a", "a/", "a//b", "a/../b", ".", "a/*", "a b", "a/+/b", "é", "a\n", "a\0"] {
            assert!(SecretPath::parse(bad).is_err(), "{bad:?}");
        }
        assert!(SecretPath::parse(&"x".repeat(512)).is_ok());
        assert!(SecretPath::parse(&"x".repeat(513)).is_err());
        assert!(SecretPath::parse(&vec!["x"; 33].join("/")).is_err());
    }

    #[test]
    fn an_error_about_a_name_quotes_a_bounded_piece_of_it() {
        let error = SecretPath::parse(&"é".repeat(1000)).unwrap_err();
        assert!(error.to_string().len() < 400, "{error}");
    }

    #[test]
    fn an_accessor_reads_back() {
        let accessor = Accessor::of(&[9; 32]);
        assert_eq!(Accessor::parse(&accessor.to_string()).unwrap(), accessor);
        let pasted = format!("hf_{}", "0123456789abcdef".repeat(4));
        assert!(!Accessor::parse(&pasted).unwrap_err().to_string().contains("0123"), "a token in its place is not quoted");
    }
}

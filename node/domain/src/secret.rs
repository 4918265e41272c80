//! A secret and its versions, as the state keeps them.

use crate::ids::{PrincipalName, Revision, SecretId, SecretPath, Stamp};
use crate::limits;
use crate::rejection::Rejection;
use crate::sealed::SealRef;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One secret: metadata and every version that is remembered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret {
    /// Record number of its creation.
    pub id: SecretId,
    /// Where it stands.
    pub path: SecretPath,
    /// What people wrote about it.
    pub about: About,
    /// When it was created.
    pub created: Stamp,
    /// When a version or the metadata last changed.
    pub updated: Stamp,
    /// Number of the newest version ever made.
    pub newest: u64,
    /// Invariant: ascending by number, none above `newest`, at most `limits::VERSIONS_MAX`.
    pub versions: Vec<Version>,
}

/// What is known of a secret besides its value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Free text.
    pub description: String,
    /// Who answers for it.
    pub owner: String,
    /// Decides the expiry of new versions.
    pub kind: SecretType,
    /// Words to find it by; sorted, no word twice.
    pub tags: Vec<String>,
    /// Named texts to find it by.
    pub custom: BTreeMap<String, String>,
    /// Versions kept; 0 for the default.
    pub max_versions: u32,
    /// Validity of new versions in milliseconds, instead of what the type says; 0 for ever.
    pub ttl_ms: Option<u64>,
}

/// One version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// From 1, dense.
    pub number: u64,
    /// Live, deleted or destroyed.
    pub state: VersionState,
    /// When it was made.
    pub created: Stamp,
    /// Who made it.
    pub created_by: PrincipalName,
    /// When it stops being valid.
    pub expires: Option<Stamp>,
    /// Which bytes it is.
    pub seal: SealRef,
    /// A keyed hash of the value that is the same in every environment, where one was taken.
    pub reuse: Option<[u8; 16]>,
    /// The record that made it.
    pub index: Revision,
}

/// Whether a version can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VersionState {
    /// It can.
    Live,
    /// Hidden; can be brought back.
    Deleted,
    /// Its bytes and key are gone.
    Destroyed,
}

impl VersionState {
    /// The word people read.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            VersionState::Live => "live",
            VersionState::Deleted => "deleted",
            VersionState::Destroyed => "destroyed",
        }
    }
}

/// The type of a secret decides how long a new version is valid (R2.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum SecretType {
    #[default]
    Generic,
    Password,
    ApiKey,
    Token,
    SshKey,
    Tls,
    Database,
}

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

impl SecretType {
    /// Every type, for help texts and tests.
    pub const ALL: [SecretType; 7] = [
        SecretType::Generic,
        SecretType::Password,
        SecretType::ApiKey,
        SecretType::Token,
        SecretType::SshKey,
        SecretType::Tls,
        SecretType::Database,
    ];

    /// The word people use.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            SecretType::Generic => "generic",
            SecretType::Password => "password",
            SecretType::ApiKey => "api-key",
            SecretType::Token => "token",
            SecretType::SshKey => "ssh-key",
            SecretType::Tls => "tls",
            SecretType::Database => "database",
        }
    }

    /// The type with this word.
    ///
    /// # Errors
    /// When there is none; the error lists them.
    pub fn parse(word: &str) -> Result<SecretType, Rejection> {
        SecretType::ALL.into_iter().find(|kind| kind.word() == word).ok_or_else(|| {
            let words: Vec<_> = SecretType::ALL.iter().map(|kind| kind.word()).collect();
            Rejection::invalid(format!("type must be one of {}", words.join(", ")))
        })
    }

    /// How long a new version is valid, in milliseconds; `None` for ever.
    #[must_use]
    pub fn validity_ms(self) -> Option<u64> {
        match self {
            SecretType::Generic => None,
            SecretType::Token => Some(30 * DAY_MS),
            SecretType::Password | SecretType::ApiKey | SecretType::Database => Some(90 * DAY_MS),
            SecretType::SshKey | SecretType::Tls => Some(365 * DAY_MS),
        }
    }
}

/// A change of metadata: what is `None` stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct AboutChange {
    pub description: Option<String>,
    pub owner: Option<String>,
    pub kind: Option<SecretType>,
    pub tags: Option<Vec<String>>,
    pub custom: Option<BTreeMap<String, String>>,
    pub max_versions: Option<u32>,
    pub ttl_ms: Option<u64>,
}

impl AboutChange {
    /// Says all of a new secret that is said of this one.
    #[must_use]
    pub fn all_of(about: &About) -> AboutChange {
        AboutChange {
            description: Some(about.description.clone()),
            owner: Some(about.owner.clone()),
            kind: Some(about.kind),
            tags: Some(about.tags.clone()),
            custom: Some(about.custom.clone()),
            max_versions: None,
            ttl_ms: about.ttl_ms,
        }
    }

    /// Whether nothing would change.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == AboutChange::default()
    }

    /// About how many bytes the change takes.
    #[must_use]
    pub fn size_hint(&self) -> usize {
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let tags = self.tags.iter().flatten().map(|tag| tag.len() + 4);
        let custom = self.custom.iter().flatten().map(|(key, value)| key.len() + value.len() + 8);
        64 + text(&self.description) + text(&self.owner) + tags.sum::<usize>() + custom.sum::<usize>()
    }

    /// Checks sizes and brings tags into their normal form.
    ///
    /// # Errors
    /// When a text is too long or there are too many; the error names which.
    pub fn normalized(mut self) -> Result<AboutChange, Rejection> {
        for (name, text) in [("description", &self.description), ("owner", &self.owner)] {
            if text.as_ref().is_some_and(|text| text.len() > limits::TEXT_BYTES_MAX) {
                return Err(Rejection::invalid(format!("{name} is longer than {} bytes", limits::TEXT_BYTES_MAX)));
            }
        }
        if let Some(tags) = &mut self.tags {
            tags.sort();
            tags.dedup();
            if tags.len() > limits::TAGS_MAX || tags.iter().any(|tag| tag.is_empty() || tag.len() > limits::TAG_BYTES_MAX) {
                return Err(Rejection::invalid(format!(
                    "at most {} tags of 1 to {} bytes",
                    limits::TAGS_MAX,
                    limits::TAG_BYTES_MAX
                )));
            }
        }
        if let Some(custom) = &self.custom {
            let fits = |(key, value): (&String, &String)| {
                !key.is_empty() && key.len() <= limits::TAG_BYTES_MAX && value.len() <= limits::CUSTOM_VALUE_BYTES_MAX
            };
            if custom.len() > limits::CUSTOM_ENTRIES_MAX || !custom.iter().all(fits) {
                return Err(Rejection::invalid(format!(
                    "at most {} custom entries, keys of 1 to {} bytes, values up to {}",
                    limits::CUSTOM_ENTRIES_MAX,
                    limits::TAG_BYTES_MAX,
                    limits::CUSTOM_VALUE_BYTES_MAX
                )));
            }
        }
        if self.max_versions.is_some_and(|max| max > limits::VERSIONS_MAX) {
            return Err(Rejection::invalid(format!("at most {} versions can be kept", limits::VERSIONS_MAX)));
        }
        Ok(self)
    }
}

impl About {
    /// Folds a change in.
    pub fn change(&mut self, change: &AboutChange) {
        fn set<T: Clone>(slot: &mut T, new: &Option<T>) {
            if let Some(new) = new {
                slot.clone_from(new);
            }
        }
        set(&mut self.description, &change.description);
        set(&mut self.owner, &change.owner);
        set(&mut self.kind, &change.kind);
        set(&mut self.tags, &change.tags);
        set(&mut self.custom, &change.custom);
        set(&mut self.max_versions, &change.max_versions);
        if change.ttl_ms.is_some() {
            self.ttl_ms = change.ttl_ms;
        }
    }

    /// How many versions are kept.
    #[must_use]
    pub fn versions_kept(&self) -> u64 {
        u64::from(if self.max_versions == 0 { limits::VERSIONS_DEFAULT } else { self.max_versions })
    }

    /// When a version made at `now` stops being valid.
    #[must_use]
    pub fn expiry(&self, now: Stamp) -> Option<Stamp> {
        match self.ttl_ms {
            Some(0) => None,
            Some(ms) => Some(now.plus_ms(ms)),
            None => self.kind.validity_ms().map(|ms| now.plus_ms(ms)),
        }
    }
}

impl Secret {
    /// The version with this number.
    #[must_use]
    pub fn version(&self, number: u64) -> Option<&Version> {
        let at = self.versions.binary_search_by_key(&number, |version| version.number).ok()?;
        self.versions.get(at)
    }

    /// The version with this number, to change.
    pub fn version_mut(&mut self, number: u64) -> Option<&mut Version> {
        let at = self.versions.binary_search_by_key(&number, |version| version.number).ok()?;
        self.versions.get_mut(at)
    }

    /// The version that a read without or with a number means, if it can be read.
    ///
    /// # Errors
    /// When there is no such version, or it is deleted or destroyed.
    pub fn readable(&self, number: Option<u64>) -> Result<&Version, Rejection> {
        let number = number.unwrap_or(self.newest);
        let found = self.version(number).ok_or_else(|| Rejection::not_found("version", format!("{} v{number}", self.path)))?;
        let hint = match found.state {
            VersionState::Live => return Ok(found),
            VersionState::Deleted => ": undelete it, or name another version",
            VersionState::Destroyed => ": its value is gone for good",
        };
        let state = found.state.word().into();
        Err(Rejection::NotReadable { path: self.path.to_string(), version: number, state, hint: hint.into() })
    }

    /// The newest version, if it can be read.
    #[must_use]
    pub fn live(&self) -> Option<&Version> {
        self.versions.last().filter(|version| version.state == VersionState::Live)
    }
}

//! What a rule can be about.

use crate::rejection::Rejection;
use serde::{Deserialize, Serialize};

/// What a rule can allow or deny.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs)]
#[repr(u32)]
pub enum Capability {
    Read = 1 << 0,
    Create = 1 << 1,
    Update = 1 << 2,
    List = 1 << 3,
    Metadata = 1 << 4,
    Delete = 1 << 5,
    Destroy = 1 << 6,
    Tokens = 1 << 7,
    Policies = 1 << 8,
    Environments = 1 << 9,
    Audit = 1 << 10,
    Cluster = 1 << 11,
    /// Take part in promotions between environments.
    Promote = 1 << 12,
    /// Approve what somebody else asked for.
    Approve = 1 << 13,
    /// Keys and seals: rotation, sealing an environment.
    Keys = 1 << 14,
    /// Users, machine roles, certificates, token issuers.
    Identities = 1 << 15,
    /// Alerts and where they go.
    Alerts = 1 << 16,
    /// Rules for values, limits, settings of environments.
    Governance = 1 << 17,
}

impl Capability {
    /// Every capability with its word.
    pub const ALL: [(Capability, &'static str); 18] = [
        (Capability::Read, "read"),
        (Capability::Create, "create"),
        (Capability::Update, "update"),
        (Capability::List, "list"),
        (Capability::Metadata, "metadata"),
        (Capability::Delete, "delete"),
        (Capability::Destroy, "destroy"),
        (Capability::Tokens, "tokens"),
        (Capability::Policies, "policies"),
        (Capability::Environments, "environments"),
        (Capability::Audit, "audit"),
        (Capability::Cluster, "cluster"),
        (Capability::Promote, "promote"),
        (Capability::Approve, "approve"),
        (Capability::Keys, "keys"),
        (Capability::Identities, "identities"),
        (Capability::Alerts, "alerts"),
        (Capability::Governance, "governance"),
    ];

    /// The capability that this word names.
    ///
    /// # Errors
    /// When there is none; the error lists those there are.
    pub fn parse(word: &str) -> Result<Capability, Rejection> {
        let found = Capability::ALL.iter().find(|(_, known)| *known == word);
        found.map(|(capability, _)| *capability).ok_or_else(|| {
            let known: Vec<_> = Capability::ALL.iter().map(|(_, word)| *word).collect();
            Rejection::invalid(format!("capabilities are {}", known.join(", ")))
        })
    }

    /// The capability as the only one of a list.
    pub(super) fn alone(self) -> &'static [Capability] {
        let at = Capability::LIST.iter().position(|known| *known == self);
        at.map_or(&[], |at| &Capability::LIST[at..=at])
    }

    const LIST: [Capability; 18] = {
        let mut list = [Capability::Read; 18];
        let mut at = 0;
        while at < list.len() {
            list[at] = Capability::ALL[at].0;
            at += 1;
        }
        list
    };

    /// The word people use.
    #[must_use]
    pub fn word(self) -> &'static str {
        Capability::ALL.iter().find(|(capability, _)| *capability == self).map_or("", |(_, word)| word)
    }
}

/// A set of capabilities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities(u32);

impl Capabilities {
    /// Every capability.
    pub const EVERY: Capabilities = Capabilities((1 << 18) - 1);

    /// The set of these words.
    ///
    /// # Errors
    /// When a word is unknown or there is none; the error lists them.
    pub fn parse<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Capabilities, Rejection> {
        let mut set = 0;
        for word in words {
            set |= Capability::parse(word)? as u32;
        }
        if set == 0 { Err(Rejection::invalid("a rule names at least one capability")) } else { Ok(Capabilities(set)) }
    }

    /// Whether `capability` is in the set.
    #[must_use]
    pub fn has(self, capability: Capability) -> bool {
        self.0 & capability as u32 != 0
    }

    /// Whether every capability of `other` is in the set.
    #[must_use]
    pub fn covers(self, other: Capabilities) -> bool {
        self.0 & other.0 == other.0
    }

    /// What is in either set.
    #[must_use]
    pub fn with(self, other: Capabilities) -> Capabilities {
        Capabilities(self.0 | other.0)
    }

    /// The words of the set, in their fixed order.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        Capability::ALL.into_iter().filter(move |(capability, _)| self.has(*capability)).map(|(_, word)| word)
    }
}

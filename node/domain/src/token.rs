//! Tokens: who is calling. Only a keyed hash of the text is kept.

use crate::decide::FOUNDER;
use crate::ids::{Accessor, EnvironmentName, PolicyName, PrincipalName, RoleName, Stamp, TokenHash};
use crate::policy::ROOT;
use crate::rejection::Rejection;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// A live token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Keyed hash of the text.
    pub hash: TokenHash,
    /// Public id.
    pub accessor: Accessor,
    /// Who stands in the journal.
    pub principal: PrincipalName,
    /// What it may, by name: a changed policy counts at once.
    pub policies: Vec<PolicyName>,
    /// What it may besides, by role: a changed role counts at once.
    pub roles: Vec<RoleName>,
    /// When it was made: the stamp of its record.
    pub created: Stamp,
    /// Who made it.
    pub created_by: PrincipalName,
    /// How its holder proved who it is.
    pub login: Login,
    /// Whether a second factor was shown.
    pub mfa: bool,
    /// When it ends, by the stamps of the log alone.
    pub expires: Option<Stamp>,
    /// Terms that most tokens do not have.
    pub terms: Terms,
}

/// How the holder of a token proved who it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Login {
    /// The token was made by the holder of another.
    #[default]
    Token,
    /// It came with the founding of the cluster.
    Founding,
    /// A user's password, and a second factor where `mfa` says so.
    Password,
    /// A machine's role and secret id.
    Machine,
    /// A TLS client certificate.
    Certificate,
    /// A signed token of another issuer.
    Jwt,
}

/// How long, how often, from where and for what a token counts, beyond its end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// How long one renewal lasts; 0 where it cannot be renewed.
    pub renewal_ms: u64,
    /// No renewal goes beyond this.
    pub expires_latest: Option<Stamp>,
    /// Requests left, where they are counted.
    pub uses_left: Option<u32>,
    /// Networks from where it counts; empty: any.
    pub networks: Vec<IpNet>,
    /// Environments in which it counts; empty: as its policies say.
    pub environments: Vec<EnvironmentName>,
    /// The token that made it, and that it ends with.
    pub parent: Option<Accessor>,
}

impl Login {
    /// The word people use.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Login::Token => "token",
            Login::Founding => "founding",
            Login::Password => "password",
            Login::Machine => "machine",
            Login::Certificate => "certificate",
            Login::Jwt => "jwt",
        }
    }

    /// Whether its holder came without another token.
    #[must_use]
    pub fn is_of_its_own(self) -> bool {
        !matches!(self, Login::Token | Login::Founding)
    }
}

impl Token {
    /// One that may everything, and that nobody's token made: it comes of the seal itself.
    ///
    /// # Errors
    /// Never: the names in it are names.
    pub(crate) fn of_root(hash: TokenHash, created: Stamp, expires: Option<Stamp>) -> Result<Token, Rejection> {
        Ok(Token {
            accessor: Accessor::of(&hash),
            hash,
            principal: PrincipalName::parse(ROOT)?,
            policies: vec![PolicyName::parse(ROOT)?],
            roles: Vec::new(),
            created,
            created_by: PrincipalName::parse(FOUNDER)?,
            login: Login::Founding,
            mfa: false,
            expires,
            terms: Terms::default(),
        })
    }

    /// Whether it counts when it is shown from `address`. One that is bound to networks counts from nowhere that is not known.
    #[must_use]
    pub fn counts_from(&self, address: Option<IpAddr>) -> bool {
        is_within(&self.terms.networks, address)
    }

    /// Whether it counts when it is shown from `address` at `now`.
    #[must_use]
    pub fn counts_at(&self, address: Option<IpAddr>, now: Stamp) -> bool {
        self.is_valid_at(now) && self.counts_from(address)
    }

    /// Whether it still counts at `now`.
    #[must_use]
    pub fn is_valid_at(&self, now: Stamp) -> bool {
        self.expires.is_none_or(|end| now < end)
    }
}

/// Whether `address` lies in one of `networks`; where none are named, every address does.
#[must_use]
pub fn is_within(networks: &[IpNet], address: Option<IpAddr>) -> bool {
    networks.is_empty() || address.is_some_and(|address| networks.iter().any(|network| network.contains(&address)))
}

//! Ways in for the fuzz targets (`chaos/fuzz`), and for nobody else: parsers that stand behind a login, a leader or a seal.

use crate::api::{policy_rules, value_rules};
use crate::authn::{certificate, jwt, key_sets};
use crate::engine::proposer::Outcome;
use crate::engine::rules;
use crate::engine::standing::Record;
use crate::managers::alerts::target::Target;
use crate::repair::address_book;
use node_domain::Rejection;
use node_domain::guard::ValueRule;
use node_domain::identity::{Grants, Issuer, IssuerKeys};
use node_domain::ids::{BadName, IdentityName, Stamp};
use node_domain::policy::Rule;
use proto::v1;
use proto_record::codec::{self, Kind};
use std::collections::BTreeMap;
use std::path::Path;
use storage::Disk;

/// The rules of a policy as they are asked for, and as they are shown again.
///
/// # Errors
/// As the service refuses them.
pub fn policy_rules(asked: &[v1::Rule]) -> Result<(Vec<Rule>, Vec<v1::Rule>), Rejection> {
    let rules = policy_rules::parse(asked)?;
    let shown = rules.iter().map(policy_rules::show_rule).collect();
    Ok((rules, shown))
}

/// A rule for values as it is asked for, and as it is shown again.
///
/// # Errors
/// As the service refuses it.
pub fn value_rule(asked: &v1::ValueRule) -> Result<(ValueRule, v1::ValueRule), Rejection> {
    let rule = value_rules::parse(asked)?;
    let shown = value_rules::show(&rule);
    Ok((rule, shown))
}

/// What of a rule a value breaks.
#[must_use]
pub fn broken_by(rule: ValueRule, plaintext: &[u8], structured: bool) -> Option<String> {
    rules::broken_by(rule, plaintext, structured)
}

/// Where alerts are sent, as it is asked for: what is told of it.
///
/// # Errors
/// As the service refuses it.
pub fn sink(asked: &v1::PutSinkRequest) -> Result<String, Rejection> {
    Target::parse(asked.to.as_ref()).map(|(_, _, place)| place)
}

/// Who a token of another issuer is about.
///
/// # Errors
/// Why it does not count.
pub fn signed_token(token: &str, keys: &[u8], claim: &str, wanted: &str, now: Stamp) -> Result<String, String> {
    let keys = key_sets::parse(keys)?;
    let issuer = Issuer {
        name: IdentityName::parse("fuzz").map_err(|bad: BadName| bad.to_string())?,
        url: "https://issuer.example.com".to_owned(),
        audience: "holdfast".to_owned(),
        keys: IssuerKeys::Inline(String::new()),
        bound_claims: BTreeMap::from([(claim.to_owned(), wanted.to_owned())]),
        grants: Grants {
            policies: Vec::new(),
            roles: Vec::new(),
            ttl_ms: 0,
            ttl_ms_max: 0,
            networks: Vec::new(),
            environments: Vec::new(),
        },
        version: 1,
        updated: Stamp(0),
    };
    jwt::verify(&issuer, token, &keys, now).map(|verified| verified.subject).map_err(|(_, why)| why)
}

/// Whether the keys of an issuer may be fetched from an address.
#[must_use]
pub fn is_address_of_keys(url: &str) -> bool {
    key_sets::check_address(url).is_ok()
}

/// The names in a client's certificate.
///
/// # Errors
/// When it does not read.
pub fn names_in_certificate(der: &[u8]) -> Result<Vec<String>, String> {
    certificate::login(der, None, [0; 32]).map(|login| login.names)
}

/// A record of a snapshot, decoded and encoded again; nothing where it is none.
#[must_use]
pub fn snapshot_record_again(bytes: &[u8]) -> Option<Vec<u8>> {
    codec::decode::<Record>(Kind::StatePiece, bytes).ok().map(|record| record.encode())
}

/// A leader's answer, decoded and encoded again; nothing where it is none.
#[must_use]
pub fn outcome_again(bytes: &[u8]) -> Option<Vec<u8>> {
    let outcome: Outcome = codec::decode(Kind::Outcome, bytes).ok()?;
    Some(codec::encode(Kind::Outcome, &outcome))
}

/// How many members the file beside the data names.
///
/// # Errors
/// When it does not read.
pub fn members_in_file(disk: &dyn Disk, data: &Path) -> std::io::Result<usize> {
    address_book::read(disk, data).map(|members| members.len())
}

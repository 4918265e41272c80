//! Between the contract and the domain: parsing what came in, showing what goes out. Every text is checked here.

use crate::api::door::Asked;
use bytes::Bytes;
use ipnet::IpNet;
use node_domain::Rejection;
use node_domain::command::{Expectation, Selection};
use node_domain::ids::{Accessor, EnvironmentName, PolicyName, RoleName, SecretPath, Stamp};
use node_domain::limits;
use node_domain::secret::{AboutChange, Secret, SecretType, Version, VersionState};
use node_domain::token::Token;
use prost::Message;
use proto::v1;
use std::collections::BTreeMap;
use std::net::IpAddr;
use storage_crypto::secret_bytes::SecretBytes;
use zeroize::Zeroizing;

macro_rules! asked {
    ($($message:ty: $subject:ident),* $(,)?) => {
        $(impl Asked for $message {
            fn environment(&self) -> &str { &self.environment }
            fn subject(&self) -> &str { &self.$subject }
        })*
    };
}

asked! {
    v1::PutRequest: path, v1::PatchRequest: path, v1::GetRequest: path, v1::SetMetadataRequest: path, v1::ListRequest: prefix,
    v1::SearchRequest: prefix, v1::HistoryRequest: path, v1::RollbackRequest: path, v1::VersionsRequest: path,
    v1::CopyRequest: from, v1::WatchRequest: prefix, v1::TestPolicyRequest: path,
}

macro_rules! asked_of_system {
    ($($message:ty $(: $subject:ident)?),* $(,)?) => {
        $(impl $crate::api::door::Asked for $message {
            $(fn subject(&self) -> &str { &self.$subject })?
        })*
    };
}
pub(crate) use asked_of_system;

asked_of_system! {
    v1::ListEnvironmentsRequest, v1::LookupSelfRequest, v1::ListTokensRequest, v1::ListPoliciesRequest, v1::StatusRequest,
    v1::HeadRequest, v1::TailRequest, v1::ExportRequest, v1::TriggerSnapshotRequest, v1::AddLearnerRequest, v1::MemberRequest, v1::ReplaceRequest,
    v1::CreateEnvironmentRequest: name, v1::SetEnvironmentRequest: name, v1::CreateTokenRequest: principal,
    v1::GetPolicyRequest: name, v1::DeletePolicyRequest: name, v1::QueryRequest: subject,
    v1::ListRolesRequest, v1::PutRoleRequest: name, v1::GetRoleRequest: name, v1::DeleteRoleRequest: name,
}

asked_of_system! {
    v1::KeyStatusRequest, v1::RotateRootRequest, v1::DropRootsRequest, v1::RekeyRequest, v1::ConfirmRekeyRequest, v1::SealFileRequest,
    v1::SealRequest, v1::RootTokenRequest,
}

// What does not parse as an accessor is not quoted: people paste the token itself.
macro_rules! asked_of_accessor {
    ($($message:ty),* $(,)?) => {
        $(impl Asked for $message {
            fn subject(&self) -> &str {
                if Accessor::parse(&self.accessor).is_ok() { &self.accessor } else { "" }
            }
        })*
    };
}

asked_of_accessor! { v1::RevokeTokenRequest, v1::RenewTokenRequest, v1::LookupTokenRequest }

impl Asked for v1::RotateKeyRequest {
    fn environment(&self) -> &str {
        &self.environment
    }
}

impl Asked for v1::SealEnvironmentRequest {
    fn environment(&self) -> &str {
        &self.environment
    }
}

impl Asked for v1::GetManyRequest {
    fn environment(&self) -> &str {
        &self.environment
    }

    fn subject(&self) -> &str {
        self.items.first().map_or("", |item| &item.path)
    }

    fn weight(&self) -> usize {
        self.items.len()
    }
}

impl Asked for v1::TransactRequest {
    fn environment(&self) -> &str {
        &self.environment
    }

    fn subject(&self) -> &str {
        self.items.first().map_or("", |item| &item.path)
    }

    fn weight(&self) -> usize {
        self.items.len()
    }
}

impl Asked for v1::PutPolicyRequest {
    fn subject(&self) -> &str {
        self.policy.as_ref().map_or("", |policy| &policy.name)
    }
}

impl Asked for v1::SimulatePolicyRequest {
    fn subject(&self) -> &str {
        self.policy.as_ref().map_or("", |policy| &policy.name)
    }
}

/// A plaintext ready to be sealed.
pub(crate) struct Plaintext {
    pub(crate) bytes: Zeroizing<Vec<u8>>,
    pub(crate) structured: bool,
}

/// The plaintext of a value.
pub(crate) fn plaintext(value: Option<&v1::Value>) -> Result<Plaintext, Rejection> {
    let kind = value.and_then(|value| value.kind.as_ref());
    let plaintext = match kind.ok_or_else(|| Rejection::invalid("a value is missing"))? {
        v1::value::Kind::Bytes(bytes) => Plaintext { bytes: Zeroizing::new(bytes.to_vec()), structured: false },
        v1::value::Kind::Fields(fields) => {
            check_fields(fields)?;
            Plaintext { bytes: Zeroizing::new(fields.encode_to_vec()), structured: true }
        }
    };
    if plaintext.bytes.len() > limits::VALUE_BYTES_MAX {
        let (found, most) = (plaintext.bytes.len(), limits::VALUE_BYTES_MAX);
        return Err(Rejection::Limit(format!("the value has {found} bytes, at most {most} are kept")));
    }
    Ok(plaintext)
}

pub(crate) fn check_fields(fields: &v1::Fields) -> Result<(), Rejection> {
    for (name, json) in &fields.json {
        if name.is_empty() || name.len() > limits::TAG_BYTES_MAX {
            return Err(Rejection::invalid(format!("a field's name has 1 to {} bytes", limits::TAG_BYTES_MAX)));
        }
        // The text of the field is secret: say which field, not what is in it.
        serde_json::from_str::<serde::de::IgnoredAny>(json).map_err(|error| {
            Rejection::invalid(format!("field {name:?} is not JSON (line {}, column {})", error.line(), error.column()))
        })?;
    }
    Ok(())
}

/// A plaintext as the contract shows it.
pub(crate) fn value(plaintext: &SecretBytes, structured: bool) -> Result<v1::Value, prost::DecodeError> {
    let kind = if structured {
        v1::value::Kind::Fields(v1::Fields::decode(plaintext.expose())?)
    } else {
        v1::value::Kind::Bytes(Bytes::copy_from_slice(plaintext.expose()))
    };
    Ok(v1::Value { kind: Some(kind) })
}

/// A version number where 0 means the newest.
pub(crate) fn version_number(number: u64) -> Option<u64> {
    (number > 0).then_some(number)
}

pub(crate) fn expectation(expect: Option<&v1::Expectation>) -> Result<Option<Expectation>, Rejection> {
    match expect.and_then(|expect| expect.kind.as_ref()) {
        None => Ok(None),
        Some(v1::expectation::Kind::Absent(true)) => Ok(Some(Expectation::Absent)),
        Some(v1::expectation::Kind::Absent(false)) => Err(Rejection::invalid("expect.absent is true or left out")),
        Some(v1::expectation::Kind::Version(version)) => Ok(Some(Expectation::Version(*version))),
    }
}

pub(crate) fn about_change(metadata: Option<&v1::Metadata>) -> Result<AboutChange, Rejection> {
    let Some(metadata) = metadata.cloned() else { return Ok(AboutChange::default()) };
    let change = AboutChange {
        description: metadata.description,
        owner: metadata.owner,
        kind: metadata.r#type.map(|word| SecretType::parse(&word)).transpose()?,
        tags: metadata.tags.map(|tags| tags.tags),
        custom: metadata.custom.map(|custom| custom.entries.into_iter().collect::<BTreeMap<_, _>>()),
        max_versions: metadata.max_versions,
        ttl_ms: metadata.ttl_ms,
    };
    change.normalized()
}

pub(crate) fn selection(request: &v1::VersionsRequest) -> Result<Selection, Rejection> {
    if request.versions.len() > limits::VERSIONS_MAX as usize {
        return Err(Rejection::invalid(format!("name at most {} versions", limits::VERSIONS_MAX)));
    }
    match (request.all, request.versions.as_slice()) {
        (true, []) => Ok(Selection::All),
        (true, _) => Err(Rejection::invalid("name versions, or all of them, not both")),
        (false, []) => Ok(Selection::Newest),
        (false, versions) => Ok(Selection::These(versions.to_vec())),
    }
}

/// What an empty text leaves out.
pub(crate) fn optional<T, E: Into<Rejection>>(
    text: &str,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Result<Option<T>, Rejection> {
    if text.is_empty() { Ok(None) } else { parse(text).map(Some).map_err(Into::into) }
}

pub(crate) fn path(text: &str) -> Result<SecretPath, Rejection> {
    Ok(SecretPath::parse(text)?)
}

/// Whether no more is given than can be taken: asked before anything is made of it.
pub(crate) fn check_count(what: &str, found: usize, most: usize) -> Result<(), Rejection> {
    if found <= most { Ok(()) } else { Err(Rejection::invalid(format!("{found} {what} are given, at most {most} are taken"))) }
}

pub(crate) fn policies(names: &[String]) -> Result<Vec<PolicyName>, Rejection> {
    check_count("policies", names.len(), limits::TOKEN_POLICIES_MAX)?;
    let mut policies = names.iter().map(|name| PolicyName::parse(name)).collect::<Result<Vec<_>, _>>()?;
    policies.sort();
    policies.dedup();
    Ok(policies)
}

pub(crate) fn roles(names: &[String]) -> Result<Vec<RoleName>, Rejection> {
    check_count("roles", names.len(), limits::TOKEN_ROLES_MAX)?;
    let mut roles = names.iter().map(|name| RoleName::parse(name)).collect::<Result<Vec<_>, _>>()?;
    roles.sort();
    roles.dedup();
    Ok(roles)
}

/// Networks such as `10.0.0.0/8`; an address by itself is a network of one.
pub(crate) fn networks(texts: &[String]) -> Result<Vec<IpNet>, Rejection> {
    let parse = |text: &String| {
        let found = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        let quoted: String = text.chars().take(limits::QUOTE_BYTES_MAX / 4).collect();
        let network = found.map_err(|_| {
            Rejection::invalid(format!("{quoted:?} is no network: use one such as 10.0.0.0/8 or fd00::/8, or one address"))
        })?;
        Ok(network.trunc())
    };
    check_count("networks", texts.len(), limits::NETWORKS_MAX)?;
    texts.iter().map(parse).collect()
}

pub(crate) fn environments(names: &[String]) -> Result<Vec<EnvironmentName>, Rejection> {
    check_count("environments", names.len(), limits::ENVIRONMENTS_MAX)?;
    let mut environments = names.iter().map(|name| EnvironmentName::parse(name)).collect::<Result<Vec<_>, _>>()?;
    environments.sort();
    environments.dedup();
    Ok(environments)
}

pub(crate) fn show_token(token: &Token) -> v1::Token {
    v1::Token {
        accessor: token.accessor.to_string(),
        principal: token.principal.to_string(),
        policies: token.policies.iter().map(ToString::to_string).collect(),
        created_at_ms: token.created.as_ms(),
        expires_at_ms: show_end(token.expires),
        created_by: token.created_by.to_string(),
        roles: token.roles.iter().map(ToString::to_string).collect(),
        login: token.login.word().to_owned(),
        mfa: token.mfa,
        renewal_ms: token.terms.renewal_ms,
        expires_latest_at_ms: show_end(token.terms.expires_latest),
        uses_left: token.terms.uses_left,
        networks: token.terms.networks.iter().map(ToString::to_string).collect(),
        environments: token.terms.environments.iter().map(ToString::to_string).collect(),
        parent: token.terms.parent.map_or_else(String::new, |parent| parent.to_string()),
    }
}

/// The end of a validity, 0 for never.
pub(crate) fn show_end(expires: Option<Stamp>) -> u64 {
    expires.map_or(0, Stamp::as_ms)
}

pub(crate) fn show_version(version: &Version) -> v1::Version {
    let state = match version.state {
        VersionState::Live => v1::VersionState::Live,
        VersionState::Deleted => v1::VersionState::Deleted,
        VersionState::Destroyed => v1::VersionState::Destroyed,
    };
    v1::Version {
        version: version.number,
        state: state.into(),
        created_at_ms: version.created.as_ms(),
        created_by: version.created_by.to_string(),
        expires_at_ms: show_end(version.expires),
        size_bytes: version.seal.size_bytes,
        structured: version.seal.structured,
        index: version.index.0,
    }
}

pub(crate) fn show_secret(secret: &Secret) -> v1::SecretSummary {
    let about = &secret.about;
    v1::SecretSummary {
        id: secret.id.0,
        path: secret.path.to_string(),
        newest_version: secret.newest,
        description: about.description.clone(),
        owner: about.owner.clone(),
        r#type: about.kind.word().to_owned(),
        tags: about.tags.clone(),
        custom: about.custom.clone().into_iter().collect(),
        max_versions: u32::try_from(about.versions_kept()).unwrap_or(u32::MAX),
        created_at_ms: secret.created.as_ms(),
        updated_at_ms: secret.updated.as_ms(),
        deleted: secret.live().is_none(),
        expires_at_ms: secret.versions.last().map_or(0, |version| show_end(version.expires)),
    }
}

//! What a login gives, as arguments and as an answer.

use clap::Args;
use proto_client::v1;
use serde_json::{Value, json};

use crate::output::time;

/// What the token of a login may, and how long it lasts.
#[derive(Args, Debug)]
pub(crate) struct Given {
    /// What a login may.
    #[arg(long = "policy", value_name = "POLICY", value_delimiter = ',')]
    policies: Vec<String>,
    /// What it may besides, by role.
    #[arg(long = "role", value_name = "ROLE", value_delimiter = ',')]
    roles: Vec<String>,
    /// How long a login lasts, and each renewal of it.
    #[arg(long, value_name = "DURATION", value_parser = time::parse_bound_ms, default_value = "8h")]
    ttl: u64,
    /// How long it lasts however often it is renewed; without it, it cannot be renewed.
    #[arg(long, value_name = "DURATION", value_parser = time::parse_bound_ms)]
    max_ttl: Option<u64>,
    /// Networks from where one may log in, and from where the token counts, such as 10.0.0.0/8; any when left out.
    #[arg(long = "bind-cidr", value_name = "NETWORK", value_delimiter = ',')]
    networks: Vec<String>,
    /// Environments in which the token counts; as its policies say when left out.
    #[arg(long = "bind-env", value_name = "NAME", value_delimiter = ',')]
    environments: Vec<String>,
}

impl From<Given> for v1::Grants {
    fn from(given: Given) -> v1::Grants {
        v1::Grants {
            policies: given.policies,
            roles: given.roles,
            ttl_ms: given.ttl,
            ttl_ms_max: given.max_ttl.unwrap_or(0),
            networks: given.networks,
            environments: given.environments,
        }
    }
}

/// Grants in a document.
pub(crate) fn document(grants: Option<&v1::Grants>) -> Value {
    let Some(grants) = grants else { return Value::Null };
    json!({
        "policies": grants.policies,
        "roles": grants.roles,
        "ttl_ms": grants.ttl_ms,
        "max_ttl_ms": grants.ttl_ms_max,
        "networks": grants.networks,
        "environments": grants.environments,
    })
}

/// Policies and roles in a cell of a table.
pub(crate) fn names(grants: Option<&v1::Grants>) -> String {
    let Some(grants) = grants else { return String::new() };
    let roles = grants.roles.iter().map(|role| format!("role:{role}"));
    grants.policies.iter().cloned().chain(roles).collect::<Vec<_>>().join(",")
}

/// Grants as facts below others.
pub(crate) fn facts(grants: Option<&v1::Grants>) -> Vec<(&'static str, String)> {
    let Some(grants) = grants else { return Vec::new() };
    let lasts = match grants.ttl_ms_max > grants.ttl_ms {
        true => format!("{} s, renewable up to {} s", grants.ttl_ms / 1000, grants.ttl_ms_max / 1000),
        false => format!("{} s", grants.ttl_ms / 1000),
    };
    vec![
        ("policies", grants.policies.join(", ")),
        ("roles", grants.roles.join(", ")),
        ("a login lasts", lasts),
        ("networks", grants.networks.join(", ")),
        ("environments", grants.environments.join(", ")),
    ]
}

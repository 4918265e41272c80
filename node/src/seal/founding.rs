//! What a new cluster is founded with, whoever makes its keys: a kit, or `operator init`.

use crate::engine::Sealing;
use node_domain::command::Founding;
use node_domain::ids::{BadName, EnvironmentName};
use node_domain::keys::{FoundingKeys, SealAbout};

/// Environments that every cluster has from its first day.
const FIRST_ENVIRONMENTS: [&str; 3] = ["development", "staging", "production"];

/// The members of the first day, in the data directory of every node of a kit without keys.
pub const PLAN_FILE: &str = "plan.json";

/// The first environments, the system's key and the first token.
pub(crate) fn founding(sealing: &Sealing, token: &str, seal: SealAbout) -> Result<Founding, BadName> {
    let mut environments = Vec::new();
    for name in FIRST_ENVIRONMENTS {
        let (id, wrapped_key) = sealing.new_environment();
        environments.push((EnvironmentName::parse(name)?, id, wrapped_key));
    }
    let keys = FoundingKeys { system_key: sealing.first_system_key(), seal };
    Ok(Founding { environments, root_token: sealing.token_hash(token), keys: Some(keys) })
}

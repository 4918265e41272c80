//! `holdfast role`.

use clap::Subcommand;
use proto_client::v1;
use serde_json::{Value, json};

use crate::{
    exit::{Doing, Failure},
    output::{table, time},
    settings::Session,
};

/// Roles.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Write a role, instead of the one there is. Every token that has it may from then on what its policies say.
    #[command(after_help = "Examples:
  holdfast role put on-call --policy operator,read-production
  holdfast role put on-call --policy operator --description 'whoever carries the pager'")]
    Put {
        /// Its name.
        name: String,
        /// What it gives; nothing when left out.
        #[arg(long = "policy", value_name = "POLICY", value_delimiter = ',')]
        policies: Vec<String>,
        /// What it is for.
        #[arg(long, default_value = "", hide_default_value = true)]
        description: String,
    },
    /// Show a role.
    #[command(after_help = "Examples:\n  holdfast role get on-call\n  holdfast role get on-call -o yaml")]
    Get {
        /// Its name.
        name: String,
    },
    /// List roles.
    #[command(after_help = "Examples:\n  holdfast role list")]
    List,
    /// Delete a role. Tokens that have it may less from then on.
    #[command(after_help = "Examples:\n  holdfast role delete on-call")]
    Delete {
        /// Its name.
        name: String,
    },
}

impl Command {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Command::Put { name, policies, description } => {
                put(session, v1::PutRoleRequest { name, description, policies }).await
            }
            Command::Get { name } => show(session, name).await,
            Command::List => list(session).await,
            Command::Delete { name } => delete(session, name).await,
        }
    }
}

async fn put(session: &Session, request: v1::PutRoleRequest) -> Result<(), Failure> {
    let name = request.name.clone();
    let role = session.client().await?.roles().put(request).await.doing(|| format!("write the role {name}"))?;
    session.out.done(&document(&role), &format!("role {name} is at v{}", role.version))
}

async fn show(session: &Session, name: String) -> Result<(), Failure> {
    let answer = session.client().await?.roles().get(v1::GetRoleRequest { name: name.clone() }).await;
    let role = answer.doing(|| format!("read the role {name}"))?;
    session.out.show(&document(&role), |out| {
        table::facts(
            out,
            [
                ("role", format!("{} v{}", role.name, role.version)),
                ("description", role.description.clone()),
                ("policies", role.policies.join(", ")),
                ("updated", time::local(role.updated_at_ms)),
            ],
        )
    })
}

async fn list(session: &Session) -> Result<(), Failure> {
    let answer = session.client().await?.roles().list(v1::ListRolesRequest {}).await;
    let roles = answer.doing(|| "list the roles".to_owned())?.roles;
    let documents: Vec<_> = roles.iter().map(document).collect();
    session.out.show(&json!({ "roles": documents }), |out| {
        let row = |role: &v1::Role| {
            let (version, policies) = (format!("v{}", role.version), role.policies.join(","));
            [role.name.clone(), version, policies, time::local(role.updated_at_ms), role.description.clone()]
        };
        table::rows(out, &["NAME", "VERSION", "POLICIES", "UPDATED", "DESCRIPTION"], roles.iter().map(row))
    })
}

async fn delete(session: &Session, name: String) -> Result<(), Failure> {
    let answer = session.client().await?.roles().delete(v1::DeleteRoleRequest { name: name.clone() }).await;
    let answer = answer.doing(|| format!("delete the role {name}"))?;
    let sentence = format!("deleted the role {name} (record {})", answer.index);
    session.out.done(&json!({ "name": name, "index": answer.index }), &sentence)
}

fn document(role: &v1::Role) -> Value {
    json!({
        "name": role.name,
        "description": role.description,
        "policies": role.policies,
        "version": role.version,
        "updated": time::utc(role.updated_at_ms),
    })
}

//! `holdfast env`.

use clap::Subcommand;
use proto_client::v1;
use serde_json::{Value, json};

use crate::{
    exit::{Doing, Failure},
    output::{table, time},
    settings::Session,
};

/// Environments.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// List the environments that the token may see.
    #[command(after_help = "Examples:\n  holdfast env list\n  holdfast env list -o json")]
    List,
    /// Create an environment with keys and a store of its own.
    #[command(after_help = "Examples:\n  holdfast env create production --description 'what customers use'")]
    Create {
        /// Lower-case letters, digits and dashes.
        name: String,
        /// What it is for.
        #[arg(long, default_value = "")]
        description: String,
    },
    /// Change settings of an environment.
    #[command(after_help = "Examples:\n  holdfast env set production --approvals 2")]
    Set {
        /// Its name.
        name: String,
        /// Approvals that a promotion into it needs.
        #[arg(long, required = true)]
        approvals: Option<u32>,
    },
    /// Seal an environment on all nodes: nobody reads or writes there, not even root, until it is unsealed.
    #[command(after_help = "Examples:\n  holdfast env seal production")]
    Seal {
        /// Which one.
        name: String,
    },
    /// Let an environment be read and written again.
    #[command(after_help = "Examples:\n  holdfast env unseal production")]
    Unseal {
        /// Which one.
        name: String,
    },
}

impl Command {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Command::List => list(session).await,
            Command::Create { name, description } => create(session, name, description).await,
            Command::Set { name, approvals } => set(session, name, approvals).await,
            Command::Seal { name } => {
                let request = v1::SealEnvironmentRequest { environment: name.clone() };
                let answer = session.client().await?.keys().seal_environment(request).await;
                let answer = answer.doing(|| format!("seal the environment {name}"))?;
                let document = json!({ "name": name, "sealed": true, "index": answer.index });
                session.out.done(&document, &format!("{name} is sealed on all nodes"))
            }
            Command::Unseal { name } => {
                let request = v1::SealEnvironmentRequest { environment: name.clone() };
                let answer = session.client().await?.keys().unseal_environment(request).await;
                let answer = answer.doing(|| format!("unseal the environment {name}"))?;
                let document = json!({ "name": name, "sealed": false, "index": answer.index });
                session.out.done(&document, &format!("{name} is open again"))
            }
        }
    }
}

async fn list(session: &Session) -> Result<(), Failure> {
    let answer = session.client().await?.environments().list(v1::ListEnvironmentsRequest {}).await;
    let answer = answer.doing(|| "list the environments".to_owned())?;
    let environments: Vec<_> = answer.environments.iter().map(document).collect();
    session.out.show(&json!({ "environments": environments, "index": answer.index }), |out| {
        let row = |found: &v1::Environment| {
            let created = time::local(found.created_at_ms);
            [found.name.clone(), found.secrets.to_string(), format!("v{}", found.key_version), created, found.description.clone()]
        };
        table::rows(out, &["NAME", "SECRETS", "KEY", "CREATED", "DESCRIPTION"], answer.environments.iter().map(row))
    })
}

async fn create(session: &Session, name: String, description: String) -> Result<(), Failure> {
    let request = v1::CreateEnvironmentRequest { name: name.clone(), description };
    let created = session.client().await?.environments().create(request).await;
    let created = created.doing(|| format!("create the environment {name}"))?;
    session.out.done(&document(&created), &format!("created {}", created.name))
}

async fn set(session: &Session, name: String, approvals: Option<u32>) -> Result<(), Failure> {
    let answer = session.client().await?.environments().set(v1::SetEnvironmentRequest { name: name.clone(), approvals }).await;
    let answer = answer.doing(|| format!("change the environment {name}"))?;
    let sentence = format!("promotions into {} need {} approvals", answer.name, answer.approvals);
    session.out.done(&document(&answer), &sentence)
}

fn document(environment: &v1::Environment) -> Value {
    json!({
        "name": environment.name,
        "description": environment.description,
        "created": time::utc(environment.created_at_ms),
        "secrets": environment.secrets,
        "key_version": environment.key_version,
        "approvals": environment.approvals,
    })
}

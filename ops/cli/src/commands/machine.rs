//! `holdfast machine`.

use std::path::PathBuf;

use clap::Subcommand;
use proto_client::v1;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{grants, token, unwrap};
use crate::{
    accessor,
    exit::{Doing, Failure},
    output::{Format, table, time},
    settings::Session,
};

/// Machines.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Make a machine: a program that logs in with a role id and a secret id.
    #[command(after_help = "Examples:
  holdfast machine create ci --policy deploy --ttl 20m --secret-id-ttl 30d --secret-id-uses 100
  holdfast machine create web --role reader --bind-cidr 10.0.0.0/8")]
    Create {
        /// Its name; machine/NAME stands in the journal.
        name: String,
        #[command(flatten)]
        grants: grants::Given,
        /// How long a secret id counts; until revoked when left out.
        #[arg(long, value_name = "DURATION", value_parser = time::parse_bound_ms)]
        secret_id_ttl: Option<u64>,
        /// How many logins a secret id is good for; any number when left out.
        #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
        secret_id_uses: Option<u32>,
    },
    /// List machines.
    #[command(after_help = "Examples:\n  holdfast machine list")]
    List,
    /// Set what a login gives, all of it, and end the machine's tokens; its secret ids count on.
    #[command(after_help = "Examples:\n  holdfast machine grant ci --policy deploy,read-config --ttl 20m")]
    Grant {
        /// Its name.
        name: String,
        #[command(flatten)]
        grants: grants::Given,
    },
    /// Delete a machine, its secret ids and its tokens.
    #[command(after_help = "Examples:\n  holdfast machine delete ci --yes")]
    Delete {
        /// Its name.
        name: String,
    },
    /// Make a secret id. Its text is shown once and kept nowhere.
    #[command(after_help = "Examples:
  holdfast machine secret-id ci --out ci.secret-id
  holdfast machine secret-id ci --uses 1 --for 1h
  holdfast machine secret-id ci --wrap-ttl 5m      for hand-over: `holdfast unwrap` opens it once")]
    SecretId {
        /// Of which machine.
        name: String,
        /// How long it counts, at most what the machine says.
        #[arg(long = "for", value_name = "DURATION", value_parser = time::parse_bound_ms)]
        duration: Option<u64>,
        /// How many logins it is good for, at most what the machine says.
        #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
        uses: Option<u32>,
        /// Show a wrapping token instead, which waits so long and opens once.
        #[arg(long, value_name = "DURATION", value_parser = time::parse_bound_ms, conflicts_with = "out")]
        wrap_ttl: Option<u64>,
        /// Write it to a new file that nobody else may read.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// List the secret ids of a machine by their accessors.
    #[command(after_help = "Examples:\n  holdfast machine secret-ids ci")]
    SecretIds {
        /// Of which machine.
        name: String,
    },
    /// End a secret id.
    #[command(after_help = "Examples:\n  holdfast machine revoke-secret-id ci 0198f2c1")]
    RevokeSecretId {
        /// Of which machine.
        name: String,
        /// As `machine secret-ids` shows it.
        accessor: String,
    },
}

impl Command {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Command::Create { name, grants, secret_id_ttl, secret_id_uses } => {
                let request = v1::CreateMachineRequest {
                    name: name.clone(),
                    grants: Some(grants.into()),
                    secret_id_ttl_ms: secret_id_ttl.unwrap_or(0),
                    secret_id_uses: secret_id_uses.unwrap_or(0),
                };
                let made = session.client().await?.machines().create(request).await.doing(|| format!("make machine {name}"))?;
                session.out.done(&document(&made), &format!("made machine {name}; its role id is {}", made.role_id))
            }
            Command::List => list(session).await,
            Command::Grant { name, grants } => {
                let request = v1::SetGrantsRequest { name: name.clone(), grants: Some(grants.into()) };
                let machines = session.client().await?;
                let machine = machines.machines().set_grants(request).await.doing(|| format!("set grants of {name}"))?;
                session.out.done(&document(&machine), &format!("machine {name} has other grants; its tokens have ended"))
            }
            Command::Delete { name } => {
                super::confirm(session, &format!("Machine {name}, its secret ids and its tokens go for good."))?;
                let request = v1::MachineRequest { name: name.clone() };
                let done = session.client().await?.machines().delete(request).await.doing(|| format!("delete machine {name}"))?;
                session.out.done(&json!({ "name": name, "index": done.index }), &format!("deleted machine {name}"))
            }
            Command::SecretId { name, duration, uses, wrap_ttl, out } => {
                let request = v1::IssueSecretIdRequest {
                    name,
                    ttl_ms: duration.unwrap_or(0),
                    uses: uses.unwrap_or(0),
                    wrap_ttl_ms: wrap_ttl.unwrap_or(0),
                };
                issue(session, request, out).await
            }
            Command::SecretIds { name } => secret_ids(session, name).await,
            Command::RevokeSecretId { name, accessor } => {
                accessor::checked(&accessor)?;
                let request = v1::RevokeSecretIdRequest { name: name.clone(), accessor: accessor.clone() };
                let done = session.client().await?.machines().revoke_secret_id(request).await;
                let index = done.doing(|| format!("revoke secret id {accessor}"))?.index;
                session
                    .out
                    .done(&json!({ "accessor": accessor, "index": index }), &format!("revoked secret id {accessor} of {name}"))
            }
        }
    }
}

async fn issue(session: &Session, request: v1::IssueSecretIdRequest, out: Option<PathBuf>) -> Result<(), Failure> {
    let name = request.name.clone();
    let client = session.client().await?;
    let made = client.machines().issue_secret_id(request).await.doing(|| format!("make a secret id of {name}"))?;
    if let Some(wrapped) = made.wrapped {
        return unwrap::hand_over(session, wrapped);
    }
    let text = Zeroizing::new(made.secret_id);
    let details = made.details.unwrap_or_default();
    if let Some(path) = out {
        token::write_new(&path, &text)?;
        let sentence = format!("the secret id of {name} is in {} (accessor {})", path.display(), details.accessor);
        return session.out.done(&secret_document(&details), &sentence);
    }
    if session.out.format() == Format::Raw {
        return session.out.text(&text);
    }
    let mut shown = secret_document(&details);
    shown["secret_id"] = json!(text.as_str());
    shown["role_id"] = json!(made.role_id);
    session.out.show(&shown, |out| {
        writeln!(out, "secret id  {}", text.as_str())?;
        let expires = time::local(details.expires_at_ms);
        table::facts(out, [("role id", made.role_id.clone()), ("accessor", details.accessor.clone()), ("expires", expires)])
    })?;
    session.out.note("the secret id is shown this once");
    Ok(())
}

async fn list(session: &Session) -> Result<(), Failure> {
    let answer = session.client().await?.machines().list(v1::ListMachinesRequest {}).await;
    let machines = answer.doing(|| "list the machines".to_owned())?.machines;
    let documents: Vec<_> = machines.iter().map(document).collect();
    session.out.show(&json!({ "machines": documents }), |out| {
        let row = |machine: &v1::Machine| {
            let created = time::local(machine.created_at_ms);
            [machine.name.clone(), machine.role_id.clone(), grants::names(machine.grants.as_ref()), created]
        };
        table::rows(out, &["MACHINE", "ROLE ID", "MAY", "CREATED"], machines.iter().map(row))
    })
}

async fn secret_ids(session: &Session, name: String) -> Result<(), Failure> {
    let answer = session.client().await?.machines().list_secret_ids(v1::MachineRequest { name: name.clone() }).await;
    let secrets = answer.doing(|| format!("list the secret ids of {name}"))?.secret_ids;
    let documents: Vec<_> = secrets.iter().map(secret_document).collect();
    session.out.show(&json!({ "secret_ids": documents }), |out| {
        let row = |secret: &v1::SecretId| {
            let uses = if secret.uses_left == 0 { "any".to_owned() } else { secret.uses_left.to_string() };
            let (created, expires) = (time::local(secret.created_at_ms), time::local(secret.expires_at_ms));
            [secret.accessor.clone(), uses, expires, created, secret.created_by.clone()]
        };
        table::rows(out, &["ACCESSOR", "USES LEFT", "EXPIRES", "CREATED", "BY"], secrets.iter().map(row))
    })
}

fn document(machine: &v1::Machine) -> Value {
    json!({
        "name": machine.name,
        "role_id": machine.role_id,
        "grants": grants::document(machine.grants.as_ref()),
        "secret_id_ttl_ms": machine.secret_id_ttl_ms,
        "secret_id_uses": machine.secret_id_uses,
        "created": time::utc(machine.created_at_ms),
        "created_by": machine.created_by,
    })
}

fn secret_document(secret: &v1::SecretId) -> Value {
    json!({
        "accessor": secret.accessor,
        "uses_left": secret.uses_left,
        "created": time::utc(secret.created_at_ms),
        "expires": time::utc(secret.expires_at_ms),
        "created_by": secret.created_by,
    })
}

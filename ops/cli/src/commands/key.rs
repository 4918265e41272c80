//! `holdfast key`.

use std::io::{self, Write};

use clap::Subcommand;
use proto_client::v1;
use serde_json::{Value, json};

use crate::{
    exit::{Doing, Failure},
    output::{table, time},
    settings::Session,
};

/// Keys.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Versions of all keys, how many values each wraps, and which environments are sealed.
    #[command(after_help = "Examples:\n  holdfast key status\n  holdfast key status -o json")]
    Status,
    /// Add a version of an environment's key; its values come under it in the background.
    #[command(after_help = "Examples:\n  holdfast key rotate production\n  holdfast key rotate --system")]
    Rotate {
        /// Which environment.
        #[arg(required_unless_present = "system")]
        environment: Option<String>,
        /// The key of what the system keeps for itself.
        #[arg(long, conflicts_with = "environment")]
        system: bool,
    },
}

impl Command {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Command::Status => status(session).await,
            Command::Rotate { environment, system } => rotate(session, environment.unwrap_or_default(), system).await,
        }
    }
}

async fn rotate(session: &Session, environment: String, system: bool) -> Result<(), Failure> {
    let what = if system { "the system".to_owned() } else { environment.clone() };
    let answer = session.client().await?.keys().rotate(v1::RotateKeyRequest { environment, system }).await;
    let answer = answer.doing(|| format!("rotate the key of {what}"))?;
    let document = json!({ "of": what, "version": answer.version, "index": answer.index });
    session.out.done(
        &document,
        &format!("the key of {what} is at v{}; `holdfast key status` shows how its values follow", answer.version),
    )
}

async fn status(session: &Session) -> Result<(), Failure> {
    let answer = session.client().await?.keys().status(v1::KeyStatusRequest {}).await;
    let status = answer.doing(|| "ask for the keys".to_owned())?;
    session.out.show(&document(&status), |out| people(out, &status))
}

fn people(out: &mut dyn Write, status: &v1::KeyStatusResponse) -> io::Result<()> {
    let system = status.system_versions.last().map_or("none".to_owned(), |newest| format!("v{newest}"));
    let seal = match status.seal_shares {
        0 => status.seal_kind.clone(),
        shares => format!("{}, {} of {shares} shares", status.seal_kind, status.seal_threshold),
    };
    table::facts(
        out,
        [
            ("root key", format!("v{}", status.root_version)),
            ("system key", system),
            ("seal", format!("{seal}, generation {}", status.seal_generation)),
        ],
    )?;
    writeln!(out)?;
    let rows = status.environments.iter().flat_map(|environment| {
        let newest = environment.versions.last().map_or(0, |version| version.version);
        environment.versions.iter().map(move |version| {
            let added = if version.added_at_ms == 0 { String::new() } else { time::local(version.added_at_ms) };
            let standing = match (environment.sealed, version.version == newest) {
                (true, _) => format!("sealed by {}", environment.sealed_by),
                (false, true) => "newest".to_owned(),
                (false, false) => "being left".to_owned(),
            };
            [environment.name.clone(), format!("v{}", version.version), version.values.to_string(), added, standing]
        })
    });
    table::rows(out, &["ENVIRONMENT", "KEY", "VALUES", "ADDED", "STANDING"], rows)
}

fn document(status: &v1::KeyStatusResponse) -> Value {
    let version = |version: &v1::KeyVersion| {
        let added = (version.added_at_ms > 0).then(|| time::utc(version.added_at_ms));
        json!({ "version": version.version, "values": version.values, "added": added })
    };
    let environment = |environment: &v1::EnvironmentKeys| {
        json!({
            "name": environment.name,
            "sealed": environment.sealed,
            "sealed_by": environment.sealed.then_some(&environment.sealed_by),
            "sealed_at": environment.sealed.then(|| time::utc(environment.sealed_at_ms)),
            "versions": environment.versions.iter().map(version).collect::<Vec<_>>(),
        })
    };
    json!({
        "root_version": status.root_version,
        "system_versions": status.system_versions,
        "seal": {
            "kind": status.seal_kind,
            "shares": status.seal_shares,
            "threshold": status.seal_threshold,
            "generation": status.seal_generation,
        },
        "environments": status.environments.iter().map(environment).collect::<Vec<_>>(),
        "index": status.index,
    })
}

//! `holdfast token`.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    path::{Path, PathBuf},
};

use clap::Subcommand;
use proto_client::v1;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::{
    exit::{Doing, Failure},
    output::{Format, table, time},
    settings::Session,
};

/// Tokens.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Make a token. Its text is shown once and kept nowhere.
    #[command(after_help = "Examples:
  holdfast token create ana --policy developer --ttl 8h
  holdfast token create ci/deploy --policy deploy,read-staging --ttl 1h --out ci.token
  holdfast token create ana --role on-call --ttl 8h
  TOKEN=$(holdfast token create ana --policy developer -o raw)")]
    Create {
        /// The name that will stand in the journal.
        principal: String,
        /// What it may.
        #[arg(long = "policy", value_name = "POLICY", value_delimiter = ',')]
        policies: Vec<String>,
        /// What it may besides: what these roles give, whatever that is when it is used.
        #[arg(long = "role", value_name = "ROLE", value_delimiter = ',')]
        roles: Vec<String>,
        /// How long it is valid, such as 8h; until revoked when left out.
        #[arg(long, value_name = "DURATION", value_parser = time::parse_duration_ms)]
        ttl: Option<u64>,
        /// Write the token to a new file that nobody else may read.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// List tokens by their accessors.
    #[command(after_help = "Examples:\n  holdfast token list")]
    List,
    /// End a token.
    #[command(after_help = "Examples:\n  holdfast token revoke 0198f2c1")]
    Revoke {
        /// As `token list` shows it.
        accessor: String,
    },
    /// What the token in use is and may.
    #[command(after_help = "Examples:\n  holdfast token lookup\n  holdfast token lookup -o json")]
    Lookup,
}

impl Command {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Command::Create { principal, policies, roles, ttl, out } => {
                let request = v1::CreateTokenRequest { principal, policies, ttl_ms: ttl.unwrap_or(0), roles };
                create(session, request, out.as_deref()).await
            }
            Command::List => list(session).await,
            Command::Revoke { accessor } => revoke(session, accessor).await,
            Command::Lookup => lookup(session).await,
        }
    }
}

async fn create(session: &Session, request: v1::CreateTokenRequest, file: Option<&Path>) -> Result<(), Failure> {
    let principal = request.principal.clone();
    // Opened first: a token that cannot be written down would be lost.
    let file = file.map(|path| new_private_file(path).map(|file| (file, path))).transpose()?;
    let answer = session.client().await?.tokens().create(request).await.doing(|| format!("make a token for {principal}"))?;
    let details = answer.details.unwrap_or_default();
    let text = Zeroizing::new(answer.token);
    if let Some((mut file, path)) = file {
        let written = writeln!(file, "{}", text.as_str());
        written.map_err(|error| Failure::io(format!("cannot write {}", path.display()), &error))?;
        let sentence = format!("the token of {principal} is in {} (accessor {})", path.display(), details.accessor);
        return session.out.done(&document(&details), &sentence);
    }
    if session.out.format() == Format::Raw {
        return session.out.text(&text);
    }
    let mut with_text = document(&details);
    with_text["token"] = json!(text.as_str());
    session.out.show(&with_text, |out| {
        writeln!(out, "token       {}", text.as_str())?;
        facts(out, &details)
    })?;
    session.out.note("the token is shown this once");
    Ok(())
}

fn new_private_file(path: &Path) -> Result<std::fs::File, Failure> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(|error| Failure::io(format!("cannot make {}", path.display()), &error))
}

async fn list(session: &Session) -> Result<(), Failure> {
    let answer = session.client().await?.tokens().list(v1::ListTokensRequest {}).await;
    let tokens = answer.doing(|| "list the tokens".to_owned())?.tokens;
    let documents: Vec<_> = tokens.iter().map(document).collect();
    session.out.show(&json!({ "tokens": documents }), |out| {
        let row = |token: &v1::Token| {
            let (created, expires) = (time::local(token.created_at_ms), time::local(token.expires_at_ms));
            [
                token.accessor.clone(),
                token.principal.clone(),
                token.policies.join(","),
                token.roles.join(","),
                created,
                expires,
                token.created_by.clone(),
            ]
        };
        table::rows(out, &["ACCESSOR", "PRINCIPAL", "POLICIES", "ROLES", "CREATED", "EXPIRES", "BY"], tokens.iter().map(row))
    })
}

async fn revoke(session: &Session, accessor: String) -> Result<(), Failure> {
    let request = v1::RevokeTokenRequest { accessor: accessor.clone() };
    let answer = session.client().await?.tokens().revoke(request).await.doing(|| format!("revoke {accessor}"))?;
    let sentence = format!("revoked {accessor} (record {})", answer.index);
    session.out.done(&json!({ "accessor": accessor, "index": answer.index }), &sentence)
}

async fn lookup(session: &Session) -> Result<(), Failure> {
    let token = session.client().await?.tokens().lookup_self(v1::LookupSelfRequest {}).await;
    let token = token.doing(|| "look the token up".to_owned())?;
    session.out.show(&document(&token), |out| facts(out, &token))
}

fn facts(out: &mut dyn Write, token: &v1::Token) -> io::Result<()> {
    table::facts(
        out,
        [
            ("accessor", token.accessor.clone()),
            ("principal", token.principal.clone()),
            ("policies", token.policies.join(", ")),
            ("roles", token.roles.join(", ")),
            ("created", format!("{} by {}", time::local(token.created_at_ms), token.created_by)),
            ("expires", time::local(token.expires_at_ms)),
        ],
    )
}

fn document(token: &v1::Token) -> Value {
    json!({
        "accessor": token.accessor,
        "principal": token.principal,
        "policies": token.policies,
        "roles": token.roles,
        "created": time::utc(token.created_at_ms),
        "expires": time::utc(token.expires_at_ms),
        "created_by": token.created_by,
    })
}

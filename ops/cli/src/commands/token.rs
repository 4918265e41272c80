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
    accessor,
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
        #[arg(long, value_name = "DURATION", value_parser = time::parse_bound_ms)]
        ttl: Option<u64>,
        /// How long one renewal lasts; it cannot be renewed when left out.
        #[arg(long, value_name = "DURATION", value_parser = time::parse_bound_ms)]
        renewable: Option<u64>,
        /// How long it lasts however often it is renewed; for ever when left out.
        #[arg(long, value_name = "DURATION", value_parser = time::parse_bound_ms)]
        max_ttl: Option<u64>,
        /// How many requests it is good for; any number when left out.
        #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
        uses: Option<u32>,
        /// Networks from where it counts, such as 10.0.0.0/8; any when left out.
        #[arg(long = "bind-cidr", value_name = "NETWORK", value_delimiter = ',')]
        networks: Vec<String>,
        /// Environments in which it counts; as its policies say when left out.
        #[arg(long = "bind-env", value_name = "NAME", value_delimiter = ',')]
        environments: Vec<String>,
        /// Let it outlive the token that makes it; for holders of the policy root.
        #[arg(long)]
        orphan: bool,
        /// Show a wrapping token instead, which waits so long and opens once.
        #[arg(long, value_name = "DURATION", value_parser = time::parse_bound_ms, conflicts_with = "out")]
        wrap_ttl: Option<u64>,
        /// Write the token to a new file that nobody else may read.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// List tokens by their accessors.
    #[command(after_help = "Examples:\n  holdfast token list")]
    List,
    /// End a token, and the tokens that it made.
    #[command(after_help = "Examples:\n  holdfast token revoke 0198f2c1\n  holdfast token revoke --self")]
    Revoke {
        /// As `token list` shows it.
        #[arg(required_unless_present = "own")]
        accessor: Option<String>,
        /// The token in use.
        #[arg(long = "self", conflicts_with = "accessor")]
        own: bool,
    },
    /// Make a token last longer, from now on.
    #[command(after_help = "Examples:\n  holdfast token renew\n  holdfast token renew 0198f2c1 --for 1h")]
    Renew {
        /// As `token list` shows it; the token in use when left out.
        accessor: Option<String>,
        /// For how long, at most as long as one renewal lasts.
        #[arg(long = "for", value_name = "DURATION", value_parser = time::parse_bound_ms)]
        increment: Option<u64>,
    },
    /// What a token is and may.
    #[command(after_help = "Examples:\n  holdfast token lookup\n  holdfast token lookup 0198f2c1 -o json")]
    Lookup {
        /// As `token list` shows it; the token in use when left out.
        accessor: Option<String>,
    },
}

impl Command {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Command::Create {
                principal,
                policies,
                roles,
                ttl,
                renewable,
                max_ttl,
                uses,
                networks,
                environments,
                orphan,
                wrap_ttl,
                out,
            } => {
                let request = v1::CreateTokenRequest {
                    principal,
                    policies,
                    ttl_ms: ttl.unwrap_or(0),
                    renewal_ms: renewable.unwrap_or(0),
                    ttl_ms_max: max_ttl.unwrap_or(0),
                    uses_max: uses.unwrap_or(0),
                    networks,
                    environments,
                    orphan,
                    wrap_ttl_ms: wrap_ttl.unwrap_or(0),
                    roles,
                };
                create(session, request, out.as_deref()).await
            }
            Command::Renew { accessor, increment } => renew(session, named(accessor)?, increment).await,
            Command::List => list(session).await,
            Command::Revoke { accessor, .. } => revoke(session, named(accessor)?).await,
            Command::Lookup { accessor } => lookup(session, named(accessor)?).await,
        }
    }
}

async fn create(session: &Session, request: v1::CreateTokenRequest, file: Option<&Path>) -> Result<(), Failure> {
    let principal = request.principal.clone();
    // Opened first: a token that cannot be written down would be lost.
    let file = file.map(|path| new_private_file(path).map(|file| (file, path))).transpose()?;
    let answer = session.client().await?.tokens().create(request).await.doing(|| format!("make a token for {principal}"))?;
    if let Some(wrapped) = answer.wrapped {
        return super::unwrap::hand_over(session, wrapped);
    }
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

/// Writes a secret to a new file that nobody else may read.
pub(crate) fn write_new(path: &Path, text: &str) -> Result<(), Failure> {
    let mut file = new_private_file(path)?;
    writeln!(file, "{text}").map_err(|error| Failure::io(format!("cannot write {}", path.display()), &error))
}

/// A new file that nobody else may read.
pub(crate) fn new_private_file(path: &Path) -> Result<std::fs::File, Failure> {
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

fn named(accessor: Option<String>) -> Result<Option<String>, Failure> {
    accessor.as_deref().map(accessor::checked).transpose()?;
    Ok(accessor)
}

async fn revoke(session: &Session, accessor: Option<String>) -> Result<(), Failure> {
    let request = v1::RevokeTokenRequest { accessor: accessor.clone().unwrap_or_default() };
    let accessor = accessor.unwrap_or_else(|| "the token in use".to_owned());
    let answer = session.client().await?.tokens().revoke(request).await.doing(|| format!("revoke {accessor}"))?;
    let sentence = format!("revoked {accessor} (record {})", answer.index);
    session.out.done(&json!({ "accessor": accessor, "index": answer.index }), &sentence)
}

async fn renew(session: &Session, accessor: Option<String>, increment: Option<u64>) -> Result<(), Failure> {
    let request = v1::RenewTokenRequest { accessor: accessor.unwrap_or_default(), increment_ms: increment.unwrap_or(0) };
    let token = session.client().await?.tokens().renew(request).await.doing(|| "renew the token".to_owned())?;
    let sentence = format!("the token of {} lasts until {}", token.principal, time::local(token.expires_at_ms));
    session.out.done(&document(&token), &sentence)
}

async fn lookup(session: &Session, accessor: Option<String>) -> Result<(), Failure> {
    let client = session.client().await?;
    let token = match accessor {
        Some(accessor) => client.tokens().lookup(v1::LookupTokenRequest { accessor }).await,
        None => client.tokens().lookup_self(v1::LookupSelfRequest {}).await,
    };
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
            ("came of", format!("{}{}", token.login, if token.mfa { ", with a second factor" } else { "" })),
            ("renewal", if token.renewal_ms == 0 { String::new() } else { format!("{} s at a time", token.renewal_ms / 1000) }),
            (
                "at the latest",
                if token.expires_latest_at_ms == 0 { String::new() } else { time::local(token.expires_latest_at_ms) },
            ),
            ("uses left", token.uses_left.map_or_else(String::new, |left| left.to_string())),
            ("networks", token.networks.join(", ")),
            ("environments", token.environments.join(", ")),
            ("ends with", token.parent.clone()),
        ],
    )
}

pub(crate) fn document(token: &v1::Token) -> Value {
    json!({
        "accessor": token.accessor,
        "principal": token.principal,
        "policies": token.policies,
        "roles": token.roles,
        "created": time::utc(token.created_at_ms),
        "expires": time::utc(token.expires_at_ms),
        "created_by": token.created_by,
        "login": token.login,
        "mfa": token.mfa,
        "renewal_ms": token.renewal_ms,
        "expires_latest": time::utc(token.expires_latest_at_ms),
        "uses_left": token.uses_left,
        "networks": token.networks,
        "environments": token.environments,
        "parent": token.parent,
    })
}

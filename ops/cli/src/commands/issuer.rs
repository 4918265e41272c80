//! `holdfast issuer`.

use clap::Subcommand;
use proto_client::v1::{self, issuer::Keys};
use serde_json::{Value, json};

use super::grants;
use crate::{
    exit::{Doing, Failure},
    input,
    output::table,
    settings::Session,
};

const PUT_EXAMPLES: &str = "\
Examples:
  holdfast issuer put github --url https://token.actions.githubusercontent.com --audience holdfast --jwks-url https://token.actions.githubusercontent.com/.well-known/jwks --bound-claim repository=org/app --policy deploy --ttl 20m
  holdfast issuer put k8s --url https://kubernetes.default.svc --audience holdfast --jwks-file keys.json --bound-claim /kubernetes.io/namespace=web --role reader

A claim below others is named by its place: /kubernetes.io/namespace.";

/// Issuers.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Say whose signed tokens (JWT) log in, and what that gives.
    #[command(after_help = PUT_EXAMPLES)]
    Put {
        /// Its name; jwt/NAME/… stands in the journal.
        name: String,
        /// What `iss` must be.
        #[arg(long, value_name = "URL")]
        url: String,
        /// What `aud` must hold.
        #[arg(long, value_name = "AUDIENCE")]
        audience: String,
        /// File with its JSON Web Key Set.
        #[arg(long, value_name = "FILE", required_unless_present = "jwks_url", conflicts_with = "jwks_url")]
        jwks_file: Option<String>,
        /// Address from where each node fetches its JSON Web Key Set.
        #[arg(long, value_name = "URL")]
        jwks_url: Option<String>,
        /// A claim that must have exactly this value.
        #[arg(long = "bound-claim", value_name = "NAME=VALUE", value_parser = claim)]
        bound_claims: Vec<(String, String)>,
        #[command(flatten)]
        grants: Box<grants::Given>,
    },
    /// List issuers.
    #[command(after_help = "Examples:\n  holdfast issuer list")]
    List,
    /// Delete an issuer, and end the tokens of its logins.
    #[command(after_help = "Examples:\n  holdfast issuer delete github")]
    Delete {
        /// Its name.
        name: String,
    },
}

fn claim(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('=').filter(|(name, value)| !name.is_empty() && !value.is_empty());
    let (name, value) = parts.ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

impl Command {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let client = session.client().await?;
        match self {
            Command::Put { name, url, audience, jwks_file, jwks_url, bound_claims, grants } => {
                let keys = match (jwks_file, jwks_url) {
                    (Some(file), _) => Some(Keys::Jwks(input::text(&file)?.to_string())),
                    (None, url) => url.map(Keys::JwksUrl),
                };
                let issuer = v1::Issuer {
                    name: name.clone(),
                    url,
                    audience,
                    keys,
                    bound_claims: bound_claims.into_iter().collect(),
                    grants: Some((*grants).into()),
                    updated_at_ms: 0,
                };
                let put = client.issuers().put(issuer).await.doing(|| format!("write issuer {name}"))?;
                session.out.done(&document(&put), &format!("wrote issuer {name}"))
            }
            Command::List => {
                let issuers = client.issuers().list(v1::ListIssuersRequest {}).await;
                let issuers = issuers.doing(|| "list the issuers".to_owned())?.issuers;
                let documents: Vec<_> = issuers.iter().map(document).collect();
                session.out.show(&json!({ "issuers": documents }), |out| {
                    let row = |issuer: &v1::Issuer| {
                        let names = grants::names(issuer.grants.as_ref());
                        [issuer.name.clone(), issuer.url.clone(), issuer.audience.clone(), names]
                    };
                    table::rows(out, &["ISSUER", "URL", "AUDIENCE", "MAY"], issuers.iter().map(row))
                })
            }
            Command::Delete { name } => {
                let request = v1::IssuerRequest { name: name.clone() };
                let done = client.issuers().delete(request).await.doing(|| format!("delete issuer {name}"))?;
                session.out.done(&json!({ "name": name, "index": done.index }), &format!("deleted issuer {name}"))
            }
        }
    }
}

fn document(issuer: &v1::Issuer) -> Value {
    let keys = match &issuer.keys {
        Some(Keys::JwksUrl(url)) => url.clone(),
        Some(Keys::Jwks(_)) => "inline".to_owned(),
        None => String::new(),
    };
    json!({
        "name": issuer.name,
        "url": issuer.url,
        "audience": issuer.audience,
        "keys": keys,
        "bound_claims": issuer.bound_claims,
        "grants": grants::document(issuer.grants.as_ref()),
    })
}

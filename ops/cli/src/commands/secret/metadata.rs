//! `holdfast secret metadata`, and the flags that `put` shares with it.

use std::io::{self, Write};

use clap::Args;
use proto_client::v1;
use serde_json::json;

use super::summary_document;
use crate::{
    exit::{Doing, Failure},
    output::{table, time},
    settings::Session,
};

/// What may be known of a secret besides its value. What is not given stays as it is.
#[derive(Args, Clone, Default)]
pub(crate) struct Changes {
    /// What it is for.
    #[arg(long, help_heading = "Metadata")]
    description: Option<String>,
    /// Whom to ask about it.
    #[arg(long, help_heading = "Metadata")]
    owner: Option<String>,
    /// generic, password, api-key, token, ssh-key, tls or database: it decides the expiry.
    #[arg(long = "type", value_name = "TYPE", help_heading = "Metadata")]
    kind: Option<String>,
    /// Tags, instead of those it has; an empty one takes them all away.
    #[arg(long = "tag", value_name = "TAG", value_delimiter = ',', help_heading = "Metadata")]
    tags: Vec<String>,
    /// Custom entries, instead of those it has. Not secret.
    #[arg(long = "custom", value_name = "NAME=TEXT", value_parser = pair, help_heading = "Metadata")]
    custom: Vec<(String, String)>,
    /// How many versions are kept; 0 for the default.
    #[arg(long, value_name = "COUNT", help_heading = "Metadata")]
    max_versions: Option<u32>,
    /// How long a new version stays valid, such as 30d; 0s for ever.
    #[arg(long, value_name = "DURATION", value_parser = time::parse_duration_ms, help_heading = "Metadata")]
    ttl: Option<u64>,
}

pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=TEXT")?;
    Ok((name.to_owned(), value.to_owned()))
}

impl Changes {
    /// Nothing when no flag was given.
    pub(super) fn message(&self) -> Option<v1::Metadata> {
        let tags = self.tags.iter().filter(|tag| !tag.is_empty()).cloned().collect();
        let message = v1::Metadata {
            description: self.description.clone(),
            owner: self.owner.clone(),
            r#type: self.kind.clone(),
            tags: (!self.tags.is_empty()).then_some(v1::Tags { tags }),
            custom: (!self.custom.is_empty()).then(|| v1::Custom { entries: self.custom.iter().cloned().collect() }),
            max_versions: self.max_versions,
            ttl_ms: self.ttl,
        };
        (message != v1::Metadata::default()).then_some(message)
    }
}

/// Shows metadata; with flags, changes it. Makes no new version.
#[derive(Args)]
#[command(after_help = "Examples:
  holdfast secret metadata db/password
  holdfast secret metadata db/password --owner team-a --tag billing,critical
  holdfast secret metadata db/password --custom ticket=OPS-7 --max-versions 20")]
pub(crate) struct Metadata {
    /// Where the secret is.
    path: String,
    #[command(flatten)]
    changes: Changes,
}

impl Metadata {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let environment = session.environment()?;
        let client = session.client().await?;
        let path = self.path;
        if let Some(metadata) = self.changes.message() {
            let request = v1::SetMetadataRequest { environment, path: path.clone(), metadata: Some(metadata) };
            let answer = client.secrets().set_metadata(request).await.doing(|| format!("change the metadata of {path}"))?;
            let document = json!({ "path": path, "index": answer.index });
            return session.out.done(&document, &format!("changed {path} (record {})", answer.index));
        }
        let request = v1::HistoryRequest { environment, path: path.clone() };
        let answer = client.secrets().history(request).await.doing(|| format!("read the metadata of {path}"))?;
        let secret = answer.secret.unwrap_or_default();
        session.out.show(&summary_document(&secret), |out| facts(out, &secret))
    }
}

pub(super) fn facts(out: &mut dyn Write, secret: &v1::SecretSummary) -> io::Result<()> {
    let mut custom: Vec<_> = secret.custom.iter().map(|(name, text)| format!("{name}={text}")).collect();
    custom.sort();
    let number = |number: u32| if number == 0 { "default".to_owned() } else { number.to_string() };
    table::facts(
        out,
        [
            ("path", secret.path.clone()),
            ("newest", format!("v{}", secret.newest_version)),
            ("description", secret.description.clone()),
            ("owner", secret.owner.clone()),
            ("type", secret.r#type.clone()),
            ("tags", secret.tags.join(", ")),
            ("custom", custom.join(", ")),
            ("versions kept", number(secret.max_versions)),
            ("created", time::local(secret.created_at_ms)),
            ("updated", time::local(secret.updated_at_ms)),
            ("expires", time::local(secret.expires_at_ms)),
            ("deleted", if secret.deleted { "yes".to_owned() } else { String::new() }),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_flag_changes_nothing_and_an_empty_tag_takes_all_away() {
        assert_eq!(Changes::default().message(), None);
        let cleared = Changes { tags: vec![String::new()], ..Changes::default() };
        assert_eq!(cleared.message().unwrap().tags, Some(v1::Tags::default()));
    }
}

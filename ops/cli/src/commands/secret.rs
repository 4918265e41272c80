//! `holdfast secret`.

mod browse;
mod change;
mod difference;
mod metadata;
mod put;
mod read;
mod versions;

pub(crate) use read::{partial, variable};

use clap::{Args, Subcommand};
use proto_client::v1;
use serde_json::{Value, json};

use crate::{exit::Failure, output::time, settings::Session};

/// Secrets.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Add a version, and the secret where there is none.
    Put(put::Put),
    /// Read one secret, or several.
    Get(read::Get),
    /// List secrets below a prefix.
    List(browse::List),
    /// Find secrets by tag, owner, type and custom metadata.
    Search(browse::Search),
    /// Show all versions of a secret, without values.
    History(browse::History),
    /// Compare two versions; values stay masked.
    Diff(difference::Diff),
    /// Show or change what is known of a secret besides its value.
    Metadata(metadata::Metadata),
    /// Make a new version with the value of an older one.
    Rollback(change::Rollback),
    /// Hide versions; `undelete` brings them back.
    Delete(versions::Delete),
    /// Bring hidden versions back.
    Undelete(versions::Undelete),
    /// Remove values and their keys for good; the record that they existed stays.
    Destroy(versions::Destroy),
    /// Copy the newest version to another path of the environment.
    Copy(change::Copy),
    /// Move a secret with all its versions to another path of the environment.
    Move(change::Move),
}

impl Command {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Command::Put(command) => command.run(session).await,
            Command::Get(command) => command.run(session).await,
            Command::List(command) => command.run(session).await,
            Command::Search(command) => command.run(session).await,
            Command::History(command) => command.run(session).await,
            Command::Diff(command) => command.run(session).await,
            Command::Metadata(command) => command.run(session).await,
            Command::Rollback(command) => command.run(session).await,
            Command::Delete(command) => command.run(session).await,
            Command::Undelete(command) => command.run(session).await,
            Command::Destroy(command) => command.run(session).await,
            Command::Copy(command) => command.run(session).await,
            Command::Move(command) => command.run(session).await,
        }
    }
}

/// When to write.
#[derive(Args, Clone, Copy, Default)]
pub(crate) struct Expect {
    /// Only when there is no secret at the path.
    #[arg(long, conflicts_with = "if_version")]
    if_absent: bool,
    /// Only when the newest version is this one.
    #[arg(long, value_name = "VERSION")]
    if_version: Option<u64>,
}

impl Expect {
    fn message(self) -> Option<v1::Expectation> {
        let version = self.if_version.map(v1::expectation::Kind::Version);
        let kind = if self.if_absent { Some(v1::expectation::Kind::Absent(true)) } else { version };
        kind.map(|kind| v1::Expectation { kind: Some(kind) })
    }
}

/// Says that a version was written.
fn wrote(session: &Session, path: &str, environment: &str, answer: &v1::PutResponse) -> Result<(), Failure> {
    let document = json!({
        "environment": environment,
        "path": path,
        "version": answer.version,
        "index": answer.index,
        "expires": time::utc(answer.expires_at_ms),
    });
    session.out.done(&document, &format!("{path} is at v{} in {environment} (record {})", answer.version, answer.index))
}

fn state(version: &v1::Version) -> &'static str {
    match version.state() {
        v1::VersionState::Live => "live",
        v1::VersionState::Deleted => "deleted",
        v1::VersionState::Destroyed => "destroyed",
        v1::VersionState::Unspecified => "unknown",
    }
}

fn version_document(version: &v1::Version) -> Value {
    json!({
        "version": version.version,
        "state": state(version),
        "created": time::utc(version.created_at_ms),
        "created_by": version.created_by,
        "expires": time::utc(version.expires_at_ms),
        "size_bytes": version.size_bytes,
        "structured": version.structured,
        "index": version.index,
    })
}

fn summary_document(secret: &v1::SecretSummary) -> Value {
    json!({
        "id": secret.id,
        "path": secret.path,
        "newest_version": secret.newest_version,
        "description": secret.description,
        "owner": secret.owner,
        "type": secret.r#type,
        "tags": secret.tags,
        "custom": secret.custom,
        "max_versions": secret.max_versions,
        "created": time::utc(secret.created_at_ms),
        "updated": time::utc(secret.updated_at_ms),
        "expires": time::utc(secret.expires_at_ms),
        "deleted": secret.deleted,
    })
}

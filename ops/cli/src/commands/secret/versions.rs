//! `holdfast secret delete`, `undelete` and `destroy`.

use clap::Args;
use proto_client::{ClientError, v1};
use serde_json::json;

use crate::{
    commands::confirm,
    exit::{Doing, Failure},
    settings::Session,
};

/// Which versions of which secret.
#[derive(Args)]
struct Chosen {
    /// Where the secret is.
    path: String,
    /// These versions, separated by commas; the newest when left out.
    #[arg(long, value_name = "VERSIONS", value_delimiter = ',', conflicts_with = "all")]
    versions: Vec<u64>,
    /// Every version.
    #[arg(long)]
    all: bool,
}

impl Chosen {
    fn request(&self, session: &Session) -> Result<v1::VersionsRequest, Failure> {
        Ok(v1::VersionsRequest {
            environment: session.environment()?,
            path: self.path.clone(),
            versions: self.versions.clone(),
            all: self.all,
        })
    }

    fn words(&self) -> String {
        match self.versions.as_slice() {
            _ if self.all => format!("all versions of {}", self.path),
            [] => format!("the newest version of {}", self.path),
            versions => format!("{} of {}", list(versions), self.path),
        }
    }

    fn report(
        &self,
        session: &Session,
        verb: &str,
        done: &str,
        answer: Result<v1::VersionsResponse, ClientError>,
    ) -> Result<(), Failure> {
        let answer = answer.doing(|| format!("{verb} {}", self.words()))?;
        let document = json!({ "path": self.path, "versions": answer.versions, "index": answer.index });
        let versions = list(&answer.versions);
        session.out.done(&document, &format!("{done} {versions} of {} (record {})", self.path, answer.index))
    }
}

fn list(versions: &[u64]) -> String {
    versions.iter().map(|version| format!("v{version}")).collect::<Vec<_>>().join(", ")
}

/// Hides versions.
#[derive(Args)]
#[command(after_help = "Examples:
  holdfast secret delete db/password
  holdfast secret delete db/password --versions 2,3")]
pub(crate) struct Delete {
    #[command(flatten)]
    chosen: Chosen,
}

impl Delete {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let answer = session.client().await?.secrets().delete(self.chosen.request(session)?).await;
        self.chosen.report(session, "delete", "deleted", answer)
    }
}

/// Brings versions back.
#[derive(Args)]
#[command(after_help = "Examples:\n  holdfast secret undelete db/password --all")]
pub(crate) struct Undelete {
    #[command(flatten)]
    chosen: Chosen,
}

impl Undelete {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let answer = session.client().await?.secrets().undelete(self.chosen.request(session)?).await;
        self.chosen.report(session, "undelete", "undeleted", answer)
    }
}

/// Removes versions for good.
#[derive(Args)]
#[command(after_help = "Examples:
  holdfast secret destroy db/password --versions 1
  holdfast secret destroy db/password --all --yes")]
pub(crate) struct Destroy {
    #[command(flatten)]
    chosen: Chosen,
}

impl Destroy {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let request = self.chosen.request(session)?;
        confirm(session, &format!("Destroy {} in {} for good?", self.chosen.words(), request.environment))?;
        let answer = session.client().await?.secrets().destroy(request).await;
        self.chosen.report(session, "destroy", "destroyed", answer)
    }
}

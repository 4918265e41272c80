//! `holdfast secret rollback`, `copy` and `move`: changes that never open a value.

use clap::Args;
use proto_client::v1;

use super::{Expect, wrote};
use crate::{
    exit::{Doing, Failure},
    settings::Session,
};

/// Makes a new version with the value of an older one.
#[derive(Args)]
#[command(after_help = "Examples:
  holdfast secret rollback db/password 3
  holdfast secret rollback db/password 3 --if-version 5")]
pub(crate) struct Rollback {
    /// Where the secret is.
    path: String,
    /// The version whose value comes back.
    version: u64,
    /// Only when the newest version is this one.
    #[arg(long, value_name = "VERSION")]
    if_version: Option<u64>,
}

impl Rollback {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let environment = session.environment()?;
        let request = v1::RollbackRequest {
            environment: environment.clone(),
            path: self.path.clone(),
            to_version: self.version,
            expect: Expect { if_absent: false, if_version: self.if_version }.message(),
        };
        let answer = session.client().await?.secrets().rollback(request).await;
        let answer = answer.doing(|| format!("roll {} back to v{}", self.path, self.version))?;
        wrote(session, &self.path, &environment, &answer)
    }
}

/// From where, to where, and when.
#[derive(Args)]
struct Route {
    /// The path that is there.
    from: String,
    /// The new path; it must hold no secret unless --if-version says which.
    to: String,
    /// Write over a secret at the new path, when its newest version is this one.
    #[arg(long, value_name = "VERSION")]
    if_version: Option<u64>,
}

impl Route {
    fn request(&self, environment: &str) -> v1::CopyRequest {
        let expect = Expect { if_absent: false, if_version: self.if_version }.message();
        v1::CopyRequest { environment: environment.to_owned(), from: self.from.clone(), to: self.to.clone(), expect }
    }
}

/// Copies the newest version.
#[derive(Args)]
#[command(after_help = "Examples:\n  holdfast secret copy db/password db/password-old")]
pub(crate) struct Copy {
    #[command(flatten)]
    route: Route,
}

impl Copy {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let (environment, route) = (session.environment()?, self.route);
        let answer = session.client().await?.secrets().copy(route.request(&environment)).await;
        let answer = answer.doing(|| format!("copy {} to {}", route.from, route.to))?;
        wrote(session, &route.to, &environment, &answer)
    }
}

/// Moves a secret with all its versions.
#[derive(Args)]
#[command(after_help = "Examples:\n  holdfast secret move db/password databases/main/password")]
pub(crate) struct Move {
    #[command(flatten)]
    route: Route,
}

impl Move {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let (environment, route) = (session.environment()?, self.route);
        let answer = session.client().await?.secrets().r#move(route.request(&environment)).await;
        let answer = answer.doing(|| format!("move {} to {}", route.from, route.to))?;
        wrote(session, &route.to, &environment, &answer)
    }
}

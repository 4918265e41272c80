//! `holdfast secret put`.

use clap::Args;
use proto_client::v1;

use super::{Expect, metadata::Changes, wrote};
use crate::{
    exit::{Doing, Failure},
    input::{self, Generate},
    settings::Session,
    value::Plain,
};

const EXAMPLES: &str = "\
Examples:
  holdfast secret put db/password                        asks for the value
  printf %s \"$VALUE\" | holdfast secret put db/password -
  holdfast secret put tls/key @server.key --type tls
  holdfast secret put db/login user=@user.txt password=-
  holdfast secret put db/login password=? --patch        changes one field
  holdfast secret put db/login @login.json --json
  holdfast secret put api/key --generate 40,alnum --if-absent
  holdfast secret put api/key - --if-version 3 --tag billing --ttl 30d";

/// Adds a version.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Put {
    /// Where, such as db/password.
    path: String,
    /// -, @FILE or ? for the whole value; NAME=-, NAME=@FILE or NAME=? for fields. Nothing: a prompt.
    #[arg(value_name = "SOURCE")]
    sources: Vec<String>,
    /// The value is a JSON object: keep its members as fields.
    #[arg(long, conflicts_with = "generate")]
    json: bool,
    /// Make the value up: a length, and alnum, hex, digits or symbols.
    #[arg(long, value_name = "LENGTH[,ALPHABET]", value_parser = Generate::parse, conflicts_with = "sources")]
    generate: Option<Generate>,
    /// Change the fields that are given, keep the others.
    #[arg(long, conflicts_with_all = ["json", "generate", "if_absent"])]
    patch: bool,
    /// With --patch: fields to take away.
    #[arg(long, value_name = "NAME", requires = "patch")]
    remove: Vec<String>,
    #[command(flatten)]
    expect: Expect,
    #[command(flatten)]
    metadata: Changes,
}

impl Put {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let environment = session.environment()?;
        let answer = if self.patch {
            self.patch(session, environment.clone()).await?
        } else {
            self.put(session, environment.clone()).await?
        };
        wrote(session, &self.path, &environment, &answer)
    }

    async fn put(&self, session: &Session, environment: String) -> Result<v1::PutResponse, Failure> {
        let plain = match self.generate {
            Some(generate) => generate.value(),
            None => input::value(&self.sources, self.json, &session.out)?,
        };
        let request = v1::PutRequest {
            environment,
            path: self.path.clone(),
            value: Some(v1::Value::from(&plain)),
            expect: self.expect.message(),
            metadata: self.metadata.message(),
        };
        session.client().await?.secrets().put(request).await.doing(|| format!("write {}", self.path))
    }

    async fn patch(&self, session: &Session, environment: String) -> Result<v1::PutResponse, Failure> {
        let only_fields = "a patch takes fields: NAME=-, NAME=@FILE or NAME=?";
        if self.metadata.message().is_some() {
            let next = "`holdfast secret metadata` changes it";
            return Err(Failure::usage("cannot patch metadata with the value", only_fields, next));
        }
        let fields = match self.sources.as_slice() {
            [] => Plain::Fields(Default::default()),
            sources => input::value(sources, false, &session.out)?,
        };
        let kind = v1::Value::from(&fields).kind;
        let Some(v1::value::Kind::Fields(set)) = kind else {
            return Err(Failure::usage("cannot patch a whole value", only_fields, "without --patch the whole value is replaced"));
        };
        let request = v1::PatchRequest {
            environment,
            path: self.path.clone(),
            set: Some(set),
            remove: self.remove.clone(),
            expect: self.expect.message(),
        };
        session.client().await?.secrets().patch(request).await.doing(|| format!("patch {}", self.path))
    }
}

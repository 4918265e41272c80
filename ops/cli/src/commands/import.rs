//! `holdfast import`.

use std::collections::HashSet;

use clap::Args;
use futures::{StreamExt, stream};
use proto_client::{Client, v1};
use serde_json::{Value, json};

use crate::{
    commands::{folder, secret::partial, secrets_below},
    exit::{Doing, Exit, Failure},
    input,
    output::table,
    settings::Session,
    transfer::Form,
    value::Plain,
};

/// Writes that wait for their answer at the same time.
const IN_FLIGHT: usize = 16;

const EXAMPLES: &str = "\
Examples:
  holdfast import .env -e development --prefix app/
  holdfast import secrets.yaml -e staging --dry-run
  holdfast import secrets.json -e staging --skip-existing
  holdfast import - --format json -e staging --atomic

NAME becomes the path PREFIX + NAME. In JSON and YAML a nested object becomes one structured secret.";

/// Brings in many secrets.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Import {
    /// The document; - for standard input.
    file: String,
    /// Its form; otherwise its name tells.
    #[arg(long, value_enum)]
    format: Option<Form>,
    /// Folder to put them below.
    #[arg(long, default_value = "", hide_default_value = true)]
    prefix: String,
    /// Show what would be done.
    #[arg(long)]
    dry_run: bool,
    /// Add a version where there is a secret; otherwise that is a conflict.
    #[arg(long, conflicts_with = "skip_existing")]
    overwrite: bool,
    /// Leave secrets that are there as they are.
    #[arg(long)]
    skip_existing: bool,
    /// All or nothing, in one transaction.
    #[arg(long, conflicts_with_all = ["skip_existing", "dry_run"])]
    atomic: bool,
}

/// What became of one name.
enum Fate {
    Written(u64),
    Skipped,
    Failed(Failure),
}

impl Import {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let environment = session.environment()?;
        let entries = self.entries()?;
        let client = session.client().await?;
        if self.dry_run {
            return self.preview(session, &client, &environment, &entries).await;
        }
        if self.atomic {
            return self.transact(session, &client, &environment, &entries).await;
        }
        self.write_each(session, &client, &environment, &entries).await
    }

    /// Paths and values of the document.
    fn entries(&self) -> Result<Vec<(String, Plain)>, Failure> {
        let unknown = || {
            let next = "give --format dotenv, json or yaml";
            Failure::usage(format!("cannot tell the form of {}", self.file), "its name does not say", next)
        };
        let form = self.format.or_else(|| Form::of_file(&self.file)).ok_or_else(unknown)?;
        let prefix = folder(&self.prefix);
        let entries = form.parse(&input::text(&self.file)?)?;
        Ok(entries.into_iter().map(|(name, plain)| (format!("{prefix}{name}"), plain)).collect())
    }

    fn expect(&self) -> Option<v1::Expectation> {
        let absent = v1::Expectation { kind: Some(v1::expectation::Kind::Absent(true)) };
        (!self.overwrite).then_some(absent)
    }

    async fn preview(
        &self,
        session: &Session,
        client: &Client,
        environment: &str,
        entries: &[(String, Plain)],
    ) -> Result<(), Failure> {
        let there = secrets_below(client, environment, &folder(&self.prefix)).await?;
        let there: HashSet<_> = there.into_iter().filter(|secret| !secret.deleted).map(|secret| secret.path).collect();
        let action = |path: &String| match there.contains(path) {
            false => "create",
            true if self.overwrite => "add version",
            true if self.skip_existing => "skip",
            true => "conflict",
        };
        let kind = |plain: &Plain| if plain.field_names().is_empty() { "value" } else { "fields" };
        let document: Vec<_> =
            entries.iter().map(|(path, plain)| json!({ "path": path, "action": action(path), "kind": kind(plain) })).collect();
        session.out.show(&json!({ "environment": environment, "would": document }), |out| {
            let row = |(path, plain): &(String, Plain)| [action(path).to_owned(), path.clone(), kind(plain).to_owned()];
            table::rows(out, &["WOULD", "PATH", "KIND"], entries.iter().map(row))
        })
    }

    async fn transact(
        &self,
        session: &Session,
        client: &Client,
        environment: &str,
        entries: &[(String, Plain)],
    ) -> Result<(), Failure> {
        let item = |(path, plain): &(String, Plain)| {
            let put = v1::TransactPut { value: Some(v1::Value::from(plain)), metadata: None };
            v1::TransactItem { path: path.clone(), expect: self.expect(), change: Some(v1::transact_item::Change::Put(put)) }
        };
        let items = entries.iter().map(item).collect();
        let request = v1::TransactRequest { environment: environment.to_owned(), items };
        let answer = client.secrets().transact(request).await.doing(|| format!("import {} (nothing was written)", self.file))?;
        let fates: Vec<_> =
            entries.iter().zip(answer.versions).map(|((path, _), version)| (path, Fate::Written(version))).collect();
        report(session, environment, fates)
    }

    async fn write_each(
        &self,
        session: &Session,
        client: &Client,
        environment: &str,
        entries: &[(String, Plain)],
    ) -> Result<(), Failure> {
        let bar = session.out.progress(entries.len() as u64, "importing");
        let write = |(path, plain): &(String, Plain)| {
            let request = v1::PutRequest {
                environment: environment.to_owned(),
                path: path.clone(),
                value: Some(v1::Value::from(plain)),
                expect: self.expect(),
                metadata: None,
            };
            let (bar, path) = (bar.clone(), path.clone());
            async move {
                let answer = client.secrets().put(request).await.doing(|| format!("write {path}"));
                bar.inc(1);
                self.fate(answer)
            }
        };
        // Futures are made first: a closure over borrowed entries would have to hold for every lifetime.
        let writes: Vec<_> = entries.iter().map(write).collect();
        let fates: Vec<_> = stream::iter(writes).buffered(IN_FLIGHT).collect().await;
        bar.finish_and_clear();
        report(session, environment, entries.iter().map(|(path, _)| path).zip(fates).collect())
    }

    fn fate(&self, answer: Result<v1::PutResponse, Failure>) -> Fate {
        match answer {
            Ok(answer) => Fate::Written(answer.version),
            Err(failure) if failure.exit == Exit::Conflict && self.skip_existing => Fate::Skipped,
            Err(failure) => Fate::Failed(failure),
        }
    }
}

fn report(session: &Session, environment: &str, fates: Vec<(&String, Fate)>) -> Result<(), Failure> {
    let count = |wanted: fn(&Fate) -> bool| fates.iter().filter(|(_, fate)| wanted(fate)).count();
    let written = count(|fate| matches!(fate, Fate::Written(_)));
    let skipped = count(|fate| matches!(fate, Fate::Skipped));
    let documents: Vec<_> = fates.iter().map(|(path, fate)| document(path, fate)).collect();
    let document = json!({ "environment": environment, "written": written, "skipped": skipped, "secrets": documents });
    session.out.show(&document, |out| {
        for (path, fate) in &fates {
            if let Fate::Failed(failure) = fate {
                writeln!(out, "failed: {path}: {}", failure.why())?;
            }
        }
        writeln!(out, "{written} written, {skipped} skipped, {} failed in {environment}", fates.len() - written - skipped)
    })?;
    let asked = fates.len();
    let failed = fates.into_iter().filter_map(|(_, fate)| if let Fate::Failed(failure) = fate { Some(failure) } else { None });
    partial("imported", written + skipped, asked, failed.collect())
}

fn document(path: &str, fate: &Fate) -> Value {
    match fate {
        Fate::Written(version) => json!({ "path": path, "done": "written", "version": version }),
        Fate::Skipped => json!({ "path": path, "done": "skipped" }),
        Fate::Failed(failure) => json!({ "path": path, "done": "failed", "error": failure.why(), "exit": failure.exit as u8 }),
    }
}

//! `holdfast export`.

use std::{fs::OpenOptions, io::Write, path::PathBuf};

use clap::Args;
use futures::{StreamExt, stream};
use proto_client::{
    Client,
    v1::{self, get_many_result},
};

use crate::{
    commands::{
        folder,
        secret::{partial, variable},
        secrets_below,
    },
    exit::{self, Doing, Failure},
    output::Format,
    settings::Session,
    transfer::Form,
    value::Plain,
};

/// Values of 1 MiB each still fit an answer of 64 MiB.
const READ_TOGETHER: usize = 50;
const IN_FLIGHT: usize = 4;

const EXAMPLES: &str = "\
Examples:
  holdfast export -e development --prefix app/ --out .env
  holdfast export -e staging --format yaml > staging.yaml
  holdfast export -e staging --prefix app --format dotenv --variables --reveal

Importing what was exported gives the same secrets.";

/// Writes many secrets to a document.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Export {
    /// Folder whose secrets are meant; the names in the document are the paths below it.
    #[arg(long, default_value = "", hide_default_value = true)]
    prefix: String,
    /// The form of the document; otherwise the name of --out, or dotenv.
    #[arg(long, value_enum)]
    format: Option<Form>,
    /// Write to a new file that nobody else may read, not to standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Names as variables: db/api-key becomes DB_API_KEY.
    #[arg(long)]
    variables: bool,
    /// Allow values on the terminal.
    #[arg(long)]
    reveal: bool,
}

impl Export {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        if self.out.is_none() && session.out.is_terminal && !self.reveal {
            let next = "give --out FILE, redirect the output, or give --reveal";
            return Err(Failure::usage("values are not shown on a terminal unasked", "the output is a terminal", next));
        }
        let environment = session.environment()?;
        let client = session.client().await?;
        let prefix = folder(&self.prefix);
        let listed = secrets_below(&client, &environment, &prefix).await?;
        let paths: Vec<_> = listed.into_iter().filter(|secret| !secret.deleted).map(|secret| secret.path).collect();
        let (found, failed) = read(session, &client, &environment, &paths).await?;
        let done = found.len();
        let entries = self.named(found, &prefix)?;
        self.write(session, &self.form(session)?.format(&entries)?)?;
        session.out.note(&format!("exported {done} secrets of {environment}"));
        partial("exported", done, paths.len(), failed)
    }

    fn form(&self, session: &Session) -> Result<Form, Failure> {
        let of_file = self.out.as_ref().and_then(|path| Form::of_file(&path.to_string_lossy()));
        match self.format.or(of_file) {
            Some(form) => Ok(form),
            None => match session.out.format() {
                Format::Table | Format::Env => Ok(Form::Dotenv),
                Format::Json => Ok(Form::Json),
                Format::Yaml => Ok(Form::Yaml),
                Format::Raw => {
                    Err(Failure::usage("cannot export as raw", "many values need names", "use --format dotenv, json or yaml"))
                }
            },
        }
    }

    /// The names that stand in the document; two secrets may not share one.
    fn named(&self, found: Vec<(String, Plain)>, prefix: &str) -> Result<Vec<(String, Plain)>, Failure> {
        let name = |path: &str| {
            let below = path.strip_prefix(prefix).unwrap_or(path);
            if self.variables { variable(below) } else { below.to_owned() }
        };
        let mut seen = std::collections::HashMap::new();
        let mut named = Vec::with_capacity(found.len());
        for (path, plain) in found {
            let name = name(&path);
            if let Some(other) = seen.insert(name.clone(), path.clone()) {
                let why = format!("{other} and {path} would both be {name}");
                return Err(Failure::usage(
                    "cannot export as variables",
                    why,
                    "leave --variables out, or name a narrower --prefix",
                ));
            }
            named.push((name, plain));
        }
        Ok(named)
    }

    fn write(&self, session: &Session, text: &str) -> Result<(), Failure> {
        let Some(path) = &self.out else { return session.out.text(text) };
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let written = options.open(path).and_then(|mut file| file.write_all(text.as_bytes()));
        written.map_err(|error| Failure::io(format!("cannot write {}", path.display()), &error))
    }
}

type Read = (Vec<(String, Plain)>, Vec<Failure>);

/// Reads all paths, some together and some batches at once; what is refused is told apart.
async fn read(session: &Session, client: &Client, environment: &str, paths: &[String]) -> Result<Read, Failure> {
    let bar = session.out.progress(paths.len() as u64, "reading");
    let batch = |paths: &[String]| {
        let items = paths.iter().map(|path| v1::GetManyItem { path: path.clone(), version: 0 }).collect();
        let request = v1::GetManyRequest { environment: environment.to_owned(), items };
        async move { client.secrets().get_many(request).await.doing(|| "read the secrets".to_owned()) }
    };
    let batches: Vec<_> = paths.chunks(READ_TOGETHER).map(batch).collect();
    let mut answers = stream::iter(batches).buffered(IN_FLIGHT);
    let mut remaining = paths.iter();
    let (mut found, mut failed) = (Vec::new(), Vec::new());
    while let Some(answer) = answers.next().await {
        for (result, path) in answer?.results.into_iter().zip(remaining.by_ref()) {
            bar.inc(1);
            match result.result {
                Some(get_many_result::Result::Found(answer)) => found.push((path.clone(), Plain::from(answer.value))),
                Some(get_many_result::Result::Refused(refusal)) => {
                    failed.push(exit::refused(&format!("read {path}"), refusal.code, &refusal.message));
                }
                None => failed.push(exit::refused(&format!("read {path}"), 2, "the node answered nothing")),
            }
        }
    }
    bar.finish_and_clear();
    Ok((found, failed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn export(variables: bool) -> Export {
        Export { prefix: "app/".into(), format: None, out: None, variables, reveal: false }
    }

    #[test]
    fn names_are_the_paths_below_the_prefix() {
        let found = || vec![("app/db/key".to_owned(), Plain::bytes("a")), ("app/x".to_owned(), Plain::bytes("b"))];
        let names = |variables| -> Vec<String> {
            let named = export(variables).named(found(), "app/").unwrap_or_else(|failure| panic!("{failure}"));
            named.into_iter().map(|(name, _)| name).collect()
        };
        assert_eq!(names(false), ["db/key", "x"]);
        assert_eq!(names(true), ["DB_KEY", "X"]);
    }

    #[test]
    fn two_secrets_never_become_one_variable() {
        let found = vec![("app/a-b".to_owned(), Plain::bytes("a")), ("app/a_b".to_owned(), Plain::bytes("b"))];
        let failure = export(true).named(found, "app/").unwrap_err();
        assert!(failure.to_string().contains("app/a-b and app/a_b would both be A_B"));
    }
}

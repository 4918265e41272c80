//! `holdfast secret get`.

use std::io::{self, Write};

use clap::Args;
use proto_client::v1::{self, get_many_result};
use serde_json::{Value, json};

use super::version_document;
use crate::{
    dotenv,
    exit::{self, Doing, Exit, Failure},
    output::{Format, mask::MASK, table, time},
    settings::Session,
    value::{Plain, field_text},
};

const EXAMPLES: &str = "\
Examples:
  holdfast secret get db/password                   masked on a terminal
  holdfast secret get db/password --reveal
  holdfast secret get db/password > password.txt    the exact bytes
  holdfast secret get db/login --field password
  holdfast secret get db/password --version 3 -o json
  holdfast secret get db/login -o env
  holdfast secret get db/password api/key -o json
  holdfast secret get db/password --wrap-ttl 5m     for hand-over: `holdfast unwrap` opens it once";

/// Reads secrets. Every read is in the journal before it is answered.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Get {
    /// Where; several are read in one call.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<String>,
    /// This version, not the newest.
    #[arg(long, value_name = "VERSION", default_value_t = 0, hide_default_value = true)]
    version: u64,
    /// Print this field of a structured value alone.
    #[arg(long, value_name = "NAME")]
    field: Option<String>,
    /// Show values on the terminal.
    #[arg(long)]
    reveal: bool,
    /// Show a wrapping token instead, which waits so long and opens once.
    #[arg(long, value_name = "DURATION", value_parser = time::parse_bound_ms, conflicts_with_all = ["reveal", "field"])]
    wrap_ttl: Option<u64>,
}

/// A secret as it was read.
struct Found {
    path: String,
    environment: String,
    plain: Plain,
    version: v1::Version,
    index: u64,
}

impl Found {
    fn new(environment: &str, path: &str, answer: v1::GetResponse) -> Found {
        Found {
            path: path.to_owned(),
            environment: environment.to_owned(),
            plain: Plain::from(answer.value),
            version: answer.version.unwrap_or_default(),
            index: answer.index,
        }
    }

    fn document(&self) -> Value {
        json!({
            "environment": self.environment,
            "path": self.path,
            "value": self.plain.to_json(),
            "version": version_document(&self.version),
            "index": self.index,
        })
    }
}

impl Get {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let environment = session.environment()?;
        match self.paths.as_slice() {
            [path] => self.one(session, &environment, path).await,
            _ => self.many(session, &environment).await,
        }
    }

    async fn one(&self, session: &Session, environment: &str, path: &str) -> Result<(), Failure> {
        if let Some(ttl_ms) = self.wrap_ttl {
            let (environment, path, version) = (environment.to_owned(), path.to_owned(), self.version);
            let request = v1::WrapSecretRequest { environment, path: path.clone(), version, ttl_ms };
            let wrapped = session.client().await?.wrapping().wrap_secret(request).await.doing(|| format!("wrap {path}"))?;
            return crate::commands::unwrap::hand_over(session, wrapped);
        }
        let request = v1::GetRequest { environment: environment.to_owned(), path: path.to_owned(), version: self.version };
        let answer = session.client().await?.secrets().get(request).await.doing(|| format!("read {path} in {environment}"))?;
        let found = Found::new(environment, path, answer);
        if let Some(field) = &self.field {
            return print_field(session, &found, field);
        }
        match session.out.format_of_value() {
            Format::Raw => session.out.raw(&found.plain.raw()),
            Format::Env => print_env(session, &found),
            Format::Table | Format::Json | Format::Yaml => {
                session.out.show(&found.document(), |out| facts(out, &found, self.reveal))
            }
        }
    }

    async fn many(&self, session: &Session, environment: &str) -> Result<(), Failure> {
        if self.wrap_ttl.is_some() {
            return Err(Failure::usage("cannot wrap several secrets", "--wrap-ttl is for one path", "wrap them one by one"));
        }
        if self.field.is_some() {
            return Err(Failure::usage("cannot print one field of several secrets", "--field is for one path", "use -o json"));
        }
        let item = |path: &String| v1::GetManyItem { path: path.clone(), version: self.version };
        let items = self.paths.iter().map(item).collect();
        let request = v1::GetManyRequest { environment: environment.to_owned(), items };
        let answer = session.client().await?.secrets().get_many(request).await.doing(|| "read the secrets".to_owned())?;
        let results = self.paths.iter().zip(answer.results).map(|(path, result)| (path, outcome(environment, path, result)));
        let results: Vec<_> = results.collect();
        session.out.show(&many_document(&results), |out| many_rows(out, &results, self.reveal))?;
        let failed: Vec<_> = results.into_iter().filter_map(|(_, result)| result.err()).collect();
        let done = self.paths.len() - failed.len();
        partial("read", done, self.paths.len(), failed)
    }
}

type Outcome<'a> = (&'a String, Result<Found, Failure>);

fn outcome(environment: &str, path: &str, result: v1::GetManyResult) -> Result<Found, Failure> {
    match result.result {
        Some(get_many_result::Result::Found(answer)) => Ok(Found::new(environment, path, answer)),
        Some(get_many_result::Result::Refused(refusal)) => {
            Err(exit::refused(&format!("read {path}"), refusal.code, &refusal.message))
        }
        None => Err(Failure::new(Exit::Unexpected, format!("cannot read {path}"), "the node answered nothing")),
    }
}

/// All done, or a failure that says how many were not and why the first was not.
pub(crate) fn partial(verb: &str, done: usize, asked: usize, failed: Vec<Failure>) -> Result<(), Failure> {
    let Some(first) = failed.into_iter().next() else { return Ok(()) };
    if done == 0 {
        return Err(first);
    }
    let what = format!("not all secrets were {verb}: {done} of {asked} were");
    Err(Failure::new(Exit::Partial, what, format!("{first:#}")).next("mend what failed, and ask again for that"))
}

fn many_document(results: &[Outcome<'_>]) -> Value {
    let one = |(path, result): &Outcome<'_>| match result {
        Ok(found) => found.document(),
        Err(failure) => json!({ "path": path, "error": failure.why(), "exit": failure.exit as u8 }),
    };
    json!({ "secrets": results.iter().map(one).collect::<Vec<_>>() })
}

fn many_rows(out: &mut dyn Write, results: &[Outcome<'_>], reveal: bool) -> io::Result<()> {
    let row = |(path, result): &Outcome<'_>| match result {
        Ok(found) => {
            let value = if reveal { found.plain.readable() } else { MASK.to_owned() };
            [(*path).clone(), format!("v{}", found.version.version), value]
        }
        Err(failure) => [(*path).clone(), String::new(), failure.why().to_owned()],
    };
    table::rows(out, &["PATH", "VERSION", "VALUE"], results.iter().map(row))
}

fn facts(out: &mut dyn Write, found: &Found, reveal: bool) -> io::Result<()> {
    let shown = |text: String| if reveal { text } else { MASK.to_owned() };
    let version = &found.version;
    let mut facts = vec![
        ("path", found.path.clone()),
        ("environment", found.environment.clone()),
        ("version", format!("v{}", version.version)),
        ("created", format!("{} by {}", time::local(version.created_at_ms), version.created_by)),
        ("expires", time::local(version.expires_at_ms)),
    ];
    match &found.plain {
        Plain::Bytes(_) => facts.push(("value", shown(found.plain.readable()))),
        Plain::Fields(fields) => facts.extend(fields.iter().map(|(name, json)| (name.as_str(), shown(field_text(json))))),
    }
    table::facts(out, facts)
}

fn print_field(session: &Session, found: &Found, name: &str) -> Result<(), Failure> {
    let missing = || {
        let names = found.plain.field_names().join(", ");
        let why = if names.is_empty() { "the value has no fields".to_owned() } else { format!("its fields are {names}") };
        Failure::new(Exit::NotFound, format!("{} has no field {name}", found.path), why).next("name one of its fields")
    };
    let bytes = found.plain.field(name).ok_or_else(missing)?;
    match session.out.format_of_value() {
        Format::Json | Format::Yaml => {
            let value = String::from_utf8_lossy(&bytes);
            session.out.show(&json!({ "path": found.path, "field": name, "value": value }), |_| Ok(()))
        }
        Format::Env => session.out.text(&dotenv::format([(name, &*String::from_utf8_lossy(&bytes))])),
        Format::Table | Format::Raw => {
            session.out.raw(&bytes)?;
            if session.out.is_terminal { session.out.text("\n") } else { Ok(()) }
        }
    }
}

/// The fields by their names, or the value by the last name of the path.
fn print_env(session: &Session, found: &Found) -> Result<(), Failure> {
    let refuse = |why: &str| Failure::usage(format!("cannot print {} as env", found.path), why, "use -o raw or -o json");
    let text = match &found.plain {
        Plain::Fields(fields) => {
            let texts: Vec<_> = fields.iter().map(|(name, json)| (variable(name), field_text(json))).collect();
            dotenv::format(texts.iter().map(|(name, text)| (name.as_str(), text.as_str())))
        }
        Plain::Bytes(bytes) => {
            let text = std::str::from_utf8(bytes).map_err(|_| refuse("the value is not text"))?;
            let name = variable(found.path.rsplit('/').next().unwrap_or(&found.path));
            dotenv::format([(name.as_str(), text)])
        }
    };
    session.out.text(&text)
}

/// A name that every shell takes.
pub(crate) fn variable(name: &str) -> String {
    let upper = |sign: char| if sign.is_ascii_alphanumeric() { sign.to_ascii_uppercase() } else { '_' };
    let text: String = name.chars().map(upper).collect();
    if text.starts_with(|sign: char| sign.is_ascii_digit()) { format!("_{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(value: &Value) -> Found {
        let plain = Plain::from_json(value).unwrap();
        Found { path: "db/login".into(), environment: "test".into(), plain, version: v1::Version::default(), index: 1 }
    }

    fn shown(value: &Value, reveal: bool) -> String {
        let mut out = Vec::new();
        facts(&mut out, &found(value), reveal).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn values_are_masked_for_people_unless_they_ask() {
        for value in [json!("hunter2"), json!({ "password": "hunter2" })] {
            assert!(!shown(&value, false).contains("hunter2"));
            assert!(shown(&value, true).contains("hunter2"));
        }
        assert_eq!(shown(&json!("a"), false), shown(&json!("a much longer value"), false), "the mask tells no length");
    }

    #[test]
    fn names_of_variables_are_what_shells_take() {
        assert_eq!(variable("api-key.v2"), "API_KEY_V2");
        assert_eq!(variable("2fa"), "_2FA");
    }

    #[test]
    fn some_done_and_some_not_is_partial() {
        let failed = || vec![exit::refused("read a", 5, "nothing at a")];
        assert_eq!(partial("read", 1, 2, failed()).unwrap_err().exit, Exit::Partial);
        assert_eq!(partial("read", 0, 1, failed()).unwrap_err().exit, Exit::NotFound);
        assert!(partial("read", 2, 2, Vec::new()).is_ok());
    }
}

//! `holdfast secret diff`.

use std::{
    collections::BTreeSet,
    io::{self, Write},
};

use clap::Args;
use proto_client::{Client, v1};
use serde_json::{Value, json};

use crate::{
    exit::{Doing, Exit, Failure},
    output::mask::harmless,
    settings::Session,
    value::{Plain, field_text},
};

/// Compares two versions.
#[derive(Args)]
#[command(after_help = "Examples:
  holdfast secret diff db/login            the newest with the one before
  holdfast secret diff db/login 3 5
  holdfast secret diff db/login 3 5 --reveal")]
pub(crate) struct Diff {
    /// Where the secret is.
    path: String,
    /// The older version.
    #[arg(requires = "to")]
    from: Option<u64>,
    /// The newer version.
    to: Option<u64>,
    /// Show the values that differ.
    #[arg(long)]
    reveal: bool,
}

impl Diff {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let environment = session.environment()?;
        let client = session.client().await?;
        let (to, after) = self.read(&client, &environment, self.to.unwrap_or(0)).await?;
        let only = || {
            let why = format!("{} has one version", self.path);
            Failure::new(Exit::NotFound, "there is nothing to compare with", why).next("`holdfast secret history` shows versions")
        };
        let from = self.from.or(to.checked_sub(1).filter(|version| *version > 0)).ok_or_else(only)?;
        let (from, before) = self.read(&client, &environment, from).await?;
        let changes = changes(&before, &after);
        let documents: Vec<_> = changes.iter().map(|change| change.document(self.reveal)).collect();
        let document = json!({ "path": self.path, "from": from, "to": to, "changes": documents });
        session.out.show(&document, |out| {
            writeln!(out, "{}: v{from} → v{to}", harmless(&self.path))?;
            write_changes(out, &changes, self.reveal)
        })
    }

    async fn read(&self, client: &Client, environment: &str, version: u64) -> Result<(u64, Plain), Failure> {
        let request = v1::GetRequest { environment: environment.to_owned(), path: self.path.clone(), version };
        let answer = client.secrets().get(request).await.doing(|| format!("read {}", self.path))?;
        Ok((answer.version.unwrap_or_default().version, Plain::from(answer.value)))
    }
}

/// One field, or the whole value, that is not the same.
#[derive(Clone)]
struct Change {
    /// None for the whole value.
    field: Option<String>,
    before: Option<String>,
    after: Option<String>,
}

impl Change {
    fn word(&self) -> &'static str {
        match (&self.before, &self.after) {
            (None, _) => "added",
            (_, None) => "removed",
            _ => "changed",
        }
    }

    fn name(&self) -> &str {
        self.field.as_deref().unwrap_or("value")
    }

    fn document(&self, reveal: bool) -> Value {
        let length = |text: &Option<String>| text.as_ref().map(|text| text.chars().count());
        let mut document = json!({
            "field": self.field,
            "change": self.word(),
            "characters_before": length(&self.before),
            "characters_after": length(&self.after),
        });
        if reveal {
            document["before"] = json!(self.before);
            document["after"] = json!(self.after);
        }
        document
    }
}

fn changes(before: &Plain, after: &Plain) -> Vec<Change> {
    let (Plain::Fields(old), Plain::Fields(new)) = (before, after) else {
        let whole = Change { field: None, before: Some(before.readable()), after: Some(after.readable()) };
        return if before == after { Vec::new() } else { vec![whole] };
    };
    let names: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    let differing = names.into_iter().filter(|name| old.get(*name) != new.get(*name));
    let text = |json: &zeroize::Zeroizing<String>| field_text(json);
    differing
        .map(|name| Change { field: Some(name.clone()), before: old.get(name).map(text), after: new.get(name).map(text) })
        .collect()
}

fn write_changes(out: &mut dyn Write, changes: &[Change], reveal: bool) -> io::Result<()> {
    if changes.is_empty() {
        writeln!(out, "  no difference")?;
    }
    for change in changes {
        let name = harmless(change.name());
        match (&change.before, &change.after) {
            (before, after) if reveal => {
                for (sign, text) in [('-', before), ('+', after)] {
                    if let Some(text) = text {
                        writeln!(out, "{sign} {name}: {}", harmless(text))?;
                    }
                }
            }
            (None, _) => writeln!(out, "+ {name}  added")?,
            (_, None) => writeln!(out, "- {name}  removed")?,
            (Some(before), Some(after)) => {
                let (before, after) = (before.chars().count(), after.chars().count());
                writeln!(out, "~ {name}  differs ({before} → {after} characters)")?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(before: &Value, after: &Value, reveal: bool) -> String {
        let plain = |value| Plain::from_json(value).unwrap();
        let mut out = Vec::new();
        write_changes(&mut out, &changes(&plain(before), &plain(after)), reveal).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn fields_are_named_and_values_stay_masked() {
        let before = json!({ "user": "ana", "password": "hunter2", "old": "x" });
        let after = json!({ "user": "ana", "password": "hunter22", "new": "y" });
        assert_eq!(text(&before, &after, false), "+ new  added\n- old  removed\n~ password  differs (7 → 8 characters)\n");
        let shown = text(&before, &after, true);
        assert!(shown.contains("- password: hunter2\n+ password: hunter22\n"));
    }

    #[test]
    fn texts_differ_by_length_alone() {
        assert_eq!(text(&json!("hunter2"), &json!("s3cret"), false), "~ value  differs (7 → 6 characters)\n");
        assert_eq!(text(&json!("same"), &json!("same"), false), "  no difference\n");
        assert_eq!(text(&json!("text"), &json!({ "a": "b" }), false), "~ value  differs (4 → 9 characters)\n");
    }

    #[test]
    fn documents_hold_values_only_on_demand() {
        let change = Change { field: None, before: Some("hunter2".into()), after: Some("x".into()) };
        assert!(!change.document(false).to_string().contains("hunter2"));
        assert!(change.document(true).to_string().contains("hunter2"));
    }
}

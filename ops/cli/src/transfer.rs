//! Documents that many secrets come from or go to: dotenv, JSON, YAML.
//!
//! In JSON and YAML an object of objects is a document of structured values: each top-level name is a secret, and the names
//! below it are its fields.

use std::{collections::HashSet, fmt, path::Path};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};

use crate::{dotenv, exit::Failure, value::Plain};

/// The kinds of documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Form {
    /// NAME='value' lines.
    Dotenv,
    /// One object.
    Json,
    /// One mapping.
    Yaml,
}

impl Form {
    /// The form that a file name tells: `.env`, `prod.env`, `.env.local`, `x.json`, `x.yml`.
    pub(crate) fn of_file(path: &str) -> Option<Form> {
        let name = Path::new(path).file_name()?.to_str()?;
        if name == ".env" || name.starts_with(".env.") {
            return Some(Form::Dotenv);
        }
        match name.rsplit_once('.')?.1 {
            "env" => Some(Form::Dotenv),
            "json" => Some(Form::Json),
            "yaml" | "yml" => Some(Form::Yaml),
            _ => None,
        }
    }

    /// Reads a document into names and values, in the document's order.
    pub(crate) fn parse(self, text: &str) -> Result<Vec<(String, Plain)>, Failure> {
        let refuse =
            |why: String| Failure::usage("cannot read the document", why, "mend that line, or name the right form with --format");
        let Entries(members) = match self {
            Form::Dotenv => {
                let entries = dotenv::parse(text).map_err(|error| refuse(error.to_string()))?;
                return Ok(entries.into_iter().map(|entry| (entry.name, Plain::bytes(entry.value))).collect());
            }
            Form::Json => serde_json::from_str(text).map_err(|error| refuse(without_values(&error)))?,
            Form::Yaml => serde_norway::from_str(text).map_err(|error| refuse(place_in_yaml(&error)))?,
        };
        let plain = |(name, value)| match Plain::from_json(&value) {
            Ok(plain) => Ok((name, plain)),
            Err(why) => Err(refuse(format!("{name}: {why}"))),
        };
        members.into_iter().map(plain).collect()
    }

    /// Writes a document.
    pub(crate) fn format(self, entries: &[(String, Plain)]) -> Result<String, Failure> {
        if self == Form::Dotenv {
            return dotenv_document(entries);
        }
        let document: serde_json::Map<_, _> = entries.iter().map(|(name, plain)| (name.clone(), plain.to_json())).collect();
        Ok(match self {
            Form::Yaml => serde_norway::to_string(&document).expect("a map with text keys is YAML"),
            _ => serde_json::to_string_pretty(&document).expect("a map with text keys is JSON") + "\n",
        })
    }
}

fn dotenv_document(entries: &[(String, Plain)]) -> Result<String, Failure> {
    let refuse = |why: String| Failure::usage("cannot write dotenv", why, "use --format json or yaml");
    let mut texts = Vec::with_capacity(entries.len());
    for (name, plain) in entries {
        if !dotenv::is_name(name) {
            return Err(refuse(format!("{name} is no name that can stand left of `=`")));
        }
        let text = String::from_utf8(plain.raw().to_vec()).map_err(|_| refuse(format!("{name} is not text")))?;
        texts.push((name.as_str(), zeroize::Zeroizing::new(text)));
    }
    Ok(dotenv::format(texts.iter().map(|(name, text)| (*name, text.as_str()))))
}

/// Where it went wrong; serde's own words may quote the text.
fn without_values(error: &serde_json::Error) -> String {
    let what = if error.is_data() { "expected one object whose names are all different" } else { "this is not JSON" };
    format!("line {}, column {}: {what}", error.line(), error.column())
}

fn place_in_yaml(error: &serde_norway::Error) -> String {
    let what = "expected one YAML mapping whose names are all different";
    error.location().map_or_else(|| what.to_owned(), |place| format!("line {}, column {}: {what}", place.line(), place.column()))
}

/// The members of one object in their order; a name that stands twice is an error, not a silent loss.
struct Entries(Vec<(String, serde_json::Value)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Entries, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Entries;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("one object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut names = HashSet::new();
                let mut members = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, serde_json::Value>()? {
                    if !names.insert(name.clone()) {
                        return Err(serde::de::Error::custom("a name stands twice"));
                    }
                    members.push((name, value));
                }
                Ok(Entries(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_form_is_guessed_from_the_name() {
        let table = [
            (".env", Some(Form::Dotenv)),
            ("app/.env.local", Some(Form::Dotenv)),
            ("prod.env", Some(Form::Dotenv)),
            ("a.json", Some(Form::Json)),
            ("a.b.yml", Some(Form::Yaml)),
            ("secrets", None),
            ("-", None),
        ];
        for (path, form) in table {
            assert_eq!(Form::of_file(path), form, "{path}");
        }
    }

    #[test]
    fn nested_objects_become_structured_values() {
        let text = r#"{ "API_KEY": "k", "PORT": 5432, "db": { "user": "ana", "port": 1 } }"#;
        let entries = Form::Json.parse(text).unwrap_or_else(|failure| panic!("{failure}"));
        let names: Vec<_> = entries.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["API_KEY", "PORT", "db"]);
        assert_eq!(entries[1].1.raw().as_slice(), b"5432");
        assert_eq!(entries[2].1.field_names(), ["port", "user"]);
        let yaml = Form::Yaml
            .parse("API_KEY: k\nPORT: 5432\ndb:\n  user: ana\n  port: 1\n")
            .unwrap_or_else(|failure| panic!("{failure}"));
        assert!(yaml == entries);
    }

    #[test]
    fn bad_documents_name_the_line_and_no_value() {
        for (form, text) in [
            (Form::Json, "{\n\"a\": \"hunter2\",\n\"a\": \"hunter2\" }"),
            (Form::Json, "{\n\"a\": hunter2 }"),
            (Form::Json, "[\"hunter2\"]"),
            (Form::Yaml, "a: hunter2\na: hunter2\n"),
            (Form::Yaml, "- hunter2\n"),
            (Form::Dotenv, "a\n"),
        ] {
            let failure = form.parse(text).err().unwrap().to_string();
            assert!(failure.contains("line") && !failure.contains("hunter2"), "{failure}");
        }
    }

    fn plain() -> impl Strategy<Value = Plain> {
        let text = "(?s).{0,30}".prop_map(Plain::bytes);
        let bytes = proptest::collection::vec(any::<u8>(), 0..30).prop_map(Plain::bytes);
        let fields = proptest::collection::btree_map("[a-z]{1,8}", "(?s).{0,20}", 1..4).prop_map(|fields| {
            Plain::fields(&fields.into_iter().map(|(name, text)| (name, serde_json::Value::from(text))).collect())
        });
        prop_oneof![text, bytes, fields]
    }

    proptest! {
        #[test]
        fn what_json_and_yaml_export_they_import(
            entries in proptest::collection::btree_map("[a-z/]{1,12}", plain(), 0..6),
            form in prop_oneof![Just(Form::Json), Just(Form::Yaml)],
        ) {
            let entries: Vec<_> = entries.into_iter().collect();
            let text = form.format(&entries).map_err(|failure| TestCaseError::fail(failure.to_string()))?;
            let read = form.parse(&text).map_err(|failure| TestCaseError::fail(failure.to_string()))?;
            prop_assert!(read == entries, "{}", text);
        }

        #[test]
        fn what_dotenv_exports_it_imports(entries in proptest::collection::btree_map("[A-Z_]{1,12}", "(?s).{0,30}", 0..6)) {
            let entries: Vec<_> = entries.into_iter().map(|(name, text)| (name, Plain::bytes(text))).collect();
            let text = Form::Dotenv.format(&entries).map_err(|failure| TestCaseError::fail(failure.to_string()))?;
            prop_assert!(Form::Dotenv.parse(&text).is_ok_and(|read| read == entries), "{}", text);
        }
    }
}

//! Holds plaintexts against the rules for values. What it says of a value is which rule it breaks and what that rule wants, never
//! anything of the value.

use node_domain::guard::{Classes, ValueRule, ValueRules};
use node_domain::ids::{EnvironmentName, Revision, SecretPath};
use node_domain::sealed::Checked;
use node_domain::secret::SecretType;
use node_domain::{Rejection, limits};
use parking_lot::RwLock;
use prost::Message;
use proto::v1;
use regex::{Regex, RegexBuilder};
use serde_json::Value;
use std::sync::Arc;
use zeroize::Zeroize;

/// Memory that one compiled expression may take.
const REGEX_BYTES_MAX: usize = 1 << 20;
/// In a structured value the first of these that is there is what rules for texts are about; where none is, every text is.
const TEXT_FIELDS: [&str; 5] = ["password", "secret", "token", "key", "value"];

/// Rules with their expressions and schemas compiled, for as long as no rule changes.
#[derive(Default)]
pub(crate) struct RuleChecker {
    compiled: RwLock<Arc<Compiled>>,
}

#[derive(Default)]
struct Compiled {
    changed: Revision,
    rules: Vec<CompiledRule>,
}

struct CompiledRule {
    rule: Arc<ValueRule>,
    /// Broken expressions and schemas do not come into the state; one that does not compile here refuses everything.
    regex: Option<Result<Regex, String>>,
    schema: Option<Result<jsonschema::Validator, String>>,
}

/// A value to be held against the rules.
pub(crate) struct Candidate<'a> {
    pub(crate) environment: &'a EnvironmentName,
    pub(crate) path: &'a SecretPath,
    pub(crate) kind: SecretType,
    pub(crate) plaintext: &'a [u8],
    pub(crate) structured: bool,
}

impl RuleChecker {
    /// What the leader has to know: by which rules the value was checked, and which one it breaks.
    pub(crate) fn check(&self, rules: &ValueRules, candidate: &Candidate<'_>) -> Option<Box<Checked>> {
        if rules.is_empty() {
            return None;
        }
        let compiled = self.compiled(rules);
        let Candidate { environment, path, kind, .. } = candidate;
        let about = compiled.rules.iter().filter(|compiled| compiled.rule.is_about(environment, path, *kind));
        let broken =
            about.into_iter().find_map(|compiled| compiled.broken_by(candidate).map(|why| (compiled.rule.name.clone(), why)));
        Some(Box::new(Checked { rules: compiled.changed, kind: *kind, broken }))
    }

    fn compiled(&self, rules: &ValueRules) -> Arc<Compiled> {
        let known = self.compiled.read().clone();
        if known.changed == rules.changed() {
            return known;
        }
        let compile = |rule: &Arc<ValueRule>| CompiledRule {
            rule: rule.clone(),
            regex: rule.regex.as_deref().map(compile_regex),
            schema: rule.json_schema.as_deref().map(compile_schema),
        };
        let fresh = Arc::new(Compiled { changed: rules.changed(), rules: rules.rules().map(compile).collect() });
        *self.compiled.write() = fresh.clone();
        fresh
    }
}

/// Whether expression and schema of a rule can be used at all: asked before the rule is put.
pub(crate) fn check_rule(rule: &ValueRule) -> Result<(), Rejection> {
    for text in [&rule.regex, &rule.json_schema].into_iter().flatten() {
        if text.len() > limits::RULE_TEXT_BYTES_MAX {
            let most = limits::RULE_TEXT_BYTES_MAX;
            return Err(Rejection::invalid(format!("a regular expression or a schema of a rule is at most {most} bytes")));
        }
    }
    rule.regex.as_deref().map(compile_regex).transpose().map_err(Rejection::Invalid)?;
    rule.json_schema.as_deref().map(compile_schema).transpose().map_err(Rejection::Invalid)?;
    Ok(())
}

fn compile_regex(text: &str) -> Result<Regex, String> {
    // What went wrong, without the expression: it stands in the last line of what the parser says, which quotes the rest.
    let unusable = |error: regex::Error| {
        let said = error.to_string();
        let why = said.lines().last().unwrap_or_default();
        format!("the regular expression cannot be used: {}", why.strip_prefix("error: ").unwrap_or(why))
    };
    // By itself first: one that closes a bracket it did not open would get around what is put around it.
    RegexBuilder::new(text).size_limit(REGEX_BYTES_MAX).build().map_err(unusable)?;
    // The whole text has to match; the engine takes time linear in it, whatever the expression.
    let whole = format!("^(?:{text})$");
    let built =
        RegexBuilder::new(&whole).size_limit(REGEX_BYTES_MAX).dfa_size_limit(REGEX_BYTES_MAX).dot_matches_new_line(true).build();
    built.map_err(unusable)
}

fn compile_schema(text: &str) -> Result<jsonschema::Validator, String> {
    // Neither quotes the text: a wrong file may hold what nobody wants in the journal.
    let not_json =
        |error: serde_json::Error| format!("the schema is not JSON (line {}, column {})", error.line(), error.column());
    let schema: Value = serde_json::from_str(text).map_err(not_json)?;
    jsonschema::validator_for(&schema)
        .map_err(|_| "the schema cannot be used: it is no JSON schema, or refers to one that is not in it".to_owned())
}

/// What of one rule a value breaks; it need not be about the value.
pub(crate) fn broken_by(rule: ValueRule, plaintext: &[u8], structured: bool) -> Option<String> {
    let (environment, path) = (EnvironmentName::parse("any").ok()?, SecretPath::parse("any").ok()?);
    let (regex, schema) = (rule.regex.as_deref().map(compile_regex), rule.json_schema.as_deref().map(compile_schema));
    let candidate = Candidate { environment: &environment, path: &path, kind: SecretType::Generic, plaintext, structured };
    CompiledRule { rule: Arc::new(rule), regex, schema }.broken_by(&candidate)
}

impl CompiledRule {
    fn broken_by(&self, candidate: &Candidate<'_>) -> Option<String> {
        let rule = &self.rule;
        if !candidate.structured {
            if self.schema.is_some() {
                return Some("it wants a value with fields".to_owned());
            }
            return match std::str::from_utf8(candidate.plaintext) {
                Ok(text) => self.broken_by_text(text),
                Err(_) if rule.length_min > 0 || rule.regex.is_some() || rule.classes != Classes::default() => {
                    Some("it wants a text".to_owned())
                }
                Err(_) => None,
            };
        }
        let Ok(mut fields) = v1::Fields::decode(candidate.plaintext) else { return Some("it wants fields".to_owned()) };
        let mut value: serde_json::Map<String, Value> = serde_json::Map::new();
        for (name, json) in &fields.json {
            value.insert(name.clone(), serde_json::from_str(json).unwrap_or(Value::Null));
        }
        let mut value = Value::Object(value);
        let broken = self.broken_by_fields(&value);
        wipe(&mut value);
        fields.json.values_mut().for_each(Zeroize::zeroize);
        broken
    }

    fn broken_by_fields(&self, value: &Value) -> Option<String> {
        match &self.schema {
            Some(Err(why)) => return Some(why.clone()),
            Some(Ok(schema)) => {
                // The validator's words quote the value: only the place is told.
                if let Some(error) = schema.iter_errors(value).next() {
                    let place = error.instance_path().to_string();
                    return Some(format!("it does not fit the schema at {}", if place.is_empty() { "/" } else { &place }));
                }
            }
            None => {}
        }
        let texts = value.as_object()?;
        let named = TEXT_FIELDS.iter().find_map(|name| texts.get(*name).and_then(Value::as_str));
        match named {
            Some(text) => self.broken_by_text(text),
            None => texts.values().filter_map(Value::as_str).find_map(|text| self.broken_by_text(text)),
        }
    }

    fn broken_by_text(&self, text: &str) -> Option<String> {
        let rule = &self.rule;
        let length = text.chars().count();
        if length < rule.length_min as usize {
            return Some(format!("it wants at least {} characters", rule.length_min));
        }
        if rule.length_max > 0 && length > rule.length_max as usize {
            return Some(format!("it wants at most {} characters", rule.length_max));
        }
        let has = |fits: fn(char) -> bool| text.chars().any(fits);
        let wanted = [
            (rule.classes.lower, has(char::is_lowercase), "a lower-case letter"),
            (rule.classes.upper, has(char::is_uppercase), "an upper-case letter"),
            (rule.classes.digit, has(|sign| sign.is_ascii_digit()), "a digit"),
            (rule.classes.symbol, has(is_symbol), "a symbol"),
        ];
        if let Some((_, _, name)) = wanted.iter().find(|(is_wanted, is_there, _)| *is_wanted && !is_there) {
            return Some(format!("it wants {name}"));
        }
        match &self.regex {
            Some(Err(why)) => Some(why.clone()),
            Some(Ok(regex)) if !regex.is_match(text) => {
                Some("it wants another form: the regular expression does not match".to_owned())
            }
            _ => None,
        }
    }
}

fn is_symbol(sign: char) -> bool {
    !sign.is_alphanumeric() && !sign.is_whitespace() && !sign.is_control()
}

/// Overwrites the texts of a value before its memory is given back.
fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Object(fields) => fields.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::broken_by as broken;
    use super::*;
    use node_domain::guard::Reuse;
    use node_domain::ids::{RuleName, Stamp};

    fn rule() -> ValueRule {
        ValueRule {
            name: RuleName::parse("strong").unwrap(),
            kind: None,
            environment: None,
            path: None,
            length_min: 0,
            length_max: 0,
            classes: Classes::default(),
            regex: None,
            json_schema: None,
            reuse: Reuse::Allow,
            ttl_ms_max: None,
            version: 1,
            updated: Stamp(0),
        }
    }

    #[test]
    fn an_expression_that_closes_what_it_did_not_open_is_none() {
        for text in ["a)|(b", "(", "[a-z"] {
            let rule = ValueRule { regex: Some(text.to_owned()), ..rule() };
            assert!(check_rule(&rule).is_err(), "{text}");
        }
    }

    #[test]
    fn a_broken_rule_is_refused_without_quoting_it() {
        let long = format!("planted{}(", "[ab]".repeat(3000));
        let schema = format!("{{\"type\": \"planted{}\"}}", "x".repeat(3000));
        for rule in [
            ValueRule { regex: Some(long), ..rule() },
            ValueRule { json_schema: Some(schema), ..rule() },
            ValueRule { json_schema: Some("{\"planted\": planted".to_owned()), ..rule() },
        ] {
            let said = check_rule(&rule).unwrap_err().to_string();
            assert!(!said.contains("planted") && said.len() < 200, "{said}");
        }
    }

    fn fields(pairs: &[(&str, &str)]) -> Vec<u8> {
        let json = pairs.iter().map(|(name, json)| ((*name).to_owned(), (*json).to_owned())).collect();
        v1::Fields { json }.encode_to_vec()
    }

    #[test]
    fn lengths_are_counted_in_characters() {
        let rule = || ValueRule { length_min: 4, length_max: 6, ..rule() };
        assert_eq!(broken(rule(), "äöü".as_bytes(), false).unwrap(), "it wants at least 4 characters");
        assert_eq!(broken(rule(), "äöüß".as_bytes(), false), None);
        assert_eq!(broken(rule(), b"1234567", false).unwrap(), "it wants at most 6 characters");
        assert_eq!(broken(rule(), &[0xff, 0xfe, 0, 1, 2], false).unwrap(), "it wants a text");
    }

    #[test]
    fn each_class_of_characters_is_wanted_by_name() {
        let rule = |words: &str| ValueRule { classes: Classes::parse(words.split(',')).unwrap(), ..rule() };
        assert_eq!(broken(rule("lower,upper,digit"), b"abcD", false).unwrap(), "it wants a digit");
        assert_eq!(broken(rule("lower,upper,digit"), b"abcD1", false), None);
        assert_eq!(broken(rule("symbol"), b"abc 1", false).unwrap(), "it wants a symbol");
        assert_eq!(broken(rule("upper"), b"abc", false).unwrap(), "it wants an upper-case letter");
    }

    #[test]
    fn an_expression_matches_the_whole_text_and_one_that_explodes_is_refused() {
        let rule = |regex: &str| ValueRule { regex: Some(regex.into()), ..rule() };
        assert_eq!(broken(rule("[a-z]{3}|x"), b"abc", false), None);
        assert!(broken(rule("[a-z]{3}|x"), b"abcd", false).is_some());
        assert!(check_rule(&rule("((a{100}){100}){100}")).is_err());
        assert!(check_rule(&rule("(")).is_err());
    }

    #[test]
    fn what_is_said_of_a_value_never_quotes_it() {
        let planted = "hunter2-planted";
        let schema = r#"{"type":"object","properties":{"port":{"type":"integer"},"password":{"maxLength":3}}}"#;
        let value = fields(&[("port", "\"hunter2-planted\""), ("password", "\"hunter2-planted\"")]);
        let why = broken(ValueRule { json_schema: Some(schema.into()), ..rule() }, &value, true).unwrap();
        assert!(!why.contains(planted) && why.starts_with("it does not fit the schema at /"), "{why}");
        let why = broken(ValueRule { regex: Some("x".into()), ..rule() }, planted.as_bytes(), false).unwrap();
        assert!(!why.contains(planted), "{why}");
    }

    #[test]
    fn in_a_structured_value_the_password_is_what_rules_for_texts_are_about() {
        let rule = || ValueRule { length_min: 8, ..rule() };
        assert_eq!(broken(rule(), &fields(&[("user", "\"bob\""), ("password", "\"long enough\"")]), true), None);
        assert!(broken(rule(), &fields(&[("user", "\"long enough\""), ("password", "\"short\"")]), true).is_some());
        assert!(broken(rule(), &fields(&[("user", "\"bob\""), ("port", "5432")]), true).is_some());
    }

    #[test]
    fn a_schema_wants_fields_and_fetches_nothing() {
        let schema = r#"{"required":["user"]}"#;
        let rule = |text: &str| ValueRule { json_schema: Some(text.into()), ..rule() };
        assert_eq!(broken(rule(schema), b"plain", false).unwrap(), "it wants a value with fields");
        assert_eq!(broken(rule(schema), &fields(&[("user", "\"bob\"")]), true), None);
        assert!(broken(rule(schema), &fields(&[("host", "\"a\"")]), true).is_some());
        assert!(check_rule(&rule(r#"{"$ref":"https://example.com/schema.json"}"#)).is_err());
        assert!(check_rule(&rule("{")).is_err());
    }
}

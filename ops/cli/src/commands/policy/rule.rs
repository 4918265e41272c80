//! Rules as people write and read them.

use proto_client::v1;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{exit::Failure, output::time};

/// Titles of the cells of a rule.
pub(super) const TITLES: [&str; 5] = ["EFFECT", "ENVIRONMENT", "PATH", "CAPABILITIES", "WHEN"];

/// A rule as it stands in a document.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    environment: String,
    path: String,
    capabilities: Vec<String>,
    #[serde(default)]
    deny: bool,
    #[serde(default)]
    when: When,
}

/// When a rule counts.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct When {
    #[serde(default)]
    mfa: bool,
    #[serde(default)]
    addresses: Vec<String>,
    #[serde(default)]
    hours: Option<String>,
    /// A duration, such as 1h.
    #[serde(default)]
    token_age: Option<String>,
}

/// What `policy put` reads, and what `policy get` writes.
#[derive(Deserialize)]
pub(super) struct Document {
    pub(super) rules: Vec<Rule>,
}

impl Rule {
    pub(super) fn parse_allow(text: &str) -> Result<Rule, String> {
        let parts: Vec<_> = text.split(':').collect();
        let [environment, path, capabilities] = parts.as_slice() else {
            return Err("write ENVIRONMENT:PATH:CAPABILITIES, such as 'staging:db/*:read,list'".to_owned());
        };
        let capabilities = capabilities.split(',').map(str::to_owned).collect();
        let (environment, path) = ((*environment).to_owned(), (*path).to_owned());
        Ok(Rule { environment, path, capabilities, deny: false, when: When::default() })
    }

    pub(super) fn parse_deny(text: &str) -> Result<Rule, String> {
        Ok(Rule { deny: true, ..Rule::parse_allow(text)? })
    }

    pub(super) fn under(self, when: When) -> Rule {
        Rule { when, ..self }
    }

    /// The rule in the words of the contract.
    pub(super) fn message(self) -> Result<v1::Rule, Failure> {
        let Rule { environment, path, capabilities, deny, when } = self;
        let conditions = (when != When::default()).then(|| when.message()).transpose()?;
        Ok(v1::Rule { environment, path, capabilities, deny, conditions })
    }
}

impl When {
    /// Conditions as a command line names them.
    pub(super) fn parse(words: &[String]) -> Result<When, Failure> {
        let mut when = When::default();
        let mut in_hours = false;
        for word in words {
            // Days are separated by commas, and so are conditions: `hours=mon,wed/08:00-18:00` comes in two pieces.
            if let (true, false, Some(hours)) = (in_hours && word != "mfa", word.contains('='), when.hours.as_mut()) {
                *hours = format!("{hours},{word}");
                continue;
            }
            in_hours = word.starts_with("hours=");
            match word.split_once('=') {
                None if word == "mfa" => when.mfa = true,
                Some(("address", network)) => when.addresses.push(network.to_owned()),
                Some(("hours", hours)) if when.hours.is_none() => when.hours = Some(hours.to_owned()),
                Some(("token-age", age)) if when.token_age.is_none() => when.token_age = Some(age.to_owned()),
                _ => {
                    let why = format!("{word:?} is no condition, or stands there twice");
                    let next = "write --when mfa,address=10.0.0.0/8,hours=mon-fri/08:00-18:00,token-age=1h, or some of these";
                    return Err(Failure::usage("cannot use --when", why, next));
                }
            }
        }
        Ok(when)
    }

    fn message(self) -> Result<v1::Conditions, Failure> {
        let wrong = |why| Failure::usage("cannot use the age of a token", why, "write a duration such as 30m or 8h");
        let token_age_ms_max = self.token_age.as_deref().map(time::parse_duration_ms).transpose().map_err(wrong)?;
        if token_age_ms_max == Some(0) {
            return Err(wrong("no token is 0 s old".to_owned()));
        }
        Ok(v1::Conditions {
            addresses: self.addresses,
            hours: self.hours.unwrap_or_default(),
            mfa: self.mfa,
            token_age_ms_max: token_age_ms_max.unwrap_or(0),
        })
    }
}

/// The conditions of a rule in few words.
fn when(conditions: &v1::Conditions) -> String {
    let mut words = Vec::new();
    words.extend(conditions.mfa.then(|| "mfa".to_owned()));
    words.extend(conditions.addresses.iter().map(|network| format!("address={network}")));
    words.extend((!conditions.hours.is_empty()).then(|| format!("hours={}", conditions.hours)));
    words.extend((conditions.token_age_ms_max > 0).then(|| format!("token-age={}", age(conditions.token_age_ms_max))));
    words.join(",")
}

/// A duration that reads back as it is.
fn age(ms: u64) -> String {
    if ms.is_multiple_of(1000) { format!("{}s", ms / 1000) } else { format!("{ms}ms") }
}

/// One row of a table of rules.
pub(super) fn cells(rule: &v1::Rule) -> [String; 5] {
    let effect = if rule.deny { "deny" } else { "allow" };
    let conditions = rule.conditions.as_ref().map(when).unwrap_or_default();
    [effect.to_owned(), rule.environment.clone(), rule.path.clone(), rule.capabilities.join(","), conditions]
}

pub(super) fn document(rule: &v1::Rule) -> Value {
    let mut document = json!({
        "environment": rule.environment,
        "path": rule.path,
        "capabilities": rule.capabilities,
        "deny": rule.deny,
    });
    if let Some(conditions) = &rule.conditions {
        let mut when = json!({});
        if conditions.mfa {
            when["mfa"] = json!(true);
        }
        if !conditions.addresses.is_empty() {
            when["addresses"] = json!(conditions.addresses);
        }
        if !conditions.hours.is_empty() {
            when["hours"] = json!(conditions.hours);
        }
        if conditions.token_age_ms_max > 0 {
            when["token_age"] = json!(age(conditions.token_age_ms_max));
        }
        document["when"] = when;
    }
    document
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_member_of_a_rule_is_refused() {
        let text = "rules:\n- environment: a\n  path: b\n  capabilities: [read]\n  denied: true\n";
        assert!(serde_norway::from_str::<Document>(text).is_err());
        let text = "rules:\n- environment: a\n  path: b\n  capabilities: [read]\n  when: {mfa: true, adress: [a]}\n";
        assert!(serde_norway::from_str::<Document>(text).is_err());
        assert!(Rule::parse_allow("staging:db").is_err());
    }

    #[test]
    fn conditions_read_as_they_are_written() {
        let words = ["mfa", "address=10.0.0.0/8", "hours=22:00-06:00", "token-age=1h"].map(str::to_owned);
        let message = When::parse(&words).unwrap().message().unwrap();
        assert_eq!(when(&message), "mfa,address=10.0.0.0/8,hours=22:00-06:00,token-age=3600s");
        assert_eq!(time::parse_duration_ms(&age(1500)).unwrap(), 1500);
        let days = ["hours=mon", "wed", "fri/08:00-18:00", "mfa"].map(str::to_owned);
        let message = When::parse(&days).unwrap().message().unwrap();
        assert_eq!((message.hours.as_str(), message.mfa), ("mon,wed,fri/08:00-18:00", true));
        for bad in ["mfa=1", "adress=a", "hours", ""] {
            assert!(When::parse(&[bad.to_owned()]).is_err(), "{bad:?}");
        }
        assert!(When::parse(&["hours=a".to_owned(), "hours=b".to_owned()]).is_err());
        assert!(When::parse(&["token-age=0s".to_owned()]).unwrap().message().is_err());
    }
}

//! Whether everything that was acknowledged is there at the end.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    operation::{Call, Operation, Outcome},
    verdict::{Finding, Verdict},
};

/// A secret as it stands when everything is quiet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinalRegister {
    /// Its path.
    pub key: String,
    /// The newest version.
    pub newest: u64,
    /// How many of the newest versions are to be kept.
    pub versions_kept: u64,
    /// The versions that are still kept, oldest first.
    pub versions: Vec<FinalVersion>,
}

/// One of its versions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinalVersion {
    /// Its number.
    pub version: u64,
    /// What it holds.
    pub held: Held,
}

/// What a version holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Held {
    /// This.
    Value(String),
    /// It is hidden.
    Hidden,
    /// The cluster says that it is there, and does not give it out: why.
    Unreadable(String),
}

/// Every acknowledged write is there: its version was made, is kept where it is new enough, can be read and holds its value, and is hidden
/// where somebody hid it, and only there.
#[must_use]
pub fn nothing_acknowledged_is_lost(operations: &[Operation], secrets: &[FinalRegister]) -> Verdict {
    let acknowledged: Vec<&Operation> = operations.iter().filter(|operation| operation.changed_version().is_some()).collect();
    let mut verdict = Verdict::of("what was acknowledged is there at the end", acknowledged.len());
    let secrets: BTreeMap<&str, &FinalRegister> = secrets.iter().map(|secret| (secret.key.as_str(), secret)).collect();
    let deletes = operations.iter().filter(|operation| operation.call == Call::Delete);
    let hidden: BTreeSet<(&str, Option<u64>)> =
        deletes.filter_map(|delete| Some((delete.key.as_str(), may_hide(delete)?))).collect();
    for operation in acknowledged {
        let lost = match secrets.get(operation.key.as_str()) {
            Some(secret) => what_is_missing(operation, secret, &hidden),
            None => Some(format!("{} is not there at the end", operation.key)),
        };
        if let Some(what) = lost {
            verdict.violated(Finding::new(what, [operation.clone()]));
        }
    }
    verdict
}

/// The version that a delete hid; inside, nothing where nobody knows which.
fn may_hide(delete: &Operation) -> Option<Option<u64>> {
    match delete.outcome {
        Outcome::Hidden { version } => Some(Some(version)),
        Outcome::Unknown => Some(None),
        _ => None,
    }
}

fn what_is_missing(operation: &Operation, secret: &FinalRegister, hidden: &BTreeSet<(&str, Option<u64>)>) -> Option<String> {
    let version = operation.changed_version()?;
    let FinalRegister { key, newest, versions_kept, versions } = secret;
    if version > *newest {
        return Some(format!("{key}: v{version} was acknowledged, and v{newest} is the newest at the end"));
    }
    let Some(kept) = versions.iter().find(|kept| kept.version == version) else {
        // The oldest are dropped as newer ones are added.
        return (version + versions_kept > *newest).then(|| {
            format!("{key}: v{version} was acknowledged and is gone, and of {newest} the newest {versions_kept} are to be kept")
        });
    };
    match (&operation.outcome, &kept.held) {
        (Outcome::Hidden { .. }, Held::Value(found)) => {
            Some(format!("{key}: v{version} was hidden, and can be read at the end ({found})"))
        }
        (Outcome::Written { .. }, Held::Value(found)) => match &operation.call {
            Call::Put { value, .. } if value != found => {
                Some(format!("{key}: v{version} was acknowledged as {value} and holds {found} at the end"))
            }
            _ => None,
        },
        (Outcome::Written { .. }, Held::Unreadable(why)) => {
            Some(format!("{key}: v{version} was acknowledged, and cannot be read at the end: {why}"))
        }
        (Outcome::Written { .. }, Held::Hidden) => {
            let somebody_did = [Some(version), None].iter().any(|version| hidden.contains(&(key.as_str(), *version)));
            (!somebody_did)
                .then(|| format!("{key}: v{version} was acknowledged, and is hidden at the end, which nobody asked for"))
        }
        _ => None,
    }
}

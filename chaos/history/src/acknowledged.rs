//! Whether everything that was acknowledged is there at the end.

use std::collections::BTreeMap;

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
    /// The versions that are still kept, oldest first.
    pub versions: Vec<FinalVersion>,
}

/// One of its versions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinalVersion {
    /// Its number.
    pub version: u64,
    /// What it holds, where it is not hidden.
    pub value: Option<String>,
}

/// Every acknowledged write is there: its version was made, holds its value where it is still kept, and is hidden where it was hidden.
#[must_use]
pub fn nothing_acknowledged_is_lost(operations: &[Operation], secrets: &[FinalRegister]) -> Verdict {
    let acknowledged: Vec<&Operation> = operations.iter().filter(|operation| operation.changed_version().is_some()).collect();
    let mut verdict = Verdict::of("what was acknowledged is there at the end", acknowledged.len());
    let secrets: BTreeMap<&str, &FinalRegister> = secrets.iter().map(|secret| (secret.key.as_str(), secret)).collect();
    for operation in acknowledged {
        let lost = match secrets.get(operation.key.as_str()) {
            Some(secret) => what_is_missing(operation, secret),
            None => Some(format!("{} is not there at the end", operation.key)),
        };
        if let Some(what) = lost {
            verdict.violated(Finding::new(what, [operation.clone()]));
        }
    }
    verdict
}

fn what_is_missing(operation: &Operation, secret: &FinalRegister) -> Option<String> {
    let version = operation.changed_version()?;
    let key = &operation.key;
    if version > secret.newest {
        return Some(format!("{key}: v{version} was acknowledged, and v{} is the newest at the end", secret.newest));
    }
    let Some(kept) = secret.versions.iter().find(|kept| kept.version == version) else {
        // The oldest are dropped as newer ones are added; a hole among those that are kept is a loss.
        let oldest = secret.versions.first().map_or(u64::MAX, |kept| kept.version);
        return (version > oldest)
            .then(|| format!("{key}: v{version} was acknowledged and is gone between others that are kept"));
    };
    match (&operation.call, &operation.outcome, &kept.value) {
        (Call::Put { value, .. }, Outcome::Written { .. }, Some(found)) if value != found => {
            Some(format!("{key}: v{version} was acknowledged as {value} and holds {found} at the end"))
        }
        (_, Outcome::Hidden { .. }, Some(found)) => {
            Some(format!("{key}: v{version} was hidden, and can be read at the end ({found})"))
        }
        _ => None,
    }
}

//! Settings of environments that watch over what comes into them.

use crate::ids::EnvironmentName;
use crate::limits;
use crate::rejection::Rejection;
use crate::state::Digest;
use imbl::OrdMap;
use serde::{Deserialize, Serialize};

const ROW: u8 = 69;

/// What is set of one environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentSettings {
    /// Approvals that a promotion into it needs.
    pub approvals: u32,
}

impl Default for EnvironmentSettings {
    fn default() -> EnvironmentSettings {
        EnvironmentSettings { approvals: limits::APPROVALS_DEFAULT }
    }
}

/// A change of settings: what is `None` stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentChange {
    /// Approvals that a promotion into it needs.
    pub approvals: Option<u32>,
}

impl EnvironmentChange {
    pub(super) fn check(&self) -> Result<(), Rejection> {
        if *self == EnvironmentChange::default() {
            return Err(Rejection::invalid("name at least one setting to change"));
        }
        if self.approvals.is_some_and(|approvals| approvals > limits::APPROVALS_MAX) {
            return Err(Rejection::invalid(format!("a promotion can need 0 to {} approvals", limits::APPROVALS_MAX)));
        }
        Ok(())
    }
}

/// Settings of those environments that have any.
#[derive(Clone, Debug, Default)]
pub struct Settings(OrdMap<EnvironmentName, EnvironmentSettings>);

impl Settings {
    /// What is set of this environment.
    #[must_use]
    pub fn of(&self, environment: &EnvironmentName) -> EnvironmentSettings {
        self.0.get(environment).copied().unwrap_or_default()
    }

    pub(super) fn change(&mut self, environment: &EnvironmentName, change: &EnvironmentChange, digest: &mut Digest) {
        let old = self.0.get(environment).copied();
        let mut new = old.unwrap_or_default();
        if let Some(approvals) = change.approvals {
            new.approvals = approvals;
        }
        if let Some(old) = old {
            digest.subtract(ROW, &(environment, old));
        }
        digest.add(ROW, &(environment, new));
        self.0.insert(environment.clone(), new);
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = (&EnvironmentName, &EnvironmentSettings)> {
        self.0.iter()
    }

    pub(super) fn take(&mut self, environment: EnvironmentName, settings: EnvironmentSettings) {
        self.0.insert(environment, settings);
    }

    pub(super) fn add_rows(&self, digest: &mut Digest) {
        self.0.iter().for_each(|row| digest.add(ROW, &row));
    }
}

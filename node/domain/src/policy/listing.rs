//! What a listing may show.

use super::capability::Capability;
use super::grants::Grants;
use super::judge::Asking;
use crate::ids::EnvironmentName;
use std::sync::Arc;

/// What one token may list in one environment: its rules, picked once for many paths.
#[derive(Clone, Debug)]
pub struct Sight<'a> {
    grants: Arc<Grants>,
    asking: Asking<'a>,
    environment: EnvironmentName,
}

impl<'a> Sight<'a> {
    pub(crate) fn new(grants: Arc<Grants>, asking: Asking<'a>, environment: EnvironmentName) -> Sight<'a> {
        Sight { grants, asking, environment }
    }

    /// Whether this very path may be listed.
    #[must_use]
    pub fn shows(&self, path: &str) -> bool {
        let environment = Some(&self.environment);
        !self.asking.is_bound_elsewhere(environment)
            && self.grants.judge(Capability::List, environment, path, &self.asking.circumstances()).is_allowed()
    }
}

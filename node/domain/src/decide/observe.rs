//! Looking: what changes no state and is journalled all the same.

use super::{Answer, Decided, Desk};
use crate::event::Event;
use crate::ids::EnvironmentName;
use crate::limits;
use crate::operation::Operation;
use crate::policy::Capability;
use crate::rejection::Rejection;

impl Desk<'_> {
    /// A listing, search or watch of what stands under `prefix`.
    pub(super) fn list(&self, environment: EnvironmentName, prefix: String, operation: Operation) -> Decided {
        if prefix.len() > limits::PATH_BYTES_MAX {
            return Err(Rejection::invalid(format!("a prefix is at most {} bytes", limits::PATH_BYTES_MAX)));
        }
        let permit = self.state.authorize_listing(&self.asking(), &environment, prefix.clone());
        let permit = permit.map_err(|rejection| self.sharpened(&environment, &prefix, rejection))?;
        self.state.environment(&environment)?;
        self.state.keys.check_open(&environment)?;
        Ok((vec![Event::Observed { operation, environment: Some(environment), subject: permit.subject }], Answer::Done))
    }

    /// Reading the journal.
    pub(super) fn look_at_journal(&self, operation: Operation, subject: String) -> Decided {
        if !operation.is_of_journal() {
            return Err(Rejection::invalid(format!("{} is not a question to the journal", operation.word())));
        }
        if subject.len() > limits::TEXT_BYTES_MAX {
            return Err(Rejection::invalid(format!("a question to the journal is at most {} bytes", limits::TEXT_BYTES_MAX)));
        }
        self.observe_system(Capability::Audit, operation, subject)
    }

    /// Looking at the cluster, or changing its members: what changes is no part of this state.
    pub(super) fn ask_of_cluster(&self, operation: Operation, node: u64) -> Decided {
        if !operation.is_of_cluster() {
            return Err(Rejection::invalid(format!("{} is not an operation of the cluster", operation.word())));
        }
        let observed = self.observe_system(Capability::Cluster, operation, format!("node-{node}"))?;
        if operation == Operation::ClusterAddLearner {
            self.state.check_number(node)?;
        }
        Ok(observed)
    }

    pub(crate) fn observe_system(&self, capability: Capability, operation: Operation, subject: String) -> Decided {
        let permit = self.permit_system(capability, &subject)?;
        Ok((vec![Event::Observed { operation, environment: None, subject: permit.subject }], Answer::Done))
    }

    /// Everybody with a token may have a node look again before it answers.
    pub(super) fn catch_up(&self) -> Decided {
        let event = Event::Observed { operation: Operation::CatchUp, environment: None, subject: String::new() };
        Ok((vec![event], Answer::Done))
    }

    /// Names of environments are not secret: any valid token may list them.
    pub(super) fn list_environments(&self) -> Decided {
        let event = Event::Observed { operation: Operation::EnvironmentList, environment: None, subject: String::new() };
        Ok((vec![event], Answer::Done))
    }

    pub(super) fn lookup_self(&self) -> Decided {
        let subject = self.token.accessor.to_string();
        Ok((vec![Event::Observed { operation: Operation::TokenLookupSelf, environment: None, subject }], Answer::Done))
    }
}

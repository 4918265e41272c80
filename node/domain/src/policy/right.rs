//! Which rights a recorded request needed, as far as its record tells.

use super::capability::Capability;
use super::judge::{Asking, Verdict};
use crate::event::{Cause, Event};
use crate::guard::GuardEvent;
use crate::ids::EnvironmentName;
use crate::operation::Operation;
use crate::state::State;

/// What a request needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Nothing but a token, or not even that.
    Nothing,
    /// All of these.
    All(Vec<Right>),
    /// The record does not tell.
    Unknown,
}

/// One right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Right {
    /// Any one of these is enough.
    pub any_of: &'static [Capability],
    /// Where; `None` for the system.
    pub environment: Option<EnvironmentName>,
    /// On what.
    pub subject: String,
    /// Whether `subject` is a prefix to list.
    pub listing: bool,
}

impl Right {
    fn new(any_of: &'static [Capability], environment: Option<&EnvironmentName>, subject: impl ToString) -> Right {
        Right { any_of, environment: environment.cloned(), subject: subject.to_string(), listing: false }
    }

    /// Whether the token has it.
    #[must_use]
    pub fn is_held(&self, state: &State, asking: &Asking<'_>) -> bool {
        let environment = self.environment.as_ref();
        if let (true, Some(environment)) = (self.listing, environment) {
            return state.judge_listing(asking, environment, &self.subject).is_allowed();
        }
        let judge = |capability: &Capability| state.judge(asking, *capability, environment, &self.subject);
        self.any_of.iter().map(judge).any(|verdict: Verdict| verdict.is_allowed())
    }
}

impl Asked {
    /// What the request of this record needed.
    #[must_use]
    pub fn of(event: &Event) -> Asked {
        let place = |environment: &EnvironmentName, path: &dyn ToString, any_of| {
            Asked::All(vec![Right::new(any_of, Some(environment), path.to_string())])
        };
        match event {
            Event::SecretVersionAdded { environment, path, cause, version, .. } => match cause {
                Cause::Promotion { .. } => Asked::Unknown,
                Cause::Patch | Cause::Rollback { .. } => place(environment, path, &[Capability::Update]),
                _ if *version > 1 => place(environment, path, &[Capability::Update]),
                _ => place(environment, path, &[Capability::Create]),
            },
            Event::SecretMoved { environment, from, to, .. } | Event::SecretRenamed { environment, from, to, .. } => {
                Asked::All(vec![
                    Right::new(&[Capability::Delete], Some(environment), from),
                    Right::new(&[Capability::Read], Some(environment), from),
                    Right::new(&[Capability::Create], Some(environment), to),
                ])
            }
            // The check of a transaction: the one look of it that is a record of its own.
            Event::Observed { operation: Operation::SecretTransact, environment: Some(environment), subject } => {
                place(environment, subject, &[Capability::List])
            }
            // Its record names the environment and path that were asked about, not what was asked of the system.
            Event::Observed { operation: Operation::PolicyTest, .. } => Asked::Unknown,
            // A login needs no right: its token is the answer.
            Event::TokenCreated { .. } if event.is_login() => Asked::Nothing,
            // Alerts are asked about under their numbers.
            Event::Guard(GuardEvent::AlertAcknowledged { alert }) => {
                Asked::of_operation(Operation::AlertAcknowledge, "", &format!("alert-{alert}"))
            }
            Event::Refused { operation, environment, subject, .. }
            | Event::AnsweredAgain { operation, environment, subject, .. } => {
                Asked::of_operation(*operation, environment, subject)
            }
            event => {
                let what = event.about_what();
                Asked::of_operation(event.operation(), what.environment, what.subject)
            }
        }
    }

    fn of_operation(operation: Operation, environment: &str, subject: &str) -> Asked {
        let named = EnvironmentName::parse(environment).ok();
        if named.is_none() && !environment.is_empty() {
            return Asked::Unknown;
        }
        let right = |any_of| Right { any_of, environment: named.clone(), subject: subject.to_owned(), listing: false };
        let in_system = |name: &str| match operation.capability() {
            None => Asked::Nothing,
            Some(capability) => Asked::All(vec![Right::new(capability.alone(), None, name)]),
        };
        match operation {
            // What is done to an environment as a whole is asked of the system, under its name.
            Operation::EnvironmentCreate
            | Operation::EnvironmentSet
            | Operation::EnvironmentSeal
            | Operation::EnvironmentUnseal
            | Operation::KeyRotate
            | Operation::RuleCheck => in_system(environment),
            Operation::KeyRotateSystem => in_system("system"),
            Operation::AlertTest => in_system("test"),
            // One record for many secrets of two environments.
            Operation::PromotionPlan | Operation::PromotionApprove | Operation::PromotionReject | Operation::PromotionApply => {
                Asked::Unknown
            }
            // Whoever asked about himself needed no right, and the record does not tell.
            Operation::TokenRenew
            | Operation::TokenLookup
            | Operation::UserRead
            | Operation::UserPassword
            | Operation::UserTotpEnrol
            | Operation::UserTotpConfirm => Asked::Unknown,
            // A refused write does not say whether something stood there; a refused copy, move or transaction not what else it named.
            Operation::SecretPut => Asked::All(vec![right(&[Capability::Create, Capability::Update])]),
            Operation::SecretCopy | Operation::SecretMove | Operation::SecretTransact | Operation::PolicySimulate => {
                Asked::Unknown
            }
            Operation::SecretList | Operation::SecretSearch | Operation::SecretWatch => {
                Asked::All(vec![Right { listing: true, ..right(&[Capability::List]) }])
            }
            operation => match operation.capability() {
                None => Asked::Nothing,
                Some(capability) => Asked::All(vec![right(capability.alone())]),
            },
        }
    }
}

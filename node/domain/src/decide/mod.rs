//! What a request leads to: the one place where anything is allowed or refused.

mod access;
mod founding;
pub(crate) mod hands;
mod observe;
mod policies;
pub(crate) mod secrets;
mod transact;

pub use founding::FOUNDER;

use crate::command::{Command, Upkeep};
use crate::event::Event;
use crate::guard::{self, GuardAnswer};
use crate::identity::{self, IdentityAnswer, IdentityCommand};
use crate::ids::{EnvironmentName, RequestId, Revision, SecretId, SecretPath, Stamp, TokenHash};
use crate::keys::{self, KeysAnswer};
use crate::limits;
use crate::members;
use crate::operation::Operation;
use crate::policy::{Asking, Capability};
use crate::quoting::without_tokens;
use crate::recovery;
use crate::rejection::Rejection;
use crate::repair;
use crate::secret::Version;
use crate::state::{Permit, Receipt, State};
use crate::token::Token;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::sync::Arc;

/// What is known of a request besides the command. Time is an input, stamped by the leader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Context {
    /// The leader's stamp for the first record.
    pub stamp: Stamp,
    /// Keyed hash of the token shown.
    pub credential: Option<TokenHash>,
    /// Where the request came from, where that is known.
    pub address: Option<IpAddr>,
    /// The caller's request id.
    pub request: RequestId,
    /// Keyed hash of the request's content.
    pub fingerprint: u64,
}

/// What the caller is told when the records have committed. Listings are read from the view by the node that took the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// Done; nothing more to say.
    Done,
    /// A version was added.
    Written {
        /// Its number.
        version: u64,
        /// When it stops being valid.
        expires: Option<Stamp>,
    },
    /// The versions that were changed, or that each item of a transaction is at.
    Versions(Vec<u64>),
    /// What may be opened, item by item, in the order asked.
    Readable(Vec<Result<Readable, Rejection>>),
    /// What only requests about keys are answered with.
    Keys(Box<KeysAnswer>),
    /// What only requests about identities are answered with.
    Identity(Box<IdentityAnswer>),
    /// What only requests about alerts, promotions and rules for values are answered with.
    Guard(Box<GuardAnswer>),
}

/// A version that the caller may see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readable {
    /// Which secret.
    pub secret: SecretId,
    /// Which version, with the digest of its sealed bytes.
    pub version: Version,
    /// The record that says so.
    pub index: Revision,
}

/// Decides one request on `state`, which it does not change.
///
/// # Errors
/// The refusal. The caller journals it (see [`refusal`]) before anybody is told.
pub fn decide(state: &State, context: &Context, command: Command) -> Result<(Vec<Event>, Answer), Rejection> {
    let token = authenticate(state, context, &command);
    decide_as(state, context, token.ok(), command)
}

/// As [`decide()`], for a caller who is known already: `token` is the one that counts, where one does.
pub(crate) fn decide_as(
    state: &State,
    context: &Context,
    token: Option<&Arc<Token>>,
    command: Command,
) -> Result<(Vec<Event>, Answer), Rejection> {
    let command = match command {
        Command::Found(founding) => return founding::found(state, context, *founding),
        Command::Login(login) => return identity::login::log_in(state, context, &login),
        Command::Upkeep(upkeep) => return decide_upkeep(state, context, &upkeep),
        command => command,
    };
    let token = token.ok_or(Rejection::NotAuthenticated)?;
    let desk = Desk { state, context, token };
    if let Some(receipt) = state.receipts.find(&context.request) {
        return desk.answer_again(receipt, &command);
    }
    match command {
        Command::Put { environment, path, sealed, expect, about, patch } => {
            desk.put(environment, path, sealed, expect, about, patch)
        }
        Command::Read { environment, path, version } => desk.read(environment, path, version),
        Command::ReadMany { environment, items } => desk.read_many(environment, items),
        Command::SetMetadata { environment, path, about, held } => desk.set_metadata(environment, path, about, held.as_deref()),
        Command::History { environment, path } => desk.history(environment, path),
        Command::Rollback { environment, path, to, sealed, expect } => desk.rollback(environment, path, to, sealed, expect),
        Command::Delete { environment, path, versions } => desk.delete(environment, path, &versions),
        Command::Undelete { environment, path, versions } => desk.undelete(environment, path, &versions),
        Command::Destroy { environment, path, versions } => desk.destroy(environment, path, &versions),
        Command::Copy { environment, from, to, sealed, expect } => desk.copy(environment, from, to, sealed, expect),
        Command::Move { environment, from, to, held } => desk.rename(environment, from, to, held.as_deref()),
        Command::Transact { environment, items } => desk.transact(environment, items),
        Command::List { environment, prefix } => desk.list(environment, prefix, Operation::SecretList),
        Command::Search { environment, prefix } => desk.list(environment, prefix, Operation::SecretSearch),
        Command::Watch { environment, prefix, .. } => desk.list(environment, prefix, Operation::SecretWatch),
        Command::ListEnvironments => desk.list_environments(),
        Command::CatchUp => desk.catch_up(),
        Command::CreateEnvironment { name, id, description, wrapped_key } => {
            desk.create_environment(name, id, description, wrapped_key)
        }
        Command::CreateToken(wish) => desk.create_token(*wish),
        Command::LookupSelf => desk.lookup_self(),
        Command::ListTokens => desk.observe_system(Capability::Tokens, Operation::TokenList, String::new()),
        Command::RevokeToken { accessor } => desk.revoke_token(accessor),
        Command::PutPolicy { name, rules } => desk.put_policy(name, rules),
        Command::ReadPolicy { name } => desk.read_policy(&name),
        Command::ListPolicies => desk.observe_system(Capability::Policies, Operation::PolicyList, String::new()),
        Command::DeletePolicy { name } => desk.delete_policy(name),
        Command::Audit { operation, subject } => desk.look_at_journal(operation, subject),
        Command::Cluster { operation, node } => desk.ask_of_cluster(operation, node),
        Command::Malformed { environment, subject, rejection, .. } => {
            Err(desk.sharpened_where(&environment, &subject, rejection))
        }
        Command::PutRole { name, description, policies } => desk.put_role(name, description, policies),
        Command::ReadRole { name } => desk.read_role(&name),
        Command::ListRoles => desk.observe_system(Capability::Policies, Operation::RoleList, String::new()),
        Command::DeleteRole { name } => desk.delete_role(name),
        Command::TestPolicy(question) => desk.test_policy(&question),
        Command::SimulatePolicy { name, rules } => desk.simulate_policy(&name, &rules),
        Command::Keys(command) => desk.decide_keys(*command),
        Command::Identity(command) => desk.decide_identity(*command),
        Command::Guard(command) => desk.decide_guard(*command),
        Command::Recovery(command) => desk.decide_recovery(*command),
        Command::Found(_) | Command::Login(_) | Command::Upkeep(_) => Err(Rejection::invalid("it is asked without a token")),
    }
}

/// What nodes and managers ask by themselves.
fn decide_upkeep(state: &State, context: &Context, upkeep: &Upkeep) -> Decided {
    match upkeep {
        Upkeep::Keys(upkeep) => keys::upkeep(state, context, upkeep),
        Upkeep::Identity(upkeep) => identity::upkeep(state, context, upkeep),
        Upkeep::Guard(upkeep) => guard::upkeep(state, context, upkeep),
        Upkeep::Recovery(upkeep) => recovery::upkeep(state, context, upkeep),
        Upkeep::Repair(upkeep) => repair::upkeep(state, upkeep),
        Upkeep::Members(upkeep) => members::upkeep(state, context, upkeep),
    }
}

/// Whose token was shown. What goes with an answer needs no more than that the answer was earned.
///
/// # Errors
/// When none was that counts.
pub(crate) fn authenticate<'a>(state: &'a State, context: &Context, command: &Command) -> Result<&'a Arc<Token>, Rejection> {
    let (credential, address, now) = (context.credential.as_ref(), context.address, context.stamp);
    match state.authenticate(credential, address, now) {
        Err(rejection) if is_of_answer(command) => state.spent(credential, address, now).ok_or(rejection),
        authenticated => authenticated,
    }
}

/// Whether it is the second half of a request that has been counted: wrapping what the caller was given.
fn is_of_answer(command: &Command) -> bool {
    matches!(command, Command::Identity(command) if matches!(**command, IdentityCommand::Wrap(_)))
}

/// Whether it counts as a use of the token it is asked with: what a node asks for its own sake does not.
pub(crate) fn is_a_use(command: &Command, answer: Option<&Rejection>) -> bool {
    let asked_again = matches!(answer, Some(Rejection::RulesMoved { .. }));
    !asked_again && !is_of_answer(command) && !matches!(command, Command::CatchUp)
}

/// The event that journals a refusal of `command`.
#[must_use]
pub fn refusal(command: &Command, rejection: &Rejection) -> Event {
    let (operation, environment, subject) = describe_briefly(command);
    let (environment, subject) = match rejection {
        // A plan is about two environments: it is recorded where it was denied.
        Rejection::Denied { environment, subject, .. } | Rejection::Violation { environment, subject, .. }
            if operation == Operation::PromotionPlan =>
        {
            let cut = |text: &str, most| limits::cut(text.to_owned(), most);
            (cut(environment, limits::NAME_BYTES_MAX), cut(subject, limits::PATH_BYTES_MAX))
        }
        _ => (environment, subject),
    };
    Event::Refused { operation, environment, subject, rejection: rejection.clone() }
}

/// One request at the desk: who asks, on which state, when.
pub(crate) struct Desk<'a> {
    pub(crate) state: &'a State,
    pub(crate) context: &'a Context,
    pub(crate) token: &'a Arc<Token>,
}

pub(crate) type Decided = Result<(Vec<Event>, Answer), Rejection>;

impl Desk<'_> {
    /// Who asks, from where, when.
    pub(crate) fn asking(&self) -> Asking<'_> {
        Asking { token: self.token, address: self.context.address, now: self.context.stamp }
    }

    /// Number of the record that the `at`-th event of this decision will be.
    pub(crate) fn seq(&self, at: usize) -> Revision {
        Revision(self.state.revision.0 + 1 + at as u64)
    }

    pub(crate) fn permit(
        &self,
        capability: Capability,
        environment: &EnvironmentName,
        path: SecretPath,
    ) -> Result<Permit<SecretPath>, Rejection> {
        // A path is a counted reference: keeping it costs nothing.
        let permit = self.state.authorize(&self.asking(), capability, Some(environment), path.clone());
        let permit = permit.map_err(|rejection| self.sharpened(environment, path.as_str(), rejection))?;
        // After the rules, so that whoever may do nothing there is not told that it is sealed; root is no exception.
        self.state.keys.check_open(environment)?;
        Ok(permit)
    }

    pub(crate) fn permit_system(&self, capability: Capability, subject: &str) -> Result<Permit<String>, Rejection> {
        self.state.authorize(&self.asking(), capability, None, subject.to_owned())
    }

    /// A denial in an environment that the caller has nothing to do with is told as what it is.
    pub(crate) fn sharpened(&self, environment: &EnvironmentName, subject: &str, rejection: Rejection) -> Rejection {
        guard::isolation::sharpened(self.state, &self.asking(), environment, subject, rejection)
    }

    /// As `sharpened`, for a denial at the door: it says itself where it was, which need not be what the request is about.
    fn sharpened_where(&self, environment: &str, subject: &str, rejection: Rejection) -> Rejection {
        let (place, at) = match &rejection {
            Rejection::Denied { environment, subject, .. } => (environment.clone(), subject.clone()),
            _ => (environment.to_owned(), subject.to_owned()),
        };
        match EnvironmentName::parse(&place) {
            Ok(place) => self.sharpened(&place, &at, rejection),
            Err(_) => rejection,
        }
    }

    fn answer_again(&self, receipt: &Receipt, command: &Command) -> Decided {
        let same = receipt.fingerprint == self.context.fingerprint && receipt.actor == self.token.principal;
        if !same {
            return Err(Rejection::RequestReused(receipt.index));
        }
        let answer = match (command, receipt.versions.as_slice()) {
            (
                Command::Transact { .. }
                | Command::Delete { .. }
                | Command::Undelete { .. }
                | Command::Destroy { .. }
                | Command::Move { .. }
                | Command::PutPolicy { .. }
                | Command::PutRole { .. },
                versions,
            ) => Answer::Versions(versions.iter().map(|(version, _)| *version).collect()),
            (Command::Guard(command), versions) if command.is_answered_with_versions() => {
                Answer::Versions(versions.iter().map(|(version, _)| *version).collect())
            }
            (Command::Keys(_), [(version, _)]) => {
                let version = u32::try_from(*version).unwrap_or(u32::MAX);
                Answer::Keys(Box::new(KeysAnswer::Version(version)))
            }
            (_, [(version, expires)]) => Answer::Written { version: *version, expires: *expires },
            _ => Answer::Done,
        };
        let (operation, environment, subject) = describe_briefly(command);
        Ok((vec![Event::AnsweredAgain { operation, first: receipt.index, environment, subject }], answer))
    }
}

/// As `describe`, and bounded: a request that does not parse, or asks for too much, may quote anything.
fn describe_briefly(command: &Command) -> (Operation, String, String) {
    let (operation, environment, subject) = describe(command);
    let brief = |text, most| limits::cut(without_tokens(text), most);
    (operation, brief(environment, limits::NAME_BYTES_MAX), brief(subject, limits::PATH_BYTES_MAX))
}

/// Operation, environment and subject of a command, for the record of a request that is not done.
fn describe(command: &Command) -> (Operation, String, String) {
    use Command as C;
    let secret =
        |operation, environment: &EnvironmentName, path: &SecretPath| (operation, environment.to_string(), path.to_string());
    let system = |operation, subject: String| (operation, String::new(), subject);
    match command {
        C::Put { environment, path, patch: false, .. } => secret(Operation::SecretPut, environment, path),
        C::Put { environment, path, patch: true, .. } => secret(Operation::SecretPatch, environment, path),
        C::Read { environment, path, .. } => secret(Operation::SecretRead, environment, path),
        C::ReadMany { environment, items } => {
            (Operation::SecretRead, environment.to_string(), items.first().map(|(path, _)| path.to_string()).unwrap_or_default())
        }
        C::SetMetadata { environment, path, .. } => secret(Operation::SecretSetMetadata, environment, path),
        C::List { environment, prefix } => (Operation::SecretList, environment.to_string(), prefix.clone()),
        C::Search { environment, prefix } => (Operation::SecretSearch, environment.to_string(), prefix.clone()),
        C::Watch { environment, prefix, .. } => (Operation::SecretWatch, environment.to_string(), prefix.clone()),
        C::History { environment, path } => secret(Operation::SecretHistory, environment, path),
        C::Rollback { environment, path, .. } => secret(Operation::SecretRollback, environment, path),
        C::Delete { environment, path, .. } => secret(Operation::SecretDelete, environment, path),
        C::Undelete { environment, path, .. } => secret(Operation::SecretUndelete, environment, path),
        C::Destroy { environment, path, .. } => secret(Operation::SecretDestroy, environment, path),
        C::Copy { environment, from, .. } => secret(Operation::SecretCopy, environment, from),
        C::Move { environment, from, .. } => secret(Operation::SecretMove, environment, from),
        C::Transact { environment, items } => (
            Operation::SecretTransact,
            environment.to_string(),
            items.first().map(|item| item.path.to_string()).unwrap_or_default(),
        ),
        C::CatchUp => system(Operation::CatchUp, String::new()),
        C::ListEnvironments => system(Operation::EnvironmentList, String::new()),
        C::CreateEnvironment { name, .. } => (Operation::EnvironmentCreate, name.to_string(), String::new()),
        C::CreateToken(wish) => system(Operation::TokenCreate, wish.principal.to_string()),
        C::LookupSelf => system(Operation::TokenLookupSelf, String::new()),
        C::ListTokens => system(Operation::TokenList, String::new()),
        C::RevokeToken { accessor } => system(Operation::TokenRevoke, accessor.to_string()),
        C::PutPolicy { name, .. } => system(Operation::PolicyPut, name.to_string()),
        C::ReadPolicy { name } => system(Operation::PolicyRead, name.to_string()),
        C::ListPolicies => system(Operation::PolicyList, String::new()),
        C::DeletePolicy { name } => system(Operation::PolicyDelete, name.to_string()),
        C::Audit { operation, subject } => system(*operation, subject.clone()),
        C::Cluster { operation, node } => system(*operation, format!("node-{node}")),
        C::Malformed { operation, environment, subject, .. } => (*operation, environment.clone(), subject.clone()),
        C::Found(_) => system(Operation::Found, String::new()),
        C::PutRole { name, .. } => system(Operation::RolePut, name.to_string()),
        C::ReadRole { name } => system(Operation::RoleRead, name.to_string()),
        C::ListRoles => system(Operation::RoleList, String::new()),
        C::DeleteRole { name } => system(Operation::RoleDelete, name.to_string()),
        C::TestPolicy(question) => {
            let environment = question.environment.as_ref().map(ToString::to_string).unwrap_or_default();
            (Operation::PolicyTest, environment, format!("{} {}", question.capability.word(), question.subject))
        }
        C::SimulatePolicy { name, .. } => system(Operation::PolicySimulate, name.to_string()),
        C::Keys(command) => command.describe(),
        C::Identity(command) => command.describe(),
        C::Guard(command) => command.describe(),
        C::Recovery(command) => command.describe(),
        C::Login(command) => command.describe(),
        C::Upkeep(upkeep) => match &**upkeep {
            Upkeep::Keys(upkeep) => upkeep.describe(),
            Upkeep::Identity(upkeep) => upkeep.describe(),
            Upkeep::Guard(upkeep) => upkeep.describe(),
            Upkeep::Recovery(upkeep) => upkeep.describe(),
            Upkeep::Repair(upkeep) => upkeep.describe(),
            Upkeep::Members(upkeep) => upkeep.describe(),
        },
    }
}

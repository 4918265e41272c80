//! Logging in: requests that come without a token and lead to one.

use super::{CertificateLogin, FailedBy, IdentityEvent, JwtLogin, MachineLogin, PasswordLogin};
use crate::decide::{Answer, Context, Decided};
use crate::event::Event;
use crate::ids::{IdentityName, Stamp, TokenHash};
use crate::operation::Operation;
use crate::rejection::Rejection;
use crate::state::State;
use crate::token::{Login, Token};
use serde::{Deserialize, Serialize};

/// What is asked without a token: to log in, to unwrap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum LoginCommand {
    Password(PasswordLogin),
    Machine(MachineLogin),
    Certificate(CertificateLogin),
    Jwt(JwtLogin),
    /// Hands over what the wrapping token with this hash wraps, once.
    Unwrap {
        hash: TokenHash,
    },
    /// What is wrapped, without handing it over.
    LookupWrapped {
        hash: TokenHash,
    },
    /// What a door could not make sense of.
    Flawed {
        operation: Operation,
        subject: String,
        rejection: Rejection,
    },
    /// A signed token that the door found wrong, against this version of the issuer: who shows it is not told why.
    JwtRefused {
        issuer: IdentityName,
        version: u64,
        cause: FailedBy,
    },
}

/// What was wrong with a login, and with whose.
pub(super) struct Failed {
    pub(super) user: Option<IdentityName>,
    pub(super) cause: FailedBy,
}

/// Why a login did not come to a token.
pub(super) enum NotYet {
    /// It is wrong.
    Failed(Failed),
    /// The door verified it against a state that has moved on: it may verify it again.
    Moved(Rejection),
}

impl From<Failed> for NotYet {
    fn from(failed: Failed) -> NotYet {
        NotYet::Failed(failed)
    }
}

impl LoginCommand {
    /// Operation, environment and subject, for the record of a request that is not done.
    #[must_use]
    pub fn describe(&self) -> (Operation, String, String) {
        let (operation, subject) = match self {
            LoginCommand::Password(login) => (Operation::LoginPassword, login.user.to_string()),
            LoginCommand::Machine(_) => (Operation::LoginMachine, String::new()),
            LoginCommand::Certificate(login) => (Operation::LoginCertificate, login.shown().to_owned()),
            LoginCommand::Jwt(login) => (Operation::LoginJwt, login.subject.clone()),
            LoginCommand::JwtRefused { issuer, .. } => (Operation::LoginJwt, issuer.to_string()),
            LoginCommand::Unwrap { .. } => (Operation::Unwrap, String::new()),
            LoginCommand::LookupWrapped { .. } => (Operation::WrapLookup, String::new()),
            LoginCommand::Flawed { operation, subject, .. } => (*operation, subject.clone()),
        };
        (operation, String::new(), subject)
    }

    /// Hash of the token that the door drew for a login.
    fn token(&self) -> Option<&TokenHash> {
        match self {
            LoginCommand::Password(login) => Some(&login.token),
            LoginCommand::Machine(login) => Some(&login.token),
            LoginCommand::Certificate(login) => Some(&login.token),
            LoginCommand::Jwt(login) => Some(&login.token),
            LoginCommand::Unwrap { .. }
            | LoginCommand::LookupWrapped { .. }
            | LoginCommand::Flawed { .. }
            | LoginCommand::JwtRefused { .. } => None,
        }
    }

    fn login(&self) -> Login {
        match self {
            LoginCommand::Password(_) => Login::Password,
            LoginCommand::Machine(_) => Login::Machine,
            LoginCommand::Certificate(_) => Login::Certificate,
            LoginCommand::Jwt(_) | LoginCommand::JwtRefused { .. } => Login::Jwt,
            LoginCommand::Unwrap { .. } | LoginCommand::LookupWrapped { .. } | LoginCommand::Flawed { .. } => Login::Token,
        }
    }
}

/// What a login that is right leads to: its own record, and the token.
pub(super) type Passed = (IdentityEvent, Token);

/// Judges a login, without the room for its token; `None` for what is no login.
fn judge(state: &State, context: &Context, command: &LoginCommand) -> Option<Result<Passed, NotYet>> {
    Some(match command {
        LoginCommand::Password(login) => super::password::judge(state, context, login),
        LoginCommand::Machine(login) => super::machines::judge(state, context, login).map_err(NotYet::Failed),
        LoginCommand::Certificate(login) => super::certificates::judge(state, context, login).map_err(NotYet::Failed),
        LoginCommand::Jwt(login) => super::issuers::judge(state, context, login),
        LoginCommand::JwtRefused { issuer, version, cause } => Err(super::issuers::refuse(state, issuer, *version, *cause)),
        LoginCommand::Unwrap { .. } | LoginCommand::LookupWrapped { .. } | LoginCommand::Flawed { .. } => return None,
    })
}

/// Decides a request that comes without a token.
pub(crate) fn log_in(state: &State, context: &Context, command: &LoginCommand) -> Decided {
    if let Some(token) = command.token().and_then(|hash| state.token(hash)) {
        // Nobody but the door that drew it knows this hash: it asks again because it was not told what became of its first asking.
        let (operation, _, _) = command.describe();
        let event = Event::Observed { operation, environment: None, subject: token.accessor.to_string() };
        return Ok((vec![event], Answer::Done));
    }
    match command {
        LoginCommand::Unwrap { hash } => super::wrapping::unwrap_once(state, context, hash),
        LoginCommand::LookupWrapped { hash } => super::wrapping::look_up(state, context, hash),
        LoginCommand::Flawed { rejection, .. } => Err(rejection.clone()),
        login => match judge(state, context, login) {
            Some(Ok((event, token))) => {
                let mut events = vec![Event::Identity(event)];
                events.extend(super::admit(state, context, token)?);
                Ok((events, Answer::Done))
            }
            Some(Err(NotYet::Moved(rejection))) => Err(rejection),
            Some(Err(NotYet::Failed(_))) | None => Err(refusal(login)),
        },
    }
}

/// The same words whatever was wrong, known or unknown, locked or not.
fn refusal(command: &LoginCommand) -> Rejection {
    let words = match command {
        LoginCommand::Password(_) => {
            "the name, the password or the code is wrong, or the user may not log in from here or at all; 5 failures within 15 minutes lock a user for 15 minutes"
        }
        LoginCommand::Machine(_) => "the role id or the secret id is wrong, has ended, or does not count from here",
        LoginCommand::Certificate(_) => "the certificate fits no role, or does not count from here",
        LoginCommand::Jwt(_) | LoginCommand::JwtRefused { .. } => "the token of the issuer does not count here",
        LoginCommand::Unwrap { .. } | LoginCommand::LookupWrapped { .. } | LoginCommand::Flawed { .. } => "it is no login",
    };
    Rejection::NotLoggedIn(words.to_owned())
}

/// Whether one more failure of this user is the one that locks.
pub(crate) fn locks(state: &State, context: &Context, user: &IdentityName, cause: FailedBy) -> bool {
    let failures = state.identity.user(user).map(|user| user.failures.clone()).filter(|_| cause.counts());
    failures.is_some_and(|mut failures| {
        // It stands behind the record of the refusal.
        let at = Stamp(context.stamp.0 + 1);
        failures.add(at);
        failures.is_locked_at(at)
    })
}

/// What a refused login changes or raises: the count of failures, the sign of an interception.
pub(crate) fn refused(state: &State, context: &Context, command: &LoginCommand) -> Vec<Event> {
    if let LoginCommand::Unwrap { hash } | LoginCommand::LookupWrapped { hash } = command {
        return super::wrapping::intercepted(state, context, hash).into_iter().collect();
    }
    match judge(state, context, command) {
        Some(Err(NotYet::Failed(Failed { user, cause }))) => {
            vec![Event::Identity(IdentityEvent::LoginFailed { login: command.login(), user, cause })]
        }
        _ => Vec::new(),
    }
}

/// What a request changes of the token that it was asked with: the count of its uses.
pub(crate) fn used(token: &Token) -> Option<Event> {
    let left = token.terms.uses_left?.saturating_sub(1);
    Some(Event::Identity(IdentityEvent::TokenUsed { accessor: token.accessor, principal: token.principal.clone(), left }))
}

//! The head: the committed state and all that the leader has decided since. Decisions are made here, one after the other.

use crate::batch::Decision;
use crate::command::Command;
use crate::decide::{Answer, Context, FOUNDER, authenticate, decide_as, is_a_use, refusal};
use crate::event::Event;
use crate::guard::notice::Recent;
use crate::ids::{Accessor, PrincipalName, RequestId, Revision, Stamp, TokenHash};
use crate::limits;
use crate::rejection::Rejection;
use crate::state::{Misfit, State};
use crate::token::Token;
use crate::{guard, identity};
use proto_record::codec;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Who asks, as the door found out: what does not depend on the state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// Keyed hash of the token shown.
    pub credential: Option<TokenHash>,
    /// The caller's request id.
    pub request: RequestId,
    /// Keyed hash of the request's content.
    pub fingerprint: u64,
    /// `node/address` of the caller.
    pub source: String,
    /// The address by itself, where it is known: what conditions are judged on.
    pub address: Option<IpAddr>,
}

/// A state that runs ahead of what is committed.
#[derive(Clone, Debug)]
pub struct Head {
    state: State,
    recent: Recent,
}

impl Head {
    /// A head that starts at a committed state.
    #[must_use]
    pub fn new(committed: State) -> Head {
        Head { state: committed, recent: Recent::default() }
    }

    /// The revision that the next decision rests on.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.state.revision()
    }

    /// Decides one request and moves on by what was decided; a refusal is decided and moved on by too.
    ///
    /// `now` is the leader's clock; the stamp is later than every stamp before it even where the clock went back.
    ///
    /// # Errors
    /// When what was decided does not fit the state it was decided on: a bug, and the node must stop.
    pub fn decide(&mut self, now: Stamp, ask: Ask, command: Command) -> Result<(Decision, Result<Answer, Rejection>), Misfit> {
        let stamp = now.max(Stamp(self.state.stamp().0 + 1));
        let context = Context {
            stamp,
            credential: ask.credential,
            address: ask.address,
            request: ask.request,
            fingerprint: ask.fingerprint,
        };
        let shown = context.credential.as_ref().and_then(|hash| self.state.token(hash)).cloned();
        let token = authenticate(&self.state, &context, &command).ok().cloned();
        // A refusal quotes the command, so keep what it needs; cloning costs reference counts, not payloads.
        let quoted = command.clone();
        let decided = decide_as(&self.state, &context, token.as_ref(), command).and_then(check_size);
        let (mut events, answer) = match decided.map_err(Rejection::quotable) {
            Ok((events, answer)) => (events, Ok(answer)),
            Err(rejection) => (self.refused(&context, &quoted, &rejection), Err(rejection)),
        };
        // Whatever led here, a record quotes no token: neither of a part that was refused, nor of an alert somebody wrote.
        events.iter_mut().for_each(Event::make_quotable);
        let counted = token.as_deref().filter(|_| is_a_use(&quoted, answer.as_ref().err()));
        events.extend(counted.and_then(identity::login::used));
        events.extend(guard::notice::of_decision(&self.state, &context, token.as_deref(), &mut self.recent, &events));
        let actor = actor(&quoted, token.as_deref(), &events);
        let source = limits::cut(ask.source, limits::SOURCE_BYTES_MAX);
        let decision = Decision {
            stamp,
            actor,
            // A token that has ended, or is shown from where it does not count, is named all the same.
            accessor: made(&events).or_else(|| shown.map(|token| token.accessor)),
            policies: self.state.policies_changed(),
            request: ask.request,
            fingerprint: ask.fingerprint,
            source,
            events,
        };
        self.state.apply(&decision)?;
        Ok((decision, answer))
    }

    /// The record of a refusal, and what goes with it.
    fn refused(&self, context: &Context, command: &Command, rejection: &Rejection) -> Vec<Event> {
        let mut events = vec![refusal(command, rejection)];
        if matches!(rejection, Rejection::AgainstRule { .. }) {
            events.extend(guard::looking::looked_into(&self.state, command, rejection));
        }
        if let Command::Login(login) = command {
            events.extend(identity::login::refused(&self.state, context, login));
        }
        events
    }
}

/// What does not fit a batch would take everything down that is decided beside it.
fn check_size((events, answer): (Vec<Event>, Answer)) -> Result<(Vec<Event>, Answer), Rejection> {
    let bytes = codec::encoded_bytes(&events);
    if bytes <= limits::DECISION_BYTES_MAX {
        return Ok((events, answer));
    }
    let most = limits::DECISION_BYTES_MAX;
    Err(Rejection::Limit(format!("what is asked for takes {bytes} bytes of the log, at most {most} fit: ask for less at once")))
}

/// The token that was made by logging in just now.
fn made(events: &[Event]) -> Option<Accessor> {
    events.iter().find_map(|event| match event {
        Event::TokenCreated { token } if event.is_login() => Some(token.accessor),
        _ => None,
    })
}

/// Who stands in the record: the cluster itself, who logged in just now, or the holder of the token shown.
fn actor(command: &Command, token: Option<&Token>, events: &[Event]) -> Option<PrincipalName> {
    match command {
        Command::Found(_) | Command::Upkeep(_) => PrincipalName::parse(FOUNDER).ok(),
        Command::Login(_) => events.iter().find_map(|event| match event {
            Event::TokenCreated { token } => Some(token.principal.clone()),
            _ => None,
        }),
        _ => token.map(|token| token.principal.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_entry_of_the_log_holds_is_refused_before_it_is_decided() {
        let observed = |bytes: usize| {
            let (operation, environment) = (crate::operation::Operation::SecretList, None);
            vec![Event::Observed { operation, environment, subject: "x".repeat(bytes) }]
        };
        assert!(check_size((observed(1000), Answer::Done)).is_ok());
        let refused = check_size((observed(limits::DECISION_BYTES_MAX), Answer::Done)).unwrap_err();
        assert!(refused.to_string().contains("ask for less at once"), "{refused}");
    }
}

//! Wrapping: something handed over to whoever has a token that opens it, once.

use super::{IdentityAnswer, IdentityEvent, WrapWish, Wrapped, WrappedOf};
use crate::decide::{Answer, Context, Decided, Desk};
use crate::event::Event;
use crate::guard::{AlertKind, Severity, notice};
use crate::ids::{Accessor, TokenHash};
use crate::limits;
use crate::operation::Operation;
use crate::rejection::Rejection;
use crate::secret::VersionState;
use crate::state::State;

impl Desk<'_> {
    /// Anybody with a token may wrap: what is in it, he has already.
    pub(super) fn wrap(&self, wish: WrapWish) -> Decided {
        let identity = &self.state.identity;
        let now = self.context.stamp;
        let ended: Vec<&Wrapped> = identity.wrapped_ended_by(now).take(limits::ENDED_SWEPT_MAX).collect();
        let [_, _, _, count, bytes, ..] = identity.counts();
        let freed: usize = ended.iter().map(|wrapped| wrapped.payload.len()).sum();
        if wish.payload.len() > limits::WRAPPED_BYTES_MAX || wish.about.len() > limits::TEXT_BYTES_MAX {
            return Err(Rejection::Limit(format!(
                "what is wrapped has {} sealed bytes, at most {} are kept",
                wish.payload.len(),
                limits::WRAPPED_BYTES_MAX
            )));
        }
        let own = identity.all_wrapped().filter(|wrapped| wrapped.created_by == self.token.principal && now < wrapped.expires);
        let (own_count, own_bytes) = own.fold((0, 0), |(count, bytes), own| (count + 1, bytes + own.payload.len()));
        if own_count >= limits::OWN_WRAPPED_MAX || own_bytes + wish.payload.len() > limits::OWN_WRAPPED_BYTES_MAX {
            let who = &self.token.principal;
            return Err(Rejection::Limit(format!(
                "too much of {who} is wrapped and waits for its hand-over: have some unwrapped"
            )));
        }
        if count - ended.len() >= limits::WRAPPED_MAX || bytes - freed + wish.payload.len() > limits::ALL_WRAPPED_BYTES_MAX {
            return Err(Rejection::Limit("too much is wrapped and waits for its hand-over: have some unwrapped".into()));
        }
        if wish.ttl_ms == 0 || wish.ttl_ms > limits::WRAP_TTL_MS_MAX {
            return Err(Rejection::invalid(format!("a wrapping waits 1 to {} ms", limits::WRAP_TTL_MS_MAX)));
        }
        if identity.wrapped(&wish.hash).is_some() {
            return Err(Rejection::Exists { what: "wrapping".into(), name: Accessor::of(&wish.hash).to_string() });
        }
        let mut events: Vec<Event> = ended.iter().map(|wrapped| ended_event(wrapped)).collect();
        let wrapped = Wrapped {
            hash: wish.hash,
            accessor: Accessor::of(&wish.hash),
            digest: *blake3::hash(&wish.payload).as_bytes(),
            payload: wish.payload,
            about: wish.about,
            unwrapped: None,
            expires: now.plus_ms(wish.ttl_ms),
            created: now,
            created_by: self.token.principal.clone(),
        };
        let (hash, wrapped) = (wrapped.hash, Box::new(wrapped));
        events.push(Event::Identity(match wish.of {
            None => IdentityEvent::Wrapped { wrapped },
            Some((environment, secret, version)) => {
                IdentityEvent::SecretWrapped { wrapped, of: WrappedOf { hash, environment, secret, version } }
            }
        }));
        Ok((events, Answer::Done))
    }
}

fn ended_event(wrapped: &Wrapped) -> Event {
    Event::Identity(IdentityEvent::WrappedEnded {
        accessor: wrapped.accessor,
        about: wrapped.about.clone(),
        was_unwrapped: wrapped.unwrapped.is_some(),
    })
}

/// What is wrapped and counts still. Whoever comes second is told so, and the record of it is the sign of an interception.
fn waiting<'a>(state: &'a State, context: &Context, hash: &TokenHash) -> Result<&'a Wrapped, Rejection> {
    let wrapped = state.identity.wrapped(hash);
    let wrapped = wrapped.filter(|wrapped| context.stamp < wrapped.expires);
    let wrapped = wrapped
        .ok_or_else(|| Rejection::NotLoggedIn("the wrapping token is unknown, or its time is up: ask for another".into()))?;
    if let Some(at) = wrapped.unwrapped {
        return Err(Rejection::UnwrappedBefore { at_ms: at.as_ms() });
    }
    check_readable(state, context, wrapped)?;
    Ok(wrapped)
}

/// A copy of a value is no way around what was done to the value since: it does not open while its environment is sealed, nor when
/// the version was deleted or destroyed, or has expired. It waits, as the value does.
fn check_readable(state: &State, context: &Context, wrapped: &Wrapped) -> Result<(), Rejection> {
    let Some(of) = state.identity.wrapped_of(&wrapped.hash) else { return Ok(()) };
    state.keys.check_open(&of.environment)?;
    let home = state.environment(&of.environment)?;
    // Wherever it was moved to.
    let found = home.secret_by_id(of.secret).and_then(|secret| secret.version(of.version));
    let standing = found.map_or(VersionState::Destroyed, |version| version.state);
    let expired = found.is_some_and(|version| version.expires.is_some_and(|end| end <= context.stamp));
    if standing == VersionState::Live && !expired {
        return Ok(());
    }
    let hint = ": what was wrapped of it does not open".into();
    let state = if standing == VersionState::Live { "expired" } else { standing.word() };
    Err(Rejection::NotReadable { path: wrapped.about.clone(), version: of.version, state: state.into(), hint })
}

pub(super) fn unwrap_once(state: &State, context: &Context, hash: &TokenHash) -> Decided {
    let wrapped = waiting(state, context, hash)?;
    let event = IdentityEvent::Unwrapped { accessor: wrapped.accessor, about: wrapped.about.clone() };
    let answer = IdentityAnswer::Unwrapped(Box::new(wrapped.clone()));
    Ok((vec![Event::Identity(event)], Answer::Identity(Box::new(answer))))
}

pub(super) fn look_up(state: &State, context: &Context, hash: &TokenHash) -> Decided {
    let wrapped = waiting(state, context, hash)?;
    let event = Event::Observed { operation: Operation::WrapLookup, environment: None, subject: wrapped.about.clone() };
    let about = Wrapped { payload: bytes::Bytes::new(), ..wrapped.clone() };
    Ok((vec![event], Answer::Identity(Box::new(IdentityAnswer::Unwrapped(Box::new(about))))))
}

/// The alert that goes with the refusal of whoever comes second.
pub(super) fn intercepted(state: &State, context: &Context, hash: &TokenHash) -> Option<Event> {
    let wrapped =
        state.identity.wrapped(hash).filter(|wrapped| context.stamp < wrapped.expires && wrapped.unwrapped.is_some())?;
    let text = format!(
        "what {} wrapped ({}) was asked for again after it had been unwrapped: one of the two is not whom it was meant for",
        wrapped.created_by, wrapped.about
    );
    // By who wrapped it: whoever wraps without end, to have it asked for again, has one alert that counts up.
    let subject = format!("wrapped by {}", wrapped.created_by);
    notice::alert(state, AlertKind::UnwrapTwice, Severity::Critical, &subject, text)
}

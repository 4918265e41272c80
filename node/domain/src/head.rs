//! The head: the committed state and all that the leader has decided since. Decisions are made here, one after the other.

use crate::batch::Decision;
use crate::command::Command;
use crate::decide::{Answer, Context, FOUNDER, decide, refusal};
use crate::ids::{PrincipalName, RequestId, Revision, Stamp, TokenHash};
use crate::limits;
use crate::rejection::Rejection;
use crate::state::{Misfit, State};
use serde::{Deserialize, Serialize};

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
}

/// A state that runs ahead of what is committed.
#[derive(Clone, Debug)]
pub struct Head {
    state: State,
}

impl Head {
    /// A head that starts at a committed state.
    #[must_use]
    pub fn new(committed: State) -> Head {
        Head { state: committed }
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
        let context = Context { stamp, credential: ask.credential, request: ask.request, fingerprint: ask.fingerprint };
        let actor = self.actor(&context, &command);
        // A refusal quotes the command, so keep what it needs; cloning costs reference counts, not payloads.
        let quoted = command.clone();
        let (events, answer) = match decide(&self.state, &context, command) {
            Ok((events, answer)) => (events, Ok(answer)),
            Err(rejection) => (vec![refusal(&quoted, &rejection)], Err(rejection)),
        };
        let source = limits::cut(ask.source, limits::SOURCE_BYTES_MAX);
        let decision = Decision { stamp, actor, request: ask.request, fingerprint: ask.fingerprint, source, events };
        self.state.apply(&decision)?;
        Ok((decision, answer))
    }

    fn actor(&self, context: &Context, command: &Command) -> Option<PrincipalName> {
        if matches!(command, Command::Found(_)) {
            return PrincipalName::parse(FOUNDER).ok();
        }
        self.state.authenticate(context.credential.as_ref(), context.stamp).ok().map(|token| token.principal.clone())
    }
}

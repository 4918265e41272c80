//! Where every call comes in: who asks, under which request id, until when; and where its outcome goes out.

use crate::api::status;
use crate::api::streams::Streams;
use crate::api::throttle::{Throttle, Throttled};
use crate::api::writing::TRIES;
use crate::authn::Authn;
use crate::engine::proposer::Decided;
use crate::engine::rules::RuleChecker;
use crate::engine::{Conduit, Lost, Sealing, Values, View};
use crate::gate::Gate;
use crate::repair::values::ValueRepair;
use node_domain::ids::EnvironmentName;
use node_domain::limits;
use node_domain::operation::Operation;
use node_domain::policy::Asking;
use node_domain::state::EnvironmentAbout;
use node_domain::token::Token;
use node_domain::{Answer, Ask, Command, Rejection};
use std::sync::Arc;
use std::time::Duration;
use storage::journal::Journal;
use storage::planted;
use tokio::time::Instant;
use tonic::{Request, Status};

/// How long a call may take when its caller does not say.
const DEADLINE_DEFAULT: Duration = Duration::from_secs(10);
/// How long a call may take at most.
const DEADLINE_MAX: Duration = Duration::from_secs(60);

/// What the services share.
pub(crate) struct Door {
    pub(crate) node_id: u64,
    pub(crate) conduit: Conduit,
    pub(crate) sealing: Arc<Sealing>,
    pub(crate) values: Arc<Values>,
    pub(crate) journal: Journal,
    /// Where values come from that are damaged here.
    pub(crate) mending: ValueRepair,
    /// Rules for values, compiled.
    pub(crate) rules: RuleChecker,
    /// How much may be asked.
    pub(crate) throttle: Throttle,
    /// How many streams may be open.
    pub(crate) streams: Streams,
    pub(crate) authn: Authn,
    /// Closed when the node is drained or stops: streams end then.
    pub(crate) gate: Gate,
}

/// Who asks, and until when.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) ask: Ask,
    pub(crate) deadline: Instant,
    /// What is wrong with the call's metadata; its command is refused for it.
    flaw: Option<Rejection>,
    /// Set when it asks too much: nothing is done for it.
    throttled: Option<Box<Throttled>>,
}

impl Caller {
    /// The same caller asking something else: another request id, and as long again as a call has by default.
    pub(crate) fn again(&self) -> Caller {
        let mut caller = self.clone();
        caller.ask.request = uuid::Uuid::new_v4().into_bytes();
        caller.deadline = Instant::now() + DEADLINE_DEFAULT;
        caller
    }

    /// Whether anything is done for this call before it is decided.
    ///
    /// # Errors
    /// When it asks too much.
    pub(crate) fn admitted(&self) -> Result<(), Rejection> {
        self.throttled.as_ref().map_or(Ok(()), |throttled| Err(throttled.rejection.clone()))
    }

    /// The caller's token, as `view` knows it.
    ///
    /// # Errors
    /// When it does not count, or not any more.
    pub(crate) fn token<'a>(&self, view: &'a View) -> Result<&'a Token, Rejection> {
        Ok(view.state.authenticate(self.ask.credential.as_ref(), self.ask.address, view.state.stamp())?)
    }

    /// As `token`, for what has just been decided: a token whose last use that was counts for its answer still.
    ///
    /// # Errors
    /// When it does not count, or not any more.
    pub(crate) fn token_of_answer<'a>(&self, view: &'a View) -> Result<&'a Token, Rejection> {
        let shown = self.ask.credential.as_ref().and_then(|hash| view.state.token(hash));
        match shown.filter(|token| token.terms.uses_left == Some(0)) {
            Some(spent) => Ok(spent),
            None => self.token(view),
        }
    }

    /// Who asks, from where, at the stamp of `view`.
    pub(crate) fn asking<'a>(&self, view: &View, token: &'a Token) -> Asking<'a> {
        Asking { token, address: self.ask.address, now: view.state.stamp() }
    }
}

/// What a request is about, for the record of its refusal when it cannot be parsed.
pub(crate) trait Asked {
    fn environment(&self) -> &str {
        ""
    }

    fn subject(&self) -> &str {
        ""
    }

    /// As how many requests it counts.
    fn weight(&self) -> usize {
        1
    }
}

/// Each message of a stream is asked by itself.
impl<T> Asked for tonic::Streaming<T> {}

/// The committed outcome of a call.
pub(crate) struct Done {
    pub(crate) index: u64,
    pub(crate) answer: Answer,
    /// A view that holds the call's records.
    pub(crate) view: Arc<View>,
}

impl Door {
    /// Takes a call in: its caller and its message. Before anything else it takes from the measure of what may be asked.
    pub(crate) fn receive<T: Asked>(&self, request: Request<T>) -> (Caller, T) {
        let (caller, message) = self.take_in(request);
        (self.measured(caller, &message), message)
    }

    /// As `receive`, without the token that may have been shown: logging in needs none, and uses none up.
    pub(crate) fn receive_login<T: Asked>(&self, request: Request<T>) -> (Caller, T) {
        let (mut caller, message) = self.take_in(request);
        caller.ask.credential = None;
        (self.measured(caller, &message), message)
    }

    /// The caller, admitted to ask this or not.
    pub(crate) fn measured(&self, mut caller: Caller, asked: &impl Asked) -> Caller {
        caller.throttled = self.throttle.check(&self.view(), &caller, asked).err();
        caller
    }

    fn take_in<T>(&self, request: Request<T>) -> (Caller, T) {
        let address = request.remote_addr().map(|address| address.ip().to_canonical());
        let metadata = request.metadata();
        let bearer =
            metadata.get("authorization").and_then(|value| value.to_str().ok()).and_then(|value| value.strip_prefix("Bearer "));
        let asked_id =
            metadata.get("x-request-id").map(|value| value.to_str().ok().and_then(|text| uuid::Uuid::try_parse(text).ok()));
        let flaw = matches!(asked_id, Some(None)).then(|| Rejection::invalid("x-request-id must be a UUID"));
        let asked_id = asked_id.filter(|_| !planted::is_back("request-forgotten"));
        let id = asked_id.flatten().unwrap_or_else(uuid::Uuid::new_v4);
        let timeout = metadata.get("grpc-timeout").and_then(|value| value.to_str().ok()).and_then(timeout);
        let ask = Ask {
            credential: bearer.map(|text| self.sealing.token_hash(text.trim())),
            request: id.into_bytes(),
            fingerprint: 0,
            source: address.map_or_else(|| format!("{}/unknown", self.node_id), |address| format!("{}/{address}", self.node_id)),
            address,
        };
        let deadline = Instant::now() + timeout.unwrap_or(DEADLINE_DEFAULT).min(DEADLINE_MAX);
        (Caller { ask, deadline, flaw, throttled: None }, request.into_inner())
    }

    /// Takes a call in that changes something: the same id with another content is not the same request.
    pub(crate) fn receive_change<T: prost::Message + Asked>(&self, request: Request<T>, operation: Operation) -> (Caller, T) {
        let (caller, message) = self.receive(request);
        (self.fingerprinted(caller, &message, operation), message)
    }

    /// As `receive_change`, for what holds a password: `without` takes it out, so that no fast hash of it is kept in log and receipts.
    pub(crate) fn receive_secretive<T: prost::Message + Clone + Asked>(
        &self,
        request: Request<T>,
        operation: Operation,
        without: impl FnOnce(&mut T),
    ) -> (Caller, T) {
        let (caller, message) = self.receive(request);
        let mut rest = message.clone();
        without(&mut rest);
        (self.fingerprinted(caller, &rest, operation), message)
    }

    fn fingerprinted<T: prost::Message>(&self, mut caller: Caller, message: &T, operation: Operation) -> Caller {
        // Two methods may take the same message: which one was called is part of what was asked.
        let mut asked = zeroize::Zeroizing::new((operation as u16).to_be_bytes().to_vec());
        message.encode(&mut *asked).expect("a vector takes every byte");
        caller.ask.fingerprint = self.sealing.fingerprint(&asked);
        caller
    }

    /// Brings a command, or the refusal of what could not become one, to its committed outcome.
    ///
    /// # Errors
    /// The refusal, or that there is no outcome.
    pub(crate) async fn submit(
        &self,
        caller: &Caller,
        operation: Operation,
        asked: &(dyn Asked + Sync),
        command: Result<Command, Rejection>,
    ) -> Result<Done, Status> {
        let decided = self.decided(caller, operation, asked, command).await?;
        decided.map_err(|rejection| status::refused(&rejection))
    }

    /// As `submit`, for who goes on from a refusal: the outer error is that there is no outcome.
    pub(crate) async fn decided(
        &self,
        caller: &Caller,
        operation: Operation,
        asked: &(dyn Asked + Sync),
        command: Result<Command, Rejection>,
    ) -> Result<Result<Done, Rejection>, Status> {
        let command = match (&caller.flaw, command) {
            (None, Ok(command)) => command,
            (Some(flaw), _) => malformed(operation, asked, flaw.clone()),
            (None, Err(rejection)) => malformed(operation, asked, rejection),
        };
        let command = match &caller.throttled {
            None => command,
            Some(throttled) if throttled.is_recorded => malformed(operation, asked, throttled.rejection.clone()),
            Some(throttled) => return Ok(Err(throttled.rejection.clone())),
        };
        let submitted = self.conduit.submit(caller.ask.clone(), command, caller.deadline).await;
        let (decided, view) = submitted.map_err(|lost| status::lost(&lost))?;
        metrics::counter!("holdfast_operations_total", "operation" => operation.word(), "refused" => if decided.answer.is_ok() { "no" } else { "yes" })
            .increment(1);
        Ok(decided.answer.map(|answer| Done { index: decided.index, answer, view }))
    }

    /// As `submit`, for a command that carries values held against rules: where the rules moved meanwhile, it is made again.
    pub(crate) async fn submit_checked<F: Future<Output = Result<Command, Rejection>> + Send>(
        &self,
        caller: &Caller,
        operation: Operation,
        asked: &(dyn Asked + Sync),
        parse: impl Fn() -> F + Send + Sync,
    ) -> Result<Done, Status> {
        for _ in 1..TRIES {
            let command = parse().await;
            match self.decided(caller, operation, asked, command).await? {
                Err(Rejection::RulesMoved { .. }) => {}
                decided => return decided.map_err(|rejection| status::refused(&rejection)),
            }
        }
        let command = parse().await;
        self.submit(caller, operation, asked, command).await
    }

    /// The environment with this name. One that this node does not know may be new: it catches up once before it says no.
    pub(crate) async fn environment(
        &self,
        caller: &Caller,
        name: &str,
    ) -> Result<(EnvironmentName, Arc<EnvironmentAbout>), Rejection> {
        caller.admitted()?;
        let name = EnvironmentName::parse(name)?;
        if let Ok(environment) = self.view().state.environment(&name) {
            return Ok((name, environment.about.clone()));
        }
        let view = self.catch_up(caller).await;
        let about = view.state.environment(&name)?.about.clone();
        Ok((name, about))
    }

    /// Has the cluster ask something of itself; `who` on this node does it, for the source of the record.
    ///
    /// # Errors
    /// When there is no outcome within `patience`.
    pub(crate) async fn submit_own(&self, who: &str, command: Command, patience: Duration) -> Result<(Decided, Arc<View>), Lost> {
        self.conduit.submit(self.own(who), command, Instant::now() + patience).await
    }

    /// As [`submit_own`](Door::submit_own), for what only the node that leads can know, and knows only while it does: it is tried once, here.
    pub(crate) async fn submit_here(&self, who: &str, command: Command, patience: Duration) -> Result<Decided, Lost> {
        self.conduit.submit_here(self.own(who), command, Instant::now() + patience).await
    }

    fn own(&self, who: &str) -> Ask {
        Ask {
            credential: None,
            request: uuid::Uuid::new_v4().into_bytes(),
            fingerprint: 0,
            source: format!("{}/{who}", self.node_id),
            address: None,
        }
    }

    /// A view that is not older than this call. It costs a record, though no use of a counted token, so it is asked for in doubt only.
    pub(crate) async fn catch_up(&self, caller: &Caller) -> Arc<View> {
        let mut ask = caller.ask.clone();
        ask.request = uuid::Uuid::new_v4().into_bytes();
        match self.conduit.submit(ask, Command::CatchUp, caller.deadline).await {
            Ok((_, view)) => view,
            Err(_) => self.view(),
        }
    }

    /// Whether the caller may have work done before the leader has decided: it may not ask too much, and its token must be one that
    /// this node knows, or the leader.
    pub(crate) async fn check_known(&self, caller: &Caller) -> Result<(), Rejection> {
        caller.admitted()?;
        if caller.token(&self.view()).is_ok() { Ok(()) } else { caller.token(&*self.catch_up(caller).await).map(drop) }
    }

    pub(crate) fn view(&self) -> Arc<View> {
        self.conduit.published().view()
    }
}

fn malformed(operation: Operation, asked: &(dyn Asked + Sync), rejection: Rejection) -> Command {
    // What parses stands whole in the record, to be found there; the rest of what does not is cut. So is what is said of it, here
    // already: it travels to the leader.
    let quote = |text: &str, bytes_max: usize| text[..text.floor_char_boundary(bytes_max)].to_owned();
    let environment = quote(asked.environment(), limits::NAME_BYTES_MAX);
    Command::Malformed {
        operation,
        environment,
        subject: quote(asked.subject(), limits::PATH_BYTES_MAX),
        rejection: rejection.quotable(),
    }
}

/// The `grpc-timeout` header: up to eight digits and a unit.
fn timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let count: u64 = digits.parse().ok().filter(|_| digits.len() <= 8)?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_header_is_digits_and_a_unit() {
        assert_eq!(timeout("250m"), Some(Duration::from_millis(250)));
        assert_eq!(timeout("2S"), Some(Duration::from_secs(2)));
        for bad in ["", "m", "12", "123456789m", "-1S", "1x", "1é"] {
            assert_eq!(timeout(bad), None, "{bad}");
        }
    }
}

//! The service of alerts.

use crate::api::{Door, convert, status};
use crate::managers::alerts::Target;
use node_domain::guard::{Alert, GuardCommand, Outbox, Severity, Sink, SinkWish};
use node_domain::ids::SinkName;
use node_domain::operation::Operation;
use node_domain::{Command, Rejection, limits};
use proto::v1;
use proto::v1::alerts_server::Alerts;
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// The service, behind the door.
pub(crate) struct AlertsService(pub(crate) Arc<Door>);

/// Alerts shown where nothing else is said.
const SHOWN_DEFAULT: usize = 100;

type Reply<T> = Result<Response<T>, Status>;

fn guard(command: GuardCommand) -> Command {
    Command::Guard(Box::new(command))
}

#[tonic::async_trait]
impl Alerts for AlertsService {
    async fn list(&self, request: Request<v1::ListAlertsRequest>) -> Reply<v1::ListAlertsResponse> {
        let (caller, message) = self.0.receive(request);
        let done = self.0.submit(&caller, Operation::AlertList, &message, Ok(guard(GuardCommand::ListAlerts))).await?;
        let outbox = &done.view.state.guard().outbox;
        let wanted = |alert: &&Arc<Alert>| {
            (message.id == 0 || alert.id == message.id) && !(message.open_only && alert.acknowledged.is_some())
        };
        let limit = if message.limit == 0 { SHOWN_DEFAULT } else { (message.limit as usize).min(limits::ALERTS_MAX) };
        let mut alerts: Vec<_> = outbox.alerts().rev().filter(wanted).take(limit).map(|alert| show(alert, outbox)).collect();
        alerts.reverse();
        if message.id > 0 && alerts.is_empty() {
            return Err(status::refused(&Rejection::not_found("alert", message.id)));
        }
        let counts = outbox.counts();
        Ok(Response::new(v1::ListAlertsResponse { alerts, dropped: counts.dropped, lost: counts.lost, index: done.index }))
    }

    async fn acknowledge(&self, request: Request<v1::AcknowledgeAlertRequest>) -> Reply<v1::AcknowledgeAlertResponse> {
        let (caller, message) = self.0.receive_change(request, Operation::AlertAcknowledge);
        let command = guard(GuardCommand::Acknowledge { alert: message.id });
        let done = self.0.submit(&caller, Operation::AlertAcknowledge, &message, Ok(command)).await?;
        Ok(Response::new(v1::AcknowledgeAlertResponse { index: done.index }))
    }

    async fn test(&self, request: Request<v1::TestAlertRequest>) -> Reply<v1::TestAlertResponse> {
        let (caller, message) = self.0.receive_change(request, Operation::AlertTest);
        let text = if message.text.is_empty() { "a test: nothing happened".to_owned() } else { message.text.clone() };
        let command = severity(&message.severity).map(|severity| guard(GuardCommand::TestAlert { severity, text }));
        let done = self.0.submit(&caller, Operation::AlertTest, &message, command).await?;
        Ok(Response::new(v1::TestAlertResponse { index: done.index }))
    }

    async fn put_sink(&self, request: Request<v1::PutSinkRequest>) -> Reply<v1::AlertSink> {
        let (caller, message) = self.0.receive_change(request, Operation::SinkPut);
        let parse = || {
            let name = SinkName::parse(&message.name)?;
            let (target, kind, place) = Target::parse(message.to.as_ref())?;
            let sealed = target.seal(&self.0.sealing, &name).map_err(|error| Rejection::NodeFault(error.to_string()))?.into();
            let wish = SinkWish { name, kind, place, sealed, least: severity(&message.least)? };
            Ok::<_, Rejection>(guard(GuardCommand::PutSink(wish)))
        };
        let done = self.0.submit(&caller, Operation::SinkPut, &message, parse()).await?;
        let outbox = &done.view.state.guard().outbox;
        let name = SinkName::parse(&message.name).map_err(|bad| status::refused(&bad.into()))?;
        let sink = outbox.sink(&name).ok_or_else(|| Status::not_found(format!("sink {name} was deleted meanwhile")))?;
        Ok(Response::new(show_sink(outbox, sink)))
    }

    async fn delete_sink(&self, request: Request<v1::DeleteSinkRequest>) -> Reply<v1::DeleteSinkResponse> {
        let (caller, message) = self.0.receive_change(request, Operation::SinkDelete);
        let parse = || Ok::<_, Rejection>(guard(GuardCommand::DeleteSink { name: SinkName::parse(&message.name)? }));
        let done = self.0.submit(&caller, Operation::SinkDelete, &message, parse()).await?;
        Ok(Response::new(v1::DeleteSinkResponse { index: done.index }))
    }

    async fn list_sinks(&self, request: Request<v1::ListSinksRequest>) -> Reply<v1::ListSinksResponse> {
        let (caller, message) = self.0.receive(request);
        let done = self.0.submit(&caller, Operation::SinkList, &message, Ok(guard(GuardCommand::ListSinks))).await?;
        let outbox = &done.view.state.guard().outbox;
        let sinks = outbox.sinks().map(|sink| show_sink(outbox, sink)).collect();
        Ok(Response::new(v1::ListSinksResponse { sinks, index: done.index }))
    }
}

fn severity(word: &str) -> Result<Severity, Rejection> {
    if word.is_empty() { Ok(Severity::Warning) } else { Severity::parse(word) }
}

fn show(alert: &Alert, outbox: &Outbox) -> v1::Alert {
    let (by, at) = alert.acknowledged.as_ref().map(|(by, at)| (by.to_string(), at.as_ms())).unwrap_or_default();
    v1::Alert {
        id: alert.id,
        kind: alert.kind.word().to_owned(),
        severity: alert.severity.word().to_owned(),
        subject: alert.subject.clone(),
        text: alert.text.clone(),
        first_at_ms: alert.first.as_ms(),
        last_at_ms: alert.last.as_ms(),
        count: alert.count,
        owed: alert.owed.iter().map(ToString::to_string).collect(),
        attempts: alert.attempts,
        acknowledged_by: by,
        acknowledged_at_ms: at,
        no_sink: alert.is_delivered() && !outbox.is_wanted(alert.severity),
    }
}

/// A sink, with how far it lags behind.
fn show_sink(outbox: &Outbox, sink: &Sink) -> v1::AlertSink {
    let mut waiting = outbox.alerts().filter(|alert| alert.owed.contains(&sink.name)).peekable();
    let oldest = waiting.peek().map_or(0, |alert| alert.first.as_ms());
    v1::AlertSink {
        name: sink.name.to_string(),
        kind: sink.kind.word().to_owned(),
        place: sink.place.clone(),
        least: sink.least.word().to_owned(),
        delivered: sink.delivered,
        failures: sink.failures,
        last_error: sink.last_error.clone(),
        resumes_at_ms: if sink.failures == 0 { 0 } else { sink.resumes.as_ms() },
        waiting: waiting.count() as u64,
        oldest_at_ms: oldest,
    }
}

convert::asked_of_system! {
    v1::ListAlertsRequest, v1::AcknowledgeAlertRequest, v1::TestAlertRequest, v1::ListSinksRequest,
    v1::PutSinkRequest: name, v1::DeleteSinkRequest: name,
}

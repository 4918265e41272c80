//! What a request about guard leads to.

use super::{AlertKind, EnvironmentChange, GuardCommand, GuardEvent, GuardUpkeep, Severity, Sink, SinkWish, notice};
use crate::decide::{Answer, Context, Decided, Desk};
use crate::event::Event;
use crate::ids::{EnvironmentName, SinkName};
use crate::limits;
use crate::operation::Operation;
use crate::policy::Capability;
use crate::rejection::Rejection;
use crate::state::State;

impl Desk<'_> {
    pub(crate) fn decide_guard(&self, command: GuardCommand) -> Decided {
        match command {
            GuardCommand::ListAlerts => self.observe_system(Capability::Alerts, Operation::AlertList, String::new()),
            GuardCommand::Acknowledge { alert } => self.acknowledge(alert),
            GuardCommand::TestAlert { severity, text } => self.test_alert(severity, text),
            GuardCommand::ListSinks => self.observe_system(Capability::Alerts, Operation::SinkList, String::new()),
            GuardCommand::PutSink(wish) => self.put_sink(wish),
            GuardCommand::DeleteSink { name } => self.delete_sink(name),
            GuardCommand::SetEnvironment { environment, change } => self.set_environment(environment, change),
            GuardCommand::PlanPromotion { from, to, items } => self.plan_promotion(from, to, items),
            GuardCommand::ReadPromotion { id } => self.look_at_promotion(id),
            GuardCommand::ListPromotions => self.list_promotions(),
            GuardCommand::ApprovePromotion { id } => self.approve_promotion(id),
            GuardCommand::RejectPromotion { id, reason } => self.reject_promotion(id, reason),
            GuardCommand::CancelPromotion { id } => self.cancel_promotion(id),
            GuardCommand::ApplyPromotion { id, sealed } => self.apply_promotion(id, sealed),
            GuardCommand::PutRule(rule) => self.put_rule(*rule),
            GuardCommand::DeleteRule { name } => self.delete_rule(name),
            GuardCommand::ListRules => self.observe_system(Capability::Governance, Operation::RuleList, String::new()),
            GuardCommand::CheckRules { environment } => self.check_rules(environment),
        }
    }

    fn acknowledge(&self, alert: u64) -> Decided {
        self.permit_system(Capability::Alerts, &format!("alert-{alert}"))?;
        let outbox = &self.state.guard.outbox;
        let found = outbox.alert(alert).ok_or_else(|| Rejection::not_found("alert", alert))?;
        if let Some((by, _)) = &found.acknowledged {
            return Err(Rejection::Exists { what: "acknowledgement of alert".into(), name: format!("{alert} by {by}") });
        }
        Ok((vec![Event::Guard(GuardEvent::AlertAcknowledged { alert })], Answer::Done))
    }

    fn test_alert(&self, severity: Severity, text: String) -> Decided {
        self.permit_system(Capability::Alerts, "test")?;
        if text.len() > limits::ALERT_TEXT_BYTES_MAX {
            return Err(Rejection::invalid(format!("the text of an alert is at most {} bytes", limits::ALERT_TEXT_BYTES_MAX)));
        }
        // A test is an alert of its own each time: it is raised to see it arrive.
        let subject = format!("test {} by {}", self.seq(0).0, self.token.principal);
        let raised = notice::alert(self.state, AlertKind::Test, severity, &subject, text);
        Ok((raised.into_iter().collect(), Answer::Done))
    }

    fn put_sink(&self, wish: SinkWish) -> Decided {
        self.permit_system(Capability::Alerts, wish.name.as_str())?;
        wish.check()?;
        let outbox = &self.state.guard.outbox;
        if outbox.sink(&wish.name).is_none() && outbox.sinks_count() >= limits::SINKS_MAX {
            return Err(Rejection::Limit(format!("there are {} sinks already: delete one", limits::SINKS_MAX)));
        }
        let digest = *blake3::hash(&wish.sealed).as_bytes();
        Ok((vec![Event::Guard(GuardEvent::SinkPut { sink: Box::new(Sink::new(wish)), digest })], Answer::Done))
    }

    fn set_environment(&self, environment: EnvironmentName, change: EnvironmentChange) -> Decided {
        self.permit_system(Capability::Governance, environment.as_str())?;
        self.state.environment(&environment)?;
        change.check()?;
        let alone = (change.approvals == Some(0)).then(|| {
            let text = format!("{} lets promotions to {environment} be applied without any approval", self.token.principal);
            notice::alert(self.state, AlertKind::Governance, Severity::Warning, environment.as_str(), text)
        });
        let set = Event::Guard(GuardEvent::EnvironmentSet { environment, change });
        Ok((std::iter::once(set).chain(alone.flatten()).collect(), Answer::Done))
    }

    fn delete_sink(&self, name: SinkName) -> Decided {
        self.permit_system(Capability::Alerts, name.as_str())?;
        self.state.guard.outbox.sink(&name).ok_or_else(|| Rejection::not_found("sink", &name))?;
        Ok((vec![Event::Guard(GuardEvent::SinkDeleted { name })], Answer::Done))
    }
}

/// What the cluster asks of itself. It may come late: what it is about may have gone meanwhile.
pub(crate) fn upkeep(state: &State, _context: &Context, command: &GuardUpkeep) -> Decided {
    let event = match command {
        GuardUpkeep::Delivered { alert, sink } => {
            check_owed(state, *alert, sink)?;
            GuardEvent::AlertDelivered { alert: *alert, sink: sink.clone() }
        }
        GuardUpkeep::Attempted { alert, sink, error } => {
            check_owed(state, *alert, sink)?;
            let error = limits::cut(error.clone(), limits::ALERT_TEXT_BYTES_MAX);
            GuardEvent::AlertAttempted { alert: *alert, sink: sink.clone(), error }
        }
        GuardUpkeep::Raise { kind, severity, subject, text } => {
            let raised = notice::alert(state, *kind, *severity, subject, text.as_str());
            let counted_out = || Rejection::Limit(format!("an alert about {subject} counts up no more"));
            return Ok((vec![raised.ok_or_else(counted_out)?], Answer::Done));
        }
    };
    Ok((vec![Event::Guard(event)], Answer::Done))
}

fn check_owed(state: &State, alert: u64, sink: &SinkName) -> Result<(), Rejection> {
    let owed = state.guard.outbox.alert(alert).is_some_and(|alert| alert.owed.contains(sink));
    if owed { Ok(()) } else { Err(Rejection::not_found("alert", format!("{alert} owed to {sink}"))) }
}

//! What all records so far amount to, as far as guard goes.

use super::{
    Alert, AlertCounts, EnvironmentSettings, GuardEvent, Known, KnownAddresses, Outbox, Promotion, PromotionState, Promotions,
    Settings, Sink, ValueRule, ValueRules,
};
use crate::ids::{EnvironmentName, PrincipalName, Revision};
use crate::state::{At, Digest};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The part of the state that is about guard. A persistent structure: a clone costs nothing.
#[derive(Clone, Debug, Default)]
pub struct GuardState {
    /// Alerts and where they go.
    pub outbox: Outbox,
    /// Where principals came from before.
    pub known: Known,
    /// Settings of environments.
    pub settings: Settings,
    /// Plans to carry values from one environment to another.
    pub promotions: Promotions,
    /// Rules for values.
    pub rules: ValueRules,
}

/// One piece of it in a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum GuardPiece {
    Sink(Arc<Sink>),
    /// Oldest first.
    Alert(Arc<Alert>),
    Counts(AlertCounts),
    Known(Arc<KnownAddresses>),
    Settings(EnvironmentName, EnvironmentSettings),
    Promotion(Arc<Promotion>),
    Rule(Arc<ValueRule>),
    /// The record that changed a rule last.
    RulesChanged(Revision),
    /// Who made the token that a plan was asked for with.
    PromotionMakers(u64, Arc<Vec<PrincipalName>>),
}

impl GuardState {
    /// Folds an event.
    pub(crate) fn fold(&mut self, event: &GuardEvent, at: &At<'_>, digest: &mut Digest) -> Result<(), &'static str> {
        match event {
            GuardEvent::AlertRaised { kind, severity, subject, text } => {
                self.outbox.raise((*kind, *severity, subject, text), at, digest);
                Ok(())
            }
            GuardEvent::AlertAcknowledged { alert } => {
                let by = at.actor.cloned().ok_or("somebody without a name takes note of an alert")?;
                self.outbox.acknowledge(*alert, by, at, digest)
            }
            GuardEvent::AlertDelivered { alert, sink } => self.outbox.delivered(*alert, sink, at, digest),
            GuardEvent::AlertAttempted { alert, sink, error } => self.outbox.attempted(*alert, sink, error, at, digest),
            GuardEvent::SinkPut { sink, .. } => {
                self.outbox.put_sink(Sink::clone(sink), digest);
                Ok(())
            }
            GuardEvent::SinkDeleted { name } => self.outbox.delete_sink(name, digest),
            GuardEvent::AddressSeen { principal, address } => {
                self.known.add(principal, *address, at.stamp, digest);
                Ok(())
            }
            GuardEvent::EnvironmentSet { environment, change } => {
                self.settings.change(environment, change, digest);
                Ok(())
            }
            GuardEvent::RulePut { rule } => {
                self.rules.put(ValueRule::clone(rule), at, digest);
                Ok(())
            }
            GuardEvent::RuleDeleted { name } => self.rules.delete(name, at, digest),
            event => self.fold_promotion(event, at, digest),
        }
    }

    fn fold_promotion(&mut self, event: &GuardEvent, at: &At<'_>, digest: &mut Digest) -> Result<(), &'static str> {
        let by = || at.actor.cloned().ok_or("somebody without a name changes a promotion");
        match event {
            GuardEvent::PromotionPlanned { plan } => {
                self.promotions.add(Promotion::clone(plan), at, digest);
                Ok(())
            }
            GuardEvent::PromotionMakersNoted { promotion, makers, .. } => {
                self.promotions.note_makers(*promotion, makers.clone(), digest)
            }
            GuardEvent::PromotionApproved { promotion, .. } => {
                let by = by()?;
                self.promotions.change(*promotion, digest, |plan| plan.approved_by.push(by))
            }
            GuardEvent::PromotionRejected { promotion, reason, .. } => {
                let state = PromotionState::Rejected { by: by()?, reason: reason.clone() };
                self.promotions.change(*promotion, digest, |plan| plan.state = state)
            }
            GuardEvent::PromotionCancelled { promotion, .. } => {
                self.promotions.change(*promotion, digest, |plan| plan.state = PromotionState::Cancelled)
            }
            GuardEvent::PromotionApplied { promotion, versions, .. } => {
                let state = PromotionState::Applied { by: by()?, versions: versions.clone() };
                self.promotions.change(*promotion, digest, |plan| plan.state = state)
            }
            _ => Err("it is nothing that happens to a promotion"),
        }
    }

    /// All pieces, lazily.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = GuardPiece> + '_ {
        let counts = self.outbox.counts();
        let counts = (counts != AlertCounts::default()).then_some(GuardPiece::Counts(counts));
        let sinks = self.outbox.sinks().map(|sink| GuardPiece::Sink(sink.clone()));
        sinks
            .chain(self.outbox.alerts().map(|alert| GuardPiece::Alert(alert.clone())))
            .chain(counts)
            .chain(self.known.rows().map(|known| GuardPiece::Known(known.clone())))
            .chain(self.settings.rows().map(|(environment, set)| GuardPiece::Settings(environment.clone(), *set)))
            .chain(self.promotions.plans().map(|plan| GuardPiece::Promotion(plan.clone())))
            .chain(self.rules.rules().map(|rule| GuardPiece::Rule(rule.clone())))
            .chain(self.rules.changed_piece().map(GuardPiece::RulesChanged))
            .chain(self.promotions.all_makers().map(|(id, makers)| GuardPiece::PromotionMakers(id, makers.clone())))
    }

    /// Takes in one piece of a snapshot.
    pub(crate) fn take(&mut self, piece: GuardPiece) {
        match piece {
            GuardPiece::Sink(sink) => self.outbox.take_sink(sink),
            GuardPiece::Alert(alert) => self.outbox.take_alert(alert),
            GuardPiece::Counts(counts) => self.outbox.take_counts(counts),
            GuardPiece::Known(known) => self.known.take(known),
            GuardPiece::Settings(environment, settings) => self.settings.take(environment, settings),
            GuardPiece::Promotion(plan) => self.promotions.take(plan),
            GuardPiece::Rule(rule) => self.rules.take(rule),
            GuardPiece::RulesChanged(revision) => self.rules.take_changed(revision),
            GuardPiece::PromotionMakers(id, makers) => self.promotions.take_makers(id, makers),
        }
    }

    /// Adds all rows to a digest that is computed anew.
    pub(crate) fn add_rows(&self, digest: &mut Digest) {
        self.outbox.add_rows(digest);
        self.known.add_rows(digest);
        self.settings.add_rows(digest);
        self.promotions.add_rows(digest);
        self.rules.add_rows(digest);
    }
}

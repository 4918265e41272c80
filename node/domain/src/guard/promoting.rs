//! What a request about promotions leads to.

use super::{AlertKind, GuardEvent, Promotion, PromotionItem, PromotionState, Severity, notice};
use crate::decide::hands::is_vouched_name;
use crate::decide::secrets::{Adding, check_valid};
use crate::decide::{Answer, Decided, Desk};
use crate::event::{Cause, Event, PromotedFrom};
use crate::ids::{EnvironmentName, PrincipalName};
use crate::limits;
use crate::operation::Operation;
use crate::policy::Capability;
use crate::rejection::Rejection;
use crate::sealed::Sealed;
use crate::secret::AboutChange;
use std::collections::BTreeSet;
use std::sync::Arc;

impl Desk<'_> {
    pub(super) fn plan_promotion(&self, from: EnvironmentName, to: EnvironmentName, items: Vec<PromotionItem>) -> Decided {
        check_shape(&from, &to, &items)?;
        self.permit_promotion(&from, &to, &items)?;
        self.check_own_plans(&from, &to, &items)?;
        if !self.state.guard.promotions.has_room(self.context.stamp) {
            return Err(Rejection::Limit(format!(
                "there are {} open promotions already: apply, reject or cancel some",
                limits::PROMOTIONS_MAX
            )));
        }
        self.check_fresh(&from, &to, &items)?;
        let plan = Promotion {
            id: self.seq(0).0,
            from,
            to,
            items,
            requested_by: self.token.principal.clone(),
            created: self.context.stamp,
            approved_by: Vec::new(),
            state: PromotionState::Open,
        };
        let (id, to) = (plan.id, plan.to.clone());
        let mut events = vec![Event::Guard(GuardEvent::PromotionPlanned { plan: Box::new(plan) })];
        let makers = self.makers();
        if !makers.is_empty() {
            // Now: when it is approved, that token may have gone.
            events.push(Event::Guard(GuardEvent::PromotionMakersNoted { promotion: id, to, makers }));
        }
        Ok((events, Answer::Versions(vec![id])))
    }

    /// Nobody fills the room of all with plans of his own, nor asks for the same twice.
    fn check_own_plans(&self, from: &EnvironmentName, to: &EnvironmentName, items: &[PromotionItem]) -> Result<(), Rejection> {
        let who = &self.token.principal;
        let open = self.state.guard.promotions.plans().filter(|plan| plan.is_open(self.context.stamp));
        let own: Vec<_> = open.filter(|plan| plan.requested_by == *who).collect();
        if let Some(same) = own.iter().find(|plan| (&plan.from, &plan.to, plan.items.as_slice()) == (from, to, items)) {
            return Err(Rejection::Exists { what: "the same plan of".into(), name: format!("{who}, promotion {},", same.id) });
        }
        let most = limits::OWN_PROMOTIONS_MAX;
        if own.len() >= most {
            return Err(Rejection::Limit(format!("{who} has {most} open promotions already: apply or cancel some")));
        }
        Ok(())
    }

    /// In whose hands the caller's token is, but for the caller.
    fn makers(&self) -> Vec<PrincipalName> {
        let hands = self.state.hands(self.token);
        hands.into_iter().filter(|hand| *hand != self.token.principal).collect()
    }

    pub(super) fn look_at_promotion(&self, id: u64) -> Decided {
        let plan = self.promotion(id)?;
        // A plan names what stands in both.
        self.state.keys.check_open(&plan.from)?;
        self.state.keys.check_open(&plan.to)?;
        self.observe_promotions(plan.to.clone(), format!("promotion-{id}"))
    }

    pub(super) fn list_promotions(&self) -> Decided {
        // Everybody may ask; the door shows each only what they may see.
        let event = Event::Observed { operation: Operation::PromotionRead, environment: None, subject: String::new() };
        Ok((vec![event], Answer::Done))
    }

    fn observe_promotions(&self, environment: EnvironmentName, subject: String) -> Decided {
        let event = Event::Observed { operation: Operation::PromotionRead, environment: Some(environment), subject };
        Ok((vec![event], Answer::Done))
    }

    pub(super) fn approve_promotion(&self, id: u64) -> Decided {
        let plan = self.open_promotion(id)?;
        self.permit_approval(plan)?;
        let who = &self.token.principal;
        if *who == plan.requested_by || self.makers().contains(&plan.requested_by) {
            return Err(self.not_the_requester(plan));
        }
        if self.state.guard.promotions.makers(id).contains(who) {
            let why = "whoever made the token that a promotion was asked for with never approves it: another principal must";
            return Err(self.promotion_denied(plan, "approve", why));
        }
        let by_vouched = self.state.guard.promotions.makers(id).iter().chain([&plan.requested_by]).any(is_vouched_name);
        if by_vouched && !self.holds_root() && self.state.may_vouch(self.token) {
            let why = "it was asked for by a machine, or by somebody whom an issuer or a certificate vouched for, and you may say who \
                       that is: another principal must";
            return Err(self.promotion_denied(plan, "approve", why));
        }
        if plan.approved_by.contains(who) {
            return Err(Rejection::Exists { what: "approval of promotion".into(), name: format!("{id} by {who}") });
        }
        Ok((vec![Event::Guard(GuardEvent::PromotionApproved { promotion: id, to: plan.to.clone() })], Answer::Done))
    }

    pub(super) fn reject_promotion(&self, id: u64, reason: String) -> Decided {
        let plan = self.open_promotion(id)?;
        self.permit_approval(plan)?;
        if reason.len() > limits::TEXT_BYTES_MAX {
            return Err(Rejection::invalid(format!("a reason is at most {} bytes", limits::TEXT_BYTES_MAX)));
        }
        let event = GuardEvent::PromotionRejected { promotion: id, to: plan.to.clone(), reason };
        Ok((vec![Event::Guard(event)], Answer::Done))
    }

    pub(super) fn cancel_promotion(&self, id: u64) -> Decided {
        let plan = self.open_promotion(id)?;
        if plan.requested_by != self.token.principal {
            return Err(self.promotion_denied(plan, "cancel", "only who asked for it may take it back; others reject it"));
        }
        Ok((vec![Event::Guard(GuardEvent::PromotionCancelled { promotion: id, to: plan.to.clone() })], Answer::Done))
    }

    /// All of it or nothing: every version is still the one that was planned with, or nothing is written.
    pub(super) fn apply_promotion(&self, id: u64, sealed: Vec<Sealed>) -> Decided {
        let plan = self.open_promotion(id)?.clone();
        self.permit_promotion(&plan.from, &plan.to, &plan.items)?;
        let (given, needed) = (plan.approved_by.len(), self.state.guard.settings.of(&plan.to).approvals);
        if given < needed as usize {
            return Err(Rejection::Conflict {
                path: format!("promotion {id}"),
                found: format!("{given} of {needed} approvals"),
                expected: "approved".into(),
            });
        }
        self.check_fresh(&plan.from, &plan.to, &plan.items)?;
        if sealed.len() != plan.writing().count() {
            return Err(Rejection::invalid("the node sealed another number of values than the plan has"));
        }
        if sealed.iter().map(Sealed::payload_bytes).sum::<usize>() > limits::TRANSACTION_BYTES_MAX {
            return Err(Rejection::Limit(format!("a promotion carries at most {} bytes", limits::TRANSACTION_BYTES_MAX)));
        }
        let (mut events, mut versions, mut sealed) = (Vec::new(), Vec::new(), sealed.into_iter());
        for item in &plan.items {
            versions.push(match item.is_written().then(|| sealed.next()).flatten() {
                Some(sealed) => self.promote_one(&plan, item, sealed, &mut events)?,
                None => 0,
            });
        }
        let applied = GuardEvent::PromotionApplied { promotion: id, to: plan.to.clone(), versions: versions.clone() };
        events.push(Event::Guard(applied));
        let text = format!(
            "{} applied promotion {id}: {} secrets from {} to {}",
            self.token.principal,
            versions.iter().filter(|version| **version > 0).count(),
            plan.from,
            plan.to
        );
        let subject = format!("promotion {id} to {}", plan.to);
        events.extend(notice::alert(self.state, AlertKind::Promotion, Severity::Note, &subject, text));
        Ok((events, Answer::Versions(versions)))
    }

    /// A promotion reads its source, and both sides stand in the journal.
    fn promote_one(
        &self,
        plan: &Promotion,
        item: &PromotionItem,
        sealed: Sealed,
        events: &mut Vec<Event>,
    ) -> Result<u64, Rejection> {
        let source = self.state.environment(&plan.from)?.secret(&item.from)?;
        events.push(Event::SecretRead {
            environment: plan.from.clone(),
            path: item.from.clone(),
            secret: source.id,
            version: item.from_version,
        });
        let existing = self.state.environment(&plan.to)?.secrets.get(&item.to);
        // A new secret is described as its source is; one that stands there keeps what is said of it.
        let about = if existing.is_some() { AboutChange::default() } else { AboutChange::all_of(&source.about) };
        let (mut added, answer) = self.added(Adding {
            environment: plan.to.clone(),
            path: item.to.clone(),
            existing,
            sealed,
            about,
            cause: Cause::Promotion(Box::new(PromotedFrom {
                promotion: plan.id,
                environment: plan.from.clone(),
                path: item.from.clone(),
                version: item.from_version,
            })),
            at: events.len(),
        })?;
        events.append(&mut added);
        let Answer::Written { version, .. } = answer else { return Err(Rejection::invalid("a promotion writes versions")) };
        Ok(version)
    }

    fn permit_promotion(&self, from: &EnvironmentName, to: &EnvironmentName, items: &[PromotionItem]) -> Result<(), Rejection> {
        for item in items {
            self.permit(Capability::Promote, from, item.from.clone())?;
            self.permit(Capability::Promote, to, item.to.clone())?;
        }
        Ok(())
    }

    fn permit_approval(&self, plan: &Promotion) -> Result<(), Rejection> {
        plan.items.iter().try_for_each(|item| self.permit(Capability::Approve, &plan.to, item.to.clone()).map(drop))
    }

    /// A stale plan is refused with both versions: what was approved is not what would happen.
    fn check_fresh(&self, from: &EnvironmentName, to: &EnvironmentName, items: &[PromotionItem]) -> Result<(), Rejection> {
        let (source, target) = (self.state.environment(from)?, self.state.environment(to)?);
        for item in items {
            let stale = |environment: &EnvironmentName, path, found, expected| {
                let name = |version: u64| if version == 0 { "absent".to_owned() } else { format!("v{version}") };
                let path = format!("{environment}:{path}");
                Err(Rejection::Conflict { path, found: name(found), expected: name(expected) })
            };
            let secret = source.secret(&item.from)?;
            if secret.newest != item.from_version {
                return stale(from, &item.from, secret.newest, item.from_version);
            }
            check_valid(secret, secret.readable(Some(item.from_version))?, self.context.stamp)?;
            let newest = target.secrets.get(&item.to).map_or(0, |secret| secret.newest);
            if newest != item.to_version {
                return stale(to, &item.to, newest, item.to_version);
            }
        }
        Ok(())
    }

    /// A plan that the caller may see; one that they may not does not exist for them.
    fn promotion(&self, id: u64) -> Result<&Arc<Promotion>, Rejection> {
        let found = self.state.guard.promotions.plan(id);
        let seen = found.filter(|plan| self.state.concerns_promotion(&self.asking(), plan));
        seen.ok_or_else(|| Rejection::not_found("promotion", id))
    }

    fn open_promotion(&self, id: u64) -> Result<&Arc<Promotion>, Rejection> {
        let plan = self.promotion(id)?;
        if plan.is_open(self.context.stamp) {
            return Ok(plan);
        }
        let (found, expected) = (plan.word(0, self.context.stamp).to_owned(), "open".to_owned());
        Err(Rejection::Conflict { path: format!("promotion {id}"), found, expected })
    }

    fn not_the_requester(&self, plan: &Promotion) -> Rejection {
        // Nor does he by a token that he made in another name.
        self.promotion_denied(plan, "approve", "whoever asks for a promotion never approves it: another principal must")
    }

    fn promotion_denied(&self, plan: &Promotion, capability: &str, why: &str) -> Rejection {
        Rejection::Denied {
            principal: self.token.principal.to_string(),
            capability: capability.into(),
            subject: format!("promotion {}", plan.id),
            environment: plan.to.to_string(),
            why: why.into(),
        }
    }
}

impl crate::state::State {
    /// Whether this caller may see a plan: who asked for it, and who may promote or approve all that it touches; by a token that counts
    /// there, and while nothing that it names is sealed away.
    #[must_use]
    pub fn may_see_promotion(&self, asking: &crate::policy::Asking<'_>, plan: &Promotion) -> bool {
        let open = |name| self.keys.check_open(name).is_ok();
        open(&plan.from) && open(&plan.to) && self.concerns_promotion(asking, plan)
    }

    /// As `may_see_promotion`, sealed or not: whom a plan concerns is told that it is sealed, and may take it back.
    fn concerns_promotion(&self, asking: &crate::policy::Asking<'_>, plan: &Promotion) -> bool {
        let may = |capability| {
            let mut targets = plan.items.iter().map(|item| &item.to);
            targets.all(|path| self.authorize(asking, capability, Some(&plan.to), path.as_str()).is_ok())
        };
        let own = plan.requested_by == asking.token.principal && !asking.is_bound_elsewhere(Some(&plan.to));
        own || may(Capability::Approve) || may(Capability::Promote)
    }

    /// Approvals that this plan needs.
    #[must_use]
    pub fn approvals_needed(&self, plan: &Promotion) -> u32 {
        self.guard.settings.of(&plan.to).approvals
    }
}

fn check_shape(from: &EnvironmentName, to: &EnvironmentName, items: &[PromotionItem]) -> Result<(), Rejection> {
    if from == to {
        return Err(Rejection::invalid("a promotion goes from one environment to another: copy within one"));
    }
    if items.is_empty() || items.len() > limits::PROMOTION_ITEMS_MAX {
        return Err(Rejection::invalid(format!("a promotion maps 1 to {} secrets", limits::PROMOTION_ITEMS_MAX)));
    }
    let mut targets = BTreeSet::new();
    if let Some(twice) = items.iter().find(|item| !targets.insert(&item.to)) {
        return Err(Rejection::invalid(format!("{} stands twice among the targets", twice.to)));
    }
    let fields = |item: &PromotionItem| {
        let difference = &item.difference;
        let lists = [&difference.added, &difference.removed, &difference.changed];
        lists.iter().all(|names| {
            names.len() <= limits::DIFFERENCE_FIELDS_MAX && names.iter().all(|name| name.len() <= limits::TAG_BYTES_MAX)
        })
    };
    if !items.iter().all(fields) {
        return Err(Rejection::invalid("a difference names too many fields, or too long ones"));
    }
    Ok(())
}

//! The service of promotions: values are compared and carried over inside this node; what leaves it are names and sizes.

mod compare;
mod show;

use crate::api::door::{Asked, Caller, Done};
use crate::api::writing::{Holding, TRIES};
use crate::api::{Door, convert, status};
use crate::engine::View;
use compare::difference;
use node_domain::guard::{Difference, GuardCommand, Promotion, PromotionItem};
use node_domain::ids::{EnvironmentName, SecretPath};
use node_domain::operation::Operation;
use node_domain::policy::Capability;
use node_domain::secret::Version;
use node_domain::state::Environment;
use node_domain::{Answer, Command, Rejection, limits};
use proto::v1;
use proto::v1::promotions_server::Promotions;
use std::collections::BTreeMap;
use std::sync::Arc;
use storage_crypto::secret_bytes::SecretBytes;
use tonic::{Request, Response, Status};

/// The service, behind the door.
pub(crate) struct PromotionsService(pub(crate) Arc<Door>);

type Reply<T> = Result<Response<T>, Status>;

fn guard(command: GuardCommand) -> Command {
    Command::Guard(Box::new(command))
}

#[tonic::async_trait]
impl Promotions for PromotionsService {
    async fn plan(&self, request: Request<v1::PlanPromotionRequest>) -> Reply<v1::Promotion> {
        let (caller, message) = self.0.receive_change(request, Operation::PromotionPlan);
        let mut tries = TRIES;
        let done = loop {
            tries -= 1;
            let command = self.0.parse_plan(&caller, &message).await;
            match self.0.decided(&caller, Operation::PromotionPlan, &message, command).await? {
                // This node was behind: it compared other versions than the leader knows.
                Err(Rejection::Conflict { .. }) if tries > 0 => {}
                Err(rejection) => return Err(status::refused(&rejection)),
                Ok(done) => break done,
            }
        };
        let Answer::Versions(ids) = &done.answer else {
            return Err(Status::failed_precondition("this request id was used for another request"));
        };
        show(&done, ids.first().copied().unwrap_or(0))
    }

    async fn get(&self, request: Request<v1::PromotionRequest>) -> Reply<v1::Promotion> {
        let (caller, message) = self.0.receive(request);
        let command = guard(GuardCommand::ReadPromotion { id: message.id });
        show(&self.0.submit(&caller, Operation::PromotionRead, &message, Ok(command)).await?, message.id)
    }

    async fn list(&self, request: Request<v1::ListPromotionsRequest>) -> Reply<v1::ListPromotionsResponse> {
        let (caller, message) = self.0.receive(request);
        let command = guard(GuardCommand::ListPromotions);
        let done = self.0.submit(&caller, Operation::PromotionRead, &message, Ok(command)).await?;
        let token = caller.token(&done.view).map_err(|rejection| status::refused(&rejection))?;
        let (state, asking) = (&done.view.state, caller.asking(&done.view, token));
        let plans = state.guard().promotions.plans();
        let seen = plans.filter(|plan| state.may_see_promotion(&asking, plan));
        let wanted = seen.filter(|plan| !message.open_only || plan.is_open(state.stamp()));
        let promotions = wanted.map(|plan| show::promotion(state, plan, done.index)).collect();
        Ok(Response::new(v1::ListPromotionsResponse { promotions, index: done.index }))
    }

    async fn approve(&self, request: Request<v1::PromotionRequest>) -> Reply<v1::Promotion> {
        self.change(request, Operation::PromotionApprove, |message| GuardCommand::ApprovePromotion { id: message.id }).await
    }

    async fn reject(&self, request: Request<v1::PromotionRequest>) -> Reply<v1::Promotion> {
        let command =
            |message: &v1::PromotionRequest| GuardCommand::RejectPromotion { id: message.id, reason: message.reason.clone() };
        self.change(request, Operation::PromotionReject, command).await
    }

    async fn cancel(&self, request: Request<v1::PromotionRequest>) -> Reply<v1::Promotion> {
        self.change(request, Operation::PromotionCancel, |message| GuardCommand::CancelPromotion { id: message.id }).await
    }

    async fn apply(&self, request: Request<v1::PromotionRequest>) -> Reply<v1::Promotion> {
        let (caller, message) = self.0.receive_change(request, Operation::PromotionApply);
        let parse = || self.0.parse_apply(&caller, message.id);
        let done = self.0.submit_checked(&caller, Operation::PromotionApply, &message, parse).await?;
        show(&done, message.id)
    }
}

impl PromotionsService {
    async fn change(
        &self,
        request: Request<v1::PromotionRequest>,
        operation: Operation,
        command: impl FnOnce(&v1::PromotionRequest) -> GuardCommand,
    ) -> Reply<v1::Promotion> {
        let (caller, message) = self.0.receive_change(request, operation);
        let command = guard(command(&message));
        show(&self.0.submit(&caller, operation, &message, Ok(command)).await?, message.id)
    }
}

fn show(done: &Done, id: u64) -> Reply<v1::Promotion> {
    let state = &done.view.state;
    let plan = state.guard().promotions.plan(id).ok_or_else(|| status::refused(&Rejection::not_found("promotion", id)))?;
    Ok(Response::new(show::promotion(state, plan, done.index)))
}

impl Door {
    async fn parse_plan(&self, caller: &Caller, message: &v1::PlanPromotionRequest) -> Result<Command, Rejection> {
        self.check_known(caller).await?;
        let (from, _) = self.environment(caller, &message.from).await?;
        let (to, _) = self.environment(caller, &message.to).await?;
        let view = self.view();
        let (seen, asker, ends, asked) = (view.clone(), caller.clone(), (from.clone(), to.clone()), message.clone());
        // It looks at everything that stands under the prefixes: off the threads that serve.
        let looked = tokio::task::spawn_blocking(move || mapping(&seen, &asker, &ends.0, &ends.1, &asked)).await;
        let mapping =
            looked.map_err(|_| Rejection::NodeFault("what stands under the prefixes could not be looked up".into()))??;
        let mut items = Vec::with_capacity(mapping.len());
        for (target, source) in mapping {
            items.push(self.compare(&view, (&from, source), (&to, target)).await?);
        }
        Ok(guard(GuardCommand::PlanPromotion { from, to, items }))
    }

    /// Opens both values in memory and says how they differ.
    async fn compare(
        &self,
        view: &View,
        (from, source): (&EnvironmentName, SecretPath),
        (to, target): (&EnvironmentName, SecretPath),
    ) -> Result<PromotionItem, Rejection> {
        let (secret, version) = newest(view.state.environment(from)?, &source)?;
        let (_, value) = self.opened(view, from, secret, &version).await?;
        let there = view.state.environment(to)?;
        let standing = there.secrets.get(&target);
        let difference = match standing.and_then(|standing| standing.live().map(|version| (standing.id, version.clone()))) {
            None => Difference { from_bytes: version.seal.size_bytes, ..Difference::default() },
            Some((secret, old)) => {
                let (_, old_value) = self.opened(view, to, secret, &old).await?;
                difference((&version.seal, &value), (&old.seal, &old_value))
            }
        };
        let to_version = standing.map_or(0, |standing| standing.newest);
        Ok(PromotionItem { from: source, from_version: version.number, to: target, to_version, difference })
    }

    /// Opens what was planned and seals it for where it goes; the plaintext lives in between, in this node's memory.
    async fn parse_apply(&self, caller: &Caller, id: u64) -> Result<Command, Rejection> {
        self.check_known(caller).await?;
        let view = self.catch_up(caller).await;
        let token = caller.token(&view)?;
        let asking = caller.asking(&view, token);
        let found = view.state.guard().promotions.plan(id);
        let plan = found.filter(|plan| view.state.may_see_promotion(&asking, plan));
        let plan = plan.ok_or_else(|| Rejection::not_found("promotion", id))?;
        let ready = plan.is_open(view.state.stamp())
            && plan.approved_by.len() >= view.state.approvals_needed(plan) as usize
            && plan.items.iter().all(|item| may_promote(&view, caller, (&plan.from, &item.from), (&plan.to, &item.to)).is_ok());
        // What cannot be applied is not opened; the leader says why.
        let sealed = if ready { self.reseal(&view, plan).await? } else { Vec::new() };
        Ok(guard(GuardCommand::ApplyPromotion { id, sealed }))
    }

    async fn reseal(&self, view: &View, plan: &Promotion) -> Result<Vec<node_domain::sealed::Sealed>, Rejection> {
        let target = view.state.environment(&plan.to)?;
        let mut sealed = Vec::new();
        for item in plan.writing() {
            let home = view.state.environment(&plan.from)?;
            let source = home.secret(&item.from)?;
            let version = source.readable(Some(item.from_version))?.clone();
            let (_, value): (_, SecretBytes) = self.opened(view, &plan.from, source.id, &version).await?;
            let kind = target.secrets.get(&item.to).map_or(source.about.kind, |standing| standing.about.kind);
            let holding = Holding { environment: &plan.to, path: &item.to, kind, structured: version.seal.structured };
            sealed.push(self.seal_checked(view, &target.about, &holding, value.expose())?);
        }
        Ok(sealed)
    }
}

fn newest(home: &Environment, path: &SecretPath) -> Result<(node_domain::ids::SecretId, Version), Rejection> {
    let secret = home.secret(path)?;
    Ok((secret.id, secret.readable(None)?.clone()))
}

/// Nothing is opened for whoever may not promote it, nor looked for.
fn may_promote(
    view: &View,
    caller: &Caller,
    (from, source): (&EnvironmentName, &SecretPath),
    (to, target): (&EnvironmentName, &SecretPath),
) -> Result<(), Rejection> {
    let token = caller.token(view)?;
    let asking = caller.asking(view, token);
    view.state.authorize(&asking, Capability::Promote, Some(from), source.as_str())?;
    view.state.authorize(&asking, Capability::Promote, Some(to), target.as_str())?;
    Ok(())
}

/// Whether there could be anything to promote under a prefix; what stands there makes no difference.
fn may_promote_under(
    view: &View,
    caller: &Caller,
    (from, to): (&EnvironmentName, &EnvironmentName),
    prefix: &str,
) -> Result<(), Rejection> {
    let token = caller.token(view)?;
    let asking = caller.asking(view, token);
    view.state.authorize_under(&asking, Capability::Promote, from, prefix.to_owned())?;
    view.state.authorize_under(&asking, Capability::Promote, to, prefix.to_owned())?;
    Ok(())
}

/// After the rules: whoever may do nothing there is not told that it is sealed.
fn check_both_open(view: &View, from: &EnvironmentName, to: &EnvironmentName) -> Result<(), Rejection> {
    view.state.keys().check_open(from)?;
    view.state.keys().check_open(to)
}

/// Targets with their sources: those that are named, and every live secret under a prefix that the caller may promote.
fn mapping(
    view: &View,
    caller: &Caller,
    from: &EnvironmentName,
    to: &EnvironmentName,
    message: &v1::PlanPromotionRequest,
) -> Result<BTreeMap<SecretPath, SecretPath>, Rejection> {
    let most = limits::PROMOTION_ITEMS_MAX;
    let too_many = || Rejection::invalid(format!("a promotion maps 1 to {most} secrets"));
    if message.items.len() > most {
        return Err(too_many());
    }
    let mut mapping = BTreeMap::new();
    for item in &message.items {
        let (source, target) = (convert::path(&item.from)?, convert::path(&item.to)?);
        may_promote(view, caller, (from, &source), (to, &target))?;
        check_both_open(view, from, to)?;
        if mapping.insert(target, source).is_some() {
            return Err(Rejection::invalid(format!("{} stands twice among the targets", item.to)));
        }
    }
    let home = view.state.environment(from)?;
    for prefix in outermost(&message.prefixes)? {
        may_promote_under(view, caller, (from, to), prefix)?;
        check_both_open(view, from, to)?;
        for secret in home.under(prefix, "").filter(|secret| secret.live().is_some()) {
            // One that the caller may not promote is not there for him, as in a listing.
            if may_promote(view, caller, (from, &secret.path), (to, &secret.path)).is_err() {
                continue;
            }
            mapping.entry(secret.path.clone()).or_insert_with(|| secret.path.clone());
            if mapping.len() > most {
                return Err(too_many());
            }
        }
    }
    if mapping.is_empty() {
        return Err(Rejection::invalid("nothing is mapped: name secrets, or a prefix under which some stand"));
    }
    Ok(mapping)
}

/// The prefixes that stand under no other of them, so that nothing is looked at twice.
fn outermost(prefixes: &[String]) -> Result<Vec<&str>, Rejection> {
    let most = limits::PROMOTION_PREFIXES_MAX;
    if prefixes.len() > most {
        return Err(Rejection::invalid(format!("a promotion is planned from at most {most} prefixes")));
    }
    let mut sorted: Vec<&str> = prefixes.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    let mut outer: Vec<&str> = Vec::new();
    for prefix in sorted {
        if outer.last().is_none_or(|last| !prefix.starts_with(last)) {
            outer.push(prefix);
        }
    }
    Ok(outer)
}

impl Asked for v1::PlanPromotionRequest {
    fn environment(&self) -> &str {
        &self.to
    }

    fn subject(&self) -> &str {
        self.items.first().map_or("", |item| &item.to)
    }

    fn weight(&self) -> usize {
        self.items.len().max(1)
    }
}

convert::asked_of_system! { v1::PromotionRequest, v1::ListPromotionsRequest }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_looked_at_twice_and_prefixes_are_counted() {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        assert_eq!(outermost(&texts(&["db/", "app/", "db/main/", "db/", "d"])).unwrap(), ["app/", "d"]);
        assert_eq!(outermost(&texts(&["a", "", "b"])).unwrap(), [""]);
        let many = vec![String::new(); limits::PROMOTION_PREFIXES_MAX + 1];
        assert!(outermost(&many).unwrap_err().to_string().contains("at most 64 prefixes"));
    }
}

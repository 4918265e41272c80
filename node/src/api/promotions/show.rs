//! A promotion as the contract shows it.

use node_domain::State;
use node_domain::guard::{Promotion, PromotionItem, PromotionState};
use node_domain::ids::{EnvironmentName, SecretPath};
use proto::v1;

pub(super) fn promotion(state: &State, plan: &Promotion, index: u64) -> v1::Promotion {
    let needed = state.approvals_needed(plan);
    let (reason, written): (String, &[u64]) = match &plan.state {
        PromotionState::Rejected { by, reason } => (format!("{by}: {reason}"), &[]),
        PromotionState::Applied { versions, .. } => (String::new(), versions),
        PromotionState::Open | PromotionState::Cancelled => (String::new(), &[]),
    };
    let new_version = |at: usize| written.get(at).copied().unwrap_or(0);
    v1::Promotion {
        id: plan.id,
        from: plan.from.to_string(),
        to: plan.to.to_string(),
        items: plan.items.iter().enumerate().map(|(at, each)| item(state, plan, each, new_version(at))).collect(),
        requested_by: plan.requested_by.to_string(),
        created_at_ms: plan.created.as_ms(),
        expires_at_ms: plan.expires().as_ms(),
        approved_by: plan.approved_by.iter().map(ToString::to_string).collect(),
        approvals_needed: needed,
        state: plan.word(needed, state.stamp()).to_owned(),
        reason,
        index,
    }
}

fn item(state: &State, plan: &Promotion, item: &PromotionItem, new_version: u64) -> v1::PromotionDifference {
    let difference = &item.difference;
    v1::PromotionDifference {
        from: item.from.to_string(),
        from_version: item.from_version,
        to: item.to.to_string(),
        to_version: item.to_version,
        kind: difference.kind.word().to_owned(),
        from_bytes: difference.from_bytes,
        to_bytes: difference.to_bytes,
        fields_added: difference.added.clone(),
        fields_removed: difference.removed.clone(),
        fields_changed: difference.changed.clone(),
        from_created_at_ms: created(state, &plan.from, &item.from, item.from_version),
        to_created_at_ms: created(state, &plan.to, &item.to, item.to_version),
        new_version,
    }
}

fn created(state: &State, environment: &EnvironmentName, path: &SecretPath, version: u64) -> u64 {
    let home = state.environment(environment).ok();
    let secret = home.and_then(|home| home.secrets.get(path));
    secret.and_then(|secret| secret.version(version)).map_or(0, |version| version.created.as_ms())
}

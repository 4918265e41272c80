//! What holds of tokens and identities after every decision.

use super::Step;
use node_domain::identity::IdentityEvent;
use node_domain::{Event, State, limits};

pub(super) fn check(step: &Step<'_>) {
    no_token_outlives_its_parent(step.after);
    no_step_is_accepted_twice(step);
    failures_lock_before_they_are_too_many(step.after);
    counts_are_within_their_bounds(step.after);
    uses_only_go_down(step);
}

fn no_token_outlives_its_parent(state: &State) {
    for token in state.tokens() {
        let Some(parent) = &token.terms.parent else { continue };
        let parent = state.token_by_accessor(parent).expect("a token goes with the one that made it");
        if let Some(end) = parent.expires {
            assert!(token.expires.is_some_and(|own| own <= end), "{} outlives its parent", token.accessor);
        }
        assert!(state.lineage(token).count() <= limits::TOKEN_DEPTH_MAX);
    }
    for token in state.tokens() {
        if let (Some(latest), Some(end)) = (token.terms.expires_latest, token.expires) {
            assert!(end <= latest, "{} lasts longer than it may", token.accessor);
        }
    }
}

fn no_step_is_accepted_twice(step: &Step<'_>) {
    for user in step.after.identity().users() {
        let before = step.before.identity().user(&user.name);
        let (Some(old), Some(new)) = (before.and_then(|user| user.totp.as_ref()), user.totp.as_ref()) else { continue };
        assert!(old.digest != new.digest || old.last_step <= new.last_step, "a step went back");
        assert!(old.digest != new.digest || old.recovery.len() >= new.recovery.len(), "a recovery code came back");
    }
    for event in &step.decision.events {
        let Event::Identity(IdentityEvent::UserLoggedIn { name, step: Some(used), .. }) = event else { continue };
        let totp = step.before.identity().user(name).and_then(|user| user.totp.as_ref()).expect("a code is of a second factor");
        assert!(*used > totp.last_step, "step {used} was accepted twice");
        assert!(used.abs_diff(step.decision.stamp.0 / limits::TOTP_STEP_US) <= limits::TOTP_WINDOW);
    }
}

fn failures_lock_before_they_are_too_many(state: &State) {
    for user in state.identity().users() {
        let recent = &user.failures.recent;
        assert!(recent.len() < limits::LOGIN_FAILURES_MAX, "{} has {} failures and is not locked", user.name, recent.len());
        assert!(recent.windows(2).all(|pair| pair[0] < pair[1]));
    }
}

fn counts_are_within_their_bounds(state: &State) {
    let [users, machines, secret_ids, wrapped, bytes, cert_roles, issuers] = state.identity().counts();
    assert!([users, machines, cert_roles, issuers].iter().all(|count| *count <= limits::IDENTITIES_MAX));
    assert!(secret_ids <= limits::ALL_SECRET_IDS_MAX && wrapped <= limits::WRAPPED_MAX && bytes <= limits::ALL_WRAPPED_BYTES_MAX);
}

fn uses_only_go_down(step: &Step<'_>) {
    for token in step.before.tokens() {
        let after = step.after.token_by_accessor(&token.accessor);
        let (Some(before), Some(after)) = (token.terms.uses_left, after.and_then(|token| token.terms.uses_left)) else {
            continue;
        };
        assert!(after == before || after + 1 == before, "{} had {before} uses and has {after}", token.accessor);
    }
}

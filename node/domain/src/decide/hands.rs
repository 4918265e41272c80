//! Whose hands a token is in: whoever made it can make another, and whoever made the user or machine that logs in for it can log in.
//!
//! What takes two people is held against these names, not against the name on the token alone.

use crate::identity::{IdentityState, machine_principal, user_principal};
use crate::ids::{IdentityName, PrincipalName};
use crate::limits;
use crate::policy::Capability;
use crate::state::State;
use crate::token::{Login, Token};
use std::collections::BTreeSet;

impl State {
    /// The names on a token and on those that led to it, whoever made them, and whoever made what logs in under any of these names.
    pub(crate) fn hands(&self, token: &Token) -> BTreeSet<PrincipalName> {
        self.closed(self.lineage(token).flat_map(|token| [&token.principal, &token.created_by]).collect())
    }

    /// As `hands`, of whoever will log in under this name.
    pub(crate) fn hands_of_login(&self, principal: &PrincipalName) -> BTreeSet<PrincipalName> {
        self.closed(vec![principal])
    }

    fn closed<'a>(&'a self, mut open: Vec<&'a PrincipalName>) -> BTreeSet<PrincipalName> {
        let mut hands = BTreeSet::new();
        while let Some(name) = open.pop().filter(|_| hands.len() < limits::HANDS_MAX) {
            if hands.insert(name.clone()) {
                open.extend(makers(&self.identity, name));
            }
        }
        hands
    }

    /// Whether somebody of whom the state does not know logged in for a token: a certificate role or an issuer vouched for him, or he
    /// had a secret id, which anybody may have issued who says who logs in, and is forgotten once it ends. Whoever may say who logs in
    /// counts as who did.
    pub(crate) fn is_vouched_for(&self, token: &Token) -> bool {
        let by_login = |token: &Token| matches!(token.login, Login::Certificate | Login::Jwt | Login::Machine);
        self.lineage(token).any(by_login) || self.hands(token).iter().any(is_vouched_name)
    }

    /// Whether a token may say who logs in, at some hour or from some place.
    pub(crate) fn may_vouch(&self, token: &Token) -> bool {
        let grants = self.grants_of(token);
        let mut rules = grants.policies().flat_map(|policy| &policy.rules);
        rules.any(|rule| !rule.deny && rule.capabilities.has(Capability::Identities))
    }
}

/// Whether only those log in under this name of whom the state does not know who they are.
pub(crate) fn is_vouched_name(principal: &PrincipalName) -> bool {
    ["machine/", "cert/", "jwt/"].iter().any(|prefix| principal.as_str().starts_with(prefix))
}

/// Whoever made the user or machine of this name, or what it logs in with.
fn makers<'a>(identity: &'a IdentityState, principal: &PrincipalName) -> Vec<&'a PrincipalName> {
    if let Some(name) = principal.as_str().strip_prefix("machine/") {
        let Some(machine) = IdentityName::parse(name).ok().and_then(|name| identity.machine(&name)) else { return Vec::new() };
        let secret_ids: BTreeSet<_> = identity.secret_ids_of(&machine.name).map(|secret| &secret.created_by).collect();
        return secret_ids.into_iter().chain([&machine.created_by]).collect();
    }
    let user = IdentityName::parse(principal.as_str()).ok().and_then(|name| identity.user(&name));
    user.map(|user| &user.created_by).into_iter().collect()
}

/// What logs in, with what that gives.
pub(super) fn logins(identity: &IdentityState) -> impl Iterator<Item = (PrincipalName, &crate::identity::Grants)> {
    let users = identity.users().map(|user| (user_principal(&user.name), &user.grants));
    users.chain(identity.machines().map(|machine| (machine_principal(&machine.name), &machine.grants)))
}

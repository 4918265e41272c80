//! Policies and roles: who writes them, who gives them on, and what they would do.
//!
//! Writing policies must not amount to writing one's own. Whoever does not hold root neither writes nor deletes a policy or role
//! that his own token holds, one that it made or that made it, or any other in whose hands it is (`hands`); he puts root into no role;
//! and a role is given on by a token that names it, whatever the role gives. It takes two.

use super::hands::logins;
use super::{Answer, Decided, Desk};
use crate::event::Event;
use crate::identity::Grants;
use crate::ids::{PolicyName, PrincipalName, RoleName};
use crate::limits;
use crate::operation::Operation;
use crate::policy::{Capability, Question, ROOT, Rule, Whom};
use crate::quoting::without_tokens;
use crate::rejection::Rejection;
use crate::token::Token;
use std::cell::RefCell;
use std::collections::BTreeMap;

impl Desk<'_> {
    pub(super) fn put_policy(&self, name: PolicyName, rules: Vec<Rule>) -> Decided {
        self.permit_system(Capability::Policies, name.as_str())?;
        self.check_changeable(&name)?;
        check_rules(&rules)?;
        let old = self.state.policies.get(&name);
        if old.is_none() && self.state.policies.len() >= limits::POLICIES_MAX {
            return Err(Rejection::Limit(format!("there are {} policies already", limits::POLICIES_MAX)));
        }
        let version = old.map_or(1, |policy| policy.version + 1);
        Ok((vec![Event::PolicyPut { name, rules, version }], Answer::Versions(vec![version])))
    }

    pub(super) fn read_policy(&self, name: &PolicyName) -> Decided {
        // The holder of a policy may know what it says.
        if !self.holds_policy(name) {
            self.permit_system(Capability::Policies, name.as_str())?;
        }
        self.state.policies.get(name).ok_or_else(|| Rejection::not_found("policy", name))?;
        Ok(looked(Operation::PolicyRead, name.to_string()))
    }

    pub(super) fn delete_policy(&self, name: PolicyName) -> Decided {
        self.permit_system(Capability::Policies, name.as_str())?;
        self.check_changeable(&name)?;
        self.state.policies.get(&name).ok_or_else(|| Rejection::not_found("policy", &name))?;
        Ok((vec![Event::PolicyDeleted { name }], Answer::Done))
    }

    pub(super) fn put_role(&self, name: RoleName, description: String, policies: Vec<PolicyName>) -> Decided {
        self.permit_system(Capability::Policies, name.as_str())?;
        self.check_not_held("role", name.as_str(), |token| token.roles.contains(&name))?;
        self.check_no_login("role", name.as_str(), |grants| grants.roles.contains(&name))?;
        if description.len() > limits::TEXT_BYTES_MAX || policies.len() > limits::TOKEN_POLICIES_MAX {
            let (bytes, most) = (limits::TEXT_BYTES_MAX, limits::TOKEN_POLICIES_MAX);
            return Err(Rejection::invalid(format!(
                "a role has a description of at most {bytes} bytes and at most {most} policies"
            )));
        }
        if !self.holds_root() && policies.iter().any(|policy| policy.as_str() == ROOT) {
            return Err(self.may_not_write("role", name.as_str(), "only a holder of the policy root may put it into a role"));
        }
        if let Some(unknown) = policies.iter().find(|policy| !self.state.policies.contains_key(*policy)) {
            return Err(Rejection::not_found("policy", unknown));
        }
        let old = self.state.roles.get(&name);
        if old.is_none() && self.state.roles.len() >= limits::ROLES_MAX {
            return Err(Rejection::Limit(format!("there are {} roles already", limits::ROLES_MAX)));
        }
        let version = old.map_or(1, |role| role.version + 1);
        Ok((vec![Event::RolePut { name, description, policies, version }], Answer::Versions(vec![version])))
    }

    pub(super) fn read_role(&self, name: &RoleName) -> Decided {
        if !self.token.roles.contains(name) {
            self.permit_system(Capability::Policies, name.as_str())?;
        }
        self.state.roles.get(name).ok_or_else(|| Rejection::not_found("role", name))?;
        Ok(looked(Operation::RoleRead, name.to_string()))
    }

    pub(super) fn delete_role(&self, name: RoleName) -> Decided {
        self.permit_system(Capability::Policies, name.as_str())?;
        self.check_not_held("role", name.as_str(), |token| token.roles.contains(&name))?;
        self.check_no_login("role", name.as_str(), |grants| grants.roles.contains(&name))?;
        self.state.roles.get(&name).ok_or_else(|| Rejection::not_found("role", &name))?;
        Ok((vec![Event::RoleDeleted { name }], Answer::Done))
    }

    /// What somebody may do. Whoever asks about himself needs no right: he would find out by trying.
    pub(super) fn test_policy(&self, question: &Question) -> Decided {
        if question.whom != Whom::Oneself {
            self.permit_system(Capability::Policies, "")?;
        }
        if question.subject.len() > limits::PATH_BYTES_MAX {
            return Err(Rejection::invalid(format!("a path is at most {} bytes", limits::PATH_BYTES_MAX)));
        }
        if let Whom::Holder { policies, roles } = &question.whom {
            check_counts(policies, roles)?;
        }
        let subject = format!("{} {} as {}", question.capability.word(), question.subject, question.whom);
        let subject = limits::cut(without_tokens(subject), limits::TEXT_BYTES_MAX);
        let environment = question.environment.clone();
        Ok((vec![Event::Observed { operation: Operation::PolicyTest, environment, subject }], Answer::Done))
    }

    /// What a policy would change: a look at policies, and at the journal.
    pub(super) fn simulate_policy(&self, name: &PolicyName, rules: &[Rule]) -> Decided {
        self.permit_system(Capability::Policies, name.as_str())?;
        self.permit_system(Capability::Audit, "")?;
        check_rules(rules)?;
        Ok(looked(Operation::PolicySimulate, name.to_string()))
    }

    /// Whoever gives policies and roles on gives no more than he holds himself, and does not learn which there are.
    ///
    /// # Errors
    /// When he does not hold one, when one is not there, or when there are none or too many.
    pub(crate) fn check_grants(&self, policies: &[PolicyName], roles: &[RoleName]) -> Result<(), Rejection> {
        let root = self.holds_root();
        for policy in policies {
            if !root && !self.holds_policy(policy) {
                return Err(self.may_not_grant("policy", policy.as_str()));
            }
            if !self.state.policies.contains_key(policy) {
                return Err(Rejection::not_found("policy", policy));
            }
        }
        for role in roles {
            // By name: what a role gives today is no right to what it will give tomorrow.
            if !root && !self.token.roles.contains(role) {
                return Err(self.may_not_grant("role", role.as_str()));
            }
            if !self.state.roles.contains_key(role) {
                return Err(Rejection::not_found("role", role));
            }
        }
        check_counts(policies, roles)
    }

    fn may_not_grant(&self, what: &str, name: &str) -> Rejection {
        Rejection::Denied {
            principal: self.token.principal.to_string(),
            capability: "grant".into(),
            subject: format!("{what} {name}"),
            environment: "the system".into(),
            why: format!("only the holder of a {what} may grant it"),
        }
    }

    /// Whether the token may everything.
    pub(crate) fn holds_root(&self) -> bool {
        PolicyName::parse(ROOT).is_ok_and(|root| self.holds_policy(&root))
    }

    /// Whether the token names the policy, or a role that gives it.
    pub(crate) fn holds_policy(&self, name: &PolicyName) -> bool {
        self.has_policy(self.token, name)
    }

    fn has_policy(&self, token: &Token, name: &PolicyName) -> bool {
        token.policies.contains(name) || token.roles.iter().any(|role| self.state.gives(role, name))
    }

    fn check_changeable(&self, name: &PolicyName) -> Result<(), Rejection> {
        if name.as_str() == ROOT {
            return Err(Rejection::invalid("the policy root cannot be changed"));
        }
        self.check_not_held("policy", name.as_str(), |token| self.has_policy(token, name))?;
        let gives =
            |grants: &Grants| grants.policies.contains(name) || grants.roles.iter().any(|role| self.state.gives(role, name));
        self.check_no_login("policy", name.as_str(), gives)
    }

    /// Nobody changes what counts for himself, nor for a token that he has in hand another way: one that made his, one that his made,
    /// or one in the name of whoever made his, or logs in for it. Looks at all live tokens: policies are written seldom.
    fn check_not_held(&self, what: &str, name: &str, holds: impl Fn(&Token) -> bool) -> Result<(), Rejection> {
        if self.holds_root() {
            return Ok(());
        }
        if holds(self.token) {
            return Err(self.may_not_write(what, name, "whoever holds it does not change it, unless he holds root"));
        }
        let own = self.token;
        let (hands, vouched_for) = (self.state.hands(own), self.state.is_vouched_for(own));
        // Many tokens are of few names.
        let made_by_own = RefCell::new(BTreeMap::new());
        let is_of_own = |token: &Token| {
            let mut known = made_by_own.borrow_mut();
            let mut of = |name: &PrincipalName| {
                let find = || self.state.hands_of_login(name).contains(&own.principal);
                known.get(name).copied().unwrap_or_else(|| *known.entry(name.clone()).or_insert_with(find))
            };
            self.state.lineage(token).any(|token| of(&token.principal) || of(&token.created_by))
        };
        let is_related = |token: &Token| {
            hands.contains(&token.principal)
                || is_of_own(token)
                || self.state.lineage(token).any(|maker| maker.accessor == own.accessor)
                || self.state.lineage(own).any(|maker| maker.accessor == token.accessor)
        };
        for token in self.state.tokens().filter(|token| token.is_valid_at(self.context.stamp) && holds(token)) {
            if is_related(token) {
                let why =
                    "a token of the same name, or one that made this one or was made by it, holds it: somebody else changes it";
                return Err(self.may_not_write(what, name, why));
            }
            if vouched_for && self.state.may_vouch(token) {
                let why = "somebody who may say who logs in as machine, by certificate or issuer, and so as you, holds it: a user \
                           changes it";
                return Err(self.may_not_write(what, name, why));
            }
        }
        Ok(())
    }

    /// Nor what his next login would give him.
    fn check_no_login(&self, what: &str, name: &str, gives: impl Fn(&Grants) -> bool) -> Result<(), Rejection> {
        let own = &self.token.principal;
        let hands = self.state.hands(self.token);
        let mut giving = logins(&self.state.identity).filter(|(_, grants)| gives(grants));
        let is_related = |who: &PrincipalName| hands.contains(who) || self.state.hands_of_login(who).contains(own);
        if !self.holds_root() && giving.any(|(who, _)| is_related(&who)) {
            let why =
                "a login of the same name, or of whoever made this one or was made by it, gives it: somebody else changes it";
            return Err(self.may_not_write(what, name, why));
        }
        Ok(())
    }

    fn may_not_write(&self, what: &str, name: &str, why: &str) -> Rejection {
        Rejection::Denied {
            principal: self.token.principal.to_string(),
            capability: "write".into(),
            subject: format!("{what} {name}"),
            environment: "the system".into(),
            why: why.into(),
        }
    }
}

fn looked(operation: Operation, subject: String) -> (Vec<Event>, Answer) {
    (vec![Event::Observed { operation, environment: None, subject }], Answer::Done)
}

fn check_counts(policies: &[PolicyName], roles: &[RoleName]) -> Result<(), Rejection> {
    if (policies.is_empty() && roles.is_empty()) || policies.len() > limits::TOKEN_POLICIES_MAX {
        return Err(Rejection::invalid(format!("a token has 1 to {} policies, or a role", limits::TOKEN_POLICIES_MAX)));
    }
    if roles.len() > limits::TOKEN_ROLES_MAX {
        return Err(Rejection::invalid(format!("a token has at most {} roles", limits::TOKEN_ROLES_MAX)));
    }
    Ok(())
}

fn check_rules(rules: &[Rule]) -> Result<(), Rejection> {
    if rules.len() > limits::POLICY_RULES_MAX {
        return Err(Rejection::invalid(format!("a policy has at most {} rules", limits::POLICY_RULES_MAX)));
    }
    rules.iter().try_for_each(|rule| rule.conditions.check())
}

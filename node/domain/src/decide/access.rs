//! Environments, tokens, policies.

use super::{Answer, Decided, Desk, FOUNDER};
use crate::command::TokenWish;
use crate::event::Event;
use crate::identity::admit;
use crate::ids::{Accessor, EnvironmentId, EnvironmentName, PolicyName, PrincipalName, RoleName};
use crate::limits;
use crate::operation::Operation;
use crate::policy::{Capability, ROOT, Rule};
use crate::rejection::Rejection;
use crate::token::{Login, Token};
use bytes::Bytes;

impl Desk<'_> {
    pub(super) fn create_environment(
        &self,
        name: EnvironmentName,
        id: EnvironmentId,
        description: String,
        wrapped_key: Bytes,
    ) -> Decided {
        self.permit_system(Capability::Environments, name.as_str())?;
        if self.state.environments.contains_key(&name) {
            return Err(Rejection::Exists { what: "environment".into(), name: name.to_string() });
        }
        if self.state.environments.len() >= limits::ENVIRONMENTS_MAX {
            return Err(Rejection::Limit(format!("there are {} environments already", limits::ENVIRONMENTS_MAX)));
        }
        if description.len() > limits::TEXT_BYTES_MAX {
            return Err(Rejection::invalid(format!("description is longer than {} bytes", limits::TEXT_BYTES_MAX)));
        }
        Ok((vec![Event::environment_created(name, id, description, wrapped_key)], Answer::Done))
    }

    pub(super) fn create_token(&self, wish: TokenWish) -> Decided {
        self.permit_system(Capability::Tokens, wish.principal.as_str())?;
        self.check_principal(&wish.principal)?;
        self.check_grants(&wish.policies)?;
        let (expires, terms) = self.terms_of(&wish)?;
        let token = Token {
            accessor: Accessor::of(&wish.hash),
            hash: wish.hash,
            principal: wish.principal,
            policies: wish.policies,
            roles: wish.roles,
            created: self.context.stamp,
            created_by: self.token.principal.clone(),
            login: Login::Token,
            mfa: self.token.mfa,
            expires,
            terms,
        };
        Ok((admit(self.state, self.context, token)?, Answer::Done))
    }

    /// Names that stand in the journal for something else: the cluster itself, and who may everything.
    fn check_principal(&self, principal: &PrincipalName) -> Result<(), Rejection> {
        match principal.as_str() {
            FOUNDER => Err(Rejection::invalid(format!("the principal {FOUNDER} is the cluster itself: name another"))),
            ROOT if !self.holds_root() => Err(Rejection::Denied {
                principal: self.token.principal.to_string(),
                capability: Capability::Tokens.word().into(),
                subject: principal.to_string(),
                environment: "the system".into(),
                why: "only a holder of the policy root may make a token for root".into(),
            }),
            _ => Ok(()),
        }
    }

    fn check_grants(&self, policies: &[PolicyName]) -> Result<(), Rejection> {
        for policy in policies {
            // Whoever makes tokens cannot make one that may more than he may himself, nor learn which policies there are.
            if !self.holds_root() && !self.token.policies.contains(policy) {
                return Err(Rejection::Denied {
                    principal: self.token.principal.to_string(),
                    capability: "grant".into(),
                    subject: format!("policy {policy}"),
                    environment: "the system".into(),
                    why: "only the holder of a policy may grant it".into(),
                });
            }
            if !self.state.policies.contains_key(policy) {
                return Err(Rejection::not_found("policy", policy));
            }
        }
        if policies.is_empty() || policies.len() > limits::TOKEN_POLICIES_MAX {
            return Err(Rejection::invalid(format!("a token has 1 to {} policies", limits::TOKEN_POLICIES_MAX)));
        }
        Ok(())
    }

    fn holds_root(&self) -> bool {
        self.token.policies.iter().any(|policy| policy.as_str() == ROOT)
    }

    pub(super) fn revoke_token(&self, accessor: Accessor) -> Decided {
        let own = self.token.accessor == accessor;
        let found = self.state.token_by_accessor(&accessor);
        if !own && self.permit_system(Capability::Tokens, found.map_or("", |token| token.principal.as_str())).is_err() {
            // The same words whether there is such a token or not, and whosever it is.
            return Err(Rejection::Denied {
                principal: self.token.principal.to_string(),
                capability: Capability::Tokens.word().into(),
                subject: accessor.to_string(),
                environment: "the system".into(),
                why: "no rule allows it".into(),
            });
        }
        let token = found.ok_or_else(|| Rejection::not_found("token", accessor))?;
        Ok((vec![Event::TokenRevoked { accessor, principal: token.principal.clone() }], Answer::Done))
    }

    pub(super) fn put_policy(&self, name: PolicyName, rules: Vec<Rule>) -> Decided {
        self.permit_system(Capability::Policies, name.as_str())?;
        self.check_changeable(&name)?;
        if rules.len() > limits::POLICY_RULES_MAX {
            return Err(Rejection::invalid(format!("a policy has at most {} rules", limits::POLICY_RULES_MAX)));
        }
        let old = self.state.policies.get(&name);
        if old.is_none() && self.state.policies.len() >= limits::POLICIES_MAX {
            return Err(Rejection::Limit(format!("there are {} policies already", limits::POLICIES_MAX)));
        }
        let version = old.map_or(1, |policy| policy.version + 1);
        Ok((vec![Event::PolicyPut { name, rules, version }], Answer::Versions(vec![version])))
    }

    pub(super) fn read_policy(&self, name: &PolicyName) -> Decided {
        // The holder of a policy may know what it says.
        if !self.token.policies.contains(name) {
            self.permit_system(Capability::Policies, name.as_str())?;
        }
        self.state.policies.get(name).ok_or_else(|| Rejection::not_found("policy", name))?;
        Ok((
            vec![Event::Observed { operation: Operation::PolicyRead, environment: None, subject: name.to_string() }],
            Answer::Done,
        ))
    }

    pub(super) fn delete_policy(&self, name: PolicyName) -> Decided {
        self.permit_system(Capability::Policies, name.as_str())?;
        self.check_changeable(&name)?;
        self.state.policies.get(&name).ok_or_else(|| Rejection::not_found("policy", &name))?;
        Ok((vec![Event::PolicyDeleted { name }], Answer::Done))
    }

    pub(super) fn put_role(&self, name: RoleName, description: String, policies: Vec<PolicyName>) -> Decided {
        self.permit_system(Capability::Policies, name.as_str())?;
        if description.len() > limits::TEXT_BYTES_MAX || policies.len() > limits::TOKEN_POLICIES_MAX {
            return Err(Rejection::invalid(format!(
                "a role has a description of at most {} bytes and at most {} policies",
                limits::TEXT_BYTES_MAX,
                limits::TOKEN_POLICIES_MAX
            )));
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
        let event = Event::Observed { operation: Operation::RoleRead, environment: None, subject: name.to_string() };
        Ok((vec![event], Answer::Done))
    }

    pub(super) fn delete_role(&self, name: RoleName) -> Decided {
        self.permit_system(Capability::Policies, name.as_str())?;
        self.state.roles.get(&name).ok_or_else(|| Rejection::not_found("role", &name))?;
        Ok((vec![Event::RoleDeleted { name }], Answer::Done))
    }

    fn check_changeable(&self, name: &PolicyName) -> Result<(), Rejection> {
        if name.as_str() == ROOT { Err(Rejection::invalid("the policy root cannot be changed")) } else { Ok(()) }
    }
}

//! What a login gives: policies, roles, and for how long, from where.

use crate::command::TokenWish;
use crate::decide::{Context, Desk};
use crate::event::Event;
use crate::ids::{Accessor, EnvironmentName, PolicyName, PrincipalName, RoleName, TokenHash};
use crate::limits;
use crate::rejection::Rejection;
use crate::state::State;
use crate::token::{Login, Terms, Token};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What the token of a login may, and how long it lasts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grants {
    /// What it may.
    pub policies: Vec<PolicyName>,
    /// What it may besides.
    pub roles: Vec<RoleName>,
    /// How long it counts, and how long each renewal lasts.
    pub ttl_ms: u64,
    /// How long it lasts however often it is renewed; at most `ttl_ms` and it cannot be.
    pub ttl_ms_max: u64,
    /// Networks from where one may log in, and from where the token counts; empty: any.
    pub networks: Vec<IpNet>,
    /// Environments in which it counts; empty: as its policies say.
    pub environments: Vec<EnvironmentName>,
}

impl Grants {
    /// The token of a login. It has no parent: it is its own.
    pub(super) fn token(&self, hash: TokenHash, principal: PrincipalName, login: Login, mfa: bool, context: &Context) -> Token {
        let renewable = self.ttl_ms_max > self.ttl_ms;
        Token {
            accessor: Accessor::of(&hash),
            hash,
            created_by: principal.clone(),
            principal,
            policies: self.policies.clone(),
            roles: self.roles.clone(),
            created: context.stamp,
            login,
            mfa,
            expires: Some(context.stamp.plus_ms(self.ttl_ms)),
            terms: Terms {
                renewal_ms: if renewable { self.ttl_ms } else { 0 },
                expires_latest: Some(context.stamp.plus_ms(self.ttl_ms.max(self.ttl_ms_max))),
                uses_left: None,
                networks: self.networks.clone(),
                environments: self.environments.clone(),
                parent: None,
            },
        }
    }

    /// About how many bytes it takes in the log.
    pub(super) fn size_hint(&self) -> usize {
        let names = self.policies.len() + self.roles.len() + self.environments.len();
        names * (limits::NAME_BYTES_MAX + 2) + self.networks.len() * 20
    }
}

/// The records that let a token in: some of those that have ended go, so that the dead never crowd out the living.
pub(crate) fn admit(state: &State, context: &Context, token: Token) -> Result<Vec<Event>, Rejection> {
    let mut events = swept(state, context);
    if state.tokens.len() - events.len() >= limits::TOKENS_MAX {
        return Err(Rejection::Limit(format!("there are {} live tokens already: revoke some", limits::TOKENS_MAX)));
    }
    if token.login.is_of_its_own() && state.logins_of(&token.principal, context.stamp) >= limits::OWN_LOGINS_MAX {
        let (who, most) = (&token.principal, limits::OWN_LOGINS_MAX);
        return Err(Rejection::Limit(format!("{who} has {most} tokens of logins already: revoke some, or let them end")));
    }
    if state.tokens.contains_key(&token.hash) {
        return Err(Rejection::Exists { what: "token".into(), name: token.accessor.to_string() });
    }
    events.push(Event::TokenCreated { token: Box::new(token) });
    Ok(events)
}

fn swept(state: &State, context: &Context) -> Vec<Event> {
    let mut chosen = BTreeSet::new();
    let mut events = Vec::new();
    for token in state.tokens_ended_by(context.stamp).take(limits::TOKENS_SWEPT_MAX) {
        // Where the token that made it has ended too, that one goes, and this one with it.
        let ended = state.lineage(token).take_while(|token| !token.is_valid_at(context.stamp));
        let Some(first) = ended.last().filter(|first| chosen.insert(first.accessor)) else { continue };
        events.push(Event::TokenRevoked { accessor: first.accessor, principal: first.principal.clone() });
    }
    events
}

impl Desk<'_> {
    /// Whoever says what a login gives cannot give more than he holds himself, nor learn which policies there are.
    pub(super) fn check_giving(&self, grants: &Grants) -> Result<(), Rejection> {
        self.check_grants(&grants.policies, &grants.roles)?;
        if grants.ttl_ms == 0 || grants.ttl_ms.max(grants.ttl_ms_max) > limits::LOGIN_TTL_MS_MAX {
            return Err(Rejection::invalid(format!("a login lasts 1 to {} ms, renewals included", limits::LOGIN_TTL_MS_MAX)));
        }
        self.check_places(&grants.networks, &grants.environments)?;
        // A token that counts from some networks only makes no login that counts from all.
        if !self.token.terms.networks.is_empty() && grants.networks.is_empty() {
            return Err(Rejection::invalid(
                "name networks within those of the token that asks: a login from anywhere is more than it has",
            ));
        }
        self.narrowed_networks(&grants.networks).map(drop)
    }

    /// Networks and environments that a token is bound to.
    fn check_places(&self, networks: &[IpNet], environments: &[EnvironmentName]) -> Result<(), Rejection> {
        if networks.len() > limits::NETWORKS_MAX || environments.len() > limits::ENVIRONMENTS_MAX {
            return Err(Rejection::invalid(format!(
                "a token is bound to at most {} networks and {} environments",
                limits::NETWORKS_MAX,
                limits::ENVIRONMENTS_MAX
            )));
        }
        environments.iter().try_for_each(|name| self.state.environment(name).map(drop))
    }

    /// When a token that the caller asks for ends, and its other terms: never more than the caller's own token has.
    pub(crate) fn terms_of(&self, wish: &TokenWish) -> Result<(Option<crate::ids::Stamp>, Terms), Rejection> {
        let (own, now) = (&self.token.terms, self.context.stamp);
        if own.uses_left.is_some() {
            return Err(Rejection::invalid("a token whose uses are counted makes no others: use one that is not"));
        }
        if wish.orphan && !self.holds_root() {
            return Err(Rejection::Denied {
                principal: self.token.principal.to_string(),
                capability: "orphan".into(),
                subject: wish.principal.to_string(),
                environment: "the system".into(),
                why: "only a holder of the policy root makes a token that outlives its own".into(),
            });
        }
        self.check_family(wish.orphan)?;
        self.check_places(&wish.networks, &wish.environments)?;
        let latest = (wish.ttl_ms_max > 0).then(|| now.plus_ms(wish.ttl_ms_max));
        let first = if wish.ttl_ms > 0 { wish.ttl_ms } else { wish.renewal_ms };
        let asked = (first > 0).then(|| now.plus_ms(first));
        let parents = if wish.orphan { None } else { self.token.expires };
        let expires = [asked, latest, parents].into_iter().flatten().min();
        let terms = Terms {
            renewal_ms: wish.renewal_ms,
            expires_latest: latest,
            uses_left: (wish.uses_max > 0).then_some(wish.uses_max),
            networks: self.narrowed_networks(&wish.networks)?,
            environments: self.narrowed_environments(&wish.environments)?,
            parent: (!wish.orphan).then_some(self.token.accessor),
        };
        Ok((expires, terms))
    }

    fn check_family(&self, orphan: bool) -> Result<(), Rejection> {
        if orphan {
            return Ok(());
        }
        if self.state.children_count(&self.token.accessor) >= limits::TOKEN_CHILDREN_MAX {
            let most = limits::TOKEN_CHILDREN_MAX;
            return Err(Rejection::Limit(format!("this token has {most} live tokens of its own already: revoke some")));
        }
        if self.state.lineage(self.token).count() >= limits::TOKEN_DEPTH_MAX {
            let most = limits::TOKEN_DEPTH_MAX;
            return Err(Rejection::Limit(format!("tokens make tokens {most} deep at most: use one nearer to the first")));
        }
        Ok(())
    }

    fn narrowed_networks(&self, asked: &[IpNet]) -> Result<Vec<IpNet>, Rejection> {
        let own = &self.token.terms.networks;
        if asked.is_empty() || own.is_empty() {
            return Ok(if asked.is_empty() { own.clone() } else { asked.to_vec() });
        }
        match asked.iter().find(|network| !own.iter().any(|own| own.contains(*network))) {
            Some(network) => Err(Rejection::invalid(format!("{network} is not within the networks of the token that asks"))),
            None => Ok(asked.to_vec()),
        }
    }

    /// A token that is bound to environments asks nothing of the system, so none gets here; were that to change, this would hold.
    fn narrowed_environments(&self, asked: &[EnvironmentName]) -> Result<Vec<EnvironmentName>, Rejection> {
        let own = &self.token.terms.environments;
        if asked.is_empty() || own.is_empty() {
            return Ok(if asked.is_empty() { own.clone() } else { asked.to_vec() });
        }
        match asked.iter().find(|name| !own.contains(name)) {
            Some(name) => Err(Rejection::invalid(format!("{name} is not among the environments of the token that asks"))),
            None => Ok(asked.to_vec()),
        }
    }
}

//! Grants that were made ready before: a memory aid beside the state, never a part of it.
//!
//! What it answers follows from the policies and roles alone, so it is no row, stands in no snapshot, and two nodes that remember
//! different grants judge the same. A state whose policies or roles change starts with an empty one.

use super::grants::Grants;
use super::rule::Policy;
use crate::ids::{Accessor, PolicyName, RoleName};
use crate::limits;
use crate::token::Token;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

/// What was made ready since the policies or roles changed last. A clone shares it.
#[derive(Clone, Default)]
pub(crate) struct Memo(Arc<RwLock<Shelf>>);

#[derive(Default)]
struct Shelf {
    tokens: HashMap<Accessor, Ready>,
    sets: HashMap<Arc<Held>, Arc<Grants>>,
    /// Rules of all sets together, which is what they cost.
    rules: usize,
}

/// What a token names.
#[derive(PartialEq, Eq, Hash)]
struct Held {
    policies: Vec<PolicyName>,
    roles: Vec<RoleName>,
}

#[derive(Clone)]
struct Ready {
    held: Arc<Held>,
    grants: Arc<Grants>,
}

impl Memo {
    /// The grants of a token; `policies` are those it names and those of the roles it names.
    pub(crate) fn grants<'a, P>(&self, token: &Token, policies: impl FnOnce() -> P) -> Arc<Grants>
    where
        P: Iterator<Item = &'a Arc<Policy>>,
    {
        let shelf = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(ready) = shelf.tokens.get(&token.accessor)
            && ready.held.policies == token.policies
            && ready.held.roles == token.roles
        {
            return ready.grants.clone();
        }
        drop(shelf);
        self.make(token, policies())
    }

    fn make<'a>(&self, token: &Token, policies: impl Iterator<Item = &'a Arc<Policy>>) -> Arc<Grants> {
        let held = Arc::new(Held { policies: token.policies.clone(), roles: token.roles.clone() });
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner).ready(&held);
        // Made without the lock: whoever else asks meanwhile makes the same.
        let ready = known.unwrap_or_else(|| Ready { held, grants: Arc::new(Grants::of(policies.cloned())) });
        self.0.write().unwrap_or_else(PoisonError::into_inner).keep(token.accessor, &ready);
        ready.grants
    }
}

impl Shelf {
    fn ready(&self, held: &Arc<Held>) -> Option<Ready> {
        let (held, grants) = self.sets.get_key_value(held)?;
        Some(Ready { held: held.clone(), grants: grants.clone() })
    }

    fn keep(&mut self, accessor: Accessor, ready: &Ready) {
        let more = if self.sets.contains_key(&ready.held) { 0 } else { ready.grants.rule_count() };
        // Full is seldom, and filling it anew is quick: no need to know which was used last.
        if self.rules + more > limits::COMPILED_RULES_MAX || self.sets.len() >= limits::COMPILED_TOKENS_MAX {
            *self = Shelf::default();
        }
        if self.tokens.len() >= limits::COMPILED_TOKENS_MAX {
            self.tokens.clear();
        }
        if self.sets.insert(ready.held.clone(), ready.grants.clone()).is_none() {
            self.rules += ready.grants.rule_count();
        }
        self.tokens.insert(accessor, ready.clone());
    }
}

impl fmt::Debug for Memo {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Memo")
    }
}

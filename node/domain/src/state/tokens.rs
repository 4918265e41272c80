//! Live tokens: found by hash, by accessor, by end, by the token that made them, and by whose login they came of.

use super::{State, row};
use crate::ids::{Accessor, PrincipalName, Stamp, TokenHash};
use crate::limits;
use crate::rejection::Rejection;
use crate::token::Token;
use imbl::OrdSet;
use std::net::IpAddr;
use std::sync::Arc;

impl State {
    /// All live tokens, by accessor.
    pub fn tokens(&self) -> impl Iterator<Item = &Token> {
        self.accessors.values().filter_map(|hash| self.tokens.get(hash)).map(|token| &**token)
    }

    /// The token with this accessor.
    #[must_use]
    pub fn token_by_accessor(&self, accessor: &Accessor) -> Option<&Token> {
        self.tokens.get(self.accessors.get(accessor)?).map(|token| &**token)
    }

    /// The tokens that have ended at `now` and are still remembered, those first that ended first.
    pub fn tokens_ended_by(&self, now: Stamp) -> impl Iterator<Item = &Token> {
        let ended = self.ends.iter().take_while(move |(end, _)| *end <= now);
        ended.filter_map(|(_, accessor)| self.token_by_accessor(accessor))
    }

    /// The token with this hash, whether it still counts or not.
    #[must_use]
    pub fn token(&self, credential: &TokenHash) -> Option<&Arc<Token>> {
        self.tokens.get(credential)
    }

    /// The valid token with this hash, shown from `address`.
    ///
    /// # Errors
    /// When there is none, it has ended at `now`, or it does not count from there: in the same words, so that whoever has stolen a
    /// token does not learn where it would count.
    pub fn authenticate(
        &self,
        credential: Option<&TokenHash>,
        address: Option<IpAddr>,
        now: Stamp,
    ) -> Result<&Arc<Token>, Rejection> {
        let token = credential.and_then(|hash| self.tokens.get(hash)).ok_or(Rejection::NotAuthenticated)?;
        if token.counts_at(address, now) { Ok(token) } else { Err(Rejection::NotAuthenticated) }
    }

    /// The token with this hash, where its last use was a moment ago: what goes with the answer to that is no further use.
    pub(crate) fn spent(&self, credential: Option<&TokenHash>, address: Option<IpAddr>, now: Stamp) -> Option<&Arc<Token>> {
        let token = credential.and_then(|hash| self.tokens.get(hash));
        token.filter(|token| {
            let just_now = token.expires.is_some_and(|end| now < end.plus_ms(limits::ANSWER_MS_MAX));
            token.terms.uses_left == Some(0) && just_now && token.counts_from(address)
        })
    }

    /// The token itself and those that made it, each before the one that made it.
    pub fn lineage<'a>(&'a self, token: &'a Token) -> impl Iterator<Item = &'a Token> {
        std::iter::successors(Some(token), |token| self.token_by_accessor(token.terms.parent.as_ref()?))
    }

    /// How many tokens this one has made that live and end with it.
    #[must_use]
    pub fn children_count(&self, accessor: &Accessor) -> usize {
        self.families.get(accessor).map_or(0, OrdSet::len)
    }

    /// How many tokens came of logins of this principal and count at `now`.
    pub(crate) fn logins_of(&self, principal: &PrincipalName, now: Stamp) -> usize {
        let from = (principal.clone(), Accessor([0; 12]));
        let theirs = self.logins.range(from..).take_while(|(whose, _)| whose == principal);
        theirs.filter(|(_, accessor)| self.token_by_accessor(accessor).is_some_and(|token| token.is_valid_at(now))).count()
    }

    /// Takes in a token; returns the one that it takes the place of.
    pub(crate) fn remember_token(&mut self, token: Arc<Token>) -> Option<Arc<Token>> {
        self.accessors.insert(token.accessor, token.hash);
        self.ends.extend(token.expires.map(|end| (end, token.accessor)));
        if let Some(parent) = token.terms.parent {
            self.families.entry(parent).or_default().insert(token.accessor);
        }
        if token.login.is_of_its_own() {
            self.logins.insert((token.principal.clone(), token.accessor));
        }
        self.tokens.insert(token.hash, token)
    }

    /// Lets go of a token; the tokens that it made are left to the caller.
    fn forget_token(&mut self, accessor: &Accessor) -> Option<Arc<Token>> {
        let token = self.tokens.remove(&self.accessors.remove(accessor)?)?;
        if let Some(end) = token.expires {
            self.ends.remove(&(end, token.accessor));
        }
        self.logins.remove(&(token.principal.clone(), token.accessor));
        if let Some(parent) = token.terms.parent
            && let Some(family) = self.families.get_mut(&parent)
        {
            family.remove(accessor);
            if family.is_empty() {
                self.families.remove(&parent);
            }
        }
        Some(token)
    }

    /// Ends a token, the tokens that it made, and those that they made.
    pub(crate) fn end_token(&mut self, accessor: &Accessor) -> Result<(), &'static str> {
        if !self.accessors.contains_key(accessor) {
            return Err("its token does not exist");
        }
        let mut ending = vec![*accessor];
        while let Some(accessor) = ending.pop() {
            ending.extend(self.families.remove(&accessor).into_iter().flatten());
            let token = self.forget_token(&accessor).ok_or("the family of its token is not whole")?;
            self.digest.subtract(row::TOKEN, &*token);
        }
        Ok(())
    }

    /// Ends every token that came of a login of `principal`, with all that they made; one that ends in `/` stands for all below it.
    pub(super) fn end_logins(&mut self, principal: &PrincipalName) -> Result<(), &'static str> {
        let from = (principal.clone(), Accessor([0; 12]));
        let theirs = self.logins.range(from..).take_while(|(whose, _)| is_of(whose, principal)).map(|(_, accessor)| *accessor);
        // A login makes a token without a parent, so none of these ends with another.
        theirs.collect::<Vec<_>>().iter().try_for_each(|accessor| self.end_token(accessor))
    }

    /// Changes a token in its place.
    pub(super) fn change_token(&mut self, accessor: &Accessor, change: impl FnOnce(&mut Token)) -> Result<(), &'static str> {
        let old = self.forget_token(accessor).ok_or("its token does not exist")?;
        let mut token = Token::clone(&old);
        change(&mut token);
        self.digest.subtract(row::TOKEN, &*old);
        self.digest.add(row::TOKEN, &token);
        self.remember_token(Arc::new(token));
        Ok(())
    }

    /// Counts one use of a token; the last one ends it.
    pub(super) fn use_token(&mut self, accessor: &Accessor, left: u32, now: Stamp) -> Result<(), &'static str> {
        if !self.accessors.contains_key(accessor) {
            // What was asked with it has ended it.
            return Ok(());
        }
        self.change_token(accessor, |token| {
            token.terms.uses_left = Some(left);
            if left == 0 {
                token.expires = Some(now);
            }
        })
    }
}

fn is_of(whose: &PrincipalName, principal: &PrincipalName) -> bool {
    whose == principal || (principal.as_str().ends_with('/') && whose.as_str().starts_with(principal.as_str()))
}

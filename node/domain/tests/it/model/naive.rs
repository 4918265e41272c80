//! The domain once more, as simply as it can be said: lists that are searched from the front, and no line shared with the crate.

use super::wish::{Allow, Change, Expect, Said, Value, Which, Wish};
use node_domain::secret::SecretType;

/// Why the model refuses; the words are the domain's own affair.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum No {
    Unauthenticated,
    Denied,
    Invalid,
    NotFound,
    NotReadable,
    Conflict,
    Exists,
    Reused(u64),
}

/// Secret, version, digest and record of what may be opened.
pub(super) type Found = (u64, u64, [u8; 32], u64);

/// What the model answers.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Told {
    Done,
    Wrote(u64, Option<u64>),
    Versions(Vec<u64>),
    Readable(Vec<Result<Found, No>>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Life {
    Live,
    Deleted,
    Destroyed,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Version {
    pub(super) number: u64,
    pub(super) life: Life,
    pub(super) created: u64,
    pub(super) by: String,
    pub(super) expires: Option<u64>,
    pub(super) digest: [u8; 32],
    pub(super) record: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Secret {
    pub(super) place: String,
    pub(super) path: String,
    pub(super) id: u64,
    pub(super) created: u64,
    pub(super) updated: u64,
    pub(super) newest: u64,
    pub(super) owner: String,
    pub(super) kind: SecretType,
    pub(super) tags: Vec<String>,
    pub(super) max_versions: u32,
    pub(super) ttl_ms: Option<u64>,
    pub(super) versions: Vec<Version>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub(super) number: u8,
    pub(super) principal: String,
    pub(super) policies: Vec<String>,
    pub(super) created: u64,
    pub(super) by: String,
    pub(super) expires: Option<u64>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Policy {
    pub(super) name: String,
    pub(super) version: u64,
    pub(super) rules: Vec<Allow>,
}

struct Receipt {
    request: u64,
    principal: String,
    content: u64,
    record: u64,
    stamp: u64,
    told: Told,
}

/// Who asks, when, under which request id, with which content.
pub(super) struct Asking {
    pub(super) now: u64,
    pub(super) token: Option<u8>,
    pub(super) request: u64,
    pub(super) content: u64,
}

/// All that the model knows.
pub(super) struct Model {
    pub(super) records: u64,
    pub(super) stamp: u64,
    pub(super) places: Vec<String>,
    pub(super) secrets: Vec<Secret>,
    pub(super) tokens: Vec<Token>,
    pub(super) policies: Vec<Policy>,
    /// Which token made which: child, parent.
    made: Vec<(u8, u8)>,
    /// Where secrets were moved away from: place, path, which one, and its newest version then.
    left: Vec<(String, String, u64, u64)>,
    receipts: Vec<Receipt>,
    /// Records and stamp of the request in hand.
    first: u64,
    at: u64,
    who: String,
}

/// An answer, how many records it left, and whether anything changed.
type Outcome = Result<(Told, u64, bool), No>;

const EVERYTHING: [&str; 18] = [
    "read",
    "create",
    "update",
    "list",
    "metadata",
    "delete",
    "destroy",
    "tokens",
    "policies",
    "environments",
    "audit",
    "cluster",
    "promote",
    "approve",
    "keys",
    "identities",
    "alerts",
    "governance",
];
const HOUR_US: u64 = 3_600_000_000;
const DAY_US: u64 = 24 * HOUR_US;

impl Model {
    /// A founded cluster: the founding left a record for itself, for each environment, and for the token of root.
    pub(super) fn founded(places: &[&str], now: u64) -> Model {
        let records = places.len() as u64 + 2;
        let everything = Allow { environment: None, pattern: "*".into(), words: EVERYTHING.to_vec(), deny: false };
        let root = Token {
            number: 0,
            principal: "root".into(),
            policies: vec!["root".into()],
            created: now + records - 1,
            by: "holdfast".into(),
            expires: None,
        };
        Model {
            records,
            stamp: now + records - 1,
            places: places.iter().map(|name| (*name).to_owned()).collect(),
            secrets: Vec::new(),
            tokens: vec![root],
            policies: vec![Policy { name: "root".into(), version: 1, rules: vec![everything] }],
            made: Vec::new(),
            left: Vec::new(),
            receipts: Vec::new(),
            first: 0,
            at: 0,
            who: String::new(),
        }
    }

    /// Answers a wish and remembers what it did.
    pub(super) fn ask(&mut self, asking: &Asking, wish: &Wish) -> Result<Told, No> {
        self.first = self.records + 1;
        self.at = if asking.now > self.stamp { asking.now } else { self.stamp + 1 };
        let outcome = self.outcome(asking, wish);
        let records = outcome.as_ref().map_or(1, |(_, records, _)| *records);
        self.records += records;
        self.stamp = self.at + records - 1;
        let (told, _, changed) = outcome?;
        if changed {
            let (record, stamp) = (self.records, self.stamp);
            let principal = self.who.clone();
            self.receipts.push(Receipt {
                request: asking.request,
                principal,
                content: asking.content,
                record,
                stamp,
                told: told.clone(),
            });
            self.receipts.retain(|receipt| stamp - receipt.stamp <= HOUR_US);
        }
        Ok(told)
    }

    fn outcome(&mut self, asking: &Asking, wish: &Wish) -> Outcome {
        if matches!(wish, Wish::FoundAgain) {
            return Err(No::Invalid);
        }
        let token = self.tokens.iter().find(|token| Some(token.number) == asking.token).ok_or(No::Unauthenticated)?.clone();
        if token.expires.is_some_and(|end| self.at >= end) {
            return Err(No::Unauthenticated);
        }
        self.who.clone_from(&token.principal);
        if let Some(receipt) = self.receipts.iter().find(|receipt| receipt.request == asking.request) {
            if receipt.content != asking.content || receipt.principal != token.principal {
                return Err(No::Reused(receipt.record));
            }
            return Ok((receipt.told.clone(), 1, false));
        }
        self.wish(&token, wish)
    }

    fn wish(&mut self, me: &Token, wish: &Wish) -> Outcome {
        match wish {
            Wish::Put { place, path, value, expect, said, patch } => self.put(me, (place, path), value, *expect, said, *patch),
            Wish::Read { place, path, version } => {
                let found = self.read(me, (place, path), *version, 0)?;
                Ok((Told::Readable(vec![Ok(found)]), 1, false))
            }
            Wish::ReadMany { place, items } => {
                let read =
                    |(at, (path, version)): (usize, &(String, Option<u64>))| self.read(me, (place, path), *version, at as u64);
                let answers: Vec<_> = items.iter().enumerate().map(read).collect();
                let count = answers.len() as u64;
                if answers.is_empty() { Err(No::Invalid) } else { Ok((Told::Readable(answers), count, false)) }
            }
            Wish::SetMetadata { place, path, said } => self.set_metadata(me, (place, path), said),
            Wish::Look { place, prefix, .. } => {
                self.may_look(me, place, prefix)?;
                self.place(place)?;
                Ok((Told::Done, 1, false))
            }
            Wish::History { place, path } => {
                self.may(me, "list", Some(place), path)?;
                self.stands(place, path)?;
                Ok((Told::Done, 1, false))
            }
            Wish::Rollback { place, path, to, value, expect } => self.rollback(me, (place, path), *to, value, *expect),
            Wish::Delete { place, path, which } => {
                self.may(me, "delete", Some(place), path)?;
                self.hide((place, path), which, Life::Live, Life::Deleted)
            }
            Wish::Undelete { place, path, which } => {
                self.may(me, "delete", Some(place), path)?;
                self.hide((place, path), which, Life::Deleted, Life::Live)
            }
            Wish::Destroy { place, path, which } => self.destroy(me, (place, path), which),
            Wish::Copy { place, from, to, value, expect } => self.copy(me, place, from, to, value, *expect),
            Wish::Move { place, from, to } => self.rename(me, place, from, to),
            Wish::Transact { place, items } => self.transact(me, place, items),
            system => self.system(me, system),
        }
    }

    fn system(&mut self, me: &Token, wish: &Wish) -> Outcome {
        let looked = Ok((Told::Done, 1, false));
        match wish {
            Wish::ListEnvironments | Wish::LookupSelf => looked,
            Wish::ListTokens => self.may(me, "tokens", None, "").and(looked),
            Wish::ListPolicies => self.may(me, "policies", None, "").and(looked),
            Wish::Audit => self.may(me, "audit", None, "all").and(looked),
            Wish::Cluster { node } => self.may(me, "cluster", None, &format!("node-{node}")).and(looked),
            Wish::CreateEnvironment { name } => {
                self.may(me, "environments", None, name)?;
                if self.places.contains(name) {
                    return Err(No::Exists);
                }
                self.places.push(name.clone());
                self.places.sort();
                Ok((Told::Done, 1, true))
            }
            Wish::CreateToken { number, principal, policies, ttl_ms } => {
                self.create_token(me, *number, principal, policies, *ttl_ms)
            }
            Wish::Revoke { number } => {
                let whose = self.tokens.iter().find(|token| token.number == *number).map(|token| token.principal.clone());
                if me.number != *number {
                    self.may(me, "tokens", None, whose.as_deref().unwrap_or(""))?;
                }
                whose.ok_or(No::NotFound)?;
                self.end(*number);
                Ok((Told::Done, 1, true))
            }
            Wish::PutPolicy { name, rules } => self.put_policy(me, name, rules),
            Wish::ReadPolicy { name } => {
                if !me.policies.contains(name) {
                    self.may(me, "policies", None, name)?;
                }
                if self.policies.iter().any(|policy| policy.name == *name) { looked } else { Err(No::NotFound) }
            }
            Wish::DeletePolicy { name } => {
                self.may(me, "policies", None, name)?;
                self.may_change(me, name)?;
                let before = self.policies.len();
                self.policies.retain(|policy| policy.name != *name);
                if self.policies.len() == before { Err(No::NotFound) } else { Ok((Told::Done, 1, true)) }
            }
            _ => Err(No::Invalid),
        }
    }

    // Access.

    fn may(&self, me: &Token, word: &str, place: Option<&str>, subject: &str) -> Result<(), No> {
        let mut allowed = false;
        for rule in self.policies.iter().filter(|policy| me.policies.contains(&policy.name)).flat_map(|policy| &policy.rules) {
            let here = rule.environment.is_none() || rule.environment.as_deref() == place;
            if here && rule.words.contains(&word) && fits(&rule.pattern, subject) {
                if rule.deny {
                    return Err(No::Denied);
                }
                allowed = true;
            }
        }
        if allowed { Ok(()) } else { Err(No::Denied) }
    }

    /// Whether a rule leaves anything to be listed under a prefix, wherever secrets stand.
    fn may_look(&self, me: &Token, place: &str, prefix: &str) -> Result<(), No> {
        let held = self.policies.iter().filter(|policy| me.policies.contains(&policy.name)).flat_map(|policy| &policy.rules);
        let mine: Vec<&Allow> = held
            .filter(|rule| rule.words.contains(&"list"))
            .filter(|rule| rule.environment.is_none() || rule.environment.as_deref() == Some(place))
            .collect();
        let all_denied = mine.iter().any(|rule| rule.deny && rule.pattern.ends_with('*') && fits(&rule.pattern, prefix));
        let some_allowed = mine.iter().any(|rule| !rule.deny && could_fit(&rule.pattern, prefix));
        if some_allowed && !all_denied { Ok(()) } else { Err(No::Denied) }
    }

    fn may_write(&self, me: &Token, place: &str, path: &str) -> Result<(), No> {
        let word = if self.find(place, path).is_some() { "update" } else { "create" };
        self.may(me, word, Some(place), path)
    }

    fn create_token(&mut self, me: &Token, number: u8, principal: &str, policies: &[String], ttl_ms: u64) -> Outcome {
        self.may(me, "tokens", None, principal)?;
        if principal == "holdfast" {
            return Err(No::Invalid);
        }
        if principal == "root" && !me.policies.contains(&"root".to_owned()) {
            return Err(No::Denied);
        }
        for name in policies {
            if !me.policies.contains(&"root".to_owned()) && !me.policies.contains(name) {
                return Err(No::Denied);
            }
            if !self.policies.iter().any(|policy| policy.name == *name) {
                return Err(No::NotFound);
            }
        }
        if policies.is_empty() {
            return Err(No::Invalid);
        }
        if self.tokens.iter().any(|token| token.number == number) {
            return Err(No::Exists);
        }
        let mut ends: Vec<u64> = me.expires.into_iter().collect();
        if ttl_ms > 0 {
            ends.push(self.at + ttl_ms * 1000);
        }
        let now = self.at;
        // No walk knows so many tokens that some of the dead ones are left for the next time. What another dead one made goes with it.
        let ended: Vec<u8> =
            self.tokens.iter().filter(|token| token.expires.is_some_and(|end| end <= now)).map(|token| token.number).collect();
        let with_another = |number: &u8| self.made.iter().any(|(child, parent)| child == number && ended.contains(parent));
        let swept: Vec<u8> = ended.iter().copied().filter(|number| !with_another(number)).collect();
        swept.iter().for_each(|number| self.end(*number));
        let swept = swept.len() as u64;
        self.made.push((number, me.number));
        self.tokens.push(Token {
            number,
            principal: principal.to_owned(),
            policies: policies.to_vec(),
            created: now + swept,
            by: me.principal.clone(),
            expires: ends.into_iter().min(),
        });
        Ok((Told::Done, 1 + swept, true))
    }

    /// A token ends with all that it made.
    fn end(&mut self, number: u8) {
        self.tokens.retain(|token| token.number != number);
        let (theirs, others) = std::mem::take(&mut self.made).into_iter().partition(|(_, parent)| *parent == number);
        self.made = others;
        self.made.retain(|(child, _)| *child != number);
        let theirs: Vec<(u8, u8)> = theirs;
        theirs.iter().for_each(|(child, _)| self.end(*child));
    }

    /// Nobody changes root, and nobody but root what he holds himself, or has in hand by another live token: in one line with his, or in
    /// the name of anybody in whose hands his is, or the other way round.
    fn may_change(&self, me: &Token, name: &str) -> Result<(), No> {
        if name == "root" {
            return Err(No::Invalid);
        }
        if me.policies.contains(&"root".to_owned()) {
            return Ok(());
        }
        let lives = |token: &&Token| token.expires.is_none_or(|end| end > self.at);
        let in_hand = |token: &Token| {
            self.hands(me).contains(&token.principal)
                || self.hands(token).contains(&me.principal)
                || self.descends(token.number, me.number)
                || self.descends(me.number, token.number)
        };
        let held = self.tokens.iter().filter(lives).any(|token| token.policies.iter().any(|held| held == name) && in_hand(token));
        if held { Err(No::Denied) } else { Ok(()) }
    }

    /// The names of a token and of those it came of, and of whoever made them. No walk has users or machines.
    fn hands(&self, token: &Token) -> Vec<String> {
        let line = self.tokens.iter().filter(|other| other.number == token.number || self.descends(token.number, other.number));
        line.flat_map(|token| [token.principal.clone(), token.by.clone()]).collect()
    }

    /// Whether a token was made by another one, or by one that it made.
    fn descends(&self, child: u8, from: u8) -> bool {
        let parent = self.made.iter().find(|(known, _)| *known == child).map(|(_, parent)| *parent);
        parent.is_some_and(|parent| parent == from || self.descends(parent, from))
    }

    fn put_policy(&mut self, me: &Token, name: &str, rules: &[Allow]) -> Outcome {
        self.may(me, "policies", None, name)?;
        self.may_change(me, name)?;
        let version = self.policies.iter().find(|policy| policy.name == name).map_or(1, |policy| policy.version + 1);
        self.policies.retain(|policy| policy.name != name);
        self.policies.push(Policy { name: name.to_owned(), version, rules: rules.to_vec() });
        self.policies.sort_by(|one, other| one.name.cmp(&other.name));
        Ok((Told::Versions(vec![version]), 1, true))
    }

    // Secrets.

    fn place(&self, place: &str) -> Result<(), No> {
        if self.places.iter().any(|known| known == place) { Ok(()) } else { Err(No::NotFound) }
    }

    pub(super) fn find(&self, place: &str, path: &str) -> Option<&Secret> {
        self.secrets.iter().find(|secret| secret.place == place && secret.path == path)
    }

    fn stands(&self, place: &str, path: &str) -> Result<Secret, No> {
        self.place(place)?;
        self.find(place, path).cloned().ok_or(No::NotFound)
    }

    fn meets(&self, place: &str, path: &str, expect: Expect) -> Result<(), No> {
        let found = self.find(place, path);
        let met = match expect {
            Expect::Anything => true,
            Expect::At(version) => found.map_or(0, |secret| secret.newest) == version,
            Expect::Absent => {
                found.is_none_or(|secret| secret.versions.iter().all(|v| v.number != secret.newest || v.life != Life::Live))
            }
        };
        if met { Ok(()) } else { Err(No::Conflict) }
    }

    fn readable(secret: &Secret, version: Option<u64>) -> Result<Version, No> {
        let number = version.unwrap_or(secret.newest);
        let found = secret.versions.iter().find(|version| version.number == number).ok_or(No::NotFound)?;
        if found.life == Life::Live { Ok(found.clone()) } else { Err(No::NotReadable) }
    }

    fn read(&self, me: &Token, (place, path): (&str, &str), version: Option<u64>, nth: u64) -> Result<Found, No> {
        self.may(me, "read", Some(place), path)?;
        let secret = self.stands(place, path)?;
        let found = Model::readable(&secret, version)?;
        if found.expires.is_some_and(|end| end <= self.at) {
            return Err(No::NotReadable);
        }
        Ok((secret.id, found.number, found.digest, self.first + nth))
    }

    fn put(
        &mut self,
        me: &Token,
        (place, path): (&str, &str),
        value: &Value,
        expect: Expect,
        said: &Said,
        patch: bool,
    ) -> Outcome {
        if patch {
            self.may(me, "update", Some(place), path)?;
            if !matches!(expect, Expect::At(_)) {
                return Err(No::Invalid);
            }
        } else {
            self.may_write(me, place, path)?;
        }
        self.place(place)?;
        self.meets(place, path, expect)?;
        if patch {
            Model::readable(&self.stands(place, path)?, None)?;
        }
        check(said)?;
        whole(value)?;
        let (version, expires) = self.add(place, path, value.digest(), said, 0);
        Ok((Told::Wrote(version, expires), 1, true))
    }

    /// Adds a version, by the `nth` record of this request.
    fn add(&mut self, place: &str, path: &str, digest: [u8; 32], said: &Said, nth: u64) -> (u64, Option<u64>) {
        let (now, record) = (self.at + nth, self.first + nth);
        if self.find(place, path).is_none() {
            let at_path = |left: &(String, String, u64, u64)| (left.0.as_str(), left.1.as_str()) == (place, path);
            let newest = self.left.iter().find(|left| at_path(left)).map_or(0, |left| left.3);
            self.left.retain(|left| !at_path(left));
            self.secrets.push(Secret {
                place: place.to_owned(),
                path: path.to_owned(),
                id: record,
                created: now,
                updated: now,
                newest,
                owner: String::new(),
                kind: SecretType::Generic,
                tags: Vec::new(),
                max_versions: 0,
                ttl_ms: None,
                versions: Vec::new(),
            });
        }
        let (at, by) = (self.at, self.who.clone());
        let secret = self.find_mut(place, path);
        tell(secret, said);
        secret.newest += 1;
        secret.updated = now;
        let days = match secret.kind {
            SecretType::Generic => None,
            SecretType::Token => Some(30),
            SecretType::Password | SecretType::ApiKey | SecretType::Database => Some(90),
            SecretType::SshKey | SecretType::Tls => Some(365),
        };
        let expires = match secret.ttl_ms {
            Some(0) => None,
            Some(ms) => Some(at + ms * 1000),
            None => days.map(|days| at + days * DAY_US),
        };
        let number = secret.newest;
        secret.versions.push(Version { number, life: Life::Live, created: now, by, expires, digest, record });
        let kept = if secret.max_versions == 0 { 10 } else { secret.max_versions as usize };
        while secret.versions.len() > kept {
            secret.versions.remove(0);
        }
        (number, expires)
    }

    fn find_mut(&mut self, place: &str, path: &str) -> &mut Secret {
        self.secrets.iter_mut().find(|secret| secret.place == place && secret.path == path).expect("it was found before")
    }

    fn set_metadata(&mut self, me: &Token, (place, path): (&str, &str), said: &Said) -> Outcome {
        self.may(me, "metadata", Some(place), path)?;
        self.stands(place, path)?;
        if *said == Said::default() {
            return Err(No::Invalid);
        }
        check(said)?;
        let now = self.at;
        let secret = self.find_mut(place, path);
        tell(secret, said);
        secret.updated = now;
        Ok((Told::Done, 1, true))
    }

    fn rollback(&mut self, me: &Token, (place, path): (&str, &str), to: u64, value: &Value, expect: Expect) -> Outcome {
        self.may(me, "update", Some(place), path)?;
        let secret = self.stands(place, path)?;
        self.meets(place, path, expect)?;
        let source = Model::readable(&secret, Some(to))?;
        if source.digest != value.digest() {
            return Err(No::Conflict);
        }
        whole(value)?;
        let (version, expires) = self.add(place, path, value.digest(), &Said::default(), 0);
        Ok((Told::Wrote(version, expires), 1, true))
    }

    fn copy(&mut self, me: &Token, place: &str, from: &str, to: &str, value: &Value, expect: Expect) -> Outcome {
        self.may(me, "read", Some(place), from)?;
        self.may_write(me, place, to)?;
        let source = self.stands(place, from)?;
        let newest = Model::readable(&source, None)?;
        if newest.expires.is_some_and(|end| end <= self.at) {
            return Err(No::NotReadable);
        }
        if newest.digest != value.digest() {
            return Err(No::Conflict);
        }
        self.meets(place, to, if expect == Expect::Anything { Expect::Absent } else { expect })?;
        whole(value)?;
        let said = Said {
            owner: Some(source.owner),
            kind: Some(source.kind),
            tags: Some(source.tags),
            max_versions: None,
            ttl_ms: source.ttl_ms,
        };
        // The first record is that of the read.
        let (version, expires) = self.add(place, to, value.digest(), &said, 1);
        Ok((Told::Wrote(version, expires), 2, true))
    }

    fn rename(&mut self, me: &Token, place: &str, from: &str, to: &str) -> Outcome {
        self.may(me, "delete", Some(place), from)?;
        self.may(me, "read", Some(place), from)?;
        self.may(me, "create", Some(place), to)?;
        let secret = self.stands(place, from)?;
        if self.find(place, to).is_some() {
            return Err(No::Exists);
        }
        let before = self.left.iter().find(|left| (left.0.as_str(), left.1.as_str()) == (place, to));
        if before.is_some_and(|(_, _, id, newest)| *id != secret.id && *newest >= secret.newest) {
            return Err(No::Conflict);
        }
        self.left.retain(|left| (left.0.as_str(), left.1.as_str()) != (place, to));
        self.left.push((place.to_owned(), from.to_owned(), secret.id, secret.newest));
        let now = self.at;
        let moved = self.find_mut(place, from);
        moved.path = to.to_owned();
        moved.updated = now;
        Ok((Told::Versions(vec![secret.newest]), 1, true))
    }

    /// The versions that are meant, in order, each once; all of them must be there.
    fn meant(secret: &Secret, which: &Which) -> Result<Vec<Version>, No> {
        let wanted: Vec<u64> = match which {
            Which::Newest => vec![secret.newest],
            Which::All => secret.versions.iter().map(|version| version.number).collect(),
            Which::These(numbers) => numbers.clone(),
        };
        if wanted.is_empty() {
            return Err(No::Invalid);
        }
        if wanted.iter().any(|number| secret.versions.iter().all(|version| version.number != *number)) {
            return Err(No::NotFound);
        }
        Ok(secret.versions.iter().filter(|version| wanted.contains(&version.number)).cloned().collect())
    }

    fn hide(&mut self, (place, path): (&str, &str), which: &Which, from: Life, to: Life) -> Outcome {
        let secret = self.stands(place, path)?;
        let meant = Model::meant(&secret, which)?;
        let fitting: Vec<u64> = meant.iter().filter(|version| version.life == from).map(|version| version.number).collect();
        if fitting.is_empty() || (*which != Which::All && fitting.len() < meant.len()) {
            return Err(No::Conflict);
        }
        self.live_on(place, path, &fitting, to, 0);
        let count = Told::Versions(fitting);
        Ok((count, 1, true))
    }

    fn destroy(&mut self, me: &Token, (place, path): (&str, &str), which: &Which) -> Outcome {
        self.may(me, "destroy", Some(place), path)?;
        let secret = self.stands(place, path)?;
        let meant = Model::meant(&secret, which)?;
        let fitting: Vec<u64> =
            meant.iter().filter(|version| version.life != Life::Destroyed).map(|version| version.number).collect();
        if fitting.is_empty() {
            return Err(No::Conflict);
        }
        self.live_on(place, path, &fitting, Life::Destroyed, 0);
        Ok((Told::Versions(fitting), 1, true))
    }

    fn live_on(&mut self, place: &str, path: &str, numbers: &[u64], life: Life, nth: u64) {
        let now = self.at + nth;
        let secret = self.find_mut(place, path);
        secret.updated = now;
        secret.versions.iter_mut().filter(|version| numbers.contains(&version.number)).for_each(|version| version.life = life);
    }

    fn transact(&mut self, me: &Token, place: &str, items: &[(String, Expect, Change)]) -> Outcome {
        let twice = |at: usize| items[..at].iter().any(|(path, ..)| *path == items[at].0);
        if items.is_empty() || (0..items.len()).any(twice) {
            return Err(No::Invalid);
        }
        for (path, expect, change) in items {
            self.allows(me, place, path, *expect, change)?;
        }
        let mut versions = Vec::new();
        let mut changed = false;
        for (nth, (path, _, change)) in items.iter().enumerate() {
            let newest = self.find(place, path).map_or(0, |secret| secret.newest);
            changed = changed || !matches!(change, Change::Check);
            versions.push(match change {
                Change::Put(value, said) => self.add(place, path, value.digest(), said, nth as u64).0,
                Change::Check => newest,
                Change::Delete => {
                    self.live_on(place, path, &[newest], Life::Deleted, nth as u64);
                    newest
                }
            });
        }
        Ok((Told::Versions(versions), items.len() as u64, changed))
    }

    fn allows(&self, me: &Token, place: &str, path: &str, expect: Expect, change: &Change) -> Result<(), No> {
        match change {
            Change::Put(..) => self.may_write(me, place, path)?,
            Change::Delete => self.may(me, "delete", Some(place), path)?,
            Change::Check => self.may(me, "list", Some(place), path)?,
        }
        self.place(place)?;
        self.meets(place, path, expect)?;
        match change {
            Change::Put(value, said) => check(said).and_then(|()| whole(value)),
            Change::Delete => Model::readable(&self.stands(place, path)?, None).map(|_| ()),
            Change::Check => Ok(()),
        }
    }
}

fn check(said: &Said) -> Result<(), No> {
    let tags = said.tags.iter().flatten().all(|tag| !tag.is_empty());
    if tags && said.max_versions.unwrap_or(0) <= 100 { Ok(()) } else { Err(No::Invalid) }
}

fn whole(value: &Value) -> Result<(), No> {
    if value.whole { Ok(()) } else { Err(No::Invalid) }
}

fn tell(secret: &mut Secret, said: &Said) {
    if let Some(owner) = &said.owner {
        secret.owner.clone_from(owner);
    }
    if let Some(kind) = said.kind {
        secret.kind = kind;
    }
    if let Some(tags) = &said.tags {
        secret.tags.clear();
        for tag in tags {
            if !secret.tags.contains(tag) {
                secret.tags.push(tag.clone());
            }
        }
        secret.tags.sort();
    }
    if let Some(max_versions) = said.max_versions {
        secret.max_versions = max_versions;
    }
    if said.ttl_ms.is_some() {
        secret.ttl_ms = said.ttl_ms;
    }
}

/// Whether `subject` fits a pattern: some start of it does where the pattern ends in `*`, all of it otherwise; `+` is one segment.
fn fits(pattern: &str, subject: &str) -> bool {
    let same = |pattern: &str, subject: &str| {
        let (wanted, found): (Vec<_>, Vec<_>) = (pattern.split('/').collect(), subject.split('/').collect());
        wanted.len() == found.len() && wanted.iter().zip(found).all(|(wanted, found)| *wanted == "+" || *wanted == found)
    };
    match pattern.strip_suffix('*') {
        Some(stem) => (0..=subject.len()).any(|end| same(stem, &subject[..end])),
        None => same(pattern, subject),
    }
}

/// Whether something that starts with `prefix` could fit the pattern, letter by letter.
fn could_fit(pattern: &str, prefix: &str) -> bool {
    let Some(wanted) = pattern.chars().next() else { return prefix.is_empty() };
    let Some(found) = prefix.chars().next() else { return true };
    match wanted {
        '*' => true,
        // A + is a whole segment, or the name of one only begins here.
        '+' => prefix.find('/').is_none_or(|end| could_fit(&pattern[1..], &prefix[end..])),
        _ => wanted == found && could_fit(&pattern[1..], &prefix[1..]),
    }
}

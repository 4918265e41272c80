//! Policies and roles as text, and what the documentation says about them.

use super::dice::Dice;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

/// What paths are made of. One segment is the start of another.
const SEGMENTS: [&str; 4] = ["a", "b", "ab", "abc"];
/// Stands in no rule: whatever is not named by one.
const STRANGE: &str = "abcz";
pub(super) const CAPABILITIES: [&str; 3] = ["read", "list", "policies"];
pub(super) const PLACES: [&str; 3] = ["production", "staging", "development"];
const POLICIES: [&str; 6] = ["p1", "p2", "p3", "p4", "p5", "gone"];
const ROLES: [&str; 3] = ["r1", "r2", "gone"];
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
/// Monday, 23 November 2026, 00:00 UTC.
const MONDAY_S: u64 = 1_795_392_000;

/// An IPv4 address as 32 bits.
#[derive(Clone, Debug)]
pub(super) struct Address([bool; 32]);

#[derive(Clone, Debug)]
pub(super) struct Network {
    bits: [bool; 32],
    length: usize,
}

/// Days and minutes of a window.
#[derive(Clone, Debug)]
pub(super) struct Hours {
    days: BTreeSet<usize>,
    from: usize,
    to: usize,
}

#[derive(Clone, Debug, Default)]
pub(super) struct When {
    pub(super) networks: Vec<Network>,
    pub(super) hours: Option<Hours>,
    pub(super) mfa: bool,
    pub(super) age_s: Option<u64>,
}

#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) place: String,
    pub(super) pattern: String,
    pub(super) words: Vec<&'static str>,
    pub(super) deny: bool,
    pub(super) when: When,
}

#[derive(Clone, Debug)]
pub(super) struct Holder {
    pub(super) policies: Vec<String>,
    pub(super) roles: Vec<String>,
    pub(super) bound_to: Vec<String>,
}

#[derive(Clone, Debug)]
pub(super) struct Book {
    pub(super) policies: BTreeMap<String, Vec<Rule>>,
    pub(super) roles: BTreeMap<String, Vec<String>>,
    pub(super) holders: Vec<Holder>,
}

#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) word: &'static str,
    /// `None` is the system.
    pub(super) place: Option<String>,
    pub(super) subject: String,
    /// Whether the subject is a prefix, and the question whether anything may be listed under it.
    pub(super) listing: bool,
    pub(super) address: Option<Address>,
    pub(super) now_s: u64,
    pub(super) age_s: u64,
    pub(super) mfa: bool,
}

pub(super) struct Says {
    pub(super) allowed: bool,
    pub(super) denied_by_rule: bool,
}

/// Every path that a question could be about: up to four segments of those above, and the empty name.
pub(super) fn universe() -> &'static BTreeSet<String> {
    static UNIVERSE: OnceLock<BTreeSet<String>> = OnceLock::new();
    UNIVERSE.get_or_init(|| {
        let segments: Vec<&str> = SEGMENTS.into_iter().chain([STRANGE]).collect();
        let mut all = BTreeSet::from([String::new()]);
        let mut longest: Vec<String> = segments.iter().map(|segment| (*segment).to_owned()).collect();
        for _ in 0..4 {
            all.extend(longest.iter().cloned());
            longest = longest.iter().flat_map(|path| segments.iter().map(move |segment| format!("{path}/{segment}"))).collect();
        }
        all
    })
}

/// All paths of the universe that a pattern stands for: each `+` is replaced by every segment, and a final `*` by everything.
fn expanded(pattern: &str) -> BTreeSet<String> {
    let (stem, open) = match pattern.strip_suffix('*') {
        Some(stem) => (stem, true),
        None => (pattern, false),
    };
    let mut stems = vec![String::new()];
    for (at, segment) in stem.split('/').enumerate() {
        let choices: Vec<&str> = if segment == "+" { SEGMENTS.into_iter().chain([STRANGE, ""]).collect() } else { vec![segment] };
        let slash = if at == 0 { "" } else { "/" };
        stems = stems.iter().flat_map(|stem| choices.iter().map(move |choice| format!("{stem}{slash}{choice}"))).collect();
    }
    let fits = |path: &&String| stems.iter().any(|stem| if open { path.starts_with(stem) } else { path == &stem });
    universe().iter().filter(fits).cloned().collect()
}

/// The same, worked out once for each pattern.
fn stands_for(pattern: &str, use_set: impl FnOnce(&BTreeSet<String>) -> bool) -> bool {
    thread_local! {
        static KNOWN: std::cell::RefCell<BTreeMap<String, BTreeSet<String>>> = const { std::cell::RefCell::new(BTreeMap::new()) };
    }
    KNOWN.with_borrow_mut(|known| use_set(known.entry(pattern.to_owned()).or_insert_with(|| expanded(pattern))))
}

impl Book {
    /// What the documentation says.
    pub(super) fn says(&self, holder: &Holder, question: &Question) -> Says {
        let never = Says { allowed: false, denied_by_rule: false };
        if !holder.bound_to.is_empty() && !question.place.as_ref().is_some_and(|place| holder.bound_to.contains(place)) {
            return never;
        }
        let of_roles = holder.roles.iter().filter_map(|role| self.roles.get(role)).flatten();
        let names: BTreeSet<&String> = holder.policies.iter().chain(of_roles).collect();
        let rules = names.into_iter().filter_map(|name| self.policies.get(name)).flatten();
        let counting: Vec<&Rule> = rules.filter(|rule| rule.is_about(question) && rule.when.holds(rule.deny, question)).collect();
        let denied_by_rule = counting.iter().any(|rule| rule.deny);
        Says { allowed: !denied_by_rule && counting.iter().any(|rule| !rule.deny), denied_by_rule }
    }

    pub(super) fn draw(dice: &mut Dice) -> Book {
        let mut policies = BTreeMap::new();
        for name in POLICIES.iter().filter(|name| **name != "gone") {
            let count = dice.below(6);
            policies.insert((*name).to_owned(), (0..count).map(|_| Rule::draw(dice)).collect());
        }
        let names = |dice: &mut Dice, from: &[&str], most: usize| -> Vec<String> {
            let count = dice.below(most + 1);
            (0..count).map(|_| (*dice.pick(from)).to_owned()).collect()
        };
        let mut roles = BTreeMap::new();
        for name in ROLES.iter().filter(|name| **name != "gone") {
            roles.insert((*name).to_owned(), names(dice, &POLICIES, 2));
        }
        let mut holder = |_| {
            let bound = dice.once_in(8);
            Holder {
                policies: names(dice, &POLICIES, 3),
                roles: names(dice, &ROLES, 2),
                bound_to: if bound { vec![(*dice.pick(&PLACES)).to_owned()] } else { Vec::new() },
            }
        };
        let holders = (0..4).map(&mut holder).collect();
        Book { policies, roles, holders }
    }
}

impl Rule {
    fn is_about(&self, question: &Question) -> bool {
        let here = self.place == "*" || question.place.as_ref() == Some(&self.place);
        here && self.words.contains(&question.word) && stands_for(&self.pattern, |paths| self.fits(paths, question))
    }

    fn fits(&self, paths: &BTreeSet<String>, question: &Question) -> bool {
        if !question.listing {
            return paths.contains(&question.subject);
        }
        let mut under = universe().iter().filter(|path| path.starts_with(&question.subject));
        // Denied is a listing only by a rule that covers whatever could stand there, however deep; allowed by one that fits something.
        if self.deny {
            self.pattern.ends_with('*') && under.all(|path| paths.contains(path))
        } else {
            under.any(|path| paths.contains(path))
        }
    }

    fn draw(dice: &mut Dice) -> Rule {
        let mut segments: Vec<&str> =
            (0..dice.below(3)).map(|_| if dice.once_in(4) { "+" } else { *dice.pick(&SEGMENTS) }).collect();
        let star = segments.is_empty() || dice.once_in(2);
        if star && dice.once_in(2) {
            segments.push("");
        }
        let stem = segments.join("/");
        let words: Vec<&'static str> = CAPABILITIES.into_iter().filter(|_| !dice.once_in(3)).collect();
        Rule {
            place: if dice.once_in(2) { "*".to_owned() } else { (*dice.pick(&PLACES)).to_owned() },
            pattern: if star { format!("{stem}*") } else { stem },
            words: if words.is_empty() { vec!["read"] } else { words },
            deny: dice.once_in(4),
            when: if dice.once_in(2) { When::default() } else { When::draw(dice) },
        }
    }
}

impl When {
    fn holds(&self, deny: bool, question: &Question) -> bool {
        let near = match &question.address {
            None => self.networks.is_empty() || deny,
            Some(address) => self.networks.is_empty() || self.networks.iter().any(|network| network.holds(address)),
        };
        near && self.hours.as_ref().is_none_or(|hours| hours.hold(question.now_s))
            && (!self.mfa || question.mfa)
            && self.age_s.is_none_or(|most| question.age_s <= most)
    }

    fn draw(dice: &mut Dice) -> When {
        When {
            networks: (0..dice.below(3)).map(|_| Network::draw(dice)).collect(),
            hours: dice.once_in(3).then(|| Hours::draw(dice)),
            mfa: dice.once_in(4),
            age_s: dice.once_in(4).then(|| [1, 60, 3600][dice.below(3)]),
        }
    }
}

fn dotted(bits: &[bool; 32]) -> String {
    let octet = |bits: &[bool]| bits.iter().fold(0_u32, |sum, bit| sum * 2 + u32::from(*bit)).to_string();
    bits.chunks(8).map(octet).collect::<Vec<_>>().join(".")
}

impl Address {
    /// 10.x.y.z with few different x, so that networks are met.
    fn draw(dice: &mut Dice) -> Address {
        let octets = [10, dice.below(4), 0, dice.below(4)];
        let mut bits = [false; 32];
        for (at, bit) in bits.iter_mut().enumerate() {
            *bit = octets[at / 8] >> (7 - at % 8) & 1 == 1;
        }
        Address(bits)
    }

    pub(super) fn text(&self) -> String {
        dotted(&self.0)
    }
}

impl Network {
    fn draw(dice: &mut Dice) -> Network {
        let Address(mut bits) = Address::draw(dice);
        let length = *dice.pick(&[8, 15, 16, 31, 32]);
        bits[length..].fill(false);
        Network { bits, length }
    }

    fn holds(&self, address: &Address) -> bool {
        self.bits[..self.length] == address.0[..self.length]
    }

    pub(super) fn text(&self) -> String {
        format!("{}/{}", dotted(&self.bits), self.length)
    }
}

impl Hours {
    fn draw(dice: &mut Dice) -> Hours {
        let times = [0, 1, 8 * 60, 18 * 60, 23 * 60 + 59];
        let mut days: BTreeSet<usize> = (0..7).filter(|_| dice.once_in(2)).collect();
        days.insert(dice.below(7));
        Hours { days, from: *dice.pick(&times), to: if dice.once_in(6) { 24 * 60 } else { *dice.pick(&times) } }
    }

    /// Walks through every minute of the window on each of its days, until it meets this one.
    fn hold(&self, now_s: u64) -> bool {
        let minute_of_week = ((now_s - MONDAY_S) / 60 % (7 * 24 * 60)) as usize;
        let length = if self.from < self.to { self.to - self.from } else { 24 * 60 - self.from + self.to };
        let starts = self.days.iter().map(|day| day * 24 * 60 + self.from);
        starts.into_iter().any(|start| (minute_of_week + 7 * 24 * 60 - start % (7 * 24 * 60)) % (7 * 24 * 60) < length)
    }

    pub(super) fn text(&self) -> String {
        let days: Vec<&str> = self.days.iter().map(|day| DAYS[*day]).collect();
        let time = |minute: usize| format!("{:02}:{:02}", minute / 60, minute % 60);
        format!("{}/{}-{}", days.join(","), time(self.from), time(self.to))
    }
}

impl Question {
    pub(super) fn draw(dice: &mut Dice) -> Question {
        let count = dice.below(4);
        let subject =
            (0..count).map(|_| if dice.once_in(10) { STRANGE } else { *dice.pick(&SEGMENTS) }).collect::<Vec<_>>().join("/");
        let system = dice.once_in(5);
        let listing = !system && dice.once_in(4);
        let word = *dice.pick(&CAPABILITIES);
        Question {
            word: if listing { "list" } else { word },
            place: (!system).then(|| (*dice.pick(&PLACES)).to_owned()),
            subject: if listing && count > 0 && dice.once_in(2) { format!("{subject}/") } else { subject },
            listing,
            address: (!dice.once_in(4)).then(|| Address::draw(dice)),
            now_s: MONDAY_S + 60 * dice.below(14 * 24 * 60) as u64,
            age_s: [0, 1, 2, 60, 61, 3600, 3601][dice.below(7)],
            mfa: dice.once_in(2),
        }
    }
}

//! Rules as a tree of the segments of their patterns, so that a request meets those alone that are about it.

use super::capability::{Capabilities, Capability};
use super::condition::Conditions;
use super::rule::Rule;
use std::collections::BTreeMap;
use std::ops::Bound;

/// The number of a rule among those of its grants: lower stands earlier.
pub(super) type Number = u32;

/// Rules that are all about one environment, or about every one.
#[derive(Debug)]
pub(super) struct Tree {
    /// Invariant: the first is the root, and every number in a node is one of a node.
    nodes: Vec<Node>,
}

#[derive(Debug, Default)]
struct Node {
    /// By the next segment. In order, so that those that start so are found by range.
    children: BTreeMap<Box<str>, usize>,
    /// Where `+` leads.
    any: Option<usize>,
    /// Patterns that end here.
    here: Slot,
    /// Patterns with a final `*`, by what the next segment starts with.
    open: BTreeMap<Box<str>, Slot>,
    /// Invariant: the lengths of the keys of `open`, ascending.
    open_lengths: Vec<usize>,
    /// What allowing rules at this node and below it are about.
    allowed_below: Capabilities,
}

/// The rules of one pattern.
#[derive(Debug, Default)]
pub(super) struct Slot {
    allowing: Side,
    denying: Side,
}

/// Invariant: ascending numbers; a rule that can never be the first to count is left out.
#[derive(Debug, Default)]
struct Side {
    always: Vec<(Capabilities, Number)>,
    sometimes: Vec<(Capabilities, Number, Conditions)>,
}

/// The first rules found that count.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Found {
    pub(super) allowing: Option<Number>,
    pub(super) denying: Option<Number>,
}

impl Default for Tree {
    fn default() -> Tree {
        Tree { nodes: vec![Node::default()] }
    }
}

impl Tree {
    /// Takes in a rule. Rules come in the order of their numbers.
    pub(super) fn insert(&mut self, rule: &Rule, number: Number) {
        let mut segments: Vec<&str> = rule.path.stem().split('/').collect();
        let last = if rule.path.is_open() { segments.pop() } else { None };
        let mut node = 0;
        self.note(node, rule);
        for segment in segments {
            node = self.child(node, segment);
            self.note(node, rule);
        }
        let slot = match last {
            None => &mut self.nodes[node].here,
            // `db/+*` and `db/*` are the same: any next segment, and anything after it.
            Some("+") => self.nodes[node].opening(""),
            Some(start) => self.nodes[node].opening(start),
        };
        slot.insert(rule, number);
    }

    fn note(&mut self, node: usize, rule: &Rule) {
        if !rule.deny {
            self.nodes[node].allowed_below = self.nodes[node].allowed_below.with(rule.capabilities);
        }
    }

    fn child(&mut self, node: usize, segment: &str) -> usize {
        let fresh = self.nodes.len();
        let found = if segment == "+" {
            *self.nodes[node].any.get_or_insert(fresh)
        } else {
            match self.nodes[node].children.get(segment) {
                Some(child) => *child,
                None => *self.nodes[node].children.entry(segment.into()).or_insert(fresh),
            }
        };
        if found == fresh {
            self.nodes.push(Node::default());
        }
        found
    }

    /// Looks at the rules of every pattern that `path` fits.
    pub(super) fn fitting(&self, path: &str, look: &mut impl FnMut(&Slot)) {
        self.walk(0, Some(path), &mut |slot, _| look(slot));
    }

    /// Looks at the rules of every pattern that all paths fit which start with `prefix`.
    pub(super) fn covering(&self, prefix: &str, look: &mut impl FnMut(&Slot)) {
        self.walk(0, Some(prefix), &mut |slot, is_open| {
            if is_open {
                look(slot);
            }
        });
    }

    /// `rest` is what is left of the path behind this node: `None` where it ends here.
    fn walk(&self, node: usize, rest: Option<&str>, look: &mut impl FnMut(&Slot, bool)) {
        let node = &self.nodes[node];
        let Some(rest) = rest else { return look(&node.here, false) };
        let (segment, behind) = split(rest);
        for length in node.open_lengths.iter().take_while(|length| **length <= segment.len()) {
            if let Some(slot) = segment.get(..*length).and_then(|start| node.open.get(start)) {
                look(slot, true);
            }
        }
        if let Some(child) = node.children.get(segment) {
            self.walk(*child, behind, look);
        }
        if let Some(child) = node.any {
            self.walk(child, behind, look);
        }
    }

    /// An allowing rule that counts with a pattern that some path could fit which starts with `prefix`.
    pub(super) fn allowing_under(
        &self,
        prefix: &str,
        capability: Capability,
        counts: &impl Fn(&Conditions) -> bool,
    ) -> Option<Number> {
        self.under(0, prefix, &|slot| slot.allowing.first(capability, counts), capability)
    }

    fn under(
        &self,
        node: usize,
        prefix: &str,
        pick: &impl Fn(&Slot) -> Option<Number>,
        capability: Capability,
    ) -> Option<Number> {
        let node = &self.nodes[node];
        if !node.allowed_below.has(capability) {
            return None;
        }
        let (segment, behind) = split(prefix);
        let Some(behind) = behind else {
            // The last segment of a prefix is the start of one.
            let open = node.open.iter().filter(|(start, _)| start.starts_with(segment) || segment.starts_with(&***start));
            let begun = node
                .children
                .range::<str, _>((Bound::Included(segment), Bound::Unbounded))
                .take_while(|(name, _)| name.starts_with(segment));
            let below = begun.map(|(_, child)| *child).chain(node.any);
            return open
                .map(|(_, slot)| slot)
                .find_map(pick)
                .or_else(|| below.into_iter().find_map(|child| self.anywhere(child, pick, capability)));
        };
        let open = node.open.iter().filter(|(start, _)| segment.starts_with(&***start)).map(|(_, slot)| slot);
        let named = node.children.get(segment).copied().into_iter().chain(node.any);
        open.into_iter()
            .find_map(pick)
            .or_else(|| named.into_iter().find_map(|child| self.under(child, behind, pick, capability)))
    }

    /// Of this node or any below it.
    fn anywhere(&self, node: usize, pick: &impl Fn(&Slot) -> Option<Number>, capability: Capability) -> Option<Number> {
        let node = &self.nodes[node];
        if !node.allowed_below.has(capability) {
            return None;
        }
        let below = node.children.values().copied().chain(node.any);
        pick(&node.here)
            .or_else(|| node.open.values().find_map(pick))
            .or_else(|| below.into_iter().find_map(|child| self.anywhere(child, pick, capability)))
    }
}

fn split(path: &str) -> (&str, Option<&str>) {
    path.split_once('/').map_or((path, None), |(segment, behind)| (segment, Some(behind)))
}

impl Node {
    fn opening(&mut self, start: &str) -> &mut Slot {
        if !self.open.contains_key(start)
            && let Err(at) = self.open_lengths.binary_search(&start.len())
        {
            self.open_lengths.insert(at, start.len());
        }
        self.open.entry(start.into()).or_default()
    }
}

impl Slot {
    fn insert(&mut self, rule: &Rule, number: Number) {
        let side = if rule.deny { &mut self.denying } else { &mut self.allowing };
        let first = |same: &mut dyn Iterator<Item = Capabilities>| same.fold(Capabilities::default(), Capabilities::with);
        // What earlier rules say already, this one is never the first to say.
        let always = first(&mut side.always.iter().map(|(capabilities, _)| *capabilities));
        if rule.conditions.is_empty() {
            if !always.covers(rule.capabilities) {
                side.always.push((rule.capabilities, number));
            }
            return;
        }
        let alike = side.sometimes.iter().rev().take(ALIKE_LOOKED_AT_MAX).filter(|(.., known)| *known == rule.conditions);
        let said = first(&mut alike.map(|(capabilities, ..)| *capabilities)).with(always);
        if !said.covers(rule.capabilities) {
            side.sometimes.push((rule.capabilities, number, rule.conditions.clone()));
        }
    }

    /// Keeps the first rules that are about `capability` and count.
    pub(super) fn weigh(&self, capability: Capability, counts: &impl Fn(bool, &Conditions) -> bool, found: &mut Found) {
        let earlier = |known: Option<Number>, other: Option<Number>| match (known, other) {
            (Some(known), Some(other)) => Some(known.min(other)),
            (known, other) => known.or(other),
        };
        found.allowing = earlier(found.allowing, self.allowing.first(capability, &|conditions| counts(false, conditions)));
        found.denying = earlier(found.denying, self.denying.first(capability, &|conditions| counts(true, conditions)));
    }
}

/// How many conditional rules of one pattern a new one is compared with: leaving one in costs a little time, never a verdict.
const ALIKE_LOOKED_AT_MAX: usize = 64;

impl Side {
    fn first(&self, capability: Capability, counts: &impl Fn(&Conditions) -> bool) -> Option<Number> {
        let always = self.always.iter().find(|(capabilities, _)| capabilities.has(capability)).map(|(_, number)| *number);
        let before = always.unwrap_or(Number::MAX);
        let sometimes = self.sometimes.iter().take_while(|(_, number, _)| *number < before);
        let first = sometimes
            .filter(|(capabilities, ..)| capabilities.has(capability))
            .find(|(.., conditions)| counts(conditions))
            .map(|(_, number, _)| *number);
        first.or(always)
    }
}

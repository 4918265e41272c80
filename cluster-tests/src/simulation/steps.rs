//! What can happen in a step of the walk, and how often.

use super::chance;

/// What the next step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Ask,
    AskAgain,
    Wait,
    Kill,
    CutPower,
    CutPowerWithin,
    CutPowerOfAll,
    Stop,
    Start,
    Isolate,
    CutOneWay,
    Slow,
    Heal,
    Clock,
    HandOver,
    Snapshot,
    RotateKey,
    SealEnvironment,
    Replace,
    OtherBuild,
    Unrest,
    SlowDisk,
    FailSyncs,
    FullDisk,
    Rot,
    Misdirect,
}

/// Every kind: its word, and how often it comes, against the others. What cannot be left out of a walk stands first.
const KINDS: [(Step, &str, u64); 26] = [
    (Step::Ask, "ask", 700),
    (Step::Wait, "wait", 90),
    (Step::Start, "start", 70),
    (Step::Heal, "heal", 25),
    (Step::AskAgain, "ask again", 30),
    (Step::Kill, "kill", 6),
    (Step::CutPower, "power cut", 5),
    (Step::CutPowerWithin, "power cut within a write", 6),
    (Step::CutPowerOfAll, "power cut of all", 2),
    (Step::Stop, "stop", 4),
    (Step::Isolate, "isolate", 5),
    (Step::CutOneWay, "cut one way", 5),
    (Step::Slow, "slow network", 4),
    (Step::Clock, "clock off", 4),
    (Step::HandOver, "hand-over", 12),
    (Step::Snapshot, "snapshot", 5),
    (Step::RotateKey, "key rotation", 2),
    (Step::SealEnvironment, "sealed environment", 1),
    (Step::Replace, "replacement", 4),
    (Step::OtherBuild, "other build", 8),
    // Comes by itself, when somebody begins or ceases to lead.
    (Step::Unrest, "blow at an election", 0),
    (Step::SlowDisk, "slow disk", 4),
    (Step::FailSyncs, "failing disk", 2),
    (Step::FullDisk, "full disk", 2),
    (Step::Rot, "bit rot", 4),
    (Step::Misdirect, "misdirected write", 3),
];

/// Kinds from here on are faults and operations that a walk can do without.
const OPTIONAL_FROM: usize = 4;

impl Step {
    pub(super) fn word(self) -> &'static str {
        KINDS.iter().find(|(step, ..)| *step == self).map_or("", |(_, word, _)| word)
    }

    pub(super) fn draw() -> Step {
        let total = KINDS.iter().map(|(_, _, weight)| weight).sum();
        let mut at = chance::of(1..=total);
        for (step, _, weight) in KINDS {
            if at <= weight {
                return step;
            }
            at -= weight;
        }
        Step::Wait
    }
}

/// Kinds of steps that a walk leaves out: nothing happens where chance has chosen them, and the rest stays as near as it can.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Without(u32);

impl Without {
    /// The words of all kinds that can be left out.
    pub fn words() -> impl Iterator<Item = String> {
        KINDS[OPTIONAL_FROM..].iter().map(|(_, word, _)| word.replace(' ', "-"))
    }

    /// As this, and without one kind more. None where there is no such kind that can be left out.
    #[must_use]
    pub fn and(self, word: &str) -> Option<Without> {
        let at = Without::words().position(|known| known == word)?;
        Some(Without(self.0 | 1 << (OPTIONAL_FROM + at)))
    }

    pub(super) fn has(self, step: Step) -> bool {
        KINDS.iter().position(|(kind, ..)| *kind == step).is_some_and(|at| self.0 & 1 << at != 0)
    }
}

impl std::fmt::Display for Without {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let words = Without::words().filter(|word| Without::default().and(word).is_some_and(|one| self.0 & one.0 != 0));
        formatter.write_str(&words.collect::<Vec<_>>().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_said_in_the_words_that_leave_it_out() {
        let without = Without::default().and("bit-rot").and_then(|without| without.and("kill")).unwrap();
        assert_eq!(without.to_string(), "kill,bit-rot");
        assert!(without.has(Step::Rot) && without.has(Step::Kill) && !without.has(Step::Stop));
        assert_eq!(without.and("ask"), None);
    }
}

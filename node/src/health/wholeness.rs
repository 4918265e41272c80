//! Whether what lies on the disk is what was written: how far it was read, and what is damaged.

use super::Indicator;
use super::indicators::{fail, pass, warn};
use crate::repair::Repairs;
use crate::repair::scrub::Progress;

/// How far the scrub has come, and what is under repair.
#[derive(Clone, Debug, Default)]
pub(super) struct Wholeness {
    scrubbed: Progress,
    /// Parts that are being repaired.
    repairing: Vec<&'static str>,
    /// Parts that could not be, and why.
    failed: Vec<(&'static str, String)>,
}

impl Wholeness {
    pub(super) fn of(repairs: &Repairs) -> Wholeness {
        let mut wholeness = Wholeness { scrubbed: repairs.progress(), ..Wholeness::default() };
        for repair in repairs.under_way() {
            match repair.failed {
                Some(why) => wholeness.failed.push((repair.part.word(), why)),
                None => wholeness.repairing.push(repair.part.word()),
            }
        }
        wholeness
    }

    pub(super) fn indicators(&self) -> [Indicator; 2] {
        [self.verified(), self.damage()]
    }

    fn verified(&self) -> Indicator {
        let Progress { is_on, passes, journal_seq, damages } = self.scrubbed;
        if !is_on {
            return pass("verified", "nothing is read to look for damage: setting scrub.bytes_per_second is 0".to_owned());
        }
        let words = format!(
            "the journal was read and proven up to record {journal_seq}; since the start everything was read {passes} times, and damage \
             was found {damages} times"
        );
        pass("verified", words).with(journal_seq as f64, "records proven")
    }

    fn damage(&self) -> Indicator {
        let count = (self.failed.len() + self.repairing.len()) as f64;
        let indicator = if let Some((part, why)) = self.failed.first() {
            fail("damage", format!("the {part} is damaged and was not repaired yet: {why}"))
        } else if self.repairing.is_empty() {
            pass("damage", "none is known".to_owned())
        } else {
            warn("damage", format!("being repaired: {}", self.repairing.join(", ")))
        };
        indicator.with(count, "parts damaged")
    }
}

#[cfg(test)]
mod tests {
    use super::super::Grade;
    use super::*;
    use node_domain::repair::RepairPart;

    #[test]
    fn damage_warns_while_it_is_repaired_and_fails_when_it_cannot_be() {
        let repairs = Repairs::new();
        let grade = || Wholeness::of(&repairs).damage().status;
        assert_eq!(grade(), Grade::Pass);
        repairs.began(RepairPart::Journal, "a segment");
        assert_eq!(grade(), Grade::Warn);
        repairs.failed(RepairPart::Journal, "nobody has it");
        assert_eq!(grade(), Grade::Fail);
        assert!(
            Wholeness::of(&repairs).damage().says.ends_with("the journal is damaged and was not repaired yet: nobody has it")
        );
        repairs.done(RepairPart::Journal);
        assert_eq!(grade(), Grade::Pass);
    }

    #[test]
    fn health_says_how_far_the_journal_was_proven() {
        let repairs = Repairs::new();
        assert!(Wholeness::of(&repairs).verified().says.contains("scrub.bytes_per_second is 0"));
        repairs.scrubbed(|progress| *progress = Progress { is_on: true, passes: 2, journal_seq: 120, damages: 1 });
        assert_eq!(Wholeness::of(&repairs).verified().value, Some(120.0));
    }
}

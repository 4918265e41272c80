//! The indicators: each a judgement of what was seen.

use super::{Grade, Indicator, recovery::Recovery, surroundings::Around, wholeness::Wholeness};
use crate::certificates::expires;
use crate::members::placement;
use node_domain::ids::Stamp;
use raft::{MemberState, ReplicaStatus};
use std::time::Duration;
use storage::journal::JournalHead;

/// A node that has heard nobody for so long is on its own: longer than an election takes.
const ALONE: Duration = Duration::from_secs(2);
/// Facts of the disk that are older than this say that the disk does not answer.
const UNANSWERED: Duration = Duration::from_secs(15);
/// Free room below which somebody should look, and below which writes will soon fail.
const FREE_WARN: u64 = 2 << 30;
const FREE_FAIL: u64 = 256 << 20;
/// Days that a certificate should still be good for.
const DAYS_WARN: f64 = 30.0;
/// How far the stamps of the log may be ahead of this node's clock.
const AHEAD_WARN: Duration = Duration::from_secs(5);

/// What was seen of a node, all at about one time.
pub(super) struct Seen {
    pub(super) status: ReplicaStatus,
    /// How long nobody was heard.
    pub(super) silence: Option<Duration>,
    pub(super) log_failure: Option<String>,
    /// How long the write under way has taken.
    pub(super) stalled_for: Option<Duration>,
    pub(super) is_stalled: bool,
    pub(super) learner_lag_max: u64,
    pub(super) founded: bool,
    pub(super) sealed_environments: usize,
    pub(super) journal: JournalHead,
    pub(super) journal_failure: Option<String>,
    pub(super) stamp: Stamp,
    pub(super) now: Stamp,
    pub(super) draining: bool,
    pub(super) members: Vec<MemberState>,
    pub(super) recovery: Recovery,
    pub(super) surroundings: Around,
    /// Days that each certificate is still good for.
    pub(super) certificates: Vec<(&'static str, f64)>,
    /// Why newer certificates are not in use.
    pub(super) certificates_refused: Option<String>,
    pub(super) wholeness: Wholeness,
}

impl Seen {
    pub(super) fn indicators(&self) -> Vec<Indicator> {
        let mut all = vec![self.quorum(), self.lag(), self.disk(), self.storage(), self.keys(), self.journal(), self.clock()];
        all.extend(self.certificates());
        all.extend(self.recovery.indicators(self.now));
        all.extend(self.wholeness.indicators());
        all.extend([self.zones(), self.maintenance()]);
        all
    }

    fn quorum(&self) -> Indicator {
        let heard = self.silence.filter(|silence| *silence <= ALONE);
        match (self.founded, self.status.leader, heard) {
            (false, ..) => fail("quorum", "the cluster is not founded, or this node has not heard of it yet"),
            (_, None, _) => fail("quorum", "no leader is known"),
            (_, Some(leader), None) => {
                let words = match self.silence {
                    Some(silence) => {
                        format!("nothing heard of the cluster for {:.1} s; node {leader} led", silence.as_secs_f64())
                    }
                    None => format!("nothing heard yet of node {leader}, which leads"),
                };
                fail("quorum", words)
            }
            (_, Some(leader), Some(silence)) => {
                let words = format!("node {leader} leads in term {}", self.status.term);
                pass("quorum", words).with(silence.as_secs_f64() * 1000.0, "ms since heard")
            }
        }
    }

    fn lag(&self) -> Indicator {
        let committed = self.status.cluster_committed.max(self.status.committed).map_or(0, |index| index + 1);
        let own = committed.saturating_sub(self.status.applied.map_or(0, |index| index + 1));
        let farthest = self.status.followers.iter().max_by_key(|follower| follower.lag);
        let (lag, words) = match farthest {
            Some(follower) if follower.lag > own => {
                (follower.lag, format!("node {} lacks {} entries", follower.id, follower.lag))
            }
            _ => (own, format!("this node lacks {own} entries")),
        };
        let indicator = if lag > self.learner_lag_max { warn("lag", words) } else { pass("lag", words) };
        indicator.with(lag as f64, "entries")
    }

    fn disk(&self) -> Indicator {
        if let Some(failure) = &self.log_failure {
            return fail("disk", failure.clone());
        }
        let taken = self.stalled_for.unwrap_or_default();
        let indicator = if self.is_stalled {
            fail("disk", format!("a write of the log hangs for {:.1} s", taken.as_secs_f64()))
        } else {
            pass("disk", "the log is written".to_owned())
        };
        indicator.with(taken.as_secs_f64() * 1000.0, "ms under way")
    }

    fn storage(&self) -> Indicator {
        if self.surroundings.looked.elapsed() > UNANSWERED {
            return fail("storage", "the data directory does not answer");
        }
        let Some((free, total)) = self.surroundings.room else {
            return fail("storage", "the data directory cannot be looked at");
        };
        let words = format!("{} MiB of {} MiB are free", free >> 20, total >> 20);
        let indicator = if free < FREE_FAIL {
            fail("storage", words)
        } else if free < FREE_WARN {
            warn("storage", words)
        } else {
            pass("storage", words)
        };
        indicator.with(free as f64, "bytes free")
    }

    fn keys(&self) -> Indicator {
        match self.sealed_environments {
            0 => pass("keys", "unsealed".to_owned()),
            1 => warn("keys", "unsealed; one environment is sealed".to_owned()),
            count => warn("keys", format!("unsealed; {count} environments are sealed")),
        }
    }

    fn journal(&self) -> Indicator {
        if let Some(failure) = &self.journal_failure {
            return fail("journal", failure.clone());
        }
        let head = self.journal.next_seq.saturating_sub(1);
        let words = format!("held from record {} to {head}", self.journal.first_seq);
        pass("journal", words).with(head as f64, "records")
    }

    fn clock(&self) -> Indicator {
        let ahead = Duration::from_micros(self.stamp.0.saturating_sub(self.now.0));
        let words = format!("the newest stamp is {:.1} s ahead of this node's clock", ahead.as_secs_f64());
        let indicator = if ahead > AHEAD_WARN { warn("clock", words) } else { pass("clock", words) };
        indicator.with(ahead.as_secs_f64(), "s ahead")
    }

    fn certificates(&self) -> Vec<Indicator> {
        let judged = self.certificates.iter().map(|(name, days)| match *days {
            days if days < 0.0 => fail(name, expires(days)).with(days, "days left"),
            days if days < DAYS_WARN => warn(name, expires(days)).with(days, "days left"),
            days => pass(name, expires(days)).with(days, "days left"),
        });
        let refused = self.certificates_refused.iter();
        judged.chain(refused.map(|why| warn("certificates", format!("new certificates are not used: {why}")))).collect()
    }

    fn zones(&self) -> Indicator {
        match placement::overloaded(&self.members) {
            Some((zone, votes, all)) => {
                let words = format!(
                    "zone {zone} holds {votes} of {all} votes: losing it stops the cluster; let a node of another zone vote"
                );
                warn("zones", words).with(votes as f64, "votes in one zone")
            }
            None => pass("zones", "votes are spread as far as the members allow".to_owned()),
        }
    }

    fn maintenance(&self) -> Indicator {
        if self.draining {
            warn("maintenance", "drained: it takes no calls".to_owned())
        } else {
            pass("maintenance", "it takes calls".to_owned())
        }
    }
}

pub(super) fn pass(name: &'static str, says: String) -> Indicator {
    Indicator { name, status: Grade::Pass, says, value: None, unit: "" }
}

pub(super) fn warn(name: &'static str, says: String) -> Indicator {
    Indicator { name, status: Grade::Warn, says, value: None, unit: "" }
}

pub(super) fn fail(name: &'static str, says: impl Into<String>) -> Indicator {
    Indicator { name, status: Grade::Fail, says: says.into(), value: None, unit: "" }
}

impl Indicator {
    pub(super) fn with(self, value: f64, unit: &'static str) -> Indicator {
        Indicator { value: Some(value), unit, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    fn seen() -> Seen {
        let status = ReplicaStatus {
            id: 1,
            term: 3,
            leader: Some(1),
            last_log: Some(10),
            committed: Some(10),
            cluster_committed: Some(10),
            applied: Some(10),
            snapshot: None,
            purged: None,
            quorum_acknowledged: Some(Duration::ZERO),
            followers: Vec::new(),
        };
        Seen {
            status,
            silence: Some(Duration::from_millis(40)),
            log_failure: None,
            stalled_for: None,
            is_stalled: false,
            learner_lag_max: 100,
            founded: true,
            sealed_environments: 0,
            journal: JournalHead { first_seq: 1, next_seq: 11, chain: [0; 32] },
            journal_failure: None,
            stamp: Stamp(1_000_000),
            now: Stamp(1_000_000),
            draining: false,
            recovery: Recovery::default(),
            surroundings: Around { looked: Instant::now(), room: Some((10 << 30, 20 << 30)) },
            members: Vec::new(),
            certificates: vec![("certificate-peer", 300.0), ("certificate-client", 300.0)],
            certificates_refused: None,
            wholeness: Wholeness::default(),
        }
    }

    fn grade(seen: &Seen, name: &str) -> Grade {
        seen.indicators().iter().find(|indicator| indicator.name == name).unwrap().status
    }

    #[test]
    fn a_healthy_node_passes_everything() {
        assert!(seen().indicators().iter().all(|indicator| indicator.status == Grade::Pass), "{:?}", seen().indicators());
    }

    #[test]
    fn a_node_that_hears_nobody_has_no_quorum_although_it_remembers_a_leader() {
        assert_eq!(grade(&Seen { silence: Some(Duration::from_secs(3)), ..seen() }, "quorum"), Grade::Fail);
        assert_eq!(grade(&Seen { silence: None, ..seen() }, "quorum"), Grade::Fail);
        assert_eq!(grade(&Seen { founded: false, ..seen() }, "quorum"), Grade::Fail);
    }

    #[test]
    fn certificates_and_room_warn_before_they_fail() {
        let with = |days, free| {
            let mut seen = seen();
            seen.certificates[0].1 = days;
            seen.surroundings.room = Some((free, 20 << 30));
            (grade(&seen, "certificate-peer"), grade(&seen, "storage"))
        };
        assert_eq!(with(29.0, 1 << 30), (Grade::Warn, Grade::Warn));
        assert_eq!(with(-1.0, 1 << 20), (Grade::Fail, Grade::Fail));
    }

    #[test]
    fn a_disk_that_hangs_or_failed_fails_and_a_clock_behind_warns() {
        assert_eq!(grade(&Seen { is_stalled: true, ..seen() }, "disk"), Grade::Fail);
        assert_eq!(grade(&Seen { log_failure: Some("EIO".into()), ..seen() }, "disk"), Grade::Fail);
        assert_eq!(grade(&Seen { stamp: Stamp(7_000_000), ..seen() }, "clock"), Grade::Warn);
        assert_eq!(grade(&Seen { draining: true, ..seen() }, "maintenance"), Grade::Warn);
    }

    #[test]
    fn the_node_that_lacks_most_is_the_lag() {
        let mut behind = seen();
        behind.status.applied = Some(5);
        assert_eq!(behind.lag().value, Some(5.0));
        let follower = raft::FollowerStatus { id: 3, matched: Some(0), lag: 500, acknowledged: None };
        behind.status.followers = vec![follower];
        assert_eq!((behind.lag().value, behind.lag().status), (Some(500.0), Grade::Warn));
    }
}

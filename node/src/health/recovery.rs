//! Whether the cluster could be brought back: how old the newest snapshot is, and what the last drill found.

use super::Indicator;
use super::indicators::{pass, warn};
use crate::config::BackupConfig;
use node_domain::State;
use node_domain::ids::Stamp;
use std::time::Duration;

/// What the journal knows of snapshots and drills, and how often one is due.
#[derive(Clone, Debug, Default)]
pub(super) struct Recovery {
    /// How often a snapshot is due; none where nothing saves them.
    every: Option<Duration>,
    saved: Option<Stamp>,
    failing: bool,
    /// When the last drill was, and whether it passed.
    drill: Option<(Stamp, bool)>,
    /// How often a drill is due; none where nothing saves snapshots, or nobody asks for drills.
    drill_every: Option<Duration>,
}

impl Recovery {
    pub(super) fn of(state: &State, config: &BackupConfig) -> Recovery {
        let known = state.recovery();
        Recovery {
            every: config.to.as_ref().map(|_| Duration::from_millis(config.due_every_ms())),
            saved: known.saved().map(|saved| saved.at),
            failing: known.failed().is_some(),
            drill: known.drill().map(|drill| (drill.at, drill.drill.passed)),
            drill_every: (config.to.is_some() && config.drill_every_ms > 0).then(|| Duration::from_millis(config.drill_every_ms)),
        }
    }

    pub(super) fn indicators(&self, now: Stamp) -> [Indicator; 2] {
        [self.backup(now), self.drill(now)]
    }

    fn backup(&self, now: Stamp) -> Indicator {
        let Some(saved) = self.saved else {
            let words = "no snapshot was saved yet";
            return match self.every {
                Some(_) if self.failing => warn("backup", format!("{words}, and one that was due failed")),
                Some(_) => pass("backup", words.to_owned()),
                None => pass("backup", format!("{words}; setting backup.to names no place where they are saved by themselves")),
            };
        };
        let age = since(saved, now);
        let words = format!("the newest snapshot is {} old", people(age));
        let is_late = self.every.is_some_and(|every| age > every * 2);
        let indicator = if self.failing {
            warn("backup", format!("{words}; one that was due failed"))
        } else if is_late {
            warn("backup", format!("{words}; one is due every {}", people(self.every.unwrap_or_default())))
        } else {
            pass("backup", words)
        };
        indicator.with(age.as_secs_f64(), "s old")
    }

    fn drill(&self, now: Stamp) -> Indicator {
        let Some((at, passed)) = self.drill else {
            let words = "no drill was reported: holdfast drill --report-to-cluster";
            return match self.drill_every {
                Some(_) => warn("drill", format!("nobody knows yet whether the snapshots come back; {words}")),
                None => pass("drill", words.to_owned()),
            };
        };
        let age = since(at, now);
        let indicator = match self.drill_every {
            _ if !passed => warn("drill", format!("the last one failed {} ago: read its report", people(age))),
            Some(every) if age > every => {
                warn("drill", format!("the last one passed {} ago; one is due every {}", people(age), people(every)))
            }
            _ => pass("drill", format!("the last one passed {} ago", people(age))),
        };
        indicator.with(age.as_secs_f64(), "s old")
    }
}

fn since(at: Stamp, now: Stamp) -> Duration {
    Duration::from_micros(now.0.saturating_sub(at.0))
}

/// A time in the largest unit that it fills.
fn people(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Grade;
    use super::*;

    const HOUR_US: u64 = 3_600_000_000;

    fn grades(recovery: &Recovery) -> (Grade, Grade) {
        let [backup, drill] = recovery.indicators(Stamp(10 * HOUR_US));
        (backup.status, drill.status)
    }

    #[test]
    fn a_snapshot_that_failed_or_is_late_warns_and_so_does_a_failed_drill() {
        let hourly = Recovery { every: Some(Duration::from_secs(3600)), saved: Some(Stamp(9 * HOUR_US)), ..Recovery::default() };
        assert_eq!(grades(&hourly), (Grade::Pass, Grade::Pass));
        let late = Recovery { saved: Some(Stamp(7 * HOUR_US)), drill: Some((Stamp(HOUR_US), true)), ..hourly.clone() };
        assert_eq!(grades(&late), (Grade::Warn, Grade::Pass));
        let failing = Recovery { failing: true, drill: Some((Stamp(HOUR_US), false)), ..hourly };
        assert_eq!(grades(&failing), (Grade::Warn, Grade::Warn));
        assert_eq!(late.indicators(Stamp(10 * HOUR_US))[0].says, "the newest snapshot is 3 h old; one is due every 60 min");
    }

    #[test]
    fn where_snapshots_are_saved_drills_are_due() {
        let due = Recovery { drill_every: Some(Duration::from_secs(2 * 3600)), ..Recovery::default() };
        assert_eq!(grades(&due).1, Grade::Warn);
        let drilled = |hour| Recovery { drill: Some((Stamp(hour * HOUR_US), true)), ..due.clone() };
        assert_eq!((grades(&drilled(9)).1, grades(&drilled(7)).1), (Grade::Pass, Grade::Warn));
        let says = |config: &BackupConfig| Recovery::of(&State::empty([1; 16]), config).indicators(Stamp(0))[1].status;
        let saving = BackupConfig { to: Some("backups".into()), ..BackupConfig::default() };
        assert_eq!((says(&BackupConfig::default()), says(&saving)), (Grade::Pass, Grade::Warn));
        assert_eq!(says(&BackupConfig { drill_every_ms: 0, ..saving }), Grade::Pass);
    }

    #[test]
    fn where_nothing_is_saved_by_itself_health_says_so() {
        let [backup, _] = Recovery::default().indicators(Stamp(0));
        assert!(backup.says.contains("backup.to"), "{}", backup.says);
    }
}

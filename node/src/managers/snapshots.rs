//! Snapshots by themselves: the leader saves them where setting `backup.to` says, and every node keeps the log that the next increment needs.

use crate::backups::Saving;
use crate::clock::Clock;
use crate::config::BackupConfig;
use node_domain::State;
use node_domain::ids::Stamp;
use node_domain::recovery::{RecoveryUpkeep, SavedAt};
use raft::{Replica, Role};
use std::sync::Arc;
use std::time::Duration;
use storage_backup::Keep;
use tokio::time::Instant;

/// How often it is looked whether a snapshot is due.
const CHECK: Duration = Duration::from_millis(500);
/// How long to wait after a failure; it doubles up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_secs(30);
const RETRY_MAX: Duration = Duration::from_secs(3600);

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    Full,
    Increment,
}

/// What the manager of snapshots works with.
pub(crate) struct Snapshots {
    pub(crate) saving: Arc<Saving>,
    pub(crate) replica: Replica,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) config: BackupConfig,
}

/// The newest snapshots in this cluster's own place, as far as this node knows. The state knows the newest ones anywhere: what somebody
/// saved into a directory of his own is none that the schedule may rest on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Known {
    epoch: u32,
    full: Option<Stamp>,
    saved: Option<Stamp>,
    /// First entry of the log that the next increment needs.
    held: Option<u64>,
    /// Whether the state's newest snapshots lie elsewhere, and the place itself has to be asked.
    is_unsure: bool,
}

pub(crate) async fn run(snapshots: Snapshots) {
    let Snapshots { saving, replica, clock, config } = snapshots;
    let Some(to) = config.to.clone() else { return };
    let (mut wait, mut not_before) = (RETRY_MIN, Instant::now());
    let mut known = Known::default();
    loop {
        tokio::time::sleep(CHECK).await;
        let view = saving.door.view();
        let mut failure = known.learn(&saving, &view.state).err();
        // Where nothing was saved yet there is nothing that could go on.
        replica.hold_log(known.held);
        let leads = matches!(*replica.watch_role().borrow(), Role::Leader { .. });
        if !leads || !view.state.is_founded() || Instant::now() < not_before {
            continue;
        }
        drop(view);
        if known.is_unsure && failure.is_none() {
            failure = known.ask(&saving).await.err();
        }
        if failure.is_none() {
            let Some(due) = due(&known, clock.now(), &config) else { continue };
            failure = save(&saving, due, clock.now(), &config).await.err();
        }
        let Some(why) = failure else {
            wait = RETRY_MIN;
            continue;
        };
        tracing::error!(why, to, "a snapshot that is due was not saved");
        if let Err(error) = saving.tell(RecoveryUpkeep::Failed { to: to.clone(), why }).await {
            tracing::error!(%error, "the journal does not know that a snapshot failed");
        }
        not_before = Instant::now() + wait;
        wait = (wait * 2).min(RETRY_MAX);
    }
}

impl Known {
    fn learn(&mut self, saving: &Saving, state: &State) -> Result<(), String> {
        let place = saving.store().map_err(|error| error.to_string())?.place().to_owned();
        self.take(state, &place);
        Ok(())
    }

    /// Takes over what the state says of snapshots at `place`.
    fn take(&mut self, state: &State, place: &str) {
        if self.epoch != state.epoch() {
            *self = Known { epoch: state.epoch(), ..Known::default() };
        }
        let recovery = state.recovery();
        let ours = |saved: &&SavedAt| saved.snapshot.to == place;
        if let Some(full) = recovery.full().filter(ours) {
            (self.full, self.saved) = (Some(full.at), self.saved.max(Some(full.at)));
        }
        if let Some(saved) = recovery.saved().filter(ours) {
            (self.saved, self.held) = (Some(saved.at), Some(saved.snapshot.log_index + 1));
        }
        let elsewhere = |saved: Option<&SavedAt>| saved.is_some_and(|saved| saved.snapshot.to != place);
        let is_elsewhere = elsewhere(recovery.full()) || elsewhere(recovery.saved());
        self.is_unsure = is_elsewhere && (self.full.is_none() || self.saved.is_none() || self.held.is_none());
    }

    /// Looks into the place itself.
    async fn ask(&mut self, saving: &Saving) -> Result<(), String> {
        let set = saving.own_set().await.map_err(|error| error.to_string())?;
        let stamp = |ms: u64| Stamp(ms.saturating_mul(1000));
        let of_now = |entry: &&storage_backup::Entry| entry.epoch == self.epoch;
        let full = set.fulls().filter(of_now).map(|full| stamp(full.created_ms)).max();
        let newest = set.newest().filter(of_now);
        self.full = self.full.max(full);
        self.saved = self.saved.max(newest.map(|newest| stamp(newest.created_ms)));
        self.held = self.held.or(newest.map(|newest| newest.log_index + 1));
        self.is_unsure = false;
        Ok(())
    }
}

async fn save(saving: &Saving, due: Due, now: Stamp, config: &BackupConfig) -> Result<(), String> {
    saving.save(due == Due::Increment).await.map_err(|error| error.to_string())?;
    if config.keep == 0 || due == Due::Increment {
        return Ok(());
    }
    let keep = Keep { fulls: config.keep as usize, since_ms: now.as_ms().saturating_sub(config.keep_ms) };
    saving.prune(keep, false).await.map(drop).map_err(|error| error.to_string())
}

fn due(known: &Known, now: Stamp, config: &BackupConfig) -> Option<Due> {
    let age = |at: Stamp| now.as_ms().saturating_sub(at.as_ms());
    match known.full {
        Some(full) if age(full) < config.full_every_ms => {}
        _ => return Some(Due::Full),
    }
    let often = config.incremental_every_ms > 0 && age(known.saved?) >= config.incremental_every_ms;
    often.then_some(Due::Increment)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::unasked;
    use node_domain::Event;
    use node_domain::ids::Revision;
    use node_domain::recovery::{RecoveryEvent, SavedSnapshot};

    const MINUTE_US: u64 = 60_000_000;
    const PLACE: &str = "place";

    /// A state that heard of snapshots: where they lie, after which record, in which minute.
    fn state_with(saves: &[(&str, Option<u64>, u64)]) -> State {
        let mut state = State::empty([1; 16]);
        for (to, after, minute) in saves {
            let snapshot = SavedSnapshot {
                file: "file".into(),
                to: (*to).into(),
                after: after.map(Revision),
                revision: state.revision(),
                log_index: *minute,
                digest: [0; 32],
                bytes: 1,
                secrets: 0,
                note: String::new(),
            };
            let saved = Event::Recovery(RecoveryEvent::SnapshotSaved(Box::new(snapshot)));
            state.apply(&unasked(Stamp(minute * MINUTE_US), saved)).unwrap();
        }
        state
    }

    fn known_of(saves: &[(&str, Option<u64>, u64)]) -> Known {
        let mut known = Known::default();
        (0..=saves.len()).for_each(|count| known.take(&state_with(&saves[..count]), PLACE));
        known
    }

    fn due_at(saves: &[(&str, Option<u64>, u64)], minute: u64) -> Option<Due> {
        let config = BackupConfig {
            to: Some(PLACE.into()),
            full_every_ms: 60 * 60_000,
            incremental_every_ms: 10 * 60_000,
            ..BackupConfig::default()
        };
        due(&known_of(saves), Stamp(minute * MINUTE_US), &config)
    }

    #[test]
    fn the_first_snapshot_is_a_full_one_and_increments_follow_until_the_next() {
        assert_eq!(due_at(&[], 1), Some(Due::Full));
        assert_eq!(due_at(&[(PLACE, None, 1)], 5), None);
        assert_eq!(due_at(&[(PLACE, None, 1)], 11), Some(Due::Increment));
        assert_eq!(due_at(&[(PLACE, None, 1), (PLACE, Some(1), 11)], 20), None);
        assert_eq!(due_at(&[(PLACE, None, 1), (PLACE, Some(1), 11)], 61), Some(Due::Full));
    }

    #[test]
    fn what_somebody_saves_for_himself_does_not_count_and_lets_go_of_no_log() {
        let saves = [(PLACE, None, 1), ("the caller", None, 9)];
        assert_eq!(due_at(&saves, 11), Some(Due::Increment));
        assert_eq!(known_of(&saves).held, Some(2));
        assert!(!known_of(&saves).is_unsure);
        // A node that has just started knows only of the newest, and asks the place itself.
        let mut fresh = Known::default();
        fresh.take(&state_with(&saves), PLACE);
        assert!(fresh.is_unsure);
    }
}

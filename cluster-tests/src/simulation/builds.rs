//! Builds: nodes get newer ones one after the other, and now and then an older one again.

use super::chance;
use super::walk::Walk;
use super::world::FIRST_LEVEL;

/// So many of a hundred changes go back to an older build.
const BACK: u64 = 25;
/// So many of a hundred nodes are asked to stop first; the others are killed.
const ASKED: u64 = 50;
/// So many of a hundred new nodes come with the newest build; the others with the one before.
const NEWEST: u64 = 75;
/// What a build says of a cluster that has gone beyond it.
const TOO_OLD: &str = "the cluster uses features of level";

/// What is counted when a build was refused because it is too old.
pub(super) const TOO_OLD_REFUSED: &str = "build too old, refused";

impl Walk {
    /// Another build for some node, as somebody does who upgrades a cluster: first those that are behind, and a new release where none is.
    pub(super) async fn upgrade_one(&mut self) -> bool {
        let ids = self.world.ids();
        let released = self.world.released();
        let behind: Vec<u64> = ids.iter().copied().filter(|id| self.world.level(*id) < released).collect();
        if chance::happens(BACK) {
            let Some(id) = chance::one(&ids) else { return false };
            let level = self.world.level(id);
            if level == FIRST_LEVEL {
                return false;
            }
            self.change_build(id, level - 1).await;
            return true;
        }
        let level = if behind.is_empty() { released + 1 } else { released };
        let Some(id) = chance::one(if behind.is_empty() { &ids } else { &behind }) else { return false };
        self.change_build(id, level).await;
        true
    }

    /// Ends a node, and starts it again with a build that understands this level.
    pub(super) async fn change_build(&mut self, id: u64, level: u32) {
        self.tell(format!("node {id} gets a build of level {level}"));
        let is_up = self.world.up().iter().any(|(up, _)| *up == id);
        if is_up && chance::happens(ASKED) {
            self.stop(id).await;
        } else {
            self.world.kill(id);
        }
        self.world.set_level(id, level);
        self.at_once.push(id);
    }

    /// The level of the build that a new node comes with.
    pub(super) fn level_of_newcomer(&self) -> u32 {
        let released = self.world.released();
        if chance::happens(NEWEST) { released } else { (released - 1).max(FIRST_LEVEL) }
    }

    /// Whether a node ended, or did not start, because its build is too old. Then it gets the newest.
    pub(super) fn is_outdated(&mut self, id: u64, why: &str) -> bool {
        let released = self.world.released();
        if !why.contains(TOO_OLD) || self.world.level(id) >= released {
            return false;
        }
        *self.counts.entry(TOO_OLD_REFUSED).or_default() += 1;
        self.world.set_level(id, released);
        self.at_once.push(id);
        true
    }

    /// All get the newest build: those that have an older one end.
    pub(super) fn release_everywhere(&mut self) {
        let released = self.world.released();
        for id in self.world.ids() {
            if self.world.level(id) < released {
                self.world.kill(id);
                self.world.set_level(id, released);
            }
        }
    }
}

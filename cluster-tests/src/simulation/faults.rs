//! What breaks: processes, power, network, clocks and disks.

use super::chance::{self, WorldEntropy};
use super::disk::Decay;
use super::steps::Step;
use super::walk::Walk;
use std::sync::Arc;
use storage::disk::memory::Faults;

/// Clocks are off by so much at most.
const CLOCK_OFF_MS: u64 = 10 * 60 * 1000;
/// Of so many changes of leaders in a hundred, each makes something break.
const BLOWS_AT_ELECTIONS: u64 = 12;
/// So many of a hundred nodes that are killed or lose their power start again at once.
const BACK_AT_ONCE: u64 = 40;
/// What is queued for a slow disk waits up to so long.
const SLOW_DISK_MS: u64 = 200;
/// The power goes within one of so many of the next operations of a disk.
const OPERATIONS: u64 = 24;
/// Room that is left on a disk that is filling up, in bytes.
const ROOM_BYTES: u64 = 2 << 20;

impl Walk {
    /// What goes wrong just when somebody begins or ceases to lead is what elections are made for.
    pub(super) fn strike_at_elections(&mut self) {
        let leaders =
            self.world.up().into_iter().map(|(id, node)| (id, node.replica().leader().map(|leader| leader.id))).collect();
        let is_news = self.leaders != leaders;
        self.leaders = leaders;
        if is_news {
            *self.counts.entry("changes of who leads").or_default() += 1;
        }
        if !is_news || !chance::happens(BLOWS_AT_ELECTIONS) {
            return;
        }
        let how = [Step::Kill, Step::CutPower, Step::CutPower, Step::CutPowerWithin, Step::CutPowerWithin, Step::CutPowerOfAll];
        if chance::one(&how).is_some_and(|how| self.end(how)) {
            *self.counts.entry(Step::Unrest.word()).or_default() += 1;
        }
    }

    /// Ends a node, or all, or has one end soon.
    pub(super) fn end(&mut self, how: Step) -> bool {
        if how == Step::CutPowerOfAll {
            if self.world.up().is_empty() {
                return false;
            }
            self.tell("the power of all is cut");
            let all = self.world.ids();
            all.iter().for_each(|id| self.world.cut_power(*id));
            if chance::happens(BACK_AT_ONCE) {
                self.at_once.extend(all);
            }
            return true;
        }
        let up: Vec<u64> = self.world.up().iter().map(|(id, _)| *id).collect();
        let Some(id) = chance::one(&up) else { return false };
        self.tell(format!("{} of node {id}", how.word()));
        match how {
            Step::CutPowerWithin => {
                let within = chance::of(0..=OPERATIONS);
                if let Some(disk) = self.world.disk(id) {
                    disk.cut_power_within(within, Arc::new(WorldEntropy));
                }
                return true;
            }
            Step::Kill => self.world.kill(id),
            _ => self.world.cut_power(id),
        }
        if chance::happens(BACK_AT_ONCE) {
            self.at_once.push(id);
        }
        true
    }

    pub(super) async fn stop_one(&mut self) -> bool {
        let up: Vec<u64> = self.world.up().iter().map(|(id, _)| *id).collect();
        let Some(id) = chance::one(&up) else { return false };
        self.tell(format!("stop of node {id}"));
        self.stop(id).await;
        true
    }

    pub(super) async fn stop(&mut self, id: u64) {
        if !self.world.stop(id).await {
            self.findings.push(format!("node {id} did not stop when it was asked to"));
        }
    }

    pub(super) fn network(&mut self, step: Step) -> bool {
        let ids = self.world.ids();
        let Some(one) = chance::one(&ids) else { return false };
        let others: Vec<u64> = ids.iter().copied().filter(|id| *id != one).collect();
        // One alone has no network.
        let Some(other) = chance::one(&others) else { return false };
        self.tell(format!("{} ({one}, {other})", step.word()));
        match step {
            Step::Isolate => {
                for id in others {
                    self.world.net.cut(one, id);
                    self.world.net.cut(id, one);
                }
            }
            Step::CutOneWay => self.world.net.cut(one, other),
            Step::Slow => self.world.net.slow(chance::of(5..=120)),
            _ => {
                self.world.net.heal();
                ids.into_iter().for_each(|id| self.world.mend(id));
            }
        }
        true
    }

    pub(super) fn clock(&mut self) -> bool {
        let Some(id) = chance::one(&self.world.ids()) else { return false };
        let off = i64::try_from(chance::of(0..=2 * CLOCK_OFF_MS)).unwrap_or(0) - i64::try_from(CLOCK_OFF_MS).unwrap_or(0);
        // Half of the time it is right again.
        let off = if chance::happens(50) { off } else { 0 };
        self.tell(format!("the clock of node {id} is {off} ms off"));
        self.world.set_clock(id, off);
        off != 0
    }

    /// A disk becomes slow, or fails soon, or is nearly full. It is mended when everything is, or before the node starts again.
    pub(super) fn spoil(&mut self, step: Step) -> bool {
        let up: Vec<u64> = self.world.up().iter().map(|(id, _)| *id).collect();
        let Some(id) = chance::one(&up) else { return false };
        self.tell(format!("{} at node {id}", step.word()));
        if step == Step::SlowDisk {
            self.world.slow_disk(id, chance::of(10..=SLOW_DISK_MS));
            return true;
        }
        let Some(disk) = self.world.spoil(id) else { return false };
        let soon = chance::of(1..=OPERATIONS);
        disk.set_faults(match step {
            Step::FailSyncs => Faults { fail_sync_from: Some(disk.syncs() + soon), ..Faults::default() },
            _ => Faults { capacity: Some(disk.bytes() + chance::of(0..=ROOM_BYTES)), ..Faults::default() },
        });
        true
    }

    /// The log of a node that is down is damaged. It must refuse to start from it; then somebody puts the file back.
    pub(super) fn rot(&mut self, step: Step) -> Result<bool, String> {
        let Some(id) = chance::one(&self.world.down()) else { return Ok(false) };
        let decay = if step == Step::Misdirect { Decay::Misdirected } else { Decay::Bit };
        let is_rotten = self.world.rot(id, decay)?;
        if is_rotten {
            self.tell(format!("{} in the log of node {id}", step.word()));
        }
        Ok(is_rotten)
    }
}

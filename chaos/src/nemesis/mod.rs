//! The adversary: what can strike, what each strike needs, and the record of those that did.

mod backup;
mod certificates;
mod clock;
mod cluster;
mod conductor;
mod disk;
mod hooks;
mod network;
mod owed;
mod process;
mod scene;
mod staging;

use serde::{Deserialize, Serialize};

pub(crate) use self::{
    conductor::conduct,
    hooks::{Hooks, START, STOP},
    owed::Owed,
    scene::{Members, Scene, Trial},
};
use crate::stage::means::{Means, Need};

/// Something that goes wrong in the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// `kill -9` of one node.
    Kill,
    /// `kill -9` of all nodes at once.
    KillAll,
    /// One process stands still, and goes on as if nothing had been.
    Pause,
    /// One node is asked to stop, and comes back.
    Restart,
    /// Each node in turn is asked to stop, and comes back.
    RollingRestart,
    /// The power of one node goes: what was not synced is lost.
    PowerCut,
    /// The power of all nodes goes at once.
    PowerCutAll,
    /// One node is cut off from the others, both ways.
    Isolate,
    /// One node hears the others, and they do not hear it.
    IsolateOneWay,
    /// Nodes reach their neighbours on a line only: two of them each see a majority that the other is not in.
    Ring,
    /// One node is cut off and joined again, several times in a second.
    Flap,
    /// Everything between nodes is slow, and overtakes itself.
    Delay,
    /// A part of everything between nodes is lost or comes twice.
    Loss,
    /// One node's disk serves few writes.
    SlowDisk,
    /// One node's disk does not answer.
    HungDisk,
    /// One node's disk has no space left.
    FullDisk,
    /// Syncs of one node fail.
    FailingDisk,
    /// The leader hands over.
    HandOver,
    /// A node takes a snapshot.
    Snapshot,
    /// A new node joins, votes, and is taken out again.
    Member,
    /// The environment gets another key.
    RotateKey,
    /// The environment is sealed for a while.
    SealEnvironment,
    /// Nodes get new certificates while they run.
    Certificates,
    /// A snapshot is saved, verified, and restored beside the cluster.
    SaveAndRestore,
    /// One node's clock is minutes off.
    Clock,
}

impl Kind {
    pub(crate) const ALL: &[Kind] = &[
        Kind::Kill,
        Kind::KillAll,
        Kind::Pause,
        Kind::Restart,
        Kind::RollingRestart,
        Kind::PowerCut,
        Kind::PowerCutAll,
        Kind::Isolate,
        Kind::IsolateOneWay,
        Kind::Ring,
        Kind::Flap,
        Kind::Delay,
        Kind::Loss,
        Kind::SlowDisk,
        Kind::HungDisk,
        Kind::FullDisk,
        Kind::FailingDisk,
        Kind::HandOver,
        Kind::Snapshot,
        Kind::Member,
        Kind::RotateKey,
        Kind::SealEnvironment,
        Kind::Certificates,
        Kind::SaveAndRestore,
        Kind::Clock,
    ];

    /// The word in plans and reports.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Kind::Kill => "kill",
            Kind::KillAll => "kill-all",
            Kind::Pause => "pause",
            Kind::Restart => "restart",
            Kind::RollingRestart => "rolling-restart",
            Kind::PowerCut => "power-cut",
            Kind::PowerCutAll => "power-cut-all",
            Kind::Isolate => "isolate",
            Kind::IsolateOneWay => "isolate-one-way",
            Kind::Ring => "ring",
            Kind::Flap => "flap",
            Kind::Delay => "delay",
            Kind::Loss => "loss",
            Kind::SlowDisk => "slow-disk",
            Kind::HungDisk => "hung-disk",
            Kind::FullDisk => "full-disk",
            Kind::FailingDisk => "failing-disk",
            Kind::HandOver => "hand-over",
            Kind::Snapshot => "snapshot",
            Kind::Member => "member",
            Kind::RotateKey => "rotate-key",
            Kind::SealEnvironment => "seal-environment",
            Kind::Certificates => "certificates",
            Kind::SaveAndRestore => "save-and-restore",
            Kind::Clock => "clock",
        }
    }

    /// What it does, in words.
    pub(crate) fn about(self) -> &'static str {
        match self {
            Kind::Kill => "kill -9 of one node",
            Kind::KillAll => "kill -9 of all nodes at once",
            Kind::Pause => "one process stands still (SIGSTOP) and goes on",
            Kind::Restart => "one node is asked to stop and comes back",
            Kind::RollingRestart => "each node in turn is asked to stop and comes back",
            Kind::PowerCut => "one node loses its power, and what it had not synced",
            Kind::PowerCutAll => "all nodes lose their power at once, and what they had not synced",
            Kind::Isolate => "one node is cut off, both ways",
            Kind::IsolateOneWay => "one node hears the others, they do not hear it",
            Kind::Ring => "nodes reach their neighbours on a line only",
            Kind::Flap => "one node is cut off and joined again several times a second",
            Kind::Delay => "messages between nodes are slow and overtake each other",
            Kind::Loss => "packets between nodes are lost or come twice",
            Kind::SlowDisk => "one disk serves few writes a second",
            Kind::HungDisk => "one disk does not answer",
            Kind::FullDisk => "one disk has no space left",
            Kind::FailingDisk => "syncs of one node fail (EIO)",
            Kind::HandOver => "the leader hands over",
            Kind::Snapshot => "a node takes a snapshot",
            Kind::Member => "a new node joins, votes, and is taken out again",
            Kind::RotateKey => "the environment gets another key",
            Kind::SealEnvironment => "the environment is sealed for a while",
            Kind::Certificates => "nodes get new certificates while they run",
            Kind::SaveAndRestore => "a snapshot is saved, verified, and restored beside the cluster",
            Kind::Clock => "one node's clock is minutes off (debug builds of the server)",
        }
    }

    /// What has to be there for it to strike.
    pub(crate) fn needs(self) -> &'static [Need] {
        match self {
            Kind::Kill | Kind::KillAll | Kind::RollingRestart | Kind::Restart => &[Need::Processes],
            Kind::Pause | Kind::Member | Kind::Certificates => &[Need::OwnProcesses],
            Kind::SaveAndRestore => &[Need::OwnProcesses, Need::CommandLine],
            Kind::Clock => &[Need::OwnProcesses, Need::ClockOffset],
            Kind::PowerCut | Kind::PowerCutAll | Kind::HungDisk | Kind::FullDisk => &[Need::Disks],
            Kind::SlowDisk => &[Need::Disks, Need::Throttle],
            Kind::FailingDisk => &[Need::OwnProcesses, Need::Strace],
            Kind::Isolate | Kind::IsolateOneWay | Kind::Ring | Kind::Flap | Kind::Delay | Kind::Loss => &[Need::Network],
            Kind::HandOver | Kind::Snapshot | Kind::RotateKey | Kind::SealEnvironment => &[],
        }
    }

    /// Why it cannot strike here.
    pub(crate) fn lack(self, means: &Means) -> Option<String> {
        let lacking = self.needs().iter().find_map(|need| means.lack(*need).map(|why| (need, why)));
        lacking.map(|(need, why)| format!("{why} ({})", need.about()))
    }
}

/// A fault that struck, or tried to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Strike {
    /// What.
    pub(crate) kind: Kind,
    /// Whom.
    pub(crate) target: String,
    /// When it began and when everything was as before, in milliseconds of the run.
    pub(crate) began_ms: u64,
    pub(crate) ended_ms: u64,
    /// Whether it really struck.
    pub(crate) fired: bool,
    /// How that shows; or why it did not.
    pub(crate) evidence: String,
}

/// What a fault says of itself when it has struck.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Blow {
    pub(crate) target: String,
    pub(crate) evidence: String,
}

impl Blow {
    pub(crate) fn of(target: impl Into<String>, evidence: impl Into<String>) -> Blow {
        Blow { target: target.into(), evidence: evidence.into() }
    }
}

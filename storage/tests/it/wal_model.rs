//! A random walk over the log, with reopening, kills and power cuts, against a model that is obviously right.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use proptest::prelude::*;
use storage::{Done, MemoryDisk, Recovered, Wal, WalDriver, disk::memory::Faults};
use storage_crypto::SeededEntropy;

use crate::support::{open_manual, payload};

#[derive(Clone, Debug)]
enum Op {
    Append { count: u64, len: usize },
    Vote,
    Committed,
    Truncate { back: u64 },
    Purge { part: u8, beyond: bool },
    Read { from: u8, count: u8, max_bytes: usize },
    Step,
    Idle,
    Kill,
    CutPower { seed: u64 },
    CutPowerDuringStep { seed: u64, sync: u64 },
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (1u64..6, 0usize..400).prop_map(|(count, len)| Op::Append { count, len }),
        1 => (1u64..2, 3000usize..9000).prop_map(|(count, len)| Op::Append { count, len }),
        2 => Just(Op::Vote),
        1 => Just(Op::Committed),
        2 => (0u64..12).prop_map(|back| Op::Truncate { back }),
        2 => (any::<u8>(), prop::bool::weighted(0.1)).prop_map(|(part, beyond)| Op::Purge { part, beyond }),
        3 => (any::<u8>(), any::<u8>(), 0usize..2000).prop_map(|(from, count, max_bytes)| Op::Read { from, count, max_bytes }),
        8 => Just(Op::Step),
        1 => Just(Op::Idle),
        1 => Just(Op::Kill),
        1 => any::<u64>().prop_map(|seed| Op::CutPower { seed }),
        1 => (any::<u64>(), 1u64..3).prop_map(|(seed, sync)| Op::CutPowerDuringStep { seed, sync }),
    ]
}

/// What the log should hold: nothing clever.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    entries: BTreeMap<u64, Bytes>,
    next: Option<u64>,
    vote: Option<Bytes>,
    committed: Option<Bytes>,
    purged: Option<(u64, Bytes)>,
}

impl Model {
    fn start(&self) -> u64 {
        self.entries.keys().next().copied().unwrap_or(self.next.unwrap_or(0))
    }

    fn recovered(&self) -> Recovered {
        Recovered {
            vote: self.vote.clone(),
            committed: self.committed.clone(),
            purged: self.purged.clone(),
            first_index: self.entries.keys().next().copied(),
            last: self.entries.last_key_value().map(|(index, payload)| (*index, payload.clone())),
        }
    }
}

struct World {
    disk: MemoryDisk,
    wal: Wal,
    driver: WalDriver,
    /// The model before anything was asked for and after each request since the last reopening.
    history: Vec<Model>,
    /// How many of those requests were given to the disk, and how many the log has called durable.
    stepped: usize,
    acknowledged: Arc<Mutex<usize>>,
    salt: u64,
}

const SEGMENT_BYTES: u64 = 4096;

impl World {
    fn new() -> World {
        let disk = MemoryDisk::new();
        let (wal, driver, recovered) = open_manual(&disk, SEGMENT_BYTES).unwrap();
        assert_eq!(recovered, Recovered::default());
        World { disk, wal, driver, history: vec![Model::default()], stepped: 0, acknowledged: Arc::default(), salt: 0 }
    }

    fn model(&self) -> &Model {
        self.history.last().unwrap()
    }

    fn request(&mut self, model: Model) -> Done {
        self.history.push(model);
        let (number, acknowledged) = (self.history.len() - 1, Arc::clone(&self.acknowledged));
        Done::new(move |result| {
            if result.is_ok() {
                *acknowledged.lock().unwrap() = number;
            }
        })
    }

    fn run(&mut self, op: &Op) {
        self.salt += 1;
        let mut model = self.model().clone();
        let text = |what: &str, salt: u64| Bytes::from(format!("{what}-{salt}"));
        match *op {
            Op::Append { count, len } => {
                let first = model.next.unwrap_or(self.salt % 3);
                let entries: Vec<_> = (first..first + count).map(|index| (index, payload(index, self.salt, len))).collect();
                model.entries.extend(entries.iter().cloned());
                model.next = Some(first + count);
                let done = self.request(model);
                self.wal.append(entries, done);
            }
            Op::Vote => {
                model.vote = Some(text("vote", self.salt));
                let done = self.request(model.clone());
                self.wal.save_vote(model.vote.unwrap(), done);
            }
            Op::Committed => {
                model.committed = Some(text("committed", self.salt));
                self.history.push(model.clone());
                self.wal.save_committed(model.committed.unwrap());
            }
            Op::Truncate { back } => {
                let from = model.next.unwrap_or(0).saturating_sub(back).max(model.start());
                model.entries.split_off(&from);
                model.next = model.next.map(|next| next.min(from));
                let done = self.request(model);
                self.wal.truncate_from(from, done);
            }
            Op::Purge { part, beyond } => {
                let Some(next) = model.next else { return };
                let through = if beyond { next + 5 } else { model.start() + (next - model.start()) * u64::from(part) / 256 };
                let through = model.purged.as_ref().map_or(through, |(purged, _)| through.max(*purged));
                model.purged = Some((through, text("purge", self.salt)));
                model.entries = model.entries.split_off(&(through + 1));
                model.next = Some(next.max(through + 1));
                let done = self.request(model.clone());
                self.wal.purge_through(through, model.purged.unwrap().1, done);
            }
            Op::Read { from, count, max_bytes } => self.read(u64::from(from % 40), u64::from(count % 40), max_bytes),
            Op::Step => self.step(),
            Op::Idle => {
                self.step();
                self.driver.idle();
            }
            Op::Kill => self.reopen(),
            Op::CutPower { seed } => {
                self.disk.cut_power(&SeededEntropy::new(seed));
                self.reopen();
            }
            Op::CutPowerDuringStep { seed, sync } => {
                self.disk.set_faults(Faults { fail_sync_from: Some(self.disk.syncs() + sync), ..Faults::default() });
                self.step();
                self.disk.cut_power(&SeededEntropy::new(seed));
                self.disk.set_faults(Faults::default());
                self.reopen();
            }
        }
        self.check();
    }

    fn step(&mut self) {
        self.driver.step();
        self.stepped = self.history.len() - 1;
    }

    fn check(&self) {
        let (model, recovered) = (self.model(), self.model().recovered());
        assert_eq!(self.wal.vote(), model.vote);
        assert_eq!(self.wal.committed(), model.committed);
        assert_eq!(self.wal.purged(), model.purged);
        assert_eq!(self.wal.last(), recovered.last);
        assert_eq!(self.wal.next_index(), model.next);
        assert_eq!(self.wal.first_index(), recovered.first_index);
    }

    fn read(&self, offset: u64, count: u64, max_bytes: usize) {
        let model = self.model();
        let from = model.start() + offset;
        let read = self.wal.read(from, from + count, max_bytes).unwrap();
        let expected: Vec<_> = model.entries.range(from..from + count).map(|(index, bytes)| (*index, bytes.clone())).collect();
        assert_eq!(read, expected[..read.len()], "entries differ");
        let bytes: usize = read.iter().map(|(_, payload)| payload.len()).sum();
        assert!(read.len() <= 1 || bytes <= max_bytes, "{bytes} bytes were read where {max_bytes} were asked for");
        assert!(!read.is_empty() || expected.is_empty(), "nothing was read where there is something");
    }

    /// Whatever is there now must be the model after some request, none older than the last acknowledged, none never written.
    fn reopen(&mut self) {
        let acknowledged = *self.acknowledged.lock().unwrap();
        let (wal, driver, recovered) = open_manual(&self.disk, SEGMENT_BYTES).expect("nothing but a crash has happened");
        let possible = acknowledged..=self.stepped;
        let entries = recovered.first_index.map_or(Vec::new(), |first| wal.read(first, u64::MAX, usize::MAX).unwrap());
        let found = possible.clone().rev().find(|at| {
            let model = &self.history[*at];
            model.recovered() == recovered && model.entries.clone().into_iter().eq(entries.iter().cloned())
        });
        let Some(found) = found else {
            panic!("after requests {possible:?} the log holds what it never held: {recovered:?}");
        };
        let mut model = self.history[found].clone();
        if model.entries.is_empty() && model.purged.is_none() {
            // Several states may look like this one; where numbering goes on is what the log says it is.
            model.next = wal.next_index();
        }
        (self.wal, self.driver, self.history) = (wal, driver, vec![model]);
        self.stepped = 0;
        self.acknowledged = Arc::default();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn the_log_is_what_the_model_is_whatever_happens(ops in prop::collection::vec(op(), 1..120)) {
        let mut world = World::new();
        for op in &ops {
            world.run(op);
        }
        world.run(&Op::Step);
        let everything = world.wal.first_index().map_or(Vec::new(), |first| world.wal.read(first, u64::MAX, usize::MAX).unwrap());
        prop_assert_eq!(everything, world.model().entries.clone().into_iter().collect::<Vec<_>>());
        world.run(&Op::Kill);
    }
}

fn cases() -> u32 {
    std::env::var("HOLDFAST_MODEL_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(150)
}

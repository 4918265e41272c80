//! Power cuts on a real file system: what was acknowledged is there afterwards.
//!
//! A child process writes to the log, the journal and a database on a loop-mounted ext4, and notes every acknowledgement in a file on another
//! file system. At a random instant `EXT4_IOC_SHUTDOWN` drops everything that was not synced. Six cuts in an ordinary run;
//! `HOLDFAST_POWER_CUTS=100` for the gate, `HOLDFAST_POWER_CUT_SEED` for another sequence.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::Write as _,
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Condvar, Mutex},
    time::{Duration, Instant},
};

use bytes::Bytes;
use proto_record::chain;
use storage::{
    Block, Database, DatabaseOptions, Done, Journal, JournalHead, JournalOptions, MaterializedError, RealDisk, RowOp, Wal,
    WalOptions,
};
use storage_crypto::{SeededEntropy, entropy::random};

use crate::support::{LoopFs, OWNER, key, payload};

const CHILD_DIR: &str = "HOLDFAST_POWER_CUT_CHILD";
const CHILD_ACKS: &str = "HOLDFAST_POWER_CUT_ACKS";
const CHILD_ROUND: &str = "HOLDFAST_POWER_CUT_ROUND";
const CHILD_IN_FLIGHT: &str = "HOLDFAST_POWER_CUT_IN_FLIGHT";
/// Cuts in a row on one store.
const CUTS_PER_STORE: u64 = 4;
const ENTRY_BYTES: usize = 300;

/// One acknowledgement: what, and two numbers. Written with one call each, so that none is ever torn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Ack {
    /// The entry with this index and salt is durable.
    Entry = 1,
    /// This vote is durable.
    Vote = 2,
    /// Records below this number are durable in the journal.
    Journal = 3,
    /// This marker is durable in the database.
    Rows = 4,
    /// Entries from this index on are about to be removed.
    Truncating = 5,
    /// Entries through this index are purged.
    Purged = 6,
}

fn acks(path: &Path, len: usize) -> Vec<(u8, u64, u64)> {
    let bytes = std::fs::read(path).unwrap();
    let whole = bytes[..len].chunks_exact(17);
    let number = |bytes: &[u8]| u64::from_be_bytes(bytes.try_into().unwrap());
    whole.map(|ack| (ack[0], number(&ack[1..9]), number(&ack[9..17]))).collect()
}

#[derive(Clone)]
struct Acks(Arc<Mutex<File>>);

impl Acks {
    fn write(&self, ack: Ack, a: u64, b: u64) {
        let mut bytes = vec![ack as u8];
        bytes.extend(a.to_be_bytes());
        bytes.extend(b.to_be_bytes());
        self.0.lock().unwrap().write_all(&bytes).unwrap();
    }
}

struct Stores {
    wal: Wal,
    recovered: storage::Recovered,
    journal: Journal,
    head: JournalHead,
    rows: Result<Database, MaterializedError>,
}

fn open(dir: &Path) -> Stores {
    let disk = Arc::new(RealDisk);
    // Small segments, so that cuts hit rotation and purging often.
    let options = WalOptions { segment_bytes: 256 * 1024, cache_bytes: 64 * 1024, ..WalOptions::default() };
    let (wal, recovered) = Wal::open(disk.clone(), &dir.join("wal"), key(), OWNER, options).expect("the log opens");
    let options = JournalOptions { segment_bytes: 128 * 1024, ..JournalOptions::default() };
    let (journal, head) = Journal::open(disk, &dir.join("journal"), key(), OWNER, options).expect("the journal opens");
    let rows = Database::open(&dir.join("rows"), &key(), OWNER, "rows", DatabaseOptions::default());
    Stores { wal, recovered, journal, head, rows }
}

fn leaf(seq: u64) -> Bytes {
    payload(seq, 9, 120)
}

fn chain_at(next_seq: u64) -> [u8; 32] {
    (1..next_seq).fold(chain::genesis(&OWNER.cluster), |link, seq| chain::next(&link, &leaf(seq)))
}

/// The child's part of the test below; does nothing in an ordinary run.
#[test]
fn child_writes_until_the_power_is_cut() {
    let Some(dir) = std::env::var_os(CHILD_DIR) else { return };
    let variable = |name| std::env::var(name).unwrap();
    let file = OpenOptions::new().append(true).open(variable(CHILD_ACKS)).unwrap();
    let acks = Acks(Arc::new(Mutex::new(file)));
    let (round, in_flight_max) = (variable(CHILD_ROUND).parse().unwrap(), variable(CHILD_IN_FLIGHT).parse().unwrap());
    let Stores { wal, recovered, journal, rows, .. } = open(Path::new(&dir));
    let rows = rows.unwrap_or_else(|_| {
        std::fs::remove_dir_all(Path::new(&dir).join("rows")).unwrap();
        open_rows_anew(Path::new(&dir))
    });
    // Each part writes until its store fails, which the cut makes it do.
    let threads = [
        std::thread::spawn({
            let acks = acks.clone();
            move || write_journal(&journal, &acks)
        }),
        std::thread::spawn({
            let acks = acks.clone();
            move || write_rows(&rows, &acks)
        }),
    ];
    write_log(&wal, &recovered, round, in_flight_max, &acks);
    threads.into_iter().for_each(|thread| drop(thread.join()));
    // The parent kills; the stores must not be closed in the meantime.
    std::thread::sleep(Duration::from_secs(60));
}

fn open_rows_anew(dir: &Path) -> Database {
    Database::open(&dir.join("rows"), &key(), OWNER, "rows", DatabaseOptions::default()).unwrap()
}

fn write_log(wal: &Wal, recovered: &storage::Recovered, round: u64, in_flight_max: u64, acks: &Acks) {
    let in_flight = Arc::new((Mutex::new(0u64), Condvar::new()));
    let wait_below = |limit: u64| {
        let (count, changed) = &*in_flight;
        drop(changed.wait_while(count.lock().unwrap(), |count| *count >= limit).unwrap());
    };
    let done = |ack: Ack, a: u64, b: u64| {
        let (acks, in_flight) = (acks.clone(), Arc::clone(&in_flight));
        *in_flight.0.lock().unwrap() += 1;
        Done::new(move |result| {
            if result.is_ok() {
                acks.write(ack, a, b);
            }
            *in_flight.0.lock().unwrap() -= 1;
            in_flight.1.notify_all();
        })
    };
    let purged = recovered.purged.as_ref().map_or(0, |(purged, _)| *purged);
    let mut next = recovered.last.as_ref().map_or(purged + 1, |(last, _)| last + 1);
    let mut salt = round * 1_000_000;
    for step in 1.. {
        if wal.failed().is_some() {
            return;
        }
        wait_below(in_flight_max);
        wal.append(vec![(next, payload(next, salt, ENTRY_BYTES))], done(Ack::Entry, next, salt));
        next += 1;
        if step % 40 == 0 {
            let vote = round * 1_000_000 + step;
            wal.save_vote(Bytes::copy_from_slice(&vote.to_be_bytes()), done(Ack::Vote, vote, 0));
        }
        if step % 10 == 0 {
            wal.save_committed(Bytes::copy_from_slice(&next.to_be_bytes()));
        }
        if step % 700 == 0 && next > 3000 {
            wal.purge_through(next - 2500, Bytes::from_static(b"purged"), done(Ack::Purged, next - 2500, 0));
        }
        if step % 333 == 0 {
            // Acknowledgements of what is about to be removed must not arrive after this note.
            wait_below(1);
            next -= 3;
            salt += 1;
            acks.write(Ack::Truncating, next, 0);
            wal.truncate_from(next, Done::ignore());
        }
    }
}

fn write_journal(journal: &Journal, acks: &Acks) {
    loop {
        for _ in 0..20 {
            let head = journal.head();
            let (first, link) =
                if head.next_seq == 0 { (1, chain::genesis(&OWNER.cluster)) } else { (head.next_seq, head.chain) };
            if journal.append(Block::following(first, link, (first..first + 8).map(leaf).collect())).is_err() {
                return;
            }
        }
        let durable = journal.head().next_seq;
        if journal.sync_blocking().is_err() {
            return;
        }
        acks.write(Ack::Journal, durable, 0);
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn write_rows(rows: &Database, acks: &Acks) {
    let first = rows.marker().unwrap_or(0) + 1;
    for marker in first.. {
        let ops = (0..50)
            .map(|row| RowOp { key: format!("r{row}-{}", marker % 40).into(), value: Some(marker.to_be_bytes().to_vec()) });
        if rows.apply(ops.collect(), marker).is_err() {
            return;
        }
        if marker % 8 == 0 {
            match rows.make_durable() {
                Ok(durable) => acks.write(Ack::Rows, durable.unwrap(), 0),
                Err(_) => return,
            }
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Everything not synced on this file system is gone when this returns, as at a power cut.
#[allow(unsafe_code)]
fn cut_power(mount: &Path) {
    const EXT4_IOC_SHUTDOWN: libc::c_ulong = 0x8004_587D;
    let no_log_flush: u32 = 2;
    let dir = File::open(mount).unwrap();
    // SAFETY: the request reads one u32 from the pointer, which lives until the call has returned.
    let result = unsafe { libc::ioctl(dir.as_raw_fd(), EXT4_IOC_SHUTDOWN, &raw const no_log_flush) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

#[derive(Debug, Default)]
struct Figures {
    cuts: u64,
    entries: usize,
    votes: usize,
    journal_syncs: usize,
    row_syncs: usize,
    databases_to_rebuild: usize,
    logs_ahead_of_the_acknowledged: usize,
}

#[test]
fn nothing_acknowledged_is_lost_when_the_power_is_cut_at_any_instant() {
    let number = |name: &str, otherwise: u64| std::env::var(name).ok().map_or(otherwise, |text| text.parse().unwrap());
    let (cuts, seed) = (number("HOLDFAST_POWER_CUTS", 6), number("HOLDFAST_POWER_CUT_SEED", 20_261_122));
    let chance = SeededEntropy::new(seed);
    let mut figures = Figures::default();
    let mut store: Option<LoopFs> = None;
    for cut in 0..cuts {
        if cut % CUTS_PER_STORE == 0 {
            store = None;
        }
        let fs = match store.take() {
            Some(fs) => fs,
            None => match LoopFs::create(128) {
                Some(fs) => fs,
                None => return,
            },
        };
        let in_flight = [1, 16, 128][(cut % 3) as usize];
        let run_for = Duration::from_millis(50 + u64::from(u16::from_be_bytes(random(&chance))) % 900);
        println!("cut {cut}: {in_flight} in flight, after {run_for:?}");
        run_and_cut(&fs, cut, in_flight, run_for, &mut figures);
        store = Some(fs);
    }
    println!("power cuts, seed {seed}: {figures:?}; acknowledged and lost: 0");
    assert!(figures.entries > 50 && figures.votes > 0 && figures.journal_syncs > 0 && figures.row_syncs > 0, "{figures:?}");
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn run_and_cut(fs: &LoopFs, cut: u64, in_flight: u64, run_for: Duration, figures: &mut Figures) {
    let elsewhere = tempfile::tempdir().unwrap();
    let ack_file: PathBuf = elsewhere.path().join("acks");
    File::create(&ack_file).unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["power_cut::child_writes_until_the_power_is_cut", "--exact", "--nocapture"])
        .env(CHILD_DIR, fs.mount.join("data"))
        .env(CHILD_ACKS, &ack_file)
        .env(CHILD_ROUND, (cut + 1).to_string())
        .env(CHILD_IN_FLIGHT, in_flight.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let mut child = Killed(child.unwrap());
    let started = Instant::now();
    while std::fs::metadata(&ack_file).unwrap().len() == 0 {
        assert!(started.elapsed() < Duration::from_secs(30), "the child never acknowledged anything");
        assert!(child.0.try_wait().unwrap().is_none(), "the child ended by itself");
        std::thread::sleep(Duration::from_millis(2));
    }
    std::thread::sleep(run_for);
    // While ext4 shuts down, a sync may still return without an error: what is noted after this size proves nothing.
    let noted = std::fs::metadata(&ack_file).unwrap().len() as usize;
    cut_power(&fs.mount);
    drop(child);
    fs.unmount().unwrap();
    fs.mount().unwrap();
    check(&fs.mount.join("data"), &acks(&ack_file, noted), figures);
}

fn check(dir: &Path, acks: &[(u8, u64, u64)], figures: &mut Figures) {
    let Stores { wal, recovered, journal, head, rows } = open(dir);
    figures.cuts += 1;
    let newest = |ack: Ack| acks.iter().filter(|(kind, ..)| *kind == ack as u8).map(|(_, a, _)| *a).max();
    check_log(&wal, &recovered, acks, figures);
    if let Some(acknowledged) = newest(Ack::Vote) {
        let vote = u64::from_be_bytes(recovered.vote.expect("a vote was acknowledged").as_ref().try_into().unwrap());
        assert!(vote >= acknowledged, "vote {acknowledged} was acknowledged, {vote} is there");
    }
    if let Some(acknowledged) = newest(Ack::Purged) {
        let purged = recovered.purged.map_or(0, |(purged, _)| purged);
        assert!(purged >= acknowledged, "a purge through {acknowledged} was acknowledged, {purged} is there");
    }
    if let Some(acknowledged) = newest(Ack::Journal) {
        assert!(head.next_seq >= acknowledged, "journal: {acknowledged} was acknowledged, {} is there", head.next_seq);
    }
    assert_eq!(journal.verify().expect("the journal verifies"), head);
    assert!(head.is_empty() || head.chain == chain_at(head.next_seq));
    match rows {
        Ok(rows) => {
            let marker = rows.marker().unwrap_or(0);
            let acknowledged = newest(Ack::Rows).unwrap_or(0);
            assert!(marker >= acknowledged, "rows: {acknowledged} was acknowledged, {marker} is there");
        }
        Err(MaterializedError::Unusable { .. }) => figures.databases_to_rebuild += 1,
        Err(other) => panic!("{other}"),
    }
    let count = |ack: Ack| acks.iter().filter(|(kind, ..)| *kind == ack as u8).count();
    figures.votes += count(Ack::Vote);
    figures.journal_syncs += count(Ack::Journal);
    figures.row_syncs += count(Ack::Rows);
}

fn check_log(wal: &Wal, recovered: &storage::Recovered, acks: &[(u8, u64, u64)], figures: &mut Figures) {
    let mut expected = BTreeMap::new();
    for (kind, a, b) in acks {
        match *kind {
            kind if kind == Ack::Entry as u8 => _ = expected.insert(*a, *b),
            kind if kind == Ack::Truncating as u8 => drop(expected.split_off(a)),
            _ => {}
        }
    }
    let Some((first, last)) = recovered.first_index.zip(recovered.last.as_ref().map(|(last, _)| *last)) else {
        let purged = recovered.purged.as_ref().map_or(0, |(purged, _)| *purged);
        assert!(expected.range(purged + 1..).next().is_none(), "the log is empty, and entries were acknowledged");
        return;
    };
    let read: BTreeMap<u64, Bytes> = wal.read(first, last + 1, usize::MAX).unwrap().into_iter().collect();
    for (index, salt) in expected.range(first..) {
        let found = read.get(index).unwrap_or_else(|| panic!("entry {index} was acknowledged, the log ends at {last}"));
        assert_eq!(*found, payload(*index, *salt, ENTRY_BYTES), "entry {index} is not what was acknowledged");
    }
    let purged = recovered.purged.as_ref().map_or(0, |(purged, _)| *purged);
    assert!(first == purged + 1, "the log starts at {first}, though it was purged only through {purged}");
    figures.entries += expected.len();
    figures.logs_ahead_of_the_acknowledged +=
        usize::from(expected.last_key_value().is_some_and(|(acknowledged, _)| last > *acknowledged));
}

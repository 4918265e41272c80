//! Where keys lie: pages that are locked into memory, left out of core dumps and not handed to child processes.
//!
//! All keys of a process share these pages, 32 bytes each. A page is mapped when the free slots have run out, cut into slots, and never
//! unmapped: a slot that was given back is zeroed and serves the next key. Taking and giving back is a push or a pop under one lock,
//! tens of nanoseconds, so that the short-lived key of each value lies here too. There is no unsafe code of ours: a page is leaked on
//! purpose, which makes its slots disjoint borrows that live as long as the process.
//!
//! Where the system refuses to lock (`RLIMIT_MEMLOCK`), the soft limit is raised to the hard one; where that is not enough either, the
//! page is used unlocked. Where there are more keys than [`KEYS_MAX`], or no page can be mapped, a key lies on the heap. Both are
//! reported by [`memory_protection`], never hidden and never a reason to fail.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use memmap2::{Advice, MmapMut};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use zeroize::Zeroize as _;

use crate::key::KEY_BYTES;

/// Bytes that are mapped at once: four pages, 512 keys.
const CHUNK_BYTES: usize = 16 * 1024;
const KEYS_PER_CHUNK: usize = CHUNK_BYTES / KEY_BYTES;
/// 4 MiB: half of the usual limit for locked memory.
const CHUNKS_MAX: usize = 256;

/// Most keys that lie in protected pages at one time; further ones lie on the heap.
pub const KEYS_MAX: usize = CHUNKS_MAX * KEYS_PER_CHUNK;

static ARENA: Mutex<Arena> = Mutex::new(Arena::new(CHUNKS_MAX, lock));

/// How the keys of this process are protected, each answer for all of them since it started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protection {
    /// No key can be written to swap.
    pub locked: bool,
    /// No key is in a core dump.
    pub excluded_from_dumps: bool,
    /// No key is in the memory of a child process.
    pub kept_from_children: bool,
}

/// How the keys of this process are protected so far. A server says so at its start, and warns where it is less than it should be.
#[must_use]
pub fn memory_protection() -> Protection {
    let mut arena = arena();
    if arena.free.is_empty() {
        arena.grow();
    }
    arena.protection
}

fn arena() -> MutexGuard<'static, Arena> {
    // Nothing in here is left half done by a panic: a slot is in the list or it is not.
    ARENA.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Room for one key: zero when taken, and zeroed when dropped.
pub(crate) struct Slot(Place);

enum Place {
    /// Invariant: 32 bytes long, but for the moment of being dropped.
    Page(&'static mut [u8]),
    Heap(Box<[u8; KEY_BYTES]>),
}

impl Slot {
    pub(crate) fn take() -> Slot {
        let page = arena().take();
        Slot(page.map_or_else(|| Place::Heap(Box::new([0; KEY_BYTES])), Place::Page))
    }

    pub(crate) fn bytes(&self) -> &[u8; KEY_BYTES] {
        match &self.0 {
            Place::Page(bytes) => (&**bytes).try_into().expect("a slot is as long as a key"),
            Place::Heap(bytes) => bytes,
        }
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8; KEY_BYTES] {
        match &mut self.0 {
            Place::Page(bytes) => (&mut **bytes).try_into().expect("a slot is as long as a key"),
            Place::Heap(bytes) => bytes,
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        match &mut self.0 {
            Place::Page(bytes) => {
                bytes.zeroize();
                arena().free.push(std::mem::take(bytes));
            }
            Place::Heap(bytes) => bytes.zeroize(),
        }
    }
}

struct Arena {
    /// Invariant: every slot in here is zero.
    free: Vec<&'static mut [u8]>,
    chunks: usize,
    chunks_max: usize,
    protection: Protection,
    lock: fn(&MmapMut) -> io::Result<()>,
}

impl Arena {
    const fn new(chunks_max: usize, lock: fn(&MmapMut) -> io::Result<()>) -> Arena {
        let protection = Protection { locked: true, excluded_from_dumps: true, kept_from_children: true };
        Arena { free: Vec::new(), chunks: 0, chunks_max, protection, lock }
    }

    /// A slot in a page, or nothing where there can be no more pages.
    fn take(&mut self) -> Option<&'static mut [u8]> {
        if self.free.is_empty() {
            self.grow();
        }
        self.free.pop()
    }

    fn grow(&mut self) {
        let mapped = if self.chunks < self.chunks_max { MmapMut::map_anon(CHUNK_BYTES).ok() } else { None };
        let Some(map) = mapped else {
            // The next key lies on the heap, where none of this holds.
            self.protection = Protection { locked: false, excluded_from_dumps: false, kept_from_children: false };
            return;
        };
        self.protection.locked &= (self.lock)(&map).is_ok();
        self.protection.excluded_from_dumps &= map.advise(Advice::DontDump).is_ok();
        self.protection.kept_from_children &= map.advise(Advice::DontFork).is_ok();
        self.chunks += 1;
        let bytes: &'static mut MmapMut = Box::leak(Box::new(map));
        self.free.extend(bytes.chunks_exact_mut(KEY_BYTES));
    }
}

fn lock(map: &MmapMut) -> io::Result<()> {
    map.lock().or_else(|_| {
        let limit = getrlimit(Resource::Memlock);
        setrlimit(Resource::Memlock, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
        map.lock()
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;

    use super::*;

    /// The flags that the kernel keeps for the mapping in which `address` lies.
    fn kernel_flags(address: usize) -> Vec<String> {
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut is_inside = false;
        for line in maps.lines() {
            let range = line.split(' ').next().and_then(|range| range.split_once('-'));
            let range =
                range.and_then(|(from, to)| Some((usize::from_str_radix(from, 16).ok()?, usize::from_str_radix(to, 16).ok()?)));
            if let Some((from, to)) = range {
                is_inside = (from..to).contains(&address);
            } else if let Some(flags) = line.strip_prefix("VmFlags:").filter(|_| is_inside) {
                return flags.split_whitespace().map(str::to_owned).collect();
            }
        }
        panic!("no mapping holds the address");
    }

    fn address_of(slot: &Slot) -> usize {
        slot.bytes().as_ptr() as usize
    }

    #[test]
    fn the_kernel_keeps_for_a_key_what_is_reported_of_it() {
        let slot = Slot::take();
        let flags = kernel_flags(address_of(&slot));
        let has = |flag: &str| flags.iter().any(|found| found == flag);
        let kept = Protection { locked: has("lo"), excluded_from_dumps: has("dd"), kept_from_children: has("dc") };
        assert_eq!(kept, memory_protection());
        assert!(kept.excluded_from_dumps && kept.kept_from_children, "{flags:?}");
        let heap = Box::new([1_u8; KEY_BYTES]);
        let flags = kernel_flags(heap.as_ptr() as usize);
        assert!(!flags.iter().any(|flag| flag == "dd"), "the heap is dumped: the check above can fail");
    }

    #[test]
    fn a_key_is_gone_from_memory_when_it_is_dropped() {
        let memory = std::fs::File::open("/proc/self/mem").unwrap();
        let planted = *b"planted: thirty-two bytes, once.";
        let read_at = |address: usize| {
            let mut bytes = [0; KEY_BYTES];
            memory.read_exact_at(&mut bytes, address as u64).unwrap();
            bytes
        };
        let mut slot = Slot::take();
        slot.bytes_mut().copy_from_slice(&planted);
        let address = address_of(&slot);
        assert_eq!(read_at(address), planted);
        drop(slot);
        // Another test may have taken the slot by now, but nobody else writes these bytes.
        assert_ne!(read_at(address), planted);
    }

    #[test]
    fn a_slot_is_zero_when_taken_and_no_two_share_a_byte() {
        let mut slots: Vec<Slot> = (0..2 * KEYS_PER_CHUNK + 1).map(|_| Slot::take()).collect();
        let mut addresses: Vec<usize> = slots.iter().map(address_of).collect();
        addresses.sort_unstable();
        assert!(addresses.windows(2).all(|pair| pair[1] - pair[0] >= KEY_BYTES));
        for slot in &mut slots {
            assert_eq!(*slot.bytes(), [0; KEY_BYTES]);
            slot.bytes_mut().fill(0xff);
        }
        drop(slots);
        let again: Vec<Slot> = (0..2 * KEYS_PER_CHUNK + 1).map(|_| Slot::take()).collect();
        assert!(again.iter().all(|slot| *slot.bytes() == [0; KEY_BYTES]));
    }

    #[test]
    fn past_the_bound_there_are_no_more_pages_and_the_report_says_so() {
        let mut arena = Arena::new(1, |_| Ok(()));
        let taken: Vec<_> = (0..KEYS_PER_CHUNK).map(|_| arena.take().unwrap()).collect();
        assert!(arena.protection.locked && arena.protection.excluded_from_dumps);
        assert!(arena.take().is_none());
        let nothing = Protection { locked: false, excluded_from_dumps: false, kept_from_children: false };
        assert_eq!((taken.len(), arena.protection), (KEYS_PER_CHUNK, nothing));
    }

    #[test]
    fn a_page_that_cannot_be_locked_is_used_and_reported() {
        let mut arena = Arena::new(1, |_| Err(io::Error::from(io::ErrorKind::OutOfMemory)));
        assert!(arena.take().is_some());
        assert_eq!(arena.protection, Protection { locked: false, excluded_from_dumps: true, kept_from_children: true });
    }

    #[test]
    fn many_threads_take_and_give_back_without_sharing_a_slot() {
        let threads: Vec<_> = (1..=4_u8)
            .map(|mark| {
                std::thread::spawn(move || {
                    for _ in 0..2_000 {
                        let mut slots: Vec<Slot> = (0..3).map(|_| Slot::take()).collect();
                        slots.iter_mut().for_each(|slot| slot.bytes_mut().fill(mark));
                        assert!(slots.iter().all(|slot| *slot.bytes() == [mark; KEY_BYTES]));
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }
}

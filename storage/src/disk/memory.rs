//! A disk in memory for tests and simulations: it forgets what was not synced when the power is cut, and fails on demand.

use std::{
    collections::BTreeMap,
    io,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use storage_crypto::entropy::{self, Entropy};

use super::{Disk, DiskFile, EIO};

/// What the twin treats as one unit that reaches the platter whole or not at all.
const SECTOR_BYTES: usize = 512;
/// How often a sync that hangs looks whether it still does.
const HANGING: Duration = Duration::from_millis(1);
const ENOSPC: i32 = 28;

/// A disk that lives in memory. Clones are the same disk, as the same process sees it.
#[derive(Clone, Default)]
pub struct MemoryDisk(Arc<Mutex<State>>, Option<u64>);

#[derive(Default)]
struct State {
    names: BTreeMap<PathBuf, Inode>,
    durable_names: BTreeMap<PathBuf, Inode>,
    faults: Faults,
    syncs: u64,
    generation: u64,
    fuse: Option<Fuse>,
}

/// A power cut that comes at an operation of the disk.
struct Fuse {
    operations_left: u64,
    chance: Arc<dyn Entropy>,
}

/// What is to go wrong.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// The sync with this number, counted from 1 over the disk's life, and every later one fail with EIO. What a failed sync was to
    /// make durable is never made so by a later one: the system takes it for written.
    pub fail_sync_from: Option<u64>,
    /// Bytes that all files together may hold; beyond that writes fail with ENOSPC.
    pub capacity: Option<u64>,
    /// Syncs do not return while this is set.
    pub hang_syncs: bool,
}

type Inode = Arc<Mutex<Contents>>;

#[derive(Default)]
struct Contents {
    current: Vec<u8>,
    durable: Vec<u8>,
    dirty: Vec<Range<usize>>,
}

impl MemoryDisk {
    /// An empty disk.
    #[must_use]
    pub fn new() -> MemoryDisk {
        MemoryDisk::default()
    }

    /// The disk as a process started now sees it: after the next power cut whatever is left of that process can do nothing more.
    #[must_use]
    pub fn booted(&self) -> MemoryDisk {
        let generation = self.0.lock().generation;
        MemoryDisk(self.0.clone(), Some(generation))
    }

    /// The state, for a process that still has power.
    fn powered(&self) -> io::Result<parking_lot::MutexGuard<'_, State>> {
        let state = self.0.lock();
        if self.1.is_none_or(|booted| booted == state.generation) { Ok(state) } else { Err(io::Error::from_raw_os_error(EIO)) }
    }

    /// Replaces the faults to inject; a power cut that was still to come is off.
    pub fn set_faults(&self, faults: Faults) {
        let mut state = self.0.lock();
        (state.faults, state.fuse) = (faults, None);
    }

    /// How many syncs of files there were.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.0.lock().syncs
    }

    /// Ends whatever process uses the disk, and keeps all that it wrote: its system lives on.
    pub fn kill(&self) {
        let mut state = self.0.lock();
        state.generation += 1;
        state.fuse = None;
    }

    /// Cuts the power: names and bytes that were not synced are lost, or kept, by chance, sector by sector. Files that are still
    /// open belong to the time before the cut: using them fails.
    pub fn cut_power(&self, chance: &dyn Entropy) {
        self.0.lock().lose_power(chance);
    }

    /// Cuts the power within the operation after `operations` more that change bytes or names: at a place between two lines of whoever
    /// uses the disk. A write at that place may arrive in part.
    pub fn cut_power_within(&self, operations: u64, chance: Arc<dyn Entropy>) {
        self.0.lock().fuse = Some(Fuse { operations_left: operations, chance });
    }

    /// Whether the process that the disk was [booted](MemoryDisk::booted) for can use it still.
    #[must_use]
    pub fn has_power(&self) -> bool {
        self.powered().is_ok()
    }

    /// Bytes in all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        Self::used(&self.0.lock())
    }

    /// Changes the stored bytes of a file behind everybody's back.
    ///
    /// # Panics
    /// When there is no file at `path`.
    pub fn tamper(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let inode = self.0.lock().names.get(path).expect("the file to tamper with exists").clone();
        let mut contents = inode.lock();
        change(&mut contents.current);
        contents.durable = contents.current.clone();
        contents.dirty.clear();
    }

    /// As [`powered`](MemoryDisk::powered), for an operation that changes something.
    fn changing(&self) -> io::Result<parking_lot::MutexGuard<'_, State>> {
        let mut state = self.powered()?;
        state.burn()?;
        Ok(state)
    }

    fn used(state: &State) -> u64 {
        state.names.values().map(|inode| inode.lock().current.len() as u64).sum()
    }

    fn file(&self, inode: Inode, generation: u64) -> Arc<dyn DiskFile> {
        Arc::new(MemoryFile { inode, disk: self.clone(), generation })
    }
}

impl State {
    /// One more operation: the one at the end of the fuse finds no power.
    fn burn(&mut self) -> io::Result<()> {
        let Some(fuse) = &mut self.fuse else { return Ok(()) };
        if fuse.operations_left > 0 {
            fuse.operations_left -= 1;
            return Ok(());
        }
        let chance = Arc::clone(&fuse.chance);
        self.lose_power(&*chance);
        Err(io::Error::from_raw_os_error(EIO))
    }

    fn lose_power(&mut self, chance: &dyn Entropy) {
        self.generation += 1;
        self.fuse = None;
        let flip = || entropy::random::<1>(chance)[0] & 1 == 1;
        // One transaction of names reached the disk, or none did: a journaling file system keeps their order.
        let survivors = if flip() { self.names.clone() } else { self.durable_names.clone() };
        let mut names = BTreeMap::new();
        for (path, inode) in survivors {
            let contents = inode.lock().after_power_cut(&flip);
            names.insert(path, Arc::new(Mutex::new(contents)));
        }
        self.durable_names.clone_from(&names);
        self.names = names;
    }
}

impl Contents {
    fn after_power_cut(&self, flip: &dyn Fn() -> bool) -> Contents {
        let mut survived = self.durable.clone();
        if self.current.len() != survived.len() && flip() {
            survived.resize(self.current.len(), 0);
        }
        for range in &self.dirty {
            for sector in range.start / SECTOR_BYTES..=range.end.saturating_sub(1) / SECTOR_BYTES {
                let bytes = sector * SECTOR_BYTES..((sector + 1) * SECTOR_BYTES).min(self.current.len()).min(survived.len());
                if !bytes.is_empty() && flip() {
                    survived[bytes.clone()].copy_from_slice(&self.current[bytes]);
                }
            }
        }
        Contents { durable: survived.clone(), current: survived, dirty: Vec::new() }
    }
}

impl Disk for MemoryDisk {
    fn create_dir_all(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.powered()?;
        let inside = state.names.keys().filter(|path| path.parent() == Some(dir));
        Ok(inside.filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect())
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let state = self.powered()?;
        let inode = state.names.get(path).ok_or(io::ErrorKind::NotFound)?.clone();
        Ok(self.file(inode, state.generation))
    }

    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.changing()?;
        if state.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let inode = Inode::default();
        state.names.insert(path.to_owned(), inode.clone());
        Ok(self.file(inode, state.generation))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.changing()?;
        let inode = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), inode);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.changing()?.names.remove(path).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.changing()?;
        state.durable_names.retain(|path, _| path.parent() != Some(dir));
        let inside: Vec<_> = state
            .names
            .iter()
            .filter(|(path, _)| path.parent() == Some(dir))
            .map(|(path, inode)| (path.clone(), inode.clone()))
            .collect();
        state.durable_names.extend(inside);
        Ok(())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        Ok(self.powered()?.names.contains_key(path))
    }
}

struct MemoryFile {
    inode: Inode,
    disk: MemoryDisk,
    generation: u64,
}

impl MemoryFile {
    /// A file opened before the power was cut belongs to a process that is gone.
    fn check_power(&self, state: &State) -> io::Result<()> {
        if state.generation == self.generation { Ok(()) } else { Err(io::Error::from_raw_os_error(EIO)) }
    }
}

impl DiskFile for MemoryFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let contents = self.inode.lock();
        let start = usize::try_from(offset).map_err(io::Error::other)?.min(contents.current.len());
        let count = bytes.len().min(contents.current.len() - start);
        bytes[..count].copy_from_slice(&contents.current[start..start + count]);
        Ok(count)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        self.check_power(&state)?;
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let end = start + bytes.len();
        let grows = end.saturating_sub(self.inode.lock().current.len()) as u64;
        if grows > 0 && state.faults.capacity.is_some_and(|capacity| MemoryDisk::used(&state) + grows > capacity) {
            return Err(io::Error::from_raw_os_error(ENOSPC));
        }
        let mut contents = self.inode.lock();
        if contents.current.len() < end {
            contents.current.resize(end, 0);
        }
        contents.current[start..end].copy_from_slice(bytes);
        contents.dirty.push(start..end);
        drop(contents);
        state.burn()
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        while state.faults.hang_syncs {
            drop(state);
            std::thread::sleep(HANGING);
            state = self.disk.0.lock();
        }
        self.check_power(&state)?;
        state.burn()?;
        state.syncs += 1;
        if state.faults.fail_sync_from.is_some_and(|first| state.syncs >= first) {
            self.inode.lock().dirty.clear();
            return Err(io::Error::from_raw_os_error(EIO));
        }
        let mut contents = self.inode.lock();
        let contents = &mut *contents;
        contents.durable.resize(contents.current.len(), 0);
        for range in contents.dirty.drain(..) {
            let range = range.start.min(contents.current.len())..range.end.min(contents.current.len());
            contents.durable[range.clone()].copy_from_slice(&contents.current[range]);
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let state = self.disk.0.lock();
        self.check_power(&state)?;
        let len = usize::try_from(len).map_err(io::Error::other)?;
        self.inode.lock().current.resize(len, 0);
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.inode.lock().current.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use storage_crypto::SeededEntropy;

    use super::*;

    #[test]
    fn what_was_synced_survives_a_power_cut_and_the_rest_may_not() {
        let mut lost = 0;
        for seed in 0..50 {
            let disk = MemoryDisk::new();
            let file = disk.create_new(Path::new("/a/file")).unwrap();
            file.write_all_at(&[1; 4096], 0).unwrap();
            file.sync_data().unwrap();
            disk.sync_dir(Path::new("/a")).unwrap();
            file.write_all_at(&[2; 4096], 4096).unwrap();
            disk.cut_power(&SeededEntropy::new(seed));
            let file = disk.open(Path::new("/a/file")).unwrap();
            let bytes = super::super::read_all(&*file, 1 << 20).unwrap();
            assert_eq!(bytes[..4096], [1; 4096]);
            lost += usize::from(bytes[4096..].iter().any(|byte| *byte != 2) || bytes.len() < 8192);
        }
        assert!(lost > 40, "an unsynced write survived whole in {} of 50 cuts", 50 - lost);
    }

    #[test]
    fn the_power_can_go_at_any_operation_and_what_comes_after_it_is_not_done() {
        let seeds = (0..8).map(|seed| Arc::new(SeededEntropy::new(seed)));
        for (operations, chance) in (0..8).zip(seeds) {
            let disk = MemoryDisk::new();
            let before = disk.booted();
            before.cut_power_within(operations, chance);
            let done = (0..8).take_while(|_| {
                let path = PathBuf::from("/file");
                let file = before.open(&path).or_else(|_| before.create_new(&path));
                file.is_ok_and(|file| file.write_all_at(&[1; 512], 0).is_ok())
            });
            // The first makes the file and writes; each later one writes.
            assert_eq!(done.count() as u64, operations.saturating_sub(1));
            assert!(!before.has_power() && disk.booted().has_power());
        }
    }

    #[test]
    fn what_a_failed_sync_left_is_not_made_durable_by_the_next() {
        let disk = MemoryDisk::new();
        let file = disk.create_new(Path::new("/file")).unwrap();
        disk.sync_dir(Path::new("/")).unwrap();
        file.write_all_at(&[1; 512], 0).unwrap();
        disk.set_faults(Faults { fail_sync_from: Some(1), ..Faults::default() });
        file.sync_data().unwrap_err();
        disk.set_faults(Faults::default());
        file.sync_data().unwrap();
        disk.cut_power(&SeededEntropy::new(1));
        let file = disk.open(Path::new("/file")).unwrap();
        assert_eq!(super::super::read_all(&*file, 512).unwrap(), [0; 512]);
    }

    #[test]
    fn a_full_disk_and_a_failed_sync_say_so() {
        let disk = MemoryDisk::new();
        disk.set_faults(Faults { capacity: Some(100), fail_sync_from: Some(2), ..Faults::default() });
        let file = disk.create_new(Path::new("/file")).unwrap();
        file.write_all_at(&[1; 100], 0).unwrap();
        assert_eq!(file.write_all_at(&[1], 100).unwrap_err().raw_os_error(), Some(ENOSPC));
        file.sync_data().unwrap();
        assert_eq!(file.sync_data().unwrap_err().raw_os_error(), Some(EIO));
    }
}

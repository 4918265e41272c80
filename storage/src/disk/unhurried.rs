//! A disk that is read slowly: for whoever reads everything and is in no hurry, beside those who are.

use std::{
    io,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

use super::{Disk, DiskFile};

/// Read at once, before it is looked whether that was too much.
const PIECE_BYTES: usize = 256 * 1024;
/// Reading that was not done is not made up for beyond this.
const SAVED_UP: Duration = Duration::from_millis(100);

/// So many bytes in one second, at most, over all that is read by it.
pub struct Pace {
    bytes_per_second: u64,
    clock: Mutex<Paced>,
    ended: Condvar,
}

struct Paced {
    /// Counted in all.
    bytes: u64,
    /// When as much will have been read as was read already.
    due: Instant,
    ended: bool,
}

impl Pace {
    /// A pace of `bytes_per_second`, 1 or more.
    #[must_use]
    pub fn new(bytes_per_second: u64) -> Pace {
        let clock = Mutex::new(Paced { bytes: 0, due: Instant::now(), ended: false });
        Pace { bytes_per_second: bytes_per_second.max(1), clock, ended: Condvar::new() }
    }

    /// Counts bytes that were read, and waits until so many may have been.
    ///
    /// # Errors
    /// `Interrupted` once the pace has ended.
    pub fn keep(&self, bytes: u64) -> io::Result<()> {
        let mut clock = self.clock.lock();
        clock.bytes += bytes;
        let now = Instant::now();
        let from = clock.due.max(now.checked_sub(SAVED_UP).unwrap_or(now));
        clock.due = from + Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
        let due = clock.due;
        while !clock.ended && !self.ended.wait_until(&mut clock, due).timed_out() {}
        if clock.ended { Err(io::ErrorKind::Interrupted.into()) } else { Ok(()) }
    }

    /// Bytes that were read so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.clock.lock().bytes
    }

    /// Waits as long, or until the pace has ended; whether it has.
    pub fn rest(&self, time: Duration) -> bool {
        let until = Instant::now() + time;
        let mut clock = self.clock.lock();
        while !clock.ended && !self.ended.wait_until(&mut clock, until).timed_out() {}
        clock.ended
    }

    /// Nobody reads by this pace any more: whoever does, or waits, is told so.
    pub fn end(&self) {
        self.clock.lock().ended = true;
        self.ended.notify_all();
    }
}

/// Another disk, from which whole files are read at a pace. What is not reading is done as it is there.
pub struct UnhurriedDisk {
    disk: Arc<dyn Disk>,
    pace: Arc<Pace>,
}

impl UnhurriedDisk {
    /// `disk`, read at `pace`.
    #[must_use]
    pub fn new(disk: Arc<dyn Disk>, pace: Arc<Pace>) -> UnhurriedDisk {
        UnhurriedDisk { disk, pace }
    }

    fn paced(&self, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(UnhurriedFile { file, pace: self.pace.clone() })
    }
}

impl Disk for UnhurriedDisk {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir_all(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.disk.list(dir)
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.open(path).map(|file| self.paced(file))
    }

    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.create_new(path).map(|file| self.paced(file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.disk.exists(path)
    }
}

struct UnhurriedFile {
    file: Arc<dyn DiskFile>,
    pace: Arc<Pace>,
}

impl DiskFile for UnhurriedFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut read = 0;
        while read < bytes.len() {
            let end = bytes.len().min(read + PIECE_BYTES);
            let got = self.file.read_at(&mut bytes[read..end], offset + read as u64)?;
            self.pace.keep(got as u64)?;
            read += got;
            if read < end {
                break;
            }
        }
        Ok(read)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryDisk;
    use crate::disk::read_all;

    fn disk_with(bytes: &[u8], pace: &Arc<Pace>) -> (Arc<dyn Disk>, UnhurriedDisk) {
        let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
        disk.create_dir_all(Path::new("/d")).unwrap();
        disk.create_new(Path::new("/d/file")).unwrap().write_all_at(bytes, 0).unwrap();
        (disk.clone(), UnhurriedDisk::new(disk, pace.clone()))
    }

    #[test]
    fn a_file_reads_as_it_is_and_takes_its_time() {
        let bytes: Vec<u8> = (0..3 * PIECE_BYTES + 17).map(|at| (at % 251) as u8).collect();
        let pace = Arc::new(Pace::new(4 << 20));
        let (_, unhurried) = disk_with(&bytes, &pace);
        let began = Instant::now();
        let read = read_all(&*unhurried.open(Path::new("/d/file")).unwrap(), u64::MAX).unwrap();
        assert!(read == bytes);
        assert_eq!(pace.bytes(), bytes.len() as u64);
        // 0.19 s at this pace, less what was saved up.
        assert!(began.elapsed() >= Duration::from_millis(80), "{:?}", began.elapsed());
    }

    #[test]
    fn whoever_waits_is_told_when_the_pace_ends() {
        let pace = Arc::new(Pace::new(1));
        let (_, unhurried) = disk_with(&[1; 4096], &pace);
        let reader = std::thread::spawn(move || read_all(&*unhurried.open(Path::new("/d/file")).unwrap(), u64::MAX).map(drop));
        pace.end();
        assert_eq!(reader.join().unwrap().unwrap_err().kind(), io::ErrorKind::Interrupted);
        assert!(pace.rest(Duration::from_secs(3600)));
    }
}

//! A control group that makes one process's writes slow.

use std::path::{Path, PathBuf};

use crate::trouble::Trouble;

const ROOT: &str = "/sys/fs/cgroup/blkio";
const RATE: &str = "blkio.throttle.write_iops_device";
const SERVED: &str = "blkio.throttle.io_serviced";

/// A group of the first hierarchy's block controller. Removed when dropped, once its processes have ended.
#[derive(Debug)]
pub(crate) struct Throttle(PathBuf);

impl Throttle {
    /// Whether this machine has the controller, and lets us use it.
    pub(crate) fn is_possible() -> bool {
        // What is only there to be read does not help.
        Path::new(ROOT).join("cgroup.procs").exists() && Throttle::create(&format!("hf-trial-{}", std::process::id())).is_ok()
    }

    /// A new group.
    pub(crate) fn create(name: &str) -> Result<Throttle, Trouble> {
        let path = Path::new(ROOT).join(name);
        std::fs::create_dir_all(&path).map_err(Trouble::io("make", &path))?;
        Ok(Throttle(path))
    }

    /// Takes a process in, with all that it starts from now on.
    pub(crate) fn take(&self, process: u32) -> Result<(), Trouble> {
        self.write("cgroup.procs", &process.to_string())
    }

    /// So many writes a second reach `device`; 0 lifts the limit.
    pub(crate) fn writes_per_second(&self, device: &str, writes: u32) -> Result<(), Trouble> {
        self.write(RATE, &format!("{device} {writes}"))
    }

    /// Writes to `device` that were served so far.
    pub(crate) fn served(&self, device: &str) -> u64 {
        let text = std::fs::read_to_string(self.0.join(SERVED)).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(&format!("{device} Write ")));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0)
    }

    fn write(&self, file: &str, text: &str) -> Result<(), Trouble> {
        let path = self.0.join(file);
        std::fs::write(&path, text).map_err(Trouble::io("write", &path))
    }
}

impl Drop for Throttle {
    fn drop(&mut self) {
        // A group whose process is still ending stays behind, empty and harmless.
        let _ = std::fs::remove_dir(&self.0);
    }
}

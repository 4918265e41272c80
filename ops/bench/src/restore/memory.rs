//! How much memory processes take, as the kernel counts it.

use std::{path::PathBuf, time::Duration};

use tokio::process::Child;

use crate::fault::Fault;

/// How often a program is looked at that ends by itself.
const LOOK: Duration = Duration::from_millis(10);

/// Servers whose memory is looked at.
pub(super) struct Watched {
    ids: Vec<u32>,
}

/// MiB of one process or of the largest of several.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Memory {
    pub(super) now: f64,
    pub(super) peak: f64,
}

impl Watched {
    pub(super) fn start(ids: &[u32]) -> Result<Watched, Fault> {
        if ids.is_empty() {
            return Err(Fault::Unexpected("no server runs".into()));
        }
        Ok(Watched { ids: ids.to_vec() })
    }

    /// Of the server that takes most.
    pub(super) fn largest(&self) -> Result<Memory, Fault> {
        let mut largest = Memory::default();
        for id in &self.ids {
            let memory = of(*id).ok_or_else(|| Fault::Unexpected(format!("server {id} has ended")))?;
            largest = Memory { now: largest.now.max(memory.now), peak: largest.peak.max(memory.peak) };
        }
        Ok(largest)
    }

    /// Peaks count from now on.
    pub(super) fn forget_peaks(&self) -> Result<(), Fault> {
        for id in &self.ids {
            let path = PathBuf::from(format!("/proc/{id}/clear_refs"));
            std::fs::write(&path, "5").map_err(Fault::io("write to", &path))?;
        }
        Ok(())
    }
}

/// Waits until a program has ended, and says how much it took at most.
pub(super) async fn watch_to_end(child: &mut Child) -> std::io::Result<f64> {
    let id = child.id().unwrap_or(0);
    let mut peak: f64 = 0.0;
    loop {
        peak = peak.max(of(id).unwrap_or_default().peak);
        if let Ok(ended) = tokio::time::timeout(LOOK, child.wait()).await {
            return ended.map(|_| peak);
        }
    }
}

fn of(id: u32) -> Option<Memory> {
    parse(&std::fs::read_to_string(format!("/proc/{id}/status")).ok()?)
}

fn parse(status: &str) -> Option<Memory> {
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        let kib: f64 = line.trim_start_matches(':').trim().strip_suffix(" kB")?.parse().ok()?;
        Some(kib / 1024.0)
    };
    Some(Memory { now: field("VmRSS")?, peak: field("VmHWM")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_as_the_kernel_writes_it() {
        let memory = parse("Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n").unwrap();
        assert_eq!((memory.now, memory.peak), (1.0, 2.0));
        assert!(parse("Name:\tx\n").is_none());
        assert!(of(std::process::id()).unwrap().peak > 1.0);
    }
}

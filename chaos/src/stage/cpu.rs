//! How busy nodes keep the machine: CPU time of their processes, as the kernel counts it.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// Ticks a second in what the kernel shows of a process (`USER_HZ`), on every machine that the server is built for.
const TICKS_PER_SECOND: u64 = 100;
/// Where the ticks in user mode stand in `/proc/PID/stat` behind the name; those in the kernel follow. See proc_pid_stat(5).
const USER_TICKS: usize = 11;

/// CPU time of one node, over all its lives.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Meter {
    /// Of lives that have ended.
    past: Duration,
    /// Of this one, when it was last looked at.
    life: Duration,
}

impl Meter {
    /// Looks at the process; one that is gone changes nothing.
    pub(crate) fn look(&mut self, process: Option<u32>) {
        let stat = process.and_then(|process| std::fs::read_to_string(format!("/proc/{process}/stat")).ok());
        self.life = stat.as_deref().and_then(cpu_in).unwrap_or(self.life);
    }

    /// The process was waited for.
    pub(crate) fn end_life(&mut self) {
        self.past += std::mem::take(&mut self.life);
    }

    /// All of it.
    pub(crate) fn total(&self) -> Duration {
        self.past + self.life
    }
}

/// User and system time in a line of `/proc/PID/stat`. The name, in brackets, may hold anything.
fn cpu_in(stat: &str) -> Option<Duration> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut ticks = rest.split(' ').skip(USER_TICKS);
    let total = ticks.next()?.parse::<u64>().ok()? + ticks.next()?.trim().parse::<u64>().ok()?;
    Some(Duration::from_millis(total * 1_000 / TICKS_PER_SECOND))
}

/// How busy the nodes were while clients worked.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Busy {
    /// Cores that were kept busy by the nodes, on average: their CPU time by the time on the wall.
    pub(crate) cores: f64,
    /// Cores that the machine has.
    pub(crate) cores_there: usize,
    pub(crate) cpu_ms: u64,
    pub(crate) wall_ms: u64,
}

/// From when on nodes are looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    began: Instant,
    before: Duration,
}

impl Window {
    /// Begins now, when nodes have taken so much.
    pub(crate) fn open(before: Duration) -> Window {
        Window { began: Instant::now(), before }
    }

    /// Ends now, when nodes have taken so much.
    pub(crate) fn close(&self, after: Duration) -> Busy {
        let (cpu, wall) = (after.saturating_sub(self.before), self.began.elapsed());
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Busy {
            cores: cpu.as_secs_f64() / wall.as_secs_f64().max(f64::EPSILON),
            cores_there: std::thread::available_parallelism().map_or(1, usize::from),
            cpu_ms: ms(cpu),
            wall_ms: ms(wall),
        }
    }
}

impl std::fmt::Display for Busy {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seconds = |ms: u64| ms as f64 / 1_000.0;
        let Busy { cores, cores_there, cpu_ms, wall_ms } = self;
        write!(
            formatter,
            "cores kept busy by the nodes: {cores:.2} of {cores_there} ({:.1} s of CPU time in {:.1} s)",
            seconds(*cpu_ms),
            seconds(*wall_ms)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_process_is_read_whatever_its_name() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 9 9 20 0 8 0 123 456 7\n";
        assert_eq!(cpu_in(stat), Some(Duration::from_secs(3)));
        assert_eq!(cpu_in("7 (short) S 1"), None);
    }

    #[test]
    fn a_life_that_ended_counts_once() {
        let mut meter = Meter { past: Duration::from_secs(1), life: Duration::from_secs(2) };
        meter.end_life();
        meter.look(None);
        meter.end_life();
        assert_eq!(meter.total(), Duration::from_secs(3));
    }

    #[test]
    fn cores_are_cpu_time_by_time_on_the_wall() {
        let window = Window { began: Instant::now() - Duration::from_secs(10), before: Duration::from_secs(5) };
        let busy = window.close(Duration::from_secs(20));
        assert!((1.4..=1.5).contains(&busy.cores), "{busy}");
    }
}

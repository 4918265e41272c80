//! Processor time: of the servers, of this process, and of whoever else was busy on the machine.

use std::path::{Path, PathBuf};

use super::Window;
use crate::{fault::Fault, stage::Stage};

/// Processor seconds spent in one slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spent {
    /// By the servers that were measured; `None` where they are not known.
    pub(crate) servers: Option<f64>,
    /// By this process: making the calls.
    pub(crate) own: f64,
    /// Share of the whole machine that others took; `None` where the servers cannot be told from them.
    pub(crate) foreign: Option<f64>,
}

/// Ticks so far.
struct Ticks {
    servers: u64,
    echo: u64,
    own: u64,
    busy: u64,
}

/// Watches one slot from its beginning to its end; of the echo when it is what is measured.
pub(crate) async fn watch(stage: &Stage, of_echo: bool, window: Window) -> Result<Spent, Fault> {
    tokio::time::sleep_until(tokio::time::Instant::from_std(window.begin)).await;
    let before = Ticks::now(stage)?;
    tokio::time::sleep_until(tokio::time::Instant::from_std(window.end)).await;
    let after = Ticks::now(stage)?;
    let tick = 1.0 / rustix::param::clock_ticks_per_second() as f64;
    let seconds = |ticks: fn(&Ticks) -> u64| ticks(&after).saturating_sub(ticks(&before)) as f64 * tick;
    let (servers, echo, own) = (seconds(|ticks| ticks.servers), seconds(|ticks| ticks.echo), seconds(|ticks| ticks.own));
    let capacity =
        (window.end - window.begin).as_secs_f64() * std::thread::available_parallelism().map_or(1.0, |cores| cores.get() as f64);
    let foreign = (seconds(|ticks| ticks.busy) - servers - echo - own).max(0.0) / capacity;
    let known = stage.cluster.is_none() || !stage.servers.is_empty();
    let measured = if of_echo { Some(echo) } else { known.then_some(servers) };
    Ok(Spent { servers: measured, own, foreign: known.then_some(foreign) })
}

impl Ticks {
    fn now(stage: &Stage) -> Result<Ticks, Fault> {
        let servers = stage.servers.iter().map(|id| process(&id.to_string())).sum::<Result<u64, Fault>>()?;
        let echo = stage.echo.as_ref().map_or(Ok(0), |(_, id)| process(&id.to_string()))?;
        Ok(Ticks { servers, echo, own: process("self")?, busy: machine()? })
    }
}

/// Ticks of one process, in user and in kernel mode.
fn process(id: &str) -> Result<u64, Fault> {
    let path = PathBuf::from(format!("/proc/{id}/stat"));
    let text = std::fs::read_to_string(&path).map_err(Fault::io("read (has a server ended?)", &path))?;
    ticks_of_process(&text).ok_or_else(|| Fault::Unexpected(format!("{} is not as proc(5) says", path.display())))
}

/// Fields 14 and 15; the second field, the name, may hold anything and ends at the last parenthesis.
fn ticks_of_process(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

/// Ticks that the machine was not idle, or was taken away by its host.
fn machine() -> Result<u64, Fault> {
    let path = Path::new("/proc/stat");
    let text = std::fs::read_to_string(path).map_err(Fault::io("read", path))?;
    busy_ticks(&text).ok_or_else(|| Fault::Unexpected("/proc/stat is not as proc(5) says".into()))
}

/// user, nice, system, (idle, iowait,) irq, softirq, steal.
fn busy_ticks(stat: &str) -> Option<u64> {
    let fields = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace().take(8);
    let fields: Vec<u64> = fields.map(|field| field.parse().ok()).collect::<Option<_>>()?;
    (fields.len() == 8).then(|| fields.iter().sum::<u64>() - fields[3] - fields[4])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_may_have_any_name() {
        let stat = "12 (a) b (c)) S 1 12 12 0 -1 4194560 1 0 0 0 300 45 0 0 20 0 7 0 100";
        assert_eq!(ticks_of_process(stat), Some(345));
        assert_eq!(ticks_of_process("12 (a"), None);
    }

    #[test]
    fn waiting_is_not_being_busy() {
        assert_eq!(busy_ticks("cpu  1 2 4 1000 500 8 16 32 0 0\ncpu0 9"), Some(63));
        assert_eq!(busy_ticks("cpu  1 2"), None);
    }

    #[test]
    fn this_machine_is_understood() {
        assert!(process("self").is_ok() && machine().is_ok());
    }
}

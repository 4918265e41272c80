//! What this machine lets us do. What it does not is said, and skipped.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Stdio,
};

use serde::{Deserialize, Serialize};

use super::throttle::Throttle;
use crate::shell;

/// The variable by which a debug build of the server takes an offset of its clock, in milliseconds.
pub(crate) const CLOCK_OFFSET: &str = "HOLDFAST_CLOCK_OFFSET_MS";

/// Something that a fault needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Need {
    /// Nodes that are processes of ours, or that hooks stop and start.
    Processes,
    /// Nodes that are processes of ours: their environment and signals.
    OwnProcesses,
    /// A network namespace and a tap for each node.
    Network,
    /// A loop-mounted disk for each node.
    Disks,
    /// A control group that slows a disk down.
    Throttle,
    /// strace, to make system calls fail.
    Strace,
    /// A server whose clock can be put off.
    ClockOffset,
    /// The command line, beside the server.
    CommandLine,
}

impl Need {
    /// What a person has to provide.
    pub(crate) fn about(self) -> &'static str {
        match self {
            Need::Processes => "nodes to stop and start",
            Need::OwnProcesses => "nodes that this program started",
            Need::Network => "root, ip and /dev/net/tun",
            Need::Disks => "root, loop devices and mkfs.ext4",
            Need::Throttle => "the block controller of control groups, version 1",
            Need::Strace => "root and strace",
            Need::ClockOffset => "a debug build of the server",
            Need::CommandLine => "the program holdfast beside the server",
        }
    }
}

/// What is there.
#[derive(Clone, Debug)]
pub(crate) struct Means {
    /// Needs that are not met, with why.
    missing: Vec<(Need, String)>,
}

impl Means {
    /// Looks around on this machine.
    pub(crate) fn of_this_machine() -> Means {
        let mut missing = Vec::new();
        let powerless = powerless();
        let mut want = |need: Need, met: bool, why: &str| {
            if powerless.is_some() || !met {
                missing.push((need, powerless.unwrap_or(why).to_owned()));
            }
        };
        let tun = File::options().read(true).write(true).open("/dev/net/tun").is_ok();
        want(Need::Network, tun && has_program("ip") && has_program("nsenter"), "there is no /dev/net/tun, no ip or no nsenter");
        want(Need::Network, goes("unshare", &["--net", "true"]), "this machine allows no network namespaces");
        let tools = ["mkfs.ext4", "mount", "umount", "mountpoint", "fsfreeze", "fallocate", "df"];
        let disks = Path::new("/dev/loop-control").exists() && tools.iter().all(|tool| has_program(tool));
        want(Need::Disks, disks, "there are no loop devices, or no mkfs.ext4");
        // In a mount namespace of its own, which ends with it.
        let mounts = goes("unshare", &["--mount", "mount", "-t", "tmpfs", "none", "/tmp"]) && goes("losetup", &["--find"]);
        want(Need::Disks, mounts, "this machine allows no mounts, or no loop devices");
        want(Need::Throttle, disks && mounts && Throttle::is_possible(), "there is no block controller that may be used");
        want(Need::Strace, has_program("strace"), "there is no strace");
        Means { missing }
    }

    /// A cluster that somebody else runs.
    pub(crate) fn of_a_running_cluster(hooks: bool) -> Means {
        use Need::{ClockOffset, CommandLine, Disks, Network, OwnProcesses, Strace, Throttle};
        let ours = [OwnProcesses, Network, Disks, Throttle, Strace, ClockOffset, CommandLine];
        let mut missing: Vec<(Need, String)> = ours.map(|need| (need, "the cluster is not ours".to_owned())).into();
        if !hooks {
            missing.push((Need::Processes, "no --exec-stop and --exec-start were given".to_owned()));
        }
        Means { missing }
    }

    /// The same, for this server: a release build does not name the variable that puts its clock off.
    pub(crate) async fn with_server(self, binary: &Path) -> Means {
        let named = shell::run("grep", ["-qF".as_ref(), CLOCK_OFFSET.as_ref(), binary.as_os_str()]).await.is_ok();
        let means = if named { self } else { self.without(Need::ClockOffset, "this build of the server takes no offset") };
        let is_there = command_line(binary).exists();
        if is_there { means } else { means.without(Need::CommandLine, "there is no such program there") }
    }

    /// Why a need is not met.
    pub(crate) fn lack(&self, need: Need) -> Option<&str> {
        self.missing.iter().find(|(missing, _)| *missing == need).map(|(_, why)| why.as_str())
    }

    /// Whether it is met.
    pub(crate) fn meets(&self, need: Need) -> bool {
        self.lack(need).is_none()
    }

    /// The same without something.
    pub(crate) fn without(mut self, need: Need, why: &str) -> Means {
        self.missing.push((need, why.to_owned()));
        self
    }
}

/// What a process needs for namespaces and taps, for mounts, and to make the system calls of a server fail: NET_ADMIN, SYS_ADMIN and
/// SYS_PTRACE.
const CAPABILITIES: u64 = 1 << 12 | 1 << 21 | 1 << 19;

/// Why this process may change nothing in the system.
fn powerless() -> Option<&'static str> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    if !rustix::process::geteuid().is_root() {
        return Some("this needs root");
    }
    (!has_capabilities(&status)).then_some("root lacks one of the capabilities NET_ADMIN, SYS_ADMIN and SYS_PTRACE")
}

fn has_capabilities(status: &str) -> bool {
    let held = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("CapEff:")?.trim(), 16).ok());
    held.is_some_and(|held| held & CAPABILITIES == CAPABILITIES)
}

/// The command line that was built with a server.
pub(crate) fn command_line(binary: &Path) -> PathBuf {
    binary.with_file_name("holdfast")
}

/// Whether a harmless command goes well: root of a container has rights by name that the machine does not honour.
fn goes(program: &str, arguments: &[&str]) -> bool {
    let mut command = std::process::Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn has_program(name: &str) -> bool {
    let places = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&places).any(|place| place.join(name).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_in_a_container_is_not_taken_for_one_that_may_do_everything() {
        assert!(has_capabilities("Name:\tx\nCapEff:\t000001ffffffffff\n"));
        assert!(!has_capabilities("Name:\tx\nCapEff:\t00000000a80425fb\n"), "what Docker gives");
        assert!(!has_capabilities(""));
    }
}

//! Where the nodes stand: each in a network namespace of its own on one bridge, or all on loopback.
//!
//! The kernel's own means cut the networks, without packet filters: a node's end of the bridge is taken off it (nothing passes, both
//! ways, and nobody is told), or the node is told a wrong hardware address for everybody else (what it sends reaches nobody, what is
//! sent to it arrives).

use std::{net::TcpListener, path::Path, process::Stdio};

use tokio::process::Command;

use crate::fault::Fault;

const BRIDGE: &str = "hfdrill";
/// An address that no interface has.
const NOBODY: &str = "02:00:00:00:00:ff";
const CLIENT_PORT: u16 = 7100;
const PEER_PORT: u16 = 7200;
/// The last part of this program's own address.
const OWN: usize = 254;

/// How the nodes reach each other and this program.
pub(super) enum Network {
    Namespaces { nodes: usize },
    Loopback { ports: Vec<(u16, u16)> },
}

impl Network {
    /// A bridge and a namespace for each node. Everything goes with the namespaces that this process was started in.
    pub(super) async fn of_namespaces(nodes: usize) -> Result<Network, Fault> {
        check_own_namespace()?;
        ip("link set lo up").await?;
        ip(&format!("link add {BRIDGE} type bridge")).await?;
        ip(&format!("addr add {}/24 dev {BRIDGE}", address(OWN))).await?;
        ip(&format!("link set {BRIDGE} up")).await?;
        for node in 0..nodes {
            let (space, end) = (space(node), end(node));
            ip(&format!("netns add {space}")).await?;
            ip(&format!("link add {end} type veth peer name eth0 netns {space}")).await?;
            ip(&format!("link set {end} master {BRIDGE} up")).await?;
            ip(&format!("-n {space} addr add {}/24 dev eth0", address(node + 1))).await?;
            ip(&format!("-n {space} link set eth0 up")).await?;
            ip(&format!("-n {space} link set lo up")).await?;
        }
        Ok(Network::Namespaces { nodes })
    }

    /// Free ports, held all at once so that none is named twice.
    pub(super) fn of_loopback(nodes: usize) -> Result<Network, Fault> {
        let held = (0..2 * nodes).map(|_| TcpListener::bind(("127.0.0.1", 0))).collect::<Result<Vec<_>, _>>();
        let ports =
            held.and_then(|held| held.iter().map(|listener| Ok(listener.local_addr()?.port())).collect::<Result<Vec<_>, _>>());
        let ports = ports.map_err(Fault::io("find free ports on", Path::new("127.0.0.1")))?;
        Ok(Network::Loopback { ports: ports.chunks(2).map(|pair| (pair[0], pair[1])).collect() })
    }

    /// Where clients reach a node, and where other nodes do.
    pub(super) fn addresses(&self, node: usize) -> (String, String) {
        match self {
            Network::Namespaces { .. } => {
                let host = address(node + 1);
                (format!("{host}:{CLIENT_PORT}"), format!("{host}:{PEER_PORT}"))
            }
            Network::Loopback { ports } => {
                let (client, peer) = ports[node];
                (format!("127.0.0.1:{client}"), format!("127.0.0.1:{peer}"))
            }
        }
    }

    /// `program` as it is run for a node. The process keeps its id: `ip` replaces itself by it.
    pub(super) fn command(&self, node: usize, program: &Path) -> Command {
        match self {
            Network::Namespaces { .. } => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", &space(node)]).arg(program);
                command
            }
            Network::Loopback { .. } => Command::new(program),
        }
    }

    /// Nothing reaches the node, and nothing that it sends reaches anybody.
    pub(super) async fn cut(&self, node: usize) -> Result<(), Fault> {
        ip(&format!("link set {} nomaster", end(node))).await
    }

    /// Nothing that the node sends reaches anybody.
    pub(super) async fn cut_outgoing(&self, node: usize) -> Result<(), Fault> {
        for other in self.others(node) {
            ip(&format!("-n {} neigh replace {} lladdr {NOBODY} dev eth0 nud permanent", space(node), address(other))).await?;
        }
        Ok(())
    }

    /// Undoes [`cut`](Network::cut).
    pub(super) async fn mend(&self, node: usize) -> Result<(), Fault> {
        ip(&format!("link set {} master {BRIDGE}", end(node))).await
    }

    /// Undoes [`cut_outgoing`](Network::cut_outgoing).
    pub(super) async fn mend_outgoing(&self, node: usize) -> Result<(), Fault> {
        for other in self.others(node) {
            ip(&format!("-n {} neigh del {} dev eth0", space(node), address(other))).await?;
        }
        Ok(())
    }

    fn others(&self, node: usize) -> Vec<usize> {
        match self {
            Network::Namespaces { nodes } => (1..=*nodes).filter(|other| *other != node + 1).chain([OWN]).collect(),
            Network::Loopback { .. } => Vec::new(),
        }
    }
}

fn address(last: usize) -> String {
    format!("10.77.0.{last}")
}

fn space(node: usize) -> String {
    format!("hfdrill{}", node + 1)
}

fn end(node: usize) -> String {
    format!("hfdrill-v{}", node + 1)
}

/// What is made here must not be left on the machine: it is made where everything goes with the last process. A namespace that was
/// just made has no route yet.
fn check_own_namespace() -> Result<(), Fault> {
    let path = Path::new("/proc/self/net/route");
    let routes = std::fs::read_to_string(path).map_err(Fault::io("read", path))?;
    if routes.lines().count() <= 1 {
        return Ok(());
    }
    Err(Fault::Process {
        what: "network namespaces".to_owned(),
        why: "this process shares the machine's own network: start it by ops/drill-failover.sh as root".to_owned(),
    })
}

async fn ip(arguments: &str) -> Result<(), Fault> {
    let mut command = Command::new("ip");
    command.args(arguments.split(' ')).stdin(Stdio::null()).kill_on_drop(true);
    let done = command.output().await.map_err(Fault::io("run", Path::new("ip")))?;
    if done.status.success() {
        return Ok(());
    }
    Err(Fault::Process { what: format!("ip {arguments}"), why: String::from_utf8_lossy(&done.stderr).trim().to_owned() })
}

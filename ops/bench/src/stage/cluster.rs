//! A cluster of three on this machine: a new kit, three `holdfastd server` processes, and waiting until all of them answer.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use proto_client::{Client, ClientConfig, v1};
use tokio::{process::Command, time::Instant};

use crate::{
    fault::Fault,
    say,
    stage::{Processes, settings},
};

const NODES: usize = 3;
const BINARY: &str = "holdfastd";
/// How long the cluster may take until every node answers.
const READY: Duration = Duration::from_secs(60);
/// One question whether a node answers, and the wait before the next.
const ASKED: Duration = Duration::from_secs(2);
const ASKED_AGAIN: Duration = Duration::from_millis(50);

/// Starts a new cluster in `directory`, and says how to talk to it.
pub(crate) async fn start(directory: &Path, processes: &mut Processes) -> Result<ClientConfig, Fault> {
    start_with(&binary().await?, directory, processes).await
}

/// As [`start`], with this server.
pub(crate) async fn start_with(binary: &Path, directory: &Path, processes: &mut Processes) -> Result<ClientConfig, Fault> {
    let kit = directory.join("kit");
    make_kit(binary, &kit, &free_addresses(NODES)?).await?;
    for id in 1..=NODES {
        let mut command = Command::new(binary);
        command.args(["server", "--set", "log.level=warn", "--config"]).arg(kit.join(format!("node{id}/holdfast.toml")));
        processes.start_server(format!("{BINARY} of node {id}"), command, directory.join(format!("node{id}.log")))?;
    }
    let config = settings::read(&kit.join("client.toml"))?;
    ready(&config, processes).await?;
    Ok(config)
}

/// The server of the same build, beside this executable; made if it is not there.
async fn binary() -> Result<PathBuf, Fault> {
    let own = std::env::current_exe().map_err(Fault::io("find", Path::new("this executable")))?;
    let beside = own.with_file_name(BINARY);
    // Of a build without optimizations only this program would be measured, so the server is the release's in any case.
    let wanted = if cfg!(debug_assertions) { own.with_file_name("..").join("release").join(BINARY) } else { beside };
    if !wanted.exists() {
        build(&wanted).await?;
    }
    wanted
        .canonicalize()
        .map_err(Fault::io("find (is this program in cargo's own directory? then holdfastd must be beside it)", &wanted))
}

async fn build(wanted: &Path) -> Result<(), Fault> {
    say(&format!("{} is not there: building it (cargo build --release -p node)", wanted.display()));
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--release", "--package", "node"]).current_dir(&workspace).kill_on_drop(true);
    let status = command.status().await.map_err(Fault::io("run cargo in", &workspace))?;
    if status.success() { Ok(()) } else { Err(Fault::Process { what: "cargo build".into(), why: status.to_string() }) }
}

/// Makes the kit of a cluster whose nodes are reached at these addresses: for clients, and for each other.
pub(crate) async fn make_kit(binary: &Path, kit: &Path, addresses: &[(String, String)]) -> Result<(), Fault> {
    let mut command = Command::new(binary);
    command.arg("kit").arg("--out").arg(kit);
    for (at, (client, peer)) in addresses.iter().enumerate() {
        let id = at + 1;
        command.arg("--node").arg(format!("id={id},zone=zone-{id},client={client},peer={peer}"));
    }
    let made = command.stdin(Stdio::null()).kill_on_drop(true).output().await.map_err(Fault::io("run", binary))?;
    if made.status.success() {
        return Ok(());
    }
    Err(Fault::Process { what: format!("{BINARY} kit"), why: String::from_utf8_lossy(&made.stderr).trim().to_owned() })
}

/// Where so many nodes can be reached by clients and by each other, on this machine.
pub(crate) fn free_addresses(nodes: usize) -> Result<Vec<(String, String)>, Fault> {
    let ports = free_ports(2 * nodes).map_err(Fault::io("find free ports on", Path::new("127.0.0.1")))?;
    let local = |port: u16| format!("127.0.0.1:{port}");
    Ok(ports.chunks(2).map(|pair| (local(pair[0]), local(pair[1]))).collect())
}

/// Ports that were free just now: held all at once, so that none is named twice.
fn free_ports(count: usize) -> std::io::Result<Vec<u16>> {
    let held = (0..count).map(|_| TcpListener::bind(("127.0.0.1", 0))).collect::<Result<Vec<_>, _>>()?;
    held.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}

/// Asks every node for a record until it is made.
async fn ready(config: &ClientConfig, processes: &mut Processes) -> Result<(), Fault> {
    let deadline = Instant::now() + READY;
    let client = Client::connect(config.clone()).await.map_err(Fault::cluster("connect to the cluster"))?;
    for (address, node) in client.each_node() {
        let node = node.with_timeout(ASKED);
        while let Err(error) = node.tokens().lookup_self(v1::LookupSelfRequest {}).await {
            processes.all_run()?;
            if Instant::now() > deadline {
                return Err(Fault::Cluster { doing: "wait for the cluster", why: format!("{address} does not answer: {error}") });
            }
            tokio::time::sleep(ASKED_AGAIN).await;
        }
    }
    Ok(())
}

//! The cluster that is drilled: three servers, started from a new kit, each of which can be killed, paused and started again.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use futures::{TryStreamExt, stream};
use proto_client::{Client, ClientConfig, ClientError, v1};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{process::Child, time::Instant};

use super::{FailoverPlan, Net, network::Network, traffic::ENVIRONMENT};
use crate::{
    fault::Fault,
    say,
    stage::{Processes, cluster, settings},
};

const NODES: usize = 3;
const SERVER: &str = "holdfastd";
/// How long the cluster may take until every node answers.
const READY: Duration = Duration::from_secs(120);
const ASKED: Duration = Duration::from_secs(2);
const ASKED_AGAIN: Duration = Duration::from_millis(20);
/// Secrets put at once while seeding.
const SOWN_AT_ONCE: usize = 128;
const VALUE_BYTES: usize = 128;

/// Who leads, and in which term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Led {
    /// By position.
    pub(super) node: usize,
    pub(super) term: u64,
}

/// A running cluster. Its servers are killed when it is dropped.
pub(super) struct Stage {
    pub(super) network: Network,
    server: PathBuf,
    directory: PathBuf,
    config: ClientConfig,
    /// By position; none while it is dead.
    children: Vec<Option<Child>>,
    /// One for each node.
    clients: Vec<Client>,
    /// One of all.
    client: Client,
}

impl Stage {
    /// Starts a new cluster and seeds it.
    pub(super) async fn set_up(plan: &FailoverPlan, processes: &mut Processes) -> Result<Stage, Fault> {
        let directory = processes.directory_in(plan.directory.as_deref())?;
        let server = server(plan.server.as_deref())?;
        let network = match plan.network {
            Net::Namespaces => Network::of_namespaces(NODES).await?,
            Net::Loopback => Network::of_loopback(NODES)?,
        };
        let addresses: Vec<_> = (0..NODES).map(|node| network.addresses(node)).collect();
        cluster::make_kit(&server, &directory.join("kit"), &addresses).await?;
        let config = settings::read(&directory.join("kit/client.toml"))?;
        let client = connect(config.clone()).await?;
        let mut clients = Vec::new();
        for (_, alone) in client.each_node() {
            clients.push(alone);
        }
        let children = (0..NODES).map(|_| None).collect();
        let mut stage = Stage { network, server, directory, config, children, clients, client };
        for node in 0..NODES {
            stage.start(node)?;
        }
        stage.settle().await?;
        say(&format!("putting {} secrets", plan.secrets));
        stage.sow(plan.secrets).await?;
        Ok(stage)
    }

    pub(super) fn nodes(&self) -> usize {
        NODES
    }

    pub(super) fn description(&self) -> String {
        let network = match self.network {
            Network::Namespaces { .. } => "each in a network namespace of its own",
            Network::Loopback { .. } => "all on loopback",
        };
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        format!("{NODES} servers, {network}, {cores} cores, data in {}", self.directory.display())
    }

    /// A client of all nodes that begins with `first`, counted round.
    pub(super) async fn client_from(&self, first: usize) -> Result<Client, Fault> {
        let mut config = self.config.clone();
        let count = config.endpoints.len();
        config.endpoints.rotate_left(first % count);
        connect(config).await
    }

    /// A client of one node, with connections of its own.
    pub(super) async fn client_of(&self, node: usize) -> Result<Client, Fault> {
        connect(ClientConfig { endpoints: vec![self.config.endpoints[node].clone()], ..self.config.clone() }).await
    }

    /// A client of all nodes, for what is not measured.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// One for each node, for what is not measured.
    pub(super) fn each(&self) -> &[Client] {
        &self.clients
    }

    /// Who leads, as soon as somebody does.
    pub(super) async fn led(&self) -> Result<Led, Fault> {
        let deadline = Instant::now() + READY;
        loop {
            let why = match self.client.with_timeout(ASKED).cluster().status(v1::StatusRequest {}).await {
                Ok(status) if (1..=NODES as u64).contains(&status.leader_id) => {
                    return Ok(Led { node: status.leader_id as usize - 1, term: status.term });
                }
                Ok(status) => format!("node {} knows no leader", status.node_id),
                Err(error) => error.to_string(),
            };
            if Instant::now() > deadline {
                return Err(Fault::Cluster { doing: "find the leader", why });
            }
            tokio::time::sleep(ASKED_AGAIN).await;
        }
    }

    /// Waits until every node answers what only a node that has caught up can, and all name one leader.
    pub(super) async fn settle(&mut self) -> Result<Led, Fault> {
        let deadline = Instant::now() + READY;
        loop {
            self.all_run()?;
            let mut named = Vec::new();
            let mut why = String::new();
            for client in &self.clients {
                match client.with_timeout(ASKED).cluster().status(v1::StatusRequest {}).await {
                    Ok(status) => named.push((status.leader_id, status.term)),
                    Err(error) => why = format!("{}: {error}", error.endpoint),
                }
            }
            if named.len() == NODES && named.windows(2).all(|pair| pair[0] == pair[1]) && named[0].0 > 0 {
                return Ok(Led { node: named[0].0 as usize - 1, term: named[0].1 });
            }
            if Instant::now() > deadline {
                return Err(Fault::Cluster { doing: "wait until all nodes answer", why: format!("{why} ({named:?})") });
            }
            tokio::time::sleep(ASKED_AGAIN).await;
        }
    }

    /// Starts a node that does not run.
    pub(super) fn start(&mut self, node: usize) -> Result<(), Fault> {
        let id = node + 1;
        let log = self.log(node);
        let file = File::options().create(true).append(true).open(&log).map_err(Fault::io("make", &log))?;
        let mut command = self.network.command(node, &self.server);
        command.args(["server", "--set", "log.level=info", "--config"]);
        command.arg(self.directory.join(format!("kit/node{id}/holdfast.toml")));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file).kill_on_drop(true);
        let child = command.spawn().map_err(|error| Fault::Process { what: format!("node {id}"), why: error.to_string() })?;
        self.children[node] = Some(child);
        Ok(())
    }

    /// `kill -9`, and waits until it is gone.
    pub(super) async fn kill(&mut self, node: usize) -> Result<(), Fault> {
        let what = || format!("node {}", node + 1);
        let mut child = self.children[node].take().ok_or_else(|| Fault::Unexpected(format!("{} does not run", what())))?;
        child.kill().await.map_err(|error| Fault::Process { what: what(), why: error.to_string() })
    }

    /// Sends a signal to a node.
    pub(super) fn signal(&self, node: usize, signal: Signal) -> Result<(), Fault> {
        let what = || format!("node {}", node + 1);
        let id = self.children[node].as_ref().and_then(Child::id).and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let id = id.ok_or_else(|| Fault::Unexpected(format!("{} does not run", what())))?;
        kill_process(id, signal).map_err(|error| Fault::Process { what: what(), why: error.to_string() })
    }

    fn log(&self, node: usize) -> PathBuf {
        self.directory.join(format!("node{}.log", node + 1))
    }

    /// Complains when a node has ended by itself.
    fn all_run(&mut self) -> Result<(), Fault> {
        for node in 0..NODES {
            let ended = self.children[node].as_mut().map(Child::try_wait);
            if let Some(Ok(Some(status))) = ended {
                return Err(Fault::ended(format!("node {}", node + 1), status, Some(&self.log(node))));
            }
        }
        Ok(())
    }

    async fn sow(&self, secrets: u64) -> Result<(), Fault> {
        let puts = (0..secrets).map(|number| {
            let value = Some(v1::Value { kind: Some(v1::value::Kind::Bytes(vec![b'x'; VALUE_BYTES].into())) });
            let path = format!("seed/{:03}/{number:07}", number % 1000);
            let put = v1::PutRequest { environment: ENVIRONMENT.to_owned(), path, value, ..v1::PutRequest::default() };
            let client = self.client.clone();
            Ok::<_, ClientError>(async move { client.secrets().put(put).await.map(drop) })
        });
        let sown = stream::iter(puts).try_buffer_unordered(SOWN_AT_ONCE).try_for_each(|()| futures::future::ready(Ok(()))).await;
        sown.map_err(Fault::cluster("put the secrets"))
    }
}

async fn connect(config: ClientConfig) -> Result<Client, Fault> {
    Client::connect(config).await.map_err(Fault::cluster("connect to the cluster"))
}

/// The server of the same build, beside this program.
fn server(named: Option<&Path>) -> Result<PathBuf, Fault> {
    let own = std::env::current_exe().map_err(Fault::io("find", Path::new("this executable")))?;
    let wanted = named.map_or_else(|| own.with_file_name(SERVER), Path::to_owned);
    wanted.canonicalize().map_err(Fault::io("find (cargo build -p node makes it)", &wanted))
}

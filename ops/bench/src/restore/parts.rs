//! What the run plays with: two kits, the programs, and the directory of snapshots.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use proto_client::{Client, ClientConfig, v1};
use serde::Deserialize;
use tokio::{process::Command, time::Instant};

use super::{RestorePlan, memory::watch_to_end};
use crate::{
    fault::Fault,
    stage::{Processes, cluster, settings, sow_many},
};

const NODES: u64 = 3;
/// Numbers of the new nodes start behind those of the old ones.
const FIRST_NEW: u64 = NODES + 1;
pub(super) const ENVIRONMENT: &str = "production";
/// How long the new cluster may take to answer.
const PATIENCE: Duration = Duration::from_secs(1800);
const ASKED: Duration = Duration::from_secs(2);
const ASKED_AGAIN: Duration = Duration::from_millis(20);

/// The path of a secret.
pub(super) fn path(number: u64) -> String {
    format!("seed/{:03}/{number:07}", number % 1000)
}

/// What the restore says.
#[derive(Debug, Deserialize)]
pub(super) struct Restored {
    pub(super) revision: u64,
    pub(super) secrets: u64,
    pub(super) values: u64,
}

#[derive(Deserialize)]
struct Saved {
    snapshot: SavedFile,
}

#[derive(Deserialize)]
struct SavedFile {
    bytes: u64,
}

pub(super) struct Parts {
    directory: PathBuf,
    server: PathBuf,
    cli: PathBuf,
    secrets: u64,
    value_bytes: usize,
}

impl Parts {
    pub(super) fn new(directory: PathBuf, plan: &RestorePlan) -> Result<Parts, Fault> {
        let own = std::env::current_exe().map_err(Fault::io("find", Path::new("this executable")))?;
        let programs = plan.programs.clone().or_else(|| own.parent().map(Path::to_owned)).unwrap_or_default();
        let program = |name: &str| {
            let wanted = programs.join(name);
            wanted.canonicalize().map_err(Fault::io("find (cargo build --workspace makes it)", &wanted))
        };
        let (server, cli) = (program("holdfastd")?, program("holdfast")?);
        Ok(Parts { directory, server, cli, secrets: plan.secrets, value_bytes: plan.value_bytes as usize })
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    fn old(&self) -> PathBuf {
        self.directory.join("kit")
    }

    fn new_kit(&self) -> PathBuf {
        self.directory.join("new")
    }

    fn set(&self) -> PathBuf {
        self.directory.join("backups")
    }

    /// The cluster that is going to be lost.
    pub(super) async fn found(&self, processes: &mut Processes) -> Result<Client, Fault> {
        connect(cluster::start_with(&self.server, &self.directory, processes).await?).await
    }

    pub(super) async fn sow(&self, client: &Client) -> Result<(), Fault> {
        sow_many(client, ENVIRONMENT, self.secrets, self.value_bytes, path).await
    }

    /// Runs a program to its end: what it says, and how much memory it took at most, in MiB.
    async fn run(&self, program: &Path, kit: &Path, arguments: &[&str]) -> Result<(Vec<u8>, f64), Fault> {
        let what = || format!("{} {}", program.display(), arguments.join(" "));
        let mut command = Command::new(program);
        command.args(arguments).env("HOLDFAST_CONFIG", kit.join("client.toml"));
        let (said, complaints) = (self.directory.join("said"), self.directory.join("complaints"));
        let file = |path: &Path| std::fs::File::create(path).map_err(Fault::io("make", path));
        command.stdin(Stdio::null()).stdout(file(&said)?).stderr(file(&complaints)?).kill_on_drop(true);
        let failed = |error: std::io::Error| Fault::Process { what: what(), why: error.to_string() };
        let mut child = command.spawn().map_err(failed)?;
        let peak = watch_to_end(&mut child).await.map_err(failed)?;
        let ended = child.wait().await.map_err(failed)?;
        if !ended.success() {
            return Err(Fault::ended(what(), ended, Some(&complaints)));
        }
        Ok((std::fs::read(&said).map_err(Fault::io("read", &said))?, peak))
    }

    /// Saves a snapshot: its bytes, and the peak of the program that fetched it.
    pub(super) async fn save(&self) -> Result<(u64, f64), Fault> {
        let set = self.set().display().to_string();
        let arguments = ["snapshot", "save", "--to", &set, "-o", "json", "--timeout", "10m"];
        let (said, peak) = self.run(&self.cli, &self.old(), &arguments).await?;
        let saved: Saved = parse(&said, "holdfast snapshot save")?;
        Ok((saved.snapshot.bytes, peak))
    }

    pub(super) async fn verify(&self) -> Result<f64, Fault> {
        let set = self.set().display().to_string();
        Ok(self.run(&self.cli, &self.old(), &["snapshot", "verify", &set]).await?.1)
    }

    /// Deletes the data of all nodes.
    pub(super) fn wipe(&self) -> Result<(), Fault> {
        for id in 1..=NODES {
            let data = self.old().join(format!("node{id}/data"));
            std::fs::remove_dir_all(&data).map_err(Fault::io("delete", &data))?;
        }
        Ok(())
    }

    /// A kit for three new nodes around the seal of the old ones.
    pub(super) async fn lay_out_anew(&self) -> Result<(), Fault> {
        let (out, seal) = (self.new_kit().display().to_string(), self.old().join("node1").display().to_string());
        let nodes: Vec<String> = (FIRST_NEW..)
            .zip(cluster::free_addresses(NODES as usize)?)
            .map(|(id, (client, peer))| format!("id={id},zone=zone-{id},client={client},peer={peer}"))
            .collect();
        let mut arguments = vec!["kit", "--out", &out, "--around", &seal];
        arguments.extend(nodes.iter().flat_map(|node| ["--node", node]));
        self.run(&self.server, &self.old(), &arguments).await.map(drop)
    }

    /// Restores the first of the new nodes; the peak of that.
    pub(super) async fn restore(&self) -> Result<(Restored, f64), Fault> {
        let config = self.new_kit().join(format!("node{FIRST_NEW}/holdfast.toml")).display().to_string();
        let (set, kit) = (self.set().display().to_string(), self.new_kit().display().to_string());
        let token = self.new_kit().join("root-token").display().to_string();
        let arguments = ["restore", "--json", "--config", &config, "--from", &set, "--kit", &kit, "--token-file", &token];
        let (said, peak) = self.run(&self.server, &self.new_kit(), &arguments).await?;
        Ok((parse(&said, "holdfastd restore")?, peak))
    }

    pub(super) fn start_anew(&self, processes: &mut Processes) -> Result<(), Fault> {
        for id in FIRST_NEW..FIRST_NEW + NODES {
            let mut command = Command::new(&self.server);
            command.args(["server", "--set", "log.level=info", "--config"]);
            command.arg(self.new_kit().join(format!("node{id}/holdfast.toml")));
            processes.start_server(format!("holdfastd of node {id}"), command, self.directory.join(format!("node{id}.log")))?;
        }
        Ok(())
    }

    /// A client of the new cluster.
    pub(super) async fn client_anew(&self) -> Result<Client, Fault> {
        connect(settings::read(&self.new_kit().join("client.toml"))?).await
    }

    /// Waits until one secret is answered by whichever node.
    pub(super) async fn first_secret(&self, client: &Client, processes: &mut Processes) -> Result<(), Fault> {
        let deadline = Instant::now() + PATIENCE;
        let client = client.with_timeout(ASKED);
        let request = || v1::GetRequest { environment: ENVIRONMENT.into(), path: path(0), ..v1::GetRequest::default() };
        while let Err(error) = client.secrets().get(request()).await {
            processes.all_run()?;
            if Instant::now() > deadline {
                return Err(Fault::Cluster { doing: "wait for the new cluster", why: error.to_string() });
            }
            tokio::time::sleep(ASKED_AGAIN).await;
        }
        Ok(())
    }
}

async fn connect(config: ClientConfig) -> Result<Client, Fault> {
    Client::connect(config).await.map_err(Fault::cluster("connect to the cluster"))
}

fn parse<T: for<'a> Deserialize<'a>>(said: &[u8], what: &str) -> Result<T, Fault> {
    serde_json::from_slice(said).map_err(|error| Fault::Unexpected(format!("{what} says what cannot be read: {error}")))
}

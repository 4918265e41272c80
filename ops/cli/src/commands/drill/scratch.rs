//! A cluster for an hour: three processes of the server on this machine, in a directory that goes with them.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use proto_client::{Client, ClientConfig, Token, v1};
use serde::Deserialize;
use storage_crypto::{Ring, SealFile, SealKey, Signer};
use zeroize::Zeroizing;

use crate::{
    exit::{Exit, Failure},
    server,
};

/// How long three nodes may take to agree on a leader.
const READY: Duration = Duration::from_secs(600);
/// Numbers that no cluster gives its nodes.
const FIRST_ID: u64 = 1 << 40;
const NODES: u64 = 3;

/// What the restore says that it did.
#[derive(Debug, Deserialize)]
pub(super) struct Restored {
    pub(super) files: Vec<String>,
    pub(super) bytes: u64,
    pub(super) revision: u64,
    pub(super) chain: String,
    pub(super) state_digest: String,
    pub(super) environments: Vec<(String, u64)>,
    pub(super) secrets: u64,
    pub(super) values: u64,
}

/// The scratch cluster.
pub(super) struct Scratch {
    server: PathBuf,
    directory: tempfile::TempDir,
    /// Of each node: where clients and where the others reach it.
    addresses: Vec<(String, String)>,
    cluster: [u8; 16],
    ring: Ring,
    children: Vec<Child>,
}

impl Scratch {
    /// Lays out three nodes around the cluster's seal.
    pub(super) fn prepare(server: Option<PathBuf>, seal: &Path) -> Result<Scratch, Failure> {
        let server = server::program(server)?;
        let directory = tempfile::tempdir().map_err(|error| Failure::io("cannot make a temporary directory", &error))?;
        let (cluster, ring) = open_seal(seal)?;
        let scratch = Scratch { server, directory, addresses: addresses()?, cluster, ring, children: Vec::new() };
        let mut arguments = vec!["kit".to_owned(), "--out".to_owned(), scratch.kit().display().to_string()];
        arguments.extend(["--around".to_owned(), seal.display().to_string()]);
        for (id, (client, peer)) in (FIRST_ID..).zip(&scratch.addresses) {
            arguments.extend(["--node".to_owned(), format!("id={id},zone=zone-{id},client={client},peer={peer}")]);
        }
        scratch.run(&arguments)?;
        Ok(scratch)
    }

    fn kit(&self) -> PathBuf {
        self.directory.path().join("kit")
    }

    fn home(&self, number: u64) -> PathBuf {
        self.kit().join(format!("node{}", FIRST_ID + number))
    }

    pub(super) fn signer(&self) -> Result<Signer, Failure> {
        Ok(self.ring.snapshot_signer(&self.cluster))
    }

    /// The server, without settings from the environment of this machine: a scratch node must not save where a real one does.
    fn command(&self) -> Command {
        let mut command = Command::new(&self.server);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("HOLDFAST_")) {
            command.env_remove(name);
        }
        command.stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[String]) -> Result<Vec<u8>, Failure> {
        server::run(self.command().args(arguments), Exit::Integrity)
    }

    /// Restores the first node.
    pub(super) fn restore(&self, from: &str, at_revision: Option<u64>) -> Result<Restored, Failure> {
        let config = self.home(0).join("holdfast.toml").display().to_string();
        let token = self.kit().join("root-token").display().to_string();
        let fixed = ["restore", "--json", "--config", &config, "--from", from, "--token-file", &token, "--kit"];
        let mut arguments: Vec<String> = fixed.iter().map(|&argument| argument.to_owned()).collect();
        arguments.push(self.kit().display().to_string());
        arguments.extend(at_revision.into_iter().flat_map(|revision| ["--at-revision".to_owned(), revision.to_string()]));
        let said = self.run(&arguments)?;
        serde_json::from_slice(&said)
            .map_err(|error| Failure::new(Exit::Unexpected, "cannot use what the restore says", error.to_string()))
    }

    /// Starts all nodes and waits until they agree; a client of each.
    pub(super) async fn start(&mut self) -> Result<Vec<Client>, Failure> {
        for number in 0..NODES {
            let log = std::fs::File::create(self.kit().join(format!("node{number}.log")));
            let log = log.map_err(|error| Failure::io("cannot write a log", &error))?;
            let child = self
                .command()
                .args(["server", "--config"])
                .arg(self.home(number).join("holdfast.toml"))
                .stdout(Stdio::null())
                .stderr(log)
                .spawn();
            self.children.push(child.map_err(|error| Failure::io("cannot start a node", &error))?);
        }
        let mut clients = Vec::new();
        for (address, _) in &self.addresses {
            clients.push(self.client(address).await?);
        }
        let deadline = Instant::now() + READY;
        while !agree(&clients).await {
            for (number, child) in self.children.iter_mut().enumerate() {
                if child.try_wait().is_ok_and(|ended| ended.is_some()) {
                    let log = std::fs::read_to_string(self.kit().join(format!("node{number}.log"))).unwrap_or_default();
                    let last = log.lines().last().unwrap_or_default().to_owned();
                    return Err(Failure::new(Exit::Unexpected, "a node of the scratch cluster ended", last));
                }
            }
            if Instant::now() > deadline {
                return Err(Failure::new(Exit::Unavailable, "the scratch cluster has no leader", format!("waited {READY:?}")));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(clients)
    }

    async fn client(&self, address: &str) -> Result<Client, Failure> {
        let read = |name: &str| {
            let path = self.kit().join(name);
            std::fs::read(&path).map_err(|error| Failure::io(format!("cannot read {}", path.display()), &error))
        };
        let mut config = ClientConfig::new([format!("https://{address}")]);
        config.ca_pem = Some(read("ca.pem")?);
        let token = Zeroizing::new(String::from_utf8_lossy(&read("root-token")?).into_owned());
        config.token = Some(Token::parse(String::clone(&token))?);
        config.timeout = Duration::from_secs(30);
        Ok(Client::connect(config).await?)
    }

    /// Ends the processes.
    pub(super) fn stop(&mut self) {
        for mut child in self.children.drain(..) {
            // One that has ended by itself is gone already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Whether all know the same leader.
async fn agree(clients: &[Client]) -> bool {
    let mut leaders = Vec::new();
    for client in clients {
        let asked = client.with_timeout(Duration::from_secs(2)).cluster().status(v1::StatusRequest {}).await;
        leaders.push(asked.map_or(0, |status| status.leader_id));
    }
    leaders[0] != 0 && leaders.iter().all(|leader| *leader == leaders[0])
}

/// Free ports of loopback, all found before any is let go.
fn addresses() -> Result<Vec<(String, String)>, Failure> {
    let failed = |error: std::io::Error| Failure::io("cannot find a free port", &error);
    let bind = || std::net::TcpListener::bind("127.0.0.1:0");
    let held: Result<Vec<_>, _> = (0..NODES).map(|_| Ok((bind()?, bind()?))).collect();
    let address = |listener: &std::net::TcpListener| listener.local_addr().map(|address| address.to_string());
    let found: Result<Vec<_>, _> =
        held.map_err(failed)?.iter().map(|(one, other)| Ok((address(one)?, address(other)?))).collect();
    found.map_err(failed)
}

fn open_seal(directory: &Path) -> Result<([u8; 16], Ring), Failure> {
    let read = |name: &str| {
        let path = directory.join(name);
        std::fs::read(&path).map_err(|error| Failure::io(format!("cannot read {}", path.display()), &error))
    };
    let refused = |error: &dyn std::fmt::Display| {
        Failure::usage(
            format!("cannot open the seal in {}", directory.display()),
            error.to_string(),
            "name a directory with seal.json and seal.key",
        )
    };
    let file = SealFile::parse(&read("seal.json")?).map_err(|error| refused(&error))?;
    let text = Zeroizing::new(String::from_utf8_lossy(&Zeroizing::new(read("seal.key")?)).into_owned());
    let key = SealKey::from_key_file(&text).map_err(|error| refused(&error))?;
    let ring = file.open(&key).map_err(|error| refused(&error))?;
    Ok((file.cluster(), ring))
}

//! Three `holdfastd server` processes from a fresh kit, and ways to end them.

use node::kit::{self, NodePlan};
use proto::v1;
use proto_client::{Client, ClientConfig, Token};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a cluster may take to be ready, on a busy machine.
pub const READY: Duration = Duration::from_secs(60);

/// Settings with which a leader stays one on a busy machine, too, unless something else deposes it.
pub const PATIENT: [&str; 2] = ["replication.election_min_ms=4000", "replication.election_max_ms=6000"];

/// What runs a node where nothing else is said.
const SERVER: [&str; 2] = ["holdfastd", "server"];

/// A cluster of processes. They are killed when it is dropped.
pub struct ProcessCluster {
    kit: PathBuf,
    plans: Vec<NodePlan>,
    homes: Vec<PathBuf>,
    children: Vec<Option<Child>>,
    settings: Vec<Vec<String>>,
    programs: Vec<Vec<String>>,
    variables: Vec<(String, String)>,
}

/// The server binary of the profile that the tests run in.
///
/// # Panics
/// When it has not been built: `cargo build --workspace` does.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    let mut directory = std::env::current_exe().expect("a running program has a path");
    directory.pop();
    if directory.ends_with("deps") {
        directory.pop();
    }
    let path = directory.join(name);
    assert!(path.exists(), "{} is missing: run `cargo build --workspace` first", path.display());
    path
}

impl ProcessCluster {
    /// Lays out a kit for `count` nodes in `directory`; starts nothing yet.
    ///
    /// # Panics
    /// When the kit cannot be made.
    #[must_use]
    pub fn prepare(directory: &Path, count: u64) -> ProcessCluster {
        let plans = crate::ports::plans(count);
        let kit = directory.join("kit");
        kit::create(&kit, &plans).expect("a fresh directory takes a kit");
        ProcessCluster::of(kit, plans)
    }

    /// As [`prepare`](ProcessCluster::prepare), without keys: somebody has to make them.
    ///
    /// # Panics
    /// When the kit cannot be made.
    #[must_use]
    pub fn prepare_without_keys(directory: &Path, count: u64) -> ProcessCluster {
        let plans = crate::ports::plans(count);
        let kit = directory.join("kit");
        kit::create_without_keys(&kit, &plans).expect("a fresh directory takes a kit");
        ProcessCluster::of(kit, plans)
    }

    fn of(kit: PathBuf, plans: Vec<NodePlan>) -> ProcessCluster {
        let settings = plans.iter().map(|_| vec!["log.level=info".to_owned()]).collect();
        let children = plans.iter().map(|_| None).collect();
        let programs = plans.iter().map(|_| SERVER.map(str::to_owned).to_vec()).collect();
        let homes = plans.iter().map(|plan| kit::node_directory(&kit, plan.id)).collect();
        ProcessCluster { kit, plans, homes, children, settings, programs, variables: Vec::new() }
    }

    /// A variable in the environment of every node that is started from now on, or none.
    pub fn set_variable(&mut self, name: &str, value: Option<&str>) {
        self.variables.retain(|(known, _)| known != name);
        self.variables.extend(value.map(|value| (name.to_owned(), value.to_owned())));
    }

    /// Keeps the first token where a kit with keys has it.
    ///
    /// # Panics
    /// When the kit cannot be written to.
    pub fn keep_root_token(&self, text: &str) {
        std::fs::write(self.kit.join("root-token"), text).expect("the kit takes a token");
    }

    /// Which of the nodes have ended by themselves; they can be started again.
    ///
    /// # Panics
    /// When a child cannot be asked.
    pub fn ended(&mut self) -> Vec<usize> {
        let mut ended = Vec::new();
        for (node, slot) in self.children.iter_mut().enumerate() {
            if slot.as_mut().is_some_and(|child| child.try_wait().expect("a child of ours can be asked").is_some()) {
                *slot = None;
                ended.push(node);
            }
        }
        ended
    }

    /// Adds a setting to every node, such as `storage.segment_bytes=1048576`.
    pub fn set(&mut self, setting: &str) {
        self.settings.iter_mut().for_each(|settings| settings.push(setting.to_owned()));
    }

    /// Runs one node by another program of ours, with these arguments before `--config`.
    pub fn run_by(&mut self, node: usize, program: &[&str]) {
        self.programs[node] = program.iter().map(|&part| part.to_owned()).collect();
    }

    /// Moves one node's data directory to another place, such as a disk of its own.
    ///
    /// # Panics
    /// When it cannot be copied.
    pub fn move_data(&mut self, node: usize, to: &Path) {
        let from = self.home(node).join("data");
        copy_directory(&from, to);
        self.settings[node].push(format!("node.data={}", to.display()));
    }

    /// Lays out one more node and starts it; the cluster still has to be told.
    ///
    /// # Panics
    /// When the kit cannot be added to.
    pub fn add_node(&mut self) -> NodePlan {
        let plan = self.lay_out_node();
        self.start(self.plans.len() - 1);
        plan
    }

    /// Lays out one more node, and starts nothing.
    ///
    /// # Panics
    /// When the kit cannot be added to.
    pub fn lay_out_node(&mut self) -> NodePlan {
        let id = self.plans.iter().map(|plan| plan.id).max().unwrap_or(0) + 1;
        let plan = NodePlan { id, ..crate::ports::plans(1).remove(0) };
        kit::add_node(&self.kit, &plan).expect("a kit takes one more node");
        self.homes.push(kit::node_directory(&self.kit, id));
        self.plans.push(plan.clone());
        self.children.push(None);
        self.settings.push(vec!["log.level=info".to_owned()]);
        self.programs.push(SERVER.map(str::to_owned).to_vec());
        plan
    }

    /// Directory of a node, by position: its kit's, where it was not moved.
    #[must_use]
    pub fn home(&self, node: usize) -> PathBuf {
        self.homes[node].clone()
    }

    /// A node's files are elsewhere from now on.
    pub fn move_home(&mut self, node: usize, to: PathBuf) {
        self.homes[node] = to;
    }

    /// The kit.
    #[must_use]
    pub fn kit(&self) -> &Path {
        &self.kit
    }

    /// What a node writes on standard error, over all its lives.
    #[must_use]
    pub fn log(&self, node: usize) -> PathBuf {
        self.kit.join(format!("node{}.log", self.plans[node].id))
    }

    /// How many nodes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.plans.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.plans.is_empty()
    }

    /// Starts one node.
    ///
    /// # Panics
    /// When the program cannot be run.
    pub fn start(&mut self, node: usize) {
        let log = File::options().create(true).append(true).open(self.log(node)).expect("the kit takes a log");
        let (program, arguments) = self.programs[node].split_first().expect("a node has a program");
        let mut command = Command::new(binary(program));
        command.current_dir(self.home(node)).args(arguments).arg("--config").arg(self.home(node).join("holdfast.toml"));
        for setting in &self.settings[node] {
            command.arg("--set").arg(setting);
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().expect("the server can be run");
        self.children[node] = Some(child);
    }

    /// Starts all nodes that are not running.
    pub fn start_all(&mut self) {
        for node in 0..self.plans.len() {
            if self.children[node].is_none() {
                self.start(node);
            }
        }
    }

    /// `kill -9`, and waits until it is gone.
    ///
    /// # Panics
    /// When the node is not running.
    pub fn kill(&mut self, node: usize) {
        let mut child = self.children[node].take().expect("only a running node is killed");
        child.kill().expect("a child of ours can be killed");
        child.wait().expect("a killed child ends");
    }

    /// `kill -9` of every running node, all signals before the first wait.
    ///
    /// # Panics
    /// When a child cannot be waited for.
    pub fn kill_all(&mut self) {
        for child in self.children.iter_mut().flatten() {
            let _ = child.kill();
        }
        for child in &mut self.children {
            if let Some(mut child) = child.take() {
                child.wait().expect("a killed child ends");
            }
        }
    }

    /// Sends a signal to one node: `libc::SIGTERM`, `libc::SIGSTOP` …
    ///
    /// # Panics
    /// When the node is not running.
    #[allow(unsafe_code)]
    pub fn signal(&self, node: usize, signal: i32) {
        let child = self.children[node].as_ref().expect("only a running node is sent a signal");
        let id = i32::try_from(child.id()).expect("process ids are small");
        // SAFETY: the call reads two integers; the process is a child of ours that has not been waited for.
        unsafe { libc::kill(id, signal) };
    }

    /// Waits until a node ended by itself; its exit code.
    ///
    /// # Panics
    /// When it is not running or runs on.
    pub fn wait_ended(&mut self, node: usize, patience: Duration) -> Option<i32> {
        let deadline = Instant::now() + patience;
        loop {
            let child = self.children[node].as_mut().expect("only a running node ends");
            if let Some(status) = child.try_wait().expect("a child of ours can be waited for") {
                self.children[node] = None;
                return status.code();
            }
            if Instant::now() > deadline {
                panic!("node {} did not end within {patience:?}{}", node + 1, self.log_tails());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// A client of all nodes, or of one, with the first token.
    ///
    /// # Panics
    /// When the kit is not whole.
    pub async fn client(&self, only: Option<usize>) -> Client {
        let chosen = self.plans.iter().enumerate().filter(|(at, _)| only.is_none_or(|only| only == *at));
        self.client_of(chosen.map(|(_, plan)| plan)).await
    }

    /// A client of all nodes that begins with one of them.
    ///
    /// # Panics
    /// When the kit is not whole.
    pub async fn client_from(&self, first: usize) -> Client {
        let (before, from) = self.plans.split_at(first);
        self.client_of(from.iter().chain(before)).await
    }

    async fn client_of(&self, plans: impl Iterator<Item = &NodePlan>) -> Client {
        let mut config = ClientConfig::new(plans.map(|plan| format!("https://{}", plan.client)));
        config.ca_pem = Some(std::fs::read(self.kit.join("ca.pem")).expect("a kit has an authority"));
        config.token = Some(self.root_token());
        config.timeout = Duration::from_secs(20);
        Client::connect(config).await.expect("a kit's settings can be used")
    }

    /// The first token.
    ///
    /// # Panics
    /// When the kit is not whole.
    #[must_use]
    pub fn root_token(&self) -> Token {
        let text = std::fs::read_to_string(self.kit.join("root-token")).expect("a kit has a first token");
        Token::parse(text).expect("a kit's token is one")
    }

    /// Waits until every running node answers and knows the same leader; that leader's position.
    ///
    /// # Panics
    /// When that takes longer than [`READY`]; the end of the logs is shown.
    pub async fn ready(&self) -> usize {
        let deadline = Instant::now() + READY;
        loop {
            if let Some(leader) = self.agreed_leader().await {
                return leader;
            }
            assert!(Instant::now() < deadline, "no cluster within {READY:?}: {}", self.log_tails());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn agreed_leader(&self) -> Option<usize> {
        let mut agreed = None;
        for node in 0..self.plans.len() {
            if self.children[node].is_none() {
                continue;
            }
            let client = self.client(Some(node)).await.with_timeout(Duration::from_secs(2));
            let status = client.cluster().status(v1::StatusRequest {}).await.ok()?;
            let leader = self.plans.iter().position(|plan| plan.id == status.leader_id)?;
            if *agreed.get_or_insert(leader) != leader {
                return None;
            }
        }
        agreed
    }

    /// The last lines that every node logged, for a test that fails.
    #[must_use]
    pub fn log_tails(&self) -> String {
        let tail = |node| {
            let log = std::fs::read_to_string(self.log(node)).unwrap_or_default();
            let lines: Vec<&str> = log.lines().rev().take(30).collect();
            format!("\n--- node {}\n{}", node + 1, lines.into_iter().rev().collect::<Vec<_>>().join("\n"))
        };
        (0..self.plans.len()).map(tail).collect()
    }
}

impl Drop for ProcessCluster {
    fn drop(&mut self) {
        self.kill_all();
    }
}

/// What a cluster is asked, so that it takes in a laid out node as a learner.
#[must_use]
pub fn learner(plan: &NodePlan) -> v1::AddLearnerRequest {
    v1::AddLearnerRequest {
        node_id: plan.id,
        zone: plan.zone.clone(),
        peer_address: plan.peer.clone(),
        client_address: plan.client.clone(),
    }
}

/// Copies files and makes the copies durable: an operator who moves a data directory would not cut the power meanwhile.
///
/// # Panics
/// When something cannot be read or written.
pub fn copy_directory(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("the target can be made");
    for entry in std::fs::read_dir(from).expect("the source can be read") {
        let entry = entry.expect("the source can be read");
        let copy = to.join(entry.file_name());
        if entry.file_type().expect("an entry has a type").is_dir() {
            copy_directory(&entry.path(), &copy);
        } else {
            std::fs::copy(entry.path(), &copy).expect("a file can be copied");
            sync(&copy);
        }
    }
    sync(to);
    to.parent().into_iter().for_each(sync);
}

fn sync(path: &Path) {
    File::open(path).and_then(|file| file.sync_all()).expect("a copy can be made durable");
}

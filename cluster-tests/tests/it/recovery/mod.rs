//! Losing everything, and coming back.

mod damage;
mod drill;
mod in_place;
mod loss;
mod new_cluster;
mod point_in_time;
#[cfg(feature = "moto")]
mod s3;

use cluster_tests::processes::{ProcessCluster, binary};
use proto::v1;
use proto_client::Client;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// Where the secrets of these tests are.
const ENVIRONMENT: &str = "production";

/// A cluster, a directory for snapshots, and what was written.
struct Desk {
    cluster: ProcessCluster,
    directory: tempfile::TempDir,
}

impl Desk {
    async fn start(nodes: u64) -> Desk {
        let directory = tempfile::tempdir().unwrap();
        let mut cluster = ProcessCluster::prepare(directory.path(), nodes);
        cluster.start_all();
        cluster.ready().await;
        Desk { cluster, directory }
    }

    fn set(&self) -> PathBuf {
        self.directory.path().join("backups")
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary(program));
        command.args(arguments).env("HOLDFAST_CONFIG", self.cluster.kit().join("client.toml")).stdin(Stdio::null());
        command
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        self.command(program, arguments).output().unwrap()
    }

    /// A program that goes on while other things happen.
    fn begin(&self, program: &str, arguments: &[&str]) -> Child {
        self.command(program, arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// What a program says that succeeds.
    fn says(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.run(program, arguments);
        assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The exit code of a program, and all that it says.
    fn exits(&self, program: &str, arguments: &[&str]) -> (Option<i32>, String) {
        let output = self.run(program, arguments);
        (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    }

    fn save(&self, more: &[&str]) -> serde_json::Value {
        let set = self.set();
        let arguments = [&["snapshot", "save", "-o", "json", "--to", set.to_str().unwrap()], more].concat();
        serde_json::from_str(&self.says("holdfast", &arguments)).unwrap()
    }

    /// The arguments of a restore of this node from the set.
    fn restore(&self, node: usize, more: &[&str]) -> Vec<String> {
        self.restore_from(&self.set().display().to_string(), node, more)
    }

    /// The arguments of a restore of this node from another place.
    fn restore_from(&self, place: &str, node: usize, more: &[&str]) -> Vec<String> {
        let config = self.cluster.home(node).join("holdfast.toml");
        let fixed = ["restore", "--json", "--config"].map(str::to_owned);
        let place = ["--from".to_owned(), place.to_owned()];
        let more = more.iter().map(|&more| more.to_owned());
        fixed.into_iter().chain([config.display().to_string()]).chain(place).chain(more).collect()
    }

    /// Every node and its data are gone; the operator's kit, with the seal, is left.
    fn lose_everything(&mut self) {
        self.cluster.kill_all();
        for node in 0..self.cluster.len() {
            std::fs::remove_dir_all(self.cluster.home(node).join("data")).unwrap();
        }
    }
}

fn refs(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

async fn put(client: &Client, path: &str, value: &str) -> u64 {
    let value = Some(v1::Value { kind: Some(v1::value::Kind::Bytes(value.to_owned().into())) });
    let request = v1::PutRequest { environment: ENVIRONMENT.into(), path: path.into(), value, ..v1::PutRequest::default() };
    client.secrets().put(request).await.unwrap().version
}

async fn read(client: &Client, path: &str) -> String {
    let request = v1::GetRequest { environment: ENVIRONMENT.into(), path: path.into(), ..v1::GetRequest::default() };
    match client.secrets().get(request).await.unwrap().value.unwrap().kind.unwrap() {
        v1::value::Kind::Bytes(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
        v1::value::Kind::Fields(_) => panic!("{path} is structured"),
    }
}

/// Writes `count` secrets and says what was written.
async fn write(client: &Client, folder: &str, count: usize) -> BTreeMap<String, String> {
    let mut written = BTreeMap::new();
    for number in 0..count {
        let (path, value) = (format!("{folder}/{number}"), format!("{folder} value {number}"));
        put(client, &path, &value).await;
        written.insert(path, value);
    }
    written
}

async fn status(client: &Client) -> v1::StatusResponse {
    client.cluster().status(v1::StatusRequest {}).await.unwrap()
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

//! New nodes come by tickets: each opens once, within its time, and only for the cluster that it is from.

use crate::leaks::files_under;
use crate::planted::{Planted, hits};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cluster_tests::processes::{ProcessCluster, binary};
use cluster_tests::waiting::until;
use node::kit::{self, NodePlan};
use proto::v1;
use proto_client::Client;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tonic::Code;

/// What a new node of a kit with keys gets.
const FILES: [&str; 9] = [
    "holdfast.toml",
    "seal.json",
    "seal.key",
    "tls/ca.pem",
    "tls/peer.pem",
    "tls/peer.key",
    "tls/client.pem",
    "tls/client.key",
    "data/identity.json",
];

struct Desk {
    cluster: ProcessCluster,
    client: Client,
    directory: tempfile::TempDir,
}

async fn desk() -> Desk {
    desk_with(&[]).await
}

async fn desk_with(settings: &[&str]) -> Desk {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = ProcessCluster::prepare(directory.path(), 3);
    settings.iter().for_each(|setting| cluster.set(setting));
    cluster.start_all();
    let leader = cluster.ready().await;
    let client = cluster.client_from(leader).await;
    Desk { cluster, client, directory }
}

impl Desk {
    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// As the operator calls it.
    fn holdfast(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(binary("holdfast"));
        command.args(arguments).env("HOLDFAST_CONFIG", self.cluster.kit().join("client.toml")).stdin(Stdio::null());
        command.output().unwrap()
    }

    /// A ticket for the node's directory in the kit, and what is said beside it.
    fn invite(&self, node: usize, ttl: &str) -> (String, String) {
        let home = self.cluster.home(node).display().to_string();
        let output = self.holdfast(&["cluster", "invite", &home, "--ttl", ttl]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{said}");
        let ticket = String::from_utf8(output.stdout).unwrap();
        assert!(ticket.starts_with("hfj1.") && ticket.lines().count() == 1, "{ticket}");
        (ticket, said)
    }

    /// As on another machine: no settings, but some that lead nowhere. Exit code, and what is said.
    fn join(&self, ticket: &str, out: &Path) -> (Option<i32>, String) {
        let file = self.path("received.ticket");
        std::fs::write(&file, ticket).unwrap();
        let mut command = Command::new(binary("holdfast"));
        command.args(["cluster", "join", "--ticket", &format!("@{}", file.display()), "--timeout", "20s", "--out"]).arg(out);
        command.env("HOLDFAST_CONFIG", self.path("nowhere.toml")).env("HOLDFAST_TOKEN", "hf_nobody").stdin(Stdio::null());
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    }

    async fn member(&self, id: u64) -> v1::Member {
        let members = self.client.cluster().status(v1::StatusRequest {}).await.unwrap().members;
        members.into_iter().find(|member| member.node_id == id).unwrap()
    }
}

/// The ticket with something of it changed.
fn forged(ticket: &str, change: impl FnOnce(&mut Value)) -> String {
    let mut json = opened(ticket);
    change(&mut json);
    format!("hfj1.{}", URL_SAFE_NO_PAD.encode(json.to_string()))
}

fn opened(ticket: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(ticket.trim().strip_prefix("hfj1.").unwrap()).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_comes_by_a_ticket_that_opens_once() {
    let mut desk = desk().await;
    let plan = desk.cluster.lay_out_node();
    let (ticket, said) = desk.invite(3, "10m");
    assert!(said.contains("cluster join") && said.contains("delete") && said.contains("promote 4"), "{said}");
    let added = desk.member(4).await;
    assert_eq!((added.client_address, added.peer_address, added.voter), (plan.client, plan.peer, false));

    let taken = desk.path("taken");
    std::fs::create_dir(&taken).unwrap();
    std::fs::write(taken.join("file"), "x").unwrap();
    let (code, said) = desk.join(&ticket, &taken);
    assert!(code == Some(1) && said.contains("not empty") && said.contains("was not used"), "{code:?} {said}");

    let (kit, new) = (desk.cluster.home(3), desk.path("new/node4"));
    std::fs::create_dir(desk.path("new")).unwrap();
    let (code, said) = desk.join(&ticket, &new);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(&format!("holdfastd server --config {}/holdfast.toml", new.display())), "{said}");
    for name in FILES {
        assert_eq!(std::fs::read(new.join(name)).unwrap(), std::fs::read(kit.join(name)).unwrap(), "{name}");
        let mode = std::fs::metadata(new.join(name)).unwrap().permissions().mode() & 0o077;
        assert!(mode == 0 || !(name.ends_with(".key") || name.starts_with("data/")), "{name} can be read by others");
    }
    std::fs::remove_dir_all(&kit).unwrap();

    let second = desk.path("second");
    let (code, said) = desk.join(&ticket, &second);
    assert!(code == Some(4) && said.contains("intercepted") && said.contains("audit query --operation wrap.unwrap"), "{said}");
    assert!(!second.exists(), "what was made for it is given back");
    let alerts = desk.client.alerts().list(v1::ListAlertsRequest::default()).await.unwrap().alerts;
    assert!(alerts.iter().any(|alert| alert.text.contains("files of node 4")), "{alerts:?}");

    desk.cluster.move_home(3, new.clone());
    desk.cluster.start(3);
    desk.cluster.ready().await;
    let promote = async || desk.client.cluster().promote(v1::MemberRequest { node_id: 4, even_so: false }).await.is_ok();
    until("node 4 has caught up and votes", promote).await;
    assert!(desk.member(4).await.voter);
    let again = desk.holdfast(&["cluster", "invite", &new.display().to_string()]);
    assert!(String::from_utf8_lossy(&again.stderr).contains("a node has run here"), "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_ends_leads_to_its_own_cluster_only_and_is_made_anew() {
    let mut desk = desk().await;
    desk.cluster.lay_out_node();
    let (ended, _) = desk.invite(3, "1s");
    let token = opened(&ended)["token"].as_str().unwrap().to_owned();
    let lookup = async || desk.client.wrapping().lookup(v1::UnwrapRequest { token: token.clone() }).await.is_err();
    until("the first ticket has ended", lookup).await;
    let new = desk.path("node4");
    let (code, said) = desk.join(&ended, &new);
    assert!(code == Some(5) && said.contains("time is up") && said.contains("invited again"), "{code:?} {said}");

    let (ticket, said) = desk.invite(3, "10m");
    assert!(said.contains("node 4 is a learner already"), "{said}");
    let other = desk.path("other");
    kit::create_without_keys(&other, &NodePlan::local(1, 7000)).unwrap();
    let stranger = std::fs::read_to_string(other.join("ca.pem")).unwrap();
    let (code, said) = desk.join(&forged(&ticket, |ticket| ticket["authority"] = stranger.into()), &new);
    assert!(code == Some(7) && said.contains("certificate") && said.contains("was not used"), "{code:?} {said}");
    assert!(!new.exists());
    let (code, said) = desk.join(&ticket, &new);
    assert_eq!(code, Some(0), "nothing of it was sent to whoever is not trusted: {said}");

    // Whatever somebody wraps and calls a ticket, only files of a node are written, and nothing that is no ticket is quoted.
    let wrap = v1::WrapRequest { about: "a letter".into(), contents: "dear node".into(), ttl_ms: 60_000 };
    let wrapped = desk.client.wrapping().wrap(wrap).await.unwrap();
    assert_eq!(wrapped.about, "bytes: a letter");
    let letter = forged(&ticket, |ticket| ticket["token"] = wrapped.token.into());
    let (code, said) = desk.join(&letter, &desk.path("letter"));
    assert!(code == Some(1) && said.contains("not the files of a node"), "{code:?} {said}");
    let (code, said) = desk.join("hfj1.topsecret", &desk.path("none"));
    assert!(code == Some(2) && !said.contains("topsecret"), "{code:?} {said}");

    let founder = desk.holdfast(&["cluster", "invite", &desk.cluster.home(0).display().to_string()]);
    assert_eq!(founder.status.code(), Some(2), "{founder:?}");
    let voter = desk.path("voter");
    cluster_tests::processes::copy_directory(&desk.cluster.home(3), &voter);
    let settings = std::fs::read_to_string(voter.join("holdfast.toml")).unwrap().replace("id = 4", "id = 1");
    std::fs::write(voter.join("holdfast.toml"), settings).unwrap();
    let voter = desk.holdfast(&["cluster", "invite", &voter.display().to_string()]);
    assert!(voter.status.code() == Some(6) && String::from_utf8_lossy(&voter.stderr).contains("node 1 votes"), "{voter:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_of_ones_own_are_wrapped_handed_over_once_and_on_the_journal() {
    let desk = desk().await;
    let bytes: Vec<u8> = (0..=255).collect();
    std::fs::write(desk.path("bytes"), &bytes).unwrap();
    let from = format!("@{}", desk.path("bytes").display());
    let wrapped = desk.holdfast(&["wrap", &from, "--about", "all of them", "-o", "raw"]);
    assert!(wrapped.status.success(), "{wrapped:?}");
    std::fs::write(desk.path("wrapped"), &wrapped.stdout).unwrap();
    let from = format!("@{}", desk.path("wrapped").display());
    let looked = desk.holdfast(&["unwrap", "--lookup", &from]);
    assert!(String::from_utf8_lossy(&looked.stdout).contains("bytes: all of them"), "{looked:?}");
    assert_eq!(desk.holdfast(&["unwrap", &from, "-o", "raw"]).stdout, bytes);
    assert_eq!(desk.holdfast(&["unwrap", &from]).status.code(), Some(4));

    // Asked again under one id, because the answer was lost: nothing is wrapped twice, and nobody is told another token.
    let same = desk.client.with_request_id(uuid::Uuid::new_v4());
    let wrap = |contents: &'static str| v1::WrapRequest { about: "twice".into(), contents: contents.into(), ttl_ms: 60_000 };
    same.wrapping().wrap(wrap("one")).await.unwrap();
    let again = same.wrapping().wrap(wrap("one")).await.unwrap_err();
    assert!(again.code == Code::FailedPrecondition && again.message.contains("in the first answer only"), "{again}");
    let other = same.wrapping().wrap(wrap("two")).await.unwrap_err();
    assert!(other.message.contains("was used for another request"), "{other}");

    std::fs::write(desk.path("large"), vec![0; 61_441]).unwrap();
    let large = desk.holdfast(&["wrap", &format!("@{}", desk.path("large").display()), "--about", "too large"]);
    let said = String::from_utf8_lossy(&large.stderr).into_owned();
    assert!(said.contains("what is to be wrapped has 61441 bytes, at most 61440 are taken"), "{said}");
    std::fs::write(desk.path("nobody"), "hf_nobody").unwrap();
    let nobody = desk.path("nobody").display().to_string();
    let stranger = desk.holdfast(&["--token-file", &nobody, "wrap", &format!("@{}", desk.path("bytes").display())]);
    assert_eq!(stranger.status.code(), Some(5), "{stranger:?}");
    let journal = desk.holdfast(&["audit", "query", "--operation", "wrap.wrap", "-o", "json"]);
    let journal = String::from_utf8_lossy(&journal.stdout).into_owned();
    assert!(journal.contains("bytes: all of them") && journal.contains("too large"), "{journal}");
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_ticket_nor_keys_are_left_in_a_data_directory_a_log_or_what_is_said() {
    let mut desk = desk_with(&["log.level=trace,openraft=trace", "storage.segment_bytes=1048576"]).await;
    desk.cluster.lay_out_node();
    let read = |name: &str| std::fs::read_to_string(desk.cluster.home(3).join(name)).unwrap();
    let (peer, seal) = (read("tls/peer.key").lines().nth(1).unwrap().to_owned(), read("seal.key").trim().to_owned());
    let (ticket, invited) = desk.invite(3, "10m");
    let token = opened(&ticket)["token"].as_str().unwrap().to_owned();
    let (first, second) = (desk.join(&ticket, &desk.path("node4")), desk.join(&ticket, &desk.path("second")));
    assert_eq!((first.0, second.0), (Some(0), Some(4)));

    let said = desk.path("said");
    std::fs::write(&said, [invited, first.1, second.1].concat()).unwrap();
    let mut files = vec![said];
    for node in 0..3 {
        files_under(&desk.cluster.home(node).join("data"), &mut files);
        files.push(desk.cluster.log(node));
    }
    let planted =
        [Planted::new("ticket", &token), Planted::new("key of the node", &peer), Planted::new("key of the seal", &seal)];
    assert_eq!(hits(&files, &planted), Vec::<String>::new());
    assert!(!hits(&[desk.path("node4/seal.key"), desk.path("node4/tls/peer.key")], &planted).is_empty(), "the search finds them");
}

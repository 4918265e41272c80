//! Everything wrong that can be given to it: a clear error, a fitting code, nothing lost.

use cluster_tests::processes::{ProcessCluster, binary};
use proto::v1;
use proto_client::{Client, ClientConfig, Token};
use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use tonic::Code;

fn holdfastd(arguments: &[&str]) -> Output {
    Command::new(binary("holdfastd")).args(arguments).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs a program that must end by itself.
fn within(patience: Duration, command: &mut Command) -> Output {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + patience;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("{command:?} did not end within {patience:?}");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.wait_with_output().unwrap()
}

/// Runs a node that must refuse to start; what it says.
fn refuses_to_start(home: &Path, set: &[&str], code: i32) -> String {
    let config = home.join("holdfast.toml");
    let mut arguments = vec!["server", "--config", config.to_str().unwrap()];
    for setting in set {
        arguments.extend(["--set", setting]);
    }
    let output = within(Duration::from_secs(30), Command::new(binary("holdfastd")).args(&arguments));
    assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
    let said = stderr(&output);
    assert!(said.contains("error: "), "{said}");
    said
}

fn text(size: usize) -> Option<v1::Value> {
    Some(v1::Value { kind: Some(v1::value::Kind::Bytes(vec![b'x'; size].into())) })
}

fn put(path: &str, value: Option<v1::Value>) -> v1::PutRequest {
    v1::PutRequest { environment: "development".into(), path: path.into(), value, expect: None, metadata: None }
}

async fn still_works(client: &Client, path: &str) {
    client.secrets().put(put(path, text(8))).await.unwrap();
    let get = v1::GetRequest { environment: "development".into(), path: path.into(), version: 0 };
    assert_eq!(client.secrets().get(get).await.unwrap().value, text(8));
}

#[test]
fn wrong_flags_are_named_with_exit_code_2() {
    for arguments in [
        &["serve"][..],
        &["server"],
        &["server", "--config"],
        &["dev", "--port", "many"],
        &["kit", "--out", "x", "--node", "id=1"],
    ] {
        let output = holdfastd(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains("error"), "{arguments:?}");
    }
    let holdfast = Command::new(binary("holdfast")).args(["secret", "get"]).output().unwrap();
    assert_eq!(holdfast.status.code(), Some(2));
}

#[test]
fn wrong_settings_are_named_with_exit_code_2() {
    let directory = tempfile::tempdir().unwrap();
    let cluster = ProcessCluster::prepare(directory.path(), 1);
    let home = cluster.home(0);
    assert!(refuses_to_start(&home, &["node.idd=1"], 2).contains("node.idd"));
    assert!(refuses_to_start(&home, &["node.id=one"], 2).contains("node.id"));
    assert!(refuses_to_start(&home, &["listen.client=nowhere"], 2).contains("listen.client"));
    assert!(refuses_to_start(&home, &["log.level=!!"], 2).contains("log.level"));
    let config = home.join("holdfast.toml");
    let good = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, good.replace("[listen]", "[listen]\ncleint = \"x\"")).unwrap();
    let said = refuses_to_start(&home, &[], 2);
    assert!(said.contains("cleint") && said.contains("line"), "{said}");
    std::fs::write(&config, "not toml at all").unwrap();
    refuses_to_start(&home, &[], 2);
}

#[test]
fn keys_and_data_of_somebody_else_are_refused_and_left_as_they_were() {
    let directory = tempfile::tempdir().unwrap();
    let ours = ProcessCluster::prepare(&directory.path().join("ours"), 2);
    let theirs = ProcessCluster::prepare(&directory.path().join("theirs"), 1);
    let (home, other) = (ours.home(0), theirs.home(0));
    let their = |file: &str| other.join(file).display().to_string();

    let said = refuses_to_start(&home, &[&format!("node.data={}", their("data"))], 1);
    assert!(said.contains("cluster") || said.contains("seal key"), "{said}");
    let said = refuses_to_start(&home, &[&format!("seal.key_file={}", their("seal.key"))], 1);
    assert!(said.contains("seal"), "{said}");
    let said = refuses_to_start(&home, &[&format!("node.data={}", ours.home(1).join("data").display())], 1);
    assert!(said.contains("node 2"), "{said}");
    let said = refuses_to_start(&home, &[&format!("tls.peer_certificate={}", ours.home(1).join("tls/peer.pem").display())], 1);
    assert!(said.contains("certificate"), "{said}");
    let empty = directory.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let said = refuses_to_start(&home, &[&format!("node.data={}", empty.display())], 1);
    assert!(said.contains("identity"), "a wiped node does not come back as itself: {said}");

    let identity = home.join("data/identity.json");
    let good = std::fs::read_to_string(&identity).unwrap();
    std::fs::write(&identity, good.replace("\"format\": 1", "\"format\": 9")).unwrap();
    let said = refuses_to_start(&home, &[], 1);
    assert!(said.contains("newer") && said.contains('9'), "{said}");
    std::fs::write(&identity, "{").unwrap();
    assert!(refuses_to_start(&home, &[], 1).contains("identity"));
    std::fs::write(&identity, good).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_requests_get_the_fitting_status_and_change_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = ProcessCluster::prepare(directory.path(), 3);
    cluster.start_all();
    cluster.ready().await;
    let client = cluster.client(None).await;
    let code = |outcome: Result<v1::PutResponse, proto_client::ClientError>| outcome.unwrap_err().code;

    for path in ["", "/a", "a//b", "../a", "a b", "a\u{0}b", &"x".repeat(600)] {
        assert_eq!(code(client.secrets().put(put(path, text(1))).await), Code::InvalidArgument, "{path:?}");
    }
    let elsewhere = v1::PutRequest { environment: "nowhere".into(), ..put("a", text(1)) };
    assert_eq!(code(client.secrets().put(elsewhere).await), Code::NotFound);
    let badly_named = v1::PutRequest { environment: "NO".into(), ..put("a", text(1)) };
    assert_eq!(code(client.secrets().put(badly_named).await), Code::InvalidArgument);
    assert_eq!(code(client.secrets().put(put("a", None)).await), Code::InvalidArgument);
    assert_eq!(code(client.secrets().put(put("a", text((1 << 20) + 1))).await), Code::ResourceExhausted);
    client.secrets().put(put("largest", text(1 << 20))).await.unwrap();
    assert!(client.secrets().put(put("a", text(9 << 20))).await.is_err(), "more than a message may hold");
    let not_json = v1::Fields { json: [("f".to_owned(), "{".to_owned())].into() };
    let fields = Some(v1::Value { kind: Some(v1::value::Kind::Fields(not_json)) });
    assert_eq!(code(client.secrets().put(put("a", fields)).await), Code::InvalidArgument);

    let stranger = client.with_token(&Token::parse("hf_0000").unwrap()).unwrap();
    assert_eq!(code(stranger.secrets().put(put("a", text(1))).await), Code::Unauthenticated);
    let get = v1::GetRequest { environment: "development".into(), path: "a".into(), version: 0 };
    assert_eq!(client.secrets().get(get).await.unwrap_err().code, Code::NotFound, "none of it was kept");
    still_works(&client, "after/requests").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_on_the_ports_and_a_wrong_authority_disturb_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = ProcessCluster::prepare(&directory.path().join("ours"), 3);
    cluster.start_all();
    cluster.ready().await;
    let settings = std::fs::read_to_string(cluster.home(0).join("holdfast.toml")).unwrap();
    let addresses: Vec<&str> = settings.split('"').filter(|part| part.starts_with("127.0.0.1:")).collect();
    assert_eq!(addresses.len(), 2, "{settings}");
    for address in &addresses {
        for garbage in [
            &b"GET / HTTP/1.1\r\n\r\n"[..],
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff",
            &[0x16; 4096],
            b"",
        ] {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
            // The node may hang up in the middle: that is its right.
            drop(stream.write_all(garbage));
        }
    }
    still_works(&cluster.client(None).await, "after/garbage").await;

    let stranger = ProcessCluster::prepare(&directory.path().join("theirs"), 1);
    let mut config = ClientConfig::new([format!("https://{}", addresses[0])]);
    config.ca_pem = Some(std::fs::read(stranger.kit().join("ca.pem")).unwrap());
    config.token = Some(cluster.root_token());
    config.timeout = Duration::from_secs(3);
    let distrusting = Client::connect(config).await.unwrap();
    let error = distrusting.cluster().status(v1::StatusRequest {}).await.unwrap_err();
    assert_eq!(error.code, Code::Unavailable);
    assert!(error.message.contains("certificate") || error.message.contains("UnknownIssuer"), "{}", error.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_without_authorities_of_its_own_serves_all_who_need_none() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = ProcessCluster::prepare(directory.path(), 1);
    let nothing = directory.path().join("nothing").display().to_string();
    cluster.set_variable("SSL_CERT_FILE", Some(&nothing));
    cluster.set_variable("SSL_CERT_DIR", Some(&nothing));
    cluster.start_all();
    cluster.ready().await;
    still_works(&cluster.client(None).await, "without/authorities").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_directory_in_use_and_a_taken_port_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = ProcessCluster::prepare(directory.path(), 1);
    cluster.start_all();
    cluster.ready().await;
    assert!(refuses_to_start(&cluster.home(0), &[], 1).contains("listen"));
    let free = cluster_tests::ports::plans(1).remove(0);
    let set = [format!("listen.client={}", free.client), format!("listen.peer={}", free.peer)];
    let said = refuses_to_start(&cluster.home(0), &[&set[0], &set[1]], 1);
    assert!(said.contains("use"), "{said}");
    still_works(&cluster.client(None).await, "after/contention").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_to_the_log_of_a_stopped_node_is_found_when_it_starts_and_nothing_is_thrown_away() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = ProcessCluster::prepare(directory.path(), 3);
    cluster.start_all();
    cluster.ready().await;
    let client = cluster.client(None).await;
    for number in 0..40 {
        client.secrets().put(put(&format!("app/{number}"), text(64))).await.unwrap();
    }
    // What of the journal is damaged comes from the other nodes (`self_repair`); what stands in the log this node has promised.
    cluster.signal(2, libc::SIGTERM);
    cluster.wait_ended(2, Duration::from_secs(30));
    let folder = cluster.home(2).join("data/wal");
    let mut segments: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    segments.retain(|path| path.extension().is_some_and(|extension| extension == "seg"));
    segments.sort();
    let good = std::fs::read(&segments[0]).unwrap();
    let mut damaged = good.clone();
    // Inside the sealed body of a frame in the middle of what was acknowledged.
    let frames: Vec<usize> = (0..damaged.len()).step_by(8).filter(|at| damaged[*at..].starts_with(b"HFF1")).collect();
    damaged[frames[frames.len() / 2] + 56] ^= 1;
    std::fs::write(&segments[0], &damaged).unwrap();
    let said = refuses_to_start(&cluster.home(2), &[], 1);
    assert!(said.contains("damaged") && said.contains(segments[0].to_str().unwrap()), "{said}");
    assert_eq!(std::fs::read(&segments[0]).unwrap(), damaged, "nothing was changed");
    std::fs::write(&segments[0], good).unwrap();
    still_works(&client, "after/damage").await;
    cluster.start(2);
    cluster.ready().await;
}

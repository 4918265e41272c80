//! Who is calling, against real clusters: logins through every node, tokens that end everywhere at once, hand-over, other issuers.

mod clocks;
mod elsewhere;
mod programs;
mod traces;

use cluster_tests::processes::ProcessCluster;
use proto::v1;
use proto_client::{Client, ClientError, Token};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tonic::Code;

const PASSWORD: &str = "correct horse battery";

struct World {
    cluster: ProcessCluster,
    clients: Vec<Client>,
    directory: tempfile::TempDir,
}

/// Three nodes whose passwords cost little.
async fn world(settings: &[String]) -> World {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = ProcessCluster::prepare(directory.path(), 3);
    for setting in ["login.password_memory_kib=64", "login.password_passes=1", "login.password_lanes=1"] {
        cluster.set(setting);
    }
    settings.iter().for_each(|setting| cluster.set(setting));
    cluster.start_all();
    cluster.ready().await;
    let mut clients = Vec::new();
    for node in 0..3 {
        clients.push(cluster.client(Some(node)).await);
    }
    let rules = vec![v1::Rule {
        environment: "development".into(),
        path: "*".into(),
        capabilities: vec!["read".into(), "create".into(), "update".into()],
        deny: false,
        conditions: None,
    }];
    let policy = v1::Policy { name: "developer".into(), rules, ..Default::default() };
    clients[0].policies().put(v1::PutPolicyRequest { policy: Some(policy) }).await.unwrap();
    World { cluster, clients, directory }
}

fn grants() -> Option<v1::Grants> {
    Some(v1::Grants { policies: vec!["developer".into()], ttl_ms: 600_000, ..Default::default() })
}

fn password(user: &str, password: &str, code: &str) -> v1::LoginPasswordRequest {
    v1::LoginPasswordRequest { user: user.into(), password: password.into(), code: code.into() }
}

fn put(path: &str) -> v1::PutRequest {
    let value = Some(v1::Value { kind: Some(v1::value::Kind::Bytes(b"value".to_vec().into())) });
    v1::PutRequest { environment: "development".into(), path: path.into(), value, expect: None, metadata: None }
}

fn get(path: &str) -> v1::GetRequest {
    v1::GetRequest { environment: "development".into(), path: path.into(), version: 0 }
}

fn as_token(client: &Client, text: &str) -> Client {
    client.with_token(&Token::parse(text).unwrap()).unwrap()
}

fn code<T: std::fmt::Debug>(outcome: Result<T, ClientError>) -> Code {
    outcome.unwrap_err().code
}

/// The code of an authenticator, so many seconds from now.
fn totp(uri: &str, offset: i64) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    totp_rs::Totp::from_url(uri).unwrap().generate(now.checked_add_signed(offset).unwrap()).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_with_a_second_factor_logs_in_through_every_node_and_no_code_twice() {
    let world = world(&[]).await;
    let [a, b, c] = [&world.clients[0], &world.clients[1], &world.clients[2]];
    let create = |name: &str| v1::CreateUserRequest {
        name: name.into(),
        password: PASSWORD.into(),
        grants: grants(),
        requires_totp: false,
    };
    a.users().create(create("ana")).await.unwrap();
    let first = b.login().password(password("ana", PASSWORD, "")).await.unwrap();
    assert_eq!(first.details.as_ref().unwrap().principal, "ana");
    as_token(c, &first.token).secrets().put(put("app/one")).await.unwrap();

    let enrolled = as_token(a, &first.token).users().enrol_totp(v1::UserRequest { name: "ana".into() }).await.unwrap();
    let confirm = |code: String| v1::ConfirmTotpRequest { name: "ana".into(), code };
    assert_eq!(code(b.users().confirm_totp(confirm("000000".into())).await), Code::InvalidArgument);
    b.users().confirm_totp(confirm(totp(&enrolled.uri, 0))).await.unwrap();
    // The code that confirmed it is used up: the next one counts, which the window lets in early.
    assert_eq!(code(c.login().password(password("ana", PASSWORD, &totp(&enrolled.uri, -30))).await), Code::Unauthenticated);
    assert_eq!(code(c.login().password(password("ana", PASSWORD, "")).await), Code::Unauthenticated);
    let next = totp(&enrolled.uri, 30);
    let login = c.login().password(password("ana", PASSWORD, &next)).await.unwrap();
    assert!(login.details.unwrap().mfa);
    for client in [a, b, c] {
        assert_eq!(code(client.login().password(password("ana", PASSWORD, &next)).await), Code::Unauthenticated, "used before");
    }
    b.login().password(password("ana", PASSWORD, &enrolled.recovery_codes[0])).await.unwrap();
    assert_eq!(code(a.login().password(password("ana", PASSWORD, &enrolled.recovery_codes[0])).await), Code::Unauthenticated);

    // Locked by failures through different nodes; then not even what is right is let in, until the lock is taken away.
    a.users().create(create("bob")).await.unwrap();
    for at in 0..5 {
        let wrong = world.clients[at % 3].login().password(password("bob", "wrong horse battery", "")).await;
        assert_eq!(code(wrong), Code::Unauthenticated);
    }
    let locked = c.login().password(password("bob", PASSWORD, "")).await.unwrap_err();
    let unknown = c.login().password(password("nobody", PASSWORD, "")).await.unwrap_err();
    assert_eq!(locked.message, unknown.message, "a lock tells nobody that the user exists");
    assert!(a.users().get(v1::UserRequest { name: "bob".into() }).await.unwrap().locked_until_ms > 0);
    a.users().unlock(v1::UserRequest { name: "bob".into() }).await.unwrap();
    let bob = b.login().password(password("bob", PASSWORD, "")).await.unwrap();
    c.users().disable(v1::UserRequest { name: "bob".into() }).await.unwrap();
    assert_eq!(code(as_token(a, &bob.token).tokens().lookup_self(v1::LookupSelfRequest {}).await), Code::Unauthenticated);
    drop(world.directory);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_revoked_on_one_node_answers_nowhere_after_that_nor_do_those_that_it_made() {
    let world = world(&[]).await;
    let [a, b, c] = [&world.clients[0], &world.clients[1], &world.clients[2]];
    a.secrets().put(put("app/one")).await.unwrap();
    let make = |principal: &str| v1::CreateTokenRequest {
        principal: principal.into(),
        policies: vec!["root".into()],
        ..Default::default()
    };
    let parent = a.tokens().create(make("parent")).await.unwrap();
    let child = as_token(b, &parent.token).tokens().create(make("child")).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let mut readers = Vec::new();
    for (client, text) in world.clients.iter().flat_map(|client| [(client, &parent.token), (client, &child.token)]) {
        let (client, stop) = (as_token(client, text), stop.clone());
        readers.push(tokio::spawn(async move {
            let mut begun = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let at = Instant::now();
                let read = client.secrets().get(get("app/one")).await;
                begun.push((at, read.map(drop).map_err(|error| error.code)));
            }
            begun
        }));
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let accessor = parent.details.unwrap().accessor;
    c.tokens().revoke(v1::RevokeTokenRequest { accessor }).await.unwrap();
    let revoked = Instant::now();
    tokio::time::sleep(Duration::from_millis(300)).await;
    stop.store(true, Ordering::Relaxed);
    for reader in readers {
        let reads = reader.await.unwrap();
        assert!(reads.iter().any(|(at, read)| *at < revoked && read.is_ok()), "it read while it could");
        let after: Vec<_> = reads.iter().filter(|(at, _)| *at > revoked).collect();
        assert!(!after.is_empty(), "it went on asking");
        assert!(after.iter().all(|(_, read)| *read == Err(Code::Unauthenticated)), "{after:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_is_handed_its_secret_id_once_and_logs_in_as_often_as_it_says() {
    let world = world(&[]).await;
    let [a, b, c] = [&world.clients[0], &world.clients[1], &world.clients[2]];
    let create = v1::CreateMachineRequest { name: "ci".into(), grants: grants(), secret_id_ttl_ms: 0, secret_id_uses: 2 };
    let machine = a.machines().create(create).await.unwrap();
    let issue = v1::IssueSecretIdRequest { name: "ci".into(), wrap_ttl_ms: 60_000, ..Default::default() };
    let issued = b.machines().issue_secret_id(issue).await.unwrap();
    assert!(issued.secret_id.is_empty(), "wrapped, not told");
    let wrapping = issued.wrapped.unwrap();
    assert_eq!(wrapping.about, "secret id of machine ci");

    let stranger = as_token(c, "hf_nobody");
    let token = || v1::UnwrapRequest { token: wrapping.token.clone() };
    assert_eq!(stranger.wrapping().lookup(token()).await.unwrap().about, wrapping.about);
    let opened = stranger.wrapping().unwrap(token()).await.unwrap();
    let Some(v1::unwrap_response::Contents::SecretId(secret)) = opened.contents else { panic!("another thing was wrapped") };
    let second = a.wrapping().unwrap(token()).await.unwrap_err();
    assert_eq!(second.code, Code::PermissionDenied);
    assert!(second.message.contains("intercepted"), "{}", second.message);

    let login = || v1::LoginMachineRequest { role_id: machine.role_id.clone(), secret_id: secret.secret_id.clone() };
    let first = stranger.login().machine(login()).await.unwrap();
    assert_eq!(first.details.unwrap().principal, "machine/ci");
    as_token(a, &first.token).secrets().put(put("app/ci")).await.unwrap();
    b.login().machine(login()).await.unwrap();
    assert_eq!(code(c.login().machine(login()).await), Code::Unauthenticated, "used up");

    let (environment, path) = ("development".to_owned(), "app/ci".to_owned());
    let wrap = v1::WrapSecretRequest { environment, path, version: 0, ttl_ms: 60_000 };
    let wrapped = a.wrapping().wrap_secret(wrap).await.unwrap();
    let opened = stranger.wrapping().unwrap(v1::UnwrapRequest { token: wrapped.token }).await.unwrap();
    let Some(v1::unwrap_response::Contents::Secret(read)) = opened.contents else { panic!("another thing was wrapped") };
    assert!(read.value.is_some());
    a.machines().delete(v1::MachineRequest { name: "ci".into() }).await.unwrap();
    assert_eq!(code(as_token(b, &first.token).secrets().get(get("app/ci")).await), Code::Unauthenticated);
}

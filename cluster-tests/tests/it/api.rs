//! Every call of the contract against a real cluster of three, through each node.

use cluster_tests::processes::{ProcessCluster, learner};
use cluster_tests::waiting::until;
use proto::v1;
use proto_client::{Client, Token};
use std::collections::BTreeMap;
use tonic::Code;

const HOME: &str = "development";

struct World {
    cluster: ProcessCluster,
    clients: Vec<Client>,
    _directory: tempfile::TempDir,
}

async fn world() -> World {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = ProcessCluster::prepare(directory.path(), 3);
    cluster.start_all();
    cluster.ready().await;
    let mut clients = Vec::new();
    for node in 0..3 {
        clients.push(cluster.client(Some(node)).await);
    }
    World { cluster, clients, _directory: directory }
}

fn text(value: &str) -> Option<v1::Value> {
    Some(v1::Value { kind: Some(v1::value::Kind::Bytes(value.as_bytes().to_vec().into())) })
}

fn fields(entries: &[(&str, &str)]) -> v1::Fields {
    v1::Fields { json: entries.iter().map(|(name, json)| ((*name).to_owned(), (*json).to_owned())).collect() }
}

fn structured(entries: &[(&str, &str)]) -> Option<v1::Value> {
    Some(v1::Value { kind: Some(v1::value::Kind::Fields(fields(entries))) })
}

fn put(path: &str, value: Option<v1::Value>) -> v1::PutRequest {
    v1::PutRequest { environment: HOME.into(), path: path.into(), value, expect: None, metadata: None }
}

fn get(path: &str, version: u64) -> v1::GetRequest {
    v1::GetRequest { environment: HOME.into(), path: path.into(), version }
}

fn versions(path: &str, versions: &[u64]) -> v1::VersionsRequest {
    v1::VersionsRequest { environment: HOME.into(), path: path.into(), versions: versions.to_vec(), all: false }
}

async fn read(client: &Client, path: &str, version: u64) -> Result<String, Code> {
    let answer = client.secrets().get(get(path, version)).await.map_err(|error| error.code)?;
    match answer.value.and_then(|value| value.kind) {
        Some(v1::value::Kind::Bytes(bytes)) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Some(v1::value::Kind::Fields(fields)) => Ok(format!("{:?}", fields.json)),
        None => panic!("an answer without a value"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_life_of_a_secret_is_the_same_through_every_node() {
    let world = world().await;
    let [a, b, c] = [&world.clients[0], &world.clients[1], &world.clients[2]];

    assert_eq!(a.secrets().put(put("db/password", text("one"))).await.unwrap().version, 1);
    assert_eq!(b.secrets().put(put("db/password", text("two"))).await.unwrap().version, 2);
    for client in [a, b, c] {
        assert_eq!(read(client, "db/password", 0).await.unwrap(), "two", "a read sees what was acknowledged, on every node");
        assert_eq!(read(client, "db/password", 1).await.unwrap(), "one");
    }
    b.secrets().delete(versions("db/password", &[])).await.unwrap();
    assert_eq!(read(c, "db/password", 0).await, Err(Code::FailedPrecondition));
    assert_eq!(read(c, "db/password", 1).await.unwrap(), "one", "only the newest was hidden");
    c.secrets().undelete(versions("db/password", &[2])).await.unwrap();
    assert_eq!(read(a, "db/password", 0).await.unwrap(), "two");
    let rollback = v1::RollbackRequest { environment: HOME.into(), path: "db/password".into(), to_version: 1, expect: None };
    assert_eq!(a.secrets().rollback(rollback).await.unwrap().version, 3);
    assert_eq!(read(b, "db/password", 0).await.unwrap(), "one");
    c.secrets().destroy(versions("db/password", &[1])).await.unwrap();
    assert_eq!(read(a, "db/password", 1).await, Err(Code::FailedPrecondition), "a destroyed version is gone");
    assert_eq!(read(a, "db/password", 3).await.unwrap(), "one", "its copy is a version of its own");

    let history = v1::HistoryRequest { environment: HOME.into(), path: "db/password".into() };
    let states: Vec<_> = b.secrets().history(history).await.unwrap().versions.iter().map(|version| version.state()).collect();
    assert_eq!(states, [v1::VersionState::Destroyed, v1::VersionState::Live, v1::VersionState::Live]);

    let copy =
        |from: &str, to: &str| v1::CopyRequest { environment: HOME.into(), from: from.into(), to: to.into(), expect: None };
    assert_eq!(a.secrets().copy(copy("db/password", "db/copy")).await.unwrap().version, 1);
    assert_eq!(b.secrets().r#move(copy("db/copy", "web/moved")).await.unwrap().version, 1);
    assert_eq!(read(c, "web/moved", 0).await.unwrap(), "one");
    assert_eq!(read(c, "db/copy", 0).await, Err(Code::NotFound));
}

#[tokio::test(flavor = "multi_thread")]
async fn structured_values_listings_searches_and_transactions_work() {
    let world = world().await;
    let [a, b, c] = [&world.clients[0], &world.clients[1], &world.clients[2]];
    let about = v1::Metadata {
        owner: Some("team-db".into()),
        tags: Some(v1::Tags { tags: vec!["tier1".into(), "db".into()] }),
        custom: Some(v1::Custom { entries: BTreeMap::from([("cost".into(), "7".into())]) }),
        ..Default::default()
    };
    let with_about =
        v1::PutRequest { metadata: Some(about), ..put("db/main", structured(&[("user", "\"app\""), ("port", "5432")])) };
    a.secrets().put(with_about).await.unwrap();
    let patch = v1::PatchRequest {
        environment: HOME.into(),
        path: "db/main".into(),
        set: Some(fields(&[("password", "\"s3cret\"")])),
        remove: vec!["port".into()],
        expect: None,
    };
    assert_eq!(b.secrets().patch(patch).await.unwrap().version, 2);
    assert_eq!(read(c, "db/main", 0).await.unwrap(), r#"{"password": "\"s3cret\"", "user": "\"app\""}"#);

    for path in ["db/a", "db/b/one", "db/b/two", "top"] {
        b.secrets().put(put(path, text("x"))).await.unwrap();
    }
    let list = |prefix: &str, recursive, limit, cursor: &str| v1::ListRequest {
        environment: HOME.into(),
        prefix: prefix.into(),
        recursive,
        limit,
        cursor: cursor.into(),
        include_deleted: false,
    };
    let paths = |page: v1::ListResponse| page.entries.into_iter().map(|entry| entry.path).collect::<Vec<_>>();
    assert_eq!(paths(c.secrets().list(list("", false, 0, "")).await.unwrap()), ["db/", "top"]);
    assert_eq!(paths(c.secrets().list(list("db/", false, 0, "")).await.unwrap()), ["db/a", "db/b/", "db/main"]);
    let mut all = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = c.secrets().list(list("", true, 2, &cursor)).await.unwrap();
        cursor.clone_from(&page.next_cursor);
        all.extend(paths(page));
        if cursor.is_empty() {
            break;
        }
    }
    assert_eq!(all, ["db/a", "db/b/one", "db/b/two", "db/main", "top"]);
    let search =
        v1::SearchRequest { environment: HOME.into(), tags: vec!["tier1".into()], owner: "team-db".into(), ..Default::default() };
    assert_eq!(paths(a.secrets().search(search).await.unwrap()), ["db/main"]);

    let item = |path: &str, version, change| v1::TransactItem {
        path: path.into(),
        expect: Some(v1::Expectation { kind: Some(v1::expectation::Kind::Version(version)) }),
        change: Some(change),
    };
    let change = |value: &str| v1::transact_item::Change::Put(v1::TransactPut { value: text(value), metadata: None });
    let transact = |items| v1::TransactRequest { environment: HOME.into(), items };
    let refused = transact(vec![item("top", 1, change("t2")), item("db/a", 9, change("a2"))]);
    assert_eq!(b.secrets().transact(refused).await.unwrap_err().code, Code::FailedPrecondition);
    assert_eq!(read(a, "top", 0).await.unwrap(), "x", "all or nothing");
    let done = transact(vec![item("top", 1, change("t2")), item("db/a", 1, v1::transact_item::Change::Delete(true))]);
    assert_eq!(b.secrets().transact(done).await.unwrap().versions, [2, 1]);
    assert_eq!(read(c, "top", 0).await.unwrap(), "t2");
    assert_eq!(read(c, "db/a", 0).await, Err(Code::FailedPrecondition));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_reads_streams_and_watches_see_every_change() {
    let world = world().await;
    let [a, b, c] = [&world.clients[0], &world.clients[1], &world.clients[2]];
    let first = a.secrets().put(put("app/one", text("1"))).await.unwrap();
    let watch = v1::WatchRequest { environment: HOME.into(), prefix: "app/".into(), after_index: first.index };
    let mut changes = c.secrets().watch(watch.clone()).await.unwrap();
    for number in 0..40 {
        b.secrets().put(put(&format!("app/{number}"), text(&number.to_string()))).await.unwrap();
        b.secrets().put(put(&format!("elsewhere/{number}"), text("-"))).await.unwrap();
    }
    for number in 0..40 {
        let change = next_change(&mut changes).await;
        assert_eq!(
            (change.path, change.change),
            (format!("app/{number}"), "put".to_owned()),
            "in order, none missed, none foreign"
        );
    }
    // From the same index again: the same changes again.
    let mut again = a.secrets().watch(watch).await.unwrap();
    assert_eq!(next_change(&mut again).await.path, "app/0");

    let items =
        |count| (0..count).map(|number| v1::GetManyItem { path: format!("app/{number}"), version: 0 }).collect::<Vec<_>>();
    let mut asked = items(40);
    asked.push(v1::GetManyItem { path: "app/none".into(), version: 0 });
    let many = c.secrets().get_many(v1::GetManyRequest { environment: HOME.into(), items: asked }).await.unwrap();
    assert_eq!(many.results.len(), 41);
    assert!(
        matches!(&many.results[40].result, Some(v1::get_many_result::Result::Refused(refused)) if refused.code == Code::NotFound as i32)
    );

    // A stream ends when the leader changes, and its caller opens another.
    let mut tries = 0;
    let (stream, answers) = loop {
        let stream = b.secrets().get_stream(64).await.unwrap();
        let reads = (0..400).map(|number| {
            let stream = &stream;
            async move { stream.read(get(&format!("app/{}", number % 40), 0)).await.map(|answer| (number % 40, answer)) }
        });
        let answers = futures::future::join_all(reads).await;
        let ended = answers.iter().any(|answer| answer.as_ref().is_err_and(|error| error.code == Code::Unavailable));
        tries += 1;
        if !ended || tries == 5 {
            break (stream, answers);
        }
    };
    for answer in answers {
        let (number, answer) = answer.unwrap();
        assert_eq!(answer.value, text(&number.to_string()), "each answer belongs to its question");
    }
    assert_eq!(stream.read(get("app/none", 0)).await.unwrap_err().code, Code::NotFound);
    assert_eq!(stream.read(get("not//a path", 0)).await.unwrap_err().code, Code::InvalidArgument);
}

async fn next_change(changes: &mut proto_client::Answers<v1::WatchEvent>) -> v1::WatchEvent {
    loop {
        let change = tokio::time::timeout(std::time::Duration::from_secs(20), futures::StreamExt::next(changes)).await;
        let change = change.expect("a change arrives").expect("a watch goes on").expect("a watch goes on");
        if !change.progress {
            return change;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_may_what_its_policies_say_until_it_is_revoked_everywhere() {
    let world = world().await;
    let [a, b, c] = [&world.clients[0], &world.clients[1], &world.clients[2]];
    a.secrets().put(put("db/password", text("one"))).await.unwrap();
    let rule = |environment: &str, path: &str, capabilities: &[&str], deny| v1::Rule {
        environment: environment.into(),
        path: path.into(),
        capabilities: capabilities.iter().map(|word| (*word).to_owned()).collect(),
        deny,
        conditions: None,
    };
    let rules = vec![rule(HOME, "db/*", &["read", "list"], false), rule("*", "db/root", &["read"], true)];
    let policy = v1::Policy { name: "readers".into(), rules, ..Default::default() };
    a.policies().put(v1::PutPolicyRequest { policy: Some(policy) }).await.unwrap();
    let created =
        v1::CreateTokenRequest { principal: "ana".into(), policies: vec!["readers".into()], ttl_ms: 0, ..Default::default() };
    let created = b.tokens().create(created).await.unwrap();
    let token = Token::parse(created.token.clone()).unwrap();
    let details = created.details.unwrap();

    let (as_ana, elsewhere) = (c.with_token(&token).unwrap(), a.with_token(&token).unwrap());
    assert_eq!(read(&as_ana, "db/password", 0).await.unwrap(), "one");
    assert_eq!(as_ana.secrets().put(put("db/password", text("two"))).await.unwrap_err().code, Code::PermissionDenied);
    assert_eq!(read(&as_ana, "web/none", 0).await, Err(Code::PermissionDenied), "no hint of what exists");
    assert_eq!(read(&as_ana, "db/root", 0).await, Err(Code::PermissionDenied));
    let abroad = v1::GetRequest { environment: "production".into(), ..get("db/password", 0) };
    assert_eq!(as_ana.secrets().get(abroad).await.unwrap_err().code, Code::PermissionDenied);
    assert_eq!(as_ana.tokens().lookup_self(v1::LookupSelfRequest {}).await.unwrap().principal, "ana");
    assert_eq!(as_ana.tokens().list(v1::ListTokensRequest {}).await.unwrap_err().code, Code::PermissionDenied);

    b.tokens().revoke(v1::RevokeTokenRequest { accessor: details.accessor }).await.unwrap();
    for client in [&as_ana, &elsewhere] {
        assert_eq!(read(client, "db/password", 0).await, Err(Code::Unauthenticated));
    }
    // Everything is on the journal, refusals too, with who and why.
    let query = v1::QueryRequest { actor: "ana".into(), outcome: "denied".into(), oldest_first: true, ..Default::default() };
    let records: Vec<_> = futures::StreamExt::collect::<Vec<_>>(c.audit().query(query).await.unwrap()).await;
    let subjects: Vec<_> =
        records.into_iter().map(|record| record.unwrap()).map(|record| (record.operation, record.subject)).collect();
    let expected = [
        ("secret.put", "db/password"),
        ("secret.read", "web/none"),
        ("secret.read", "db/root"),
        // That of db/password elsewhere is no mere denial: it is a violation.
        ("token.list", ""),
    ];
    assert_eq!(subjects, expected.map(|(operation, subject)| (operation.to_owned(), subject.to_owned())));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_asked_twice_through_different_nodes_is_done_once() {
    let world = world().await;
    let id = uuid::Uuid::new_v4();
    let entries: Vec<(String, String)> = (0..30).map(|number| (format!("field{number}"), number.to_string())).collect();
    let entries: Vec<(&str, &str)> = entries.iter().map(|(name, json)| (name.as_str(), json.as_str())).collect();
    let mut versions = Vec::new();
    for client in &world.clients {
        let once = client.with_request_id(id);
        versions.push(once.secrets().put(put("once", structured(&entries))).await.unwrap().version);
    }
    assert_eq!(versions, [1, 1, 1]);
    let other = world.clients[0].with_request_id(id);
    assert_eq!(other.secrets().put(put("once", text("another content"))).await.unwrap_err().code, Code::FailedPrecondition);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fourth_node_joins_becomes_a_voter_and_answers_and_an_old_one_leaves() {
    let mut world = world().await;
    let client = world.cluster.client(None).await;
    for number in 0..30 {
        client.secrets().put(put(&format!("app/{number}"), text("v"))).await.unwrap();
    }
    let plan = world.cluster.add_node();
    client.cluster().add_learner(learner(&plan)).await.unwrap();
    let promote = async || client.cluster().promote(v1::MemberRequest { node_id: plan.id, even_so: false }).await.is_ok();
    until("the new node answers and votes", promote).await;
    world.cluster.ready().await;
    let joined = world.cluster.client(Some(3)).await;
    assert_eq!(read(&joined, "app/7", 0).await.unwrap(), "v");
    let leader = world.cluster.ready().await;
    let gone = (leader + 1) % 3;
    client.cluster().remove(v1::MemberRequest { node_id: gone as u64 + 1, even_so: false }).await.unwrap();
    world.cluster.kill(gone);
    world.cluster.ready().await;
    let members = client.cluster().status(v1::StatusRequest {}).await.unwrap().members;
    assert_eq!(members.len(), 3);
    assert!(members.iter().all(|member| member.voter && member.node_id != gone as u64 + 1));
    assert_eq!(read(&joined, "app/8", 0).await.unwrap(), "v");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_missed_more_than_the_log_keeps_catches_up_by_snapshot() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = ProcessCluster::prepare(directory.path(), 3);
    cluster.set("replication.entries_kept=5");
    cluster.start_all();
    let leader = cluster.ready().await;
    let away = (leader + 1) % 3;
    let client = cluster.client(None).await;
    client.secrets().put(put("app/before", text("before"))).await.unwrap();
    cluster.kill(away);
    for number in 0..60 {
        client.secrets().put(put(&format!("app/{number}"), text(&format!("value {number}")))).await.unwrap();
    }
    for node in (0..3).filter(|node| *node != away) {
        let taken = cluster.client(Some(node)).await.cluster().trigger_snapshot(v1::TriggerSnapshotRequest {}).await.unwrap();
        assert!(taken.index > 0);
    }
    cluster.start(away);
    cluster.ready().await;
    let back = cluster.client(Some(away)).await;
    assert_eq!(read(&back, "app/59", 0).await.unwrap(), "value 59");
    assert_same_state(&back, &cluster.client(Some(leader)).await).await;
    // And once more from its own disk: what it was sent is what it starts from.
    cluster.kill(away);
    cluster.start(away);
    cluster.ready().await;
    assert_eq!(read(&back, "app/before", 0).await.unwrap(), "before");
    assert_same_state(&back, &cluster.client(Some(leader)).await).await;
}

/// Waits until both nodes stand at the same record, and compares their states there. A node that starts adds records of its own, so
/// they are looked at until they meet.
async fn assert_same_state(one: &Client, other: &Client) {
    for _ in 0..100 {
        let of = |client: &Client| {
            let client = client.clone();
            async move { client.cluster().status(v1::StatusRequest {}).await.unwrap() }
        };
        // Each look is a record itself: the later one may see what the earlier one added, never less.
        let (first, second) = (of(one).await, of(other).await);
        if first.seq + 1 == second.seq {
            assert_eq!(first.state_digest, second.state_digest, "the same records made different states");
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the nodes never met at one record");
}

/// A client through the same node, for a token with one policy of these rules: environment, path, capabilities, deny.
async fn as_somebody(world: &World, node: usize, name: &str, rules: &[(&str, &str, &[&str], bool)]) -> Client {
    let rules = rules.iter().map(|(environment, path, capabilities, deny)| v1::Rule {
        environment: (*environment).into(),
        path: (*path).into(),
        capabilities: capabilities.iter().map(|word| (*word).to_owned()).collect(),
        deny: *deny,
        conditions: None,
    });
    let policy = v1::Policy { name: format!("of-{name}"), rules: rules.collect(), ..Default::default() };
    world.clients[0].policies().put(v1::PutPolicyRequest { policy: Some(policy) }).await.unwrap();
    let create =
        v1::CreateTokenRequest { principal: name.into(), policies: vec![format!("of-{name}")], ttl_ms: 0, ..Default::default() };
    let token = world.clients[0].tokens().create(create).await.unwrap().token;
    world.clients[node].with_token(&Token::parse(token).unwrap()).unwrap()
}

fn list(prefix: &str, recursive: bool, limit: u32, cursor: &str) -> v1::ListRequest {
    let (prefix, cursor) = (prefix.into(), cursor.into());
    v1::ListRequest { environment: HOME.into(), prefix, recursive, limit, cursor, include_deleted: false }
}

async fn listed(client: &Client, prefix: &str, recursive: bool) -> Result<Vec<String>, Code> {
    let (mut paths, mut cursor) = (Vec::new(), String::new());
    loop {
        // Pages of one entry: what is not shown may not count as one either.
        let page = client.secrets().list(list(prefix, recursive, 1, &cursor)).await.map_err(|error| error.code)?;
        paths.extend(page.entries.into_iter().map(|entry| entry.path));
        cursor = page.next_cursor;
        if cursor.is_empty() {
            return Ok(paths);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_a_search_and_a_watch_show_just_what_the_caller_may_list() {
    let world = world().await;
    let root = &world.clients[0];
    let first = root.secrets().put(put("app/hidden", text("x"))).await.unwrap().index;
    for path in ["app/one/key", "app/one/note", "app/two/key", "db/password", "db/root", "web/a", "web/b"] {
        root.secrets().put(put(path, text("x"))).await.unwrap();
    }
    let rules: [(&str, &str, &[&str], bool); 4] = [
        (HOME, "db/password", &["list"], false),
        (HOME, "app/+/key", &["list"], false),
        (HOME, "web/*", &["list"], false),
        ("*", "web/b", &["list"], true),
    ];
    let ana = as_somebody(&world, 1, "ana", &rules).await;
    assert_eq!(listed(&ana, "", false).await.unwrap(), ["app/", "db/", "web/"], "folders with something to be seen in them");
    assert_eq!(listed(&ana, "", true).await.unwrap(), ["app/one/key", "app/two/key", "db/password", "web/a"]);
    assert_eq!(listed(&ana, "db/", false).await.unwrap(), ["db/password"]);
    assert_eq!(listed(&ana, "app/one/", false).await.unwrap(), ["app/one/key"]);
    assert_eq!(listed(&ana, "web/", true).await.unwrap(), ["web/a"]);
    for (there, nowhere) in [("db/root", "db/rooz"), ("app/hidden", "app/hiddez"), ("app/one/note", "app/one/notz")] {
        assert_eq!(listed(&ana, there, true).await, listed(&ana, nowhere, true).await, "{there} is told from {nowhere}");
    }
    assert_eq!(listed(&ana, "zoo/", true).await, Err(Code::PermissionDenied));
    let search = v1::SearchRequest { environment: HOME.into(), ..Default::default() };
    let found = ana.secrets().search(search).await.unwrap().entries;
    let found: Vec<_> = found.iter().map(|entry| entry.path.as_str()).collect();
    assert_eq!(found, ["app/one/key", "app/two/key", "db/password", "web/a"]);

    let watch = v1::WatchRequest { environment: HOME.into(), prefix: String::new(), after_index: first };
    let mut changes = ana.secrets().watch(watch).await.unwrap();
    let to = |from: &str, to: &str| v1::CopyRequest { environment: HOME.into(), from: from.into(), to: to.into(), expect: None };
    root.secrets().r#move(to("db/root", "db/elsewhere")).await.unwrap();
    root.secrets().r#move(to("db/password", "db/gone")).await.unwrap();
    root.secrets().r#move(to("db/gone", "web/back")).await.unwrap();
    for expected in ["app/one/key put", "app/two/key put", "db/password put", "web/a put", "db/password move", "web/back move"] {
        let change = next_change(&mut changes).await;
        assert_eq!(format!("{} {}", change.path, change.change), expected);
    }
}

fn patch(expect: Option<v1::expectation::Kind>, name: &str, json: &str) -> v1::PatchRequest {
    v1::PatchRequest {
        environment: HOME.into(),
        path: "app/config".into(),
        set: Some(fields(&[(name, json)])),
        remove: vec![],
        expect: expect.map(|kind| v1::Expectation { kind: Some(kind) }),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patch_is_merged_into_the_version_that_it_expects_and_into_no_other() {
    use v1::expectation::Kind::{Absent, Version};
    let world = world().await;
    let [a, b, c] = [&world.clients[0], &world.clients[1], &world.clients[2]];
    let mut version = a.secrets().put(put("app/config", structured(&[("kept", "0")]))).await.unwrap().version;
    // Each patch goes to another node than the write before it: one that has not seen it must not merge into what it has.
    for round in 1..=60 {
        let (writer, patcher) = (&world.clients[round % 3], &world.clients[(round + 1) % 3]);
        let json = round.to_string();
        version = writer.secrets().put(put("app/config", structured(&[("kept", &json)]))).await.unwrap().version;
        version = patcher.secrets().patch(patch(Some(Version(version)), "more", &json)).await.unwrap().version;
        let seen = read(c, "app/config", 0).await.unwrap();
        assert_eq!(seen, format!("{:?}", BTreeMap::from([("kept", &json), ("more", &json)])), "round {round}");
    }
    let stale = b.secrets().patch(patch(Some(Version(version - 1)), "more", "0")).await.unwrap_err();
    assert_eq!(stale.code, Code::FailedPrecondition);
    assert!(stale.message.contains(&format!("is at v{version}, not v{}", version - 1)), "{}", stale.message);
    let absent = b.secrets().patch(patch(Some(Absent(true)), "more", "0")).await.unwrap_err();
    assert_eq!(absent.code, Code::InvalidArgument);
    for (node, hidden) in [(0, "deleted"), (1, "destroyed")] {
        match hidden {
            "deleted" => c.secrets().delete(versions("app/config", &[])).await.unwrap(),
            _ => c.secrets().destroy(versions("app/config", &[])).await.unwrap(),
        };
        for expect in [None, Some(Version(version))] {
            let refused = world.clients[node].secrets().patch(patch(expect, "more", "0")).await.unwrap_err();
            assert_eq!(refused.code, Code::FailedPrecondition);
            assert!(refused.message.contains(&format!("app/config v{version} is {hidden}")), "{}", refused.message);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn patches_without_an_expectation_through_all_nodes_at_once_all_count() {
    let world = world().await;
    world.clients[0].secrets().put(put("app/config", structured(&[]))).await.unwrap();
    for round in 0..10 {
        let patches = world.clients.iter().enumerate().map(|(node, client)| async move {
            client.secrets().patch(patch(None, &format!("{round}-{node}"), "1")).await.unwrap()
        });
        futures::future::join_all(patches).await;
    }
    let value = world.clients[1].secrets().get(get("app/config", 0)).await.unwrap().value.unwrap();
    let Some(v1::value::Kind::Fields(fields)) = value.kind else { panic!("it has fields") };
    assert_eq!(fields.json.len(), 30, "{:?}", fields.json);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_journal_names_what_a_copy_read_and_what_was_asked_again() {
    let world = world().await;
    let [a, b, c] = [&world.clients[0], &world.clients[1], &world.clients[2]];
    a.secrets().put(put("db/source", text("x"))).await.unwrap();
    let copy = v1::CopyRequest { environment: HOME.into(), from: "db/source".into(), to: "db/target".into(), expect: None };
    let once = uuid::Uuid::new_v4();
    let first = b.with_request_id(once).secrets().copy(copy.clone()).await.unwrap();
    assert_eq!(c.with_request_id(once).secrets().copy(copy).await.unwrap().version, first.version);
    let query = v1::QueryRequest { subject: "db/*".into(), environment: HOME.into(), oldest_first: true, ..Default::default() };
    let records: Vec<_> = futures::StreamExt::collect::<Vec<_>>(a.audit().query(query).await.unwrap()).await;
    let records: Vec<_> =
        records.into_iter().map(|record| record.unwrap()).map(|record| (record.operation, record.subject)).collect();
    let expected =
        [("secret.put", "db/source"), ("secret.read", "db/source"), ("secret.copy", "db/target"), ("secret.copy", "db/source")];
    assert_eq!(records, expected.map(|(operation, subject)| (operation.to_owned(), subject.to_owned())));

    let create = |principal: &str, policy: &str| v1::CreateTokenRequest {
        principal: principal.into(),
        policies: vec![policy.into()],
        ttl_ms: 0,
        ..Default::default()
    };
    assert_eq!(a.tokens().create(create("holdfast", "root")).await.unwrap_err().code, Code::InvalidArgument);
    let ana = as_somebody(&world, 2, "ana", &[("*", "*", &["tokens"], false)]).await;
    assert_eq!(ana.tokens().create(create("root", "of-ana")).await.unwrap_err().code, Code::PermissionDenied);
    assert_eq!(ana.tokens().create(create("bob", "of-ana")).await.unwrap().details.unwrap().principal, "bob");
    a.tokens().create(create("root", "root")).await.unwrap();
}

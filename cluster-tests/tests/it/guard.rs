//! Walls, alerts, promotions and rules for values, with real processes.

use cluster_tests::processes::ProcessCluster;
use cluster_tests::receivers::{Post, Receiver};
use futures::StreamExt;
use hmac::{Hmac, KeyInit, Mac};
use proto::v1;
use proto_client::{Client, ClientError, Token};
use sha2::Sha256;
use tonic::Code;

struct World {
    cluster: ProcessCluster,
    root: Client,
    leader: usize,
    _directory: tempfile::TempDir,
}

async fn world() -> World {
    world_with(&[]).await
}

async fn world_with(settings: &[&str]) -> World {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = ProcessCluster::prepare(directory.path(), 3);
    settings.iter().for_each(|setting| cluster.set(setting));
    cluster.start_all();
    let leader = cluster.ready().await;
    let root = cluster.client(None).await;
    World { cluster, root, leader, _directory: directory }
}

impl World {
    /// A client of whoever may do this: rules are `environment:path:capability,capability`.
    async fn who(&self, name: &str, rules: &[&str]) -> Client {
        let rule = |text: &&str| {
            let parts: Vec<_> = text.split(':').collect();
            v1::Rule {
                environment: parts[0].into(),
                path: parts[1].into(),
                capabilities: parts[2].split(',').map(str::to_owned).collect(),
                ..Default::default()
            }
        };
        let policy = v1::Policy { name: name.into(), rules: rules.iter().map(rule).collect(), ..Default::default() };
        self.root.policies().put(v1::PutPolicyRequest { policy: Some(policy) }).await.unwrap();
        let request = v1::CreateTokenRequest { principal: name.into(), policies: vec![name.into()], ..Default::default() };
        let token = self.root.tokens().create(request).await.unwrap().token;
        self.root.with_token(&Token::parse(token).unwrap()).unwrap()
    }

    async fn put(&self, environment: &str, path: &str, value: &str) -> u64 {
        put(&self.root, environment, path, value).await.unwrap().version
    }

    /// Alerts go to this receiver, signed with `key`.
    async fn webhook(&self, receiver: &Receiver) {
        let url = format!("http://{}/hooks/planted-path", receiver.address);
        let to = v1::put_sink_request::To::Webhook(v1::WebhookSink { url, secret: "key".into() });
        let request = v1::PutSinkRequest { name: "hook".into(), least: "warning".into(), to: Some(to) };
        let sink = self.root.alerts().put_sink(request).await.unwrap();
        assert_eq!(sink.place, format!("http://{}", receiver.address), "the path of a webhook is not shown");
    }

    async fn test_alert(&self, text: &str) {
        let request = v1::TestAlertRequest { severity: "warning".into(), text: text.into() };
        self.root.alerts().test(request).await.unwrap();
    }

    /// Waits until this sink is owed nothing more.
    async fn settled(&self, name: &str) -> v1::AlertSink {
        for _ in 0..600 {
            let sinks = self.root.alerts().list_sinks(v1::ListSinksRequest {}).await.unwrap().sinks;
            let sink = sinks.into_iter().find(|sink| sink.name == name).unwrap();
            if sink.waiting == 0 {
                return sink;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("alerts are still owed to {name}")
    }
}

async fn put(client: &Client, environment: &str, path: &str, value: &str) -> Result<v1::PutResponse, ClientError> {
    let value = v1::Value { kind: Some(v1::value::Kind::Bytes(value.as_bytes().to_vec().into())) };
    let request = v1::PutRequest { environment: environment.into(), path: path.into(), value: Some(value), ..Default::default() };
    client.secrets().put(request).await
}

async fn get(client: &Client, environment: &str, path: &str) -> Result<String, ClientError> {
    let request = v1::GetRequest { environment: environment.into(), path: path.into(), version: 0 };
    let answer = client.secrets().get(request).await?;
    match answer.value.and_then(|value| value.kind) {
        Some(v1::value::Kind::Bytes(bytes)) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        other => panic!("no plain value: {}", other.is_some()),
    }
}

fn is_signed(post: &Post, key: &str) -> bool {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(format!("{}.{}", post.header("x-holdfast-timestamp"), post.body).as_bytes());
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    post.header("x-holdfast-signature") == format!("v1={hex}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_violation_is_refused_with_a_pointer_journalled_and_arrives_as_a_signed_alert() {
    let world = world().await;
    let receiver = Receiver::http().await;
    world.webhook(&receiver).await;
    world.put("development", "db/password", "the development one").await;
    world.put("production", "db/password", "the production one").await;
    let dev = world.who("dev", &["development:*:read,update,create,list"]).await;
    let refused = get(&dev, "production", "db/password").await.unwrap_err();
    assert_eq!(refused.code, Code::PermissionDenied);
    assert!(refused.message.ends_with("the one for development is development:db/password"), "{refused}");
    // The door opens an old version for a patch: it finds the wall, too.
    let patch = v1::PatchRequest {
        environment: "production".into(),
        path: "db/password".into(),
        set: Some(v1::Fields::default()),
        ..Default::default()
    };
    let refused = dev.secrets().patch(patch).await.unwrap_err();
    assert!(refused.message.contains("violation"), "{refused}");
    let post = receiver.next_with("\"violation\"").await;
    assert!(is_signed(&post, "key") && !is_signed(&post, "another"), "{post:?}");
    assert!(post.body.contains("dev in production") && post.body.contains("\"critical\""), "{post:?}");
    assert!(world.settled("hook").await.delivered >= 1);
    let query = v1::QueryRequest { outcome: "violation".into(), ..Default::default() };
    let mut found = world.root.audit().query(query).await.unwrap();
    let record = found.next().await.expect("a violation is journalled").unwrap();
    assert_eq!((record.actor.as_str(), record.environment.as_str()), ("dev", "production"));
    let alerts = world.root.alerts().list(v1::ListAlertsRequest::default()).await.unwrap().alerts;
    let alert = alerts.iter().find(|alert| alert.kind == "violation").unwrap();
    assert_eq!(alert.count, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_killed_between_delivery_and_its_mark_leaves_an_alert_that_is_delivered_again() {
    let mut world = world().await;
    let receiver = Receiver::http().await;
    world.webhook(&receiver).await;
    receiver.answer(None);
    world.test_alert("planted-once").await;
    // It has arrived, and no answer goes back: the leader cannot have marked it.
    let first = receiver.next_with("planted-once").await;
    world.cluster.kill(world.leader);
    receiver.answer(Some(200));
    let second = receiver.next_with("planted-once").await;
    assert_eq!(first.header("x-holdfast-delivery"), second.header("x-holdfast-delivery"));
    world.cluster.start(world.leader);
    world.cluster.ready().await;
    assert_eq!(world.settled("hook").await.last_error, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_fails_is_tried_again_and_a_redirect_is_not_followed() {
    let world = world().await;
    let receiver = Receiver::http().await;
    world.webhook(&receiver).await;
    receiver.answer(Some(307));
    world.test_alert("planted-redirect").await;
    receiver.next_with("planted-redirect").await;
    // The second arrival is the second try: a redirect that was followed would have come at once, without a failure.
    receiver.next_with("planted-redirect").await;
    let sinks = world.root.alerts().list_sinks(v1::ListSinksRequest {}).await.unwrap().sinks;
    assert!(sinks[0].failures >= 1 && sinks[0].last_error.contains("307"), "{:?}", sinks[0]);
    assert!(sinks[0].waiting == 1 && sinks[0].oldest_at_ms > 0, "the lag is visible: {:?}", sinks[0]);
    assert!(!sinks[0].last_error.contains("planted-path"), "an error shows no address");
    receiver.answer(Some(204));
    assert_eq!(world.settled("hook").await.failures, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_arrives_as_a_mail() {
    let world = world().await;
    let receiver = Receiver::smtp().await;
    let smtp = v1::SmtpSink {
        host: "127.0.0.1".into(),
        port: receiver.address.port().into(),
        from: "holdfast@example.com".into(),
        to: vec!["ops@example.com".into(), "Ana <ana@example.com>".into()],
        tls: "none".into(),
        ..Default::default()
    };
    let to = Some(v1::put_sink_request::To::Smtp(smtp));
    let request = v1::PutSinkRequest { name: "mail".into(), least: "note".into(), to };
    world.root.alerts().put_sink(request).await.unwrap();
    world.test_alert("planted-mail").await;
    let mail = receiver.next_with("planted-mail").await;
    assert!(mail.body.contains("Subject: Holdfast [warning] test"), "{}", mail.body);
    let recipients = mail.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("rcpt to"));
    assert_eq!(recipients.count(), 2, "{:?}", mail.headers);
    world.settled("mail").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promotion_is_planned_without_values_approved_by_another_and_applied_at_once() {
    let world = world().await;
    world.put("staging", "app/db", "planted-staging").await;
    world.put("staging", "app/key", "planted-key").await;
    world.put("production", "app/db", "planted-production").await;
    let ana = world.who("ana", &["staging:app/*:promote", "production:app/*:promote"]).await;
    let bob = world.who("bob", &["production:app/*:approve"]).await;
    let request = v1::PlanPromotionRequest {
        from: "staging".into(),
        to: "production".into(),
        items: Vec::new(),
        prefixes: vec!["app/".into()],
    };
    let plan = ana.promotions().plan(request).await.unwrap();
    let seen: Vec<_> = plan.items.iter().map(|item| (item.to.as_str(), item.kind.as_str(), item.from_bytes)).collect();
    assert_eq!(seen, [("app/db", "changed", 15), ("app/key", "new", 11)]);
    assert!(!format!("{plan:?}").contains("planted"), "a plan shows no value");
    let by_id = |id| v1::PromotionRequest { id, ..Default::default() };
    let refused = ana.promotions().apply(by_id(plan.id)).await.unwrap_err();
    assert!(refused.message.contains("0 of 1 approvals"), "{refused}");
    assert_eq!(ana.promotions().approve(by_id(plan.id)).await.unwrap_err().code, Code::PermissionDenied);
    assert_eq!(bob.promotions().approve(by_id(plan.id)).await.unwrap().state, "approved");
    let applied = ana.promotions().apply(by_id(plan.id)).await.unwrap();
    assert_eq!(applied.state, "applied");
    assert_eq!(applied.items.iter().map(|item| item.new_version).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(get(&world.root, "production", "app/db").await.unwrap(), "planted-staging");
    assert_eq!(get(&world.root, "production", "app/key").await.unwrap(), "planted-key");
    assert!(get(&ana, "production", "app/db").await.is_err(), "whoever promotes does not read");
    // A plan that has gone stale is refused with both versions, and what did not change is the same.
    let items = vec![v1::PromotionItem { from: "app/db".into(), to: "app/db".into() }];
    let request = v1::PlanPromotionRequest { from: "staging".into(), to: "production".into(), items, prefixes: Vec::new() };
    let plan = ana.promotions().plan(request).await.unwrap();
    assert_eq!(plan.items[0].kind, "same");
    bob.promotions().approve(by_id(plan.id)).await.unwrap();
    world.put("staging", "app/db", "planted-later").await;
    let stale = ana.promotions().apply(by_id(plan.id)).await.unwrap_err();
    assert_eq!(stale.message, "staging:app/db is at v2, not v1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_for_values_is_enforced_by_every_node_and_says_nothing_of_the_value() {
    let world = world().await;
    let rule = v1::ValueRule {
        name: "strong".into(),
        environment: "production".into(),
        min_length: 12,
        classes: vec!["lower".into(), "digit".into()],
        regex: "[a-z0-9-]+".into(),
        reuse: "refuse".into(),
        ..Default::default()
    };
    let written = world.root.value_rules().put(v1::PutValueRuleRequest { rule: Some(rule.clone()) }).await.unwrap();
    assert_eq!(written.version, 1);
    for node in 0..3 {
        let client = world.cluster.client(Some(node)).await;
        let refused = put(&client, "production", "db/password", "planted").await.unwrap_err();
        assert_eq!(refused.code, Code::InvalidArgument);
        assert!(refused.message.contains("rule strong") && !refused.message.contains("planted"), "{refused}");
        put(&client, "production", &format!("db/password-{node}"), "planted-value-123").await.unwrap();
    }
    put(&world.root, "staging", "db/password", "reused-value-456").await.unwrap();
    let reused = put(&world.root, "production", "db/password", "reused-value-456").await.unwrap_err();
    assert!(reused.message.ends_with("the value is used in another environment too"), "{reused}");
    // Found without reading it, where it stood before the rule.
    put(&world.root, "staging", "db/old", "planted-value-123").await.unwrap();
    let check = v1::CheckValueRulesRequest { environment: "production".into() };
    let findings = world.root.value_rules().check(check).await.unwrap().findings;
    assert_eq!(findings.len(), 3, "{findings:?}");
    assert!(findings.iter().all(|finding| finding.why == "the same value is used in staging"), "{findings:?}");
    let broken = v1::ValueRule { name: "broken".into(), regex: "(".into(), ..Default::default() };
    let refused = world.root.value_rules().put(v1::PutValueRuleRequest { rule: Some(broken) }).await.unwrap_err();
    assert_eq!(refused.code, Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_too_much_is_told_when_to_ask_again_recorded_once_and_nobody_else_waits() {
    let world = world_with(&["limits.requests_per_second=20", "limits.burst=40"]).await;
    world.put("production", "a", "value").await;
    let ana = world.who("ana", &["production:*:read"]).await.each_node().remove(0).1;
    let bob = world.who("bob", &["production:*:read"]).await.each_node().remove(0).1;
    // All at once: one after the other, a slow machine would never ask too much.
    let asked = futures::future::join_all((0..200).map(|_| get(&ana, "production", "a"))).await;
    let refused: Vec<_> = asked.into_iter().filter_map(Result::err).collect();
    assert!(refused.len() > 20, "{} of 200 were refused", refused.len());
    assert!(refused.iter().all(|error| error.code == Code::ResourceExhausted), "{:?}", refused[0]);
    assert!(refused[0].message.starts_with("ana asks too much: try again in "), "{}", refused[0]);
    let raw = v1::GetRequest { environment: "production".into(), path: "a".into(), version: 0 };
    let asked = futures::future::join_all((0..100).map(|_| async { ana.secrets().raw().get(raw.clone()).await })).await;
    let status = asked.into_iter().find_map(Result::err);
    let wait = status.as_ref().and_then(|status| status.metadata().get("retry-after-ms")).expect("it says when");
    assert!(wait.to_str().unwrap().parse::<u64>().unwrap() >= 1);
    assert_eq!(get(&bob, "production", "a").await.unwrap(), "value");
    // Root has a bucket of its own: what it looks up here is within it.
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let query = v1::QueryRequest { actor: "ana".into(), outcome: "refused".into(), ..Default::default() };
    let records: Vec<_> = world.root.audit().query(query).await.unwrap().collect().await;
    assert_eq!(records.len(), 1, "the first refusal in a minute is recorded, not each");
    let alerts = world.root.alerts().list(v1::ListAlertsRequest::default()).await.unwrap().alerts;
    assert!(alerts.iter().any(|alert| alert.kind == "throttled" && alert.subject == "ana"), "{alerts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_beyond_the_limit_are_sent_away_and_a_closed_one_makes_room() {
    let world = world_with(&["limits.connections_max=4"]).await;
    let address = world.root.each_node()[0].0.trim_start_matches("https://").to_owned();
    let mut open = futures::stream::FuturesUnordered::new();
    for _ in 0..8 {
        let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
        // Nothing is said before the handshake on a connection that was taken: only those sent away come back.
        open.push(async move { tokio::io::AsyncReadExt::read(&mut stream, &mut [0]).await });
    }
    for sent_away in 0..4 {
        let closed = tokio::time::timeout(std::time::Duration::from_secs(30), open.next()).await;
        assert!(closed.is_ok(), "only {sent_away} of 8 were sent away");
    }
    drop(open);
    let alone = world.cluster.client(Some(0)).await;
    let status = alone.cluster().status(v1::StatusRequest {}).await;
    assert!(status.is_ok(), "{status:?}");
}

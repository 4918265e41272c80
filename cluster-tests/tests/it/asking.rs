//! Asking too much, too long or the wrong thing: whoever may do nothing takes nothing from those who may.

use cluster_tests::processes::{PATIENT, ProcessCluster, binary};
use futures::StreamExt;
use proto::v1;
use proto_client::{Client, Token};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tonic::Code;

struct World {
    cluster: ProcessCluster,
    root: Client,
    _directory: tempfile::TempDir,
}

async fn world_with(settings: &[&str]) -> World {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = ProcessCluster::prepare(directory.path(), 3);
    settings.iter().for_each(|setting| cluster.set(setting));
    cluster.start_all();
    cluster.ready().await;
    let root = cluster.client(None).await;
    World { cluster, root, _directory: directory }
}

impl World {
    /// A client of whoever may read under `app/` in development, and nothing else.
    async fn reader(&self) -> Client {
        let capabilities = vec!["read".to_owned(), "list".to_owned(), "promote".to_owned()];
        let rule = v1::Rule { environment: "development".into(), path: "app/*".into(), capabilities, ..Default::default() };
        let policy = v1::Policy { name: "reader".into(), rules: vec![rule], ..Default::default() };
        self.root.policies().put(v1::PutPolicyRequest { policy: Some(policy) }).await.unwrap();
        let wish = v1::CreateTokenRequest { principal: "eve".into(), policies: vec!["reader".into()], ..Default::default() };
        let token = self.root.tokens().create(wish).await.unwrap().token;
        self.root.with_token(&Token::parse(token).unwrap()).unwrap()
    }

    async fn records(&self, query: v1::QueryRequest) -> Vec<v1::AuditRecord> {
        let found = self.root.audit().query(query).await.unwrap();
        found.map(|record| record.unwrap()).collect().await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_stands_short_in_the_journal_and_disturbs_nobody() {
    // Only what is asked makes the leader change, not a machine that is busy.
    let world = world_with(&PATIENT).await;
    let eve = world.reader().await;
    let before = world.root.cluster().status(v1::StatusRequest {}).await.unwrap();
    let regex = format!("planted({}", "[ab]".repeat(4000));
    let rule = v1::ValueRule { name: "r".into(), regex, ..Default::default() };
    let jwks = format!("{{\"keys\": \"planted{}\"}}", "x".repeat(3 << 20));
    let keys = Some(v1::issuer::Keys::Jwks(jwks));
    let issuer = v1::Issuer { name: "i".into(), url: "u".into(), audience: "a".into(), keys, ..Default::default() };
    let rules = (0..100).map(|_| async {
        let refused = eve.value_rules().put(v1::PutValueRuleRequest { rule: Some(rule.clone()) }).await.unwrap_err();
        assert_eq!(refused.code, Code::InvalidArgument, "{refused}");
    });
    let issuers = (0..8).map(|_| async {
        let refused = eve.issuers().put(issuer.clone()).await.unwrap_err();
        assert_eq!(refused.code, Code::InvalidArgument, "{refused}");
    });
    tokio::join!(futures::future::join_all(rules), futures::future::join_all(issuers));
    let after = world.root.cluster().status(v1::StatusRequest {}).await.unwrap();
    assert_eq!((before.term, before.leader_id), (after.term, after.leader_id), "the leader has changed");
    for operation in ["rule.put", "issuer.put"] {
        let query = v1::QueryRequest { operation: operation.into(), limit: 1000, ..Default::default() };
        let records = world.records(query).await;
        assert!(records.len() >= 8, "{operation}: {}", records.len());
        for record in records {
            assert!(record.reason.len() < 300 && !record.reason.contains("planted"), "{}", record.reason);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_repeats_itself_without_end_is_refused_before_any_work() {
    let world = world_with(&[]).await;
    let eve = world.reader().await;
    let (from, to, items) = ("development".into(), "staging".into(), Vec::new());
    let plan = v1::PlanPromotionRequest { from, to, items, prefixes: vec![String::new(); 3000] };
    let search = v1::SearchRequest { environment: "development".into(), tags: vec!["x".into(); 100_000], ..Default::default() };
    let begun = Instant::now();
    let refused = eve.promotions().plan(plan).await.unwrap_err();
    assert!(refused.message.contains("at most 64 prefixes"), "{refused}");
    let refused = eve.secrets().search(search).await.unwrap_err();
    assert!(refused.message.contains("at most 64 tags"), "{refused}");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_too_much_leaves_no_record_of_looking_and_many_reads_count_as_many() {
    let world = world_with(&["limits.requests_per_second=1", "limits.burst=40"]).await;
    let nobody =
        world.cluster.client(Some(0)).await.with_token(&Token::parse(format!("hf_{}", "0".repeat(64))).unwrap()).unwrap();
    let put = v1::PutRequest {
        environment: "development".into(),
        path: "app/a".into(),
        value: Some(v1::Value { kind: Some(v1::value::Kind::Bytes("x".into())) }),
        ..Default::default()
    };
    let asked = futures::future::join_all((0..200).map(|_| async { nobody.secrets().raw().put(put.clone()).await })).await;
    let throttled = asked.iter().filter(|answer| answer.as_ref().is_err_and(|error| error.code() == Code::ResourceExhausted));
    assert!(throttled.count() > 100, "most of them were too many");
    let query = v1::QueryRequest { operation: "door.catch-up".into(), limit: 1000, ..Default::default() };
    let looked = world.records(query).await.len();
    assert!(looked < 60, "{looked} records of looking");
    // One call of many reads takes as much as they do.
    let eve = world.reader().await;
    let eve = eve.each_node().remove(0).1;
    let item = v1::GetManyItem { path: "app/a".into(), version: 0 };
    let many = v1::GetManyRequest { environment: "development".into(), items: vec![item; 256] };
    eve.secrets().raw().get_many(many.clone()).await.unwrap();
    assert_eq!(eve.secrets().raw().get_many(many).await.unwrap_err().code(), Code::ResourceExhausted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_in_the_place_of_its_accessor_stands_in_no_record() {
    let world = world_with(&[]).await;
    let pasted = format!("hf_{}", "0123456789abcdef".repeat(4));
    for arguments in [["token", "revoke", &pasted], ["token", "lookup", &pasted]] {
        let mut program = Command::new(binary("holdfast"));
        program.args(arguments).env("HOLDFAST_CONFIG", world.cluster.kit().join("client.toml")).stdin(Stdio::null());
        let said = program.output().unwrap();
        let text = String::from_utf8_lossy(&said.stderr);
        assert_eq!(said.status.code(), Some(2), "{text}");
        assert!(text.contains("accessor") && !text.contains("0123456789"), "{text}");
    }
    // A program that does not look is answered in the same way.
    let accessor = || pasted.clone();
    let refused = world.root.tokens().revoke(v1::RevokeTokenRequest { accessor: accessor() }).await.unwrap_err();
    assert_eq!(refused.code, Code::InvalidArgument, "{refused}");
    world.root.tokens().lookup(v1::LookupTokenRequest { accessor: accessor() }).await.unwrap_err();
    let secret_id = v1::RevokeSecretIdRequest { name: "ci".into(), accessor: accessor() };
    world.root.machines().revoke_secret_id(secret_id).await.unwrap_err();
    let get = v1::GetRequest { environment: "development".into(), path: accessor(), version: 0 };
    world.root.secrets().get(get).await.unwrap_err();
    let records = world.records(v1::QueryRequest { limit: 1000, ..Default::default() }).await;
    assert!(records.iter().any(|record| record.operation == "machine.revoke-secret-id"), "they stand there");
    assert!(!format!("{records:?}").contains("0123456789"), "a token stands in the journal");
}

//! Policies, roles and conditions against real processes, through the contract and through the program.

use cluster_tests::processes::{ProcessCluster, binary};
use proto::v1;
use proto_client::{Client, ClientError, Token};
use std::process::{Command, Output, Stdio};
use tonic::Code;

const HOME: &str = "development";

struct World {
    cluster: ProcessCluster,
    clients: Vec<Client>,
    directory: tempfile::TempDir,
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
    World { cluster, clients, directory }
}

impl World {
    fn holdfast(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(binary("holdfast"));
        command.args(arguments).env("HOLDFAST_CONFIG", self.cluster.kit().join("client.toml")).stdin(Stdio::null());
        command.output().unwrap()
    }

    /// What the program prints when it succeeds.
    fn says(&self, arguments: &[&str]) -> String {
        let (code, said) = self.exits(arguments);
        assert_eq!(code, Some(0), "{arguments:?}: {said}");
        said
    }

    fn exits(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output = self.holdfast(arguments);
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&said).into_owned())
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    /// A new token, and its accessor.
    async fn token(&self, principal: &str, policies: &[&str], roles: &[&str]) -> (Token, String) {
        let texts = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let (policies, roles) = (texts(policies), texts(roles));
        let wanted = v1::CreateTokenRequest { principal: principal.into(), policies, roles, ..Default::default() };
        let made = self.clients[0].tokens().create(wanted).await.unwrap();
        (Token::parse(made.token).unwrap(), made.details.unwrap().accessor)
    }
}

fn rule(environment: &str, path: &str, capabilities: &[&str]) -> v1::Rule {
    v1::Rule {
        environment: environment.into(),
        path: path.into(),
        capabilities: capabilities.iter().map(|word| (*word).to_owned()).collect(),
        deny: false,
        conditions: None,
    }
}

fn within(network: &str, rule: v1::Rule) -> v1::Rule {
    v1::Rule { conditions: Some(v1::Conditions { addresses: vec![network.into()], ..Default::default() }), ..rule }
}

async fn put_policy(client: &Client, name: &str, rules: Vec<v1::Rule>) -> Result<v1::Policy, ClientError> {
    let policy = v1::Policy { name: name.into(), rules, ..Default::default() };
    client.policies().put(v1::PutPolicyRequest { policy: Some(policy) }).await
}

async fn put_role(client: &Client, name: &str, policies: &[&str]) -> Result<v1::Role, ClientError> {
    let policies = policies.iter().map(|name| (*name).to_owned()).collect();
    client.roles().put(v1::PutRoleRequest { name: name.into(), description: "for tests".into(), policies }).await
}

async fn put(client: &Client, path: &str) {
    let value = Some(v1::Value { kind: Some(v1::value::Kind::Bytes("value".into())) });
    let request = v1::PutRequest { environment: HOME.into(), path: path.into(), value, ..Default::default() };
    client.secrets().put(request).await.unwrap();
}

async fn read(client: &Client, path: &str) -> Result<(), Code> {
    let request = v1::GetRequest { environment: HOME.into(), path: path.into(), version: 0 };
    client.secrets().get(request).await.map(drop).map_err(|error| error.code)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_gives_what_its_policies_give_on_every_node_as_long_as_it_does() {
    let world = world().await;
    let [a, b, c] = [&world.clients[0], &world.clients[1], &world.clients[2]];
    put(a, "db/password").await;
    put_policy(a, "readers", vec![rule(HOME, "db/*", &["read"])]).await.unwrap();
    assert_eq!(put_role(b, "dba", &["readers", "none"]).await.unwrap_err().code, Code::NotFound);
    let role = put_role(b, "dba", &["readers", "readers"]).await.unwrap();
    assert_eq!((role.version, role.policies), (1, vec!["readers".to_owned()]));

    let (token, accessor) = world.token("ana", &[], &["dba"]).await;
    let ana = c.with_token(&token).unwrap();
    assert_eq!(read(&ana, "db/password").await, Ok(()));
    assert_eq!(ana.tokens().lookup_self(v1::LookupSelfRequest {}).await.unwrap().roles, ["dba"]);
    assert_eq!(ana.roles().get(v1::GetRoleRequest { name: "dba".into() }).await.unwrap().description, "for tests");
    assert_eq!(ana.roles().list(v1::ListRolesRequest {}).await.unwrap_err().code, Code::PermissionDenied);
    assert_eq!(put_role(&ana, "dba", &[]).await.unwrap_err().code, Code::PermissionDenied);

    // From the commit on it counts on every node, also on the one that has not been asked.
    assert_eq!(put_role(b, "dba", &[]).await.unwrap().version, 2);
    for client in [a, b, c] {
        assert_eq!(read(&client.with_token(&token).unwrap(), "db/password").await, Err(Code::PermissionDenied));
    }
    c.roles().delete(v1::DeleteRoleRequest { name: "dba".into() }).await.unwrap();
    assert_eq!(a.roles().list(v1::ListRolesRequest {}).await.unwrap().roles, []);

    // The record says which token asked, and which rules were in force.
    let query =
        v1::QueryRequest { actor: "ana".into(), operation: "secret.read".into(), oldest_first: true, ..Default::default() };
    let records: Vec<_> = futures::StreamExt::collect::<Vec<_>>(c.audit().query(query).await.unwrap()).await;
    let records: Vec<_> = records.into_iter().map(Result::unwrap).collect();
    assert!(records.len() >= 2 && records[0].accessor == accessor, "{records:?}");
    assert!(records[0].policies > 0 && records.last().unwrap().policies > records[0].policies, "{records:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_counts_under_its_conditions_alone() {
    let world = world().await;
    let [a, b, c] = [&world.clients[0], &world.clients[1], &world.clients[2]];
    put(a, "db/password").await;
    // Tests call from loopback.
    put_policy(a, "near", vec![within("127.0.0.0/8", rule(HOME, "*", &["read"]))]).await.unwrap();
    put_policy(a, "far", vec![within("10.0.0.0/8", rule(HOME, "*", &["read"]))]).await.unwrap();
    let mut never = within("127.0.0.1", rule("*", "db/*", &["read"]));
    never.deny = true;
    put_policy(a, "never", vec![never]).await.unwrap();
    for (policies, expected) in [
        (&["near"][..], Ok(())),
        (&["far"][..], Err(Code::PermissionDenied)),
        (&["near", "far"][..], Ok(())),
        (&["near", "never"][..], Err(Code::PermissionDenied)),
    ] {
        let (token, _) = world.token("ana", policies, &[]).await;
        for client in [b, c] {
            assert_eq!(read(&client.with_token(&token).unwrap(), "db/password").await, expected, "{policies:?}");
        }
    }
    let with = |conditions| v1::Rule { conditions: Some(conditions), ..rule(HOME, "*", &["read"]) };
    for (bad, why) in [
        (v1::Conditions { hours: "daily".into(), ..Default::default() }, "hours"),
        (v1::Conditions { addresses: vec!["10.0.0".into()], ..Default::default() }, "network"),
        (v1::Conditions { addresses: vec!["10.0.0.0/8".into(); 33], ..Default::default() }, "at most 32 are taken"),
    ] {
        let error = put_policy(a, "bad", vec![with(bad)]).await.unwrap_err();
        assert!(error.code == Code::InvalidArgument && error.message.contains(why), "{error:?}");
    }
    let kept = v1::Conditions {
        addresses: vec!["10.0.0.0/8".into()],
        hours: "mon-fri/08:00-18:00".into(),
        mfa: true,
        token_age_ms_max: 60_000,
    };
    let policy = put_policy(a, "kept", vec![with(kept.clone())]).await.unwrap();
    assert_eq!(policy.rules[0].conditions, Some(kept));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_widens_his_own_rights_alone() {
    let world = world().await;
    let a = &world.clients[0];
    put_policy(a, "admins", vec![rule("*", "*", &["policies", "tokens"])]).await.unwrap();
    put_policy(a, "secrets", vec![]).await.unwrap();
    put_role(a, "mine", &["secrets"]).await.unwrap();
    let (token, _) = world.token("ana", &["admins"], &["mine"]).await;
    let ana = world.clients[1].with_token(&token).unwrap();
    let everything = || vec![rule("*", "*", &["read", "update", "audit", "cluster"])];
    for held in ["admins", "secrets", "root"] {
        let code = put_policy(&ana, held, everything()).await.unwrap_err().code;
        assert!(matches!(code, Code::PermissionDenied | Code::InvalidArgument), "{held}: {code:?}");
    }
    assert_eq!(put_role(&ana, "mine", &["root"]).await.unwrap_err().code, Code::PermissionDenied);
    assert_eq!(put_role(&ana, "new", &["root"]).await.unwrap_err().code, Code::PermissionDenied);
    put_policy(&ana, "other", everything()).await.unwrap();
    put_role(&ana, "others", &["other"]).await.unwrap();
    let wanted = |policies: &[&str], roles: &[&str]| v1::CreateTokenRequest {
        principal: "bob".into(),
        policies: policies.iter().map(|name| (*name).to_owned()).collect(),
        roles: roles.iter().map(|name| (*name).to_owned()).collect(),
        ..Default::default()
    };
    for (policies, roles) in [(&["other"][..], &[][..]), (&[][..], &["others"][..]), (&["root"][..], &[][..])] {
        assert_eq!(ana.tokens().create(wanted(policies, roles)).await.unwrap_err().code, Code::PermissionDenied);
    }
    assert_eq!(ana.tokens().create(wanted(&["secrets"], &["mine"])).await.unwrap().details.unwrap().roles, ["mine"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_says_who_may_what_and_why() {
    let world = world().await;
    let when = "mfa,address=10.0.0.0/8,hours=mon-fri/08:00-18:00,token-age=1h";
    world.says(&["policy", "put", "on-call", "--allow", "production:db/*:read", "--when", when]);
    let shown = world.says(&["policy", "get", "on-call"]);
    assert!(shown.contains("mfa,address=10.0.0.0/8,hours=mon-fri/08:00-18:00,token-age=3600s"), "{shown}");
    let file = world.file("on-call.yaml", &world.says(&["policy", "get", "on-call", "-o", "yaml"]));
    world.says(&["policy", "put", "on-call-2", &file]);
    assert!(world.says(&["policy", "get", "on-call-2"]).contains("token-age=3600s"), "what get writes, put reads");
    world.says(&["policy", "put", "walls", "--deny", "production:db/root:read"]);
    world.says(&["role", "put", "pager", "--policy", "on-call,walls", "--description", "whoever carries it"]);
    assert!(world.says(&["role", "get", "pager"]).contains("on-call, walls"));
    assert!(world.says(&["role", "list"]).contains("whoever carries it"));
    assert!(world.says(&["token", "create", "ana", "--role", "pager"]).contains("pager"));

    // A Monday morning, and a Sunday.
    let ask = ["policy", "test", "read", "production", "db/password", "--principal", "ana", "--mfa", "--address", "10.1.2.3"];
    let on = |at: &'static str| [&ask[..], &["--at", at, "--token-age", "10m"]].concat();
    let said = world.says(&on("2026-11-23T09:00:00Z"));
    assert!(said.starts_with("allowed ana") && said.contains("by rule 1 of policy on-call v1 through role pager"), "{said}");
    let (code, said) = world.exits(&on("2026-11-22T09:00:00Z"));
    assert!(code == Some(4) && said.starts_with("denied ana") && said.contains("no rule allows it"), "{said}");
    let by_role = ["policy", "test", "read", "production", "db/root", "--role", "pager"];
    let (code, said) = world.exits(&by_role);
    assert!(code == Some(4) && said.contains("policy walls denies db/root"), "{said}");
    let said =
        world.says(&["policy", "explain", "read", "production", "db/password", "--principal", "ana", "--address", "192.168.0.1"]);
    assert!(said.contains("the address 192.168.0.1 is in none of its networks") && said.contains("on-call v1 #1"), "{said}");
    let said = world.says(&["policy", "explain", "read", "production", "db/root", "--role", "pager"]);
    assert!(said.contains("decides") && said.contains("the address of the caller is not known"), "{said}");
    assert!(world.says(&["policy", "test", "policies", "-", "anything"]).contains("policy root allows *"));
    assert_eq!(world.exits(&["policy", "test", "read", "production", "a", "--principal", "nobody"]).0, Some(3));
    assert_eq!(world.exits(&["policy", "test", "reed", "production", "a"]).0, Some(2));
    assert_eq!(world.exits(&["policy", "put", "p", "--allow", "*:*:read", "--when", "moon=full"]).0, Some(2));

    let records = world.says(&["audit", "query", "--operation", "policy.test", "-o", "json"]);
    let records: serde_json::Value = serde_json::from_str(&records).unwrap();
    let newest = &records["records"][0];
    assert!(newest["accessor"].as_str().unwrap().len() == 24 && newest["policies"].as_u64().unwrap() > 0, "{newest}");
    let subjects: Vec<_> =
        records["records"].as_array().unwrap().iter().map(|record| record["subject"].as_str().unwrap()).collect();
    assert!(subjects.contains(&"read db/password as ana"), "{subjects:?}");
    world.says(&["role", "delete", "pager"]);
    assert_eq!(world.exits(&["role", "get", "pager"]).0, Some(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_simulation_says_what_a_policy_would_change_and_changes_nothing() {
    let world = world().await;
    let a = &world.clients[0];
    put(a, "db/password").await;
    put(a, "web/key").await;
    put_policy(a, "readers", vec![rule(HOME, "db/*", &["read"])]).await.unwrap();
    let (ana, _) = world.token("ana", &["readers"], &[]).await;
    let (bob, bob_accessor) = world.token("bob", &["readers"], &[]).await;
    let ana = world.clients[1].with_token(&ana).unwrap();
    for _ in 0..3 {
        read(&ana, "db/password").await.unwrap();
    }
    assert_eq!(read(&ana, "web/key").await, Err(Code::PermissionDenied));
    read(&world.clients[2].with_token(&bob).unwrap(), "db/password").await.unwrap();
    a.tokens().revoke(v1::RevokeTokenRequest { accessor: bob_accessor }).await.unwrap();

    let proposed = v1::Policy { name: "readers".into(), rules: vec![rule(HOME, "web/*", &["read"])], ..Default::default() };
    let request = v1::SimulatePolicyRequest { policy: Some(proposed), last: 0 };
    assert_eq!(ana.policies().simulate(request.clone()).await.unwrap_err().code, Code::PermissionDenied);
    for client in &world.clients {
        let answer = client.policies().simulate(request.clone()).await.unwrap();
        let changes: Vec<_> = answer
            .changes
            .iter()
            .map(|change| {
                (change.allowed, change.actor.as_str(), change.operation.as_str(), change.subject.as_str(), change.count)
            })
            .collect();
        let expected = [(false, "ana", "secret.read", "db/password", 3), (true, "ana", "secret.read", "web/key", 1)];
        assert_eq!(changes, expected);
        assert_eq!((answer.denied, answer.allowed, answer.token_gone), (3, 1, 1), "{answer:?}");
        assert!(answer.same > 0 && answer.from_seq == 1, "{answer:?}");
    }
    read(&ana, "db/password").await.unwrap();

    let file = world.file("readers.yaml", "rules:\n- {environment: development, path: 'web/*', capabilities: [read]}\n");
    let said = world.says(&["policy", "simulate", "readers", &file]);
    assert!(said.contains("would be denied") && said.contains("not judged: their token lives no more"), "{said}");
    assert_eq!(world.exits(&["policy", "simulate", "readers", &file, "--last", "100001"]).0, Some(2));
}

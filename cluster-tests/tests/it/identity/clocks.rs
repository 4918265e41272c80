//! Clocks that are wrong: a token ends at its stamp, whatever a follower's clock says.

use super::{as_token, get, put};
use cluster_tests::processes::PATIENT;
use cluster_tests::waiting::until;
use node::boot::{Ambient, Node};
use node::clock::{Clock, SystemClock};
use node::config::Config;
use node::kit;
use node_domain::ids::Stamp;
use proto::v1;
use proto_client::{Client, ClientConfig, Token};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};
use tonic::Code;

const HOUR_US: i64 = 3_600_000_000;

/// The machine's clock, so much ahead or behind.
#[derive(Clone, Default)]
struct Shifted(Arc<AtomicI64>);

impl Clock for Shifted {
    fn now(&self) -> Stamp {
        Stamp(SystemClock.now().0.saturating_add_signed(self.0.load(Ordering::Relaxed)))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_ends_at_its_stamp_even_when_a_followers_clock_is_an_hour_off() {
    let directory = tempfile::tempdir().unwrap();
    let plans = cluster_tests::ports::plans(3);
    let kit = directory.path().join("kit");
    kit::create(&kit, &plans).unwrap();
    let (mut nodes, mut clocks) = (Vec::new(), Vec::new());
    for plan in &plans {
        let file = kit::node_directory(&kit, plan.id).join("holdfast.toml");
        let config = Config::load(&file, std::iter::empty(), &PATIENT.map(str::to_owned)).unwrap();
        let clock = Shifted::default();
        let ambient = Ambient { clock: Arc::new(clock.clone()), ..Ambient::real() };
        nodes.push(Node::boot(config, ambient).await.unwrap());
        clocks.push(clock);
    }
    until("a leader", async || nodes.iter().all(Node::is_ready)).await;
    let leader = nodes[0].replica().leader().unwrap().id;
    let mut offset = HOUR_US;
    for (plan, clock) in plans.iter().zip(&clocks).filter(|(plan, _)| plan.id != leader) {
        assert_ne!(plan.id, leader);
        clock.0.store(offset, Ordering::Relaxed);
        offset = -offset;
    }
    let mut clients = Vec::new();
    for plan in &plans {
        let root = std::fs::read_to_string(kit.join("root-token")).unwrap();
        let config = ClientConfig {
            ca_pem: Some(std::fs::read(kit.join("ca.pem")).unwrap()),
            token: Some(Token::parse(root).unwrap()),
            ..ClientConfig::new([format!("https://{}", plan.client)])
        };
        clients.push(Client::connect(config).await.unwrap());
    }
    clients[0].secrets().put(put("app/one")).await.unwrap();
    for client in &clients {
        let lasts = Duration::from_secs(4);
        let create = v1::CreateTokenRequest {
            principal: "ana".into(),
            policies: vec!["root".into()],
            ttl_ms: lasts.as_millis() as u64,
            ..Default::default()
        };
        let asked = Instant::now();
        let made = client.tokens().create(create).await.unwrap();
        let mut counted = 0;
        // Through every node: it counts while it lasts, and nowhere after.
        for other in &clients {
            counted += usize::from(as_token(other, &made.token).secrets().get(get("app/one")).await.is_ok());
        }
        assert!(asked.elapsed() < lasts, "three reads take longer than the token lasts: nothing is shown by them");
        assert_eq!(counted, 3, "it counts on every node while it lasts");
        tokio::time::sleep(lasts.saturating_sub(asked.elapsed()) + Duration::from_millis(500)).await;
        for other in &clients {
            let read = as_token(other, &made.token).secrets().get(get("app/one")).await;
            assert_eq!(read.unwrap_err().code, Code::Unauthenticated);
        }
    }
    assert_eq!(nodes[0].replica().leader().unwrap().id, leader, "the leader was the one whose clock is right all along");
    for node in nodes {
        node.shutdown().await;
    }
}

//! Free ports on loopback.

use node::kit::NodePlan;
use std::net::TcpListener;

/// `count` nodes on free loopback ports, each in a zone of its own.
///
/// The ports are found by binding them all at once and letting go; another process could take one before the node does, which then
/// says so at its start.
#[must_use]
pub fn plans(count: u64) -> Vec<NodePlan> {
    let bound: Vec<TcpListener> =
        (0..count * 2).map(|_| TcpListener::bind("127.0.0.1:0").expect("loopback has free ports")).collect();
    let mut addresses = bound.iter().map(|listener| listener.local_addr().expect("a bound listener has an address").to_string());
    let mut next = || addresses.next().expect("two addresses were bound for each node");
    (1..=count).map(|id| NodePlan { id, zone: format!("zone-{id}"), client: next(), peer: next() }).collect()
}

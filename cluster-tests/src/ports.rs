//! Free ports on loopback.

use node::kit::NodePlan;
use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the range that the system takes for outgoing connections, any of which could hold a port that was free a moment ago.
const FIRST: u16 = 12_000;
const COUNT: u16 = 20_000;
/// So far from each other begin two processes with successive numbers; no factor of it is one of [`COUNT`].
const APART: u64 = 1_013;

/// `count` nodes on free loopback ports, each in a zone of its own. No port is given out twice by one process.
#[must_use]
pub fn plans(count: u64) -> Vec<NodePlan> {
    (1..=count).map(|id| NodePlan { id, zone: format!("zone-{id}"), client: next_address(), peer: next_address() }).collect()
}

fn next_address() -> String {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Processes start at different places, so that two test runs rarely meet, also those that were started one right after the other.
    let start = u16::try_from(u64::from(std::process::id()) * APART % u64::from(COUNT)).unwrap_or(0);
    loop {
        let port = FIRST + (start + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT) % COUNT;
        let address = format!("127.0.0.1:{port}");
        if TcpListener::bind(&address).is_ok() {
            return address;
        }
    }
}

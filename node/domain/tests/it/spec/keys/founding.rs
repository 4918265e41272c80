//! The founding says what holds the root key, and brings the system's key.

use super::super::world::founding_of;
use super::super::*;
use super::wrapped;
use node_domain::Command;
use node_domain::command::Founding;
use node_domain::keys::{FoundingKeys, SealAbout};

#[test]
fn a_founding_brings_the_system_key_and_names_the_seal() {
    let seal = SealAbout { kind: "shamir".into(), shares: 5, threshold: 3, set: "0011".into(), generation: 1 };
    let keys = Some(FoundingKeys { system_key: wrapped("system"), seal: seal.clone() });
    let founding = Founding { keys, ..founding_of(["production"], [0; 32]) };
    let asked = newborn().when("nobody", Box::new(|_| Command::Found(Box::new(founding)))).recording([
        "cluster.found - - done",
        "seal.init - shamir v1 done",
        "key.rotate-system - - v1 done",
        "environment.create production - done",
        "token.create - root done",
    ]);
    assert_eq!(asked.world.state.keys().seal(), Some(&seal));
    assert_eq!(asked.world.state.keys().system().map(|(version, _)| version).collect::<Vec<_>>(), [1]);
}

//! One of every event about keys, for the golden bytes.

use super::super::{environment, path};
use bytes::Bytes;
use node_domain::Event;
use node_domain::ids::{Accessor, SecretId};
use node_domain::keys::{KeysEvent, Rewrap, SealAbout, WrappedRoots, digest_of};
use node_domain::sealed::{Payload, Sealed};

/// Every kind with an example: a new kind does not compile until it has one.
pub(crate) fn examples() -> Vec<(String, Event)> {
    let all = [
        added(),
        rewrapped(),
        retired(),
        sealed(),
        unsealed(),
        system(),
        root(),
        changed(),
        node_unsealed(),
        node_sealed(),
        init(),
        node_sealed_alone(),
        KeysEvent::RootMinted { subject: "070707070707070707070707".into() },
    ];
    all.into_iter().map(|event| (format!("Keys/{}", name(&event)), Event::Keys(event))).collect()
}

fn name(event: &KeysEvent) -> &'static str {
    match event {
        KeysEvent::EnvironmentKeyAdded { .. } => "EnvironmentKeyAdded",
        KeysEvent::Rewrapped { .. } => "Rewrapped",
        KeysEvent::EnvironmentKeyRetired { .. } => "EnvironmentKeyRetired",
        KeysEvent::EnvironmentSealed { .. } => "EnvironmentSealed",
        KeysEvent::EnvironmentUnsealed { .. } => "EnvironmentUnsealed",
        KeysEvent::SystemKeyAdded { .. } => "SystemKeyAdded",
        KeysEvent::RootRotated { .. } => "RootRotated",
        KeysEvent::SealChanged { .. } => "SealChanged",
        KeysEvent::NodeUnsealed { .. } => "NodeUnsealed",
        KeysEvent::NodeSealed { .. } => "NodeSealed",
        KeysEvent::SealInitialized { .. } => "SealInitialized",
        KeysEvent::NodeSealedAlone { .. } => "NodeSealedAlone",
        KeysEvent::RootMinted { .. } => "RootMinted",
    }
}

fn key() -> Bytes {
    vec![0xDD; 6].into()
}

fn seal() -> SealAbout {
    SealAbout { kind: "shamir".into(), shares: 5, threshold: 3, set: "00ff".into(), generation: 7 }
}

fn added() -> KeysEvent {
    let key_digest = *blake3::hash(&key()).as_bytes();
    KeysEvent::EnvironmentKeyAdded { environment: environment("production"), version: 300, wrapped_key: key(), key_digest }
}

fn rewrapped() -> KeysEvent {
    let payload = Payload { wrapped_key: key(), ciphertext: vec![0xBB; 8].into() };
    let sealed = Sealed::new(3, [0xCC; 16], 300, true, payload);
    let item = Rewrap { path: path("db/password"), secret: SecretId(70_000), version: 12, sealed };
    KeysEvent::Rewrapped { environment: environment("production"), items: vec![item] }
}

fn retired() -> KeysEvent {
    KeysEvent::EnvironmentKeyRetired { environment: environment("production"), version: 2 }
}

fn sealed() -> KeysEvent {
    KeysEvent::EnvironmentSealed { environment: environment("production") }
}

fn unsealed() -> KeysEvent {
    KeysEvent::EnvironmentUnsealed { environment: environment("production") }
}

fn system() -> KeysEvent {
    KeysEvent::SystemKeyAdded { version: 2, wrapped_key: key(), key_digest: *blake3::hash(&key()).as_bytes() }
}

fn root() -> KeysEvent {
    let environments = vec![(environment("production"), vec![(1, key()), (2, key())])];
    let wrapped = WrappedRoots { environments, system: vec![(1, key())] };
    KeysEvent::RootRotated { version: 2, keys_digest: digest_of(&wrapped), wrapped }
}

fn changed() -> KeysEvent {
    KeysEvent::SealChanged { seal: seal() }
}

fn node_unsealed() -> KeysEvent {
    KeysEvent::NodeUnsealed { subject: "node-2".into(), kind: "shamir".into() }
}

fn node_sealed() -> KeysEvent {
    KeysEvent::NodeSealed { subject: "node-2".into() }
}

fn node_sealed_alone() -> KeysEvent {
    KeysEvent::NodeSealedAlone { subject: "node-3".into(), accessor: Accessor([7; 12]), at_ms: 1_790_000_000_000 }
}

fn init() -> KeysEvent {
    KeysEvent::SealInitialized { seal: seal() }
}

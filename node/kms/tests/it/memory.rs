//! The service in memory keeps what every service promises.

use std::sync::Arc;

use node_kms::memory::{MemoryKms, Mood};
use storage_crypto::OsEntropy;

use crate::conformance::{World, holds};

fn service(mood: Mood) -> MemoryKms {
    let service = MemoryKms::new("alias/test", Arc::new(OsEntropy));
    service.be(mood);
    service
}

#[tokio::test]
async fn the_twin_in_memory_conforms() {
    let kms = service(Mood::Willing);
    let world = World {
        kms: &kms,
        again: &kms,
        other_key: &service(Mood::Willing),
        disabled: &service(Mood::Disabled),
        unknown: &service(Mood::Forgotten),
        unreachable: &service(Mood::Unreachable),
    };
    holds(&world).await;
}

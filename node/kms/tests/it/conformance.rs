//! One suite for every implementation.

use node_kms::{Context, Kms, KmsError};
use storage_crypto::{Key, OsEntropy};

/// What an implementation brings to be judged.
pub(crate) struct World<'a> {
    /// A service with a key that works.
    pub(crate) kms: &'a dyn Kms,
    /// The same service through another client: what one encrypts, the other decrypts.
    pub(crate) again: &'a dyn Kms,
    /// The same service with another key.
    pub(crate) other_key: &'a dyn Kms,
    /// A key that is disabled.
    pub(crate) disabled: &'a dyn Kms,
    /// A key that does not exist.
    pub(crate) unknown: &'a dyn Kms,
    /// An address where nobody listens.
    pub(crate) unreachable: &'a dyn Kms,
}

const HERE: [u8; 16] = [1; 16];

/// Every promise of [`Kms`], one after the other.
pub(crate) async fn holds(world: &World<'_>) {
    a_seal_key_comes_back(world).await;
    nothing_else_decrypts(world).await;
    damage_is_found(world).await;
    refusals_say_what_to_check(world).await;
}

async fn a_seal_key_comes_back(world: &World<'_>) {
    let (key, context) = (Key::generate(&OsEntropy), Context::of_cluster(HERE));
    let encrypted = world.kms.encrypt(&key, &context).await.unwrap();
    assert!(!encrypted.windows(32).any(|window| window == key.expose()), "the ciphertext holds the key");
    assert_eq!(world.kms.decrypt(&encrypted, &context).await.unwrap(), key);
    assert_eq!(world.again.decrypt(&encrypted, &context).await.unwrap(), key);
    let twice = world.kms.encrypt(&key, &context).await.unwrap();
    assert_ne!(twice, encrypted, "equal keys must not show");
}

async fn nothing_else_decrypts(world: &World<'_>) {
    let (key, context) = (Key::generate(&OsEntropy), Context::of_cluster(HERE));
    let encrypted = world.kms.encrypt(&key, &context).await.unwrap();
    let elsewhere = world.kms.decrypt(&encrypted, &Context::of_cluster([2; 16])).await;
    assert!(matches!(elsewhere, Err(KmsError::Mismatch { .. })), "another cluster: {elsewhere:?}");
    let other = world.other_key.decrypt(&encrypted, &context).await;
    assert!(matches!(other, Err(KmsError::Mismatch { .. })), "another key: {other:?}");
}

async fn damage_is_found(world: &World<'_>) {
    let (key, context) = (Key::generate(&OsEntropy), Context::of_cluster(HERE));
    let encrypted = world.kms.encrypt(&key, &context).await.unwrap();
    let mut flipped = encrypted.clone();
    *flipped.last_mut().unwrap() ^= 1;
    for damaged in [&flipped[..], &encrypted[..encrypted.len() - 1]] {
        let refusal = world.kms.decrypt(damaged, &context).await.unwrap_err();
        assert!(matches!(refusal, KmsError::Mismatch { .. }), "{refusal}");
        assert!(!refusal.is_passing());
    }
}

async fn refusals_say_what_to_check(world: &World<'_>) {
    let (key, context) = (Key::generate(&OsEntropy), Context::of_cluster(HERE));
    let disabled = world.disabled.encrypt(&key, &context).await.unwrap_err();
    assert!(matches!(disabled, KmsError::UnusableKey { .. }), "{disabled}");
    assert!(disabled.to_string().contains("enable it") && !disabled.is_passing());
    let unknown = world.unknown.encrypt(&key, &context).await.unwrap_err();
    assert!(matches!(unknown, KmsError::UnknownKey { .. }), "{unknown}");
    assert!(unknown.to_string().contains("check the key's id") && !unknown.is_passing());
    let unreachable = world.unreachable.decrypt(&[1; 64], &context).await.unwrap_err();
    assert!(matches!(unreachable, KmsError::Unreachable { .. }), "{unreachable}");
    assert!(unreachable.to_string().contains("check the network") && unreachable.is_passing());
}

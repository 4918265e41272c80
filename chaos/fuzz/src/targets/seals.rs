//! Seal files, the shares that people type, and sealed blobs.

use crate::input::{Input, part, text};
use storage_crypto::seal_key::SealKey;
use storage_crypto::{Binding, Kdf, Key, PublicKey, Purpose, Ring, SealFile, SecretBytes, SeededEntropy, Share, Shares};

const CLUSTER: [u8; 16] = [1; 16];

fn ring() -> Ring {
    Ring::generate(&SeededEntropy::new(1))
}

pub(super) fn file(bytes: &[u8]) {
    let Ok(file) = SealFile::parse(bytes) else { return };
    let json = file.to_json();
    assert_eq!(SealFile::parse(&json).expect("what was written reads").to_json(), json, "a seal file changes when it is read");
    let key = SealKey::from_key_file(KEY_FILE).expect("the text is one of a key file");
    drop(file.open(&key));
    drop(file.kdf().map(Kdf::check_for_new_seal));
    if let Some(set) = file.shamir() {
        let mut shares = Shares::new(set);
        drop(shares.add(text(bytes)));
        drop(SealKey::from_shares(&shares));
    }
}

const KEY_FILE: &str = "0505050505050505050505050505050505050505050505050505050505050505";

pub(super) fn files() -> Vec<Vec<u8>> {
    let entropy = SeededEntropy::new(2);
    let plain = SealKey::from_key_file(KEY_FILE).expect("the text is one of a key file");
    let (shared, _) = SealKey::split(2, 3, &entropy).expect("2 of 3 can be");
    let costs = Kdf::with_cost(19 * 1024, 2, 1, &entropy);
    let typed = SealKey::from_passphrase(&SecretBytes::from(b"correct horse".to_vec()), &costs).expect("the costs are in bounds");
    let sealed = |key: &SealKey| SealFile::create(key, &CLUSTER, &ring(), 1, &entropy).expect("a ring can be sealed").to_json();
    vec![sealed(&plain), sealed(&shared), sealed(&typed)]
}

/// A list of shares as people type them, for a set that is known or not; key files; keys of signers.
pub(super) fn shares(bytes: &[u8]) {
    let lines: Vec<&str> = text(bytes).lines().take(8).collect();
    for line in &lines {
        drop(SealKey::from_key_file(line));
        if let Some(key) = PublicKey::parse(line) {
            assert_eq!(PublicKey::parse(&key.to_string()), Some(key), "a key is another one when it is written and read");
        }
        if let Ok(share) = Share::parse(line) {
            let again = Share::parse(&share.text()).expect("what was written reads");
            assert_eq!((again.index(), again.shape()), (share.index(), share.shape()), "a share changes when it is read");
        }
    }
    let (set, _) = storage_crypto::shamir::split(&Key::from_bytes([5; 32]), 2, 3, &SeededEntropy::new(2)).expect("2 of 3 can be");
    let mut gathered = Shares::new(&set);
    for line in lines {
        drop(gathered.add(line));
    }
    drop(SealKey::from_shares(&gathered));
}

pub(super) fn share_texts() -> Vec<Vec<u8>> {
    let (_, shares) =
        storage_crypto::shamir::split(&Key::from_bytes([5; 32]), 2, 3, &SeededEntropy::new(2)).expect("2 of 3 can be");
    let texts: Vec<String> = shares.iter().map(|share| share.text().to_string()).collect();
    let signer = storage_crypto::Signer::derive(&Key::from_bytes([7; 32]), "holdfast/v1/fuzz signing", b"").public().to_string();
    vec![texts[0].clone().into_bytes(), texts.join("\n").into_bytes(), KEY_FILE.as_bytes().to_vec(), signer.into_bytes()]
}

/// A blob as it is, and one that is sealed here and changed in one place.
pub(super) fn blobs(bytes: &[u8]) {
    let mut input = Input(bytes);
    let (key, binding) = (Key::from_bytes([5; 32]), Binding::new(Purpose::Row).bytes(input.part()));
    let _ = storage_crypto::key_version(input.0);
    drop(storage_crypto::open(&key, &binding, input.0));
    let (at, mask) = (input.number(), input.byte());
    let mut blob = storage_crypto::seal(&key, 1, &binding, input.0, &SeededEntropy::new(at));
    let at = at as usize % blob.len();
    blob[at] ^= mask;
    let opened = storage_crypto::open_bulk(&key, &binding, &blob);
    assert_eq!(opened.is_ok(), mask == 0, "a changed blob opens, or one that was not changed does not");
    drop(storage_crypto::hex::decode(text(input.0)));
}

pub(super) fn blob_seeds() -> Vec<Vec<u8>> {
    let binding = Binding::new(Purpose::Row).bytes(b"place");
    let blob = storage_crypto::seal(&Key::from_bytes([5; 32]), 1, &binding, b"value", &SeededEntropy::new(1));
    vec![[part(b"place"), blob].concat(), [part(b""), vec![9, 1], b"value".to_vec()].concat()]
}

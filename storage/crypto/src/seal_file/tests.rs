use super::*;
use crate::{
    entropy::SeededEntropy,
    key::Key,
    secret_bytes::SecretBytes,
    shamir::{ShareError, Shares},
};

const CLUSTER: [u8; 16] = [7; 16];
const KEY_TEXT: &str = "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF";

fn cheapest(entropy: &dyn Entropy) -> Kdf {
    Kdf::with_cost(19 * 1024, 2, 1, entropy)
}

fn passphrase(text: &str, kdf: &Kdf) -> SealKey {
    SealKey::from_passphrase(&SecretBytes::from(text.to_owned()), kdf).unwrap()
}

fn reference() -> KmsReference {
    let encrypted_seal_key = vec![9; 184];
    KmsReference { key_id: "alias/holdfast".to_owned(), region: Some("eu-west-1".to_owned()), endpoint: None, encrypted_seal_key }
}

fn key_file_key() -> SealKey {
    SealKey::from_key_file(KEY_TEXT).unwrap()
}

fn ring() -> Ring {
    Ring::generate(&SeededEntropy::new(1))
}

fn file_of(seal_key: &SealKey) -> SealFile {
    SealFile::create(seal_key, &CLUSTER, &ring(), 1, &SeededEntropy::new(2)).unwrap()
}

/// One seal key of each kind.
fn one_of_each() -> Vec<SealKey> {
    let entropy = SeededEntropy::new(3);
    vec![
        key_file_key(),
        passphrase("correct horse", &cheapest(&entropy)),
        SealKey::split(2, 3, &entropy).unwrap().0,
        SealKey::from_kms(Key::generate(&entropy), reference()).unwrap(),
    ]
}

#[test]
fn every_kind_of_seal_opens_the_ring_that_it_sealed_and_survives_the_json() {
    for seal_key in one_of_each() {
        let file = file_of(&seal_key);
        let read = SealFile::parse(&file.to_json()).unwrap();
        assert_eq!(read, file);
        assert_eq!((read.cluster(), read.kind(), read.generation()), (CLUSTER, seal_key.kind(), 1));
        assert_eq!(read.open(&seal_key).unwrap(), ring(), "{}", seal_key.kind());
        let parts = (read.kdf().is_some(), read.shamir().is_some(), read.kms().is_some());
        let expected = match read.kind() {
            SealKind::KeyFile => (false, false, false),
            SealKind::Passphrase => (true, false, false),
            SealKind::Shamir => (false, true, false),
            SealKind::AwsKms => (false, false, true),
        };
        assert_eq!(parts, expected);
        assert_eq!(SealKind::parse(read.kind().name()), Some(read.kind()));
    }
}

#[test]
fn a_key_of_another_kind_or_another_key_of_the_kind_is_named_as_such() {
    let keys = one_of_each();
    let entropy = SeededEntropy::new(4);
    let others = [
        SealKey::from_key_file(&"0".repeat(64)).unwrap(),
        passphrase("wrong", &cheapest(&SeededEntropy::new(3))),
        SealKey::split(2, 3, &entropy).unwrap().0,
        SealKey::from_kms(Key::generate(&entropy), reference()).unwrap(),
    ];
    for (made, seal_key) in keys.iter().enumerate() {
        for (given, other) in others.iter().enumerate() {
            let refusal = file_of(seal_key).open(other).unwrap_err();
            let is_as_expected = match refusal {
                SealFileError::WrongKey(kind) => made == given && kind == other.kind(),
                SealFileError::Kind { made: of_file, given: of_key } => {
                    made != given && (of_file, of_key) == (seal_key.kind(), other.kind())
                }
                _ => false,
            };
            assert!(is_as_expected, "{made} {given}: {refusal}");
        }
    }
    let refusal = file_of(&keys[0]).open(&keys[1]).unwrap_err().to_string();
    assert_eq!(refusal, "the seal file was made with a key-file seal, but a passphrase seal key was given");
}

#[test]
fn a_passphrase_given_again_opens_what_it_sealed() {
    let seal_key = passphrase("correct horse", &cheapest(&SeededEntropy::new(2)));
    let read = SealFile::parse(&file_of(&seal_key).to_json()).unwrap();
    let again = passphrase("correct horse", read.kdf().unwrap());
    assert_eq!(read.open(&again).unwrap(), ring());
}

#[test]
fn shares_given_again_open_what_they_sealed_and_shares_of_before_a_renewal_do_not() {
    let entropy = SeededEntropy::new(5);
    let (seal_key, parts) = SealKey::split(2, 3, &entropy).unwrap();
    let read = SealFile::parse(&file_of(&seal_key).to_json()).unwrap();
    let mut shares = Shares::new(read.shamir().unwrap());
    shares.add(&parts[2].text()).unwrap();
    assert!(matches!(SealKey::from_shares(&shares), Err(ShareError::TooFew { have: 1, need: 2 })));
    shares.add(&parts[0].text()).unwrap();
    assert_eq!(read.open(&SealKey::from_shares(&shares).unwrap()).unwrap(), ring());

    let (renewed, _) = SealKey::split(2, 3, &entropy).unwrap();
    let after = read.reseal(&renewed, &ring(), &entropy).unwrap();
    let refusal = Shares::new(after.shamir().unwrap()).add(&parts[0].text()).unwrap_err();
    assert!(matches!(refusal, ShareError::OtherSet { index: 1, .. }), "{refusal}");
    assert!(matches!(after.open(&seal_key), Err(SealFileError::WrongKey(SealKind::Shamir))));
}

#[test]
fn resealing_counts_generations_and_changes_the_seal_or_the_ring_or_both() {
    let entropy = SeededEntropy::new(6);
    let seal_key = key_file_key();
    let first = file_of(&seal_key);
    let mut rotated = ring();
    rotated.add_root(2, Key::generate(&entropy)).unwrap();
    let second = first.reseal(&seal_key, &rotated, &entropy).unwrap();
    assert_eq!((second.generation(), second.cluster()), (2, CLUSTER));
    assert_ne!(second.ring_check(), first.ring_check());
    assert_eq!(second.open(&seal_key).unwrap(), rotated);
    let other = SealKey::from_kms(Key::generate(&entropy), reference()).unwrap();
    let third = second.reseal(&other, &rotated, &entropy).unwrap();
    assert_eq!((third.generation(), third.kind(), third.ring_check()), (3, SealKind::AwsKms, second.ring_check()));
    assert_eq!(third.open(&other).unwrap(), rotated);
}

#[test]
fn a_weak_passphrase_seal_of_old_still_opens_and_rotates_but_is_not_made_anew() {
    let entropy = SeededEntropy::new(7);
    let weak = passphrase("correct horse", &Kdf::pbkdf2(100_000, &entropy));
    let refusal = SealFile::create(&weak, &CLUSTER, &ring(), 1, &entropy).unwrap_err().to_string();
    assert!(refusal.contains("iterations for a new seal is 100000"), "{refusal}");
    let old = SealFile::seal(&weak, CLUSTER, &ring(), 1, &entropy);
    let old = SealFile::parse(&old.to_json()).unwrap();
    assert_eq!(old.reseal(&weak, &old.open(&weak).unwrap(), &entropy).unwrap().open(&weak).unwrap(), ring());
    assert!(file_of(&key_file_key()).reseal(&weak, &ring(), &entropy).is_err());
}

/// Every leaf of the JSON, changed one at a time: nothing in the file is free to change.
#[test]
fn every_changed_field_is_refused() {
    for seal_key in one_of_each() {
        let json: serde_json::Value = serde_json::from_slice(&file_of(&seal_key).to_json()).unwrap();
        let leaves = leaves(&json, String::new());
        assert!(leaves.len() >= 6);
        for leaf in leaves {
            let mut changed = json.clone();
            let value = changed.pointer_mut(&leaf).unwrap();
            *value = match &*value {
                serde_json::Value::Number(number) => (number.as_u64().unwrap() + 1).into(),
                serde_json::Value::String(text) if text.ends_with('0') => format!("{}1", &text[..text.len() - 1]).into(),
                serde_json::Value::String(text) => format!("{}0", &text[..text.len() - 1]).into(),
                other => panic!("{leaf} is {other}"),
            };
            let opened = SealFile::parse(&serde_json::to_vec(&changed).unwrap()).and_then(|file| file.open(&seal_key));
            assert!(opened.is_err(), "{leaf} of {}", seal_key.kind());
        }
    }
}

fn leaves(json: &serde_json::Value, at: String) -> Vec<String> {
    match json.as_object() {
        None => vec![at],
        Some(fields) => fields.iter().flat_map(|(name, value)| leaves(value, format!("{at}/{name}"))).collect(),
    }
}

#[test]
fn a_removed_or_foreign_field_is_refused() {
    for seal_key in one_of_each() {
        let json: serde_json::Value = serde_json::from_slice(&file_of(&seal_key).to_json()).unwrap();
        let optional = ["region", "endpoint"];
        for name in json.as_object().unwrap().keys().filter(|name| !optional.contains(&name.as_str())) {
            let mut changed = json.clone();
            changed.as_object_mut().unwrap().remove(name);
            assert!(SealFile::parse(&serde_json::to_vec(&changed).unwrap()).is_err(), "{name}");
        }
        let mut more = json.clone();
        more.as_object_mut().unwrap().insert("note".to_owned(), "x".into());
        assert!(SealFile::parse(&serde_json::to_vec(&more).unwrap()).is_err());
    }
    let seal_key = SealKey::from_kms(Key::generate(&SeededEntropy::new(3)), reference()).unwrap();
    let mut json: serde_json::Value = serde_json::from_slice(&file_of(&seal_key).to_json()).unwrap();
    json.pointer_mut("/kms").unwrap().as_object_mut().unwrap().remove("region");
    let without_region = SealFile::parse(&serde_json::to_vec(&json).unwrap()).unwrap();
    assert!(matches!(without_region.open(&seal_key), Err(SealFileError::Damaged)), "the region is bound too");
}

#[test]
fn what_is_out_of_bounds_is_refused_before_any_work() {
    let bad = [
        KmsReference { key_id: String::new(), ..reference() },
        KmsReference { region: Some(String::new()), ..reference() },
        KmsReference { endpoint: Some("x".repeat(KMS_TEXT_BYTES_MAX + 1)), ..reference() },
        KmsReference { encrypted_seal_key: Vec::new(), ..reference() },
        KmsReference { encrypted_seal_key: vec![0; KMS_CIPHERTEXT_BYTES_MAX + 1], ..reference() },
    ];
    for reference in bad {
        assert!(SealKey::from_kms(Key::from_bytes([1; 32]), reference).is_err());
    }
    let (seal_key, _) = SealKey::split(2, 3, &SeededEntropy::new(8)).unwrap();
    let json = String::from_utf8(file_of(&seal_key).to_json()).unwrap();
    let shape = SealFile::parse(json.replace("\"threshold\": 2", "\"threshold\": 4").as_bytes());
    assert!(matches!(shape, Err(SealFileError::Share(ShareError::Shape { .. }))));
    let long = SealFile::parse(&vec![b' '; SEAL_FILE_BYTES_MAX + 1]).unwrap_err().to_string();
    assert!(long.contains("65537 bytes, at most 65536"), "{long}");
}

#[test]
fn the_largest_file_that_can_be_made_is_read_back() {
    let text = "x".repeat(KMS_TEXT_BYTES_MAX);
    let encrypted_seal_key = vec![1; KMS_CIPHERTEXT_BYTES_MAX];
    let reference = KmsReference { key_id: text.clone(), region: Some(text.clone()), endpoint: Some(text), encrypted_seal_key };
    let seal_key = SealKey::from_kms(Key::from_bytes([1; 32]), reference).unwrap();
    let mut ring = ring();
    for version in 2..=u32::try_from(crate::ring::ROOTS_MAX).unwrap() {
        ring.add_root(version, Key::from_bytes([2; 32])).unwrap();
    }
    let file = SealFile::create(&seal_key, &CLUSTER, &ring, u64::MAX, &SeededEntropy::new(1)).unwrap();
    assert_eq!(SealFile::parse(&file.to_json()).unwrap().open(&seal_key).unwrap(), ring);
}

#[test]
fn a_file_of_another_release_is_named_as_such() {
    let newer = SealFile::parse(br#"{"format": 9, "something": "else"}"#).unwrap_err().to_string();
    assert_eq!(newer, "the seal file was written by a newer holdfast (format 9, this one reads format 2)");
    let older = SealFile::parse(br#"{"format": 1, "sealed_root": "00"}"#).unwrap_err().to_string();
    assert!(older.starts_with("the seal file has format 1, which holdfast 0.1 wrote"), "{older}");
    assert!(matches!(SealFile::parse(b"{}"), Err(SealFileError::Parse(_))));
    assert!(matches!(SealFile::parse(b"not json"), Err(SealFileError::Parse(_))));
}

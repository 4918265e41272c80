//! The cipher as we call it, against Project Wycheproof's vectors for AES-GCM-SIV: the crate is unaudited, so it is gated.

use aes_gcm_siv::{AeadInOut as _, Aes256GcmSiv, KeyInit as _, Nonce, Tag};
use wycheproof::{TestResult, aead};

#[test]
fn every_vector_with_a_256_bit_key_is_opened_or_refused_as_wycheproof_says() {
    let vectors = aead::TestSet::load(aead::TestName::AesGcmSiv).expect("the vectors are part of the crate");
    let (mut opened, mut refused) = (0, 0);
    for group in vectors.test_groups.iter().filter(|group| group.key_size == 256 && group.nonce_size == 96) {
        for test in &group.tests {
            let cipher = Aes256GcmSiv::new_from_slice(&test.key).expect("256 bits");
            let nonce: Nonce = test.nonce.as_ref().try_into().expect("96 bits");
            let tag: Tag = test.tag.as_ref().try_into().expect("128 bits");
            let mut bytes = test.ct.to_vec();
            let result = cipher.decrypt_inout_detached(&nonce, &test.aad, bytes.as_mut_slice().into(), &tag);
            if test.result == TestResult::Invalid {
                assert!(result.is_err(), "vector {} opened", test.tc_id);
                refused += 1;
                continue;
            }
            assert!(result.is_ok() && bytes == test.pt.to_vec(), "vector {} did not open", test.tc_id);
            let mut sealed = test.pt.to_vec();
            let made = cipher.encrypt_inout_detached(&nonce, &test.aad, sealed.as_mut_slice().into()).expect("short");
            assert!(sealed == test.ct.to_vec() && made == tag, "vector {} seals to other bytes", test.tc_id);
            opened += 1;
        }
    }
    assert!(opened >= 50 && refused >= 20, "only {opened} valid and {refused} invalid vectors were run");
    println!("wycheproof AES-256-GCM-SIV: {opened} opened and sealed, {refused} refused");
}

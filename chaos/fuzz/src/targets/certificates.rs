//! Certificates and keys of nodes and clients, and signed tokens of other issuers.

use crate::input::{Input, part, text};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use node_domain::ids::Stamp;
use raft::transport::grpc::{PeerCredentials, PeerTls};
use rcgen::{CertificateParams, KeyPair, SanType};

/// A client's certificate as bytes, then what a node shows others: certificate, key and authority as PEM.
pub(super) fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    if let Ok(names) = node::fuzzing::names_in_certificate(input.part()) {
        assert!(names.len() <= node_domain::limits::CERTIFICATE_NAMES_MAX, "more names than are kept");
    }
    let mut pem = || input.part().to_vec();
    let credentials = PeerCredentials { cert_pem: pem(), key_pem: pem(), ca_pem: pem() };
    drop(PeerTls::new(1, &credentials));
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let key = KeyPair::generate().expect("a key can be made");
    let mut params = CertificateParams::new(vec!["node-1".to_owned()]).expect("the name is one");
    params.subject_alt_names.push(SanType::URI("spiffe://example.com/a".try_into().expect("it is ASCII")));
    params.subject_alt_names.push(SanType::Rfc822Name("ana@example.com".try_into().expect("it is ASCII")));
    let several = params.self_signed(&key).expect("it can be signed");
    let peer =
        CertificateParams::new(vec!["node-1".to_owned()]).expect("the name is one").self_signed(&key).expect("it can be signed");
    let seed = |der: &[u8], cert: &str| {
        [part(der), part(cert.as_bytes()), part(key.serialize_pem().as_bytes()), part(peer.pem().as_bytes())].concat()
    };
    vec![seed(several.der(), &peer.pem()), seed(peer.der(), &several.pem()), seed(b"", &peer.pem())]
}

/// Keys, a claim with its value, and a token: as it is, and with its claims under a sound header.
pub(super) fn tokens(bytes: &[u8]) {
    let mut input = Input(bytes);
    let (keys, claim, wanted) = (input.part(), text(input.part()), text(input.part()));
    let now = Stamp(1_790_000_000_000_000);
    drop(node::fuzzing::signed_token(text(input.0), keys, claim, wanted, now));
    drop(node::fuzzing::signed_token(text(input.0), JWKS.as_bytes(), claim, wanted, now));
    // Signed here, so that what is looked at behind the signature is reached.
    let header = URL_SAFE_NO_PAD.encode(br#"{"alg":"EdDSA","kid":"one"}"#);
    let body = format!("{header}.{}", URL_SAFE_NO_PAD.encode(input.0));
    let key = jsonwebtoken::EncodingKey::from_ed_der(PKCS8);
    let signature = jsonwebtoken::crypto::sign(body.as_bytes(), &key, jsonwebtoken::Algorithm::EdDSA).expect("the key signs");
    drop(node::fuzzing::signed_token(&format!("{body}.{signature}"), JWKS.as_bytes(), claim, wanted, now));
}

pub(super) fn token_seeds() -> Vec<Vec<u8>> {
    let claims = br#"{"iss":"https://issuer.example.com","aud":"holdfast","sub":"ana","exp":1790009999,"nbf":1.5e9,"jti":"7","a":{"b":[1,"x"]}}"#;
    let seed = |claim: &str, wanted: &str, last: &[u8]| {
        [part(JWKS.as_bytes()), part(claim.as_bytes()), part(wanted.as_bytes()), last.to_vec()].concat()
    };
    let token = format!(
        "{}.{}.c2ln",
        URL_SAFE_NO_PAD.encode(br#"{"alg":"RS256","typ":"JWT","kid":"one"}"#),
        URL_SAFE_NO_PAD.encode(claims)
    );
    vec![seed("/a/b", "x", claims), seed("sub", "ana", claims), seed("sub", "ana", token.as_bytes())]
}

/// The example key of RFC 8037, appendix A.
const PKCS8: &[u8] = &[
    48, 46, 2, 1, 0, 48, 5, 6, 3, 43, 101, 112, 4, 34, 4, 32, 157, 97, 177, 157, 239, 253, 90, 96, 186, 132, 74, 244, 146, 236,
    44, 196, 68, 73, 197, 105, 123, 50, 105, 25, 112, 59, 172, 3, 28, 174, 127, 96,
];
const JWKS: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"one","alg":"EdDSA","use":"sig","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

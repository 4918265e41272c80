//! Whom others vouch for: client certificates, and signed tokens whose keys are fetched over HTTP.

use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use proto_client::{ClientConfig, Identity};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use serde_json::json;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "authority of clients");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn certificate(names: &[&str], common_name: &str, authority: &CertifiedIssuer<'_, KeyPair>) -> Identity {
    let mut params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
    params.distinguished_name.push(DnType::CommonName, common_name);
    let key = KeyPair::generate().unwrap();
    let certificate_pem = params.signed_by(&key, authority).unwrap().pem().into_bytes();
    Identity { certificate_pem, key_pem: zeroize::Zeroizing::new(key.serialize_pem().into_bytes()) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate_logs_in_by_its_names_and_nobody_needs_one() {
    let authority_of_clients = authority();
    let files = tempfile::tempdir().unwrap();
    let pem = files.path().join("clients.pem");
    std::fs::write(&pem, authority_of_clients.as_ref().pem()).unwrap();
    let world = world(&[format!("tls.client_ca={}", pem.display())]).await;
    let role = v1::CertRole {
        name: "ci".into(),
        san_globs: vec!["*.ci.example.org".into()],
        common_names: vec![],
        grants: grants(),
        updated_at_ms: 0,
    };
    world.clients[0].cert_roles().put(role).await.unwrap();
    let settings = std::fs::read_to_string(world.cluster.kit().join("client.toml")).unwrap();
    let address = settings.split('"').find(|part| part.starts_with("https://")).unwrap().to_owned();
    let connect = async |identity: Option<Identity>| {
        let config = ClientConfig {
            ca_pem: Some(std::fs::read(world.cluster.kit().join("ca.pem")).unwrap()),
            identity,
            timeout: Duration::from_secs(3),
            ..ClientConfig::new([address.clone()])
        };
        Client::connect(config).await.unwrap()
    };
    let login = || v1::LoginCertificateRequest { role: String::new() };
    let good = connect(Some(certificate(&["a.ci.example.org"], "a", &authority_of_clients))).await;
    let made = good.login().certificate(login()).await.unwrap();
    assert_eq!(made.details.as_ref().unwrap().principal, "cert/ci/a.ci.example.org");
    as_token(&world.clients[1], &made.token).secrets().put(put("app/cert")).await.unwrap();
    let other = connect(Some(certificate(&["a.example.org"], "a.ci.example.org", &authority_of_clients))).await;
    assert_eq!(code(other.login().certificate(login()).await), Code::Unauthenticated);
    assert_eq!(code(connect(None).await.login().certificate(login()).await), Code::Unauthenticated);
    let stranger = connect(Some(certificate(&["a.ci.example.org"], "a", &authority()))).await;
    assert!(stranger.login().certificate(login()).await.is_err(), "of another authority: not even the connection is made");
}

/// An issuer with a key of its own.
struct Signer {
    key: KeyPair,
    id: &'static str,
}

impl Signer {
    fn new(id: &'static str) -> Signer {
        Signer { key: KeyPair::generate().unwrap(), id }
    }

    fn jwk(&self) -> serde_json::Value {
        let point = self.key.public_key_raw();
        let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..65]));
        json!({ "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.id, "x": x, "y": y })
    }

    fn sign(&self, claims: &serde_json::Value) -> String {
        let header = Header { kid: Some(self.id.to_owned()), ..Header::new(Algorithm::ES256) };
        jsonwebtoken::encode(&header, claims, &EncodingKey::from_ec_der(&self.key.serialize_der())).unwrap()
    }
}

/// Serves what it holds as a key set, and counts how often it was asked.
async fn key_server(keys: Arc<Mutex<serde_json::Value>>, asked: Arc<AtomicUsize>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            asked.fetch_add(1, Ordering::Relaxed);
            let body = keys.lock().unwrap().to_string();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            let _ = stream.write_all(head.as_bytes()).await;
            let _ = stream.write_all(body.as_bytes()).await;
        }
    });
    url
}

fn claims(change: &[(&str, serde_json::Value)]) -> serde_json::Value {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let mut claims = json!({
        "iss": "https://issuer", "aud": ["holdfast", "other"], "sub": "repo:org/app", "jti": "1",
        "exp": now + 300, "nbf": now - 1, "repository": "org/app", "kubernetes.io": { "namespace": "web" },
    });
    for (name, value) in change {
        claims[*name] = value.clone();
    }
    claims
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_token_logs_in_when_everything_about_it_is_right() {
    let world = world(&[]).await;
    let [a, b, c] = [&world.clients[0], &world.clients[1], &world.clients[2]];
    let (signer, next) = (Signer::new("one"), Signer::new("two"));
    let (keys, asked) = (Arc::new(Mutex::new(json!({ "keys": [signer.jwk()] }))), Arc::new(AtomicUsize::new(0)));
    let url = key_server(keys.clone(), asked.clone()).await;
    let issuer = |name: &str, keys| v1::Issuer {
        name: name.into(),
        url: "https://issuer".into(),
        audience: "holdfast".into(),
        keys: Some(keys),
        bound_claims: [
            ("repository".to_owned(), "org/app".to_owned()),
            ("/kubernetes.io/namespace".to_owned(), "web".to_owned()),
        ]
        .into(),
        grants: grants(),
        updated_at_ms: 0,
    };
    a.issuers().put(issuer("fetched", v1::issuer::Keys::JwksUrl(url))).await.unwrap();
    let inline = v1::issuer::Keys::Jwks(json!({ "keys": [signer.jwk()] }).to_string());
    a.issuers().put(issuer("inline", inline)).await.unwrap();
    let far = issuer("far", v1::issuer::Keys::JwksUrl("http://issuer.example.org/keys".into()));
    assert_eq!(code(a.issuers().put(far).await), Code::InvalidArgument, "keys do not travel unprotected");

    let login = |issuer: &str, jwt: String| v1::LoginJwtRequest { issuer: issuer.into(), jwt };
    for (client, name) in [(a, "fetched"), (b, "inline"), (c, "fetched")] {
        let made = client.login().jwt(login(name, signer.sign(&claims(&[])))).await.unwrap();
        assert_eq!(made.details.unwrap().principal, format!("jwt/{name}/repo:org/app"));
        as_token(b, &made.token).secrets().put(put("app/jwt")).await.unwrap();
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let wrong = [
        ("exp", json!(now - 120)),
        ("nbf", json!(now + 600)),
        ("aud", json!("other")),
        ("iss", json!("https://elsewhere")),
        ("repository", json!("org/other")),
        ("kubernetes.io", json!({ "namespace": "db" })),
        ("sub", json!("")),
    ];
    for (name, value) in wrong {
        let refused = b.login().jwt(login("inline", signer.sign(&claims(&[(name, value)])))).await.unwrap_err();
        assert_eq!(refused.code, Code::Unauthenticated, "{name}");
        assert_eq!(refused.message, "the token of the issuer does not count here", "{name}");
    }
    // Somebody else's key under our key's name; no signature at all; our public key as a shared secret.
    let impostor = Signer { id: "one", ..Signer::new("one") };
    assert_eq!(code(b.login().jwt(login("inline", impostor.sign(&claims(&[])))).await), Code::Unauthenticated);
    let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let unsigned = format!("{}.{}.", part(&json!({ "alg": "none", "typ": "JWT", "kid": "one" })), part(&claims(&[])));
    assert_eq!(code(b.login().jwt(login("inline", unsigned)).await), Code::Unauthenticated);
    let header = Header { kid: Some("one".into()), ..Header::new(Algorithm::HS256) };
    let shared = jsonwebtoken::encode(&header, &claims(&[]), &EncodingKey::from_secret(signer.key.public_key_raw())).unwrap();
    assert_eq!(code(b.login().jwt(login("inline", shared)).await), Code::Unauthenticated);

    // A key that nobody knows makes a node ask once, not each time.
    *keys.lock().unwrap() = json!({ "keys": [signer.jwk(), next.jwk()] });
    let before = asked.load(Ordering::Relaxed);
    b.login().jwt(login("fetched", next.sign(&claims(&[])))).await.unwrap();
    for _ in 0..5 {
        let unknown = Signer::new("three").sign(&claims(&[]));
        assert_eq!(code(b.login().jwt(login("fetched", unknown)).await), Code::Unauthenticated);
    }
    assert_eq!(asked.load(Ordering::Relaxed), before + 1, "node 2 had not fetched before, and does not again so soon");
}

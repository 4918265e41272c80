//! AWS KMS: against a server that speaks its protocol (`ops/test-kms.sh` starts one), and against addresses that do not.

use std::time::{Duration, Instant};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, future};
use aws_sdk_kms::Client;
use aws_sdk_kms::config::Credentials;
use node_kms::aws::{AwsKms, AwsSettings, Patience};
use node_kms::{Context, Kms, KmsError};
use storage_crypto::{Key, KmsReference, OsEntropy};

use crate::conformance::{World, holds};

/// Names the server, and is set by `ops/test-kms.sh`.
const ENDPOINT: &str = "HOLDFAST_TEST_KMS_ENDPOINT";
const REGION: &str = "eu-west-1";

/// A machine without a role, a profile or an environment.
#[derive(Debug)]
struct NoCredentials;

impl ProvideCredentials for NoCredentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::ready(Err(CredentialsError::not_loaded("nothing here")))
    }
}

async fn config(credentials: impl ProvideCredentials + 'static) -> SdkConfig {
    let loader = aws_config::defaults(BehaviorVersion::latest()).region(Region::new(REGION));
    loader.credentials_provider(credentials).load().await
}

async fn some_credentials() -> SdkConfig {
    config(Credentials::new("AKIDTEST", "not-a-secret", None, None, "test")).await
}

fn settings(key_id: &str, endpoint: &str) -> AwsSettings {
    let patience =
        Patience { connect: Duration::from_secs(1), attempt: Duration::from_secs(2), operation: Duration::from_secs(5) };
    AwsSettings { key_id: key_id.to_owned(), region: None, endpoint: Some(endpoint.to_owned()), patience }
}

/// An address on this machine where nobody listens any more.
fn closed_endpoint() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

async fn new_key(client: &Client) -> String {
    client.create_key().send().await.unwrap().key_metadata.unwrap().key_id
}

#[tokio::test]
#[ignore = "needs a server that speaks the protocol of AWS KMS: run ops/test-kms.sh"]
async fn aws_kms_conforms() {
    let endpoint = std::env::var(ENDPOINT).expect("ops/test-kms.sh names the server");
    let config = some_credentials().await;
    let client = Client::from_conf(aws_sdk_kms::config::Builder::from(&config).endpoint_url(&endpoint).build());
    let (key, other, disabled) = (new_key(&client).await, new_key(&client).await, new_key(&client).await);
    client.create_alias().alias_name("alias/holdfast").target_key_id(&key).send().await.unwrap();
    client.disable_key().key_id(&disabled).send().await.unwrap();
    let with = |key_id: &str, endpoint: &str| AwsKms::with(&settings(key_id, endpoint), &config).unwrap();
    let world = World {
        kms: &with(&key, &endpoint),
        again: &with("alias/holdfast", &endpoint),
        other_key: &with(&other, &endpoint),
        disabled: &with(&disabled, &endpoint),
        unknown: &with("00000000-0000-0000-0000-000000000000", &endpoint),
        unreachable: &with(&key, &closed_endpoint()),
    };
    holds(&world).await;
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up_in_time() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let patience = Patience {
        connect: Duration::from_millis(200),
        attempt: Duration::from_millis(200),
        operation: Duration::from_millis(500),
    };
    let settings = AwsSettings { patience, ..settings("alias/holdfast", &endpoint) };
    let kms = AwsKms::with(&settings, &some_credentials().await).unwrap();
    let started = Instant::now();
    let refusal = kms.decrypt(&[1; 64], &Context::of_cluster([1; 16])).await.unwrap_err();
    assert_eq!(refusal, KmsError::TimedOut { endpoint, after: Duration::from_millis(500) });
    assert!(refusal.is_passing() && started.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn an_address_where_nobody_listens_is_named() {
    let endpoint = closed_endpoint();
    let kms = AwsKms::with(&settings("alias/holdfast", &endpoint), &some_credentials().await).unwrap();
    let refusal = kms.decrypt(&[1; 64], &Context::of_cluster([1; 16])).await.unwrap_err();
    assert!(matches!(&refusal, KmsError::Unreachable { endpoint: named, .. } if *named == endpoint), "{refusal}");
    assert!(refusal.is_passing());
}

#[tokio::test]
async fn missing_credentials_and_a_missing_region_are_said_in_words() {
    let kms = AwsKms::with(&settings("alias/holdfast", &closed_endpoint()), &config(NoCredentials).await).unwrap();
    let refusal = kms.encrypt(&Key::generate(&OsEntropy), &Context::of_cluster([1; 16])).await.unwrap_err();
    assert!(matches!(refusal, KmsError::Credentials(_)), "{refusal}");
    assert!(refusal.to_string().contains("check the role of this machine") && !refusal.is_passing(), "{refusal}");
    let nowhere = SdkConfig::builder().behavior_version(BehaviorVersion::latest()).build();
    let refusal = AwsKms::with(&settings("alias/holdfast", &closed_endpoint()), &nowhere).map(|_| ()).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "the key management service is not configured: no region: name it in the settings or in AWS_REGION"
    );
}

/// The service's answer is data: what it says is mapped by its code, and nothing of the key is repeated.
#[tokio::test]
async fn what_the_service_refuses_is_told_apart_by_its_code() {
    for (status, code, expected) in [
        (400, "AccessDeniedException", "may not be used for kms:Encrypt by this node's identity"),
        (400, "UnrecognizedClientException", "no usable credentials"),
        (400, "NotFoundException", "has no key alias/holdfast"),
        (400, "DisabledException", "enable it, or cancel its deletion"),
        (400, "KMSInvalidStateException", "enable it, or cancel its deletion"),
        (400, "ThrottlingException", "is busy"),
        (500, "KMSInternalException", "is busy"),
        (400, "SomethingNew", "refused: SomethingNew: because"),
    ] {
        let endpoint = answering(status, format!(r#"{{"__type":"{code}","message":"because"}}"#)).await;
        let kms = AwsKms::with(&settings("alias/holdfast", &endpoint), &some_credentials().await).unwrap();
        let key = Key::generate(&OsEntropy);
        let said = kms.encrypt(&key, &Context::of_cluster([1; 16])).await.unwrap_err().to_string();
        assert!(said.contains(expected) && !said.contains(&storage_crypto::hex::encode(key.expose())), "{code}: {said}");
    }
    let endpoint = answering(200, r#"{"KeyId":"k","Plaintext":"c2hvcnQ="}"#.to_owned()).await;
    let kms = AwsKms::with(&settings("alias/holdfast", &endpoint), &some_credentials().await).unwrap();
    let refusal = kms.decrypt(&[1; 64], &Context::of_cluster([1; 16])).await.unwrap_err();
    assert!(matches!(refusal, KmsError::Mismatch { .. }), "five bytes are no seal key: {refusal}");
}

/// A server that gives the same answer to everything.
async fn answering(status: u16, body: String) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let answer = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/x-amz-json-1.1\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
            // The whole request first: head, and as many bytes as it announces.
            while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                request.extend_from_slice(&buffer[..read]);
                if is_whole(&request) {
                    break;
                }
            }
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    endpoint
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    body.len() >= length.unwrap_or(0)
}

#[test]
fn settings_come_from_what_the_seal_file_says() {
    let reference = KmsReference {
        key_id: "alias/holdfast".to_owned(),
        region: Some("eu-west-1".to_owned()),
        endpoint: None,
        encrypted_seal_key: vec![1],
    };
    let settings = AwsSettings::from(&reference);
    assert_eq!(
        (settings.key_id.as_str(), settings.region.as_deref(), settings.endpoint),
        ("alias/holdfast", Some("eu-west-1"), None)
    );
    assert!(settings.patience.connect < settings.patience.attempt && settings.patience.attempt < settings.patience.operation);
}

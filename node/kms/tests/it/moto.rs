//! AWS KMS keeps what every service promises, against moto, which speaks its protocol: `ops/test-kms.sh` starts it and names it here.

use aws_sdk_kms::Client;
use node_kms::aws::AwsKms;

use crate::aws::{closed_endpoint, settings, some_credentials};
use crate::conformance::{World, holds};

const ENDPOINT: &str = "HOLDFAST_TEST_KMS_ENDPOINT";

async fn new_key(client: &Client) -> String {
    client.create_key().send().await.unwrap().key_metadata.unwrap().key_id
}

#[tokio::test]
async fn aws_kms_conforms() {
    let endpoint = std::env::var(ENDPOINT).expect("ops/test-kms.sh names the server");
    let config = some_credentials().await;
    let client = Client::from_conf(aws_sdk_kms::config::Builder::from(&config).endpoint_url(&endpoint).build());
    let (key, other) = (new_key(&client).await, new_key(&client).await);
    client.create_alias().alias_name("alias/holdfast").target_key_id(&key).send().await.unwrap();
    let with = |key_id: &str, endpoint: &str| AwsKms::with(&settings(key_id, endpoint), &config).unwrap();
    let world = World {
        kms: &with(&key, &endpoint),
        again: &with("alias/holdfast", &endpoint),
        other_key: &with(&other, &endpoint),
        // moto encrypts with a disabled key as well; `what_the_service_refuses` covers what AWS says.
        disabled: None,
        unknown: &with("00000000-0000-0000-0000-000000000000", &endpoint),
        unreachable: &with(&key, &closed_endpoint()),
    };
    holds(&world).await;
}

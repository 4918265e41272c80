//! A seal that a key management service keeps: made with it, and opened by it without people.
//!
//! The service is away sometimes, and its answer may take a while: a node that cannot open its seal stays sealed, says why in its seal's
//! status, and asks again, less and less often. See `node-kms` for what the service sees and what it is told.

use super::custody::Unsealed;
use super::desk::SealDesk;
use super::phases;
use crate::boot::Ambient;
use crate::config::SealConfig;
use node_kms::aws::{AwsKms, AwsSettings, Patience};
use node_kms::{Answer, Context, Kms, KmsError};
use std::sync::Arc;
use std::time::Duration;
use storage_crypto::key::Key;
use storage_crypto::seal_file::{KmsReference, SealFile};
use storage_crypto::seal_key::SealKey;
use tonic::Status;

/// What names a key of AWS KMS in a request: the id, ARN or alias of the key follows.
const AWS: &str = "aws:";
/// How long a service may take while somebody waits for a new seal: shorter than a caller waits for the node.
const MAKING: Patience =
    Patience { connect: Duration::from_secs(2), attempt: Duration::from_secs(3), operation: Duration::from_secs(4) };
/// How long until a service that did not open the seal is asked again, at first.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// The longest such time: a node comes back this soon after its service does.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// How a node comes by key management services: the real ones, or a test's.
pub trait KeyServices: Send + Sync {
    /// The key that the settings name.
    fn connect<'a>(&'a self, settings: &'a AwsSettings) -> Answer<'a, Arc<dyn Kms>>;
}

/// AWS KMS, over the network.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealKeyServices;

impl KeyServices for RealKeyServices {
    fn connect<'a>(&'a self, settings: &'a AwsSettings) -> Answer<'a, Arc<dyn Kms>> {
        Box::pin(async move { Ok(Arc::new(AwsKms::connect(settings).await?) as Arc<dyn Kms>) })
    }
}

/// The services, with what this node's settings say of where they are.
#[derive(Clone)]
pub(crate) struct Keeper {
    services: Arc<dyn KeyServices>,
    region: Option<String>,
    endpoint: Option<String>,
}

impl Keeper {
    pub(crate) fn new(ambient: &Ambient, config: &SealConfig) -> Keeper {
        let SealConfig { kms_region, kms_endpoint, .. } = config;
        Keeper { services: ambient.kms.clone(), region: kms_region.clone(), endpoint: kms_endpoint.clone() }
    }

    #[cfg(test)]
    pub(crate) fn of_test(ambient: &Ambient) -> Keeper {
        Keeper { services: ambient.kms.clone(), region: None, endpoint: None }
    }

    /// Has `key`, which is fresh, encrypted by the service's key that `named` says, and makes sure that it is decrypted again: a seal
    /// that this node cannot open is not made.
    pub(crate) async fn make(&self, named: &str, cluster: [u8; 16], key: Key) -> Result<SealKey, Status> {
        let key_id = named.strip_prefix(AWS).filter(|id| !id.is_empty());
        let key_id = key_id.ok_or_else(|| Status::invalid_argument("name the service and its key: aws:KEY_ID"))?;
        let (region, endpoint) = (self.region.clone(), self.endpoint.clone());
        let mut reference = KmsReference { key_id: key_id.to_owned(), region, endpoint, encrypted_seal_key: vec![0] };
        reference.check().map_err(|error| Status::invalid_argument(error.to_string()))?;
        let context = Context::of_cluster(cluster);
        let kms = self.services.connect(&AwsSettings { patience: MAKING, ..self.settings(&reference) }).await;
        let kms = kms.map_err(refused)?;
        reference.encrypted_seal_key = kms.encrypt(&key, &context).await.map_err(refused)?;
        let back = kms.decrypt(&reference.encrypted_seal_key, &context).await.map_err(refused)?;
        if back != key {
            return Err(Status::failed_precondition("the key management service decrypts another key than it encrypted"));
        }
        SealKey::from_kms(key, reference).map_err(|error| Status::failed_precondition(error.to_string()))
    }

    /// Opens a seal that a service keeps.
    pub(crate) async fn open(&self, file: &SealFile) -> Result<Unsealed, String> {
        let Some(reference) = file.kms() else { return Err(format!("a seal of kind {} is opened by people", file.kind())) };
        let kms = self.services.connect(&self.settings(reference)).await.map_err(|error| error.to_string())?;
        let context = Context::of_cluster(file.cluster());
        let key = kms.decrypt(&reference.encrypted_seal_key, &context).await.map_err(|error| error.to_string())?;
        let key = SealKey::from_kms(key, reference.clone()).map_err(|error| error.to_string())?;
        phases::open(file, key)
    }

    /// Opens the seal of the node as soon as it has one that a service keeps, and the service answers.
    pub(crate) async fn unseal(&self, desk: &SealDesk) -> Unsealed {
        let mut pause = PAUSE_MIN;
        loop {
            let file = desk.awaits_service().await;
            // Somebody who asks while the service is slow to answer is not forgotten.
            let mut asked = desk.watch_service();
            match self.open(&file).await {
                Ok(unsealed) => {
                    desk.opening(&unsealed);
                    return unsealed;
                }
                Err(why) => {
                    tracing::warn!(why, "the key management service did not open the seal: it is asked again in {pause:?}");
                    desk.trouble(format!("{why}; it is asked again in {} s", pause.as_secs()));
                    // Somebody who knows that it is back need not wait.
                    let _ = tokio::time::timeout(pause, asked.changed()).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
    }

    /// This node's settings count over what the seal file says: addresses differ between sites.
    fn settings(&self, reference: &KmsReference) -> AwsSettings {
        AwsSettings {
            key_id: reference.key_id.clone(),
            region: self.region.clone().or_else(|| reference.region.clone()),
            endpoint: self.endpoint.clone().or_else(|| reference.endpoint.clone()),
            patience: Patience::default(),
        }
    }
}

fn refused(error: KmsError) -> Status {
    let words = error.to_string();
    if error.is_passing() { Status::unavailable(words) } else { Status::failed_precondition(words) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use node_kms::memory::{MemoryKms, Mood};
    use storage_crypto::entropy::OsEntropy;
    use storage_crypto::ring::Ring;
    use tonic::Code;

    /// One service, whatever the settings name.
    struct One(Arc<MemoryKms>);

    impl KeyServices for One {
        fn connect<'a>(&'a self, _settings: &'a AwsSettings) -> Answer<'a, Arc<dyn Kms>> {
            Box::pin(async move { Ok(self.0.clone() as Arc<dyn Kms>) })
        }
    }

    const CLUSTER: [u8; 16] = [7; 16];

    fn service() -> (Keeper, Arc<MemoryKms>, Ambient) {
        let kms = Arc::new(MemoryKms::new("the key", Arc::new(OsEntropy)));
        let ambient = Ambient { kms: Arc::new(One(kms.clone())), ..Ambient::real() };
        (Keeper::of_test(&ambient), kms, ambient)
    }

    async fn sealed(service: &Keeper) -> SealFile {
        let key = service.make("aws:alias/holdfast", CLUSTER, Key::generate(&OsEntropy)).await.unwrap();
        SealFile::create(&key, &CLUSTER, &Ring::generate(&OsEntropy), 1, &OsEntropy).unwrap()
    }

    #[tokio::test]
    async fn a_seal_made_with_a_service_is_opened_by_it_alone() {
        let (service, _, _) = service();
        let file = SealFile::parse(&sealed(&service).await.to_json()).unwrap();
        assert_eq!(service.open(&file).await.unwrap().file, file);
        let (other, _, _) = self::service();
        assert!(other.open(&file).await.err().unwrap().contains("does not decrypt the seal key"));
    }

    #[tokio::test]
    async fn no_seal_is_made_with_a_service_that_refuses_or_is_away() {
        let (service, kms, _) = service();
        let made = |named: &'static str| service.make(named, CLUSTER, Key::generate(&OsEntropy));
        for named in ["", "aws:", "alias/holdfast", "vault:transit"] {
            assert_eq!(made(named).await.err().unwrap().code(), Code::InvalidArgument, "{named}");
        }
        kms.be(Mood::Disabled);
        assert_eq!(made("aws:k").await.err().unwrap().code(), Code::FailedPrecondition);
        kms.be(Mood::Unreachable);
        assert_eq!(made("aws:k").await.err().unwrap().code(), Code::Unavailable);
    }

    #[tokio::test]
    async fn a_node_whose_service_is_away_says_so_and_opens_when_it_is_back() {
        let (service, kms, ambient) = service();
        let directory = tempfile::tempdir().unwrap();
        let file = sealed(&service).await;
        let desk = SealDesk::of_test(directory.path(), &ambient, &file);
        kms.be(Mood::Unreachable);
        let mut unsealing = std::pin::pin!(service.unseal(&desk));
        assert!(futures::poll!(&mut unsealing).is_pending());
        let status = desk.status();
        assert_eq!((status.phase.as_str(), status.kind.as_str()), ("sealed", "aws-kms"));
        assert!(status.trouble.contains("was not reached") && status.trouble.ends_with("again in 1 s"), "{}", status.trouble);
        desk.ask_service(None).unwrap();
        assert_eq!(desk.status().trouble, "", "the answer is not there yet");
        assert!(futures::poll!(&mut unsealing).is_pending());
        assert!(desk.status().trouble.ends_with("again in 2 s"), "{}", desk.status().trouble);
        kms.be(Mood::Willing);
        desk.ask_service(None).unwrap();
        let unsealed = unsealing.await;
        assert_eq!((unsealed.file, desk.status().phase.as_str()), (file, "unsealing"));
    }

    #[tokio::test]
    async fn a_node_that_was_sealed_on_purpose_waits_until_somebody_asks() {
        let (service, _, ambient) = service();
        let directory = tempfile::tempdir().unwrap();
        let desk = SealDesk::of_test(directory.path(), &ambient, &sealed(&service).await);
        desk.ask_to_seal().unwrap();
        let mut unsealing = std::pin::pin!(service.unseal(&desk));
        assert!(futures::poll!(&mut unsealing).is_pending());
        assert_eq!(desk.status().trouble, "", "the service was not even asked");
        desk.ask_service(None).unwrap();
        unsealing.await;
    }
}

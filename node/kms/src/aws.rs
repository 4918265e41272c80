//! AWS KMS, through its SDK.
//!
//! Credentials come from where the SDK looks for them: the environment, profiles, web identity (EKS), containers (ECS), the machine's
//! role (EC2). The permissions needed are `kms:Encrypt`, where a seal is made, and `kms:Decrypt`, where it is opened, on one symmetric key.

use std::collections::HashMap;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_kms::Client;
use aws_sdk_kms::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kms::primitives::Blob;
use storage_crypto::{Key, KmsReference};
use zeroize::Zeroizing;

use crate::{Answer, Context, Kms, KmsError};

/// Tries for one request, the first among them.
const TRIES: u32 = 3;
/// How much of what the service says is repeated in an error, in characters.
const SAID_MAX: usize = 300;

/// Where the key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsSettings {
    /// Id, ARN or alias of the service's key.
    pub key_id: String,
    /// The region, where the environment does not say it.
    pub region: Option<String>,
    /// Another address than the region's own.
    pub endpoint: Option<String>,
    /// How long anything may take.
    pub patience: Patience,
}

/// How long a request may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Until there is a connection.
    pub connect: Duration,
    /// One try, answer included.
    pub attempt: Duration,
    /// All tries together, credentials included.
    pub operation: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience { connect: Duration::from_secs(3), attempt: Duration::from_secs(5), operation: Duration::from_secs(20) }
    }
}

impl From<&KmsReference> for AwsSettings {
    fn from(reference: &KmsReference) -> AwsSettings {
        let KmsReference { key_id, region, endpoint, .. } = reference;
        AwsSettings { key_id: key_id.clone(), region: region.clone(), endpoint: endpoint.clone(), patience: Patience::default() }
    }
}

/// One key of AWS KMS.
pub struct AwsKms {
    client: Client,
    key_id: String,
    endpoint: String,
    operation: Duration,
}

impl AwsKms {
    /// Reads settings and environment; the service is first asked when something is encrypted or decrypted.
    ///
    /// # Errors
    /// When neither the settings nor the environment name a region.
    pub async fn connect(settings: &AwsSettings) -> Result<AwsKms, KmsError> {
        let mut loader = aws_config::defaults(BehaviorVersion::latest());
        if let Some(region) = &settings.region {
            loader = loader.region(Region::new(region.clone()));
        }
        AwsKms::with(settings, &loader.load().await)
    }

    /// The same with a configuration of the SDK made elsewhere: other credentials, another way to the network.
    ///
    /// # Errors
    /// When neither the settings nor the configuration name a region.
    pub fn with(settings: &AwsSettings, config: &SdkConfig) -> Result<AwsKms, KmsError> {
        let Some(region) = config.region() else {
            return Err(KmsError::Settings("no region: name it in the settings or in AWS_REGION".to_owned()));
        };
        let Patience { connect, attempt, operation } = settings.patience;
        let timeouts = TimeoutConfig::builder().connect_timeout(connect).read_timeout(attempt);
        let timeouts = timeouts.operation_attempt_timeout(attempt).operation_timeout(operation).build();
        let mut builder = aws_sdk_kms::config::Builder::from(config);
        builder = builder.timeout_config(timeouts).retry_config(RetryConfig::standard().with_max_attempts(TRIES));
        let mut endpoint = format!("AWS KMS in {region}");
        if let Some(address) = settings.endpoint.as_deref().or(config.endpoint_url()) {
            builder = builder.endpoint_url(address);
            address.clone_into(&mut endpoint);
        }
        let client = Client::from_conf(builder.build());
        Ok(AwsKms { client, key_id: settings.key_id.clone(), endpoint, operation })
    }

    fn refusal<E, R>(&self, action: &'static str, error: SdkError<E, R>) -> KmsError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        R: std::fmt::Debug + 'static,
    {
        match &error {
            SdkError::ServiceError(refused) => {
                let refused = refused.err();
                self.refused(action, refused.code().unwrap_or_default(), refused.message().unwrap_or_default())
            }
            SdkError::TimeoutError(_) => KmsError::TimedOut { endpoint: self.endpoint.clone(), after: self.operation },
            _ if causes(&error).any(|cause| cause.is::<CredentialsError>()) => KmsError::Credentials(words(&error)),
            SdkError::ConstructionFailure(_) => KmsError::Settings(words(&error)),
            _ => KmsError::Unreachable { endpoint: self.endpoint.clone(), said: words(&error) },
        }
    }

    /// By the service's own codes: <https://docs.aws.amazon.com/kms/latest/APIReference/CommonErrors.html> and those of the operations.
    fn refused(&self, action: &'static str, code: &str, message: &str) -> KmsError {
        let key = self.key_id.clone();
        let said = cut(&format!("{code}: {message}"));
        match code {
            "AccessDeniedException" | "NotAuthorized" | "OptInRequired" => KmsError::NotAllowed { key, action, said },
            "UnrecognizedClientException"
            | "InvalidClientTokenId"
            | "InvalidSignatureException"
            | "SignatureDoesNotMatch"
            | "IncompleteSignature"
            | "MissingAuthenticationToken"
            | "ExpiredTokenException"
            | "RequestExpired" => KmsError::Credentials(said),
            "NotFoundException" => KmsError::UnknownKey { key, said },
            "DisabledException" | "KMSInvalidStateException" | "InvalidKeyUsageException" => KmsError::UnusableKey { key, said },
            "InvalidCiphertextException" | "IncorrectKeyException" => KmsError::Mismatch { key },
            "ThrottlingException"
            | "LimitExceededException"
            | "KeyUnavailableException"
            | "DependencyTimeoutException"
            | "KMSInternalException"
            | "InternalFailure"
            | "ServiceUnavailable" => KmsError::Busy(said),
            _ => KmsError::Other(said),
        }
    }
}

fn encryption_context(context: &Context) -> HashMap<String, String> {
    context.pairs().into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// An error and everything behind it.
fn causes<'a>(error: &'a (dyn std::error::Error + 'static)) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source())
}

/// What an error and the causes behind it say, each thing once.
fn words(error: &(dyn std::error::Error + 'static)) -> String {
    let mut said: Vec<String> = causes(error).map(ToString::to_string).collect();
    said.dedup();
    cut(&said.join(": "))
}

fn cut(text: &str) -> String {
    text.chars().take(SAID_MAX).collect()
}

impl Kms for AwsKms {
    fn encrypt<'a>(&'a self, seal_key: &'a Key, context: &'a Context) -> Answer<'a, Vec<u8>> {
        Box::pin(async move {
            let request = self.client.encrypt().key_id(&self.key_id).plaintext(Blob::new(seal_key.expose().as_slice()));
            let answer = request.set_encryption_context(Some(encryption_context(context))).send().await;
            let answer = answer.map_err(|error| self.refusal("kms:Encrypt", error))?;
            let ciphertext = answer.ciphertext_blob.map(Blob::into_inner).filter(|bytes| !bytes.is_empty());
            ciphertext.ok_or_else(|| KmsError::Other("the service answered without a ciphertext".to_owned()))
        })
    }

    fn decrypt<'a>(&'a self, encrypted_seal_key: &'a [u8], context: &'a Context) -> Answer<'a, Key> {
        Box::pin(async move {
            let request = self.client.decrypt().key_id(&self.key_id).ciphertext_blob(Blob::new(encrypted_seal_key));
            let answer = request.set_encryption_context(Some(encryption_context(context))).send().await;
            let answer = answer.map_err(|error| self.refusal("kms:Decrypt", error))?;
            let plaintext = answer.plaintext.map(|plaintext| Zeroizing::new(plaintext.into_inner()));
            let key = plaintext.as_deref().and_then(|bytes| Key::from_slice(bytes));
            // Authentic, and not 32 bytes: somebody used the same key and context for something else.
            key.ok_or_else(|| KmsError::Mismatch { key: self.key_id.clone() })
        })
    }
}

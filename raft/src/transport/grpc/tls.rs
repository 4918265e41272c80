//! Mutual TLS between nodes: what a node shows, what it accepts, and how both are replaced while it runs.

use std::{fmt, sync::Arc};

use arc_swap::ArcSwap;
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    client::Resumption,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{NoServerSessionStorage, WebPkiClientVerifier},
    version::TLS13,
};

use super::identity;

/// A node's certificate, its key, and the authority that it trusts, as PEM.
#[derive(Clone)]
pub struct PeerCredentials {
    /// The cluster's certificate authority; several during its rotation.
    pub ca_pem: Vec<u8>,
    /// This node's certificate, with its DNS name `node-<id>`, and what leads up to the authority.
    pub cert_pem: Vec<u8>,
    /// The private key of the certificate.
    pub key_pem: Vec<u8>,
}

impl fmt::Debug for PeerCredentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PeerCredentials")
    }
}

/// Why credentials or a peer were not accepted.
#[derive(Debug, thiserror::Error)]
pub enum PeerTlsError {
    /// PEM that does not read.
    #[error("read the {what}: {reason}")]
    Pem {
        /// Which part.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A certificate that does not parse.
    #[error("parse the certificate: {0}")]
    Certificate(String),
    /// A certificate without a node's name.
    #[error("certificate names no node: it needs the dns name node-<id>")]
    Anonymous,
    /// A certificate with more than one.
    #[error("certificate names node {0} and node {1}: it must name one")]
    Ambiguous(u64, u64),
    /// The certificate is another node's.
    #[error("certificate is for node {found}, this is node {expected}")]
    OtherNode {
        /// This node.
        expected: u64,
        /// Whom the certificate names.
        found: u64,
    },
    /// What rustls makes of the parts together.
    #[error("set up tls between nodes: {0}")]
    Setup(String),
}

/// TLS of one node towards the others. Replacing the credentials reaches every connection made from then on.
pub struct PeerTls {
    id: u64,
    current: ArcSwap<Configs>,
}

struct Configs {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

impl PeerTls {
    /// TLS of node `id`.
    ///
    /// # Errors
    /// When a part does not read, the parts do not belong together, or the certificate is another node's.
    pub fn new(id: u64, credentials: &PeerCredentials) -> Result<PeerTls, PeerTlsError> {
        Ok(PeerTls { id, current: ArcSwap::from_pointee(configs(id, credentials)?) })
    }

    /// Takes new credentials; open connections keep the old ones until they close.
    ///
    /// # Errors
    /// As [`new`](PeerTls::new); the old ones stay in use then.
    pub fn replace(&self, credentials: &PeerCredentials) -> Result<(), PeerTlsError> {
        self.current.store(Arc::new(configs(self.id, credentials)?));
        Ok(())
    }

    /// This node.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// What an accepted connection is answered with.
    #[must_use]
    pub fn server_config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.load().server)
    }

    /// What a connection to another node is made with.
    #[must_use]
    pub fn client_config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.current.load().client)
    }
}

impl fmt::Debug for PeerTls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PeerTls(node {})", self.id)
    }
}

fn configs(id: u64, credentials: &PeerCredentials) -> Result<Configs, PeerTlsError> {
    let chain = certificates("certificate", &credentials.cert_pem)?;
    let found = identity::of(&chain[0])?.0;
    if found != id {
        return Err(PeerTlsError::OtherNode { expected: id, found });
    }
    let key = PrivateKeyDer::from_pem_slice(&credentials.key_pem)
        .map_err(|error| PeerTlsError::Pem { what: "private key", reason: error.to_string() })?;
    let mut roots = RootCertStore::empty();
    for authority in certificates("cluster's certificate authority", &credentials.ca_pem)? {
        roots.add(authority).map_err(setup)?;
    }
    let roots = Arc::new(roots);
    Ok(Configs {
        server: Arc::new(server(Arc::clone(&roots), chain.clone(), key.clone_key())?),
        client: Arc::new(client(roots, chain, key)?),
    })
}

/// At least one certificate.
fn certificates(what: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, PeerTlsError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match read {
        Ok(certificates) if certificates.is_empty() => {
            Err(PeerTlsError::Pem { what, reason: "there is no certificate in it".to_owned() })
        }
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(PeerTlsError::Pem { what, reason: error.to_string() }),
    }
}

fn server(
    roots: Arc<RootCertStore>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, PeerTlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider)).build().map_err(setup)?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(setup)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(setup)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    // A session that resumes shows no certificate: one that has been replaced would live on.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn client(
    roots: Arc<RootCertStore>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ClientConfig, PeerTlsError> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&TLS13])
        .map_err(setup)?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .map_err(setup)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.resumption = Resumption::disabled();
    Ok(config)
}

fn setup(error: impl ToString) -> PeerTlsError {
    PeerTlsError::Setup(error.to_string())
}

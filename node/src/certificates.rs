//! What a node shows other nodes and clients: read at the start, and again while it runs, so that certificates change without a restart.
//!
//! All files are taken together or not at all: a certificate whose key is not there yet waits for the next look, and what is in use stays
//! in use until what replaces it was found good. Connections that are open keep what they were made with.

mod verified;

use crate::api::Door;
use crate::boot::{self, BootError, failed};
use crate::clock::Clock;
use crate::config::TlsConfig;
use arc_swap::ArcSwap;
use node_domain::Command;
use node_domain::command::Upkeep;
use node_domain::guard::{AlertKind, GuardUpkeep, Severity};
use parking_lot::Mutex;
use raft::transport::grpc::{PeerCredentials, PeerTls};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio_rustls::TlsAcceptor;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use zeroize::Zeroizing;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(2);
/// How often it is looked whether one expires soon.
const ALARM: Duration = Duration::from_secs(60);
/// How long an alarm may take to commit.
const PATIENCE: Duration = Duration::from_secs(30);
const DAY: f64 = 86_400.0;
/// Days left at which an alarm is raised, and how much it matters then.
const STAGES: [(f64, Severity); 4] =
    [(0.0, Severity::Critical), (1.0, Severity::Critical), (7.0, Severity::Warning), (30.0, Severity::Warning)];

/// The certificates of a running node.
pub(crate) struct Certificates {
    files: TlsConfig,
    peer: Arc<PeerTls>,
    client: Arc<ClientTls>,
    standing: Mutex<Standing>,
}

/// What is in use, and why what lies in the files is not.
struct Standing {
    /// Of the files that are in use.
    fingerprint: blake3::Hash,
    /// When each certificate in use ends, in seconds since 1970.
    ends: Vec<(&'static str, i64)>,
    refused: Option<String>,
}

/// What a node shows clients, and whose certificates they may show.
pub(crate) struct ClientTls {
    current: ArcSwap<ServerConfig>,
}

/// The files as they lay there at one moment.
struct Read {
    peer: PeerCredentials,
    client_certificate: Vec<u8>,
    client_key: Zeroizing<Vec<u8>>,
    client_authority: Option<Vec<u8>>,
}

impl ClientTls {
    /// What is shown to clients of a node with these settings.
    ///
    /// # Errors
    /// When a file is missing, or the certificate and its key do not belong together.
    pub(crate) fn load(files: &TlsConfig) -> Result<ClientTls, BootError> {
        let read = Read::new(files)?;
        read.check()?;
        Ok(ClientTls { current: ArcSwap::from_pointee(read.server_config()?) })
    }

    /// For one handshake.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.current.load_full())
    }
}

impl Certificates {
    /// Reads the certificates of node `id`.
    ///
    /// # Errors
    /// When a file is missing or damaged, the parts do not belong together, or a certificate is another node's.
    pub(crate) fn load(files: &TlsConfig, id: u64) -> Result<Certificates, BootError> {
        let read = Read::new(files)?;
        read.check()?;
        let peer = PeerTls::new(id, &read.peer).map_err(failed("certificates between nodes"))?;
        let client = ClientTls { current: ArcSwap::from_pointee(read.server_config()?) };
        let standing = Standing { fingerprint: read.fingerprint(), ends: read.ends()?, refused: None };
        Ok(Certificates { files: files.clone(), peer: Arc::new(peer), client: Arc::new(client), standing: Mutex::new(standing) })
    }

    /// What is shown to other nodes.
    pub(crate) fn peer(&self) -> Arc<PeerTls> {
        self.peer.clone()
    }

    /// What is shown to clients.
    pub(crate) fn client(&self) -> Arc<ClientTls> {
        self.client.clone()
    }

    /// Days that each certificate in use is still good for, negative once it has expired; and why newer files are not in use.
    pub(crate) fn days_left(&self, clock: &dyn Clock) -> (Vec<(&'static str, f64)>, Option<String>) {
        let now = clock.now().0 as f64 / 1e6;
        let standing = self.standing.lock();
        (standing.ends.iter().map(|(name, ends)| (*name, (*ends as f64 - now) / DAY)).collect(), standing.refused.clone())
    }

    /// Looks at the files again and again.
    pub(crate) async fn keep_fresh(self: Arc<Self>) {
        let mut next = tokio::time::interval(LOOK);
        next.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            next.tick().await;
            let own = Arc::clone(&self);
            if let Err(error) = raft::offload(move || own.look()).await {
                tracing::error!(%error, "the certificates were not looked at");
            }
        }
    }

    /// Takes what lies in the files, where it is new and good.
    fn look(&self) {
        let tried = Read::new(&self.files).and_then(|read| {
            let fingerprint = read.fingerprint();
            if self.standing.lock().fingerprint == fingerprint {
                return Ok(None);
            }
            // Everything is tried before anything is replaced.
            read.check()?;
            let (config, ends) = (read.server_config()?, read.ends()?);
            self.peer.replace(&read.peer).map_err(failed("certificates between nodes"))?;
            self.client.current.store(Arc::new(config));
            Ok(Some(Standing { fingerprint, ends, refused: None }))
        });
        let mut standing = self.standing.lock();
        match tried {
            Ok(None) => standing.refused = None,
            Ok(Some(new)) => {
                *standing = new;
                tracing::info!("certificates were replaced: connections made from now on use the new ones");
            }
            Err(refused) => {
                let refused = refused.to_string();
                if standing.refused.as_ref() != Some(&refused) {
                    tracing::warn!(reason = refused, "new certificates are not used; the ones before stay in use");
                    standing.refused = Some(refused);
                }
            }
        }
    }

    /// Raises an alarm when a certificate expires soon, once for each stage of it, and when files cannot be used.
    pub(crate) async fn watch_expiry(self: Arc<Self>, door: Arc<Door>, clock: Arc<dyn Clock>) {
        let mut raised = BTreeMap::new();
        let mut next = tokio::time::interval(ALARM);
        next.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            next.tick().await;
            if !door.view().state.is_founded() {
                continue;
            }
            let (days, refused) = self.days_left(&*clock);
            let expiring = days.into_iter().map(|(name, days)| (name, stage(days).map(|at| (STAGES[at].1, at, expires(days)))));
            let unusable = refused.map(|why| (Severity::Warning, 0, format!("new certificates are not used: {why}")));
            for (name, alarm) in expiring.chain([("certificates", unusable)]) {
                let Some((severity, stage, text)) = alarm else {
                    raised.remove(name);
                    continue;
                };
                if raised.get(name) != Some(&stage) && raise(&door, name, severity, text).await {
                    raised.insert(name, stage);
                }
            }
        }
    }
}

async fn raise(door: &Door, name: &str, severity: Severity, text: String) -> bool {
    let subject = format!("{name} of node {}", door.node_id);
    let upkeep = GuardUpkeep::Raise { kind: AlertKind::Node, severity, text: format!("{subject}: {text}"), subject };
    let raised = door.submit_own("certificates", Command::Upkeep(Box::new(Upkeep::Guard(upkeep))), PATIENCE).await;
    if let Err(lost) = &raised {
        tracing::warn!(%lost, name, "no alarm is raised yet about a certificate; trying on");
    }
    raised.is_ok()
}

/// The first stage that a certificate with so many days left has reached.
fn stage(days: f64) -> Option<usize> {
    STAGES.iter().position(|(limit, _)| days <= *limit)
}

/// What there is to say of a certificate with so many days left.
pub(crate) fn expires(days: f64) -> String {
    match days {
        days if days < 0.0 => format!("expired {:.0} days ago", -days),
        days if days < 2.0 => format!("expires in {:.0} hours", days * 24.0),
        days => format!("expires in {days:.0} days"),
    }
}

impl Read {
    fn new(files: &TlsConfig) -> Result<Read, BootError> {
        let peer = PeerCredentials {
            ca_pem: boot::read("tls.ca", &files.ca)?,
            cert_pem: boot::read("tls.peer_certificate", &files.peer_certificate)?,
            key_pem: boot::read("tls.peer_key", &files.peer_key)?,
        };
        let authority = files.client_ca.as_ref().map(|path| boot::read("tls.client_ca", path)).transpose()?;
        Ok(Read {
            peer,
            client_certificate: boot::read("tls.client_certificate", &files.client_certificate)?,
            client_key: Zeroizing::new(boot::read("tls.client_key", &files.client_key)?),
            client_authority: authority,
        })
    }

    /// Whether others will believe it.
    fn check(&self) -> Result<(), BootError> {
        verified::check(&self.peer, &self.client_certificate)
    }

    fn fingerprint(&self) -> blake3::Hash {
        let PeerCredentials { ca_pem, cert_pem, key_pem } = &self.peer;
        let authority = self.client_authority.as_deref().unwrap_or_default();
        let mut hasher = blake3::Hasher::new();
        for part in [ca_pem, cert_pem, key_pem, &self.client_certificate, &*self.client_key, authority] {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
        }
        hasher.finalize()
    }

    /// When each certificate ends; of several in one file, the first that does.
    fn ends(&self) -> Result<Vec<(&'static str, i64)>, BootError> {
        let files = [
            ("certificate-peer", "tls.peer_certificate", &self.peer.cert_pem),
            ("certificate-client", "tls.client_certificate", &self.client_certificate),
            ("certificate-authority", "tls.ca", &self.peer.ca_pem),
        ];
        files.into_iter().map(|(name, key, pem)| Ok((name, first_end(key, pem)?))).collect()
    }

    fn server_config(&self) -> Result<ServerConfig, BootError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
        let builder = builder.map_err(failed("tls for clients"))?;
        let builder = match &self.client_authority {
            None => builder.with_no_client_auth(),
            Some(pem) => {
                let verifier = WebPkiClientVerifier::builder_with_provider(roots("tls.client_ca", pem)?, provider);
                // A client may show a certificate and need not.
                let verifier = verifier.allow_unauthenticated().build().map_err(failed("setting tls.client_ca"))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let chain = certificates("tls.client_certificate", &self.client_certificate)?;
        let key =
            PrivateKeyDer::from_pem_slice(&self.client_key).map_err(failed("setting tls.client_key: read the private key"))?;
        let config = builder.with_single_cert(chain, key);
        let mut config = config.map_err(failed("settings tls.client_certificate and tls.client_key do not fit together"))?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(config)
    }
}

/// At least one certificate.
fn certificates(key: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, BootError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let read = read.map_err(failed(format!("setting {key}: read a certificate")))?;
    if read.is_empty() {
        return Err(failed(format!("setting {key}"))("there is no certificate in the file"));
    }
    Ok(read)
}

/// The authorities in a file.
fn roots(key: &str, pem: &[u8]) -> Result<Arc<RootCertStore>, BootError> {
    let mut roots = RootCertStore::empty();
    for authority in certificates(key, pem)? {
        roots.add(authority).map_err(failed(format!("setting {key}")))?;
    }
    Ok(Arc::new(roots))
}

fn first_end(key: &str, pem: &[u8]) -> Result<i64, BootError> {
    let end = |certificate: CertificateDer<'_>| {
        let (_, parsed) =
            X509Certificate::from_der(&certificate).map_err(failed(format!("setting {key}: read a certificate")))?;
        Ok(parsed.validity().not_after.timestamp())
    };
    let ends: Result<Vec<i64>, BootError> = certificates(key, pem)?.into_iter().map(end).collect();
    // There is at least one.
    Ok(ends?.into_iter().min().unwrap_or(i64::MIN))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::kit::{self, NodePlan};
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};
    use std::path::Path;

    #[test]
    fn the_certificate_that_expires_first_counts() {
        let until = |year| {
            let mut params = CertificateParams::new(vec!["a".to_owned()]).unwrap();
            params.not_after = date_time_ymd(year, 1, 1);
            params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
        };
        let year_of = |pem: String| 1970 + first_end("tls.ca", pem.as_bytes()).unwrap() / 31_556_952;
        assert_eq!(year_of(until(2200) + &until(2101)), 2101);
        assert_eq!(year_of(until(2200)), 2200);
        assert!(first_end("tls.ca", b"none").unwrap_err().to_string().contains("tls.ca: there is no certificate"));
    }

    #[test]
    fn an_alarm_is_raised_at_each_stage() {
        assert_eq!([31.0, 29.0, 6.0, 0.5, -1.0].map(stage), [None, Some(3), Some(2), Some(1), Some(0)]);
        assert_eq!(expires(0.5), "expires in 12 hours");
    }

    /// Every file of one kit, over those of another.
    fn lay_over(from: &Path, to: &Path, names: &[&str]) {
        for name in names {
            std::fs::copy(from.join("tls").join(name), to.join("tls").join(name)).unwrap();
        }
    }

    #[test]
    fn new_files_are_taken_together_or_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let [one, other] = ["one", "other"].map(|name| {
            let kit = directory.path().join(name);
            kit::create_without_keys(&kit, &NodePlan::local(2, 7000)).unwrap();
            kit
        });
        let home = kit::node_directory(&one, 1);
        let config = crate::config::Config::load(&home.join("holdfast.toml"), std::iter::empty(), &[]).unwrap();
        let certificates = Certificates::load(&config.tls, 1).unwrap();
        let shown = || (Arc::as_ptr(&certificates.client.current.load_full()), Arc::as_ptr(&certificates.peer.server_config()));
        let refused = || certificates.days_left(&SystemClock).1;
        let before = shown();
        certificates.look();
        assert_eq!((shown(), refused()), (before, None), "nothing is new");

        let new = kit::node_directory(&other, 1);
        lay_over(&new, &home, &["peer.pem", "client.pem", "ca.pem"]);
        certificates.look();
        assert_eq!(shown(), before);
        assert!(refused().unwrap().contains("do not fit together"), "{:?}", refused());
        lay_over(&new, &home, &["peer.key", "client.key"]);
        certificates.look();
        assert_eq!(refused(), None);
        assert!(shown().0 != before.0 && shown().1 != before.1);

        let before = shown();
        lay_over(&kit::node_directory(&other, 2), &home, &["peer.pem", "peer.key"]);
        certificates.look();
        assert_eq!(shown(), before);
        assert!(refused().unwrap().contains("certificate is for node 2"), "{:?}", refused());
        std::fs::remove_file(home.join("tls/ca.pem")).unwrap();
        certificates.look();
        assert!(refused().unwrap().contains("tls.ca"), "{:?}", refused());
    }
}

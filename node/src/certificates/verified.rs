//! Whether others will believe what a node shows: a node that nobody believes would come up and wait for ever.

use super::{certificates, roots};
use crate::boot::{BootError, failed};
use raft::transport::grpc::PeerCredentials;
use rustls::CertificateError;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::FromDer;

/// Holds both certificates against the cluster's authority.
///
/// The hour does not matter: that has an alarm of its own, and clocks may be wrong. What clients are shown may be another authority's, and
/// then is for clients to judge.
///
/// # Errors
/// When the authority did not make the one for other nodes, or a bit of a certificate has turned.
pub(super) fn check(peer: &PeerCredentials, client: &[u8]) -> Result<(), BootError> {
    let verifier = verifier(&peer.ca_pem)?;
    let shown = certificates("tls.peer_certificate", &peer.cert_pem)?;
    match refusal(&verifier, &shown) {
        None => {}
        Some(why) => {
            let doing = failed("setting tls.peer_certificate: verify it against tls.ca");
            return Err(doing(format!("{why}: one of the two files is damaged, or another authority made it")));
        }
    }
    let shown = certificates("tls.client_certificate", client)?;
    match refusal(&verifier, &shown) {
        Some(why) if names_its_authority(&shown[0], &peer.ca_pem)? => {
            let doing = failed("setting tls.client_certificate: verify it against tls.ca");
            Err(doing(format!("{why}: one of the two files is damaged")))
        }
        _ => Ok(()),
    }
}

/// Whether a certificate says by whose key it is signed, and that key is one of these authorities'. Names alone do not tell: those of
/// two authorities may be alike.
fn names_its_authority(certificate: &CertificateDer<'_>, authorities: &[u8]) -> Result<bool, BootError> {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return Ok(true) };
    let signed_by = certificate.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(by) => by.key_identifier.as_ref().map(|key| key.0),
        _ => None,
    });
    let Some(signed_by) = signed_by else { return Ok(false) };
    let is_key_of = |authority: &CertificateDer<'_>| {
        let Ok((_, authority)) = X509Certificate::from_der(authority) else { return false };
        authority.extensions().iter().any(
            |extension| matches!(extension.parsed_extension(), ParsedExtension::SubjectKeyIdentifier(key) if key.0 == signed_by),
        )
    };
    Ok(certificates("tls.ca", authorities)?.iter().any(is_key_of))
}

fn verifier(authorities: &[u8]) -> Result<Arc<WebPkiServerVerifier>, BootError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    WebPkiServerVerifier::builder_with_provider(roots("tls.ca", authorities)?, provider).build().map_err(failed("setting tls.ca"))
}

/// Why a chain is not believed, whatever its name and the hour.
fn refusal(verifier: &WebPkiServerVerifier, chain: &[CertificateDer<'_>]) -> Option<rustls::Error> {
    use CertificateError::{InvalidPurpose, InvalidPurposeContext, NotValidForName, NotValidForNameContext};
    // Names come after signatures: which one is asked for does not matter.
    let name = ServerName::from(Ipv4Addr::LOCALHOST);
    let hour = an_hour_of(chain).unwrap_or_else(UnixTime::now);
    match verifier.verify_server_cert(&chain[0], &chain[1..], &name, &[], hour) {
        Ok(_) => None,
        Err(rustls::Error::InvalidCertificate(
            InvalidPurpose | InvalidPurposeContext { .. } | NotValidForName | NotValidForNameContext { .. },
        )) => None,
        Err(why) => Some(why),
    }
}

/// When all certificates of a chain have begun to be good; where one has ended by then, they have never been good together.
fn an_hour_of(chain: &[CertificateDer<'_>]) -> Option<UnixTime> {
    let begins = chain.iter().filter_map(|certificate| {
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        u64::try_from(parsed.validity().not_before.timestamp()).ok()
    });
    begins.max().map(|since| UnixTime::since_unix_epoch(Duration::from_secs(since)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::{self, NodePlan};
    use rustls::pki_types::pem::PemObject;
    use std::path::Path;

    fn read(home: &Path) -> (PeerCredentials, Vec<u8>) {
        let file = |name: &str| std::fs::read(home.join("tls").join(name)).unwrap();
        let peer = PeerCredentials { ca_pem: file("ca.pem"), cert_pem: file("peer.pem"), key_pem: file("peer.key") };
        (peer, file("client.pem"))
    }

    /// Every certificate that differs in one letter of its text, and by that in itself: the last letter may carry bits that count for nothing.
    fn turned(pem: &[u8]) -> Vec<Vec<u8>> {
        let body = 1 + pem.iter().position(|byte| *byte == b'\n').unwrap();
        let end = pem.windows(4).rposition(|part| part == b"\n---").unwrap();
        let places = (body..end).filter(|at| pem[*at].is_ascii_alphanumeric());
        let turn = |at| {
            let mut pem = pem.to_vec();
            pem[at] = if pem[at] == b'A' { b'I' } else { b'A' };
            pem
        };
        let read = |pem: &[u8]| CertificateDer::from_pem_slice(pem).ok();
        let whole = read(pem);
        places.map(turn).filter(|turned| read(turned) != whole).collect()
    }

    #[test]
    fn a_certificate_in_which_a_bit_has_turned_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let kit = directory.path().join("kit");
        kit::create_without_keys(&kit, &NodePlan::local(1, 7000)).unwrap();
        let (peer, client) = read(&kit::node_directory(&kit, 1));
        check(&peer, &client).unwrap();
        for cert_pem in turned(&peer.cert_pem) {
            let text = String::from_utf8_lossy(&cert_pem).into_owned();
            assert!(check(&PeerCredentials { cert_pem, ..peer.clone() }, &client).is_err(), "{text}");
        }
        // With a letter in the key of its maker, it is another authority's for all anybody knows.
        let all = turned(&client);
        let passed = all.iter().filter(|client| check(&peer, client).is_ok()).count();
        assert!(passed * 4 < all.len(), "{passed} of {}", all.len());
    }

    #[test]
    fn clients_may_be_shown_another_authoritys_certificate_though_its_name_is_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let [(peer, _), (_, client)] = ["one", "other"].map(|name| {
            let kit = directory.path().join(name);
            kit::create_without_keys(&kit, &NodePlan::local(1, 7000)).unwrap();
            read(&kit::node_directory(&kit, 1))
        });
        check(&peer, &client).unwrap();
    }
}

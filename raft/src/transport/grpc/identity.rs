//! Which node a certificate speaks for.

use rustls::pki_types::CertificateDer;
use x509_parser::{extensions::GeneralName, prelude::FromDer};

use super::tls::PeerTlsError;

/// The node at the other end of a connection, from its certificate. A request extension of every request on the peer port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PeerIdentity(pub u64);

/// The DNS name in the certificate of node `id`.
#[must_use]
pub fn peer_name(id: u64) -> String {
    format!("node-{id}")
}

/// The node that `certificate` names. A certificate that names several nodes names none.
pub(super) fn of(certificate: &CertificateDer<'_>) -> Result<PeerIdentity, PeerTlsError> {
    let (_, certificate) = x509_parser::certificate::X509Certificate::from_der(certificate)
        .map_err(|error| PeerTlsError::Certificate(error.to_string()))?;
    let names = certificate.subject_alternative_name().map_err(|error| PeerTlsError::Certificate(error.to_string()))?;
    let mut nodes = names.iter().flat_map(|names| &names.value.general_names).filter_map(|name| match name {
        GeneralName::DNSName(name) => node(name),
        _ => None,
    });
    match (nodes.next(), nodes.next()) {
        (Some(id), None) => Ok(PeerIdentity(id)),
        (None, _) => Err(PeerTlsError::Anonymous),
        (Some(first), Some(second)) => Err(PeerTlsError::Ambiguous(first, second)),
    }
}

/// `node-7` is 7; `node-07` is nobody.
fn node(name: &str) -> Option<u64> {
    let id = name.strip_prefix("node-")?.parse().ok()?;
    (peer_name(id) == name).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_plain_form_of_a_name_is_a_node() {
        assert_eq!(node("node-7"), Some(7));
        for other in ["node-07", "node-", "node-x", "node-+7", "node-7.example", "7", "localhost"] {
            assert_eq!(node(other), None, "{other}");
        }
    }
}

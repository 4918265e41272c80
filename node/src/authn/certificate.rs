//! What a client certificate says of its holder. That it leads to the authority, TLS has verified.

use node_domain::identity::CertificateLogin;
use node_domain::ids::{IdentityName, Stamp, TokenHash};
use node_domain::limits;
use sha2::{Digest as _, Sha256};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Reads the names of a certificate.
pub(crate) fn login(der: &[u8], role: Option<IdentityName>, token: TokenHash) -> Result<CertificateLogin, String> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(|error| error.to_string())?;
    let alternative = certificate.subject_alternative_name().map_err(|error| error.to_string())?;
    let names = alternative.iter().flat_map(|extension| &extension.value.general_names).filter_map(|name| match name {
        GeneralName::DNSName(name) | GeneralName::RFC822Name(name) | GeneralName::URI(name) => Some(*name),
        _ => None,
    });
    let names: Vec<String> = names.map(bounded).take(limits::CERTIFICATE_NAMES_MAX).collect();
    let common_name = certificate.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
    let not_after = u64::try_from(certificate.validity().not_after.timestamp()).unwrap_or(0);
    Ok(CertificateLogin {
        role,
        names,
        common_name: common_name.map(bounded).unwrap_or_default(),
        fingerprint: Sha256::digest(der).into(),
        not_after: Stamp(not_after.saturating_mul(1_000_000)),
        token,
    })
}

fn bounded(name: &str) -> String {
    limits::cut(name.to_owned(), limits::CERTIFICATE_NAME_BYTES_MAX)
}

//! The certificates of a kit: who signs them, for how long, and new ones in place of old ones.

use super::{KitError, node_directory, read, write};
use jiff::{Timestamp, ToSpan, Unit, Zoned, tz::TimeZone};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use std::path::Path;
use x509_parser::extensions::GeneralName;
use x509_parser::pem::Pem;

/// How long the certificate of a node is good for. Health warns a month before it ends; `holdfastd kit --renew` makes another.
const NODE_DAYS: i64 = 365;
/// The authority changes by hand only, and seldom.
const AUTHORITY_DAYS: i64 = 10 * 365;

/// What one node shows others and clients, as PEM.
pub(super) struct Issued {
    peer: (String, String),
    client: (String, String),
}

impl Issued {
    /// New certificates of node `id`, which clients reach by `names`.
    pub(super) fn new(id: u64, names: Vec<String>, authority: &Issuer<'_, KeyPair>) -> Result<Issued, KitError> {
        let peer_name = raft::transport::grpc::peer_name(id);
        let peer = certificate(vec![peer_name.clone()], &peer_name, authority)?;
        let client = certificate(names, &format!("holdfast node {id}"), authority)?;
        Ok(Issued { peer, client })
    }

    /// Name, mode and contents of each file.
    pub(super) fn files(&self) -> [(&'static str, u32, &str); 4] {
        [
            ("peer.pem", 0o644, &self.peer.0),
            ("peer.key", 0o600, &self.peer.1),
            ("client.pem", 0o644, &self.client.0),
            ("client.key", 0o600, &self.client.1),
        ]
    }
}

/// Puts new certificates in place of those of `ids`, or of every node of the kit where none is named, signed by the kit's authority for
/// the names that the old ones have; which nodes got them. A running node takes them a few seconds after they were copied to it.
///
/// # Errors
/// When the kit is not whole. Nodes before the one at fault have new certificates then.
pub fn renew(directory: &Path, ids: &[u64]) -> Result<Vec<u64>, KitError> {
    let (issuer, _) = issuer_of(directory)?;
    let ids = if ids.is_empty() { nodes_of(directory)? } else { ids.to_vec() };
    if ids.is_empty() {
        return Err(KitError::Plan(format!("{} is no kit: there is no directory node1", directory.display())));
    }
    for id in &ids {
        let tls = node_directory(directory, *id).join("tls");
        let issued = Issued::new(*id, names_in(&tls.join("client.pem"))?, &issuer)?;
        for (name, mode, contents) in issued.files() {
            replace(&tls.join(name), contents.as_bytes(), mode)?;
        }
    }
    Ok(ids)
}

/// Who signs the certificates of an existing kit, and his own certificate.
pub(super) fn issuer_of(directory: &Path) -> Result<(Issuer<'static, KeyPair>, String), KitError> {
    let ca_pem = String::from_utf8_lossy(&read(directory.join("ca.pem"))?).into_owned();
    let ca_key = zeroize::Zeroizing::new(read(directory.join("ca.key"))?);
    let ca_key = KeyPair::from_pem(&zeroize::Zeroizing::new(String::from_utf8_lossy(&ca_key).into_owned()))?;
    Ok((Issuer::from_ca_cert_pem(&ca_pem, ca_key)?, ca_pem))
}

pub(super) fn authority() -> Result<CertifiedIssuer<'static, KeyPair>, KitError> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "holdfast cluster authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    good_for(&mut params, AUTHORITY_DAYS)?;
    Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
}

/// A certificate for `names`, with its key: both PEM.
fn certificate(names: Vec<String>, common_name: &str, authority: &Issuer<'_, KeyPair>) -> Result<(String, String), KitError> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.use_authority_key_identifier_extension = true;
    good_for(&mut params, NODE_DAYS)?;
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, authority)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

/// From yesterday, for machines whose clocks are behind, for so many days from today.
fn good_for(params: &mut CertificateParams, days: i64) -> Result<(), KitError> {
    let today = Timestamp::now().to_zoned(TimeZone::UTC);
    let on = |day: Result<Zoned, jiff::Error>| {
        let day = day
            .and_then(|day| day.round(Unit::Second))
            .map_err(|error| KitError::Plan(format!("this machine's clock: {error}")))?;
        Ok::<_, KitError>(rcgen::date_time_ymd(i32::from(day.year()), day.month().unsigned_abs(), day.day().unsigned_abs()))
    };
    params.not_before = on(today.checked_sub(1.day()))?;
    params.not_after = on(today.checked_add(days.days()))?;
    Ok(())
}

/// The nodes that have a directory in the kit.
fn nodes_of(directory: &Path) -> Result<Vec<u64>, KitError> {
    let entries = std::fs::read_dir(directory);
    let entries = entries.map_err(|cause| KitError::File { doing: "read", path: directory.to_owned(), cause })?;
    let id = |entry: std::fs::DirEntry| entry.file_name().to_str()?.strip_prefix("node")?.parse().ok();
    let mut ids: Vec<u64> = entries.filter_map(Result::ok).filter_map(id).collect();
    ids.sort_unstable();
    Ok(ids)
}

/// The names that a certificate is for.
fn names_in(path: &Path) -> Result<Vec<String>, KitError> {
    let unread = |why: &dyn std::fmt::Display| KitError::Plan(format!("{}: {why}", path.display()));
    let text = read(path.to_owned())?;
    let pem = Pem::iter_from_buffer(&text).next().ok_or_else(|| unread(&"there is no certificate in it"))?;
    let pem = pem.map_err(|error| unread(&error))?;
    let parsed = pem.parse_x509().map_err(|error| unread(&error))?;
    let names = parsed.subject_alternative_name().map_err(|error| unread(&error))?;
    let names = names.iter().flat_map(|names| &names.value.general_names).filter_map(|name| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(octets) => address(octets),
        _ => None,
    });
    let names: Vec<String> = names.collect();
    if names.is_empty() { Err(unread(&"it is for no name")) } else { Ok(names) }
}

fn address(octets: &[u8]) -> Option<String> {
    if let Ok(four) = <[u8; 4]>::try_from(octets) {
        return Some(std::net::Ipv4Addr::from(four).to_string());
    }
    <[u8; 16]>::try_from(octets).ok().map(|sixteen| std::net::Ipv6Addr::from(sixteen).to_string())
}

/// Written beside, then put in place: whoever reads finds the old one whole, or the new one.
fn replace(path: &Path, contents: &[u8], mode: u32) -> Result<(), KitError> {
    let partial = path.with_extension("partial");
    let at = |doing| move |cause| KitError::File { doing, path: path.to_owned(), cause };
    match std::fs::remove_file(&partial) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(at("replace")(error)),
        _ => {}
    }
    write(&partial, contents, mode)?;
    std::fs::rename(&partial, path).map_err(at("replace"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::{NodePlan, create_without_keys};

    #[test]
    fn renewed_certificates_are_for_the_same_names_and_of_the_same_authority() {
        let directory = tempfile::tempdir().unwrap();
        let kit = directory.path().join("kit");
        create_without_keys(&kit, &[NodePlan::parse("id=4,client=10.0.0.4:7100,peer=10.0.0.4:7200").unwrap()]).unwrap();
        let tls = kit.join("node4/tls");
        let before: Vec<_> = ["peer.pem", "peer.key", "client.pem", "client.key", "ca.pem"]
            .map(|name| (name, std::fs::read(tls.join(name)).unwrap()))
            .into();
        let names = names_in(&tls.join("client.pem")).unwrap();
        assert_eq!(names, ["localhost", "127.0.0.1", "::1", "10.0.0.4"]);
        assert_eq!(renew(&kit, &[]).unwrap(), [4]);
        assert_eq!(names_in(&tls.join("client.pem")).unwrap(), names);
        assert_eq!(names_in(&tls.join("peer.pem")).unwrap(), ["node-4"]);
        for (name, old) in before {
            assert_eq!(std::fs::read(tls.join(name)).unwrap() == old, name == "ca.pem", "{name}");
        }
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(tls.join("peer.key")).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        assert!(renew(&kit, &[5]).unwrap_err().to_string().contains("node5"));
        assert!(renew(directory.path(), &[]).is_err(), "no kit");
    }
}

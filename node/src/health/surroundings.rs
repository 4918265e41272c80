//! What lies around the node and is looked at on a thread of its own, because a disk that hangs would keep whoever looks.

use crate::clock::Clock;
use crate::config::Config;
use parking_lot::Mutex;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use x509_parser::pem::Pem;

/// How often it is looked.
const LOOK: Duration = Duration::from_secs(5);
const DAY: f64 = 86_400.0;

/// What was seen, and when.
#[derive(Clone, Debug)]
pub(super) struct Around {
    pub(super) looked: Instant,
    /// Bytes free and in all, where the data lies.
    pub(super) room: Option<(u64, u64)>,
    /// Days that each certificate is still good for, or why that is not known.
    pub(super) certificates: Vec<(&'static str, Result<f64, String>)>,
}

/// Where to look, and what was seen last.
pub(super) struct Surroundings {
    data: PathBuf,
    certificates: Vec<(&'static str, PathBuf)>,
    clock: Arc<dyn Clock>,
    newest: Mutex<Around>,
}

impl Surroundings {
    pub(super) fn of(config: &Config, clock: Arc<dyn Clock>) -> Surroundings {
        let data = config.node.data.clone();
        let certificates = vec![
            ("certificate-peer", config.tls.peer_certificate.clone()),
            ("certificate-client", config.tls.client_certificate.clone()),
            ("certificate-authority", config.tls.ca.clone()),
        ];
        let newest = Mutex::new(look(&data, &certificates, &*clock));
        Surroundings { data, certificates, clock, newest }
    }

    pub(super) fn newest(&self) -> Around {
        self.newest.lock().clone()
    }

    /// Looks again and again. A look that never ends leaves the last one standing, which gets old.
    pub(super) async fn keep_looking(self: Arc<Self>) {
        let mut next = tokio::time::interval(LOOK);
        next.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            next.tick().await;
            let own = Arc::clone(&self);
            let looked = raft::offload(move || look(&own.data, &own.certificates, &*own.clock)).await;
            if let Ok(looked) = looked {
                *self.newest.lock() = looked;
            }
        }
    }
}

fn look(data: &Path, certificates: &[(&'static str, PathBuf)], clock: &dyn Clock) -> Around {
    let room = rustix::fs::statvfs(data).ok().map(|room| (room.f_bavail * room.f_frsize, room.f_blocks * room.f_frsize));
    let certificates = certificates.iter().map(|(name, path)| (*name, days_left(path, clock))).collect();
    Around { looked: Instant::now(), room, certificates }
}

/// Days until the first certificate of several expires; negative where it has.
fn days_left(path: &Path, clock: &dyn Clock) -> Result<f64, String> {
    let unread = |why: &dyn std::fmt::Display| format!("{} cannot be read: {why}", path.display());
    let text = std::fs::read(path).map_err(|error| unread(&error))?;
    let mut first: Option<i64> = None;
    for pem in Pem::iter_from_buffer(&text) {
        let pem = pem.map_err(|error| unread(&error))?;
        let ends = pem.parse_x509().map_err(|error| unread(&error))?.validity().not_after.timestamp();
        first = Some(first.map_or(ends, |known| known.min(ends)));
    }
    let ends = first.ok_or_else(|| unread(&"there is no certificate in it"))?;
    let now = clock.now().0 as f64 / 1e6;
    Ok((ends as f64 - now) / DAY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    #[test]
    fn the_certificate_that_expires_first_counts() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("two.pem");
        let until = |year| {
            let mut params = CertificateParams::new(vec!["a".to_owned()]).unwrap();
            params.not_after = date_time_ymd(year, 1, 1);
            params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
        };
        std::fs::write(&path, until(2200) + &until(2001)).unwrap();
        assert!(days_left(&path, &SystemClock).unwrap() < -365.0);
        std::fs::write(&path, until(2200)).unwrap();
        assert!(days_left(&path, &SystemClock).unwrap() > 365.0);
        std::fs::write(&path, "none").unwrap();
        assert!(days_left(&path, &SystemClock).unwrap_err().contains("no certificate"));
    }
}

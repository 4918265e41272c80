//! The row of every value, against the digest that the state has of it.

use super::{Ended, Scrub};
use crate::engine::values::{Row, ValueKey};
use node_domain::ids::{EnvironmentName, SecretPath};
use node_domain::repair::RepairPart;
use node_domain::sealed::SealRef;
use node_domain::secret::VersionState;
use std::time::Duration;

/// Secrets looked at on one view: an old view keeps old state in memory.
const SECRETS_AT_ONCE: usize = 128;
/// How often a row that does not fit is held against a newer view, and how long to wait for that: it may have been rewrapped.
const LOOKS: u32 = 4;
const NEXT_LOOK: Duration = Duration::from_millis(100);

/// One value of the state.
struct Named {
    environment: EnvironmentName,
    path: SecretPath,
    key: ValueKey,
}

impl Scrub {
    /// Every row of a value; whether all of them fit now.
    pub(super) fn check_values(&self) -> Result<bool, Ended> {
        let view = self.holdings.door.view();
        let names: Vec<EnvironmentName> = view.state.environments().map(|home| home.about.name.clone()).collect();
        drop(view);
        let mut is_whole = true;
        for name in names {
            let mut cursor = String::new();
            loop {
                let (named, next) = self.named(&name, &cursor);
                is_whole &= self.check_rows(&named)?;
                let Some(next) = next else { break };
                cursor = next.to_string();
            }
        }
        Ok(is_whole)
    }

    /// Values of the next secrets, and where to go on.
    fn named(&self, name: &EnvironmentName, cursor: &str) -> (Vec<Named>, Option<SecretPath>) {
        let view = self.holdings.door.view();
        let Ok(home) = view.state.environment(name) else { return (Vec::new(), None) };
        // A row from elsewhere must open before it is put back, and nothing opens here.
        if view.state.keys().sealed(name).is_some() {
            return (Vec::new(), None);
        }
        let secrets: Vec<_> = home.under("", cursor).take(SECRETS_AT_ONCE).collect();
        let next = secrets.last().filter(|_| secrets.len() == SECRETS_AT_ONCE).map(|secret| secret.path.clone());
        let mut named = Vec::new();
        for secret in secrets {
            let kept = secret.versions.iter().filter(|version| version.state != VersionState::Destroyed);
            named.extend(kept.map(|version| Named {
                environment: name.clone(),
                path: secret.path.clone(),
                key: (secret.id, version.number),
            }));
        }
        (named, next)
    }

    fn check_rows(&self, named: &[Named]) -> Result<bool, Ended> {
        let mut lost = None;
        let mut damaged = false;
        for named in named {
            let Err(why) = self.check_row(named)? else { continue };
            let Some(seal) = self.newest(named) else { continue };
            let Named { environment, key: (secret, version), .. } = named;
            damaged = true;
            self.found(RepairPart::Value, format!("secret {} v{version} of {environment}: {why}", secret.0));
            let door = &self.holdings.door;
            if let Err(error) = self.wait(door.mending.fetch_quietly(door, environment, named.key, &seal))? {
                lost = Some(error.to_string());
            }
        }
        Ok(!damaged || self.settled(RepairPart::Value, lost.map_or(Ok(()), Err)))
    }

    /// Whether a row holds what the state names: the inner error says why not.
    fn check_row(&self, named: &Named) -> Result<Result<(), String>, Ended> {
        let mut misfit = self.look(named)?;
        for _ in 1..LOOKS {
            if misfit.is_ok() {
                break;
            }
            self.rest(NEXT_LOOK)?;
            misfit = self.look(named)?;
        }
        Ok(misfit)
    }

    fn look(&self, named: &Named) -> Result<Result<(), String>, Ended> {
        let row = self.holdings.door.values.find_on_disk(&named.environment, named.key);
        // Looked up after the row: a value that was destroyed or rewrapped meanwhile is judged by what it is now.
        let Some(seal) = self.newest(named) else { return Ok(Ok(())) };
        let payload = match row {
            Ok(Row::Waiting) => return Ok(Ok(())),
            Ok(Row::Missing) => return Ok(Err("its row is missing".to_owned())),
            Ok(Row::There(payload)) => payload,
            Err(error) => return Ok(Err(error.to_string())),
        };
        self.keep_pace((payload.ciphertext.len() + payload.wrapped_key.len()) as u64)?;
        let fits = payload.digest(seal.key_version, &seal.value_id) == seal.digest;
        Ok(if fits { Ok(()) } else { Err("its row is not what the state names".to_owned()) })
    }

    /// How the state names the value now, if it does.
    fn newest(&self, named: &Named) -> Option<SealRef> {
        let view = self.holdings.door.view();
        let secret = view
            .state
            .environment(&named.environment)
            .ok()?
            .secret(&named.path)
            .ok()
            .filter(|secret| secret.id == named.key.0)?;
        let version = secret.version(named.key.1).filter(|version| version.state != VersionState::Destroyed)?;
        Some(version.seal.clone())
    }
}

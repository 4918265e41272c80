//! Key sets of issuers: parsed from the state, or fetched, kept for a while, and fetched again when a key is not in them.

use jsonwebtoken::jwk::JwkSet;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::time::Instant;

/// A set is fetched at most so often, whatever keys are asked for: nobody makes this node ask others without end.
const AGAIN: Duration = Duration::from_secs(30);
/// A set that is older is fetched anew: a key that the issuer has withdrawn counts so long at most.
const AGE_MAX: Duration = Duration::from_secs(600);
/// How long one fetch may take.
const FETCH: Duration = Duration::from_secs(5);
/// Largest set that is fetched, in bytes.
const BYTES_MAX: usize = 256 << 10;
/// Addresses that are remembered.
const ADDRESSES_MAX: usize = 1024;

/// The sets of issuers that publish them at an address.
#[derive(Default)]
pub(crate) struct KeySets {
    /// Made for the first fetch: it reads the machine's authorities, and a machine that has none serves all who need none.
    http: OnceLock<reqwest::Client>,
    known: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Kept>>>>,
}

#[derive(Default)]
struct Kept {
    set: Option<(Arc<JwkSet>, Instant)>,
    tried: Option<Instant>,
}

impl KeySets {
    fn http(&self) -> Result<&reqwest::Client, String> {
        if let Some(http) = self.http.get() {
            return Ok(http);
        }
        let client = reqwest::Client::builder().timeout(FETCH).redirect(reqwest::redirect::Policy::none()).no_proxy().build();
        let client = client.map_err(|error| format!("make a client for the keys of issuers: {error}"))?;
        Ok(self.http.get_or_init(|| client))
    }

    /// The set at an address: one that holds the key asked for, or else the newest there is.
    pub(crate) async fn fetch(&self, url: &str, key: Option<&str>) -> Result<Arc<JwkSet>, String> {
        let place = {
            let mut known = self.known.lock();
            if known.len() >= ADDRESSES_MAX && !known.contains_key(url) {
                known.clear();
            }
            known.entry(url.to_owned()).or_default().clone()
        };
        // One fetch of one address at a time; whoever waited finds what it brought.
        let mut kept = place.lock().await;
        let now = Instant::now();
        let fresh = kept
            .set
            .as_ref()
            .filter(|(set, fetched)| now.duration_since(*fetched) < AGE_MAX && key.is_none_or(|key| set.find(key).is_some()));
        if let Some((set, _)) = fresh {
            return Ok(set.clone());
        }
        if kept.tried.is_none_or(|tried| now.duration_since(tried) >= AGAIN) {
            kept.tried = Some(now);
            match self.read(url).await {
                Ok(set) => kept.set = Some((Arc::new(set), now)),
                Err(cause) => tracing::warn!(host = host_of(url), %cause, "the key set of an issuer could not be fetched"),
            }
        }
        let usable = kept.set.as_ref().filter(|(_, fetched)| now.duration_since(*fetched) < AGE_MAX);
        usable.map(|(set, _)| set.clone()).ok_or_else(|| "the keys of the issuer cannot be fetched".to_owned())
    }

    async fn read(&self, url: &str) -> Result<JwkSet, String> {
        check_address(url)?;
        let mut response = self.http()?.get(url).send().await.map_err(|error| error.without_url().to_string())?;
        if !response.status().is_success() {
            return Err(format!("it answers {}", response.status()));
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| error.without_url().to_string())? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > BYTES_MAX {
                return Err(format!("it has more than {BYTES_MAX} bytes"));
            }
        }
        parse(&bytes)
    }
}

/// A key set from its JSON. What is wrong with it is said by its place: a wrong file may hold what nobody wants in the journal.
pub(crate) fn parse(json: &[u8]) -> Result<JwkSet, String> {
    let set: JwkSet = serde_json::from_slice(json)
        .map_err(|error| format!("it is no JSON Web Key Set (line {}, column {})", error.line(), error.column()))?;
    if set.keys.is_empty() { Err("it holds no key".to_owned()) } else { Ok(set) }
}

/// What may be logged of an address: the rest of it may be a secret.
fn host_of(url: &str) -> String {
    let host = reqwest::Url::parse(url).ok().and_then(|url| url.host_str().map(ToOwned::to_owned));
    host.unwrap_or_else(|| "no host".to_owned())
}

/// Keys are fetched over TLS, or from this machine, and from nobody who wants a password: the address is kept and shown as it is.
pub(crate) fn check_address(url: &str) -> Result<(), String> {
    let url = reqwest::Url::parse(url).map_err(|error| format!("{error}"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("its address holds a user or a password: key sets are public, leave them out".to_owned());
    }
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let is_here = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    match url.scheme() {
        "https" => Ok(()),
        "http" if is_here => Ok(()),
        _ => Err("keys are fetched over https".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_fetched_over_https_and_without_a_password() {
        for good in ["https://issuer.example.com/keys", "http://127.0.0.1:8080/keys", "http://[::1]/keys"] {
            assert_eq!(check_address(good), Ok(()), "{good}");
        }
        for bad in
            ["http://issuer.example.com/keys", "https://ana:hunter2@issuer.example.com/", "https://ana@issuer.example.com/"]
        {
            let why = check_address(bad).unwrap_err();
            assert!(!why.contains("hunter2") && !why.contains("example"), "{why}");
        }
        assert_eq!(host_of("https://ana:hunter2@issuer.example.com/keys?token=hunter3"), "issuer.example.com");
    }

    #[test]
    fn a_file_that_is_no_key_set_is_not_quoted() {
        for wrong in ["\"hunter2\"", "{\"keys\": [\"hunter2\"]}", "{\"hunter2\": 1}", "hunter2"] {
            let why = parse(wrong.as_bytes()).unwrap_err();
            assert!(!why.contains("hunter2"), "{why}");
        }
    }

    #[tokio::test]
    async fn who_logs_in_is_not_told_where_the_keys_are() {
        let sets = KeySets::default();
        // Nobody listens on the discard port of this machine.
        let why = sets.fetch("http://127.0.0.1:9/keys?token=hunter2", None).await.unwrap_err();
        assert!(!why.contains("127.0.0.1") && !why.contains("hunter2"), "{why}");
    }
}

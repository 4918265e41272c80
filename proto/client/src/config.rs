//! What a client needs to know before its first call.

use std::{fmt, time::Duration};

use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};
use zeroize::Zeroizing;

/// How long a call may take, all its attempts together, unless told otherwise.
pub(crate) const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
/// A node that does not take a connection in this time is passed over.
const CONNECT_TIMEOUT_MAX: Duration = Duration::from_secs(2);
/// While a call is under way a silent connection is asked after this time whether it lives, and is dead when the answer takes as long
/// again: a node that was stopped or cut off costs 0.8 s, about as long as the others need to elect, not the whole deadline.
const KEEP_ALIVE: Duration = Duration::from_millis(400);

/// Where the cluster is and who asks.
#[derive(Clone)]
pub struct ClientConfig {
    /// `https://host:port` of every node; one is enough, more survive the loss of one.
    pub endpoints: Vec<String>,
    /// The certificates (PEM) that the nodes' certificates must lead to. Needed for `https`.
    pub ca_pem: Option<Vec<u8>>,
    /// Who asks.
    pub token: Option<Token>,
    /// The client's own certificate, where the cluster asks for one.
    pub identity: Option<Identity>,
    /// For one call with all its attempts.
    pub timeout: Duration,
    /// The name that stands in the nodes' certificates, where it is not the host of the endpoint.
    pub server_name: Option<String>,
}

impl ClientConfig {
    /// A configuration with these endpoints and nothing else.
    #[must_use]
    pub fn new<E: Into<String>>(endpoints: impl IntoIterator<Item = E>) -> ClientConfig {
        ClientConfig {
            endpoints: endpoints.into_iter().map(Into::into).collect(),
            ca_pem: None,
            token: None,
            identity: None,
            timeout: TIMEOUT_DEFAULT,
            server_name: None,
        }
    }

    pub(crate) fn endpoints(&self) -> Result<Vec<Endpoint>, ConfigError> {
        if self.endpoints.is_empty() {
            return Err(ConfigError::NoEndpoint);
        }
        self.endpoints.iter().map(|address| self.endpoint(address)).collect()
    }

    fn endpoint(&self, address: &str) -> Result<Endpoint, ConfigError> {
        let bad = |reason: String| ConfigError::Endpoint { endpoint: address.to_owned(), reason };
        let endpoint = Endpoint::from_shared(address.to_owned()).map_err(|error| bad(error.to_string()))?;
        let host = endpoint.uri().host().ok_or_else(|| bad("it names no host".into()))?.to_owned();
        let endpoint = endpoint
            .connect_timeout(CONNECT_TIMEOUT_MAX.min(self.timeout))
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .initial_connection_window_size(8 << 20)
            .initial_stream_window_size(2 << 20);
        match endpoint.uri().scheme_str() {
            Some("https") => endpoint.tls_config(self.tls(address)?).map_err(|error| bad(chain(&error))),
            Some("http") if self.token.is_none() || is_loopback(&host) => Ok(endpoint),
            Some("http") => Err(bad("a token would travel unprotected: use https".into())),
            _ => Err(bad("it must start with https://".into())),
        }
    }

    fn tls(&self, address: &str) -> Result<ClientTlsConfig, ConfigError> {
        let ca = self.ca_pem.as_ref().ok_or_else(|| ConfigError::NoCa(address.to_owned()))?;
        let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca));
        if let Some(name) = &self.server_name {
            tls = tls.domain_name(name);
        }
        if let Some(identity) = &self.identity {
            let own = tonic::transport::Identity::from_pem(&identity.certificate_pem, identity.key_pem.as_slice());
            tls = tls.identity(own);
        }
        Ok(tls)
    }
}

impl fmt::Debug for ClientConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ClientConfig")
            .field("endpoints", &self.endpoints)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// An error with everything below it, each cause once: tonic's own text says only "transport error".
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(cause) = next {
        let words = cause.to_string();
        if words != "transport error" && !text.contains(&words) {
            text = if text.is_empty() { words } else { format!("{text}: {words}") };
        }
        next = cause.source();
    }
    text
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The text that proves who asks. Zeroed when dropped, and not printable.
#[derive(Clone)]
pub struct Token(Zeroizing<String>);

impl Token {
    /// A token as it stands in a file or a variable; white space around it does not count.
    ///
    /// # Errors
    /// When it is empty or holds characters that no token has.
    pub fn parse(text: impl Into<String>) -> Result<Token, ConfigError> {
        let whole = Zeroizing::new(text.into());
        let text = whole.trim();
        let legal = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        if legal { Ok(Token(Zeroizing::new(text.to_owned()))) } else { Err(ConfigError::Token) }
    }

    /// The text itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token(redacted)")
    }
}

/// A client's own certificate and its key, both PEM.
#[derive(Clone)]
pub struct Identity {
    /// The certificate, with those between it and the authority.
    pub certificate_pem: Vec<u8>,
    /// The private key.
    pub key_pem: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Identity(redacted)")
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ConfigError {
    /// The list of endpoints is empty.
    #[error("no endpoint is given")]
    NoEndpoint,
    /// An endpoint that cannot be connected to.
    #[error("endpoint {endpoint}: {reason}")]
    Endpoint {
        /// As it was given.
        endpoint: String,
        /// What is wrong with it.
        reason: String,
    },
    /// `https` without a certificate to trust.
    #[error("endpoint {0} uses https, and no CA certificate is given to check it with")]
    NoCa(String),
    /// The text is not a token.
    #[error("the token is empty or holds characters that no token has")]
    Token,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_secret_is_printed() {
        let identity = Identity { certificate_pem: b"certificate".to_vec(), key_pem: Zeroizing::new(b"private".to_vec()) };
        let token = Token::parse("hf_topsecret").unwrap();
        let config =
            ClientConfig { token: Some(token.clone()), identity: Some(identity.clone()), ..ClientConfig::new(["https://a:1"]) };
        let printed = format!("{config:?} {token:?} {identity:?}");
        assert!(!printed.contains("topsecret") && !printed.contains("private"));
    }

    #[test]
    fn a_token_loses_the_white_space_around_it_and_nothing_else_is_forgiven() {
        assert_eq!(Token::parse(" hf_a\n").unwrap().expose(), "hf_a");
        assert_eq!(Token::parse(" \n").unwrap_err(), ConfigError::Token);
        assert_eq!(Token::parse("hf a").unwrap_err(), ConfigError::Token);
    }

    #[test]
    fn a_token_never_travels_unprotected_to_another_machine() {
        let token = Some(Token::parse("hf_a").unwrap());
        let config = |endpoint| ClientConfig { token: token.clone(), ..ClientConfig::new([endpoint]) };
        assert!(config("http://10.0.0.1:7100").endpoints().is_err());
        assert!(config("http://127.0.0.1:7100").endpoints().is_ok());
        assert!(config("http://[::1]:7100").endpoints().is_ok());
    }

    #[test]
    fn https_needs_something_to_check_the_certificate_with() {
        let refused = ClientConfig::new(["https://a:1"]).endpoints().err();
        assert_eq!(refused, Some(ConfigError::NoCa("https://a:1".into())));
        assert_eq!(ClientConfig::new(Vec::<String>::new()).endpoints().err(), Some(ConfigError::NoEndpoint));
        assert!(ClientConfig::new(["ftp://a:1"]).endpoints().is_err());
    }
}

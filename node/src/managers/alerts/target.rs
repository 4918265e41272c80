//! Where a sink is, with what it takes to reach it. It rests sealed in the state; only the node that delivers opens it.

use crate::engine::Sealing;
use crate::engine::sealing::SealingError;
use node_domain::Rejection;
use node_domain::guard::{Sink, SinkKind};
use node_domain::ids::SinkName;
use proto::v1;
use reqwest::Url;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// Most people that one mail goes to.
const RECIPIENTS_MAX: usize = 32;

/// A sink with its credentials. It cannot be printed.
#[derive(Serialize, Deserialize)]
pub(crate) enum Target {
    Webhook { url: String, secret: Zeroizing<String> },
    Smtp(Smtp),
    Log,
}

/// A mail server, and whom to write to.
#[derive(Serialize, Deserialize)]
pub(crate) struct Smtp {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) from: String,
    pub(crate) to: Vec<String>,
    pub(crate) tls: SmtpTls,
    pub(crate) user: String,
    pub(crate) password: Zeroizing<String>,
}

/// How the way to a mail server is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum SmtpTls {
    None,
    StartTls,
    Tls,
}

impl Target {
    /// What was asked for, checked, with its kind and what everybody may know of where it is.
    pub(crate) fn parse(to: Option<&v1::put_sink_request::To>) -> Result<(Target, SinkKind, String), Rejection> {
        match to.ok_or_else(|| Rejection::invalid("a sink is a webhook, a mail server or the log"))? {
            v1::put_sink_request::To::Webhook(webhook) => {
                let place = webhook_place(&webhook.url)?;
                let target = Target::Webhook { url: webhook.url.clone(), secret: webhook.secret.clone().into() };
                Ok((target, SinkKind::Webhook, place))
            }
            v1::put_sink_request::To::Smtp(smtp) => {
                let smtp = Smtp::parse(smtp)?;
                let place = format!("smtp://{}:{} to {}", smtp.host, smtp.port, smtp.to.join(", "));
                Ok((Target::Smtp(smtp), SinkKind::Smtp, place))
            }
            v1::put_sink_request::To::Log(_) => Ok((Target::Log, SinkKind::Log, "the log of the leader".to_owned())),
        }
    }

    pub(crate) fn seal(&self, sealing: &Sealing, name: &SinkName) -> Result<Vec<u8>, SealingError> {
        let bytes = Zeroizing::new(serde_json::to_vec(self).expect("a target is texts and numbers"));
        sealing.seal_system(&place_of(name), &bytes)
    }

    pub(crate) fn open(sealing: &Sealing, sink: &Sink) -> Result<Target, String> {
        let bytes = sealing
            .open_system(&place_of(&sink.name), &sink.sealed)
            .map_err(|error| format!("the address of the sink does not open: {error}"))?;
        // What does not parse is not quoted: it is secret.
        serde_json::from_slice(bytes.expose()).map_err(|_| "the address of the sink was written by another release".to_owned())
    }
}

fn place_of(name: &SinkName) -> String {
    format!("alert-sink/{name}")
}

/// The part of a webhook's address that is not secret; the path and the query often are.
fn webhook_place(text: &str) -> Result<String, Rejection> {
    let wrong = |why: &str| Rejection::invalid(format!("the address of a webhook {why}"));
    let url = Url::parse(text).map_err(|error| wrong(&format!("cannot be read: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong("starts with https:// or http://"));
    }
    let host = url.host_str().ok_or_else(|| wrong("names a host"))?;
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    Ok(format!("{}://{host}{port}", url.scheme()))
}

impl Smtp {
    fn parse(asked: &v1::SmtpSink) -> Result<Smtp, Rejection> {
        let wrong = |why: String| Rejection::invalid(format!("a mail server {why}"));
        if asked.host.is_empty() || asked.host.len() > 253 {
            return Err(wrong("has a host of 1 to 253 bytes".into()));
        }
        let port =
            u16::try_from(asked.port).ok().filter(|port| *port > 0).ok_or_else(|| wrong("has a port from 1 to 65535".into()))?;
        let tls = match asked.tls.as_str() {
            "none" => SmtpTls::None,
            "" | "starttls" => SmtpTls::StartTls,
            "tls" => SmtpTls::Tls,
            _ => return Err(wrong("is reached by tls, starttls or none".into())),
        };
        if asked.to.is_empty() || asked.to.len() > RECIPIENTS_MAX {
            return Err(wrong(format!("is given 1 to {RECIPIENTS_MAX} recipients")));
        }
        for address in asked.to.iter().chain([&asked.from]) {
            address.parse::<lettre::message::Mailbox>().map_err(|_| wrong(format!("cannot write to or from {address:?}")))?;
        }
        if tls == SmtpTls::None && !asked.password.is_empty() {
            return Err(wrong("is not given a password without tls: everybody on the way would read it".into()));
        }
        Ok(Smtp {
            host: asked.host.clone(),
            port,
            from: asked.from.clone(),
            to: asked.to.clone(),
            tls,
            user: asked.user.clone(),
            password: asked.password.clone().into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_scheme_and_host_of_a_webhook_are_shown() {
        assert_eq!(webhook_place("https://ana:pw@hooks.example.com/T0/secret?x=y").unwrap(), "https://hooks.example.com");
        assert_eq!(webhook_place("http://127.0.0.1:8080/a").unwrap(), "http://127.0.0.1:8080");
        for bad in ["", "ftp://a", "hooks.example.com", "file:///etc/passwd", "https://"] {
            assert!(webhook_place(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_password_never_travels_in_the_clear() {
        let smtp = |tls: &str, password: &str| v1::SmtpSink {
            host: "mail.example.com".into(),
            port: 25,
            from: "holdfast@example.com".into(),
            to: vec!["Ops <ops@example.com>".into()],
            tls: tls.into(),
            user: "u".into(),
            password: password.into(),
        };
        assert!(Smtp::parse(&smtp("none", "pw")).is_err());
        assert!(Smtp::parse(&smtp("none", "")).is_ok());
        assert_eq!(Smtp::parse(&smtp("", "pw")).map(|smtp| smtp.tls).ok(), Some(SmtpTls::StartTls));
        assert!(Smtp::parse(&v1::SmtpSink { to: vec!["nobody".into()], ..smtp("tls", "") }).is_err());
    }
}

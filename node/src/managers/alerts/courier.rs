//! Hands one alert to one sink, within bounds of time and size.

use super::target::{Smtp, SmtpTls, Target};
use hmac::{Hmac, KeyInit, Mac};
use lettre::message::header::ContentType;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use node_domain::guard::Alert;
use node_domain::ids::{ClusterId, Stamp};
use serde_json::json;
use sha2::Sha256;
use std::sync::OnceLock;
use std::time::Duration;

/// How long one delivery may take.
const DELIVERY: Duration = Duration::from_secs(10);
const CONNECT: Duration = Duration::from_secs(5);
/// When the body was signed, in milliseconds since 1970.
const TIMESTAMP: &str = "x-holdfast-timestamp";
/// `v1=` and the hexadecimal HMAC-SHA256 of `timestamp "." body`.
const SIGNATURE: &str = "x-holdfast-signature";
/// The same for every try to deliver the same alert, so that a receiver can tell a second delivery from a second alert.
const DELIVERY_ID: &str = "x-holdfast-delivery";

/// One alert as sinks are told it.
pub(super) struct Letter {
    id: String,
    sent_ms: u64,
    line: String,
    body: String,
}

impl Letter {
    pub(super) fn of(cluster: &ClusterId, alert: &Alert, now: Stamp) -> Letter {
        let cluster = storage_crypto::hex::encode(cluster);
        let body = json!({
            "schema": "holdfast/v1/alert",
            "cluster": cluster,
            "id": alert.id,
            "kind": alert.kind.word(),
            "severity": alert.severity.word(),
            "subject": alert.subject,
            "text": alert.text,
            "first_at_ms": alert.first.as_ms(),
            "last_at_ms": alert.last.as_ms(),
            "count": alert.count,
        });
        Letter {
            id: format!("{cluster}-{}", alert.id),
            sent_ms: now.as_ms(),
            line: format!("[{}] {}: {}", alert.severity.word(), alert.kind.word(), alert.subject),
            body: body.to_string(),
        }
    }
}

/// Keeps what deliveries share.
#[derive(Default)]
pub(super) struct Courier {
    http: OnceLock<Result<reqwest::Client, String>>,
}

impl Courier {
    /// Delivers, or says why not, without anything secret in it.
    pub(super) async fn deliver(&self, target: &Target, letter: &Letter) -> Result<(), String> {
        let delivery = async {
            match target {
                Target::Webhook { url, secret } => self.post(url, secret, letter).await,
                Target::Smtp(smtp) => mail(smtp, letter).await,
                Target::Log => {
                    tracing::warn!(alert = %letter.body, "{}", letter.line);
                    Ok(())
                }
            }
        };
        tokio::time::timeout(DELIVERY, delivery).await.unwrap_or_else(|_| Err(format!("no answer within {DELIVERY:?}")))
    }

    /// A client that follows no redirect: whoever answers for the address could send alerts anywhere.
    fn http(&self) -> Result<&reqwest::Client, String> {
        let build = || {
            reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .no_proxy()
                .timeout(DELIVERY)
                .connect_timeout(CONNECT)
                .user_agent(concat!("holdfast/", env!("CARGO_PKG_VERSION")))
                .build()
                .map_err(|error| format!("make a client for webhooks: {error}"))
        };
        self.http.get_or_init(build).as_ref().map_err(Clone::clone)
    }

    async fn post(&self, url: &str, secret: &str, letter: &Letter) -> Result<(), String> {
        let mut request = self
            .http()?
            .post(url)
            .header("content-type", "application/json")
            .header(DELIVERY_ID, &letter.id)
            .header(TIMESTAMP, letter.sent_ms);
        if !secret.is_empty() {
            request = request.header(SIGNATURE, signature(secret, letter.sent_ms, &letter.body));
        }
        // The address is secret: errors are told without it. The answer's body is not read.
        let answer = request.body(letter.body.clone()).send().await.map_err(|error| chain(&error.without_url()))?;
        let status = answer.status();
        if status.is_success() { Ok(()) } else { Err(format!("the webhook answered {status}")) }
    }
}

/// An error with its causes: the outermost alone says little.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn signature(secret: &str, sent_ms: u64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key of any length makes an HMAC");
    mac.update(format!("{sent_ms}.{body}").as_bytes());
    format!("v1={}", storage_crypto::hex::encode(&mac.finalize().into_bytes()))
}

async fn mail(smtp: &Smtp, letter: &Letter) -> Result<(), String> {
    let tls = || TlsParameters::new(smtp.host.clone()).map_err(|error| format!("tls for {}: {error}", smtp.host));
    let protection = match smtp.tls {
        SmtpTls::None => Tls::None,
        SmtpTls::StartTls => Tls::Required(tls()?),
        SmtpTls::Tls => Tls::Wrapper(tls()?),
    };
    let mut transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&smtp.host)
        .port(smtp.port)
        .tls(protection)
        .timeout(Some(DELIVERY));
    if !smtp.user.is_empty() {
        transport = transport.credentials(Credentials::new(smtp.user.clone(), smtp.password.to_string()));
    }
    let address = |text: &str| text.parse().map_err(|_| format!("{text:?} is no address"));
    let mut message = Message::builder()
        .from(address(&smtp.from)?)
        .subject(format!("Holdfast {}", letter.line))
        .message_id(Some(format!("<{}@holdfast>", letter.id)))
        .header(ContentType::TEXT_PLAIN);
    for recipient in &smtp.to {
        message = message.to(address(recipient)?);
    }
    let message = message.body(format!("{}\n\n{}\n", letter.line, letter.body)).map_err(|error| error.to_string())?;
    transport.build().send(message).await.map(drop).map_err(|error| chain(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_an_hmac_over_time_and_body() {
        // echo -n '1700000000000.{}' | openssl dgst -sha256 -hmac key
        let expected = "v1=36a72f4525d3323bd0f238fe82098164fb77b1e42288ff8e07b074c686178ad3";
        assert_eq!(signature("key", 1_700_000_000_000, "{}"), expected);
    }
}

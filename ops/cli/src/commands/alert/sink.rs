//! `holdfast alert sink`.

use clap::{Args, Subcommand};
use proto_client::v1;
use serde_json::{Value, json};

use crate::{
    exit::{Doing, Failure},
    input,
    output::{table, time},
    settings::Session,
};

const PUT_EXAMPLES: &str = "\
Examples:
  printf %s \"$KEY\" | holdfast alert sink put chat --webhook https://hooks.example.com/T0/B1 --secret-stdin
  holdfast alert sink put mail --smtp mail.example.com:587 --from holdfast@example.com --to ops@example.com
  holdfast alert sink put log --log --least note

A webhook gets a POST with x-holdfast-signature: v1=HMAC-SHA256(key, timestamp \".\" body), in hexadecimal;
the timestamp stands in x-holdfast-timestamp. No redirect is followed. Alerts arrive at least once.";

/// Where alerts go.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Send alerts to one more place, or to another one under the same name.
    Put(Box<Put>),
    /// Send alerts there no more.
    #[command(after_help = "Examples:\n  holdfast alert sink delete chat")]
    Delete {
        /// Its name.
        name: String,
    },
}

/// A place that alerts go to.
#[derive(Args)]
#[command(after_help = PUT_EXAMPLES)]
pub(crate) struct Put {
    /// Its name.
    name: String,
    /// The address that alerts are posted to.
    #[arg(long, value_name = "URL", conflicts_with_all = ["smtp", "log"], required_unless_present_any = ["smtp", "log"])]
    webhook: Option<String>,
    /// Read from standard input what signs webhooks, or the password of the mail server.
    #[arg(long)]
    secret_stdin: bool,
    /// The mail server.
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "log", requires_all = ["from", "to"])]
    smtp: Option<String>,
    /// Who writes.
    #[arg(long, value_name = "ADDRESS")]
    from: Option<String>,
    /// Whom to write to.
    #[arg(long, value_name = "ADDRESS")]
    to: Vec<String>,
    /// How the mail server is reached: starttls, tls or none.
    #[arg(long, default_value = "starttls")]
    tls: String,
    /// The user at the mail server.
    #[arg(long, default_value = "")]
    user: String,
    /// Write alerts to the log of the node that leads.
    #[arg(long)]
    log: bool,
    /// Alerts that matter less are not sent there: note, warning or critical.
    #[arg(long, default_value = "warning")]
    least: String,
}

impl Command {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Command::Put(put) => put.run(session).await,
            Command::Delete { name } => delete(session, name).await,
        }
    }
}

impl Put {
    async fn run(self, session: &Session) -> Result<(), Failure> {
        let secret = match self.secret_stdin {
            true => input::text("-")?.trim_end_matches(['\r', '\n']).to_owned(),
            false => String::new(),
        };
        let to = match (self.webhook, self.smtp) {
            (Some(url), _) => v1::put_sink_request::To::Webhook(v1::WebhookSink { url, secret }),
            (None, Some(server)) => {
                let (host, port) = server.rsplit_once(':').unwrap_or((&server, ""));
                let port = port.parse().map_err(|_| {
                    Failure::usage(
                        "cannot use the mail server",
                        format!("{server} has no port"),
                        "write HOST:PORT, such as mail:587",
                    )
                })?;
                v1::put_sink_request::To::Smtp(v1::SmtpSink {
                    host: host.to_owned(),
                    port,
                    from: self.from.unwrap_or_default(),
                    to: self.to,
                    tls: self.tls,
                    user: self.user,
                    password: secret,
                })
            }
            (None, None) => v1::put_sink_request::To::Log(v1::LogSink {}),
        };
        let request = v1::PutSinkRequest { name: self.name.clone(), least: self.least, to: Some(to) };
        let sink = session.client().await?.alerts().put_sink(request).await;
        let sink = sink.doing(|| format!("send alerts to {}", self.name))?;
        session.out.done(&document(&sink), &format!("alerts of at least {} go to {} ({})", sink.least, sink.name, sink.place))
    }
}

async fn delete(session: &Session, name: String) -> Result<(), Failure> {
    let answer = session.client().await?.alerts().delete_sink(v1::DeleteSinkRequest { name: name.clone() }).await;
    let answer = answer.doing(|| format!("delete the sink {name}"))?;
    session.out.done(&json!({ "name": name, "index": answer.index }), &format!("alerts go to {name} no more"))
}

pub(super) async fn list(session: &Session) -> Result<(), Failure> {
    let answer = session.client().await?.alerts().list_sinks(v1::ListSinksRequest {}).await;
    let answer = answer.doing(|| "list where alerts go".to_owned())?;
    let sinks: Vec<_> = answer.sinks.iter().map(document).collect();
    session.out.show(&json!({ "sinks": sinks, "index": answer.index }), |out| {
        let row = |sink: &v1::AlertSink| {
            let waiting = match sink.waiting {
                0 => "-".to_owned(),
                count => format!("{count} since {}", time::local(sink.oldest_at_ms)),
            };
            let delivered = sink.delivered.to_string();
            [sink.name.clone(), sink.place.clone(), sink.least.clone(), delivered, waiting, sink.last_error.clone()]
        };
        table::rows(out, &["NAME", "PLACE", "LEAST", "DELIVERED", "WAITING", "LAST ERROR"], answer.sinks.iter().map(row))
    })
}

fn document(sink: &v1::AlertSink) -> Value {
    json!({
        "name": sink.name,
        "kind": sink.kind,
        "place": sink.place,
        "least": sink.least,
        "delivered": sink.delivered,
        "failures": sink.failures,
        "last_error": sink.last_error,
        "resumes": time::utc(sink.resumes_at_ms),
        "waiting": sink.waiting,
        "oldest": time::utc(sink.oldest_at_ms),
    })
}

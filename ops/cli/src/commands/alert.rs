//! `holdfast alert`.

mod sink;

use clap::Subcommand;
use proto_client::v1;
use serde_json::{Value, json};

use crate::{
    exit::{Doing, Failure},
    output::{table, time},
    settings::Session,
};

/// Alerts.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// List alerts, the newest last.
    #[command(after_help = "Examples:\n  holdfast alert list\n  holdfast alert list --open -o json")]
    List {
        /// Only those that nobody has taken note of.
        #[arg(long)]
        open: bool,
        /// How many at most.
        #[arg(long, default_value_t = 100)]
        limit: u32,
    },
    /// Show one alert.
    #[command(after_help = "Examples:\n  holdfast alert show 4711")]
    Show {
        /// Its id.
        id: u64,
    },
    /// Take note of an alert.
    #[command(after_help = "Examples:\n  holdfast alert ack 4711")]
    Ack {
        /// Its id.
        #[arg(value_parser = clap::value_parser!(u64).range(1..))]
        id: u64,
    },
    /// Raise an alert that says nothing, to see it arrive.
    #[command(after_help = "Examples:\n  holdfast alert test\n  holdfast alert test --severity critical")]
    Test {
        /// note, warning or critical.
        #[arg(long, default_value = "warning")]
        severity: String,
        /// What it says.
        #[arg(long, default_value = "")]
        text: String,
    },
    /// Show where alerts go, and how far behind each place is.
    #[command(after_help = "Examples:\n  holdfast alert sinks")]
    Sinks,
    /// Say where alerts go.
    #[command(subcommand)]
    Sink(sink::Command),
}

impl Command {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Command::List { open, limit } => list(session, open, limit).await,
            Command::Show { id } => show(session, id).await,
            Command::Ack { id } => acknowledge(session, id).await,
            Command::Test { severity, text } => test(session, severity, text).await,
            Command::Sinks => sink::list(session).await,
            Command::Sink(command) => command.run(session).await,
        }
    }
}

async fn list(session: &Session, open_only: bool, limit: u32) -> Result<(), Failure> {
    let answer = session.client().await?.alerts().list(v1::ListAlertsRequest { open_only, limit, id: 0 }).await;
    let answer = answer.doing(|| "list the alerts".to_owned())?;
    let alerts: Vec<_> = answer.alerts.iter().map(document).collect();
    let body = json!({ "alerts": alerts, "dropped": answer.dropped, "lost": answer.lost, "index": answer.index });
    if answer.lost > 0 {
        session.out.warn(&format!("{} alerts made room for newer ones before they were delivered or taken note of", answer.lost));
    }
    session.out.show(&body, |out| {
        let row = |alert: &v1::Alert| {
            let state = match (alert.owed.is_empty(), alert.acknowledged_by.is_empty()) {
                (_, false) => format!("noted by {}", alert.acknowledged_by),
                (false, true) => format!("owed to {}", alert.owed.join(", ")),
                (true, true) if alert.no_sink => "no sink".to_owned(),
                (true, true) => "delivered".to_owned(),
            };
            let (last, count) = (time::local(alert.last_at_ms), format!("×{}", alert.count));
            [alert.id.to_string(), last, alert.severity.clone(), alert.kind.clone(), count, alert.subject.clone(), state]
        };
        table::rows(out, &["ID", "LAST", "SEVERITY", "KIND", "COUNT", "SUBJECT", "STATE"], answer.alerts.iter().map(row))
    })
}

async fn show(session: &Session, id: u64) -> Result<(), Failure> {
    let request = v1::ListAlertsRequest { open_only: false, limit: 1, id };
    let answer = session.client().await?.alerts().list(request).await.doing(|| format!("show the alert {id}"))?;
    let alert = answer.alerts.first().cloned().unwrap_or_default();
    session.out.show(&document(&alert), |out| {
        let noted = match alert.acknowledged_by.as_str() {
            "" => String::new(),
            by => format!("{by}, {}", time::local(alert.acknowledged_at_ms)),
        };
        table::facts(
            out,
            [
                ("alert", alert.id.to_string()),
                ("kind", alert.kind.clone()),
                ("severity", alert.severity.clone()),
                ("subject", alert.subject.clone()),
                ("text", alert.text.clone()),
                ("first", time::local(alert.first_at_ms)),
                ("last", time::local(alert.last_at_ms)),
                ("count", alert.count.to_string()),
                ("owed to", alert.owed.join(", ")),
                ("failed deliveries", if alert.attempts > 0 { alert.attempts.to_string() } else { String::new() }),
                ("noted by", noted),
            ],
        )
    })
}

async fn acknowledge(session: &Session, id: u64) -> Result<(), Failure> {
    let answer = session.client().await?.alerts().acknowledge(v1::AcknowledgeAlertRequest { id }).await;
    let answer = answer.doing(|| format!("take note of the alert {id}"))?;
    session.out.done(&json!({ "id": id, "index": answer.index }), &format!("took note of the alert {id}"))
}

async fn test(session: &Session, severity: String, text: String) -> Result<(), Failure> {
    let answer = session.client().await?.alerts().test(v1::TestAlertRequest { severity, text }).await;
    let answer = answer.doing(|| "raise a test alert".to_owned())?;
    let sentence = format!("raised the alert {}; `holdfast alert sinks` shows whether it arrives", answer.index);
    session.out.done(&json!({ "id": answer.index }), &sentence)
}

fn document(alert: &v1::Alert) -> Value {
    json!({
        "id": alert.id,
        "kind": alert.kind,
        "severity": alert.severity,
        "subject": alert.subject,
        "text": alert.text,
        "first": time::utc(alert.first_at_ms),
        "last": time::utc(alert.last_at_ms),
        "count": alert.count,
        "owed": alert.owed,
        "attempts": alert.attempts,
        "acknowledged_by": alert.acknowledged_by,
        "acknowledged": time::utc(alert.acknowledged_at_ms),
    })
}

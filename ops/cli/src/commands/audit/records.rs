//! `holdfast audit tail` and `query`.

use clap::Args;
use futures::StreamExt;
use proto_client::v1;
use serde_json::{Value, json};

use crate::{
    exit::{Doing, Failure},
    journal::{hex, unhex},
    output::{mask::harmless, table, time},
    settings::Session,
};

/// Shows the newest records.
#[derive(Args)]
#[command(after_help = "Examples:
  holdfast audit tail
  holdfast audit tail -n 50 -f
  holdfast audit tail -f -o json | jq .outcome")]
pub(crate) struct Tail {
    /// How many.
    #[arg(short = 'n', long = "last", value_name = "COUNT", default_value_t = 10)]
    last: u32,
    /// Go on with records as they are made.
    #[arg(short, long)]
    follow: bool,
}

impl Tail {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        if !self.follow {
            let request = v1::QueryRequest { limit: self.last, ..Default::default() };
            let mut records = query(session, request).await?;
            records.reverse();
            return show(session, &records);
        }
        let request = v1::TailRequest { last: self.last };
        let mut records = session.client().await?.audit().tail(request).await.doing(|| "follow the journal".to_owned())?;
        while let Some(record) = records.next().await {
            let record = record.doing(|| "go on following the journal".to_owned())?;
            session.out.show_item(&document(&record), &row(&record).map(|cell| harmless(&cell)).join("  "))?;
        }
        Ok(())
    }
}

/// Finds records; all that is given must fit.
#[derive(Args)]
#[command(after_help = "Examples:
  holdfast audit query --actor ana --since 2h
  holdfast audit query --outcome denied --since 2026-11-01 --until 2026-11-08T12:00:00Z
  holdfast audit query -e production --subject db/ --operation get --limit 100 -o json
  holdfast audit query --request 0198f2c1-7d1f-7000-8000-0123456789ab")]
pub(crate) struct Query {
    /// Who asked.
    #[arg(long, default_value = "", hide_default_value = true)]
    actor: String,
    /// A path; everything below it when it ends in / or *. Or a token, policy or member.
    #[arg(long, default_value = "", hide_default_value = true)]
    subject: String,
    /// What was asked, such as get or put.
    #[arg(long, default_value = "", hide_default_value = true)]
    operation: String,
    /// done, denied, refused or violation.
    #[arg(long, default_value = "", hide_default_value = true, value_parser = ["", "done", "denied", "refused", "violation"], hide_possible_values = true)]
    outcome: String,
    /// From this time: 2h (ago), 2026-11-22, or RFC 3339.
    #[arg(long, value_name = "TIME", value_parser = time::parse_moment)]
    since: Option<u64>,
    /// To this time.
    #[arg(long, value_name = "TIME", value_parser = time::parse_moment)]
    until: Option<u64>,
    /// From this record.
    #[arg(long, value_name = "RECORD", default_value_t = 0, hide_default_value = true)]
    from_seq: u64,
    /// To this record.
    #[arg(long, value_name = "RECORD", default_value_t = 0, hide_default_value = true)]
    to_seq: u64,
    /// The records of this request.
    #[arg(long, value_name = "UUID")]
    request: Option<uuid::Uuid>,
    /// At most this many.
    #[arg(long, value_name = "COUNT", default_value_t = 1_000)]
    limit: u32,
    /// The oldest first.
    #[arg(long)]
    oldest_first: bool,
}

impl Query {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let request = v1::QueryRequest {
            actor: self.actor,
            // Here alone no environment means all of them.
            environment: session.environment().unwrap_or_default(),
            subject: self.subject,
            operation: self.operation,
            outcome: self.outcome,
            from_ms: self.since.unwrap_or(0),
            to_ms: self.until.unwrap_or(0),
            from_seq: self.from_seq,
            to_seq: self.to_seq,
            limit: self.limit,
            oldest_first: self.oldest_first,
            request_id: self.request.map(|id| id.as_bytes().to_vec().into()).unwrap_or_default(),
        };
        show(session, &query(session, request).await?)
    }
}

async fn query(session: &Session, request: v1::QueryRequest) -> Result<Vec<v1::AuditRecord>, Failure> {
    let answers = session.client().await?.audit().query(request).await.doing(|| "search the journal".to_owned())?;
    let records: Vec<_> = answers.collect().await;
    records.into_iter().collect::<Result<_, _>>().doing(|| "read all records".to_owned())
}

fn show(session: &Session, records: &[v1::AuditRecord]) -> Result<(), Failure> {
    let documents: Vec<_> = records.iter().map(document).collect();
    session.out.show(&json!({ "records": documents }), |out| {
        let titles = ["RECORD", "TIME", "ACTOR", "OPERATION", "OUTCOME", "ENVIRONMENT", "SUBJECT", "ACCESSOR", "RULES", "REASON"];
        table::rows(out, &titles, records.iter().map(row))
    })
}

fn row(record: &v1::AuditRecord) -> [String; 10] {
    let subject = match record.version {
        0 => record.subject.clone(),
        version => format!("{}@v{version}", record.subject),
    };
    [
        record.seq.to_string(),
        time::local(record.stamp_ms),
        record.actor.clone(),
        record.operation.clone(),
        record.outcome.clone(),
        record.environment.clone(),
        subject,
        record.accessor.clone(),
        record.policies.to_string(),
        record.reason.clone(),
    ]
}

fn document(record: &v1::AuditRecord) -> Value {
    let request = unhex::<16>(&hex(&record.request_id)).map(|bytes| uuid::Uuid::from_bytes(bytes).to_string());
    json!({
        "seq": record.seq,
        "time": time::utc(record.stamp_ms),
        "actor": record.actor,
        "source": record.source,
        "operation": record.operation,
        "environment": record.environment,
        "subject": record.subject,
        "version": record.version,
        "outcome": record.outcome,
        "reason": record.reason,
        "request_id": request,
        "secret_id": record.secret_id,
        "accessor": record.accessor,
        "policies": record.policies,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_says_who_did_what_where() {
        let record = v1::AuditRecord {
            seq: 7,
            stamp_ms: 1_000,
            actor: "ana".into(),
            subject: "db/password".into(),
            version: 2,
            request_id: vec![1; 16].into(),
            ..Default::default()
        };
        assert_eq!(row(&record)[6], "db/password@v2");
        let document = document(&record);
        assert_eq!(document["time"], "1970-01-01T00:00:01.000Z");
        assert_eq!(document["request_id"], "01010101-0101-0101-0101-010101010101");
    }
}

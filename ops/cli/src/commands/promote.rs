//! `holdfast promote`.

use std::io::{self, Write};

use clap::{Args, Subcommand};
use proto_client::{Client, ClientError, v1};
use serde_json::{Value, json};

use crate::{
    exit::{Doing, Failure},
    output::{table, time},
    settings::Session,
};

const PLAN_EXAMPLES: &str = "\
Examples:
  holdfast promote plan --from staging --to production app/db=app/db app/key
  holdfast promote plan --from staging --to production --prefix app/

SOURCE=TARGET maps one secret to another; SOURCE alone keeps the path. No value is shown, only what differs.";

/// Promotions.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Plan which values go from one environment to another.
    Plan(Plan),
    /// Show a plan and where it stands.
    #[command(after_help = "Examples:\n  holdfast promote show 4711")]
    Show {
        /// The plan.
        id: u64,
    },
    /// List plans.
    #[command(after_help = "Examples:\n  holdfast promote list\n  holdfast promote list --open")]
    List {
        /// Only those that something can still come of.
        #[arg(long)]
        open: bool,
    },
    /// Say yes to a plan that somebody else made.
    #[command(after_help = "Examples:\n  holdfast promote approve 4711")]
    Approve {
        /// The plan.
        id: u64,
    },
    /// Say no to a plan.
    #[command(after_help = "Examples:\n  holdfast promote reject 4711 --reason 'not before the release'")]
    Reject {
        /// The plan.
        id: u64,
        /// Why.
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Carry out an approved plan, all of it or nothing.
    #[command(after_help = "Examples:\n  holdfast promote apply 4711")]
    Apply {
        /// The plan.
        id: u64,
    },
    /// Take a plan of one's own back.
    #[command(after_help = "Examples:\n  holdfast promote cancel 4711")]
    Cancel {
        /// The plan.
        id: u64,
    },
}

/// A plan to be made.
#[derive(Args)]
#[command(after_help = PLAN_EXAMPLES)]
pub(crate) struct Plan {
    /// Where the values are.
    #[arg(long, value_name = "ENVIRONMENT")]
    from: String,
    /// Where they go.
    #[arg(long, value_name = "ENVIRONMENT")]
    to: String,
    /// Which secret becomes which.
    #[arg(value_name = "SOURCE[=TARGET]", required_unless_present = "prefix")]
    items: Vec<String>,
    /// Every live secret under this, at the same path.
    #[arg(long)]
    prefix: Vec<String>,
}

impl Command {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let client = session.client().await?;
        let (answer, doing) = match self {
            Command::Plan(plan) => (plan.ask(&client).await, "plan a promotion".to_owned()),
            Command::List { open } => return list(session, &client, open).await,
            Command::Show { id } => (client.promotions().get(request(id)).await, format!("show the promotion {id}")),
            Command::Approve { id } => (client.promotions().approve(request(id)).await, format!("approve the promotion {id}")),
            Command::Reject { id, reason } => {
                let answer = client.promotions().reject(v1::PromotionRequest { id, reason }).await;
                (answer, format!("reject the promotion {id}"))
            }
            Command::Apply { id } => (client.promotions().apply(request(id)).await, format!("apply the promotion {id}")),
            Command::Cancel { id } => (client.promotions().cancel(request(id)).await, format!("cancel the promotion {id}")),
        };
        let plan = answer.doing(|| doing)?;
        session.out.show(&document(&plan), |out| people(out, &plan))
    }
}

impl Plan {
    async fn ask(self, client: &Client) -> Result<v1::Promotion, ClientError> {
        let item = |text: &String| {
            let (from, to) = text.split_once('=').unwrap_or((text, text));
            v1::PromotionItem { from: from.to_owned(), to: to.to_owned() }
        };
        let items = self.items.iter().map(item).collect();
        let request = v1::PlanPromotionRequest { from: self.from, to: self.to, items, prefixes: self.prefix };
        client.promotions().plan(request).await
    }
}

fn request(id: u64) -> v1::PromotionRequest {
    v1::PromotionRequest { id, reason: String::new() }
}

async fn list(session: &Session, client: &Client, open_only: bool) -> Result<(), Failure> {
    let answer = client.promotions().list(v1::ListPromotionsRequest { open_only }).await;
    let answer = answer.doing(|| "list the promotions".to_owned())?;
    let plans: Vec<_> = answer.promotions.iter().map(document).collect();
    session.out.show(&json!({ "promotions": plans, "index": answer.index }), |out| {
        let row = |plan: &v1::Promotion| {
            let way = format!("{} → {}", plan.from, plan.to);
            let secrets = plan.items.len().to_string();
            let created = time::local(plan.created_at_ms);
            [plan.id.to_string(), plan.state.clone(), way, secrets, plan.requested_by.clone(), approvals(plan), created]
        };
        let titles = ["ID", "STATE", "WAY", "SECRETS", "REQUESTED BY", "APPROVALS", "CREATED"];
        table::rows(out, &titles, answer.promotions.iter().map(row))
    })
}

fn approvals(plan: &v1::Promotion) -> String {
    let by = if plan.approved_by.is_empty() { String::new() } else { format!(" ({})", plan.approved_by.join(", ")) };
    format!("{} of {}{by}", plan.approved_by.len(), plan.approvals_needed)
}

fn people(out: &mut dyn Write, plan: &v1::Promotion) -> io::Result<()> {
    table::facts(
        out,
        [
            ("promotion", plan.id.to_string()),
            ("state", plan.state.clone()),
            ("way", format!("{} → {}", plan.from, plan.to)),
            ("requested by", plan.requested_by.clone()),
            ("approvals", approvals(plan)),
            ("reason", plan.reason.clone()),
            ("expires", time::local(plan.expires_at_ms)),
        ],
    )?;
    let row = |item: &v1::PromotionDifference| {
        let version = |number: u64| if number == 0 { "absent".to_owned() } else { format!("v{number}") };
        let from = format!("{} {}", item.from, version(item.from_version));
        let standing = if item.new_version > 0 { item.new_version } else { item.to_version };
        let to = format!("{} {}", item.to, version(standing));
        let bytes =
            if item.to_version == 0 { item.from_bytes.to_string() } else { format!("{} → {}", item.to_bytes, item.from_bytes) };
        [item.kind.clone(), from, to, bytes, fields(item), time::local(item.from_created_at_ms)]
    };
    table::rows(out, &["WHAT", "FROM", "TO", "BYTES", "FIELDS", "MADE"], plan.items.iter().map(row))
}

/// `+port -host ~password`.
fn fields(item: &v1::PromotionDifference) -> String {
    let marked = |mark: char, names: &[String]| names.iter().map(|name| format!("{mark}{name}")).collect::<Vec<_>>();
    let all = [marked('+', &item.fields_added), marked('-', &item.fields_removed), marked('~', &item.fields_changed)];
    all.concat().join(" ")
}

fn document(plan: &v1::Promotion) -> Value {
    let item = |item: &v1::PromotionDifference| {
        json!({
            "from": item.from,
            "from_version": item.from_version,
            "to": item.to,
            "to_version": item.to_version,
            "kind": item.kind,
            "from_bytes": item.from_bytes,
            "to_bytes": item.to_bytes,
            "fields_added": item.fields_added,
            "fields_removed": item.fields_removed,
            "fields_changed": item.fields_changed,
            "from_created": time::utc(item.from_created_at_ms),
            "to_created": time::utc(item.to_created_at_ms),
            "new_version": item.new_version,
        })
    };
    json!({
        "id": plan.id,
        "state": plan.state,
        "from": plan.from,
        "to": plan.to,
        "items": plan.items.iter().map(item).collect::<Vec<_>>(),
        "requested_by": plan.requested_by,
        "approved_by": plan.approved_by,
        "approvals_needed": plan.approvals_needed,
        "reason": plan.reason,
        "created": time::utc(plan.created_at_ms),
        "expires": time::utc(plan.expires_at_ms),
        "index": plan.index,
    })
}

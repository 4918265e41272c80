//! `holdfast unwrap`.

use std::io::Write;

use clap::Args;
use proto_client::v1::{self, unwrap_response::Contents};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::{
    exit::{Doing, Failure},
    input,
    output::{Format, table, time},
    settings::Session,
    value::Plain,
};

const EXAMPLES: &str = "\
Examples:
  holdfast unwrap @handed-over
  pbpaste | holdfast unwrap -
  holdfast unwrap --lookup @handed-over       what is in it, without opening it
  TOKEN=$(holdfast unwrap @handed-over -o raw)

It opens once. Where somebody has opened it before, take that for an interception.";

/// Open what was wrapped for hand-over. No other token is needed.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Unwrap {
    /// Where the wrapping token is: @FILE, - for standard input, ? to be asked, or the token itself: it counts once.
    #[arg(value_name = "FROM")]
    from: String,
    /// Say what is in it, who made it and until when it waits, and leave it closed.
    #[arg(long)]
    lookup: bool,
}

impl Unwrap {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let token = input::line_from(&self.from, "wrapping token")?.unwrap_or_else(|| Zeroizing::new(self.from.clone()));
        let request = v1::UnwrapRequest { token: token.to_string() };
        let client = session.client().await?;
        if self.lookup {
            let found = client.wrapping().lookup(request).await.doing(|| "look into the wrapping".to_owned())?;
            return session.out.show(&document(&found), |out| facts(out, &found));
        }
        let opened = client.wrapping().unwrap(request).await.doing(|| "unwrap".to_owned())?;
        show(session, opened)
    }
}

/// A wrapping without its token.
pub(crate) fn document(wrapped: &v1::WrapToken) -> Value {
    json!({
        "accessor": wrapped.accessor,
        "about": wrapped.about,
        "created": time::utc(wrapped.created_at_ms),
        "created_by": wrapped.created_by,
        "expires": time::utc(wrapped.expires_at_ms),
    })
}

fn facts(out: &mut dyn Write, wrapped: &v1::WrapToken) -> std::io::Result<()> {
    let rows = [
        ("holds", wrapped.about.clone()),
        ("made", format!("{} by {}", time::local(wrapped.created_at_ms), wrapped.created_by)),
        ("waits until", time::local(wrapped.expires_at_ms)),
    ];
    table::facts(out, rows)
}

/// Shows a wrapping token to whoever made it, once.
pub(crate) fn hand_over(session: &Session, wrapped: v1::WrapToken) -> Result<(), Failure> {
    let text = Zeroizing::new(wrapped.token.clone());
    if session.out.format() == Format::Raw {
        return session.out.text(&text);
    }
    let mut shown = document(&wrapped);
    shown["wrap_token"] = json!(text.as_str());
    session.out.show(&shown, |out| {
        writeln!(out, "wrapping token  {}", text.as_str())?;
        facts(out, &wrapped)
    })?;
    session.out.note("hand it over: `holdfast unwrap` opens it once");
    Ok(())
}

fn show(session: &Session, opened: v1::UnwrapResponse) -> Result<(), Failure> {
    let about = opened.about.clone();
    let (text, mut shown) = match opened.contents {
        Some(Contents::Token(made)) => {
            (Zeroizing::new(made.token.into_bytes()), super::token::document(&made.details.unwrap_or_default()))
        }
        Some(Contents::SecretId(made)) => (Zeroizing::new(made.secret_id.into_bytes()), json!({ "role_id": made.role_id })),
        Some(Contents::Secret(read)) => (Plain::from(read.value).raw(), json!({})),
        Some(Contents::Given(bytes)) => (Zeroizing::new(bytes.to_vec()), json!({})),
        None => return Err(Failure::new(crate::exit::Exit::Unexpected, "cannot unwrap", "there was nothing in it")),
    };
    if session.out.format_of_value() == Format::Raw {
        return session.out.raw(&text);
    }
    let readable = Plain::bytes(text.to_vec());
    shown["about"] = json!(about);
    shown["contents"] = readable.to_json();
    let role_id = shown["role_id"].as_str().unwrap_or_default().to_owned();
    session.out.show(&shown, |out| {
        writeln!(out, "{}", readable.readable())?;
        let made = format!("{} by {}", time::local(opened.created_at_ms), opened.created_by);
        table::facts(out, [("was", about.clone()), ("role id", role_id), ("made", made)])
    })
}

//! `holdfast wrap`.

use bytes::Bytes;
use clap::Args;
use proto_client::v1;

use super::unwrap::hand_over;
use crate::{
    exit::{Doing, Failure},
    input,
    output::time,
    settings::Session,
};

const EXAMPLES: &str = "\
Examples:
  holdfast wrap @report.pdf --about 'the report'
  generate-key | holdfast wrap - --ttl 10m -o raw

At most 60 KiB. `holdfast unwrap` opens it, once, for whoever has the wrapping token; both are on the journal.";

/// Wrap something of your own for hand-over: it opens once.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Wrap {
    /// Where it is: @FILE, - for standard input, or ? to be asked.
    #[arg(value_name = "FROM")]
    from: String,
    /// How long it waits, a week at most.
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = time::parse_bound_ms)]
    ttl: u64,
    /// What it is. It stands in the journal, and whoever looks before opening sees it.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    about: String,
}

impl Wrap {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let contents = input::bytes_from(&self.from, "what to wrap")?;
        let request = v1::WrapRequest { about: self.about, contents: Bytes::from_owner(contents), ttl_ms: self.ttl };
        let wrapped = session.client().await?.wrapping().wrap(request).await.doing(|| "wrap it".to_owned())?;
        hand_over(session, wrapped)
    }
}

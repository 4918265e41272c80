//! `holdfast operator root`.

use std::path::PathBuf;

use clap::Args;
use proto_client::v1;
use serde_json::json;
use zeroize::Zeroizing;

use super::secrets;
use crate::{
    commands::token,
    exit::{Doing, Exit, Failure},
    output::time,
    settings::Session,
};

/// Makes a root token.
#[derive(Args)]
pub(crate) struct Root {
    /// How long it counts.
    #[arg(long, value_name = "DURATION", value_parser = time::parse_bound_ms, default_value = "1h")]
    ttl: u64,
    /// Write it to a new file that nobody else may read.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Root {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let client = session.client().await?;
        let status = client.seal().status(v1::SealStatusRequest {}).await.doing(|| "ask for the seal".to_owned())?;
        let current = secrets::ask_current(&status.kind, status.threshold)?;
        let current = current.iter().map(|text| String::clone(text)).collect();
        let made = client.seal().root_token(v1::RootTokenRequest { current, ttl_ms: self.ttl }).await;
        let made = made.doing(|| "make a root token".to_owned())?;
        let text = Zeroizing::new(made.token);
        let until = time::local(made.expires_at_ms);
        let document = json!({ "accessor": made.accessor, "expires_at": time::utc(made.expires_at_ms), "index": made.index });
        match &self.out {
            Some(path) => {
                token::write_new(path, &text)?;
                session.out.done(&document, &format!("a root token until {until} is in {}", path.display()))
            }
            None if text.is_empty() => Err(Failure::new(Exit::Unexpected, "no token came back", "the answer holds none")),
            None => session.out.text(&text),
        }
    }
}

//! `holdfast watch`.

use clap::Args;
use futures::StreamExt;
use proto_client::v1;
use serde_json::json;

use crate::{
    exit::{Doing, Failure},
    output::{mask::harmless, time},
    settings::Session,
};

/// Shows changes as they happen. It ends when it is interrupted.
#[derive(Args)]
#[command(after_help = "Examples:
  holdfast watch db/
  holdfast watch --after 1200 -o json")]
pub(crate) struct Watch {
    /// Below this folder; everything when left out.
    #[arg(default_value = "", hide_default_value = true)]
    prefix: String,
    /// Changes after this record first, then new ones.
    #[arg(long, value_name = "RECORD", default_value_t = 0, hide_default_value = true)]
    after: u64,
}

impl Watch {
    /// Follows the changes; a stream that breaks is opened again where it stopped.
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let client = session.client().await?;
        let mut after_index = self.after;
        loop {
            let request = v1::WatchRequest { environment: session.environment()?, prefix: self.prefix.clone(), after_index };
            let opened = client.secrets().watch(request).await;
            let mut events = opened.doing(|| format!("watch {}", self.prefix))?;
            while let Some(event) = events.next().await {
                match event {
                    Ok(event) => {
                        after_index = after_index.max(event.index);
                        show(session, &event)?;
                    }
                    // Opening again tells whether anybody can answer; only that failure is final.
                    Err(error) if error.outcome_unknown && after_index > 0 => break,
                    Err(error) => return Err(Failure::of_call("go on watching", &error)),
                }
            }
            if after_index == 0 {
                return Ok(());
            }
        }
    }
}

fn show(session: &Session, event: &v1::WatchEvent) -> Result<(), Failure> {
    if event.progress {
        return Ok(());
    }
    let document = json!({
        "index": event.index,
        "time": time::utc(event.stamp_ms),
        "path": event.path,
        "change": event.change,
        "versions": event.versions,
    });
    let versions: Vec<_> = event.versions.iter().map(|version| format!("v{version}")).collect();
    let (path, versions) = (harmless(&event.path), versions.join(","));
    let line = format!("{} {:>8} {:<9} {path} {versions}", time::local(event.stamp_ms), event.index, event.change);
    session.out.show_item(&document, line.trim_end())
}

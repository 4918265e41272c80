//! `holdfast operator unseal`.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use proto_client::{Client, v1};
use zeroize::Zeroizing;

use super::{Standing, nodes, secrets, show, standings};
use crate::{
    exit::{Doing, Failure},
    settings::Session,
};

/// How long a node may take until it serves: the service that keeps its seal answers, and it reads its log.
const STARTING: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Unseals.
#[derive(Args)]
pub(crate) struct Unseal {
    /// This node alone.
    #[arg(long)]
    node: Option<String>,
    /// The key file, for nodes that cannot read their own.
    #[arg(long, value_name = "PATH")]
    key_file: Option<PathBuf>,
    /// Forget the shares that were given from here, and give none.
    #[arg(long, conflicts_with = "key_file")]
    reset: bool,
}

impl Unseal {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let nodes = nodes(session, self.node.as_deref()).await?;
        let before = standings(&nodes).await;
        let sealed: Vec<(String, Client)> = nodes
            .iter()
            .zip(&before)
            .filter(|(_, (_, standing))| standing.as_ref().is_ok_and(|status| status.phase == "sealed"))
            .map(|(node, _)| node.clone())
            .collect();
        if sealed.is_empty() {
            return show(session, &before);
        }
        let request = self.request(&before)?;
        let (mut asked, mut refused) = (Vec::new(), None);
        for (address, client) in &sealed {
            match client.seal().unseal(request.clone()).await.doing(|| format!("unseal {address}")) {
                Ok(_) if request.service => asked.push(address.as_str()),
                Ok(_) => {}
                Err(failure) => {
                    refused.get_or_insert(failure);
                }
            }
        }
        let after = settled(&nodes, &asked).await;
        show(session, &after)?;
        refused.map_or(Ok(()), Err)
    }

    /// What to give, by the kind of the first sealed node: the nodes of a cluster have one seal.
    fn request(&self, standings: &[Standing]) -> Result<v1::UnsealRequest, Failure> {
        let empty = v1::UnsealRequest::default();
        let plain = |text: Zeroizing<String>| String::clone(&text);
        if self.reset {
            return Ok(v1::UnsealRequest { reset: true, ..empty });
        }
        if let Some(path) = &self.key_file {
            return Ok(v1::UnsealRequest { key_file: plain(secrets::read_key_file(path)?), ..empty });
        }
        let mut sealed = standings.iter().filter_map(|(_, standing)| standing.as_ref().ok());
        let kind = sealed.find(|status| status.phase == "sealed").map_or("", |status| status.kind.as_str());
        match kind {
            "shamir" => Ok(v1::UnsealRequest { share: plain(secrets::ask("share")?), ..empty }),
            "passphrase" => Ok(v1::UnsealRequest { passphrase: plain(secrets::ask("passphrase")?), ..empty }),
            "key-file" => Ok(v1::UnsealRequest { key_file: plain(secrets::ask("text of the key file")?), ..empty }),
            // Nothing can be given: the service that keeps the seal key is asked, now.
            "aws-kms" => Ok(v1::UnsealRequest { service: true, ..empty }),
            other => Err(Failure::usage(
                "nothing can be given",
                format!("the seal is of kind {other}, which this command does not know"),
                "use the command of the release that the nodes run",
            )),
        }
    }
}

/// Where the nodes stand once none of them is between two phases, nor waits for an answer of the service that it was to ask.
async fn settled(nodes: &[(String, Client)], asked: &[&str]) -> Vec<Standing> {
    let deadline = Instant::now() + STARTING;
    loop {
        let now = standings(nodes).await;
        let between = now.iter().any(|(address, standing)| {
            standing.as_ref().is_ok_and(|status| match status.phase.as_str() {
                "unsealing" => true,
                "sealed" => asked.contains(&address.as_str()) && status.trouble.is_empty(),
                _ => false,
            })
        });
        if !between || Instant::now() > deadline {
            return now;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

//! A cluster for developers: three nodes in three zones in this process, with real sockets, real TLS and real files.

use crate::boot::{Ambient, BootError, Node};
use crate::config::Config;
use crate::kit::{self, KitError, NodePlan};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How many nodes a development cluster has.
pub const NODES: u64 = 3;
/// How long the cluster may take until every node knows its founding.
const READY: Duration = Duration::from_secs(30);

/// Why a development cluster did not start.
#[derive(Debug, thiserror::Error)]
pub enum DevError {
    /// Its kit could not be made.
    #[error(transparent)]
    Kit(#[from] KitError),
    /// A node's settings could not be read.
    #[error(transparent)]
    Config(#[from] crate::config::ConfigError),
    /// A node did not start.
    #[error("node {id}: {cause}")]
    Boot {
        /// Which node.
        id: u64,
        /// Why.
        cause: BootError,
    },
    /// The nodes started and no cluster came of it.
    #[error("the nodes found no leader within {READY:?}")]
    NoLeader,
}

/// A running development cluster.
pub struct DevCluster {
    directory: PathBuf,
    nodes: Vec<Node>,
}

impl DevCluster {
    /// Starts the cluster in `directory`, with a new kit where there is none: the data of an earlier run is taken up again.
    ///
    /// # Errors
    /// When the kit cannot be made, a port is taken, or no cluster comes of it.
    pub async fn start(directory: &Path, port: u16) -> Result<DevCluster, DevError> {
        if !directory.join("client.toml").exists() {
            kit::create(directory, &NodePlan::local(NODES, port))?;
        }
        let mut nodes = Vec::new();
        for id in 1..=NODES {
            let file = kit::node_directory(directory, id).join("holdfast.toml");
            let config = Config::load(&file, std::iter::empty(), &[])?;
            nodes.push(Node::boot(config, Ambient::real()).await.map_err(|cause| DevError::Boot { id, cause })?);
        }
        let cluster = DevCluster { directory: directory.to_owned(), nodes };
        cluster.ready().await?;
        Ok(cluster)
    }

    async fn ready(&self) -> Result<(), DevError> {
        let deadline = tokio::time::Instant::now() + READY;
        for node in &self.nodes {
            while !node.is_ready() {
                if tokio::time::Instant::now() > deadline {
                    return Err(DevError::NoLeader);
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        Ok(())
    }

    /// Its nodes, in the order of their ids.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// How to talk to it.
    #[must_use]
    pub fn greeting(&self) -> String {
        let directory = self.directory.display();
        let addresses: Vec<String> = self.nodes.iter().map(|node| format!("https://{}", node.client_address())).collect();
        format!(
            "Three nodes are running, each in a zone of its own:\n  {}\n\nIn another terminal:\n\n  \
             export HOLDFAST_CONFIG={directory}/client.toml\n  \
             holdfast cluster status\n  \
             holdfast secret put db/password -e development --generate 32\n  \
             holdfast secret get db/password -e development --reveal\n  \
             holdfast audit verify --all-nodes\n\nThe first token, which may do everything, is in {directory}/root-token.\n",
            addresses.join("\n  ")
        )
    }

    /// Waits until a node ends by itself, and says which and why.
    pub async fn failed(&mut self) -> String {
        let waits = self.nodes.iter_mut().map(|node| {
            let id = node.id();
            Box::pin(async move { format!("node {id}: {}", node.failed().await) })
        });
        futures::future::select_all(waits).await.0
    }

    /// Stops all nodes in order.
    pub async fn shutdown(self) {
        for node in self.nodes {
            node.shutdown().await;
        }
    }
}

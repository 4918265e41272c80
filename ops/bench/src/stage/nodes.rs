//! Connections, several to each node.

use futures::future::try_join_all;
use proto_client::{Client, ClientConfig, ClientError, Service, v1};

use crate::fault::Fault;

/// One connection, which neither retries nor limits time.
pub(crate) type Connection = v1::secrets_client::SecretsClient<Service>;

/// The nodes that work is spread over.
pub(crate) struct Nodes {
    nodes: Vec<Node>,
}

struct Node {
    name: String,
    /// For questions that are not measured.
    client: Client,
    connections: Vec<Connection>,
}

impl Nodes {
    /// Connections to every address of `config`, `count` in all and at least one each. Nodes are named by their addresses.
    pub(crate) async fn connect(config: &ClientConfig, count: usize) -> Result<Nodes, Fault> {
        let each = count.div_ceil(config.endpoints.len().max(1));
        // A client holds one connection to each node.
        let clients = try_join_all((0..=each).map(|_| Client::connect(config.clone()))).await;
        let mut clients = clients.map_err(Fault::cluster("connect"))?.into_iter().map(|client| client.each_node());
        let first = clients.next().unwrap_or_default();
        let node = |(name, client)| Node { name, client, connections: Vec::with_capacity(each) };
        let mut nodes: Vec<Node> = first.into_iter().map(node).collect();
        for client in clients {
            let alone = client.into_iter().map(|(_, alone)| Connection::new(alone.service()));
            nodes.iter_mut().zip(alone).for_each(|(node, connection)| node.connections.push(connection));
        }
        Ok(Nodes { nodes })
    }

    /// As [`connect`](Nodes::connect); nodes are named by their ids.
    pub(crate) async fn of_cluster(config: &ClientConfig, count: usize) -> Result<Nodes, Fault> {
        let mut nodes = Nodes::connect(config, count).await?;
        for node in &mut nodes.nodes {
            let status = node.status().await.map_err(Fault::cluster("ask for the status"))?;
            node.name = format!("node {}", status.node_id);
        }
        Ok(nodes)
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.name.clone()).collect()
    }

    /// Who leads, as the first node knows it that answers.
    pub(crate) async fn leader(&self) -> String {
        for node in &self.nodes {
            if let Ok(status) = node.status().await {
                return format!("node {}", status.leader_id);
            }
        }
        "nobody who answers".to_owned()
    }

    /// The nodes and connections that the `worker`th of `workers` uses in turn: one, or all when there are fewer workers than nodes.
    pub(crate) fn route(&self, worker: usize, workers: usize) -> Vec<(usize, Connection)> {
        let count = self.nodes.len();
        let nodes = if workers < count { (0..count).map(|step| (worker + step) % count).collect() } else { vec![worker % count] };
        let connection = |node: usize| {
            let connections = &self.nodes[node].connections;
            (node, connections[(worker / count) % connections.len()].clone())
        };
        nodes.into_iter().map(connection).collect()
    }
}

impl Node {
    async fn status(&self) -> Result<v1::StatusResponse, ClientError> {
        self.client.cluster().status(v1::StatusRequest {}).await
    }
}

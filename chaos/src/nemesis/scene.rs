//! What a fault has at hand: the nodes, a client, the recorder, and how to choose.

use std::{
    sync::{Arc, Mutex as StdMutex, PoisonError},
    time::{Duration, Instant},
};

use proto_client::{Client, v1};
use rand::{RngExt, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::owed::Owed;
use crate::{
    recorder::Recorder,
    stage::{Stage, node::Node},
    trouble::Trouble,
};

/// How long a question to the cluster may take while it is being broken.
const ASKED: Duration = Duration::from_secs(5);
const ASKED_ONE: Duration = Duration::from_millis(800);
/// How long a node that comes back may take until it answers, before the next fault strikes anyway.
const BACK: Duration = Duration::from_secs(20);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// How a node came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Back {
    Answers,
    /// It runs; without a quorum it has nothing to say.
    Silent,
}

impl std::fmt::Display for Back {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Back::Answers => write!(formatter, "answers again"),
            Back::Silent => write!(formatter, "runs again, and had not answered after {} s", BACK.as_secs()),
        }
    }
}

/// Everything that a fault may touch.
pub(crate) struct Scene {
    /// Our own cluster; nothing where it is somebody else's.
    pub(crate) stage: Option<Arc<Stage>>,
    pub(crate) client: Client,
    pub(crate) recorder: Recorder,
    /// What is to be undone in a cluster that outlives the run; it knows the environment, too.
    pub(crate) owed: Arc<Owed>,
    /// One fault at a time changes the network, …
    pub(crate) network: Mutex<()>,
    /// … the members, and the keys of the environment.
    pub(crate) members: Mutex<Members>,
    pub(crate) keys: Mutex<()>,
    /// How that came out which must not go wrong whatever else goes on.
    pub(crate) trials: StdMutex<Vec<Trial>>,
}

/// Something that operators do under way, and that must come out well: what went wrong is no miss, it fails the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trial {
    pub(crate) promise: &'static str,
    /// What went wrong; nothing where it was kept.
    pub(crate) flaw: Option<String>,
}

/// Who has been a member beyond those at the start.
#[derive(Debug)]
pub(crate) struct Members {
    /// No id is used twice.
    pub(crate) next_id: u64,
    /// Those that could not be taken out yet.
    pub(crate) extra: Vec<u64>,
}

impl Scene {
    /// Our own cluster.
    pub(crate) fn stage(&self) -> Result<&Arc<Stage>, Trouble> {
        self.stage.as_ref().ok_or_else(|| Trouble::unusable("this fault", "the cluster is not ours"))
    }

    /// Notes how something came out that is judged.
    pub(crate) fn tried(&self, promise: &'static str, flaw: Option<String>) {
        self.trials.lock().unwrap_or_else(PoisonError::into_inner).push(Trial { promise, flaw });
    }

    /// Everything that was tried so far.
    pub(crate) fn trials(&self) -> Vec<Trial> {
        self.trials.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A client that does not wait for long.
    pub(crate) fn asking(&self) -> Client {
        self.client.with_timeout(ASKED)
    }

    /// What the cluster, or the first node that answers, says of itself.
    pub(crate) async fn status(&self) -> Result<v1::StatusResponse, Trouble> {
        let status = self.asking().cluster().status(v1::StatusRequest {}).await;
        status.map_err(Trouble::call("ask where the cluster stands"))
    }

    /// Who leads, where anybody knows.
    pub(crate) async fn leader(&self) -> Option<u64> {
        let status = self.client.with_timeout(ASKED_ONE).cluster().status(v1::StatusRequest {}).await.ok()?;
        Some(status.leader_id).filter(|id| *id > 0)
    }

    /// A node for one fault alone: half of the time the leader. None where others have all of them.
    pub(crate) async fn one_node(&self, chance: &mut ChaCha8Rng) -> Result<OwnedMutexGuard<Node>, Trouble> {
        let mut nodes = self.stage()?.nodes();
        nodes.shuffle(chance);
        if chance.random_bool(0.5)
            && let Some(leader) = self.leader().await
            && let Some(at) = nodes.iter().position(|(id, _)| *id == leader)
        {
            nodes.swap(0, at);
        }
        for (_, node) in nodes {
            if let Ok(mut node) = node.try_lock_owned()
                && node.is_running()
            {
                return Ok(node);
            }
        }
        Err(Trouble::unusable("a target", "other faults have every node"))
    }

    /// All nodes for one fault alone, by id; waits for the others to let go.
    pub(crate) async fn all_nodes(&self) -> Result<Vec<OwnedMutexGuard<Node>>, Trouble> {
        let mut locked = Vec::new();
        for (_, node) in self.stage()?.nodes() {
            locked.push(node.lock_owned().await);
        }
        Ok(locked)
    }

    /// Starts a node and waits until it answers, but not for ever: the cluster may be without a quorum.
    pub(crate) async fn start_and_wait(&self, node: &mut Node) -> Result<Back, Trouble> {
        node.start()?;
        self.wait_until_it_answers(node).await
    }

    pub(crate) async fn wait_until_it_answers(&self, node: &mut Node) -> Result<Back, Trouble> {
        let client = self.client_of(node).await?;
        let deadline = Instant::now() + BACK;
        while Instant::now() < deadline {
            if client.tokens().lookup_self(v1::LookupSelfRequest {}).await.is_ok() {
                return Ok(Back::Answers);
            }
            if !node.is_running() {
                let words = node.last_words(3);
                return Err(Trouble::unusable(format!("node {}", node.place.id), format!("it did not come back: {words}")));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(Back::Silent)
    }

    async fn client_of(&self, node: &Node) -> Result<Client, Trouble> {
        let address = format!("https://{}", node.place.client);
        let known = self.client.each_node().into_iter().find(|(known, _)| *known == address);
        match known {
            Some((_, client)) => Ok(client.with_timeout(ASKED_ONE)),
            // A node that joined later; its lock is ours, so its address is taken from here.
            None => {
                let config = self.stage()?.settings_for([node.place.client.clone()])?;
                let client = Client::connect(config).await.map_err(Trouble::cluster("connect to a node"))?;
                Ok(client.with_timeout(ASKED_ONE))
            }
        }
    }
}

//! What faults owe a cluster that outlives the run: nodes that a command stopped, an environment that was sealed. It is settled on
//! every way out of a run, an error and an interrupt included.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use proto_client::{Client, v1};

use super::hooks::{Hooks, START};
use crate::{say, trouble::Trouble};

/// How often a node is started that was stopped.
const TRIES: u32 = 3;
/// How long an environment may take to be unsealed once no fault strikes any more.
const UNSEAL: Duration = Duration::from_secs(30);
const ASKED: Duration = Duration::from_secs(5);
const TRY_AGAIN: Duration = Duration::from_millis(200);

/// Kept from before the act, so that it is known however far the act came.
pub(crate) struct Owed {
    client: Client,
    pub(crate) environment: String,
    pub(crate) hooks: Hooks,
    debts: Mutex<Debts>,
}

#[derive(Debug, Default)]
struct Debts {
    /// Nodes that a command was to stop.
    stopped: BTreeMap<u64, v1::Member>,
    /// Whether the environment may be sealed.
    sealed: bool,
}

impl Owed {
    pub(crate) fn new(client: &Client, environment: &str, hooks: &Hooks) -> Owed {
        let (client, environment) = (client.with_timeout(ASKED), environment.to_owned());
        Owed { client, environment, hooks: hooks.clone(), debts: Mutex::default() }
    }

    fn debts(&self) -> MutexGuard<'_, Debts> {
        self.debts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops a node by the operator's command; from before, it is owed its start.
    pub(super) async fn stop(&self, member: &v1::Member) -> Result<(), Trouble> {
        self.debts().stopped.insert(member.node_id, member.clone());
        self.hooks.stop(member).await
    }

    /// Starts it again.
    pub(super) async fn start(&self, member: &v1::Member) -> Result<(), Trouble> {
        self.hooks.start(member).await?;
        self.debts().stopped.remove(&member.node_id);
        Ok(())
    }

    /// The environment is about to be sealed, …
    pub(super) fn will_seal(&self) {
        self.debts().sealed = true;
    }

    /// … and is known to be open again.
    pub(super) fn is_open(&self) {
        self.debts().sealed = false;
    }

    /// Starts what is stopped and opens what is sealed. What is left over, with what mends it.
    pub(crate) async fn settle(&self) -> Vec<String> {
        let mut left = Vec::new();
        let stopped: Vec<v1::Member> = self.debts().stopped.values().cloned().collect();
        for member in stopped {
            say(&format!("starting node {} again", member.node_id));
            left.extend(self.start_at_last(&member).await.err().map(|trouble| left_stopped(&member, &trouble)));
        }
        if self.debts().sealed {
            say(&format!("unsealing environment {} again", self.environment));
            left.extend(self.unseal().await.err().map(|trouble| left_sealed(&self.environment, &trouble)));
        }
        left
    }

    async fn start_at_last(&self, member: &v1::Member) -> Result<(), Trouble> {
        for _ in 1..TRIES {
            if self.start(member).await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(TRY_AGAIN).await;
        }
        self.start(member).await
    }

    async fn unseal(&self) -> Result<(), Trouble> {
        let deadline = Instant::now() + UNSEAL;
        loop {
            let request = v1::SealEnvironmentRequest { environment: self.environment.clone() };
            match self.client.keys().unseal_environment(request).await {
                Ok(_) => break,
                Err(error) if Instant::now() > deadline => return Err(Trouble::call("unseal the environment")(error)),
                Err(_) => tokio::time::sleep(TRY_AGAIN).await,
            }
        }
        self.is_open();
        Ok(())
    }
}

fn left_stopped(member: &v1::Member, trouble: &Trouble) -> String {
    let (id, host) = (member.node_id, super::hooks::host(member));
    format!("node {id} may be stopped ({trouble}): run the command of {START} by hand, with {{id}} = {id} and {{host}} = {host}")
}

fn left_sealed(environment: &str, trouble: &Trouble) -> String {
    format!("environment {environment} may be sealed ({trouble}): holdfast env unseal {environment}")
}

#[cfg(test)]
mod tests {
    use proto_client::ClientConfig;

    use super::*;

    fn member() -> v1::Member {
        v1::Member { node_id: 2, client_address: "two.example:7100".into(), ..Default::default() }
    }

    async fn owed(hooks: Hooks) -> Owed {
        let client = Client::connect(ClientConfig::new(["http://127.0.0.1:1".to_owned()])).await.unwrap();
        Owed::new(&client, "staging", &hooks)
    }

    fn commands(stop: String, start: String) -> Hooks {
        Hooks { stop: Some(stop), start: Some(start) }
    }

    #[tokio::test]
    async fn a_node_whose_stop_failed_half_way_is_started_again() {
        let directory = tempfile::tempdir().unwrap();
        let there = directory.path().join("started");
        let owed = owed(commands("exit 3".into(), format!("echo {{id}} {{host}} > {}", there.display()))).await;
        owed.stop(&member()).await.unwrap_err();
        assert!(owed.settle().await.is_empty());
        assert_eq!(std::fs::read_to_string(&there).unwrap(), "2 two.example\n");
        std::fs::remove_file(&there).unwrap();
        assert!(owed.settle().await.is_empty());
        assert!(!there.exists(), "nothing is owed any more");
    }

    #[tokio::test]
    async fn what_cannot_be_undone_is_named_with_what_mends_it_and_without_the_command() {
        let owed = owed(commands("true".into(), "echo hfs.token > /dev/null; exit 7".into())).await;
        owed.stop(&member()).await.unwrap();
        let left = owed.settle().await;
        assert_eq!(left.len(), 1);
        assert!(left[0].contains("node 2 may be stopped") && left[0].contains("--exec-start"), "{left:?}");
        assert!(left[0].contains("{host} = two.example") && !left[0].contains("hfs.token"), "{left:?}");
        let sealed = left_sealed("staging", &Trouble::Interrupted);
        assert!(sealed.ends_with("holdfast env unseal staging"), "{sealed}");
    }
}

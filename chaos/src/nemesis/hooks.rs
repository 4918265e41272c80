//! Commands of an operator's that stop and start a node. They may hold a token, so that nothing that is written shows them.

use std::time::Duration;

use proto_client::v1;

use crate::{shell, trouble::Trouble};

/// The flags that name them.
pub(crate) const STOP: &str = "--exec-stop";
pub(crate) const START: &str = "--exec-start";
/// How long one of them may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The commands; `{id}` and `{host}` stand for the node.
#[derive(Clone, Default)]
pub(crate) struct Hooks {
    pub(crate) stop: Option<String>,
    pub(crate) start: Option<String>,
}

impl std::fmt::Debug for Hooks {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let given = |command: &Option<String>| command.as_ref().map(|_| "…");
        formatter.debug_struct("Hooks").field("stop", &given(&self.stop)).field("start", &given(&self.start)).finish()
    }
}

impl Hooks {
    pub(super) async fn stop(&self, member: &v1::Member) -> Result<(), Trouble> {
        run(STOP, self.stop.as_deref(), member, PATIENCE).await
    }

    pub(super) async fn start(&self, member: &v1::Member) -> Result<(), Trouble> {
        run(START, self.start.as_deref(), member, PATIENCE).await
    }
}

/// The host that clients find a node at.
pub(super) fn host(member: &v1::Member) -> &str {
    member.client_address.rsplit_once(':').map_or("", |(host, _)| host)
}

async fn run(flag: &str, command: Option<&str>, member: &v1::Member, patience: Duration) -> Result<(), Trouble> {
    let command = command.ok_or_else(|| Trouble::unusable("this fault", format!("no {flag} was given")))?;
    let line = command.replace("{id}", &member.node_id.to_string()).replace("{host}", host(member));
    let failed = |why: String| Trouble::Program { command: format!("{flag} of node {}", member.node_id), why };
    match tokio::time::timeout(patience, shell::line(&line)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(Trouble::Program { why, .. })) => Err(failed(why)),
        Ok(Err(trouble)) => Err(trouble),
        Err(_) => Err(failed(format!("it did not end within {patience:?} and was killed"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn fails(command: &str) -> String {
        let member = v1::Member { node_id: 3, client_address: "[::1]:7100".into(), ..Default::default() };
        run(STOP, Some(command), &member, Duration::from_millis(300)).await.unwrap_err().to_string()
    }

    #[tokio::test]
    async fn a_command_that_fails_or_hangs_is_named_by_its_flag_alone() {
        assert_eq!(fails("true hfs.token; exit 4").await, "--exec-stop of node 3: exit status: 4");
        assert_eq!(fails("echo {id} at {host} >&2; false").await, "--exec-stop of node 3: 3 at [::1]");
        assert!(fails("sleep 30 # hfs.token").await.ends_with("it did not end within 300ms and was killed"));
        let hooks = Hooks { stop: Some("hfs.token".into()), start: None };
        assert!(!format!("{hooks:?}").contains("hfs.token"));
    }
}

//! The gate in front of the services: while it is closed this node takes no new calls, and clients go on to another node.
//!
//! Calls that are under way go on; streams end with words that send their callers elsewhere. Health, the seal and the cluster's own
//! service stay outside the gate: they are how a closed node is looked at and opened again.

use std::sync::Arc;
use tokio::sync::watch;
use tonic::service::Interceptor;
use tonic::{Request, Status};

/// Whether a node takes calls. Clones are the same gate.
#[derive(Clone)]
pub(crate) struct Gate {
    node: u64,
    closed: Arc<watch::Sender<bool>>,
}

impl Gate {
    /// The open gate of node `node`.
    pub(crate) fn new(node: u64) -> Gate {
        Gate { node, closed: Arc::new(watch::Sender::new(false)) }
    }

    /// Takes no calls from now on.
    pub(crate) fn close(&self) {
        self.closed.send_replace(true);
    }

    /// Takes calls again.
    pub(crate) fn open(&self) {
        self.closed.send_replace(false);
    }

    pub(crate) fn is_closed(&self) -> bool {
        *self.closed.borrow()
    }

    /// Whether it is closed, as it changes.
    pub(crate) fn watch(&self) -> watch::Receiver<bool> {
        self.closed.subscribe()
    }

    /// Waits until it is closed.
    pub(crate) async fn closed(self) {
        let mut closed = self.closed.subscribe();
        // The sender is here: the wait cannot fail.
        let _ = closed.wait_for(|closed| *closed).await;
    }

    /// What a caller is told who has to go on to another node.
    pub(crate) fn elsewhere(&self) -> Status {
        Status::unavailable(format!("node {} takes no calls, it is being drained or stopped: ask another node", self.node))
    }
}

impl Interceptor for Gate {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        if self.is_closed() { Err(self.elsewhere()) } else { Ok(request) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_closed_gate_sends_callers_to_another_node_until_it_is_opened() {
        let gate = Gate::new(2);
        assert!(gate.clone().call(Request::new(())).is_ok());
        let closing = tokio::spawn(gate.clone().closed());
        gate.close();
        closing.await.unwrap();
        let refused = gate.clone().call(Request::new(())).unwrap_err();
        assert_eq!(refused.code(), tonic::Code::Unavailable);
        assert!(refused.message().contains("node 2") && refused.message().contains("ask another node"), "{refused}");
        gate.open();
        assert!(gate.clone().call(Request::new(())).is_ok());
    }
}

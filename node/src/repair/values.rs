//! A value whose bytes are damaged here is answered from another member's bytes, and put back.

use super::Repairs;
use super::peers::RepairPeers;
use crate::api::Door;
use crate::engine::fold::Fold;
use crate::engine::values::ValueKey;
use node_domain::ids::EnvironmentName;
use node_domain::repair::RepairPart;
use node_domain::sealed::{Payload, SealRef};
use std::sync::Arc;

/// The way to other members' values.
pub(crate) struct ValueRepair {
    pub(crate) peers: RepairPeers,
    pub(crate) fold: Arc<Fold>,
    pub(crate) repairs: Arc<Repairs>,
}

/// Nobody has the value as the state names it.
#[derive(Debug, thiserror::Error)]
#[error("this node's copy is damaged, and no other member gave one: {0}")]
pub(crate) struct LostValue(String);

impl ValueRepair {
    /// The bytes of a version from another member, which have been opened once, and stand in the place of the damaged ones now. `why` says
    /// how it was noticed.
    pub(crate) async fn fetch(
        &self,
        door: &Door,
        environment: &EnvironmentName,
        key: ValueKey,
        seal: &SealRef,
        why: String,
    ) -> Result<Arc<Payload>, LostValue> {
        self.repairs.began(RepairPart::Value, why);
        let fetched = self.fetch_quietly(door, environment, key, seal).await;
        match &fetched {
            Ok(_) => self.repairs.done(RepairPart::Value),
            Err(lost) => self.repairs.failed(RepairPart::Value, lost.0.clone()),
        }
        fetched
    }

    /// As [`fetch`](ValueRepair::fetch), for who tells of many at once.
    pub(crate) async fn fetch_quietly(
        &self,
        door: &Door,
        environment: &EnvironmentName,
        key: ValueKey,
        seal: &SealRef,
    ) -> Result<Arc<Payload>, LostValue> {
        metrics::counter!("holdfast_values_damaged_total").increment(1);
        let view = door.view();
        let about = view.state.environment(environment).map_err(|rejection| LostValue(rejection.to_string()))?.about.clone();
        // The seal is bound to this version of this secret in this environment: nothing else opens.
        let fits = |payload: &_| door.sealing.open(&about, seal, payload).is_ok();
        let payload = Arc::new(self.peers.value(environment, key, fits).await.map_err(LostValue)?);
        self.put_back(environment, key, payload.clone()).await;
        Ok(payload)
    }

    async fn put_back(&self, environment: &EnvironmentName, key: ValueKey, payload: Arc<Payload>) {
        let (fold, environment) = (self.fold.clone(), environment.clone());
        let put = raft::offload(move || fold.put_back(&environment, key, payload)).await;
        if let Err(error) = put {
            tracing::error!(%error, "a value was not put back");
        }
    }
}

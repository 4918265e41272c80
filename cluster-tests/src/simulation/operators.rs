//! What operators do. That it is refused is no news: what they did shows in what callers are told.

use super::clients::{Callers, ENVIRONMENT, PATIENCE};
use proto::v1;
use proto::v1::cluster_client::ClusterClient;
use proto::v1::keys_client::KeysClient;
use uuid::Uuid;

/// One thing that operators do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operating {
    /// To this node, or to whom the leader chooses: 0.
    HandOver(u64),
    Snapshot,
    RotateKey,
    Seal,
    Unseal,
}

impl Callers {
    /// Has a node do it; says whether it said that it has.
    pub(super) async fn operate(&self, node: u64, what: Operating) -> bool {
        let Some((routes, life)) = self.door(node) else { return false };
        let (mut cluster, mut keys) = (ClusterClient::new(routes.clone()), KeysClient::new(routes));
        let id = Uuid::new_v4();
        let operating = async {
            let sealing = v1::SealEnvironmentRequest { environment: ENVIRONMENT.to_owned() };
            match what {
                Operating::HandOver(node_id) => {
                    let to = v1::MemberRequest { node_id, even_so: false };
                    cluster.transfer_leader(self.request(to, id)).await.is_ok()
                }
                Operating::Snapshot => cluster.trigger_snapshot(self.request(v1::TriggerSnapshotRequest {}, id)).await.is_ok(),
                Operating::RotateKey => {
                    let rotating = v1::RotateKeyRequest { environment: ENVIRONMENT.to_owned(), system: false };
                    keys.rotate(self.request(rotating, id)).await.is_ok()
                }
                Operating::Seal => keys.seal_environment(self.request(sealing, id)).await.is_ok(),
                Operating::Unseal => keys.unseal_environment(self.request(sealing, id)).await.is_ok(),
            }
        };
        tokio::select! {
            biased;
            () = life.ended() => false,
            done = tokio::time::timeout(PATIENCE, operating) => done.unwrap_or(false),
        }
    }
}

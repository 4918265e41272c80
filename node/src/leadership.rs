//! Who should lead: not a node that is being drained or stopped, as long as another can.

use crate::gate::Gate;
use crate::members::placement;
use raft::{MembershipError, Replica, Role};
use std::time::Duration;

/// How long a node that leads tries to hand over.
const HAND_OVER: Duration = Duration::from_secs(1);
/// How long it waits before it tries again.
const AGAIN: Duration = Duration::from_secs(1);
/// How often a leader looks how the nodes of its zone are.
const ZONE_LOOK: Duration = Duration::from_secs(10);

/// Hands leadership to the voter that lacks the least, in a zone that is whole where there is one, and says to whom.
///
/// # Errors
/// When this node does not lead, nobody else votes and answers, or nobody took over in time.
pub(crate) async fn hand_over(replica: &Replica) -> Result<u64, MembershipError> {
    if !leads(replica) {
        return Err(MembershipError::NotLeader { leader: replica.leader().map(|leader| leader.id) });
    }
    let members: Vec<_> = replica.members().into_values().collect();
    let nobody = || MembershipError::Refused("nobody else votes and answers".to_owned());
    let to = placement::successor(&members, &replica.status()).ok_or_else(nobody)?;
    match tokio::time::timeout(HAND_OVER, replica.transfer_leader(to)).await {
        Ok(done) => done.map(|()| to),
        Err(_) => Err(MembershipError::NotTransferred { to, waited_ms: HAND_OVER.as_millis() as u64 }),
    }
}

/// As [`hand_over`], for who goes on in any case.
pub(crate) async fn let_go(replica: &Replica) {
    if !leads(replica) {
        return;
    }
    match hand_over(replica).await {
        Ok(to) => tracing::info!(to, "handed leadership over"),
        Err(error) => tracing::warn!(%error, "could not hand leadership over"),
    }
}

fn leads(replica: &Replica) -> bool {
    matches!(*replica.watch_role().borrow(), Role::Leader { .. })
}

/// Hands over whenever this node leads although its gate is closed: it may have been elected because nobody else could be.
pub(crate) async fn keep_away(replica: Replica, gate: Gate) {
    let (mut role, mut closed) = (replica.watch_role(), gate.watch());
    loop {
        let must_go = gate.is_closed() && matches!(*role.borrow_and_update(), Role::Leader { .. });
        if must_go {
            let_go(&replica).await;
        }
        let changed = async {
            tokio::select! {
                changed = role.changed() => changed.is_ok(),
                changed = closed.changed() => changed.is_ok(),
            }
        };
        // While it still leads it looks again without waiting for a change.
        let goes_on = if must_go { tokio::time::timeout(AGAIN, changed).await.unwrap_or(true) } else { changed.await };
        if !goes_on {
            return;
        }
    }
}

/// Hands over whenever others of this node's zone have been silent for a while and all voters of another zone answer.
pub(crate) async fn prefer_healthy_zone(replica: Replica) {
    let mut before = None;
    loop {
        tokio::time::sleep(ZONE_LOOK).await;
        let members: Vec<_> = replica.members().into_values().collect();
        let better = if leads(&replica) { placement::healthier(&members, &replica.status()) } else { None };
        // Twice in a row: one node that restarts is no sick zone.
        if let (Some(_), Some(to)) = (before, better) {
            match replica.transfer_leader(to).await {
                Ok(()) => tracing::info!(to, "handed leadership over: nodes of this one's zone do not answer"),
                Err(error) => tracing::warn!(to, %error, "could not hand leadership over to a healthier zone"),
            }
        }
        before = better;
    }
}

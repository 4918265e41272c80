//! Keeping the journal and the state told of who belongs to the cluster: the node that leads reports what replication has, and every node
//! says what it understands.

mod gate;
pub(crate) mod placement;

pub(crate) use gate::AdmittedPeers;

use crate::api::Door;
use node_domain::command::Upkeep;
use node_domain::limits;
use node_domain::members::{Build, MembersUpkeep, Seat};
use node_domain::{Command, State};
use raft::{MemberState, Replica, Role};
use std::sync::Arc;
use std::time::Duration;

/// The feature level that this build understands. It goes up by one with a release that writes records which the one before cannot read;
/// such records wait until [`level`](node_domain::members::MembersState::level) of the state says that everybody can.
const LEVEL: u32 = 1;
/// How often it is looked whether something is new.
const LOOK: Duration = Duration::from_millis(500);
/// How long a report may take to commit.
const PATIENCE: Duration = Duration::from_secs(10);

/// What this node runs. A test may have a build understand more or less.
pub(crate) fn build() -> Build {
    let pretended = cfg!(debug_assertions).then(|| std::env::var("HOLDFAST_FEATURE_LEVEL").ok()?.parse().ok()).flatten();
    Build { level: pretended.unwrap_or(LEVEL), version: env!("CARGO_PKG_VERSION").to_owned() }
}

/// Refuses a state that has gone beyond what this build understands.
pub(crate) fn check_level(needed: u32) -> Result<(), String> {
    let own = build();
    if own.level >= needed {
        return Ok(());
    }
    Err(format!(
        "the cluster uses features of level {needed}, and version {} understands level {}: start the version that ran here before, or a \
         newer one",
        own.version, own.level
    ))
}

/// Where a member stands, as the state keeps it.
fn seat(member: &MemberState) -> Seat {
    Seat { zone: limits::cut(member.member.zone.clone(), limits::NAME_BYTES_MAX), voter: member.voter }
}

/// Where all members stand, as replication has it.
fn seats(replica: &Replica) -> Vec<(u64, Seat)> {
    replica.members().values().map(|member| (member.id, seat(member))).collect()
}

/// Whether the state knows all changes of members that replication has.
pub(crate) fn are_told(state: &State, replica: &Replica) -> bool {
    state.members().are(&seats(replica))
}

/// Reports and announces for as long as the node runs.
pub(crate) async fn keep_told(door: Arc<Door>, replica: Replica) {
    let mut next = tokio::time::interval(LOOK);
    next.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        next.tick().await;
        let view = door.view();
        if !view.state.is_founded() {
            continue;
        }
        let members = view.state.members();
        let seen = seats(&replica);
        let is_member = seen.iter().any(|(node, _)| *node == door.node_id);
        if matches!(*replica.watch_role().borrow(), Role::Leader { .. }) && !members.are(&seen) {
            say(&door, MembersUpkeep::See { members: seen }).await;
        } else if is_member && members.build(door.node_id) != Some(&build()) {
            say(&door, MembersUpkeep::Announce { node: door.node_id, build: build() }).await;
        }
    }
}

async fn say(door: &Door, upkeep: MembersUpkeep) {
    let command = Command::Upkeep(Box::new(Upkeep::Members(upkeep)));
    match door.submit_own("members", command, PATIENCE).await {
        Ok((decided, _)) => {
            if let Err(refused) = decided.answer {
                tracing::error!(%refused, "what this node says of the members was refused");
            }
        }
        Err(lost) => tracing::debug!(%lost, "the journal does not know yet of a change of members"),
    }
}

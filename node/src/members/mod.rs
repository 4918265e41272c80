//! Keeping the journal and the state told of who belongs to the cluster: the node that leads reports what replication has, and every node
//! says what it understands.

mod gate;
pub(crate) mod placement;

pub(crate) use gate::AdmittedPeers;

use crate::api::Door;
use crate::engine::Lost;
use crate::engine::proposer::Decided;
use node_domain::command::Upkeep;
use node_domain::limits;
use node_domain::members::{Build, MembersUpkeep, Seat};
use node_domain::{Command, State};
use raft::{MemberState, Replica, Role};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use storage::planted;

/// The feature level that this build understands. It goes up by one with a release that writes records which the one before cannot read;
/// such records wait until [`level`](node_domain::members::MembersState::level) of the state says that everybody can. Snapshots that hold
/// them need a higher format then, or an older build would take them for damaged.
const LEVEL: u32 = 1;
/// How often it is looked whether something is new.
const LOOK: Duration = Duration::from_millis(500);
/// How long a report may take to commit.
const PATIENCE: Duration = Duration::from_secs(10);
/// Who says so, in the journal.
const SOURCE: &str = "members";

/// What this program is. A test may have it understand more or less.
pub(crate) fn build() -> Build {
    let pretended = cfg!(debug_assertions).then(|| std::env::var("HOLDFAST_FEATURE_LEVEL").ok()?.parse().ok()).flatten();
    Build { level: pretended.unwrap_or(LEVEL), version: env!("CARGO_PKG_VERSION").to_owned() }
}

/// Refuses a state that has gone beyond what a build understands.
pub(crate) fn check_level(own: &Build, needed: u32) -> Result<(), String> {
    if own.level >= needed || planted::is_back("level-not-checked") {
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

fn seats(members: &BTreeMap<u64, MemberState>) -> Vec<(u64, Seat)> {
    members.values().map(|member| (member.id, seat(member))).collect()
}

/// Whether the state knows all changes of members that replication has.
pub(crate) fn are_told(state: &State, replica: &Replica) -> bool {
    state.members().are(&seats(&replica.members()))
}

/// Reports and announces for as long as the node runs.
pub(crate) async fn keep_told(door: Arc<Door>, replica: Replica, build: Build) {
    let mut next = tokio::time::interval(LOOK);
    next.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        next.tick().await;
        let view = door.view();
        if !view.state.is_founded() {
            continue;
        }
        let members = view.state.members();
        // A change that may still be taken back is no news: who has left stays out for good, and who joined has used up a number.
        let Some(agreed) = replica.agreed_members() else { continue };
        let is_member = agreed.contains_key(&door.node_id);
        let seen = seats(&agreed);
        if matches!(*replica.watch_role().borrow(), Role::Leader { .. }) && !members.are(&seen) {
            // Here, not at a later leader: that one knows of later changes.
            told(door.submit_here(SOURCE, upkeep(MembersUpkeep::See { members: seen }), PATIENCE).await);
        } else if is_member && members.build(door.node_id) != Some(&build) {
            let announce = upkeep(MembersUpkeep::Announce { node: door.node_id, build: build.clone() });
            told(door.submit_own(SOURCE, announce, PATIENCE).await.map(|(decided, _)| decided));
        }
    }
}

fn upkeep(upkeep: MembersUpkeep) -> Command {
    Command::Upkeep(Box::new(Upkeep::Members(upkeep)))
}

fn told(outcome: Result<Decided, Lost>) {
    match outcome.map(|decided| decided.answer) {
        Ok(Ok(_)) => {}
        Ok(Err(refused)) => tracing::error!(%refused, "what this node says of the members was refused"),
        Err(lost) => tracing::debug!(%lost, "the journal does not know yet of a change of members"),
    }
}

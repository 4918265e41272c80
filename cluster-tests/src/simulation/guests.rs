//! Nodes that come in place of others: a new number, a learner, a vote, and the old one leaves for good.

use super::chance;
use super::clients::{Callers, PATIENCE};
use super::walk::Walk;
use proto::v1;
use proto::v1::cluster_client::ClusterClient;
use std::time::Duration;
use tokio::task::JoinHandle;
use tonic::service::Routes;
use tonic::{Code, Request, Response, Status};
use uuid::Uuid;

/// How often whoever replaces a node asks before he lets it rest for a while.
const REQUESTS: u32 = 24;
/// The wait before another.
const AGAIN_MS: std::ops::RangeInclusive<u64> = 50..=600;
/// So many of a hundred come in one change with the leaving of the other; the rest in two.
const IN_ONE_CHANGE: u64 = 60;

/// Who comes, and instead of whom.
#[derive(Clone, Debug)]
pub(super) struct Guest {
    member: v1::AddLearnerRequest,
    instead_of: u64,
    in_one_change: bool,
}

/// A replacement on its way. It is the only one.
pub(super) struct Coming {
    guest: Guest,
    /// Somebody who sees to it; nobody while it rests. He says whether the old one has left.
    asking: Option<JoinHandle<bool>>,
}

/// The changes that a replacement takes.
#[derive(Clone, Copy)]
enum Change {
    Add,
    Promote,
    Replace,
    Remove,
}

type Answered = Result<Response<v1::MembershipResponse>, Status>;

/// What was said to a change.
enum Said {
    Done,
    /// A leader does not know this node.
    NotMember(u64),
    NotNow,
}

impl Walk {
    /// Lays out a new node in place of one of the others, or goes on with one that rests.
    pub(super) fn replace_one(&mut self) -> Result<bool, String> {
        if self.coming.is_some() {
            return Ok(self.go_on_replacing());
        }
        let Some(instead_of) = chance::one(&self.world.ids()) else { return Ok(false) };
        self.replace(instead_of)
    }

    /// Lays out a new node in place of this one.
    pub(super) fn replace(&mut self, instead_of: u64) -> Result<bool, String> {
        let member = self.world.add()?;
        self.tell(format!("node {} comes in place of node {instead_of}", member.node_id));
        self.world.leaves(instead_of);
        self.start(member.node_id)?;
        let in_one_change = chance::happens(IN_ONE_CHANGE);
        self.coming = Some(Coming { guest: Guest { member, instead_of, in_one_change }, asking: None });
        Ok(self.go_on_replacing())
    }

    /// Has somebody see to the replacement, where nobody does.
    pub(super) fn go_on_replacing(&mut self) -> bool {
        let callers = self.callers.clone();
        let Some(coming) = self.coming.as_mut().filter(|coming| coming.asking.is_none()) else { return false };
        let guest = coming.guest.clone();
        coming.asking = Some(tokio::spawn(async move { callers.replace(guest).await }));
        true
    }

    /// Takes the old node away once it has left.
    pub(super) async fn see_off(&mut self) {
        let Some(coming) = self.coming.as_mut() else { return };
        let Some(asking) = coming.asking.take_if(|asking| asking.is_finished()) else { return };
        let Guest { member, instead_of, .. } = coming.guest.clone();
        if asking.await.unwrap_or(false) {
            self.tell(format!("node {instead_of} has left, node {} is in its place", member.node_id));
            self.world.retire(instead_of);
            self.at_once.retain(|id| *id != instead_of);
            self.coming = None;
            *self.counts.entry("replaced").or_default() += 1;
        }
    }
}

impl Callers {
    /// Asks whoever is there, again and again; whether the old one has left.
    async fn replace(&self, guest: Guest) -> bool {
        let (new, old) = (guest.member.node_id, guest.instead_of);
        let (mut next, mut missed) = (Change::Add, 0);
        for _ in 0..REQUESTS {
            let said = match next {
                Change::Add => self.change(async |mut at, asked| at.add_learner(asked).await, guest.member.clone()).await,
                Change::Promote => self.change(async |mut at, asked| at.promote(asked).await, about(new)).await,
                Change::Replace => {
                    let replace = v1::ReplaceRequest { node_id: old, by_node_id: new };
                    self.change(async |mut at, asked| at.replace(asked).await, replace).await
                }
                Change::Remove => self.change(async |mut at, asked| at.remove(asked).await, about(old)).await,
            };
            match said {
                Said::Done => match next {
                    Change::Add if guest.in_one_change => next = Change::Replace,
                    Change::Add => next = Change::Promote,
                    Change::Promote => next = Change::Remove,
                    Change::Replace | Change::Remove => return true,
                },
                // What an earlier request did whose answer was lost. It counts when a leader that has committed since says so, too.
                Said::NotMember(id) if id == old => {
                    missed += 1;
                    if missed > 1 {
                        return true;
                    }
                }
                Said::NotMember(_) => next = Change::Add,
                Said::NotNow => tokio::time::sleep(Duration::from_millis(chance::of(AGAIN_MS))).await,
            }
        }
        false
    }

    /// Asks somebody for a change.
    async fn change<T>(&self, call: impl AsyncFnOnce(ClusterClient<Routes>, Request<T>) -> Answered, message: T) -> Said {
        let Some((routes, life)) = chance::one(&self.nodes()).and_then(|node| self.door(node)) else { return Said::NotNow };
        let asking = call(ClusterClient::new(routes), self.request(message, Uuid::new_v4()));
        tokio::select! {
            biased;
            () = life.ended() => Said::NotNow,
            said = tokio::time::timeout(PATIENCE, asking) => match said {
                Ok(Ok(_)) => Said::Done,
                Ok(Err(status)) if status.code() == Code::AlreadyExists => Said::Done,
                Ok(Err(status)) if status.code() == Code::NotFound => named(status.message()).map_or(Said::NotNow, Said::NotMember),
                _ => Said::NotNow,
            },
        }
    }
}

fn about(node_id: u64) -> v1::MemberRequest {
    v1::MemberRequest { node_id, even_so: false }
}

/// The node that a refusal names.
fn named(words: &str) -> Option<u64> {
    words.strip_prefix("node ")?.split_whitespace().next()?.parse().ok()
}

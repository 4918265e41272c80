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
    /// Somebody who sees to it; nobody while it rests. He says why the old one has not left.
    asking: Option<JoinHandle<Result<(), String>>>,
    /// What was said last.
    said: String,
}

impl Coming {
    /// Why it has not come about yet.
    pub(super) fn why(&self) -> String {
        let Coming { guest: Guest { member, instead_of, .. }, said, .. } = self;
        format!("node {} has not come in place of node {instead_of}: {said}", member.node_id)
    }
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
    NotNow(String),
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
        let level = self.level_of_newcomer();
        let member = self.world.add(level)?;
        self.tell(format!("node {} comes in place of node {instead_of}", member.node_id));
        self.world.leaves(instead_of);
        self.start(member.node_id)?;
        let in_one_change = chance::happens(IN_ONE_CHANGE);
        self.coming =
            Some(Coming { guest: Guest { member, instead_of, in_one_change }, asking: None, said: "nobody was asked".into() });
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
        if let Err(why) = asking.await.unwrap_or_else(|error| Err(error.to_string())) {
            coming.said.clone_from(&why);
            self.tell(format!("node {instead_of} has not left: {why}"));
        } else {
            self.tell(format!("node {instead_of} has left, node {} is in its place", member.node_id));
            self.world.retire(instead_of);
            self.at_once.retain(|id| *id != instead_of);
            self.coming = None;
            *self.counts.entry("replaced").or_default() += 1;
        }
    }
}

impl Callers {
    /// Asks whoever is there, again and again, until the old one has left.
    async fn replace(&self, guest: Guest) -> Result<(), String> {
        let (new, old) = (guest.member.node_id, guest.instead_of);
        let (mut next, mut missed, mut refused) = (Change::Add, 0, String::new());
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
                    Change::Replace | Change::Remove => return Ok(()),
                },
                // What an earlier request did whose answer was lost. It counts when a leader that has committed since says so, too.
                Said::NotMember(id) if id == old => {
                    missed += 1;
                    if missed > 1 {
                        return Ok(());
                    }
                }
                Said::NotMember(_) => next = Change::Add,
                Said::NotNow(why) => {
                    refused = why;
                    tokio::time::sleep(Duration::from_millis(chance::of(AGAIN_MS))).await;
                }
            }
        }
        Err(refused)
    }

    /// Asks somebody for a change.
    async fn change<T>(&self, call: impl AsyncFnOnce(ClusterClient<Routes>, Request<T>) -> Answered, message: T) -> Said {
        let door = chance::one(&self.nodes()).and_then(|node| self.door(node));
        let Some((routes, life)) = door else { return Said::NotNow("all are down".into()) };
        let asking = call(ClusterClient::new(routes), self.request(message, Uuid::new_v4()));
        tokio::select! {
            biased;
            () = life.ended() => Said::NotNow("the node ended".into()),
            said = tokio::time::timeout(PATIENCE, asking) => match said {
                Ok(Ok(_)) => Said::Done,
                Ok(Err(status)) if status.code() == Code::AlreadyExists => Said::Done,
                Ok(Err(status)) => match named(status.message()).filter(|_| status.code() == Code::NotFound) {
                    Some(node) => Said::NotMember(node),
                    None => Said::NotNow(format!("{:?}: {}", status.code(), status.message())),
                },
                Err(_) => Said::NotNow("no answer in time".into()),
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

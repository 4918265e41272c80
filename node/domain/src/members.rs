//! Who belongs to the cluster, as far as the journal and the state know: who came, who votes, who left for good, and what all of them
//! understand. The membership itself is replication's; the node that leads reports it.

use crate::decide::{Answer, Context, Decided};
use crate::event::{Event, What};
use crate::ids::Stamp;
use crate::limits;
use crate::operation::Operation;
use crate::rejection::Rejection;
use crate::state::{At, Digest, State};
use imbl::{OrdMap, OrdSet};
use serde::{Deserialize, Serialize};

/// Kinds of rows in the digest: 120 to 127 are of members.
mod row {
    pub(super) const PIECE: u8 = 120;
}

/// One thing that happened. New kinds are added at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum MembersEvent {
    /// The cluster agreed that a node belongs to it, or that it votes from now on or no longer.
    MemberSeen { node: NodeName, seat: Seat },
    /// The cluster agreed that a node does not belong to it any more. Its number is never used again.
    MemberLeft { node: NodeName },
    /// A node says what it understands.
    MemberAnnounced { node: NodeName, build: Build },
    /// All members understand this level: what needs it may happen from now on, and a build that does not understand it may not join.
    LevelRaised { level: u32 },
}

/// A node's number as records name it: `node-<number>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeName(String);

impl NodeName {
    /// The name of the node with this number.
    #[must_use]
    pub fn of(node: u64) -> NodeName {
        NodeName(format!("node-{node}"))
    }

    /// Its number; none where a record names something else.
    fn number(&self) -> Option<u64> {
        self.0.strip_prefix("node-")?.parse().ok()
    }
}

/// Where a member stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seat {
    /// Two nodes of one zone may fail together.
    pub zone: String,
    /// Whether it votes; a learner only follows.
    pub voter: bool,
}

/// What a node runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// The highest feature level that it understands, from 1.
    pub level: u32,
    /// Its version, for people.
    pub version: String,
}

/// What nodes say of themselves and of each other, without a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum MembersUpkeep {
    /// All members, as replication has them.
    See {
        members: Vec<(u64, Seat)>,
    },
    Announce {
        node: u64,
        build: Build,
    },
}

/// One member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Where it stands.
    pub seat: Seat,
    /// What it runs, where it has said so.
    pub build: Option<Build>,
    /// Since when it has been a member.
    pub since: Stamp,
}

/// The part of the state that is about members.
#[derive(Clone, Debug, Default)]
pub struct MembersState {
    members: OrdMap<u64, Member>,
    /// Numbers of nodes that left. Invariant: none of them is in `members`.
    gone: OrdSet<u64>,
    /// What a node says before it is reported as a member.
    announced: OrdMap<u64, Build>,
    /// The feature level of the cluster; 0 before anybody has said anything.
    level: u32,
}

/// One piece of it in a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum MembersPiece {
    Member(u64, Member),
    Gone(u64),
    Announced(u64, Build),
    Level(u32),
}

impl MembersEvent {
    /// What was asked.
    #[must_use]
    pub fn operation(&self) -> Operation {
        match self {
            MembersEvent::MemberSeen { .. } => Operation::MemberSeen,
            MembersEvent::MemberLeft { .. } => Operation::MemberLeft,
            MembersEvent::MemberAnnounced { .. } => Operation::MemberAnnounced,
            MembersEvent::LevelRaised { .. } => Operation::LevelRaised,
        }
    }

    /// About how many bytes of varying size it takes in the log, never much less than it does.
    #[must_use]
    pub fn varying_bytes(&self) -> usize {
        match self {
            MembersEvent::MemberSeen { node, seat } => node.0.len() + seat.zone.len(),
            MembersEvent::MemberAnnounced { node, build } => node.0.len() + build.version.len(),
            MembersEvent::MemberLeft { node } => node.0.len(),
            MembersEvent::LevelRaised { .. } => 0,
        }
    }

    /// Environment, subject, secret and version as a record shows them.
    #[must_use]
    pub fn about_what(&self) -> What<'_> {
        match self {
            MembersEvent::MemberSeen { node, .. }
            | MembersEvent::MemberLeft { node }
            | MembersEvent::MemberAnnounced { node, .. } => What::system(&node.0),
            MembersEvent::LevelRaised { level } => What { version: u64::from(*level), ..What::system("features") },
        }
    }
}

impl MembersUpkeep {
    /// Operation, environment and subject, for the record of a request that is not done.
    #[must_use]
    pub fn describe(&self) -> (Operation, String, String) {
        let operation = match self {
            MembersUpkeep::See { .. } => Operation::MemberSeen,
            MembersUpkeep::Announce { .. } => Operation::MemberAnnounced,
        };
        (operation, String::new(), "members".to_owned())
    }
}

impl MembersState {
    /// All members by their number.
    pub fn members(&self) -> impl Iterator<Item = (u64, &Member)> {
        self.members.iter().map(|(node, member)| (*node, member))
    }

    /// Whether a node was a member and is none any more.
    #[must_use]
    pub fn has_left(&self, node: u64) -> bool {
        self.gone.contains(&node)
    }

    /// What a node has said that it runs.
    #[must_use]
    pub fn build(&self, node: u64) -> Option<&Build> {
        self.members.get(&node).and_then(|member| member.build.as_ref()).or_else(|| self.announced.get(&node))
    }

    /// The feature level of the cluster: what a build must understand to be a member.
    #[must_use]
    pub fn level(&self) -> u32 {
        self.level
    }

    /// The lowest number that no node has had.
    #[must_use]
    pub fn next_number(&self) -> u64 {
        let newest = self.members.keys().next_back().max(self.gone.iter().next_back());
        newest.map_or(1, |newest| newest + 1)
    }

    /// Whether these are the members that the state has already.
    #[must_use]
    pub fn are(&self, seen: &[(u64, Seat)]) -> bool {
        seen.len() == self.members.len()
            && seen.iter().all(|(node, seat)| self.members.get(node).is_some_and(|member| member.seat == *seat))
    }

    /// What all members have said that they understand, where all of them have.
    fn common_level(&self) -> Option<u32> {
        self.members.values().map(|member| member.build.as_ref().map_or(0, |build| build.level)).min().filter(|level| *level > 0)
    }

    fn fold(&mut self, event: &MembersEvent, at: &At<'_>) -> Result<(), &'static str> {
        let number = |node: &NodeName| node.number().ok_or("it names no node");
        match event {
            MembersEvent::MemberSeen { node, seat } => {
                let node = number(node)?;
                self.gone.remove(&node);
                let announced = self.announced.remove(&node);
                let known = self.members.get(&node);
                let build = known.and_then(|member| member.build.clone()).or(announced);
                let since = known.map_or(at.stamp, |member| member.since);
                self.members.insert(node, Member { seat: seat.clone(), build, since });
            }
            MembersEvent::MemberLeft { node } => {
                let node = number(node)?;
                self.members.remove(&node);
                self.announced.remove(&node);
                self.gone.insert(node);
            }
            MembersEvent::MemberAnnounced { node, build } => {
                let node = number(node)?;
                if let Some(member) = self.members.get_mut(&node) {
                    member.build = Some(build.clone());
                    return Ok(());
                }
                if self.announced.len() >= limits::ANNOUNCED_MAX {
                    let first = self.announced.keys().next().copied();
                    first.map(|first| self.announced.remove(&first));
                }
                self.announced.insert(node, build.clone());
            }
            MembersEvent::LevelRaised { level } if *level <= self.level => return Err("a feature level never goes back"),
            MembersEvent::LevelRaised { level } => self.level = *level,
        }
        Ok(())
    }

    /// All pieces, lazily.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = MembersPiece> + '_ {
        let members = self.members.iter().map(|(node, member)| MembersPiece::Member(*node, member.clone()));
        members
            .chain(self.gone.iter().copied().map(MembersPiece::Gone))
            .chain(self.announced.iter().map(|(node, build)| MembersPiece::Announced(*node, build.clone())))
            .chain((self.level > 0).then_some(MembersPiece::Level(self.level)))
    }

    /// Takes in one piece of a snapshot.
    pub(crate) fn take(&mut self, piece: MembersPiece) {
        match piece {
            MembersPiece::Member(node, member) => drop(self.members.insert(node, member)),
            MembersPiece::Gone(node) => drop(self.gone.insert(node)),
            MembersPiece::Announced(node, build) => drop(self.announced.insert(node, build)),
            MembersPiece::Level(level) => self.level = level,
        }
    }

    /// Adds all rows to a digest that is computed anew.
    pub(crate) fn add_rows(&self, digest: &mut Digest) {
        self.pieces().for_each(|piece| digest.add(row::PIECE, &piece));
    }

    fn subtract_rows(&self, digest: &mut Digest) {
        self.pieces().for_each(|piece| digest.subtract(row::PIECE, &piece));
    }
}

impl State {
    pub(crate) fn fold_members(&mut self, event: &MembersEvent, at: &At<'_>) -> Result<(), &'static str> {
        // There are a handful of rows: all of them out, and in again.
        self.members.subtract_rows(&mut self.digest);
        let folded = self.members.fold(event, at);
        self.members.add_rows(&mut self.digest);
        folded
    }

    /// A timeline that starts from a snapshot has members of its own, some under numbers that others had before.
    pub(crate) fn forget_members(&mut self) {
        self.members.subtract_rows(&mut self.digest);
        self.members = MembersState { level: self.members.level, ..MembersState::default() };
        self.members.add_rows(&mut self.digest);
    }

    /// Makes sure that a node may become a member under this number.
    pub(crate) fn check_number(&self, node: u64) -> Result<(), Rejection> {
        if self.members.has_left(node) {
            let free = self.members.next_number();
            return Err(Rejection::invalid(format!(
                "node {node} was a member and left: a number is never used again; {free} is free"
            )));
        }
        Ok(())
    }
}

/// What the leader sees and what a node says of itself is taken as it is; the state keeps what is new in it.
pub(crate) fn upkeep(state: &State, context: &Context, command: &MembersUpkeep) -> Decided {
    let mut supposed = state.members.clone();
    let at = At { seq: state.revision(), stamp: context.stamp, actor: None };
    let mut events = match command {
        MembersUpkeep::See { members } => seen(state, members)?,
        MembersUpkeep::Announce { node, build } => {
            let version = limits::cut(build.version.clone(), limits::NAME_BYTES_MAX);
            let build = Build { level: build.level, version };
            if build.level < state.members.level {
                let (level, needed) = (build.level, state.members.level);
                return Err(Rejection::invalid(format!(
                    "node {node} understands features up to level {level}, the cluster uses {needed}"
                )));
            }
            vec![MembersEvent::MemberAnnounced { node: NodeName::of(*node), build }]
        }
    };
    events.iter().try_for_each(|event| supposed.fold(event, &at)).map_err(Rejection::invalid)?;
    if let Some(level) = supposed.common_level().filter(|level| *level > state.members.level) {
        events.push(MembersEvent::LevelRaised { level });
    }
    if events.is_empty() {
        let event = Event::Observed { operation: Operation::MemberSeen, environment: None, subject: "members".to_owned() };
        return Ok((vec![event], Answer::Done));
    }
    Ok((events.into_iter().map(Event::Members).collect(), Answer::Done))
}

/// What is different from what the state has.
fn seen(state: &State, members: &[(u64, Seat)]) -> Result<Vec<MembersEvent>, Rejection> {
    if members.is_empty() || members.len() > limits::MEMBERS_MAX {
        return Err(Rejection::invalid(format!("a cluster has 1 to {} members", limits::MEMBERS_MAX)));
    }
    let known = &state.members.members;
    let new = members.iter().filter(|(node, seat)| known.get(node).is_none_or(|member| member.seat != *seat));
    let new = new.map(|(node, seat)| {
        let zone = limits::cut(seat.zone.clone(), limits::NAME_BYTES_MAX);
        MembersEvent::MemberSeen { node: NodeName::of(*node), seat: Seat { zone, voter: seat.voter } }
    });
    let gone = known.keys().filter(|node| !members.iter().any(|(seen, _)| seen == *node));
    Ok(new.chain(gone.map(|node| MembersEvent::MemberLeft { node: NodeName::of(*node) })).collect())
}

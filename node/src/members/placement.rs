//! Where votes should lie: in no zone so many that losing it loses the majority, as far as the members allow that.

use raft::{MemberState, ReplicaStatus};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A follower that has not answered for so long is not there.
const SILENT: Duration = Duration::from_secs(2);

/// Votes in each zone. A node without a zone stands in one of its own.
fn votes(members: &[MemberState]) -> BTreeMap<String, usize> {
    let mut votes = BTreeMap::new();
    for member in members.iter().filter(|member| member.voter) {
        *votes.entry(zone_of(member)).or_default() += 1;
    }
    votes
}

fn zone_of(member: &MemberState) -> String {
    if member.member.zone.is_empty() { format!("of node {} alone", member.id) } else { member.member.zone.clone() }
}

/// A zone whose loss would lose the majority, though members stand in other zones: it, its votes, and all votes.
pub(crate) fn overloaded(members: &[MemberState]) -> Option<(String, usize, usize)> {
    let zones: BTreeSet<_> = members.iter().map(zone_of).collect();
    let votes = votes(members);
    let all: usize = votes.values().sum();
    if zones.len() < 2 || all < 3 {
        return None;
    }
    // Without this zone's votes, what is left must still be more than half of all.
    let heaviest = votes.into_iter().max_by_key(|(_, count)| *count)?;
    (2 * (all - heaviest.1) <= all).then_some((heaviest.0, heaviest.1, all))
}

/// Whether a vote for `node` makes matters worse than another learner's would: why, and who should vote instead.
pub(crate) fn better_than(members: &[MemberState], node: u64) -> Option<(String, u64)> {
    let with = |node: u64| -> Vec<MemberState> {
        let vote = |member: &MemberState| MemberState { voter: member.voter || member.id == node, ..member.clone() };
        members.iter().map(vote).collect()
    };
    let (zone, votes, all) = overloaded(&with(node))?;
    let others = members.iter().filter(|member| !member.voter && member.id != node);
    let better = others.map(|member| member.id).find(|other| overloaded(&with(*other)).is_none())?;
    Some((format!("zone {zone} would hold {votes} of {all} votes, and losing it would stop the cluster"), better))
}

/// Whether the others would still be a majority that has answered for `since`, were this voter taken out.
pub(crate) fn can_spare(members: &[MemberState], status: &ReplicaStatus, node: u64, since: Duration) -> Result<(), String> {
    let left: Vec<u64> = members.iter().filter(|member| member.voter && member.id != node).map(|member| member.id).collect();
    if !members.iter().any(|member| member.voter && member.id == node) {
        return Ok(());
    }
    let answering = left.iter().filter(|id| **id == status.id || answers(status, **id, since)).count();
    if 2 * answering > left.len() {
        return Ok(());
    }
    let count = left.len();
    Err(format!(
        "of the {count} voters that would be left {answering} answer: the cluster would stop; bring one back, or add one first"
    ))
}

/// Whether `by` may have the vote of `old`: it answers, and with it a majority does.
pub(crate) fn can_take_over(
    members: &[MemberState],
    status: &ReplicaStatus,
    (old, by): (u64, u64),
    since: Duration,
) -> Result<(), String> {
    let any = |id: u64, voter: bool| members.iter().any(|member| (member.id, member.voter) == (id, voter));
    let a_vote_moves = any(old, true) && any(by, false);
    if a_vote_moves && !answers(status, by, since) {
        return Err(format!("node {by} does not answer: it would have a vote that it does not use"));
    }
    let with = |member: &MemberState| MemberState { voter: member.voter || member.id == by, ..member.clone() };
    can_spare(&members.iter().map(with).collect::<Vec<_>>(), status, old, since)
}

/// Whether a learner answers, and may be trusted with a vote.
pub(crate) fn can_vote(members: &[MemberState], status: &ReplicaStatus, node: u64, since: Duration) -> Result<(), String> {
    let is_learner = members.iter().any(|member| member.id == node && !member.voter);
    if is_learner && !answers(status, node, since) {
        return Err(format!("node {node} does not answer: start it, and promote it when it has caught up, or say --even-so"));
    }
    Ok(())
}

/// Whether a node has answered what it was sent since.
fn answers(status: &ReplicaStatus, id: u64, since: Duration) -> bool {
    let follower = status.followers.iter().find(|follower| follower.id == id);
    follower.and_then(|follower| follower.acknowledged).is_some_and(|silence| silence < since)
}

/// The voter that should lead when this node does not: one that answers, in a zone whose voters all answer where there is one, that lacks
/// the least.
pub(crate) fn successor(members: &[MemberState], status: &ReplicaStatus) -> Option<u64> {
    let voters = || members.iter().filter(|member| member.voter);
    let sick: BTreeSet<String> =
        voters().filter(|member| member.id != status.id && !answers(status, member.id, SILENT)).map(zone_of).collect();
    let rank = |member: &MemberState| {
        let follower = status.followers.iter().find(|follower| follower.id == member.id)?;
        follower.acknowledged?;
        Some((sick.contains(&zone_of(member)), follower.lag, follower.acknowledged))
    };
    let ranked = voters().filter(|member| member.id != status.id).filter_map(|member| Some((rank(member)?, member.id)));
    ranked.min().map(|(_, id)| id)
}

/// A voter that should lead instead of this node, because others of this node's zone do not answer and all of its zone do.
pub(crate) fn healthier(members: &[MemberState], status: &ReplicaStatus) -> Option<u64> {
    let own = members.iter().find(|member| member.id == status.id)?;
    let voters = |zone: String| members.iter().filter(move |member| member.voter && zone_of(member) == zone);
    let silent = |member: &MemberState| member.id != status.id && !answers(status, member.id, SILENT);
    if !voters(zone_of(own)).any(silent) {
        return None;
    }
    let better = successor(members, status)?;
    let zone = members.iter().find(|member| member.id == better).map(zone_of)?;
    (zone != zone_of(own) && !voters(zone).any(silent)).then_some(better)
}

#[cfg(test)]
mod tests {
    use super::*;
    use raft::{FollowerStatus, Member};

    fn member(id: u64, zone: &str, voter: bool) -> MemberState {
        let member = Member { peer_address: String::new(), client_address: String::new(), zone: zone.into() };
        MemberState { id, member, voter }
    }

    /// Node 1 leads; each other with its lag, and whether it answers.
    fn led_by_1(followers: &[(u64, u64, bool)]) -> ReplicaStatus {
        let follower = |(id, lag, answers): &(u64, u64, bool)| FollowerStatus {
            id: *id,
            matched: Some(0),
            lag: *lag,
            acknowledged: Some(if *answers { Duration::from_millis(30) } else { Duration::from_secs(60) }),
        };
        ReplicaStatus {
            id: 1,
            term: 1,
            leader: Some(1),
            last_log: None,
            committed: None,
            cluster_committed: None,
            applied: None,
            snapshot: None,
            purged: None,
            quorum_acknowledged: None,
            followers: followers.iter().map(follower).collect(),
        }
    }

    #[test]
    fn a_zone_that_holds_the_majority_is_named_where_that_can_be_helped() {
        let [a1, a2, b, c] = [member(1, "a", true), member(2, "a", true), member(3, "b", true), member(4, "c", true)];
        assert_eq!(overloaded(&[a1.clone(), a2.clone(), b.clone()]), Some(("a".into(), 2, 3)));
        assert_eq!(overloaded(&[a1.clone(), b.clone(), c.clone()]), None);
        assert_eq!(overloaded(&[a1.clone(), a2.clone(), b, c]), Some(("a".into(), 2, 4)), "two of four are no majority");
        assert_eq!(overloaded(&[a1.clone(), a2.clone(), member(3, "a", true)]), None, "there is one zone");
        assert_eq!(
            overloaded(&[member(1, "", true), member(2, "", true), member(3, "", true)]),
            None,
            "nobody says where they stand"
        );
        assert_eq!(overloaded(&[a1, a2, member(3, "a", true), member(4, "b", false)]), Some(("a".into(), 3, 3)));
    }

    #[test]
    fn a_learner_of_another_zone_is_named_where_it_should_vote_instead() {
        let mut members = vec![member(1, "a", true), member(2, "b", true), member(3, "a", false)];
        assert_eq!(better_than(&members, 3), None, "nobody else could");
        members.push(member(4, "c", false));
        let (why, instead) = better_than(&members, 3).unwrap();
        assert_eq!(instead, 4);
        assert_eq!(why, "zone a would hold 2 of 3 votes, and losing it would stop the cluster");
        assert_eq!(better_than(&members, 4), None);
    }

    #[test]
    fn a_vote_goes_to_who_answers_and_only_where_a_majority_does_then() {
        let mut members: Vec<_> = (1..=3).map(|id| member(id, "", true)).collect();
        members.push(member(4, "", false));
        let take_over = |old, answering: [bool; 3]| {
            let [two, three, four] = answering;
            can_take_over(&members, &led_by_1(&[(2, 0, two), (3, 0, three), (4, 0, four)]), (old, 4), SILENT)
        };
        assert_eq!(take_over(3, [true, false, true]), Ok(()), "the dead one is replaced");
        assert_eq!(take_over(2, [true, false, true]), Ok(()));
        let learner = [member(1, "", true), member(4, "", false)];
        let refused = can_vote(&learner, &led_by_1(&[(4, 0, false)]), 4, SILENT).unwrap_err();
        assert!(refused.starts_with("node 4 does not answer: start it"), "{refused}");
        assert_eq!(can_vote(&learner, &led_by_1(&[(4, 0, true)]), 4, SILENT), Ok(()));
        assert_eq!(can_vote(&learner, &led_by_1(&[]), 9, SILENT), Ok(()), "whether there is such a node is for others to say");
        let refused = take_over(2, [true, true, false]).unwrap_err();
        assert_eq!(refused, "node 4 does not answer: it would have a vote that it does not use");
        assert_eq!(take_over(9, [true, true, false]), Ok(()), "whether there is such a node is for others to say");
        let voters: Vec<_> = (1..=4).map(|id| member(id, "", true)).collect();
        let refused =
            can_take_over(&voters, &led_by_1(&[(2, 0, true), (3, 0, false), (4, 0, false)]), (2, 4), SILENT).unwrap_err();
        assert!(refused.starts_with("of the 3 voters that would be left 1 answer"), "{refused}");
    }

    #[test]
    fn a_voter_is_spared_when_those_left_answer() {
        let members: Vec<_> = (1..=3).map(|id| member(id, "", true)).collect();
        assert_eq!(can_spare(&members, &led_by_1(&[(2, 0, true), (3, 0, false)]), 3, SILENT), Ok(()));
        let refused = can_spare(&members, &led_by_1(&[(2, 0, true), (3, 0, false)]), 2, SILENT).unwrap_err();
        assert!(refused.starts_with("of the 2 voters that would be left 1 answer"), "{refused}");
        let with_learner: Vec<_> = members.into_iter().chain([member(4, "", false)]).collect();
        assert_eq!(can_spare(&with_learner, &led_by_1(&[]), 4, SILENT), Ok(()), "it has no vote");
        let last = [member(1, "", true), member(4, "", false)];
        let refused = can_spare(&last, &led_by_1(&[(4, 0, true)]), 1, SILENT).unwrap_err();
        assert!(refused.starts_with("of the 0 voters that would be left 0 answer"), "{refused}");
    }

    #[test]
    fn a_leader_prefers_a_zone_whose_voters_all_answer() {
        let members: Vec<_> =
            [(1, "a"), (2, "a"), (3, "b"), (4, "b"), (5, "c")].into_iter().map(|(id, zone)| member(id, zone, true)).collect();
        let all_well = led_by_1(&[(2, 3, true), (3, 2, true), (4, 1, true), (5, 4, true)]);
        assert_eq!(successor(&members, &all_well), Some(4));
        assert_eq!(healthier(&members, &all_well), None);
        let b_sick = led_by_1(&[(2, 3, true), (3, 2, false), (4, 0, true), (5, 4, true)]);
        assert_eq!(successor(&members, &b_sick), Some(2));
        assert_eq!(healthier(&members, &b_sick), None);
        let a_sick = led_by_1(&[(2, 0, false), (3, 2, true), (4, 1, true), (5, 0, true)]);
        assert_eq!(healthier(&members, &a_sick), Some(5));
        let all_sick = led_by_1(&[(2, 0, false), (3, 0, false), (4, 1, true)]);
        assert_eq!(healthier(&members, &all_sick), None);
    }
}

//! What holds whichever transport joins the nodes.

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use futures::future::join_all;
use raft::{MembershipError, ProposeError, ReadError, ReplicaConfig, Reply, Role};

use crate::support::{
    soon,
    world::{Net, World, patient},
};

/// Runs each scenario over both transports.
macro_rules! over_both_transports {
    ($($scenario:ident),* $(,)?) => {
        mod over_channels {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $scenario() {
                super::$scenario(super::Net::channel()).await;
            })*
        }
        mod over_grpc {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $scenario() {
                super::$scenario(super::Net::grpc()).await;
            })*
        }
    };
}

over_both_transports! {
    what_the_leader_accepts_reaches_every_node_in_one_order,
    proposals_made_in_order_enter_the_log_in_order,
    a_follower_refuses_a_proposal_and_names_the_leader,
    leadership_goes_to_the_node_it_is_handed_to,
    another_node_leads_when_the_leader_is_gone,
    an_empty_learner_is_brought_up_by_a_snapshot_and_then_votes,
    a_damaged_snapshot_is_asked_for_again_and_touches_nothing,
    a_removed_node_no_longer_counts,
    a_demoted_node_follows_and_its_answers_do_not_count,
    an_idle_follower_that_starts_again_gets_what_comes_next,
    the_last_vote_is_not_taken,
    a_follower_that_hears_nothing_raises_nobodys_term,
    what_an_isolated_leader_took_stays_unknown_and_is_never_applied_beside_the_new_log,
    a_member_that_a_quorum_has_not_agreed_on_is_no_news,
    a_read_barrier_needs_the_leader_and_its_quorum,
    the_largest_payload_is_replicated_and_a_larger_one_is_refused,
}

async fn what_the_leader_accepts_reaches_every_node_in_one_order(net: Net) {
    let world = World::cluster(net, patient(), 3).await;
    world.write("a").await;
    world.write("b").await;
    let last = world.write("c").await;
    world.all_hold(last, &["a", "b", "c"]).await;
    world.finish().await;
}

async fn proposals_made_in_order_enter_the_log_in_order(net: Net) {
    let world = World::cluster(net, patient(), 3).await;
    let leader = world.leader().await;
    let payloads: Vec<Bytes> = (0..2_000u32).map(|number| number.to_string().into()).collect();
    let proposals: Vec<_> = payloads.iter().map(|payload| world.replica(leader).propose(payload.clone())).collect();

    let answers = soon("every proposal to commit", join_all(proposals)).await;
    let mut answers = answers.into_iter().map(Result::unwrap);
    let (first, _) = answers.next().unwrap();
    let mut last = first;
    for (number, (index, reply)) in answers.enumerate() {
        last = index;
        assert_eq!(index, first + 1 + number as u64);
        assert_eq!(reply, Reply::Accepted { revision: 2 + number as u64 });
    }
    for id in world.ids() {
        world.applied(id, last).await;
        assert_eq!(world.memory(id).payloads(), payloads, "node {id}");
    }
    world.finish().await;
}

async fn a_follower_refuses_a_proposal_and_names_the_leader(net: Net) {
    let world = World::cluster(net, patient(), 3).await;
    let leader = world.leader().await;
    let last = world.write("known").await;
    for follower in world.others(leader) {
        world.applied(follower, last).await;
        let refused = world.replica(follower).propose(Bytes::from_static(b"x")).await.unwrap_err();
        assert_eq!(refused, ProposeError::NotLeader { leader: Some(leader) });
        let named = world.replica(follower).leader().unwrap();
        assert_eq!((named.id, named.member), (leader, Some(world.member(leader))));
    }
    world.finish().await;
}

async fn leadership_goes_to_the_node_it_is_handed_to(net: Net) {
    let world = World::cluster(net, patient(), 3).await;
    world.write("before").await;
    let old = world.leader().await;
    let new = world.others(old)[0];
    world.replica(old).transfer_leader(new).await.unwrap();
    assert_eq!(world.leader_among(&[new]).await, new);
    let last = world.write_at(new, "after").await;
    world.all_hold(last, &["before", "after"]).await;
    world.finish().await;
}

async fn another_node_leads_when_the_leader_is_gone(net: Net) {
    let mut world = World::cluster(net, patient(), 3).await;
    world.write("before").await;
    let old = world.leader().await;
    world.stop(old).await;
    let last = world.write("after").await;
    world.all_hold(last, &["before", "after"]).await;

    world.start(old).await;
    world.all_hold(last, &["before", "after"]).await;
    world.finish().await;
}

async fn an_empty_learner_is_brought_up_by_a_snapshot_and_then_votes(net: Net) {
    let mut world = World::cluster(net, ReplicaConfig { entries_kept: 0, ..patient() }, 3).await;
    world.write("a").await;
    let snapshot = world.write("b").await;
    let leader = world.leader().await;
    assert_eq!(world.replica(leader).trigger_snapshot().await.unwrap(), Some(snapshot));
    world.status(leader, "the log to be purged", |status| status.purged == Some(snapshot)).await;

    world.start(4).await;
    world.replica(leader).add_learner(4, world.member(4)).await.unwrap();
    let last = world.write("c").await;
    world.all_hold(last, &["a", "b", "c"]).await;
    assert_eq!(world.memory(4).installed.load(std::sync::atomic::Ordering::SeqCst), 1);

    world.replica(leader).promote(4).await.unwrap();
    assert!(world.replica(leader).members()[&4].voter);
    world.replica(leader).transfer_leader(4).await.unwrap();
    let last = world.write_at(4, "d").await;
    world.all_hold(last, &["a", "b", "c", "d"]).await;
    world.finish().await;
}

async fn a_damaged_snapshot_is_asked_for_again_and_touches_nothing(net: Net) {
    let mut world = World::cluster(net, ReplicaConfig { entries_kept: 0, ..patient() }, 1).await;
    let snapshot = world.write("a").await;
    world.replica(1).trigger_snapshot().await.unwrap();
    world.status(1, "the log to be purged", |status| status.purged == Some(snapshot)).await;

    world.start(2).await;
    world.memory(2).damaged.store(2, std::sync::atomic::Ordering::SeqCst);
    world.replica(1).add_learner(2, world.member(2)).await.unwrap();
    let last = world.write("b").await;
    world.all_hold(last, &["a", "b"]).await;
    assert_eq!(world.memory(2).damaged.load(std::sync::atomic::Ordering::SeqCst), 0);
    assert!(!world.memory(2).has_incoming_files());
    world.finish().await;
}

async fn a_removed_node_no_longer_counts(net: Net) {
    let mut world = World::cluster(net, patient(), 3).await;
    let leader = world.leader().await;
    let [gone, stays] = world.others(leader)[..] else { panic!("three nodes") };
    world.stop(gone).await;
    world.replica(leader).remove(gone).await.unwrap();
    let voters: BTreeSet<u64> = world.replica(leader).members().into_keys().collect();
    assert_eq!(voters, BTreeSet::from([leader, stays]));
    assert_eq!(world.replica(leader).remove(gone).await, Err(MembershipError::NotMember(gone)));
    assert_eq!(world.replica(leader).add_learner(stays, world.member(stays)).await, Err(MembershipError::AlreadyMember(stays)));
    let last = world.write("without it").await;
    world.all_hold(last, &["without it"]).await;
    world.finish().await;
}

async fn a_demoted_node_follows_and_its_answers_do_not_count(net: Net) {
    let config = ReplicaConfig { barrier_timeout: Duration::from_millis(500), ..patient() };
    let world = World::cluster(net, config, 3).await;
    let leader = world.leader().await;
    let [demoted, other] = world.others(leader)[..] else { panic!("three nodes") };
    world.replica(leader).demote(demoted).await.unwrap();
    assert_eq!(world.replica(leader).demote(demoted).await, Ok(()), "it is one already");
    assert!(!world.replica(leader).members()[&demoted].voter);
    assert_eq!(world.replica(leader).transfer_leader(demoted).await, Err(MembershipError::NotMember(demoted)));
    let mut role = world.replica(demoted).watch_role();
    soon("it to be a learner", role.wait_for(|role| matches!(role, Role::Learner { .. }))).await.unwrap();
    let last = world.write_at(leader, "to a learner").await;
    world.all_hold(last, &["to a learner"]).await;

    // Two of three nodes reach each other, but one of two votes.
    world.net.isolate(other, &[leader, demoted]);
    let refused = world.replica(leader).read_barrier().await;
    assert!(matches!(refused, Err(ReadError::NoQuorum(_))), "{refused:?}");
    world.net.heal();
    let leader = world.leader().await;
    world.replica(leader).promote(demoted).await.unwrap();
    assert!(world.replica(leader).members()[&demoted].voter);
    let last = world.write_at(leader, "to a voter").await;
    world.all_hold(last, &["to a learner", "to a voter"]).await;
    world.finish().await;
}

async fn an_idle_follower_that_starts_again_gets_what_comes_next(net: Net) {
    let mut world = World::cluster(net, patient(), 3).await;
    let leader = world.leader().await;
    let [first, second] = world.others(leader)[..] else { panic!("three nodes") };
    let last = world.write_at(leader, "before").await;
    world.all_hold(last, &["before"]).await;
    for follower in [first, second] {
        world.stop(follower).await;
        world.start(follower).await;
    }
    soon("the vote to be taken", world.replica(leader).demote(second)).await.unwrap();
    let last = world.write_at(leader, "after").await;
    world.all_hold(last, &["before", "after"]).await;
    world.finish().await;
}

async fn the_last_vote_is_not_taken(net: Net) {
    let mut world = World::cluster(net, patient(), 1).await;
    world.start(2).await;
    world.replica(1).add_learner(2, world.member(2)).await.unwrap();
    let refused = world.replica(1).demote(1).await;
    assert!(matches!(refused, Err(MembershipError::Refused(_))), "{refused:?}");
    assert_eq!(world.replica(1).demote(9).await, Err(MembershipError::NotMember(9)));
    let last = world.write_at(1, "still").await;
    world.all_hold(last, &["still"]).await;
    world.finish().await;
}

async fn a_follower_that_hears_nothing_raises_nobodys_term(net: Net) {
    let world = World::cluster(net, patient(), 3).await;
    let leader = world.leader().await;
    let term = world.replica(leader).status().term;
    let [deaf, hears] = world.others(leader)[..] else { panic!("three nodes") };
    world.net.cut_one_way(leader, deaf);

    // Many election timeouts: each lets the deaf node ask for votes, which nobody may grant.
    let asked_often = patient().election_max * 5;
    let until = tokio::time::Instant::now() + asked_often;
    let mut last = 0;
    while tokio::time::Instant::now() < until {
        last = world.write_at(leader, "meanwhile").await;
        world.applied(hears, last).await;
    }
    assert_eq!(world.replica(leader).status().term, term);
    assert_eq!(world.leader_among(&[leader]).await, leader);

    world.net.heal();
    world.applied(deaf, last).await;
    assert_eq!(world.replica(deaf).status().term, term);
    world.finish().await;
}

async fn what_an_isolated_leader_took_stays_unknown_and_is_never_applied_beside_the_new_log(net: Net) {
    let world = World::cluster(net, patient(), 3).await;
    world.write("before").await;
    let old = world.leader().await;
    let others = world.others(old);
    world.net.isolate(old, &others);
    let lost = world.replica(old).propose(Bytes::from_static(b"lost"));

    let new = world.leader_among(&others).await;
    let last = world.write_at(new, "after").await;
    world.net.heal();
    let outcome = soon("the old leader to give up", lost).await;
    assert!(matches!(outcome, Err(ProposeError::Unknown(_))), "{outcome:?}");
    world.all_hold(last, &["before", "after"]).await;
    world.finish().await;
}

async fn a_member_that_a_quorum_has_not_agreed_on_is_no_news(net: Net) {
    let mut world = World::cluster(net, patient(), 3).await;
    world.write("before").await;
    let old = world.leader().await;
    let others = world.others(old);
    world.start(4).await;
    world.net.isolate(old, &others);
    let (replica, member) = (world.replica(old).clone(), world.member(4));
    let adding = tokio::spawn(async move { replica.add_learner(4, member).await });
    soon("the leader to have it in its log", async {
        while !world.replica(old).members().contains_key(&4) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(world.replica(old).agreed_members(), None, "another leader may take it back");

    let new = world.leader_among(&others).await;
    let last = world.write_at(new, "after").await;
    world.net.heal();
    for id in world.ids().into_iter().filter(|id| *id != 4) {
        world.applied(id, last).await;
        soon("it to be taken back", async {
            while world.replica(id).agreed_members().is_none_or(|agreed| agreed.contains_key(&4)) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }
    assert!(soon("the old leader to give up", adding).await.unwrap().is_err());
    world.finish().await;
}

async fn a_read_barrier_needs_the_leader_and_its_quorum(net: Net) {
    let config = ReplicaConfig { barrier_timeout: Duration::from_millis(500), ..patient() };
    let world = World::cluster(net, config, 3).await;
    let leader = world.leader().await;
    let written = world.write("a").await;
    let read = world.replica(leader).read_barrier().await.unwrap();
    assert!(read >= written && world.replica(leader).applied_index() >= Some(read));

    let others = world.others(leader);
    world.applied(others[0], written).await;
    let refused = world.replica(others[0]).read_barrier().await;
    assert_eq!(refused, Err(ReadError::NotLeader { leader: Some(leader) }));

    world.net.isolate(leader, &others);
    let refused = world.replica(leader).read_barrier().await;
    assert!(matches!(refused, Err(ReadError::NoQuorum(_))), "{refused:?}");
    world.finish().await;
}

async fn the_largest_payload_is_replicated_and_a_larger_one_is_refused(net: Net) {
    let world = World::cluster(net, patient(), 3).await;
    let leader = world.leader().await;
    let largest = Bytes::from(vec![7; raft::PAYLOAD_BYTES_MAX]);
    let (last, _) = soon("it to commit", world.replica(leader).propose(largest.clone())).await.unwrap();
    for id in world.ids() {
        world.applied(id, last).await;
        assert!(world.memory(id).payloads() == [largest.clone()], "node {id}");
    }
    let too_large = Bytes::from(vec![7; raft::PAYLOAD_BYTES_MAX + 1]);
    let refused = world.replica(leader).propose(too_large).await.unwrap_err();
    assert_eq!(refused, ProposeError::TooLarge { bytes: raft::PAYLOAD_BYTES_MAX + 1 });
    world.write("after").await;
    world.finish().await;
}

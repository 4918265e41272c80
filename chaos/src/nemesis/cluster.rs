//! What operators do at the worst moment: hand over, take snapshots, change members and keys.

use std::time::{Duration, Instant};

use proto_client::v1;
use rand::{RngExt, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;

use super::{Blow, Scene, process::leader_known};
use crate::{stage::node::Place, trouble::Trouble};

/// How long a change of members may take while other faults strike.
const MEMBER_CHANGE: Duration = Duration::from_secs(30);
/// How many of the nodes that leave give up their vote before.
const AS_LEARNER: f64 = 0.5;
const TRY_AGAIN: Duration = Duration::from_millis(200);
/// How long an environment that was sealed may take to be unsealed.
const UNSEAL: Duration = Duration::from_secs(60);

pub(super) async fn hand_over(scene: &Scene) -> Result<Blow, Trouble> {
    let before = leader_known(scene, Duration::from_secs(5)).await;
    let began = Instant::now();
    let handed = scene.asking().cluster().transfer_leader(v1::MemberRequest { node_id: 0, even_so: false }).await;
    handed.map_err(Trouble::call("hand over"))?;
    let took = began.elapsed();
    let after = leader_known(scene, Duration::from_secs(5)).await;
    let show = |leader: Option<u64>| leader.map_or("nobody".to_owned(), |id| format!("node {id}"));
    Ok(Blow::of(format!("{} to {}", show(before), show(after)), format!("done in {} ms", took.as_millis())))
}

pub(super) async fn snapshot(scene: &Scene, chance: &mut ChaCha8Rng) -> Result<Blow, Trouble> {
    let nodes = scene.client.each_node();
    let (address, client) = nodes.choose(chance).ok_or_else(|| Trouble::unusable("a snapshot", "there is no node"))?;
    let client = client.with_timeout(Duration::from_secs(20));
    let taken = client.cluster().trigger_snapshot(v1::TriggerSnapshotRequest {}).await;
    let index = taken.map_err(Trouble::call("take a snapshot"))?.index;
    Ok(Blow::of(address.trim_start_matches("https://"), format!("a snapshot at log index {index}")))
}

pub(super) async fn rotate_key(scene: &Scene) -> Result<Blow, Trouble> {
    let _alone = scene.keys.lock().await;
    let environment = scene.owed.environment.clone();
    let request = v1::RotateKeyRequest { environment: environment.clone(), system: false };
    let rotated = scene.asking().keys().rotate(request).await.map_err(Trouble::call("rotate the key"))?;
    Ok(Blow::of(environment, format!("key version {} at record {}", rotated.version, rotated.index)))
}

/// Sealed for a while: every read and write is refused, on every node; then it opens, whatever else goes on.
pub(super) async fn seal_environment(scene: &Scene, lasts: Duration) -> Result<Blow, Trouble> {
    let _alone = scene.keys.lock().await;
    let environment = scene.owed.environment.clone();
    let request = v1::SealEnvironmentRequest { environment: environment.clone() };
    scene.owed.will_seal();
    let sealed = scene.asking().keys().seal_environment(request.clone()).await;
    tokio::time::sleep(lasts).await;
    let deadline = Instant::now() + UNSEAL;
    loop {
        let unsealed = scene.asking().keys().unseal_environment(request.clone()).await;
        if unsealed.is_ok() {
            scene.owed.is_open();
        }
        match (&sealed, unsealed) {
            (Ok(sealed), Ok(unsealed)) => {
                let evidence = format!("sealed at record {}, unsealed at record {}", sealed.index, unsealed.index);
                return Ok(Blow::of(environment, evidence));
            }
            // Nobody knows whether it was sealed, so it is unsealed in any case.
            (Err(error), Ok(_)) => return Err(Trouble::call("seal the environment")(error)),
            (Err(error), Err(unseal)) if !error.outcome_unknown && !unseal.outcome_unknown => {
                scene.owed.is_open();
                return Err(Trouble::call("seal the environment")(error));
            }
            (_, Err(error)) if Instant::now() > deadline => return Err(Trouble::call("unseal the environment")(error)),
            (_, Err(_)) => tokio::time::sleep(TRY_AGAIN).await,
        }
    }
}

/// A new node under a new id: learner, voter, now and then learner again, and out.
pub(super) async fn member(scene: &Scene, lasts: Duration, chance: &mut ChaCha8Rng) -> Result<Blow, Trouble> {
    let mut members = scene.members.lock().await;
    let stage = scene.stage()?;
    let mut left = Vec::new();
    for id in std::mem::take(&mut members.extra) {
        if remove(scene, id).await.is_ok() {
            stage.take_away(id).await?;
        } else {
            left.push(id);
        }
    }
    members.extra = left;
    if !members.extra.is_empty() {
        return Err(Trouble::unusable("a new member", "the one before could not be taken out yet"));
    }
    let id = members.next_id;
    members.next_id += 1;
    let (_, place) = stage.add_node(id).await?;
    members.extra.push(id);
    let began = Instant::now();
    add(scene, &place).await?;
    let promoted = set_voter(scene, id, true).await;
    let took = began.elapsed();
    tokio::time::sleep(lasts.mul_f64(chance.random_range(0.2..1.0))).await;
    let goes_as_learner = promoted.is_ok() && chance.random_bool(AS_LEARNER);
    if goes_as_learner {
        set_voter(scene, id, false).await?;
    }
    stage.expect_end(id).await;
    remove(scene, id).await?;
    stage.take_away(id).await?;
    members.extra.clear();
    promoted?;
    let way = if goes_as_learner { "demoted and taken out again" } else { "taken out again" };
    Ok(Blow::of(format!("node {id}"), format!("it voted after {} ms and was {way}", took.as_millis())))
}

async fn add(scene: &Scene, place: &Place) -> Result<(), Trouble> {
    let request = v1::AddLearnerRequest {
        node_id: place.id,
        zone: place.zone.clone(),
        peer_address: place.peer.clone(),
        client_address: place.client.clone(),
    };
    until_done("add a learner", || async {
        match scene.asking().cluster().add_learner(request.clone()).await {
            Err(error) if error.code != tonic::Code::AlreadyExists => Err(error),
            _ => Ok(()),
        }
    })
    .await
}

/// Makes it a voter, or a read replica again.
async fn set_voter(scene: &Scene, id: u64, votes: bool) -> Result<(), Trouble> {
    until_done(if votes { "promote a learner" } else { "demote a voter" }, || async {
        let (client, request) = (scene.asking(), v1::MemberRequest { node_id: id, even_so: false });
        let done = if votes { client.cluster().promote(request).await } else { client.cluster().demote(request).await };
        match done {
            Ok(_) => Ok(()),
            // The answer to the try before may have been lost.
            Err(error) => {
                if is_voter(scene, id).await == Some(votes) {
                    Ok(())
                } else {
                    Err(error)
                }
            }
        }
    })
    .await
}

/// Nothing where nobody can say.
async fn is_voter(scene: &Scene, id: u64) -> Option<bool> {
    scene.status().await.ok()?.members.iter().find(|member| member.node_id == id).map(|member| member.voter)
}

async fn remove(scene: &Scene, id: u64) -> Result<(), Trouble> {
    until_done("take a member out", || async {
        match scene.asking().cluster().remove(v1::MemberRequest { node_id: id, even_so: false }).await {
            Err(error) if error.code != tonic::Code::NotFound => Err(error),
            _ => Ok(()),
        }
    })
    .await
}

/// Changes of members are refused while there is no leader, or a learner lacks too much: asked again until the time is up.
async fn until_done<F: Future<Output = Result<(), proto_client::ClientError>>>(
    doing: &'static str,
    ask: impl Fn() -> F,
) -> Result<(), Trouble> {
    let deadline = Instant::now() + MEMBER_CHANGE;
    loop {
        match ask().await {
            Ok(()) => return Ok(()),
            Err(error) if Instant::now() > deadline => return Err(Trouble::call(doing)(error)),
            Err(_) => tokio::time::sleep(TRY_AGAIN).await,
        }
    }
}

//! After the walk: everything is healed, must work again, and is held against what callers were told.

use super::broken;
use super::clients::{Callers, ENVIRONMENT, text_of};
use super::operators::Operating;
use super::walk::Walk;
use chaos_history::{
    BUDGET_DEFAULT, Call, Expect, FinalRegister, FinalVersion, Held, Operation, Record, Standing, exactly_once,
    journal_is_the_history, linearizable, never_stale, nothing_acknowledged_is_lost, nothing_revealed_without_record,
    replicas_are_equal,
};
use proto::v1;
use proto::v1::audit_client::AuditClient;
use proto::v1::secrets_client::SecretsClient;
use proto_record::leaf::Leaf;
use std::time::Duration;
use tokio::time::Instant;
use tonic::service::Routes;
use uuid::Uuid;

/// Everybody must be up, and a write succeed, within so long.
const ALIVE: Duration = Duration::from_secs(30);
/// Nodes must stand at the same place within so long.
const EQUAL: Duration = Duration::from_secs(60);
/// One journal must begin with the first record within so long, and nodes look every five seconds for what theirs lack.
const WHOLE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(50);
/// Callers of the walk have larger numbers.
pub(super) const JUDGE: u32 = 1;

/// Heals, waits, reads everything back, and judges. Broken promises, as text.
pub(super) async fn judge(walk: &mut Walk) -> Result<Vec<String>, String> {
    heal(walk)?;
    match alive(walk).await {
        Ok(()) if walk.findings().is_empty() => {}
        Ok(()) => return Ok(Vec::new()),
        Err(late) => return Ok(vec![late]),
    }
    let standings = match equal(walk).await {
        Ok(standings) => standings,
        Err(late) => return Ok(vec![late]),
    };
    let deadline = Instant::now() + EQUAL;
    while let Err(others) = members_are_these(walk) {
        if Instant::now() > deadline {
            return Ok(vec![others]);
        }
        tokio::time::sleep(LOOK).await;
    }
    let (deadline, released) = (Instant::now() + EQUAL, walk.world.released());
    while let Some((id, node)) = walk.world.up().into_iter().find(|(_, node)| node.level() != released) {
        if Instant::now() > deadline {
            return Ok(vec![format!(
                "all understand level {released}, and node {id} says that the cluster uses {}",
                node.level()
            )]);
        }
        tokio::time::sleep(LOOK).await;
    }
    let deadline = Instant::now() + WHOLE;
    let routes = loop {
        let (first, routes) = longest_journal(walk).await?;
        if first <= 1 {
            break routes;
        }
        if Instant::now() > deadline {
            return Ok(vec![format!("the oldest record on any node is {first}: those before it are lost")]);
        }
        tokio::time::sleep(LOOK).await;
    };
    let told = walk.callers.told();
    let secrets = secrets(&walk.callers, &routes, &told).await?;
    let records = records(&walk.callers, &routes).await?;
    let told = walk.callers.told();
    walk.trace.line(walk.now_ms(), format!("{} records, {} secrets, {:?}", records.len(), secrets.len(), standings.first()));
    let mut equal_replicas = replicas_are_equal(&standings);
    if standings.len() < 2 {
        // One alone has nobody to differ from.
        equal_replicas.judgement = chaos_history::Judgement::Kept;
    }
    Ok(broken(&[
        never_stale(&told),
        linearizable(&told, BUDGET_DEFAULT),
        exactly_once(&told, &records),
        nothing_acknowledged_is_lost(&told, &secrets),
        nothing_revealed_without_record(&told, &records),
        journal_is_the_history(&told, &records),
        equal_replicas,
    ]))
}

fn heal(walk: &mut Walk) -> Result<(), String> {
    walk.world.net.heal();
    walk.release_everywhere();
    for id in walk.world.ids() {
        walk.world.set_clock(id, 0);
        walk.world.mend(id);
    }
    for id in walk.world.down() {
        walk.world.put_back(id);
        walk.start(id)?;
    }
    Ok(())
}

async fn alive(walk: &mut Walk) -> Result<(), String> {
    let deadline = Instant::now() + ALIVE;
    let key = "sim/alive".to_owned();
    loop {
        walk.settle().await;
        // Whose disk failed, or whose power went in its last write, comes up again like all others.
        for id in walk.world.down() {
            walk.world.put_back(id);
            walk.start(id)?;
        }
        if !walk.findings().is_empty() {
            return Ok(());
        }
        // A replacement that was begun comes to its end.
        walk.go_on_replacing();
        walk.see_off().await;
        let count = walk.world.ids().len();
        if walk.coming.is_none() && walk.world.up().iter().filter(|(_, node)| node.is_ready()).count() == count {
            walk.callers.operate(walk.world.ids()[0], Operating::Unseal).await;
            let call = Call::Put { value: format!("alive{}", walk.now_ms()), expect: Expect::Anything };
            let before = walk.callers.told_count();
            walk.callers.ask(JUDGE, key.clone(), call, walk.world.ids()[0], 1).await;
            if walk.callers.told_from(before).iter().any(|operation| operation.changed_version().is_some()) {
                return Ok(());
            }
        }
        if Instant::now() > deadline {
            let up: Vec<u64> = walk.world.up().iter().filter(|(_, node)| node.is_ready()).map(|(id, _)| *id).collect();
            let coming = walk.coming.as_ref().map_or(String::new(), |coming| format!("; {}", coming.why()));
            let stand: Vec<String> =
                walk.world.up().iter().map(|(id, node)| format!("\n  node {id}: {:?}", node.replica().status())).collect();
            let stand = stand.concat();
            return Err(format!(
                "no write succeeded within {ALIVE:?} of healing; of {count} nodes {up:?} are ready{coming}{stand}"
            ));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Where all stand, once they stand at the same place.
async fn equal(walk: &mut Walk) -> Result<Vec<Standing>, String> {
    let deadline = Instant::now() + EQUAL;
    loop {
        let hex = |bytes: [u8; 32]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let standings = walk.world.up().into_iter().map(|(id, node)| {
            let (seq, chain, digest) = node.standing();
            Standing { node: id, seq, chain: hex(chain), digest: hex(digest) }
        });
        let standings: Vec<Standing> = standings.collect();
        if standings.windows(2).all(|pair| pair[0].seq == pair[1].seq) {
            return Ok(standings);
        }
        if Instant::now() > deadline {
            return Err(format!("nodes do not come to stand at the same record within {EQUAL:?}: {standings:?}"));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Those that were laid out, and have not left, are the members, and all vote.
fn members_are_these(walk: &Walk) -> Result<(), String> {
    let ids = walk.world.ids();
    for (id, node) in walk.world.up() {
        let voters: Vec<u64> =
            node.replica().members().into_values().filter(|member| member.voter).map(|member| member.id).collect();
        if voters != ids {
            return Err(format!("node {id} says that {voters:?} vote, and there are {ids:?}"));
        }
    }
    Ok(())
}

/// Every secret that somebody asked for, as it stands.
async fn secrets(callers: &Callers, routes: &Routes, told: &[Operation]) -> Result<Vec<FinalRegister>, String> {
    let mut keys: Vec<&str> = told.iter().map(|operation| operation.key.as_str()).collect();
    keys.sort_unstable();
    keys.dedup();
    let mut secrets = Vec::new();
    for key in keys {
        let mut client = SecretsClient::new(routes.clone());
        let asked = v1::HistoryRequest { environment: ENVIRONMENT.to_owned(), path: key.to_owned() };
        let history = match client.history(callers.request(asked, Uuid::new_v4())).await {
            Ok(history) => history.into_inner(),
            Err(status) if status.code() == tonic::Code::NotFound => continue,
            Err(status) => return Err(format!("look at {key} at the end: {status}")),
        };
        let mut versions = Vec::new();
        for kept in &history.versions {
            let get = v1::GetRequest { environment: ENVIRONMENT.to_owned(), path: key.to_owned(), version: kept.version };
            let held = match client.get(callers.request(get, Uuid::new_v4())).await {
                Ok(found) => Held::Value(text_of(found.into_inner().value)),
                Err(_) if kept.state() != v1::VersionState::Live => Held::Hidden,
                Err(status) => Held::Unreadable(status.to_string()),
            };
            versions.push(FinalVersion { version: kept.version, held });
        }
        let secret = history.secret.unwrap_or_default();
        let (newest, versions_kept) = (secret.newest_version, u64::from(secret.max_versions));
        secrets.push(FinalRegister { key: key.to_owned(), newest, versions_kept, versions });
    }
    Ok(secrets)
}

/// Its first record, and the services, of the node whose journal goes back furthest: one that was given a leader's snapshot fetches what
/// was before by and by.
async fn longest_journal(walk: &Walk) -> Result<(u64, Routes), String> {
    let mut longest: Option<(u64, Routes)> = None;
    for id in walk.world.ids() {
        let (routes, _) = walk.callers.door(id).ok_or("a node is up and has no door")?;
        let asked = walk.callers.request(v1::HeadRequest {}, Uuid::new_v4());
        let head = AuditClient::new(routes.clone()).head(asked).await;
        let first = head.map_err(|status| format!("ask for the head of a journal at the end: {status}"))?.into_inner().first_seq;
        if longest.as_ref().is_none_or(|(known, _)| first < *known) {
            longest = Some((first, routes));
        }
    }
    longest.ok_or_else(|| "there is no node".to_owned())
}

/// The whole journal.
async fn records(callers: &Callers, routes: &Routes) -> Result<Vec<Record>, String> {
    let failed = |status: tonic::Status| format!("read the journal at the end: {status}");
    let mut audit = AuditClient::new(routes.clone());
    let head = audit.head(callers.request(v1::HeadRequest {}, Uuid::new_v4())).await.map_err(failed)?.into_inner();
    let export = v1::ExportRequest { from_seq: head.first_seq, to_seq: head.seq };
    let mut leaves = audit.export(callers.request(export, Uuid::new_v4())).await.map_err(failed)?.into_inner();
    let mut records = Vec::new();
    while let Some(exported) = leaves.message().await.map_err(failed)? {
        let leaf = Leaf::decode(&exported.leaf).map_err(|error| format!("record {}: {error}", exported.seq))?;
        records.push(Record::of(&leaf));
    }
    Ok(records)
}

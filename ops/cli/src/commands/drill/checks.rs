//! What is looked at in a scratch cluster.

use std::{path::Path, time::Instant};

use futures::StreamExt;
use proto_client::{Client, v1};
use proto_record::chain;
use storage_crypto::hex;

use super::{
    report::{Report, Step},
    scratch::Restored,
};
use crate::{
    commands::secrets_below,
    exit::{Doing, Failure},
    value::Plain,
};

/// A secret whose value is known by its digest.
pub(super) struct Canary {
    environment: String,
    path: String,
    digest: String,
}

/// Reads lines `environment:path digest`.
pub(super) fn read_canaries(path: &Path) -> Result<Vec<Canary>, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| Failure::io(format!("cannot read {}", path.display()), &error))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let canary = |line: &str| {
        let (place, digest) = line.split_once(char::is_whitespace)?;
        let (environment, path) = place.split_once(':')?;
        let known = hex::decode(digest.trim()).is_ok_and(|bytes| bytes.len() == 32);
        known.then(|| Canary { environment: environment.into(), path: path.into(), digest: digest.trim().into() })
    };
    let wrong = |line: &str| {
        Failure::usage(
            "cannot use the canaries",
            format!("{line:?} is not `environment:path digest`"),
            "a digest is 64 hexadecimal digits",
        )
    };
    lines.map(|line| canary(line).ok_or_else(|| wrong(line))).collect()
}

/// The journal of every node goes on from the chain of the snapshot.
pub(super) async fn chain(clients: &[Client], restored: &Restored, report: &mut Report) -> Result<(), Failure> {
    let before = hex::decode(&restored.chain).ok().and_then(|chain| chain.try_into().ok()).unwrap_or_default();
    let mut goes_on = true;
    for client in clients {
        let request = v1::ExportRequest { from_seq: restored.revision + 1, to_seq: restored.revision + 1 };
        let records = client.audit().export(request).await;
        let mut records = records.doing(|| "read the journal".to_owned())?;
        let record = records.next().await.transpose().doing(|| "read the journal".to_owned())?;
        goes_on &= record.is_some_and(|record| record.chain.as_ref() == chain::next(&before, &record.leaf));
    }
    report.checked("the journal of every node goes on from the chain of the snapshot", goes_on, "");
    Ok(())
}

/// All nodes stand at the same state at the same record.
pub(super) async fn same_state(clients: &[Client], report: &mut Report) -> Result<(), Failure> {
    // A question is a record itself: they are asked until two rounds of it meet.
    for _ in 0..50 {
        let mut standings = Vec::new();
        for client in clients {
            let status = client.cluster().status(v1::StatusRequest {}).await.doing(|| "ask for the status".to_owned())?;
            standings.push((status.seq, status.chain, status.state_digest));
        }
        // Each asked after the one before: the state of the earlier record is not at hand, digests of states are the same where only
        // looks lie between.
        if standings.iter().all(|standing| standing.2 == standings[0].2) {
            report.checked("all nodes hold the same state", true, "");
            return Ok(());
        }
    }
    report.fail("all nodes hold the same state", "their digests differ");
    Ok(())
}

/// Every environment has as many secrets as came back; some path of them.
pub(super) async fn counts(
    client: &Client,
    restored: &Restored,
    report: &mut Report,
) -> Result<Option<(String, String)>, Failure> {
    let mut first = None;
    for (environment, expected) in &restored.environments {
        let found = secrets_below(client, environment, "").await?;
        if first.is_none() {
            let live = found.iter().find(|secret| !secret.deleted);
            first = live.map(|secret| (environment.clone(), secret.path.clone()));
        }
        let live = found.iter().filter(|secret| !secret.deleted).count() as u64;
        report.checked(&format!("secrets of {environment}"), live == *expected, format!("{live} of {expected}"));
    }
    Ok(first)
}

/// One secret is answered.
pub(super) async fn first_secret(
    client: &Client,
    first: Option<&(String, String)>,
    report: &mut Report,
    started: Instant,
) -> Result<(), Failure> {
    if let Some((environment, path)) = first {
        get(client, environment, path).await?;
        report.step("a secret is answered", Step::took(started));
    }
    report.recovered_ms = Step::took(started);
    Ok(())
}

async fn get(client: &Client, environment: &str, path: &str) -> Result<v1::GetResponse, Failure> {
    let request = v1::GetRequest { environment: environment.to_owned(), path: path.to_owned(), ..v1::GetRequest::default() };
    client.secrets().get(request).await.doing(|| format!("read {path} in {environment}"))
}

/// Known secrets have the values that they should.
pub(super) async fn canaries(client: &Client, canaries: &[Canary], report: &mut Report) -> Result<(), Failure> {
    for canary in canaries {
        let Canary { environment, path, digest } = canary;
        let what = format!("canary {environment}:{path}");
        match get(client, environment, path).await {
            Ok(answer) => {
                let bytes = Plain::from(answer.value).raw();
                let same = hex::encode(blake3::hash(&bytes).as_bytes()) == *digest;
                report.checked(&what, same, if same { "" } else { "its value is another one" });
            }
            Err(failure) => report.fail(&what, failure.why()),
        }
    }
    Ok(())
}

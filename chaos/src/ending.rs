//! After the faults: whether the cluster works again, what it holds, and what its nodes say of themselves.

use std::time::{Duration, Instant};

use chaos_history::{Call, FinalRegister, FinalVersion, Held, Operation, Outcome, Record, Standing};
use futures::{StreamExt, stream};
use proto_client::{Client, v1};
use proto_record::{chain, leaf::Leaf};
use uuid::Uuid;

use crate::{
    recorder::Recorder,
    trouble::Trouble,
    workload::{Keys, outcome},
};

/// A write must succeed within this time once everything is whole.
pub(crate) const ALIVE: Duration = Duration::from_secs(10);
/// How long is waited for it all the same, so that the rest can be judged.
const ALIVE_AFTER_ALL: Duration = Duration::from_secs(120);
/// How long nodes may take to stand at the same record once nothing is asked of them.
const SETTLE: Duration = Duration::from_secs(60);
/// A version that is there can be read within so long.
const READABLE: Duration = Duration::from_secs(10);
const ASK_AGAIN: Duration = Duration::from_millis(50);
const CALL: Duration = Duration::from_secs(30);
/// Calls under way while everything is read back.
const AT_ONCE: usize = 16;
/// Clients of a plan have smaller numbers.
pub(crate) const JUDGE: u32 = 1_000;

/// Writes until a write succeeds; how long that took.
pub(crate) async fn liveness(client: &Client, keys: &Keys, recorder: &Recorder) -> Result<Duration, Trouble> {
    let began = Instant::now();
    let key = format!("{}alive", keys.prefix);
    loop {
        let (request, called_ns) = (Uuid::new_v4(), recorder.now_ns());
        let name = format!("alive-{request}");
        let put = v1::PutRequest {
            environment: keys.environment.clone(),
            path: key.clone(),
            value: Some(v1::Value { kind: Some(v1::value::Kind::Bytes(outcome::value(&name, 0).into())) }),
            expect: None,
            metadata: None,
        };
        let asked = client.with_timeout(Duration::from_secs(2)).with_request_id(request).secrets().put(put).await;
        let (outcome, words) = match &asked {
            Ok(answer) => (Outcome::Written { version: answer.version }, String::new()),
            Err(error) => (outcome::failed(error, &key), error.to_string()),
        };
        let call = Call::Put { value: name, expect: chaos_history::Expect::Anything };
        let returned_ns = recorder.now_ns();
        let record = None;
        recorder.record(Operation {
            client: JUDGE,
            request,
            record,
            called_ns,
            returned_ns,
            key: key.clone(),
            call,
            outcome,
            words,
        });
        match asked {
            Ok(_) => return Ok(began.elapsed()),
            Err(error) if began.elapsed() > ALIVE_AFTER_ALL => return Err(Trouble::call("write after healing")(error)),
            Err(_) => tokio::time::sleep(ASK_AGAIN).await,
        }
    }
}

/// Every secret of the run as it stands. Reading them is told to the recorder too: the history ends with what is there.
pub(crate) async fn final_secrets(client: &Client, keys: &Keys, recorder: &Recorder) -> Result<Vec<FinalRegister>, Trouble> {
    let client = client.with_timeout(CALL);
    let mut paths = Vec::new();
    let mut cursor = String::new();
    loop {
        let request = v1::ListRequest {
            environment: keys.environment.clone(),
            prefix: keys.prefix.clone(),
            recursive: true,
            limit: 0,
            cursor,
            include_deleted: true,
        };
        let page = client.secrets().list(request).await.map_err(Trouble::call("list what is there"))?;
        paths.extend(page.entries.into_iter().filter(|entry| entry.secret.is_some()).map(|entry| entry.path));
        cursor = page.next_cursor;
        if cursor.is_empty() {
            break;
        }
    }
    let read = paths.into_iter().map(|path| final_secret(&client, keys, recorder, path));
    let read: Vec<Result<FinalRegister, Trouble>> = stream::iter(read).buffer_unordered(AT_ONCE).collect().await;
    read.into_iter().collect()
}

async fn final_secret(client: &Client, keys: &Keys, recorder: &Recorder, path: String) -> Result<FinalRegister, Trouble> {
    let environment = keys.environment.clone();
    let (request, called_ns) = (Uuid::new_v4(), recorder.now_ns());
    let got = v1::GetRequest { environment: environment.clone(), path: path.clone(), version: 0 };
    let outcome = match client.with_request_id(request).secrets().get(got).await {
        Ok(answer) => outcome::found(&answer),
        Err(error) => outcome::failed(&error, &path),
    };
    let returned_ns = recorder.now_ns();
    let (key, call, words) = (path.clone(), Call::Get, String::new());
    let record = None;
    recorder.record(Operation { client: JUDGE, request, record, called_ns, returned_ns, key, call, outcome, words });

    // A node that is mending its copy of a value may not have it for a moment.
    let deadline = Instant::now() + READABLE;
    loop {
        let secret = stands(client, &environment, &path).await?;
        let unreadable = secret.versions.iter().any(|version| matches!(version.held, Held::Unreadable(_)));
        if !unreadable || Instant::now() > deadline {
            return Ok(secret);
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
}

/// What its versions hold.
async fn stands(client: &Client, environment: &str, path: &str) -> Result<FinalRegister, Trouble> {
    let asked = v1::HistoryRequest { environment: environment.to_owned(), path: path.to_owned() };
    let history = client.secrets().history(asked).await.map_err(Trouble::call("look at a secret's versions"))?;
    let kept = history.versions;
    let items = kept.iter().map(|kept| v1::GetManyItem { path: path.to_owned(), version: kept.version }).collect();
    let request = v1::GetManyRequest { environment: environment.to_owned(), items };
    let answers = client.secrets().get_many(request).await;
    let answers = answers.map_err(Trouble::call("read a secret's versions"))?;
    let versions = kept.into_iter().zip(answers.results).map(|(kept, result)| {
        let held = match result.result {
            Some(v1::get_many_result::Result::Found(found)) => Held::Value(outcome::name_of(found.value.as_ref())),
            _ if kept.state() != v1::VersionState::Live => Held::Hidden,
            Some(v1::get_many_result::Result::Refused(refused)) => Held::Unreadable(refused.message),
            None => Held::Unreadable("it was not answered".to_owned()),
        };
        FinalVersion { version: kept.version, held }
    });
    let secret = history.secret.unwrap_or_default();
    let (newest, versions_kept) = (secret.newest_version, u64::from(secret.max_versions));
    Ok(FinalRegister { key: path.to_owned(), newest, versions_kept, versions: versions.collect() })
}

/// Where the nodes stand, at one record: asked until they agree or the time is up. What they last said is judged.
pub(crate) async fn standings(nodes: &[(u64, Client)]) -> Result<Vec<Standing>, Trouble> {
    let deadline = Instant::now() + SETTLE;
    loop {
        let standings = stand(nodes).await;
        let equal = standings.as_ref().is_ok_and(|standings| chaos_history::replicas_are_equal(standings).is_kept());
        if equal || Instant::now() > deadline {
            return standings;
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
}

/// Each question is itself a record, so nodes are compared at the lowest record that one of them named; states do not move with
/// questions, so their digests are compared as they are.
async fn stand(nodes: &[(u64, Client)]) -> Result<Vec<Standing>, Trouble> {
    let mut statuses = Vec::new();
    for (node, client) in nodes {
        let status = client.with_timeout(CALL).cluster().status(v1::StatusRequest {}).await;
        statuses.push((*node, client, status.map_err(Trouble::call("ask a node where it stands"))?));
    }
    let lowest = statuses.iter().map(|(_, _, status)| status.seq).min().unwrap_or(0);
    let mut standings = Vec::new();
    for (node, client, status) in statuses {
        let request = v1::ExportRequest { from_seq: lowest, to_seq: lowest };
        let mut records = client.audit().export(request).await.map_err(Trouble::call("read one record"))?;
        let record = records.next().await.and_then(Result::ok);
        let record = record.ok_or_else(|| Trouble::unusable(format!("node {node}"), format!("it has no record {lowest}")))?;
        standings.push(Standing { node, seq: lowest, chain: hex(&record.chain), digest: hex(&status.state_digest) });
    }
    Ok(standings)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One node's journal, checked link by link.
pub(crate) struct Journal {
    pub(crate) node: u64,
    pub(crate) first_seq: u64,
    pub(crate) records: Vec<Record>,
    /// How many there were, where they are not kept.
    pub(crate) records_total: usize,
    /// What does not fit.
    pub(crate) flaw: Option<String>,
}

/// Exports a node's journal from `from_seq` (or the first that it holds) and recomputes its chain up to its head.
pub(crate) async fn journal(node: u64, client: &Client, from_seq: u64) -> Result<Journal, Trouble> {
    let client = client.with_timeout(CALL);
    let head = client.audit().head(v1::HeadRequest {}).await.map_err(Trouble::call("ask for the head of a journal"))?;
    let first_seq = head.first_seq.max(from_seq);
    let cluster: [u8; 16] = head.cluster_id.as_ref().try_into().unwrap_or_default();
    let request = v1::ExportRequest { from_seq: first_seq, to_seq: head.seq };
    let mut leaves = client.audit().export(request).await.map_err(Trouble::call("export a journal"))?;
    let mut link = (first_seq == 1).then(|| chain::genesis(&cluster));
    let mut journal = Journal { node, first_seq, records: Vec::new(), records_total: 0, flaw: None };
    while let Some(exported) = leaves.next().await {
        let exported = exported.map_err(Trouble::call("export a journal"))?;
        let given = exported.chain.as_ref().try_into().unwrap_or_default();
        let computed = link.map_or(given, |link| chain::next(&link, &exported.leaf));
        if computed != given && journal.flaw.is_none() {
            journal.flaw = Some(format!("record {} does not have the link that its place gives it", exported.seq));
        }
        link = Some(given);
        match Leaf::decode(&exported.leaf) {
            Ok(leaf) => journal.records.push(Record::of(&leaf)),
            Err(error) => journal.flaw = Some(format!("record {}: {error}", exported.seq)),
        }
    }
    let last = journal.records.last().map_or(0, |record| record.seq);
    if last != head.seq || link.is_none_or(|link| link.as_slice() != head.chain) {
        journal.flaw.get_or_insert(format!("it ends at record {last}, its head is at {}, or their links differ", head.seq));
    }
    Ok(journal)
}

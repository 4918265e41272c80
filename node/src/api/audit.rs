//! The service of the journal: query, tail, export, head. Looking at the journal is journalled too.

use crate::api::door::{Caller, Door};
use crate::api::status;
use crate::api::streams::OpenStream;
use crate::api::watch::READ_RECORDS;
use crate::engine::View;
use node_domain::ids::Accessor;
use node_domain::operation::Operation;
use node_domain::policy::Capability;
use node_domain::token::Token;
use node_domain::{Command, Rejection};
use proto::v1;
use proto::v1::audit_server::Audit;
use proto_record::leaf::Leaf;
use std::sync::Arc;
use storage::journal::StoredRecord;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

/// Records that wait for a slow reader.
const QUEUE_MAX: usize = 256;
/// Records of a query whose caller does not say how many.
const QUERY_DEFAULT: usize = 1000;

type Records<T> = ReceiverStream<Result<T, Status>>;

/// The service, behind the door.
pub(crate) struct AuditService(pub(crate) Arc<Door>);

impl AuditService {
    fn command(operation: Operation, subject: &str) -> Command {
        Command::Audit { operation, subject: subject.chars().take(node_domain::limits::QUOTE_BYTES_MAX).collect() }
    }
}

#[tonic::async_trait]
impl Audit for AuditService {
    type QueryStream = Records<v1::AuditRecord>;

    async fn query(&self, request: Request<v1::QueryRequest>) -> Result<Response<Self::QueryStream>, Status> {
        let (caller, message) = self.0.receive(request);
        let open = self.0.streams.open(&self.0.view(), &caller);
        let command = open.as_ref().map(|_| Self::command(Operation::AuditQuery, &message.subject)).map_err(Clone::clone);
        let done = self.0.submit(&caller, Operation::AuditQuery, &message, command).await?;
        let open = open.map_err(|rejection| status::refused(&rejection))?;
        let filter = Filter::parse(message)?;
        Ok(Response::new(stream(|sender| query(self.0.clone(), (caller, filter), done.index, (sender, open)))))
    }

    type TailStream = Records<v1::AuditRecord>;

    async fn tail(&self, request: Request<v1::TailRequest>) -> Result<Response<Self::TailStream>, Status> {
        let (caller, message) = self.0.receive(request);
        let open = self.0.streams.open(&self.0.view(), &caller);
        let command = open.as_ref().map(|_| Self::command(Operation::AuditTail, "")).map_err(Clone::clone);
        let done = self.0.submit(&caller, Operation::AuditTail, &message, command).await?;
        let open = open.map_err(|rejection| status::refused(&rejection))?;
        let from = done.index.saturating_sub(u64::from(message.last)).max(self.0.journal.first_seq());
        Ok(Response::new(stream(|sender| tail(self.0.clone(), caller, from, (sender, open)))))
    }

    type ExportStream = Records<v1::ExportedRecord>;

    async fn export(&self, request: Request<v1::ExportRequest>) -> Result<Response<Self::ExportStream>, Status> {
        let (caller, message) = self.0.receive(request);
        let open = self.0.streams.open(&self.0.view(), &caller);
        let command = open.as_ref().map(|_| Self::command(Operation::AuditExport, "")).map_err(Clone::clone);
        let done = self.0.submit(&caller, Operation::AuditExport, &message, command).await?;
        let open = open.map_err(|rejection| status::refused(&rejection))?;
        let first = self.0.journal.first_seq();
        if message.from_seq > 0 && message.from_seq < first {
            return Err(Status::out_of_range(format!("this node's journal starts at record {first}: ask another node")));
        }
        let from = message.from_seq.max(first);
        let to = if message.to_seq == 0 { done.index } else { message.to_seq.min(done.index) };
        Ok(Response::new(stream(|sender| export(self.0.clone(), caller, from..=to, (sender, open)))))
    }

    async fn head(&self, request: Request<v1::HeadRequest>) -> Result<Response<v1::HeadResponse>, Status> {
        let (caller, message) = self.0.receive(request);
        let command = Self::command(Operation::AuditHead, "");
        let done = self.0.submit(&caller, Operation::AuditHead, &message, Ok(command)).await?;
        let state = &done.view.state;
        Ok(Response::new(v1::HeadResponse {
            cluster_id: state.cluster().to_vec().into(),
            epoch: state.epoch(),
            seq: state.revision().0,
            chain: done.view.chain.to_vec().into(),
            first_seq: self.0.journal.first_seq(),
            state_digest: state.digest().to_vec().into(),
            node_id: self.0.node_id,
        }))
    }
}

/// Runs `work` beside the answer; an error it ends with is the stream's last item.
fn stream<T: Send + 'static, F>(work: impl FnOnce(mpsc::Sender<Result<T, Status>>) -> F) -> Records<T>
where
    F: Future<Output = Result<(), Status>> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(QUEUE_MAX);
    let work = work(sender.clone());
    tokio::spawn(async move {
        if let Err(status) = work.await {
            let _ = sender.send(Err(status)).await;
        }
    });
    ReceiverStream::new(receiver)
}

/// What a query asks for, parsed.
struct Filter {
    asked: v1::QueryRequest,
    limit: usize,
}

impl Filter {
    fn parse(asked: v1::QueryRequest) -> Result<Filter, Status> {
        let operation = asked.operation.as_str();
        if !operation.is_empty() && !Operation::ALL.iter().any(|known| known.word() == operation) {
            let words: Vec<_> = Operation::ALL.iter().map(|known| known.word()).collect();
            return Err(Status::invalid_argument(format!("operation must be one of {}", words.join(", "))));
        }
        if !["", "done", "denied", "refused", "violation"].contains(&asked.outcome.as_str()) {
            return Err(Status::invalid_argument("outcome must be done, denied, refused or violation"));
        }
        let limit = if asked.limit == 0 { QUERY_DEFAULT } else { asked.limit as usize };
        Ok(Filter { asked, limit })
    }

    fn fits(&self, leaf: &Leaf<'_>) -> bool {
        let asked = &self.asked;
        let subject = asked.subject.strip_suffix('*').unwrap_or(&asked.subject);
        let open = subject.len() < asked.subject.len() || subject.ends_with('/');
        let stamp_ms = leaf.stamp_us / 1000;
        (asked.actor.is_empty() || leaf.actor == asked.actor)
            && (asked.environment.is_empty() || leaf.environment == asked.environment)
            && (asked.subject.is_empty() || if open { leaf.subject.starts_with(subject) } else { leaf.subject == subject })
            && (asked.operation.is_empty() || word(leaf.operation) == asked.operation)
            && (asked.outcome.is_empty() || leaf.outcome.word() == asked.outcome)
            && (asked.from_ms == 0 || stamp_ms >= asked.from_ms)
            && (asked.to_ms == 0 || stamp_ms <= asked.to_ms)
            && (asked.request_id.is_empty() || leaf.request == *asked.request_id)
    }
}

async fn query(
    door: Arc<Door>,
    (caller, filter): (Caller, Filter),
    head: u64,
    (sender, _open): (mpsc::Sender<Result<v1::AuditRecord, Status>>, OpenStream),
) -> Result<(), Status> {
    let first = door.journal.first_seq().max(filter.asked.from_seq);
    let last = if filter.asked.to_seq == 0 { head } else { filter.asked.to_seq.min(head) };
    let (mut low, mut high) = (first, last);
    let mut sent = 0;
    while low <= high && sent < filter.limit && !sender.is_closed() {
        check_answer_allowed(&door, &caller)?;
        let from = if filter.asked.oldest_first { low } else { low.max((high + 1).saturating_sub(READ_RECORDS as u64)) };
        let records = read_range(&door, from, high).await?;
        let Some(newest) = records.last().map(|record| record.seq) else { break };
        if filter.asked.oldest_first {
            low = newest + 1;
        } else {
            high = from - 1;
        }
        let ordered: Box<dyn Iterator<Item = StoredRecord> + Send> =
            if filter.asked.oldest_first { Box::new(records.into_iter()) } else { Box::new(records.into_iter().rev()) };
        for record in ordered {
            let Some(shown) = shown_if(&record, |leaf| filter.fits(leaf))? else { continue };
            if sent == filter.limit || sender.send(Ok(shown)).await.is_err() {
                return Ok(());
            }
            sent += 1;
        }
    }
    Ok(())
}

/// Records `from..=to`, at most one reading of them, all of those asked for when they are at most that many.
async fn read_range(door: &Door, from: u64, to: u64) -> Result<Vec<StoredRecord>, Status> {
    let wanted = usize::try_from(to + 1 - from).unwrap_or(usize::MAX).min(READ_RECORDS);
    let mut records: Vec<StoredRecord> = Vec::with_capacity(wanted);
    while records.len() < wanted {
        let next = records.last().map_or(from, |record| record.seq + 1);
        let more = door.read_journal(next, wanted - records.len()).await?;
        if more.is_empty() {
            break;
        }
        records.extend(more);
    }
    Ok(records)
}

async fn tail(
    door: Arc<Door>,
    caller: Caller,
    from: u64,
    (sender, _open): (mpsc::Sender<Result<v1::AuditRecord, Status>>, OpenStream),
) -> Result<(), Status> {
    let mut next = from;
    let mut revision = door.conduit.published().watch();
    loop {
        let applied = *revision.borrow_and_update();
        while next <= applied {
            check_still_allowed(&door, &caller)?;
            let records = door.read_journal(next, READ_RECORDS).await?;
            let Some(last) = records.last() else { break };
            next = last.seq + 1;
            for record in &records {
                if let Some(shown) = shown_if(record, |_| true)?
                    && sender.send(Ok(shown)).await.is_err()
                {
                    return Ok(());
                }
            }
        }
        tokio::select! {
            changed = revision.changed() => if changed.is_err() { return Ok(()) },
            () = sender.closed() => return Ok(()),
            () = door.gate.clone().closed() => return Err(door.gate.elsewhere()),
        }
    }
}

fn check_still_allowed(door: &Door, caller: &Caller) -> Result<(), Status> {
    let view = door.view();
    check_allowed(&view, caller, caller.token(&view))
}

/// As `check_still_allowed`, for an answer that ends: the use of a token that it was asked with counts for all of it.
fn check_answer_allowed(door: &Door, caller: &Caller) -> Result<(), Status> {
    let view = door.view();
    check_allowed(&view, caller, caller.token_of_answer(&view))
}

fn check_allowed(view: &View, caller: &Caller, token: Result<&Token, Rejection>) -> Result<(), Status> {
    let may = |token| view.state.authorize(&caller.asking(view, token), Capability::Audit, None, String::new());
    token.and_then(may).map(drop).map_err(|rejection| status::refused(&rejection))
}

async fn export(
    door: Arc<Door>,
    caller: Caller,
    range: std::ops::RangeInclusive<u64>,
    (sender, _open): (mpsc::Sender<Result<v1::ExportedRecord, Status>>, OpenStream),
) -> Result<(), Status> {
    let (mut next, to) = range.into_inner();
    while next <= to {
        check_answer_allowed(&door, &caller)?;
        let records = read_range(&door, next, to).await?;
        let Some(last) = records.last() else { break };
        next = last.seq + 1;
        for StoredRecord { seq, leaf, chain } in records {
            let exported = v1::ExportedRecord { seq, leaf, chain: chain.to_vec().into() };
            if sender.send(Ok(exported)).await.is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn shown_if(record: &StoredRecord, fits: impl FnOnce(&Leaf<'_>) -> bool) -> Result<Option<v1::AuditRecord>, Status> {
    let leaf = Leaf::decode(&record.leaf).map_err(|error| status::fault("read the journal", &error))?;
    Ok(fits(&leaf).then(|| v1::AuditRecord {
        seq: leaf.seq,
        stamp_ms: leaf.stamp_us / 1000,
        actor: leaf.actor.to_owned(),
        source: leaf.source.to_owned(),
        operation: word(leaf.operation).to_owned(),
        environment: leaf.environment.to_owned(),
        subject: leaf.subject.to_owned(),
        version: leaf.version,
        outcome: leaf.outcome.word().to_owned(),
        reason: leaf.reason.to_owned(),
        request_id: leaf.request.to_vec().into(),
        secret_id: leaf.secret,
        accessor: if leaf.accessor == [0; 12] { String::new() } else { Accessor(leaf.accessor).to_string() },
        policies: leaf.policies,
    }))
}

fn word(operation: u16) -> &'static str {
    Operation::from_number(operation).map_or("unknown", Operation::word)
}

//! Changes since an index and as they happen: read from the journal, so a watch misses nothing and repeats nothing.

use crate::api::door::{Caller, Door};
use crate::api::status;
use crate::api::streams::OpenStream;
use crate::engine::View;
use node_domain::Event;
use node_domain::ids::EnvironmentName;
use node_domain::policy::Sight;
use proto::v1;
use proto_record::codec::{self, Kind};
use proto_record::leaf::Leaf;
use std::sync::Arc;
use std::time::Duration;
use storage::journal::{JournalError, StoredRecord};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

/// The stream of a watch.
pub(crate) type Events = ReceiverStream<Result<v1::WatchEvent, Status>>;

/// Events that wait for a slow watcher; the journal keeps the others.
const QUEUE_MAX: usize = 256;
/// Records read from the journal at once.
pub(crate) const READ_RECORDS: usize = 1024;
/// Bytes read from the journal at once, at least one record.
pub(crate) const READ_BYTES: usize = 4 << 20;
/// A watch without changes says this often how far it has come.
const PROGRESS: Duration = Duration::from_secs(10);

/// Follows the journal after `message.after_index`, or after the watch's own record.
pub(crate) fn changes(
    door: Arc<Door>,
    caller: Caller,
    message: v1::WatchRequest,
    own_index: u64,
    open: OpenStream,
) -> Result<Events, Status> {
    let first = door.journal.first_seq();
    if message.after_index > 0 && message.after_index.saturating_add(1) < first {
        return Err(Status::out_of_range(format!(
            "this node's journal starts at index {first}: list what there is, then watch from the list's index"
        )));
    }
    let after = if message.after_index > 0 { message.after_index } else { own_index };
    let environment = EnvironmentName::parse(&message.environment).map_err(|bad| status::refused(&bad.into()))?;
    let (sender, receiver) = mpsc::channel(QUEUE_MAX);
    tokio::spawn(async move {
        let watch = Watch { door, caller, environment, prefix: message.prefix, sender, _open: open };
        if let Err(status) = watch.run(after).await {
            let _ = watch.sender.send(Err(status)).await;
        }
    });
    Ok(ReceiverStream::new(receiver))
}

struct Watch {
    door: Arc<Door>,
    caller: Caller,
    environment: EnvironmentName,
    prefix: String,
    sender: mpsc::Sender<Result<v1::WatchEvent, Status>>,
    /// Counted for as long as it lives.
    _open: OpenStream,
}

impl Watch {
    /// Ends when the watcher goes, or with the status that it is told.
    async fn run(&self, after: u64) -> Result<(), Status> {
        let mut cursor = after;
        let mut revision = self.door.conduit.published().watch();
        loop {
            let applied = *revision.borrow_and_update();
            while cursor < applied {
                let records = self.door.read_journal(cursor + 1, READ_RECORDS).await?;
                let Some(last) = records.last() else { break };
                cursor = last.seq;
                for event in self.shown(&records)? {
                    if self.sender.send(Ok(event)).await.is_err() {
                        return Ok(());
                    }
                }
            }
            tokio::select! {
                changed = revision.changed() => if changed.is_err() { return Ok(()) },
                () = self.sender.closed() => return Ok(()),
                () = self.door.gate.clone().closed() => return Err(self.door.gate.elsewhere()),
                () = tokio::time::sleep(PROGRESS) => {
                    self.sight(&self.door.view())?;
                    let progress = v1::WatchEvent { index: cursor, progress: true, ..Default::default() };
                    if self.sender.send(Ok(progress)).await.is_err() {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// What the watcher may see. A token that was revoked, or a right that was taken away, ends the watch.
    fn sight<'a>(&self, view: &'a View) -> Result<Sight<'a>, Status> {
        let sight = self.caller.token(view).and_then(|token| {
            let asking = self.caller.asking(view, token);
            view.state.authorize_listing(&asking, &self.environment, self.prefix.clone())?;
            view.state.keys().check_open(&self.environment)?;
            Ok(view.state.sight(&asking, &self.environment))
        });
        sight.map_err(|rejection| status::refused(&rejection))
    }

    /// The changes among `records` that the watcher asked for and may see by the rules of now.
    fn shown(&self, records: &[StoredRecord]) -> Result<Vec<v1::WatchEvent>, Status> {
        let view = self.door.view();
        let sight = self.sight(&view)?;
        records.iter().filter_map(|record| self.event(record, &sight).transpose()).collect()
    }

    fn event(&self, record: &StoredRecord, sight: &Sight<'_>) -> Result<Option<v1::WatchEvent>, Status> {
        let leaf = Leaf::decode(&record.leaf).map_err(|error| status::fault("read the journal", &error))?;
        if leaf.environment != self.environment.as_str() {
            return Ok(None);
        }
        let event: Event = codec::decode(Kind::Event, leaf.detail).map_err(|error| status::fault("read the journal", &error))?;
        let Some((change, versions)) = change(&event) else { return Ok(None) };
        let moved_to = match &event {
            Event::SecretMoved { to, .. } | Event::SecretRenamed { to, .. } => Some(to.as_str()),
            _ => None,
        };
        let is_seen = |path: &&str| path.starts_with(&self.prefix) && sight.shows(path);
        // A move is seen where it arrived, or else where it left; the other end may be out of sight.
        let Some(path) = moved_to.filter(is_seen).or(Some(leaf.subject).filter(is_seen)) else { return Ok(None) };
        let (stamp_ms, path) = (leaf.stamp_us / 1000, path.to_owned());
        Ok(Some(v1::WatchEvent { index: record.seq, stamp_ms, path, change: change.into(), versions, progress: false }))
    }
}

fn change(event: &Event) -> Option<(&'static str, Vec<u64>)> {
    Some(match event {
        Event::SecretVersionAdded { version, .. } => ("put", vec![*version]),
        Event::SecretMetadataChanged { .. } => ("metadata", Vec::new()),
        Event::SecretVersionsDeleted { versions, .. } => ("delete", versions.clone()),
        Event::SecretVersionsUndeleted { versions, .. } => ("undelete", versions.clone()),
        Event::SecretVersionsDestroyed { versions, .. } => ("destroy", versions.clone()),
        Event::SecretMoved { .. } | Event::SecretRenamed { .. } => ("move", Vec::new()),
        _ => return None,
    })
}

impl Door {
    /// Records from the journal, off the async threads.
    pub(crate) async fn read_journal(&self, from: u64, count: usize) -> Result<Vec<StoredRecord>, Status> {
        let journal = self.journal.clone();
        let read = raft::offload(move || journal.read(from, count, READ_BYTES)).await;
        let read = read.map_err(|error| status::fault("read the journal", &error))?;
        read.map_err(|error| {
            if let JournalError::NotKept { first_seq, .. } = &error {
                return Status::out_of_range(format!("this node's journal starts at record {first_seq}: ask another node"));
            }
            tracing::error!(%error, "the journal of this node is damaged");
            Status::data_loss(format!("the journal of this node is damaged: {error}"))
        })
    }
}

//! The service of snapshots: made and sent to whoever asks, or put where the node's settings say.

use crate::api::convert::asked_of_system;
use crate::api::door::{Caller, Door};
use crate::api::{restoring, status};
use crate::backups::{After, BackupError, Made, Saving, saved};
use bytes::Bytes;
use node_domain::Command;
use node_domain::operation::Operation;
use node_domain::recovery::{Drill, RecoveryCommand, RecoveryUpkeep};
use proto::v1;
use proto::v1::snapshot_part::Part;
use proto::v1::snapshots_server::Snapshots;
use std::sync::Arc;
use storage_backup::{Entry, Keep};
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

/// Bytes of a part on the wire.
const PART_BYTES: usize = 1 << 20;
/// Parts that wait for a slow reader.
const QUEUE_MAX: usize = 4;
/// Where a snapshot went that was sent to whoever asked.
const TO_CALLER: &str = "the caller";

asked_of_system! {
    v1::SaveSnapshotRequest, v1::SaveToStoreRequest, v1::ListSnapshotsRequest, v1::PruneSnapshotsRequest,
    v1::ReportDrillRequest: from,
}

/// The service, behind the door.
pub(crate) struct SnapshotsService {
    pub(crate) door: Arc<Door>,
    pub(crate) saving: Arc<Saving>,
}

type Parts = mpsc::Sender<Result<v1::SnapshotPart, Status>>;

#[tonic::async_trait]
impl Snapshots for SnapshotsService {
    type SaveStream = ReceiverStream<Result<v1::SnapshotPart, Status>>;

    async fn save(&self, request: Request<v1::SaveSnapshotRequest>) -> Result<Response<Self::SaveStream>, Status> {
        let (caller, message) = self.door.receive(request);
        self.permit(&caller, Operation::SnapshotSave, &message, TO_CALLER).await?;
        let after = message.after.map(after).transpose()?;
        let (sender, receiver) = mpsc::channel(QUEUE_MAX);
        let (saving, gate) = (self.saving.clone(), self.door.gate.clone());
        tokio::spawn(async move {
            let elsewhere = gate.elsewhere();
            let sent = tokio::select! {
                sent = send_snapshot(&saving, after, &sender) => sent,
                () = gate.closed() => Err(elsewhere),
            };
            if let Err(status) = sent {
                // A caller that went away has no use for it.
                let _ = sender.send(Err(status)).await;
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    type RestoreStream = ReceiverStream<Result<v1::RestoreInPlaceEvent, Status>>;

    async fn restore(&self, request: Request<v1::RestoreInPlaceRequest>) -> Result<Response<Self::RestoreStream>, Status> {
        let (caller, message) = self.door.receive(request);
        let wish = restoring::permitted(&self.door, &caller, &message).await?;
        let (sender, receiver) = mpsc::channel(restoring::QUEUE_MAX);
        let (saving, door) = (self.saving.clone(), self.door.clone());
        tokio::spawn(async move {
            // A restore that is cut off between two transactions goes on when it is asked for again.
            let restored = tokio::select! {
                restored = restoring::restore(&door, &saving, &caller, (&message, &wish), &sender) => restored,
                () = door.gate.clone().closed() => Err(door.gate.elsewhere()),
            };
            if let Err(status) = restored {
                // A caller that went away does not want the reason.
                let _ = sender.send(Err(status)).await;
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn save_to_store(&self, request: Request<v1::SaveToStoreRequest>) -> Result<Response<v1::SaveToStoreResponse>, Status> {
        let (caller, message) = self.door.receive(request);
        self.permit(&caller, Operation::SnapshotSave, &message, self.saving.place().unwrap_or_default()).await?;
        let saving = self.saving.clone();
        // Begun is finished, even when the caller goes away.
        let saved = tokio::spawn(async move { saving.save(message.incremental).await });
        let (saved, entry) = saved.await.map_err(|error| status::fault("save a snapshot", &error))?.map_err(refused)?;
        Ok(Response::new(v1::SaveToStoreResponse { entry: json(&entry), place: saved.to, note: saved.note }))
    }

    async fn list(&self, request: Request<v1::ListSnapshotsRequest>) -> Result<Response<v1::ListSnapshotsResponse>, Status> {
        let (caller, message) = self.door.receive(request);
        self.permit(&caller, Operation::SnapshotList, &message, self.saving.place().unwrap_or_default()).await?;
        let view = self.door.view();
        let (known, now) = (view.state.recovery(), view.state.stamp());
        let age = |at: node_domain::ids::Stamp| now.as_ms().saturating_sub(at.as_ms());
        let (set, place) = match self.saving.store() {
            Ok(store) => (store.set().await.map_err(|error| refused(error.into()))?, store.place().to_owned()),
            Err(BackupError::NoPlace) => Default::default(),
            Err(error) => return Err(refused(error)),
        };
        Ok(Response::new(v1::ListSnapshotsResponse {
            entries: set.entries.iter().map(json).collect(),
            place,
            bad: set.bad.into_iter().map(|(name, why)| format!("{name}: {why}")).collect(),
            strays: set.strays,
            saved_age_ms: known.saved().map(|saved| age(saved.at)),
            drill_age_ms: known.drill().map(|drill| age(drill.at)),
            drill_passed: known.drill().is_some_and(|drill| drill.drill.passed),
            failing: known.failed().is_some(),
            signer: self.saving.backups.sealing().signer().public().to_string(),
        }))
    }

    async fn prune(&self, request: Request<v1::PruneSnapshotsRequest>) -> Result<Response<v1::PruneSnapshotsResponse>, Status> {
        let (caller, message) = self.door.receive(request);
        self.permit(&caller, Operation::SnapshotPrune, &message, self.saving.place().unwrap_or_default()).await?;
        let now_ms = self.door.view().state.stamp().as_ms();
        let keep = Keep { fulls: message.keep as usize, since_ms: now_ms.saturating_sub(message.older_than_ms) };
        let pruned = self.saving.prune(keep, message.dry_run).await.map_err(refused)?;
        let place = self.saving.store().map_err(refused)?.place().to_owned();
        Ok(Response::new(v1::PruneSnapshotsResponse { entries: pruned.iter().map(json).collect(), place }))
    }

    async fn report_drill(&self, request: Request<v1::ReportDrillRequest>) -> Result<Response<v1::ReportDrillResponse>, Status> {
        let (caller, message) = self.door.receive_change(request, Operation::DrillReport);
        let report = message.report.as_ref().try_into();
        let drill =
            report.map_err(|_| node_domain::Rejection::invalid("the digest of a report has 32 bytes")).map(|report| Drill {
                passed: message.passed,
                from: message.from.clone(),
                revision: node_domain::ids::Revision(message.revision),
                secrets: message.secrets,
                took_ms: message.took_ms,
                report,
            });
        let command = drill.map(|drill| Command::Recovery(Box::new(RecoveryCommand::ReportDrill(drill))));
        let done = self.door.submit(&caller, Operation::DrillReport, &message, command).await?;
        Ok(Response::new(v1::ReportDrillResponse { index: done.index }))
    }
}

impl SnapshotsService {
    /// That somebody may do it, in the journal before it begins.
    async fn permit(
        &self,
        caller: &Caller,
        operation: Operation,
        asked: &(dyn crate::api::door::Asked + Sync),
        subject: &str,
    ) -> Result<(), Status> {
        let command = Command::Recovery(Box::new(RecoveryCommand::Ask { operation, subject: subject.to_owned() }));
        self.door.submit(caller, operation, asked, Ok(command)).await.map(drop)
    }
}

fn after(point: v1::SnapshotPoint) -> Result<After, Status> {
    let chain = point.chain.as_ref().try_into();
    let chain = chain.map_err(|_| Status::invalid_argument("the chain of a snapshot has 32 bytes"))?;
    Ok(After { epoch: point.epoch, revision: point.revision, chain, log_index: point.log_index })
}

/// Makes a snapshot and sends it: what it is, its bytes, and the entry once the journal has it.
async fn send_snapshot(saving: &Saving, after: Option<After>, parts: &Parts) -> Result<(), Status> {
    let made = saving.backups.clone().make(after).await.map_err(refused)?;
    let start = v1::SnapshotStart { file: made.entry.file.clone(), bytes: made.entry.bytes, note: made.note.clone() };
    send(parts, Part::Start(start)).await?;
    send_file(&made, parts).await?;
    saving.tell(RecoveryUpkeep::Saved(saved(&made, TO_CALLER))).await.map_err(refused)?;
    send(parts, Part::Entry(made.signed.clone().into())).await
}

async fn send_file(made: &Made, parts: &Parts) -> Result<(), Status> {
    let fault = |error: std::io::Error| status::fault("read a snapshot", &error);
    let mut file = tokio::fs::File::open(&made.path).await.map_err(fault)?;
    loop {
        let mut part = Vec::with_capacity(PART_BYTES);
        let read = (&mut file).take(PART_BYTES as u64).read_to_end(&mut part).await.map_err(fault)?;
        if read == 0 {
            return Ok(());
        }
        send(parts, Part::Chunk(part.into())).await?;
    }
}

async fn send(parts: &Parts, part: Part) -> Result<(), Status> {
    let gone = |_| Status::cancelled("whoever asked for the snapshot went away");
    parts.send(Ok(v1::SnapshotPart { part: Some(part) })).await.map_err(gone)
}

fn json(entry: &Entry) -> Bytes {
    // Texts and numbers always serialize.
    serde_json::to_vec(entry).unwrap_or_default().into()
}

fn refused(error: BackupError) -> Status {
    match error {
        BackupError::NoPlace => Status::failed_precondition(error.to_string()),
        BackupError::Store(_) => Status::unavailable(error.to_string()),
        BackupError::Make(_) | BackupError::Journal(_) => status::fault("save a snapshot", &error),
    }
}

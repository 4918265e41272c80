//! Restoring in place: the differences are shown, and what comes back is written in the caller's name.

use crate::api::door::{Asked, Caller, Door};
use crate::api::status;
use crate::backups::Saving;
use crate::restore::in_place::{InPlace, Scope, bring_back, changes};
use crate::restore::{Point, look_back};
use node_domain::ids::{EnvironmentName, SecretPath};
use node_domain::operation::Operation;
use node_domain::recovery::RecoveryCommand;
use node_domain::{Command, Rejection};
use proto::v1;
use proto::v1::restore_in_place_event::Event;
use std::sync::Arc;
use tokio::sync::mpsc;
use tonic::Status;

/// What is told of a restore and not read yet.
pub(crate) const QUEUE_MAX: usize = 256;

impl Asked for v1::RestoreInPlaceRequest {
    fn environment(&self) -> &str {
        &self.environment
    }

    fn subject(&self) -> &str {
        &self.path
    }
}

/// Where a restore tells what it does.
pub(crate) type Told = mpsc::Sender<Result<v1::RestoreInPlaceEvent, Status>>;

/// What the request asks for, once it is on the journal that it was asked.
pub(crate) async fn permitted(door: &Door, caller: &Caller, message: &v1::RestoreInPlaceRequest) -> Result<InPlace, Status> {
    let wish = parse(message);
    let command = wish.clone().map(|wish| {
        let subject = message.path.clone();
        Command::Recovery(Box::new(RecoveryCommand::Restore { environment: wish.environment, subject }))
    });
    door.submit(caller, Operation::SnapshotRestore, message, command).await?;
    wish.map_err(|rejection| status::refused(&rejection))
}

fn parse(message: &v1::RestoreInPlaceRequest) -> Result<InPlace, Rejection> {
    let environment = EnvironmentName::parse(&message.environment)?;
    let scope = if message.is_prefix || message.path.is_empty() {
        Scope::Below(message.path.clone())
    } else {
        Scope::One(SecretPath::parse(&message.path)?)
    };
    Ok(InPlace { environment, scope, delete_newer: message.delete_newer })
}

/// Compares, tells the differences, and writes what comes back unless it is a dry run.
pub(crate) async fn restore(
    door: &Arc<Door>,
    saving: &Saving,
    caller: &Caller,
    (message, wish): (&v1::RestoreInPlaceRequest, &InPlace),
    told: &Told,
) -> Result<(), Status> {
    let place = saving.place().ok_or_else(|| {
        Status::failed_precondition("setting backup.to names no place for snapshots: this node has nowhere to look")
    })?;
    let at = match (message.at_revision, message.at_time_us) {
        (0, 0) => Point::Newest,
        (0, time) => Point::Time(time),
        (revision, 0) => Point::Revision(revision),
        _ => return Err(Status::invalid_argument("give a record or a time, not both")),
    };
    let folded = look_back(&door.sealing, &saving.backups.disk(), place, at).await.map_err(Status::failed_precondition)?;
    let view = door.view();
    let then = &folded.standing.state;
    let point = v1::RestorePoint { revision: then.revision().0, stamp_us: then.stamp().0, epoch: then.epoch() };
    let changes = changes(then, &view.state, wish).map_err(|rejection| status::refused(&rejection))?;
    drop(view);
    tell(told, Event::Point(point)).await?;
    for change in &changes {
        tell(told, Event::Difference(change.show())).await?;
    }
    if message.dry_run {
        return tell(told, Event::Done(0)).await;
    }
    let (wrote, mut written) = mpsc::channel(1);
    let progress = told.clone();
    let forwarding = tokio::spawn(async move {
        while let Some(count) = written.recv().await {
            // Whoever asked may have gone; what was begun is finished.
            let _ = tell(&progress, Event::Written(count)).await;
        }
    });
    let done = bring_back(door, caller, wish, folded, changes, wrote).await;
    let _ = forwarding.await;
    tell(told, Event::Done(done?)).await
}

async fn tell(told: &Told, event: Event) -> Result<(), Status> {
    let gone = |_| Status::cancelled("whoever asked for the restore went away");
    told.send(Ok(v1::RestoreInPlaceEvent { event: Some(event) })).await.map_err(gone)
}

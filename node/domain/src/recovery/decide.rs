//! What a request about snapshots leads to.

use super::{Drill, RecoveryCommand, RecoveryEvent, RecoveryUpkeep};
use crate::decide::{Answer, Context, Decided, Desk};
use crate::event::Event;
use crate::ids::EnvironmentName;
use crate::limits;
use crate::operation::Operation;
use crate::policy::Capability;
use crate::rejection::Rejection;
use crate::state::State;

impl Desk<'_> {
    pub(crate) fn decide_recovery(&self, command: RecoveryCommand) -> Decided {
        match command {
            RecoveryCommand::Ask { operation, subject } => self.ask_for_snapshots(operation, subject),
            RecoveryCommand::Restore { environment, subject } => self.restore_in_place(environment, subject),
            RecoveryCommand::ReportDrill(drill) => self.report_drill(drill),
        }
    }

    fn ask_for_snapshots(&self, operation: Operation, subject: String) -> Decided {
        if !operation.is_of_snapshots() {
            return Err(Rejection::invalid(format!("{} is not asked of snapshots", operation.word())));
        }
        check_text(&subject)?;
        self.observe_system(Capability::Cluster, operation, subject)
    }

    /// Whoever restores sees what is in snapshots of the whole cluster; what comes back he must be able to write besides.
    fn restore_in_place(&self, environment: EnvironmentName, subject: String) -> Decided {
        check_text(&subject)?;
        let permit = self.permit_system(Capability::Cluster, &subject)?;
        self.state.environment(&environment)?;
        self.state.keys.check_open(&environment)?;
        let (operation, environment) = (Operation::SnapshotRestore, Some(environment));
        Ok((vec![Event::Observed { operation, environment, subject: permit.subject }], Answer::Done))
    }

    fn report_drill(&self, drill: Drill) -> Decided {
        self.permit_system(Capability::Cluster, &drill.from)?;
        check_text(&drill.from)?;
        Ok((vec![Event::Recovery(RecoveryEvent::DrillReported(Box::new(drill)))], Answer::Done))
    }
}

fn check_text(text: &str) -> Result<(), Rejection> {
    if text.len() > limits::TEXT_BYTES_MAX {
        return Err(Rejection::invalid(format!("where snapshots are is said in at most {} bytes", limits::TEXT_BYTES_MAX)));
    }
    Ok(())
}

/// What the cluster asks of itself: what became of a snapshot.
pub(crate) fn upkeep(_state: &State, _context: &Context, command: &RecoveryUpkeep) -> Decided {
    let cut = |text: &str| limits::cut(text.to_owned(), limits::TEXT_BYTES_MAX);
    let event = match command {
        RecoveryUpkeep::Saved(saved) => {
            let mut saved = saved.clone();
            (saved.file, saved.to, saved.note) = (cut(&saved.file), cut(&saved.to), cut(&saved.note));
            RecoveryEvent::SnapshotSaved(Box::new(saved))
        }
        RecoveryUpkeep::Failed { to, why } => RecoveryEvent::SnapshotFailed { to: cut(to), why: cut(why) },
        RecoveryUpkeep::Pruned { from, count, bytes } => {
            RecoveryEvent::SnapshotsPruned { from: cut(from), count: *count, bytes: *bytes }
        }
    };
    Ok((vec![Event::Recovery(event)], Answer::Done))
}

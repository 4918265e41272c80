//! `holdfast snapshot restore`.

use std::io::{self, Write};

use clap::Args;
use futures::StreamExt;
use proto_client::{v1, v1::restore_in_place_event::Event};
use serde_json::{Value, json};

use crate::{
    commands::confirm,
    exit::{Doing, Failure},
    output::{table, time},
    settings::Session,
};

/// What is to come back.
#[derive(Args)]
pub(crate) struct Restore {
    /// Only this secret.
    #[arg(long = "secret", value_name = "PATH", conflicts_with = "prefix")]
    path: Option<String>,
    /// Only what stands below this prefix.
    #[arg(long, value_name = "PREFIX")]
    prefix: Option<String>,
    /// As of this record; the newest snapshot when left out.
    #[arg(long, value_name = "RECORD", conflicts_with = "at_time")]
    at_revision: Option<u64>,
    /// As of this time: 2h (ago), 2026-11-22T10:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = time::parse_moment)]
    at_time: Option<u64>,
    /// Also delete what was not there then.
    #[arg(long)]
    delete_newer: bool,
    /// Only show what would change.
    #[arg(long)]
    dry_run: bool,
}

/// What a restore told.
#[derive(Default)]
struct Outcome {
    point: v1::RestorePoint,
    differences: Vec<v1::RestoreDifference>,
    written: u64,
}

impl Restore {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let environment = session.environment()?;
        let mut request = v1::RestoreInPlaceRequest {
            environment,
            is_prefix: self.path.is_none(),
            path: self.path.or(self.prefix).unwrap_or_default(),
            at_revision: self.at_revision.unwrap_or(0),
            at_time_us: self.at_time.map_or(0, |ms| ms.saturating_mul(1000)),
            dry_run: true,
            delete_newer: self.delete_newer,
        };
        let mut outcome = ask(session, &request).await?;
        let acted_on = acted_on(&outcome, self.delete_newer);
        if !self.dry_run && acted_on > 0 {
            let at = outcome.point.revision;
            confirm(session, &format!("Bring {acted_on} secrets of {} back to record {at}?", request.environment))?;
            // The point that was shown, whatever was saved meanwhile.
            (request.dry_run, request.at_revision, request.at_time_us) = (false, at, 0);
            outcome = ask(session, &request).await?;
        }
        session.out.show(&document(&outcome, &request), |out| people(out, &outcome, &request))
    }
}

fn acted_on(outcome: &Outcome, delete_newer: bool) -> usize {
    let newer = |difference: &&v1::RestoreDifference| difference.kind() == v1::RestoreDifferenceKind::Newer;
    outcome.differences.iter().filter(|difference| delete_newer || !newer(difference)).count()
}

async fn ask(session: &Session, request: &v1::RestoreInPlaceRequest) -> Result<Outcome, Failure> {
    let doing = || format!("restore {}", request.environment);
    let events = session.client().await?.snapshots().restore(request.clone()).await;
    let mut events = events.doing(doing)?;
    let mut outcome = Outcome::default();
    let mut bar = indicatif::ProgressBar::hidden();
    while let Some(event) = events.next().await {
        match event.doing(doing)?.event {
            Some(Event::Point(point)) => outcome.point = point,
            Some(Event::Difference(difference)) => outcome.differences.push(difference),
            Some(Event::Written(count)) => {
                if bar.is_hidden() {
                    bar = session.out.progress(outcome.differences.len() as u64, "restoring");
                }
                bar.set_position(count);
            }
            Some(Event::Done(count)) => outcome.written = count,
            None => {}
        }
    }
    bar.finish_and_clear();
    Ok(outcome)
}

fn word(difference: &v1::RestoreDifference) -> &'static str {
    match difference.kind() {
        v1::RestoreDifferenceKind::ComesBack => "comes back",
        v1::RestoreDifferenceKind::ChangesBack => "changes back",
        v1::RestoreDifferenceKind::Newer => "newer",
        v1::RestoreDifferenceKind::Unspecified => "?",
    }
}

fn document(outcome: &Outcome, request: &v1::RestoreInPlaceRequest) -> Value {
    let difference = |difference: &v1::RestoreDifference| {
        json!({
            "path": difference.path,
            "difference": word(difference),
            "now_version": difference.now_version,
            "then_version": difference.then_version,
            "now_bytes": difference.now_bytes,
            "then_bytes": difference.then_bytes,
        })
    };
    json!({
        "environment": request.environment,
        "dry_run": request.dry_run,
        "revision": outcome.point.revision,
        "time": time::utc(outcome.point.stamp_us / 1000),
        "differences": outcome.differences.iter().map(difference).collect::<Vec<_>>(),
        "written": outcome.written,
    })
}

fn people(out: &mut dyn Write, outcome: &Outcome, request: &v1::RestoreInPlaceRequest) -> io::Result<()> {
    let version = |number: u64| if number == 0 { "-".to_owned() } else { format!("v{number}") };
    let row = |difference: &v1::RestoreDifference| {
        [
            word(difference).to_owned(),
            difference.path.clone(),
            version(difference.now_version),
            version(difference.then_version),
            format!("{} -> {} bytes", difference.now_bytes, difference.then_bytes),
        ]
    };
    table::rows(out, &["", "PATH", "NOW", "THEN", "SIZE"], outcome.differences.iter().map(row))?;
    let (at, when) = (outcome.point.revision, time::local(outcome.point.stamp_us / 1000));
    let done = if request.dry_run { "nothing was written".to_owned() } else { format!("{} secrets written", outcome.written) };
    writeln!(out, "{} differences to record {at} ({when}); {done}", outcome.differences.len())
}

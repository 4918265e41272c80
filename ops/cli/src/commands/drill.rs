//! `holdfast drill`: brings the cluster back from its snapshots, on this machine and beside it, and sees whether all is there.

mod checks;
mod report;
mod scratch;

use std::{path::PathBuf, time::Instant};

use clap::Args;
use proto_client::v1;
use storage_crypto::hex;

use crate::{
    exit::{Doing, Exit, Failure},
    settings::Session,
};
use report::{Report, Step};
use scratch::Scratch;

/// Restores into a scratch cluster of three processes and checks it.
#[derive(Args)]
#[command(after_help = "Examples:
  holdfast drill --from ./backups --seal kit/node1
  holdfast drill --from s3://bucket/holdfast --seal /etc/holdfast --canaries canaries.txt --report drill.json
  holdfast drill --from ./backups --seal kit/node1 --report-to-cluster

A canary is a line `environment:path BLAKE3-of-the-value`; `holdfast secret get PATH -o raw | b3sum` makes one.
The scratch cluster listens on loopback, and everything of it is gone when the drill ends.")]
pub(crate) struct Drill {
    /// Where the snapshots are: a directory, file:///path or s3://bucket/prefix.
    #[arg(long, value_name = "PLACE")]
    from: String,
    /// Directory with seal.json and seal.key of the cluster.
    #[arg(long, value_name = "DIR")]
    seal: PathBuf,
    /// As of this record; the newest when left out.
    #[arg(long, value_name = "RECORD")]
    at_revision: Option<u64>,
    /// Known secrets: a file with lines `environment:path digest`.
    #[arg(long, value_name = "FILE")]
    canaries: Option<PathBuf>,
    /// Where the signed report goes; drill-TIME.json here when left out.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Tell the cluster that the settings name what was found: its health shows the age of the last drill.
    #[arg(long)]
    report_to_cluster: bool,
    /// The server's program; the one beside this program when left out.
    #[arg(long, value_name = "PATH")]
    server: Option<PathBuf>,
}

impl Drill {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let canaries = self.canaries.as_deref().map(checks::read_canaries).transpose()?.unwrap_or_default();
        let mut scratch = Scratch::prepare(self.server.clone(), &self.seal)?;
        let started = Instant::now();
        let mut report = Report::new(&self.from);
        let outcome = tokio::select! {
            // Asked first: whoever interrupts must not leave servers behind.
            biased;
            _ = tokio::signal::ctrl_c() => Err(Failure::new(Exit::Partial, "the drill was interrupted", "somebody asked it to stop")),
            outcome = self.through(session, &mut scratch, &canaries, &mut report, started) => outcome,
        };
        scratch.stop();
        if let Err(failure) = &outcome {
            report.fail("the drill", &failure.to_string());
        }
        report.total_ms = started.elapsed().as_millis() as u64;
        let path = self.report.clone().unwrap_or_else(|| PathBuf::from(format!("drill-{}.json", report.made_ms)));
        let signed = report.sign(&scratch.signer()?);
        std::fs::write(&path, &signed).map_err(|error| Failure::io(format!("cannot write {}", path.display()), &error))?;
        session.out.show(&report, |out| report.people(out, &path))?;
        if self.report_to_cluster {
            self.tell(session, &report, &signed).await?;
        }
        if report.passed() {
            return Ok(());
        }
        Err(Failure::new(Exit::Integrity, "the drill failed", format!("{} tells in which step", path.display()))
            .next("these snapshots would not bring the cluster back: look into it now"))
    }

    async fn through(
        &self,
        session: &Session,
        scratch: &mut Scratch,
        canaries: &[checks::Canary],
        report: &mut Report,
        started: Instant,
    ) -> Result<(), Failure> {
        let bar = session.out.progress(5, "restoring");
        let restored = scratch.restore(&self.from, self.at_revision)?;
        report.restored(&restored, Step::took(started));
        bar.inc(1);
        bar.set_message("starting three nodes");
        let clients = scratch.start().await?;
        report.step("three nodes answer and agree on a leader", Step::took(started));
        bar.inc(1);
        bar.set_message("checking");
        checks::chain(&clients, &restored, report).await?;
        bar.inc(1);
        checks::same_state(&clients, report).await?;
        bar.inc(1);
        let first = checks::counts(&clients[0], &restored, report).await?;
        checks::first_secret(&clients[0], first.as_ref(), report, started).await?;
        checks::canaries(&clients[0], canaries, report).await?;
        bar.finish_and_clear();
        Ok(())
    }

    async fn tell(&self, session: &Session, report: &Report, signed: &[u8]) -> Result<(), Failure> {
        let request = v1::ReportDrillRequest {
            passed: report.passed(),
            from: self.from.clone(),
            revision: report.revision,
            secrets: report.secrets,
            took_ms: report.recovered_ms,
            report: report::digest(signed).to_vec().into(),
        };
        let answer = session.client().await?.snapshots().report_drill(request).await;
        let answer = answer.doing(|| "report the drill to the cluster".to_owned())?;
        session.out.note(&format!(
            "the cluster has it as record {} (report {})",
            answer.index,
            hex::encode(&report::digest(signed))
        ));
        Ok(())
    }
}

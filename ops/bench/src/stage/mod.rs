//! What a run plays on: a cluster, a bare echo and a file on the same disk, and whatever has to be cleared away afterwards.

pub(crate) mod cluster;
pub(crate) mod echo;
mod nodes;
mod processes;
mod seed;
pub(crate) mod settings;

use std::path::{Path, PathBuf};

pub(crate) use self::{
    nodes::{Connection, Nodes},
    processes::Processes,
    seed::{Dice, VALUE_BYTES, numbered_value, read_path, sow_many, value, write_path},
};
use crate::{
    fault::Fault,
    plan::{Plan, RULES, Work},
};

/// Connections to the cluster, and as many to the echo: HTTP/2 takes a lock for each, so one would be measured instead of the server.
pub(crate) const CONNECTIONS: usize = 12;

/// Everything that is measured.
pub(crate) struct Stage {
    /// In a line, for people.
    pub(crate) description: String,
    /// Connections to the cluster, if it is measured.
    pub(crate) cluster: Option<Nodes>,
    /// The servers' processes; none when the cluster was running already.
    pub(crate) servers: Vec<u32>,
    /// Connections to the echo, if it is measured, and its process.
    pub(crate) echo: Option<(Nodes, u32)>,
    /// A directory on the disk that the servers write to.
    pub(crate) directory: PathBuf,
    /// The file system that it is on, as the kernel names it.
    pub(crate) file_system: String,
    /// The environment of the secrets.
    pub(crate) environment: String,
}

impl Stage {
    /// Starts what `plan` needs. What was started is in `processes`, also after an error.
    pub(crate) async fn set_up(plan: &Plan, processes: &mut Processes) -> Result<Stage, Fault> {
        let directory = processes.directory_in(plan.directory.as_deref())?;
        let measures = plan.measures();
        let mut stage = Stage {
            description: String::new(),
            cluster: None,
            servers: Vec::new(),
            echo: None,
            file_system: file_system(&directory),
            directory,
            environment: plan.environment.clone(),
        };
        if measures.iter().any(|measure| measure.work.needs_cluster()) {
            let config = match &plan.attach {
                Some(file) => settings::read(file)?,
                None => cluster::start(&stage.directory, processes).await?,
            };
            stage.servers = processes.servers();
            let config = if plan.attach.is_none() { seed::caller(config, plan.policies).await? } else { config };
            seed::sow(&config, &stage.environment).await?;
            stage.cluster = Some(Nodes::of_cluster(&config, CONNECTIONS).await?);
        }
        if measures.iter().any(|measure| measure.work == Work::Echo) {
            stage.echo = Some(echo::start(processes).await?);
        }
        stage.description = stage.describe(plan);
        Ok(stage)
    }

    /// Who leads the cluster, if one is measured.
    pub(crate) async fn leader(&self) -> Option<String> {
        match &self.cluster {
            Some(nodes) => Some(nodes.leader().await),
            None => None,
        }
    }

    fn describe(&self, plan: &Plan) -> String {
        let cluster = match (&self.cluster, &plan.attach) {
            (None, _) => "no cluster".to_owned(),
            (Some(nodes), Some(_)) => format!("the running cluster of {}", nodes.len()),
            (Some(nodes), None) => format!("a new cluster of {}, {} policies of {RULES} rules held", nodes.len(), plan.policies),
        };
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        format!("{cluster}, {cores} cores, data on {} ({})", self.directory.display(), self.file_system)
    }
}

/// The type and device of the file system under `directory`.
fn file_system(directory: &Path) -> String {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mounts = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ');
        Some((words.next()?, words.next()?, words.next()?))
    });
    // A later mount hides an earlier one at the same place.
    let under = mounts.filter(|(_, place, _)| directory.starts_with(place)).max_by_key(|(_, place, _)| place.len());
    under.map_or_else(|| "unknown file system".to_owned(), |(device, _, kind)| format!("{kind} on {device}"))
}

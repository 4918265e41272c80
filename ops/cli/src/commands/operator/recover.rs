//! `holdfast operator recover`: which survivor is furthest, and going on with it after a majority was lost.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use clap::Args;
use serde::Deserialize;
use serde_json::json;

use crate::{
    exit::{Exit, Failure},
    output::{table, time},
    server,
    settings::Session,
};

/// Runs on the machine of a survivor, while no node runs.
#[derive(Args)]
pub(crate) struct Recover {
    /// Settings of the node on this machine.
    #[arg(long, value_name = "PATH")]
    server_config: PathBuf,
    /// What `holdfastd inspect` said on another survivor: a file (repeatable).
    #[arg(long = "survivor", value_name = "FILE")]
    survivors: Vec<PathBuf>,
    /// A new, empty node that is a member from now on (repeatable); others join later.
    #[arg(long = "node", value_name = "NODE")]
    nodes: Vec<String>,
    /// Do it. What this node does not have is lost.
    #[arg(long)]
    i_accept_loss: bool,
    /// Have the server read shares or the passphrase from standard input.
    #[arg(long)]
    unseal_stdin: bool,
    /// The server's program; the one beside this program when left out.
    #[arg(long, value_name = "PATH")]
    server: Option<PathBuf>,
}

/// What the data of one survivor holds.
#[derive(Deserialize)]
struct Holding {
    node: u64,
    epoch: u32,
    last_term: u64,
    last_index: u64,
    revision: u64,
    stamp_us: u64,
    members: Vec<u64>,
    voters: Vec<u64>,
    came_apart: Option<String>,
}

impl Holding {
    fn reach(&self) -> (u32, u64, u64) {
        (self.epoch, self.last_term, self.last_index)
    }
}

impl Recover {
    pub(super) fn run(self, session: &Session) -> Result<(), Failure> {
        let config = self.server_config.display().to_string();
        if self.i_accept_loss {
            let mut arguments = vec!["recover".to_owned(), "--config".to_owned(), config, "--i-accept-loss".to_owned()];
            let survivors = self.survivors.iter().map(|file| ("--survivor", file.display().to_string()));
            let nodes = self.nodes.iter().map(|node| ("--node", node.clone()));
            arguments.extend(survivors.chain(nodes).flat_map(|(name, value)| [name.to_owned(), value]));
            let said = self.server(arguments)?;
            return session.out.text(&String::from_utf8_lossy(&said));
        }
        let own = parse(&self.server(vec!["inspect".to_owned(), "--config".to_owned(), config])?, "holdfastd inspect")?;
        let mut survivors = vec![own];
        for file in &self.survivors {
            survivors.push(read(file)?);
        }
        survivors.sort_by_key(|survivor| std::cmp::Reverse(survivor.reach()));
        let furthest = survivors[0].node;
        let rows: Vec<_> = survivors
            .iter()
            .map(|one| {
                json!({ "node": one.node, "epoch": one.epoch, "last_term": one.last_term, "last_index": one.last_index,
                "revision": one.revision, "time": time::utc(one.stamp_us / 1000), "members": one.members,
                "voters": one.voters, "came_apart": one.came_apart })
            })
            .collect();
        session.out.show(&json!({ "survivors": rows, "furthest": furthest }), |out| people(out, &survivors))
    }

    fn server(&self, mut arguments: Vec<String>) -> Result<Vec<u8>, Failure> {
        let program = server::program(self.server.clone())?;
        arguments.extend(self.unseal_stdin.then(|| "--unseal-stdin".to_owned()));
        let stdin = if self.unseal_stdin { Stdio::inherit() } else { Stdio::null() };
        let next = "nothing was changed; `holdfastd inspect --config PATH` says what a survivor holds";
        server::run(Command::new(program).args(arguments).stdin(stdin), Exit::Conflict).map_err(|failure| failure.next(next))
    }
}

fn read(file: &Path) -> Result<Holding, Failure> {
    let bytes = std::fs::read(file).map_err(|error| Failure::io(format!("cannot read {}", file.display()), &error))?;
    parse(&bytes, &file.display().to_string())
}

fn parse(bytes: &[u8], of: &str) -> Result<Holding, Failure> {
    let next = "have `holdfastd inspect --config PATH` write it on that survivor";
    serde_json::from_slice(bytes).map_err(|error| Failure::usage(format!("cannot use {of}"), error.to_string(), next))
}

fn people(out: &mut dyn Write, survivors: &[Holding]) -> io::Result<()> {
    let row = |one: &Holding| {
        let when = time::local(one.stamp_us / 1000);
        [
            one.node.to_string(),
            one.epoch.to_string(),
            one.last_term.to_string(),
            one.last_index.to_string(),
            one.revision.to_string(),
            when,
        ]
    };
    table::rows(out, &["NODE", "EPOCH", "TERM", "ENTRY", "RECORD", "OF"], survivors.iter().map(row))?;
    for one in survivors {
        if let Some(why) = &one.came_apart {
            writeln!(out, "node {}: {why}: what it holds is not to be believed", one.node)?;
        }
    }
    let voters = &survivors[0].voters;
    let count = survivors.iter().filter(|one| voters.contains(&one.node)).count();
    if count * 2 > voters.len() {
        return writeln!(out, "these are {count} of {} voters, a majority: start them, nothing is lost", voters.len());
    }
    writeln!(
        out,
        "node {} is furthest: run this on it with --i-accept-loss; what it does not have is lost, the others are set aside and join anew",
        survivors[0].node
    )
}

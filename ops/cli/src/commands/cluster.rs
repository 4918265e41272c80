//! `holdfast cluster`.

mod health;
mod invite;
mod join;

use std::io::{self, Write};

use clap::Subcommand;
use proto_client::v1;
use serde_json::{Value, json};

use crate::{
    commands::confirm,
    exit::{Doing, Exit, Failure},
    journal::hex,
    output::table,
    settings::Session,
};

/// The cluster.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// The cluster as the node that answers sees it; exits 7 when there is no leader.
    #[command(after_help = "Examples:\n  holdfast cluster status\n  holdfast cluster status -o json")]
    Status,
    /// How every node is; exits 7 when one does not answer requests or something on it fails.
    #[command(after_help = "No token is needed.\n\nExamples:\n  holdfast cluster health\n  holdfast cluster health -o json")]
    Health,
    /// Hand a new node its files by a ticket that opens once, and add it as a learner.
    Invite(invite::Invite),
    /// Take the files of a new node by its ticket, on its machine. No token and no settings are needed.
    Join(join::Join),
    /// Add a member that receives everything and does not vote yet.
    #[command(after_help = "Examples:
  holdfast cluster add-learner 4 --zone b --peer-address 10.0.0.4:7101 --client-address 10.0.0.4:7100")]
    AddLearner {
        /// A number that no node has ever had.
        node_id: u64,
        /// The zone it stands in.
        #[arg(long, default_value = "")]
        zone: String,
        /// Where the other nodes reach it.
        #[arg(long)]
        peer_address: String,
        /// Where clients reach it.
        #[arg(long)]
        client_address: String,
    },
    /// Let a learner vote.
    #[command(after_help = "Examples:\n  holdfast cluster promote 4")]
    Promote {
        /// The learner.
        node_id: u64,
        /// Also where one zone would then hold the majority of the votes
        #[arg(long)]
        even_so: bool,
    },
    /// Take a voter's vote: it stays as a learner, which follows and answers.
    #[command(after_help = "A leader hands over first. `promote` gives the vote back.\n\nExamples:\n  holdfast cluster demote 4")]
    Demote {
        /// The voter.
        node_id: u64,
        /// Also where those left that answer would be no majority
        #[arg(long)]
        even_so: bool,
    },
    /// Put a learner that has caught up in a member's place; that one leaves for good.
    #[command(after_help = "Examples:\n  holdfast cluster replace 2 --by 4")]
    Replace {
        /// The member that leaves.
        node_id: u64,
        /// The learner that takes its vote.
        #[arg(long, value_name = "NODE_ID")]
        by: u64,
    },
    /// Take a member out. Its number is never used again.
    #[command(after_help = "Examples:\n  holdfast cluster remove 2\n  holdfast cluster remove 2 --yes")]
    Remove {
        /// The member.
        node_id: u64,
        /// Also where those left that answer would be no majority
        #[arg(long)]
        even_so: bool,
    },
    /// Hand leadership over.
    #[command(after_help = "Examples:\n  holdfast cluster transfer-leader\n  holdfast cluster transfer-leader 3")]
    TransferLeader {
        /// The next leader; the leader chooses when left out.
        #[arg(default_value_t = 0, hide_default_value = true)]
        node_id: u64,
    },
    /// Let a node take no calls, and hand leadership over: before its machine is worked on.
    #[command(after_help = "Clients go on to the other nodes. It lasts until `resume` or a restart.

Examples:
  holdfast cluster drain 2
  holdfast cluster drain 2 --addr https://10.0.0.2:7100")]
    Drain {
        /// The node; its address has to be among those that are asked.
        node_id: u64,
    },
    /// Let a drained node take calls again.
    #[command(after_help = "Examples:\n  holdfast cluster resume 2")]
    Resume {
        /// The node; its address has to be among those that are asked.
        node_id: u64,
    },
    /// Make a snapshot on the node that answers.
    #[command(after_help = "Examples:\n  holdfast cluster snapshot --addr https://10.0.0.2:7100")]
    Snapshot,
}

impl Command {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        // Awaited where it is needed: whoever joins has no settings for it.
        let client = session.client();
        match self {
            Command::Status => status(session).await,
            Command::Health => health::run(session).await,
            Command::Invite(command) => command.run(session).await,
            Command::Join(command) => command.run(session).await,
            Command::AddLearner { node_id, zone, peer_address, client_address } => {
                let request = v1::AddLearnerRequest { node_id, zone, peer_address, client_address };
                let answer = client.await?.cluster().add_learner(request).await.doing(|| format!("add node {node_id}"))?;
                changed(session, &format!("node {node_id} is a learner"), node_id, &answer)
            }
            Command::Promote { node_id, even_so } => {
                let answer = client.await?.cluster().promote(member(node_id, even_so)).await;
                let answer = answer.doing(|| format!("promote node {node_id}"))?;
                changed(session, &format!("node {node_id} votes"), node_id, &answer)
            }
            Command::Demote { node_id, even_so } => {
                let answer = client.await?.cluster().demote(member(node_id, even_so)).await;
                let answer = answer.doing(|| format!("demote node {node_id}"))?;
                changed(session, &format!("node {node_id} is a learner"), node_id, &answer)
            }
            Command::Replace { node_id, by } => {
                confirm(session, &format!("Take node {node_id} out of the cluster, and let node {by} vote instead?"))?;
                let request = v1::ReplaceRequest { node_id, by_node_id: by };
                let answer = client.await?.cluster().replace(request).await.doing(|| format!("replace node {node_id}"))?;
                changed(session, &format!("node {by} votes, and node {node_id} is out"), node_id, &answer)
            }
            Command::Remove { node_id, even_so } => {
                confirm(session, &format!("Take node {node_id} out of the cluster?"))?;
                let answer = client.await?.cluster().remove(member(node_id, even_so)).await;
                let answer = answer.doing(|| format!("remove node {node_id}"))?;
                changed(session, &format!("node {node_id} is out"), node_id, &answer)
            }
            Command::TransferLeader { node_id } => {
                let answer = client.await?.cluster().transfer_leader(member(node_id, false)).await;
                let answer = answer.doing(|| "hand leadership over".to_owned())?;
                changed(session, "leadership was handed over", node_id, &answer)
            }
            Command::Drain { node_id } => {
                let answer = client.await?.cluster().drain(member(node_id, false)).await;
                let answer = answer.doing(|| format!("drain node {node_id}"))?;
                changed(session, &format!("node {node_id} takes no calls"), node_id, &answer)
            }
            Command::Resume { node_id } => {
                let answer = client.await?.cluster().resume(member(node_id, false)).await;
                let answer = answer.doing(|| format!("resume node {node_id}"))?;
                changed(session, &format!("node {node_id} takes calls again"), node_id, &answer)
            }
            Command::Snapshot => {
                let answer = client.await?.cluster().trigger_snapshot(v1::TriggerSnapshotRequest {}).await;
                let answer = answer.doing(|| "make a snapshot".to_owned())?;
                session.out.done(&json!({ "index": answer.index }), &format!("snapshot at index {}", answer.index))
            }
        }
    }
}

fn member(node_id: u64, even_so: bool) -> v1::MemberRequest {
    v1::MemberRequest { node_id, even_so }
}

fn changed(session: &Session, sentence: &str, node_id: u64, answer: &v1::MembershipResponse) -> Result<(), Failure> {
    let document = json!({ "node_id": node_id, "leader_id": answer.leader_id });
    session.out.done(&document, &format!("{sentence}; the leader is node {}", answer.leader_id))
}

async fn status(session: &Session) -> Result<(), Failure> {
    let answer = session.client().await?.cluster().status(v1::StatusRequest {}).await;
    let status = answer.doing(|| "ask for the status".to_owned())?;
    session.out.show(&document(&status), |out| people(out, &status))?;
    if status.leader_id != 0 {
        return Ok(());
    }
    let why = format!("node {} knows of no leader", status.node_id);
    Err(Failure::new(Exit::Unavailable, "the cluster takes no requests", why)
        .next("see whether a majority of the nodes runs and can reach each other"))
}

fn answered_by(status: &v1::StatusResponse) -> String {
    let drained = if status.draining { ", drained" } else { "" };
    format!("node {}, version {}{drained}", status.node_id, status.version)
}

fn people(out: &mut dyn Write, status: &v1::StatusResponse) -> io::Result<()> {
    let leader = if status.leader_id == 0 { "none".to_owned() } else { format!("node {}", status.leader_id) };
    table::facts(
        out,
        [
            ("cluster", hex(&status.cluster_id)),
            ("answered by", answered_by(status)),
            ("leader", format!("{leader}, term {}", status.term)),
            (
                "log",
                format!(
                    "{} appended, {} committed, {} applied",
                    status.last_log_index, status.committed_index, status.applied_index
                ),
            ),
            ("snapshot", format!("at {}", status.snapshot_index)),
            ("journal", format!("record {}, held from {}", status.seq, status.journal_first_seq)),
            ("chain", hex(&status.chain)),
            ("state", hex(&status.state_digest)),
        ],
    )?;
    for damage in &status.damages {
        let stands =
            if damage.failed.is_empty() { "being repaired".to_owned() } else { format!("not repaired: {}", damage.failed) };
        writeln!(out, "damage in its {}, {stands} ({})", damage.part, damage.found)?;
    }
    writeln!(out)?;
    let row = |member: &v1::Member| {
        let role = match (member.leader, member.voter) {
            (true, _) => "leader",
            (false, true) => "voter",
            (false, false) => "learner",
        };
        let lag = member.lag.map(|lag| lag.to_string()).unwrap_or_default();
        let (peer, client) = (member.peer_address.clone(), member.client_address.clone());
        [member.node_id.to_string(), role.to_owned(), member.zone.clone(), lag, client, peer]
    };
    table::rows(out, &["NODE", "ROLE", "ZONE", "LAG", "CLIENTS", "PEERS"], status.members.iter().map(row))
}

fn document(status: &v1::StatusResponse) -> Value {
    let member = |member: &v1::Member| {
        json!({
            "node_id": member.node_id,
            "zone": member.zone,
            "peer_address": member.peer_address,
            "client_address": member.client_address,
            "voter": member.voter,
            "leader": member.leader,
            "lag": member.lag,
        })
    };
    json!({
        "cluster_id": hex(&status.cluster_id),
        "epoch": status.epoch,
        "node_id": status.node_id,
        "leader_id": status.leader_id,
        "term": status.term,
        "last_log_index": status.last_log_index,
        "committed_index": status.committed_index,
        "applied_index": status.applied_index,
        "snapshot_index": status.snapshot_index,
        "seq": status.seq,
        "journal_first_seq": status.journal_first_seq,
        "chain": hex(&status.chain),
        "state_digest": hex(&status.state_digest),
        "version": status.version,
        "draining": status.draining,
        "damages": status.damages.iter().map(|damage| json!({ "part": damage.part, "found": damage.found, "failed": damage.failed })).collect::<Vec<_>>(),
        "members": status.members.iter().map(member).collect::<Vec<_>>(),
    })
}

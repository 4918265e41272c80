//! `holdfast operator`: the seal of every node.

mod init;
mod recover;
mod rekey;
mod root;
mod secrets;
mod unseal;

use std::io::{self, Write};

use clap::{ArgAction, Args, Subcommand};
use proto_client::{Client, v1};
use serde_json::{Value, json};

use crate::{
    commands::confirm,
    exit::{Doing, Exit, Failure},
    journal::hex,
    output::table,
    settings::Session,
};

/// How long one node may take to say where it stands.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(4);

/// The seal.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Make the keys of a new cluster, on one node that has none, and hand the sealed file to the others.
    #[command(after_help = "Examples:
  holdfast operator init --shares 5 --threshold 3
  holdfast operator init --passphrase
  holdfast operator init --kms aws:alias/holdfast
  holdfast operator init --key-file ./seal.key")]
    Init(Seal),
    /// Give a share, a passphrase or a key to every node; asks for it without showing it.
    #[command(after_help = "Examples:
  holdfast operator unseal
  holdfast operator unseal --node https://10.0.0.2:7100
  holdfast operator unseal --key-file ./seal.key
  holdfast operator unseal --reset")]
    Unseal(unseal::Unseal),
    /// Where every node stands; exits 7 when one is sealed or does not answer.
    #[command(after_help = "Examples:\n  holdfast operator status\n  holdfast operator status -o json")]
    Status,
    /// Make a node, or all of them, forget their keys: they serve nothing until they are unsealed.
    #[command(after_help = "Examples:\n  holdfast operator seal --node https://10.0.0.2:7100\n  holdfast operator seal --all")]
    Seal {
        /// The address of the node.
        #[arg(long, required_unless_present = "all")]
        node: Option<String>,
        /// Every node.
        #[arg(long, conflicts_with = "node")]
        all: bool,
    },
    /// Hand the cluster's sealed file to a node that is new.
    #[command(after_help = "Examples:\n  holdfast operator adopt https://10.0.0.4:7100")]
    Adopt {
        /// The address of the new node.
        node: String,
        /// The sealed file, where no other node can be asked for it.
        #[arg(long, value_name = "PATH")]
        file: Option<std::path::PathBuf>,
    },
    /// New shares, another passphrase, another kind of seal. The old one counts until the new one was shown.
    #[command(after_help = "Examples:
  holdfast operator rekey --shares 5 --threshold 3
  holdfast operator rekey --passphrase
  holdfast operator rekey --kms aws:arn:aws:kms:eu-west-1:111122223333:key/1234abcd
  holdfast operator rekey --key-file ./new-seal.key")]
    Rekey(rekey::Rekey),
    /// A new root token, for whoever opens the seal: when the last one is lost or revoked. Alerted, and on the journal.
    #[command(after_help = "Examples:\n  holdfast operator root --out ./root-token\n  holdfast operator root --ttl 10m")]
    Root(root::Root),
    /// After a majority was lost for good: which survivor is furthest, and going on with it alone.
    #[command(after_help = "Examples:
  holdfastd inspect --config node3/holdfast.toml > node3.json
  holdfast operator recover --server-config node2/holdfast.toml --survivor node3.json
  holdfast operator recover --server-config node2/holdfast.toml --survivor node3.json --i-accept-loss

While a majority can be started again, start it: nothing is lost then.")]
    Recover(recover::Recover),
    /// A new root key, which every member gets, and all other keys are wrapped by.
    #[command(after_help = "Examples:\n  holdfast operator rotate\n  holdfast operator rotate --drop-old")]
    Rotate {
        /// Make no new one; forget the older ones that nothing needs any more.
        #[arg(long, action = ArgAction::SetTrue)]
        drop_old: bool,
    },
}

/// What is to hold a seal.
#[derive(Args)]
#[group(required = true, multiple = true)]
pub(crate) struct Seal {
    /// How many shares to make.
    #[arg(long, requires = "threshold", conflicts_with_all = ["passphrase", "key_file", "kms"], value_parser = clap::value_parser!(u32).range(1..=32))]
    pub(crate) shares: Option<u32>,
    /// How many of them unseal.
    #[arg(long, requires = "shares", value_parser = clap::value_parser!(u32).range(1..=32))]
    pub(crate) threshold: Option<u32>,
    /// Ask for a passphrase.
    #[arg(long, conflicts_with_all = ["key_file", "kms"])]
    pub(crate) passphrase: bool,
    /// Make a key file here, for every node's setting seal.key_file.
    #[arg(long, value_name = "PATH", conflicts_with = "kms")]
    pub(crate) key_file: Option<std::path::PathBuf>,
    /// Have AWS KMS keep it, by its key of this id, ARN or alias: every node must be allowed to decrypt with it, and unseals by itself.
    #[arg(long, value_name = "aws:KEY_ID")]
    pub(crate) kms: Option<String>,
}

impl Command {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Command::Init(seal) => init::init(session, seal).await,
            Command::Unseal(unseal) => unseal.run(session).await,
            Command::Status => status(session).await,
            Command::Seal { node, .. } => seal(session, node).await,
            Command::Adopt { node, file } => adopt(session, node, file).await,
            Command::Rekey(rekey) => rekey.run(session).await,
            Command::Root(root) => root.run(session).await,
            Command::Recover(recover) => recover.run(session),
            Command::Rotate { drop_old: false } => rotate(session).await,
            Command::Rotate { drop_old: true } => drop_old(session).await,
        }
    }
}

/// What one node says, or why it says nothing.
type Standing = (String, Result<v1::SealStatusResponse, Failure>);

/// The nodes of the settings, or the one that is named.
async fn nodes(session: &Session, only: Option<&str>) -> Result<Vec<(String, Client)>, Failure> {
    let nodes = session.client().await?.each_node();
    let Some(only) = only else { return Ok(nodes) };
    let known: Vec<String> = nodes.iter().map(|(address, _)| address.clone()).collect();
    let found: Vec<_> =
        nodes.into_iter().filter(|(address, _)| address.trim_end_matches('/') == only.trim_end_matches('/')).collect();
    if found.is_empty() {
        let why = format!("the settings name {}", known.join(", "));
        return Err(Failure::usage(format!("{only} is no node of the settings"), why, "name one of them, or give --addr"));
    }
    Ok(found)
}

async fn standings(nodes: &[(String, Client)]) -> Vec<Standing> {
    let asked = nodes.iter().map(|(address, client)| async move {
        let answer = client.with_timeout(PATIENCE).seal().status(v1::SealStatusRequest {}).await;
        (address.clone(), answer.doing(|| format!("ask {address} where it stands")))
    });
    futures::future::join_all(asked).await
}

async fn status(session: &Session) -> Result<(), Failure> {
    let standings = standings(&nodes(session, None).await?).await;
    show(session, &standings)?;
    let sealed =
        standings.iter().filter(|(_, standing)| !standing.as_ref().is_ok_and(|status| status.phase == "unsealed")).count();
    if sealed == 0 {
        return Ok(());
    }
    let why = format!("{sealed} of {} nodes are not unsealed", standings.len());
    Err(Failure::new(Exit::Unavailable, "not every node serves", why)
        .next("holdfast operator unseal, or operator init on a new cluster"))
}

fn show(session: &Session, standings: &[Standing]) -> Result<(), Failure> {
    let documents: Vec<Value> = standings.iter().map(|(address, standing)| document(address, standing)).collect();
    session.out.show(&json!({ "nodes": documents }), |out| people(out, standings))
}

fn people(out: &mut dyn Write, standings: &[Standing]) -> io::Result<()> {
    let row = |(address, standing): &Standing| match standing {
        Ok(status) => {
            let shares = match (status.shares, status.phase.as_str()) {
                (0, _) => String::new(),
                (shares, "sealed") => format!("{} given, {} of {shares} needed", status.progress, status.threshold),
                (shares, _) => format!("{} of {shares}", status.threshold),
            };
            let roots: Vec<String> = status.root_versions.iter().map(|version| format!("v{version}")).collect();
            let generation = if status.generation == 0 { String::new() } else { status.generation.to_string() };
            let memory = if status.memory_locked { "locked" } else { "not locked" };
            let phase =
                if status.trouble.is_empty() { status.phase.clone() } else { format!("{}: {}", status.phase, status.trouble) };
            let (kind, set) = (status.kind.clone(), status.set_id.clone());
            [
                status.node_id.to_string(),
                address.clone(),
                phase,
                kind,
                shares,
                set,
                generation,
                roots.join(" "),
                memory.to_owned(),
            ]
        }
        Err(failure) => {
            let none = String::new;
            [
                none(),
                address.clone(),
                format!("does not answer: {}", failure.why()),
                none(),
                none(),
                none(),
                none(),
                none(),
                none(),
            ]
        }
    };
    let titles = ["NODE", "ADDRESS", "PHASE", "KIND", "SHARES", "SET", "GENERATION", "ROOT KEYS", "MEMORY"];
    table::rows(out, &titles, standings.iter().map(row))
}

fn document(address: &str, standing: &Result<v1::SealStatusResponse, Failure>) -> Value {
    match standing {
        Ok(status) => json!({
            "address": address,
            "node_id": status.node_id,
            "phase": status.phase,
            "kind": status.kind,
            "shares": status.shares,
            "threshold": status.threshold,
            "progress": status.progress,
            "set_id": status.set_id,
            "generation": status.generation,
            "cluster_id": hex(&status.cluster_id),
            "root_versions": status.root_versions,
            "root_version": status.root_version,
            "memory_locked": status.memory_locked,
            "memory_excluded_from_dumps": status.memory_excluded_from_dumps,
            "trouble": status.trouble,
            "version": status.version,
        }),
        Err(failure) => json!({ "address": address, "phase": "unknown", "trouble": failure.why() }),
    }
}

async fn seal(session: &Session, only: Option<String>) -> Result<(), Failure> {
    let nodes = nodes(session, only.as_deref()).await?;
    let which = only.as_deref().unwrap_or("every node");
    confirm(session, &format!("Seal {which}? It serves nothing until it is unsealed."))?;
    let (mut sealed, mut failed) = (Vec::new(), Vec::new());
    for (address, client) in &nodes {
        // One that fails is no reason to leave the others open.
        match client.seal().seal(v1::SealRequest {}).await.doing(|| format!("seal {address}")) {
            Ok(_) => sealed.push(address.as_str()),
            Err(failure) => failed.push((address.as_str(), failure)),
        }
    }
    let summary = format!("{} of {} nodes forgot their keys", sealed.len(), nodes.len());
    let Some((address, failure)) = failed.into_iter().next() else {
        return session.out.done(&json!({ "sealed": sealed }), &summary);
    };
    Err(Failure::new(failure.exit, format!("{summary}; {address} did not"), failure.why().to_owned())
        .next("holdfast operator status, then holdfast operator seal --node for each that is left"))
}

async fn adopt(session: &Session, node: String, file: Option<std::path::PathBuf>) -> Result<(), Failure> {
    let seal_file = match file {
        Some(path) => {
            let read = std::fs::read(&path).map_err(|error| Failure::io(format!("cannot read {}", path.display()), &error));
            read?.into()
        }
        None => {
            let answer = session.client().await?.keys().seal_file(v1::SealFileRequest {}).await;
            answer.doing(|| "ask for the seal file".to_owned())?.seal_file
        }
    };
    let new = session.client_of(std::slice::from_ref(&node)).await?;
    let answer = new.seal().adopt(v1::AdoptRequest { seal_file }).await.doing(|| format!("hand the seal file to {node}"))?;
    session.out.done(
        &json!({ "node": node, "generation": answer.generation, "phase": answer.phase }),
        &format!("{node} has generation {} of the seal file and is {}: unseal it", answer.generation, answer.phase),
    )
}

async fn rotate(session: &Session) -> Result<(), Failure> {
    let answer = session.client().await?.keys().rotate_root(v1::RotateRootRequest {}).await;
    let answer = answer.doing(|| "rotate the root key".to_owned())?;
    let document = json!({ "version": answer.version, "index": answer.index });
    session.out.done(&document, &format!("the root key is at v{} on every node", answer.version))
}

async fn drop_old(session: &Session) -> Result<(), Failure> {
    let answer = session.client().await?.keys().drop_roots(v1::DropRootsRequest {}).await;
    let answer = answer.doing(|| "drop older root keys".to_owned())?;
    let dropped: Vec<String> = answer.dropped.iter().map(|version| format!("v{version}")).collect();
    let words = match (dropped.is_empty(), answer.kept.is_empty()) {
        (true, true) => "there is no older root key".to_owned(),
        (true, false) => format!("nothing was dropped; {}", answer.kept.join("; ")),
        (false, true) => format!("dropped {}", dropped.join(", ")),
        (false, false) => format!("dropped {}; {}", dropped.join(", "), answer.kept.join("; ")),
    };
    session.out.done(&json!({ "dropped": answer.dropped, "kept": answer.kept }), &words)
}

//! `holdfast cluster invite`: a new node's files are wrapped, the cluster is told of it, and the ticket shown once.

use std::{
    io::Write,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use clap::Args;
use proto_client::{Client, v1};
use serde::Deserialize;
use serde_json::json;
use tonic::Code;
use zeroize::Zeroizing;

use crate::{
    commands::{token::new_private_file, unwrap},
    exit::{Doing, Exit, Failure},
    node_files::{NodeFiles, SETTINGS},
    output::{Format, time},
    settings::Session,
    ticket::Ticket,
};

const EXAMPLES: &str = "\
Examples:
  holdfast cluster invite kit/node4
  holdfast cluster invite kit/node4 --ttl 15m --out node4.ticket

`holdfastd kit --out kit --add --node id=4,…` makes the directory. Its files wait in the cluster, sealed, and the ticket hands them over
once: `holdfast cluster join` on the node's machine. Whoever has the ticket gets the node's keys. Where it was lost or has ended, invite again.";

/// Hand a new node its files by a ticket that opens once, and add it as a learner.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Invite {
    /// The node's directory in the kit.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// How long the ticket waits, a week at most.
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = time::parse_bound_ms)]
    ttl: u64,
    /// Write the ticket to this new file, which nobody else may read, instead of showing it.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Invite {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let home = self.directory.display();
        let unfit = |why: String| {
            let next = "`holdfastd kit --out kit --add --node id=…` makes a new node's directory";
            Failure::usage(format!("cannot invite the node in {home}"), why, next)
        };
        let files = NodeFiles::read(&self.directory).map_err(unfit)?;
        let guest = guest(files.file(SETTINGS).unwrap_or_default()).map_err(unfit)?;
        let authority = session.authority()?.and_then(|pem| String::from_utf8(pem).ok());
        let authority = authority.ok_or_else(|| {
            Failure::usage("cannot make a ticket", "no authority is named that it could trust", "give --ca-file FILE")
        })?;
        let client = session.client().await?;
        let members = members(&client).await?;
        let is_there = is_there(&guest, &members)?;
        // The place is taken before there is a ticket: it is shown once, and must not be lost to a wrong path.
        let mut out = self.out.as_deref().map(new_private_file).transpose()?;
        let made = wrap_and_add(&client, &files, &guest, (self.ttl, is_there)).await;
        let wrapped = made.inspect_err(|_| self.out.iter().for_each(|path| drop(std::fs::remove_file(path))))?;
        let ticket = Ticket {
            addresses: addresses(&members, &session.addresses),
            server_name: session.server_name.clone(),
            authority,
            token: Zeroizing::new(wrapped.token.clone()),
        };
        let text = ticket.text();
        if let Some((file, path)) = out.as_mut().zip(self.out.as_deref()) {
            let written = writeln!(file, "{}", text.as_str()).and_then(|()| file.sync_all());
            written.map_err(|error| {
                drop(std::fs::remove_file(path));
                Failure::io(format!("cannot write {}", path.display()), &error).next("nobody has the ticket: invite again")
            })?;
        }
        self.show(session, &guest, &wrapped, &text)?;
        self.advise(session, guest.node_id, is_there);
        Ok(())
    }

    fn show(
        &self,
        session: &Session,
        guest: &v1::AddLearnerRequest,
        wrapped: &v1::WrapToken,
        text: &Zeroizing<String>,
    ) -> Result<(), Failure> {
        let mut shown = unwrap::document(wrapped);
        shown["node_id"] = json!(guest.node_id);
        if let Some(path) = &self.out {
            let until = time::local(wrapped.expires_at_ms);
            let sentence = format!("the ticket of node {} is in {}; it opens once, until {until}", guest.node_id, path.display());
            return session.out.done(&shown, &sentence);
        }
        if session.out.format() == Format::Raw {
            return session.out.text(text);
        }
        shown["ticket"] = json!(text.as_str());
        session.out.show(&shown, |out| writeln!(out, "{}", text.as_str()))
    }

    fn advise(&self, session: &Session, id: u64, is_there: bool) {
        let out = &session.out;
        let home = self.directory.display();
        if is_there {
            let earlier = "an earlier ticket opens until its time is up, and nothing may run that came by it";
            out.note(&format!("node {id} is a learner already: {earlier}"));
        }
        let ticket = self.out.as_deref().map_or(Path::new("FILE"), |path| path).display();
        out.note(&format!("on the machine of node {id}: holdfast cluster join --ticket @{ticket} --out DIR"));
        out.note(&format!("when it has caught up: holdfast cluster promote {id}, or replace OLD --by {id}"));
        out.note(&format!("delete {home} once it is up: a node that lost its data must not come back under its number"));
    }
}

/// Wraps first: what was wrapped and handed to nobody ends by itself, a learner without a ticket would wait for good.
async fn wrap_and_add(
    client: &Client,
    files: &NodeFiles,
    guest: &v1::AddLearnerRequest,
    (ttl_ms, is_there): (u64, bool),
) -> Result<v1::WrapToken, Failure> {
    let id = guest.node_id;
    let request = v1::WrapRequest { about: format!("files of node {id}"), contents: Bytes::from_owner(files.pack()), ttl_ms };
    let wrapped = client.wrapping().wrap(request).await.doing(|| format!("wrap the files of node {id}"))?;
    if is_there {
        return Ok(wrapped);
    }
    match client.cluster().add_learner(guest.clone()).await {
        Ok(_) => Ok(wrapped),
        // It was added by a try whose answer was lost, or by somebody else at the same time.
        Err(error) if error.code == Code::AlreadyExists && is_there_now(client, guest).await? => Ok(wrapped),
        Err(error) => {
            let next = "nobody has the ticket, and what was wrapped ends by itself: mend that and invite again; a learner that is there \
                        already is no hindrance";
            Err(Failure::of_call(&format!("add node {id}"), &error).next(next))
        }
    }
}

async fn is_there_now(client: &Client, guest: &v1::AddLearnerRequest) -> Result<bool, Failure> {
    is_there(guest, &members(client).await?)
}

async fn members(client: &Client) -> Result<Vec<v1::Member>, Failure> {
    let status = client.cluster().status(v1::StatusRequest {}).await;
    Ok(status.doing(|| "ask who is a member".to_owned())?.members)
}

/// Whether the guest is a learner already, as its settings say.
///
/// # Errors
/// When it votes, or is a learner elsewhere.
fn is_there(guest: &v1::AddLearnerRequest, members: &[v1::Member]) -> Result<bool, Failure> {
    let id = guest.node_id;
    let Some(member) = members.iter().find(|member| member.node_id == id) else { return Ok(false) };
    let refused =
        |why: String, next: String| Err(Failure::new(Exit::Conflict, format!("cannot invite node {id}"), why).next(next));
    if member.voter {
        let why = format!("node {id} votes: it has its files, and a node that lost its data does not come back under its number");
        return refused(why, "holdfastd kit --add with a number that no node ever had, and invite that one".into());
    }
    let known = (&member.zone, &member.client_address, &member.peer_address);
    let says = (&guest.zone, &guest.client_address, &guest.peer_address);
    if known == says {
        return Ok(true);
    }
    let words =
        |(zone, client, peer): (&String, &String, &String)| format!("zone {zone:?}, clients at {client}, nodes at {peer}");
    let why = format!("it is a learner already, with {}; its settings say {}", words(known), words(says));
    refused(why, format!("mend {SETTINGS}, or `holdfast cluster remove {id}` and invite another number"))
}

/// Where the new node asks for its files: at those who vote, then where this machine reaches them.
fn addresses(members: &[v1::Member], own: &[String]) -> Vec<String> {
    let mut addresses: Vec<String> =
        members.iter().filter(|member| member.voter).map(|member| format!("https://{}", member.client_address)).collect();
    for address in own.iter().filter(|address| address.starts_with("https://")) {
        if !addresses.contains(address) {
            addresses.push(address.clone());
        }
    }
    addresses
}

/// What is read of a node's settings; the server knows the others.
#[derive(Deserialize)]
struct Settings {
    node: Numbered,
    listen: Addresses,
    #[serde(default)]
    advertise: Addresses,
}

#[derive(Deserialize)]
struct Numbered {
    id: u64,
    #[serde(default)]
    zone: String,
}

#[derive(Default, Deserialize)]
struct Addresses {
    client: Option<String>,
    peer: Option<String>,
}

/// How the cluster is told of the node with these settings.
fn guest(settings: &[u8]) -> Result<v1::AddLearnerRequest, String> {
    let text = std::str::from_utf8(settings).map_err(|_| format!("{SETTINGS} is not text"))?;
    let Settings { node, listen, advertise } =
        toml::from_str(text).map_err(|error| format!("{SETTINGS}: {}", error.message()))?;
    let address = |name: &str, told: Option<String>, heard: Option<String>| {
        let address = told.or(heard).ok_or_else(|| format!("{SETTINGS} does not say listen.{name}"))?;
        if address.parse::<SocketAddr>().is_ok_and(|address| address.ip().is_unspecified()) {
            return Err(format!("nobody reaches it at {address}: say advertise.{name} in {SETTINGS}"));
        }
        Ok(address)
    };
    Ok(v1::AddLearnerRequest {
        node_id: node.id,
        zone: node.zone,
        client_address: address("client", advertise.client, listen.client)?,
        peer_address: address("peer", advertise.peer, listen.peer)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str =
        "[node]\nid = 4\nzone = 'b'\ndata = 'data'\n[listen]\nclient = '10.0.0.4:1'\npeer = '10.0.0.4:2'\n[tls]\nca = 'x'\n";

    fn member(of: &v1::AddLearnerRequest, voter: bool) -> v1::Member {
        let (client_address, peer_address) = (of.client_address.clone(), of.peer_address.clone());
        v1::Member { node_id: of.node_id, zone: of.zone.clone(), client_address, peer_address, voter, ..Default::default() }
    }

    #[test]
    fn the_cluster_is_told_what_the_settings_say() {
        let plain = guest(PLAIN.as_bytes()).unwrap();
        assert_eq!((plain.node_id, plain.zone.as_str()), (4, "b"));
        assert_eq!((plain.client_address.as_str(), plain.peer_address.as_str()), ("10.0.0.4:1", "10.0.0.4:2"));
        let told = format!("{PLAIN}[advertise]\nclient = 'four.example.org:1'\n");
        let told = guest(told.as_bytes()).unwrap();
        assert_eq!((told.client_address.as_str(), told.peer_address.as_str()), ("four.example.org:1", "10.0.0.4:2"));
    }

    #[test]
    fn settings_that_lead_nowhere_are_refused() {
        let everywhere = PLAIN.replace("10.0.0.4:2", "0.0.0.0:2");
        assert_eq!(
            guest(everywhere.as_bytes()).unwrap_err(),
            "nobody reaches it at 0.0.0.0:2: say advertise.peer in holdfast.toml"
        );
        assert!(guest(&[0xff]).is_err() && guest(b"[node]").is_err());
    }

    #[test]
    fn a_learner_may_be_invited_again_and_a_voter_not() {
        let new = guest(PLAIN.as_bytes()).unwrap();
        assert!(!is_there(&new, &[]).unwrap());
        assert!(is_there(&new, &[member(&new, false)]).unwrap());
        assert!(is_there(&new, &[member(&new, true)]).unwrap_err().why().contains("votes"));
        let elsewhere = v1::Member { peer_address: "10.0.0.5:2".into(), ..member(&new, false) };
        let refused = is_there(&new, &[elsewhere]).unwrap_err();
        assert!(refused.why().contains("10.0.0.4:2") && refused.why().contains("10.0.0.5:2"), "{refused}");
    }

    #[test]
    fn the_new_node_asks_voters_first_and_each_address_once() {
        let new = guest(PLAIN.as_bytes()).unwrap();
        let voter = v1::Member { node_id: 1, client_address: "10.0.0.1:1".into(), ..member(&new, true) };
        let own = ["https://127.0.0.1:1".to_owned(), "https://10.0.0.1:1".to_owned(), "http://127.0.0.1:2".to_owned()];
        assert_eq!(addresses(&[voter, member(&new, false)], &own), ["https://10.0.0.1:1", "https://127.0.0.1:1"]);
    }
}

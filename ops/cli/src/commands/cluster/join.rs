//! `holdfast cluster join`: a new node's files arrive on its machine, once.

use std::path::{Path, PathBuf};

use clap::Args;
use proto_client::{
    Client, ClientConfig, ClientError,
    v1::{self, unwrap_response::Contents},
};
use serde_json::json;
use tonic::Code;
use zeroize::Zeroizing;

use crate::{
    exit::{Exit, Failure},
    input,
    node_files::{self, NodeFiles, SEAL},
    settings::Session,
    ticket::Ticket,
};

const EXAMPLES: &str = "\
Examples:
  holdfast cluster join --ticket @node4.ticket --out /var/lib/holdfast/node4
  holdfast cluster join --ticket ? --out node4

The ticket says where the cluster is and whom to trust: no token is needed, and connection settings do not count. It opens once.";

/// Take the files of a new node by its ticket, on its machine. No token and no settings are needed.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Join {
    /// Where the ticket is: @FILE, - for standard input, or ? to be asked.
    #[arg(long, value_name = "FROM")]
    ticket: String,
    /// The node's directory; it must not exist, or be empty.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

impl Join {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let ticket = self.ticket()?;
        let client = client_of(&ticket, session).await?;
        let home = self.out.as_path();
        let no_room = |error| Failure::io(format!("cannot make a node's directory in {}", home.display()), &error);
        let is_new = node_files::make_room(home)
            .map_err(no_room)
            .map_err(|failure| failure.next("the ticket was not used: name a directory that is empty or does not exist"))?;
        let opened = open(&client, &ticket).await.inspect_err(|_| node_files::give_back(home, is_new))?;
        // The ticket is used up now.
        let written = NodeFiles::parse(&opened).and_then(|files| {
            files.write(home).map_err(|error| error.to_string())?;
            Ok(files)
        });
        let files = written.map_err(|why| {
            let next = format!("the ticket is used up: empty {}, and have the node invited again", home.display());
            Failure::new(Exit::Unexpected, format!("cannot write the node's files to {}", home.display()), why).next(next)
        })?;
        tell(session, home, files.file(SEAL).is_some())
    }

    fn ticket(&self) -> Result<Ticket, Failure> {
        let text = input::line_from(&self.ticket, "ticket")?.ok_or_else(|| {
            let why = "every process of this machine can see it there, and the shell keeps it";
            Failure::usage("a ticket was given on the command line", why, "give @FILE, - or ?, and have the node invited again")
        })?;
        let next = "`holdfast cluster invite` makes a ticket: one line of text";
        Ticket::parse(&text).map_err(|why| Failure::usage("cannot use the ticket", why, next))
    }
}

/// A client that trusts the ticket's authority alone, and has no token.
async fn client_of(ticket: &Ticket, session: &Session) -> Result<Client, Failure> {
    let mut config = ClientConfig::new(ticket.addresses.iter().cloned());
    config.ca_pem = Some(ticket.authority.clone().into_bytes());
    config.server_name.clone_from(&ticket.server_name);
    config.timeout = session.timeout;
    Ok(Client::connect(config).await?)
}

/// Looks first: that nobody answers, or nobody who is trusted, shows before the ticket is used up.
async fn open(client: &Client, ticket: &Ticket) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let request = || v1::UnwrapRequest { token: ticket.token.to_string() };
    client.wrapping().lookup(request()).await.map_err(|error| unused(&error))?;
    let opened = client.wrapping().unwrap(request()).await.map_err(|error| refused(&error))?;
    match opened.contents {
        Some(Contents::Given(package)) => Ok(Zeroizing::new(package.to_vec())),
        _ => Err(refused_with("what the ticket opened are not the files of a node".into())),
    }
}

fn unused(error: &ClientError) -> Failure {
    if matches!(error.code, Code::Unauthenticated | Code::PermissionDenied) {
        return refused(error);
    }
    let next = "the ticket was not used: see that this machine reaches the cluster, and that the ticket is from it";
    Failure::of_call("reach the cluster of the ticket", error).next(next)
}

/// The ticket does not open, or not again.
fn refused(error: &ClientError) -> Failure {
    Failure::of_call("use the ticket", error).next(LOOK)
}

fn refused_with(why: String) -> Failure {
    Failure::new(Exit::Unexpected, "cannot use the ticket", why).next(LOOK)
}

/// What to do about a ticket that does not open.
const LOOK: &str = "have the journal looked at (`holdfast audit query --operation wrap.unwrap`) and be invited again; where somebody else opened \
                    it, he has the node's keys: the number is removed, the seal rekeyed";

fn tell(session: &Session, home: &Path, has_seal: bool) -> Result<(), Failure> {
    let start = format!("holdfastd server --config {}/holdfast.toml", home.display());
    session.out.done(&json!({ "directory": home, "start": start }), &start)?;
    session.out.note(&format!("the node's files are in {}, readable by whoever ran this: start the node as him", home.display()));
    if !has_seal {
        session.out.note("it has no keys yet: when it runs, holdfast operator adopt https://ITS-ADDRESS, then unseal it");
    }
    Ok(())
}

//! One file for each noun: its arguments, and what it does with them.

pub(crate) mod alert;
pub(crate) mod audit;
pub(crate) mod cert_role;
pub(crate) mod cluster;
pub(crate) mod drill;
pub(crate) mod environment;
pub(crate) mod export;
pub(crate) mod grants;
pub(crate) mod import;
pub(crate) mod issuer;
pub(crate) mod key;
pub(crate) mod login;
pub(crate) mod machine;
pub(crate) mod operator;
pub(crate) mod policy;
pub(crate) mod program;
pub(crate) mod promote;
pub(crate) mod role;
pub(crate) mod rule;
pub(crate) mod secret;
pub(crate) mod snapshot;
pub(crate) mod token;
pub(crate) mod unwrap;
pub(crate) mod user;
pub(crate) mod watch;
pub(crate) mod wrap;

use std::io::{self, BufRead, IsTerminal};

use proto_client::{Client, v1};

use crate::{
    exit::{Doing, Failure},
    output,
    settings::Session,
};

/// Asks before what cannot be undone.
fn confirm(session: &Session, question: &str) -> Result<(), Failure> {
    if session.yes {
        return Ok(());
    }
    let refused = |why: &str| Failure::usage("nothing was done", why, "give --yes to do it without being asked");
    if !io::stdin().is_terminal() {
        return Err(refused("this cannot be undone, and there is no terminal to ask on"));
    }
    output::to_stderr(&format!("{question} Type yes to go on:"));
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    if answer.trim() == "yes" { Ok(()) } else { Err(refused("the answer was not yes")) }
}

/// The most entries that one page may hold.
const PAGE_ENTRIES_MAX: u32 = 10_000;

/// Every secret below a prefix, page by page.
async fn secrets_below(client: &Client, environment: &str, prefix: &str) -> Result<Vec<v1::SecretSummary>, Failure> {
    let mut request = v1::ListRequest {
        environment: environment.to_owned(),
        prefix: prefix.to_owned(),
        recursive: true,
        limit: PAGE_ENTRIES_MAX,
        ..Default::default()
    };
    let mut found = Vec::new();
    loop {
        let page = client.secrets().list(request.clone()).await.doing(|| format!("list the secrets of {environment}"))?;
        found.extend(page.entries.into_iter().filter_map(|entry| entry.secret));
        if page.next_cursor.is_empty() {
            return Ok(found);
        }
        request.cursor = page.next_cursor;
    }
}

/// A prefix names a folder: `app` means `app/`.
fn folder(prefix: &str) -> String {
    if prefix.is_empty() || prefix.ends_with('/') { prefix.to_owned() } else { format!("{prefix}/") }
}

//! `holdfast secret list`, `search` and `history`: what is there, without values.

use clap::Args;
use proto_client::v1;
use serde_json::json;

use super::{metadata, state, summary_document, version_document};
use crate::{
    commands::{PAGE_ENTRIES_MAX, folder},
    exit::{Doing, Failure},
    output::{table, time},
    settings::Session,
};

/// Lists secrets.
#[derive(Args)]
#[command(after_help = "Examples:
  holdfast secret list
  holdfast secret list db/ -r
  holdfast secret list -r --deleted -o json")]
pub(crate) struct List {
    /// A folder such as db/; everything when left out.
    #[arg(default_value = "", hide_default_value = true)]
    prefix: String,
    /// All depths, not one level with its folders.
    #[arg(short, long)]
    recursive: bool,
    /// Hidden secrets as well.
    #[arg(long)]
    deleted: bool,
    /// At most this many.
    #[arg(long, value_name = "COUNT")]
    limit: Option<usize>,
}

impl List {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let client = session.client().await?;
        let mut request = v1::ListRequest {
            environment: session.environment()?,
            prefix: folder(&self.prefix),
            recursive: self.recursive,
            limit: page(self.limit),
            cursor: String::new(),
            include_deleted: self.deleted,
        };
        let mut found = Pages::new(self.limit);
        loop {
            let answer =
                client.secrets().list(request.clone()).await.doing(|| format!("list the secrets of {}", request.environment))?;
            let Some(cursor) = found.add(answer) else { return found.show(session) };
            request.cursor = cursor;
        }
    }
}

/// Finds secrets; all that is given must fit.
#[derive(Args)]
#[command(after_help = "Examples:
  holdfast secret search --tag billing --owner team-a
  holdfast secret search db/ --type password --custom ticket=OPS-7")]
pub(crate) struct Search {
    /// Below this folder.
    #[arg(default_value = "", hide_default_value = true)]
    prefix: String,
    /// Has each of these tags.
    #[arg(long = "tag", value_name = "TAG", value_delimiter = ',')]
    tags: Vec<String>,
    /// Has each of these custom entries.
    #[arg(long = "custom", value_name = "NAME=TEXT", value_parser = metadata::pair)]
    custom: Vec<(String, String)>,
    /// Has this owner.
    #[arg(long, default_value = "", hide_default_value = true)]
    owner: String,
    /// Has this type.
    #[arg(long = "type", value_name = "TYPE", default_value = "", hide_default_value = true)]
    kind: String,
    /// At most this many.
    #[arg(long, value_name = "COUNT")]
    limit: Option<usize>,
}

impl Search {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let client = session.client().await?;
        let mut request = v1::SearchRequest {
            environment: session.environment()?,
            prefix: folder(&self.prefix),
            tags: self.tags,
            custom: self.custom.into_iter().collect(),
            owner: self.owner,
            r#type: self.kind,
            limit: page(self.limit),
            cursor: String::new(),
        };
        let mut found = Pages::new(self.limit);
        loop {
            let answer = client.secrets().search(request.clone()).await.doing(|| format!("search {}", request.environment))?;
            let Some(cursor) = found.add(answer) else { return found.show(session) };
            request.cursor = cursor;
        }
    }
}

fn page(limit: Option<usize>) -> u32 {
    limit.and_then(|limit| u32::try_from(limit).ok()).map_or(PAGE_ENTRIES_MAX, |limit| limit.clamp(1, PAGE_ENTRIES_MAX))
}

/// Entries of all pages so far.
struct Pages {
    entries: Vec<v1::ListEntry>,
    limit: usize,
    index: u64,
}

impl Pages {
    fn new(limit: Option<usize>) -> Pages {
        Pages { entries: Vec::new(), limit: limit.unwrap_or(usize::MAX), index: 0 }
    }

    /// Keeps a page; gives the cursor of the next where one is wanted.
    fn add(&mut self, page: v1::ListResponse) -> Option<String> {
        self.entries.extend(page.entries);
        self.index = page.index;
        let wanted = self.entries.len() < self.limit && !page.next_cursor.is_empty();
        self.entries.truncate(self.limit);
        wanted.then_some(page.next_cursor)
    }

    fn show(self, session: &Session) -> Result<(), Failure> {
        let document = |entry: &v1::ListEntry| match &entry.secret {
            Some(secret) => summary_document(secret),
            None => json!({ "folder": entry.path }),
        };
        let documents: Vec<_> = self.entries.iter().map(document).collect();
        session.out.show(&json!({ "entries": documents, "index": self.index }), |out| {
            let titles = ["PATH", "VERSION", "TYPE", "OWNER", "TAGS", "UPDATED"];
            table::rows(out, &titles, self.entries.iter().map(row))
        })
    }
}

fn row(entry: &v1::ListEntry) -> Vec<String> {
    let Some(secret) = &entry.secret else { return vec![entry.path.clone()] };
    let version = if secret.deleted { "deleted".to_owned() } else { format!("v{}", secret.newest_version) };
    let tags = secret.tags.join(",");
    vec![entry.path.clone(), version, secret.r#type.clone(), secret.owner.clone(), tags, time::local(secret.updated_at_ms)]
}

/// Shows versions.
#[derive(Args)]
#[command(after_help = "Examples:\n  holdfast secret history db/password\n  holdfast secret history db/password -o json")]
pub(crate) struct History {
    /// Where the secret is.
    path: String,
}

impl History {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let request = v1::HistoryRequest { environment: session.environment()?, path: self.path.clone() };
        let answer = session.client().await?.secrets().history(request).await;
        let answer = answer.doing(|| format!("read the history of {}", self.path))?;
        let versions: Vec<_> = answer.versions.iter().map(version_document).collect();
        let secret = answer.secret.as_ref().map(summary_document);
        session.out.show(&json!({ "secret": secret, "versions": versions, "index": answer.index }), |out| {
            let row = |version: &v1::Version| {
                [
                    format!("v{}", version.version),
                    state(version).to_owned(),
                    time::local(version.created_at_ms),
                    version.created_by.clone(),
                    time::local(version.expires_at_ms),
                    version.size_bytes.to_string(),
                    version.index.to_string(),
                ]
            };
            let titles = ["VERSION", "STATE", "CREATED", "BY", "EXPIRES", "BYTES", "RECORD"];
            table::rows(out, &titles, answer.versions.iter().map(row))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page_of(count: usize, cursor: &str) -> v1::ListResponse {
        v1::ListResponse { entries: vec![v1::ListEntry::default(); count], next_cursor: cursor.into(), index: 1 }
    }

    #[test]
    fn pages_are_asked_for_until_there_is_enough() {
        let mut all = Pages::new(None);
        assert_eq!(all.add(page_of(2, "c")).as_deref(), Some("c"));
        assert_eq!(all.add(page_of(2, "")), None);
        assert_eq!(all.entries.len(), 4);
        let mut some = Pages::new(Some(3));
        assert_eq!(some.add(page_of(2, "c")).as_deref(), Some("c"));
        assert_eq!(some.add(page_of(2, "d")), None);
        assert_eq!(some.entries.len(), 3);
    }
}

//! Pages of secrets from a view: one level, all levels, or those that match a search.

use crate::api::convert;
use node_domain::secret::Secret;
use node_domain::state::Environment;
use node_domain::{Rejection, limits};
use proto::v1;

/// Whether a search asks for no more than a secret can have.
pub(crate) fn check(search: &v1::SearchRequest) -> Result<(), Rejection> {
    let (tags, entries) = (limits::TAGS_MAX, limits::CUSTOM_ENTRIES_MAX);
    if search.tags.len() > tags || search.custom.len() > entries {
        return Err(Rejection::invalid(format!("a search names at most {tags} tags and {entries} entries of custom metadata")));
    }
    Ok(())
}

/// One page, and the cursor of the next one (empty on the last).
pub(crate) struct Page {
    pub(crate) entries: Vec<v1::ListEntry>,
    pub(crate) next_cursor: String,
}

/// How many entries a page holds when `asked`.
pub(crate) fn page_size(asked: u32) -> usize {
    match asked as usize {
        0 => limits::PAGE_ENTRIES_DEFAULT,
        asked => asked.min(limits::PAGE_ENTRIES_MAX),
    }
}

/// All secrets under `prefix` that `fits`, at any depth.
pub(crate) fn deep(home: &Environment, prefix: &str, cursor: &str, size: usize, fits: impl Fn(&Secret) -> bool) -> Page {
    let mut matching = home.under(prefix, cursor).filter(|secret| fits(secret)).peekable();
    let mut entries = Vec::new();
    while entries.len() < size {
        let Some(secret) = matching.next() else { break };
        entries.push(entry(secret));
    }
    let more = matching.peek().is_some();
    page(entries, more)
}

/// The secrets and folders directly under the folder that `prefix` names.
pub(crate) fn shallow(home: &Environment, prefix: &str, cursor: &str, size: usize, fits: impl Fn(&Secret) -> bool) -> Page {
    let mut entries: Vec<v1::ListEntry> = Vec::new();
    let mut cursor = cursor.to_owned();
    loop {
        // After a folder the search goes on behind everything in it: its cursor is the folder with the last character of all.
        let behind = after(&cursor);
        let Some(secret) = home.under(prefix, &behind).find(|secret| fits(secret)) else { return page(entries, false) };
        if entries.len() == size {
            return page(entries, true);
        }
        let path = secret.path.as_str();
        let rest = &path[prefix.len()..];
        let entry = match rest.find('/') {
            Some(end) => v1::ListEntry { path: path[..=prefix.len() + end].to_owned(), secret: None },
            None => entry(secret),
        };
        cursor.clone_from(&entry.path);
        entries.push(entry);
    }
}

/// Where to go on after an entry: behind a secret, or behind all that is in a folder.
fn after(cursor: &str) -> String {
    if cursor.ends_with('/') { format!("{cursor}\u{10FFFF}") } else { cursor.to_owned() }
}

fn entry(secret: &Secret) -> v1::ListEntry {
    v1::ListEntry { path: secret.path.to_string(), secret: Some(convert::show_secret(secret)) }
}

fn page(entries: Vec<v1::ListEntry>, more: bool) -> Page {
    let next_cursor = entries.last().filter(|_| more).map(|entry| entry.path.clone()).unwrap_or_default();
    Page { entries, next_cursor }
}

/// Whether a secret is what a search asks for.
pub(crate) fn matches(search: &v1::SearchRequest, secret: &Secret) -> bool {
    let about = &secret.about;
    search.tags.iter().all(|tag| about.tags.contains(tag))
        && search.custom.iter().all(|(key, value)| about.custom.get(key) == Some(value))
        && (search.owner.is_empty() || about.owner == search.owner)
        && (search.r#type.is_empty() || about.kind.word() == search.r#type)
        && secret.live().is_some()
}

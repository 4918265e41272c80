//! What a set says of one of its files: a line of JSON, and a line with its signature.

use serde::{Deserialize, Serialize};
use storage::snapshot::{Checked, Contents};
use storage_crypto::{PublicKey, Signer, hex, signing::SIGNATURE_BYTES};

/// What stands behind a file's name in the name of its entry.
pub const ENTRY_EXTENSION: &str = "entry";
/// The newest format of entries that this release reads and writes.
const FORMAT: u32 = 1;
/// An entry is a few hundred bytes.
pub(crate) const ENTRY_BYTES_MAX: u64 = 64 * 1024;
const SIGNED_CONTEXT: &[u8] = b"holdfast/v1/backup entry\n";

/// One file of a backup set. Bytes stand in it as hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Format of the entry.
    pub format: u32,
    /// Name of the file in the set.
    pub file: String,
    /// Its bytes.
    pub bytes: u64,
    /// BLAKE3 of the file before its signature.
    pub digest: String,
    /// The cluster.
    pub cluster: String,
    /// Counts restores.
    pub epoch: u32,
    /// A whole state or an increment.
    pub kind: EntryKind,
    /// For an increment: the newest record of the state that it starts from; 0 else.
    pub after_revision: u64,
    /// The journal's chain at it; empty else.
    pub after_chain: String,
    /// The newest record of the state that it leads to.
    pub revision: u64,
    /// Stamp of that record, microseconds since 1970.
    pub stamp_us: u64,
    /// The journal's chain at it.
    pub chain: String,
    /// Digest of the state.
    pub state_digest: String,
    /// Index of the log at that state: where the next increment goes on.
    pub log_index: u64,
    /// Secrets in the state.
    pub secrets: u64,
    /// When it was made, milliseconds since 1970.
    pub created_ms: u64,
    /// Which version of the root key opens it.
    pub key_version: u32,
    /// Whose signature this and the file bear.
    pub signer: String,
}

/// What a file of a set holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EntryKind {
    /// A whole state.
    Full,
    /// What happened after another one.
    Increment,
}

impl EntryKind {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            EntryKind::Full => "full",
            EntryKind::Increment => "increment",
        }
    }
}

/// Why an entry is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// It does not read.
    #[error("the entry does not read: {0}")]
    Malformed(String),
    /// A release that does not exist yet for this one.
    #[error("the entry was written by a newer holdfast (format {0}, this one reads up to {FORMAT})")]
    Newer(u32),
    /// It was changed since it was signed.
    #[error("the signature of the entry is wrong")]
    Signature,
}

/// The name of a file: names sort by where they lead to.
#[must_use]
pub fn file_name(checked: &Checked) -> String {
    let header = &checked.header;
    let word = EntryKind::of(&header.contents).word();
    format!("{:06}-{:020}-{}.{word}", header.epoch, header.at.revision, hex::encode(&checked.digest[..4]))
}

impl EntryKind {
    fn of(contents: &Contents) -> EntryKind {
        match contents {
            Contents::Full => EntryKind::Full,
            Contents::Increment { .. } => EntryKind::Increment,
        }
    }
}

impl Entry {
    /// The entry of a file that was checked; `log_index` is where the log stood at the state that it leads to.
    #[must_use]
    pub fn of(checked: &Checked, log_index: u64) -> Entry {
        let header = &checked.header;
        let (after_revision, after_chain) = match &header.contents {
            Contents::Full => (0, String::new()),
            Contents::Increment { revision, chain } => (*revision, hex::encode(chain)),
        };
        Entry {
            format: FORMAT,
            file: file_name(checked),
            bytes: checked.bytes,
            digest: hex::encode(&checked.digest),
            cluster: hex::encode(&header.cluster),
            epoch: header.epoch,
            kind: EntryKind::of(&header.contents),
            after_revision,
            after_chain,
            revision: header.at.revision,
            stamp_us: header.at.stamp_us,
            chain: hex::encode(&header.at.chain),
            state_digest: hex::encode(&header.at.digest),
            log_index,
            secrets: header.secrets,
            created_ms: header.created_ms,
            key_version: header.key_version,
            signer: checked.signer.to_string(),
        }
    }

    /// The name of the entry beside its file.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}.{ENTRY_EXTENSION}", self.file)
    }

    /// The entry as it lies in the set.
    #[must_use]
    pub fn sign(&self, signer: &Signer) -> Vec<u8> {
        let json = serde_json::to_vec(self).expect("texts and numbers always serialize");
        let signature = signer.sign(&[SIGNED_CONTEXT, &json].concat());
        [&json[..], b"\n", hex::encode(&signature).as_bytes(), b"\n"].concat()
    }

    /// Reads an entry and checks its signature by the key that it names: what is known of that key, the caller has to ask.
    ///
    /// # Errors
    /// When it does not read, or was changed.
    pub fn parse(bytes: &[u8]) -> Result<Entry, EntryError> {
        let malformed = |why: &str| EntryError::Malformed(why.to_owned());
        let text = str::from_utf8(bytes).map_err(|_| malformed("it is not text"))?;
        let text = text.strip_suffix('\n').ok_or_else(|| malformed("it is cut short"))?;
        let (json, signature) = text.split_once('\n').ok_or_else(|| malformed("it has no signature"))?;
        let any: serde_json::Value = serde_json::from_str(json).map_err(|error| malformed(&error.to_string()))?;
        if let Some(format) = any.get("format").and_then(serde_json::Value::as_u64).filter(|format| *format > FORMAT.into()) {
            return Err(EntryError::Newer(u32::try_from(format).unwrap_or(u32::MAX)));
        }
        let entry: Entry = serde_json::from_value(any).map_err(|error| malformed(&error.to_string()))?;
        let signature = hex::decode(signature).ok().and_then(|bytes| <[u8; SIGNATURE_BYTES]>::try_from(bytes).ok());
        let signer = PublicKey::parse(&entry.signer).ok_or_else(|| malformed("its signer is no key"))?;
        match signature {
            Some(signature) if signer.verify(&[SIGNED_CONTEXT, json.as_bytes()].concat(), &signature) => Ok(entry),
            Some(_) => Err(EntryError::Signature),
            None => Err(malformed("its signature does not read")),
        }
    }

    /// Whether `next` is an increment that starts where this one leads to.
    #[must_use]
    pub fn joins(&self, next: &Entry) -> bool {
        next.kind == EntryKind::Increment
            && (&self.cluster, self.epoch) == (&next.cluster, next.epoch)
            && (self.revision, &self.chain) == (next.after_revision, &next.after_chain)
            && next.revision > self.revision
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use storage_crypto::Key;

    fn signer() -> Signer {
        Signer::derive(&Key::from_bytes([7; 32]), "holdfast/v1/test signing", b"")
    }

    pub(crate) fn full(revision: u64) -> Entry {
        Entry {
            format: FORMAT,
            file: format!("full-{revision}"),
            bytes: 100,
            digest: "d".into(),
            cluster: "c".into(),
            epoch: 1,
            kind: EntryKind::Full,
            after_revision: 0,
            after_chain: String::new(),
            revision,
            stamp_us: revision * 1000,
            chain: format!("chain-{revision}"),
            state_digest: "s".into(),
            log_index: revision,
            secrets: 1,
            created_ms: revision,
            key_version: 1,
            signer: signer().public().to_string(),
        }
    }

    pub(crate) fn increment(after: u64, revision: u64) -> Entry {
        Entry {
            file: format!("{after}-{revision}"),
            kind: EntryKind::Increment,
            after_revision: after,
            after_chain: format!("chain-{after}"),
            ..full(revision)
        }
    }

    #[test]
    fn an_entry_reads_back_and_no_byte_of_it_can_be_changed_or_cut_off() {
        let entry = increment(3, 9);
        let bytes = entry.sign(&signer());
        assert_eq!(Entry::parse(&bytes), Ok(entry));
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(Entry::parse(&changed).is_err(), "byte {at}");
            assert!(Entry::parse(&bytes[..at]).is_err(), "cut at {at}");
        }
    }
}

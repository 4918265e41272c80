//! `holdfast snapshot`.

mod check;
mod keys;
mod prune;
mod restore;
mod save;
mod show;

use std::path::PathBuf;

use clap::Subcommand;
use storage_backup::{BackupSet, Store, StoreError};

use crate::{
    exit::{Exit, Failure},
    output::time::parse_duration,
    settings::Session,
};

/// Snapshots.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Make a snapshot: into a place of your own, or where the nodes' setting backup.to says.
    #[command(after_help = "Examples:
  holdfast snapshot save --to ./backups
  holdfast snapshot save --to ./backups --incremental
  holdfast snapshot save --to s3://bucket/holdfast
  holdfast snapshot save --incremental

Keep the seal file (seal.json) and what opens it apart from the snapshots, and as safe: one without the other brings nothing back.")]
    Save {
        /// Only what happened since the newest snapshot there; a full one where that cannot be, and it says why.
        #[arg(long)]
        incremental: bool,
        /// A directory, file:///path or s3://bucket/prefix; the setting backup.to of the node that answers when left out.
        #[arg(long, value_name = "PLACE")]
        to: Option<String>,
    },
    /// What one file is, checked without any key.
    #[command(after_help = "Examples:\n  holdfast snapshot inspect ./backups/000001-00000000000000000420-5f0c2a91.full")]
    Inspect {
        /// The file.
        file: PathBuf,
    },
    /// Check every file of a set: whole, signed, and that increments join; exits 8 when anything is wrong.
    #[command(after_help = "Examples:
  holdfast snapshot verify ./backups
  holdfast snapshot verify ./backups --signer 8d2f…
  holdfast snapshot verify s3://bucket/holdfast --seal-file seal.json --seal-key-file seal.key

Without keys it checks that nothing changed since it was signed; with them it opens everything besides.
`holdfast snapshot list` prints the signer to compare with.")]
    Verify {
        /// A directory, file:///path or s3://bucket/prefix.
        place: String,
        /// Whose signature every file must bear: 64 hexadecimal digits.
        #[arg(long, value_name = "KEY")]
        signer: Option<String>,
        /// The cluster's seal file: everything is opened.
        #[arg(long, value_name = "FILE", requires = "seal_key_file")]
        seal_file: Option<PathBuf>,
        /// What opens that file, where a key file does.
        #[arg(long, value_name = "FILE", requires = "seal_file")]
        seal_key_file: Option<PathBuf>,
    },
    /// What a set holds: date, kind, record, secrets, size.
    #[command(after_help = "Examples:\n  holdfast snapshot list\n  holdfast snapshot list --from ./backups -o json")]
    List {
        /// A directory, file:///path or s3://bucket/prefix; the setting backup.to of the node that answers when left out.
        #[arg(long, value_name = "PLACE")]
        from: Option<String>,
    },
    /// Bring back what an environment held, from the nodes' setting backup.to: old values come as new versions.
    #[command(after_help = "Examples:
  holdfast snapshot restore -e production --dry-run
  holdfast snapshot restore -e production --secret db/password --at-time 2h
  holdfast snapshot restore -e production --prefix app/ --at-revision 4711

Every value that comes back is a write in your name, and history stays. To bring back a lost cluster: holdfastd restore.")]
    Restore(restore::Restore),
    /// Delete old snapshots, never one that others which stay need.
    #[command(after_help = "Examples:
  holdfast snapshot prune --keep 7 --dry-run
  holdfast snapshot prune --keep 7 --older-than 30d --from ./backups")]
    Prune {
        /// So many of the newest full snapshots stay, with all that joins them; at least one always does.
        #[arg(long, value_name = "COUNT")]
        keep: u32,
        /// Only what is older goes.
        #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "0s")]
        older_than: std::time::Duration,
        /// A directory, file:///path or s3://bucket/prefix; the setting backup.to of the node that answers when left out.
        #[arg(long, value_name = "PLACE")]
        from: Option<String>,
        /// Only say what would go.
        #[arg(long)]
        dry_run: bool,
    },
}

impl Command {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Command::Save { incremental, to: Some(place) } => save::here(session, &place, incremental).await,
            Command::Save { incremental, to: None } => save::there(session, incremental).await,
            Command::Inspect { file } => check::inspect(session, &file),
            Command::Verify { place, signer, seal_file, seal_key_file } => {
                let keys = keys::open(seal_file.as_deref(), seal_key_file.as_deref())?;
                check::verify(session, &place, signer.as_deref(), keys.as_ref()).await
            }
            Command::List { from } => show::list(session, from.as_deref()).await,
            Command::Restore(restore) => restore.run(session).await,
            Command::Prune { keep, older_than, from, dry_run } => {
                prune::run(session, &prune::Prune { keep, older_than, from, dry_run }).await
            }
        }
    }
}

/// A store that is named on the command line; a directory has to be there already.
fn existing(place: &str) -> Result<Store, Failure> {
    if !place.contains("://") && !std::path::Path::new(place).is_dir() {
        return Err(Failure::usage(format!("cannot use {place}"), "it is no directory", "name the directory of a backup set"));
    }
    Store::open(place).map_err(refused)
}

async fn set_of(store: &Store) -> Result<BackupSet, Failure> {
    store.set().await.map_err(refused)
}

fn refused(error: StoreError) -> Failure {
    let exit = match error {
        StoreError::Place { .. } => Exit::Usage,
        StoreError::Store { .. } => Exit::Unavailable,
        StoreError::Disk { .. } => Exit::Unexpected,
    };
    Failure::new(exit, "cannot use the place of the snapshots", error.to_string())
}

//! Where the other members are, in a file of its own: a node whose snapshots and log do not read must still find who can help it.
//!
//! It is no truth, only a hint: whoever answers there has to show the certificate of the member.

use raft::{Member, Replica};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use storage::Disk;
use storage::disk::{read_all, replace};

const FILE: &str = "members.json";
const FORMAT: u64 = 1;
/// The longest file that is read.
const BYTES_MAX: u64 = 1 << 20;
/// How often it is looked whether members came or went.
const PERIOD: Duration = Duration::from_secs(1);

#[derive(Serialize, Deserialize)]
struct Book {
    format: u64,
    members: BTreeMap<u64, Member>,
}

/// The members that were written down last.
///
/// # Errors
/// When the file is not there or does not read.
pub(crate) fn read(disk: &dyn Disk, data: &Path) -> io::Result<BTreeMap<u64, Member>> {
    let bytes = read_all(&*disk.open(&data.join(FILE))?, BYTES_MAX)?;
    let book: Book = serde_json::from_slice(&bytes)?;
    if book.format == FORMAT { Ok(book.members) } else { Err(io::Error::other("another format")) }
}

/// Writes the members down whenever they change. Never ends.
pub(crate) async fn keep(disk: Arc<dyn Disk>, data: PathBuf, replica: Replica) {
    let mut written = read(&*disk, &data).unwrap_or_default();
    loop {
        let members: BTreeMap<u64, Member> = replica.members().into_iter().map(|(id, state)| (id, state.member)).collect();
        if !members.is_empty() && members != written {
            let book = Book { format: FORMAT, members: members.clone() };
            let (disk, path) = (disk.clone(), data.join(FILE));
            let replaced = raft::offload(move || {
                let json = serde_json::to_vec_pretty(&book)?;
                replace(&*disk, &path, &json)
            });
            match replaced.await.map_err(io::Error::other).and_then(|replaced| replaced) {
                Ok(()) => written = members,
                Err(error) => tracing::warn!(%error, "the addresses of the members were not written down"),
            }
        }
        tokio::time::sleep(PERIOD).await;
    }
}

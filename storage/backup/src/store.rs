//! Where a set lies: a directory, or a prefix of an object store. Files go up and down in parts; memory does not grow with them.

use crate::{
    entry::{ENTRY_BYTES_MAX, ENTRY_EXTENSION, Entry},
    set::BackupSet,
};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::{
    ObjectStore, ObjectStoreExt, WriteMultipart, aws::AmazonS3Builder, local::LocalFileSystem, path::Path as Location,
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use url::Url;

/// Bytes of one part of an upload.
const PART_BYTES: usize = 8 << 20;
/// Parts under way at once.
const PARTS_MAX: usize = 4;
const KINDS: [&str; 2] = [".full", ".increment"];

/// Why a store did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It is not named in a way that can be used.
    #[error("{place:?} is no place for snapshots: {why}; name a directory, file:///path or s3://bucket/prefix")]
    Place {
        /// What was named.
        place: String,
        /// What is wrong with it.
        why: String,
    },
    /// The store refused.
    #[error("{doing} {what} in {place}: {cause}")]
    Store {
        /// What was being tried.
        doing: &'static str,
        /// With what.
        what: String,
        /// Where.
        place: String,
        /// What it said.
        cause: String,
    },
    /// The disk of this machine refused.
    #[error("{doing} {path}: {cause}", path = path.display())]
    Disk {
        /// What was being tried.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
}

/// The place of one backup set.
#[derive(Clone, Debug)]
pub struct Store {
    objects: Arc<dyn ObjectStore>,
    prefix: Location,
    /// Without credentials.
    place: String,
    /// Where it is a directory of this machine.
    directory: Option<PathBuf>,
}

impl Store {
    /// The store at a directory, `file:///path` or `s3://bucket/prefix`. A directory is made where there is none. Credentials and the
    /// endpoint of an object store come from the environment (`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT` …), never from the name.
    ///
    /// # Errors
    /// When the name cannot be used.
    pub fn open(place: &str) -> Result<Store, StoreError> {
        match Url::parse(place) {
            Ok(url) if url.scheme() == "s3" => Store::s3(place, &url),
            Ok(url) if url.scheme() == "file" => {
                let path = url.to_file_path().map_err(|()| bad(place, "it names no path of this machine"))?;
                Store::directory(&path)
            }
            Ok(url) if url.scheme().len() > 1 => Err(bad(place, format!("{} is not known", url.scheme()))),
            _ if place.is_empty() => Err(bad(place, "it is empty")),
            _ => Store::directory(Path::new(place)),
        }
    }

    /// The store at a directory of this machine.
    ///
    /// # Errors
    /// When it cannot be made or used.
    pub fn directory(path: &Path) -> Result<Store, StoreError> {
        let disk = |doing| move |cause| StoreError::Disk { doing, path: path.to_owned(), cause };
        std::fs::create_dir_all(path).map_err(disk("make"))?;
        let path = path.canonicalize().map_err(disk("find"))?;
        let shown = path.display().to_string();
        let objects = LocalFileSystem::new_with_prefix(&path).map_err(|error| bad(&shown, error))?.with_fsync(true);
        Ok(Store { objects: Arc::new(objects), prefix: Location::default(), place: shown, directory: Some(path) })
    }

    fn s3(place: &str, url: &Url) -> Result<Store, StoreError> {
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
            return Err(bad("s3://…", "credentials do not belong into it, the environment has them"));
        }
        let objects = AmazonS3Builder::from_env().with_url(place).build().map_err(|error| bad(place, error))?;
        let prefix = Location::from_url_path(url.path()).map_err(|error| bad(place, error))?;
        Ok(Store { objects: Arc::new(objects), prefix, place: place.trim_end_matches('/').to_owned(), directory: None })
    }

    /// Where it is, without credentials.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Where a file of the set lies on this machine, where it does.
    #[must_use]
    pub fn local(&self, file: &str) -> Option<PathBuf> {
        self.directory.as_ref().map(|directory| directory.join(file))
    }

    fn location(&self, name: &str) -> Location {
        self.prefix.clone().join(name)
    }

    fn failed(&self, doing: &'static str, what: &str) -> impl FnOnce(object_store::Error) -> StoreError + use<> {
        let (what, place) = (what.to_owned(), self.place.clone());
        move |error| StoreError::Store { doing, what, place, cause: error.to_string() }
    }

    /// Everything in the set.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn set(&self) -> Result<BackupSet, StoreError> {
        let listed: Vec<_> = self.objects.list(Some(&self.prefix)).try_collect().await.map_err(self.failed("list", "files"))?;
        let names = |listed: &object_store::ObjectMeta| {
            let mut parts = listed.location.prefix_match(&self.prefix)?;
            let name = parts.next()?.as_ref().to_owned();
            parts.next().is_none().then_some((name, listed.size))
        };
        let files: Vec<(String, u64)> = listed.iter().filter_map(names).collect();
        let (mut entries, mut bad) = (Vec::new(), Vec::new());
        for (name, size) in files.iter().filter(|(name, _)| name.ends_with(&format!(".{ENTRY_EXTENSION}"))) {
            if *size > ENTRY_BYTES_MAX {
                bad.push((name.clone(), "it is too long for an entry".to_owned()));
                continue;
            }
            match Entry::parse(&self.get(name).await?) {
                Ok(entry) if entry.name() == *name => entries.push(entry),
                Ok(entry) => bad.push((name.clone(), format!("it is the entry of {}", entry.file))),
                Err(error) => bad.push((name.clone(), error.to_string())),
            }
        }
        let mut set = BackupSet::new(entries);
        let is_stray =
            |name: &str| KINDS.iter().any(|kind| name.ends_with(kind)) && !set.entries.iter().any(|entry| entry.file == name);
        set.strays = files.iter().map(|(name, _)| name.clone()).filter(|name| is_stray(name)).collect();
        set.bad = bad;
        Ok(set)
    }

    async fn get(&self, name: &str) -> Result<Bytes, StoreError> {
        let got = self.objects.get(&self.location(name)).await.map_err(self.failed("read", name))?;
        got.bytes().await.map_err(self.failed("read", name))
    }

    /// Puts a file of this machine into the store, and its entry once it is there whole. `progress` is told how many bytes went up.
    ///
    /// # Errors
    /// When the file cannot be read or the store refuses; nothing is in the set then.
    pub async fn put(
        &self,
        from: &Path,
        entry: &Entry,
        signed: Vec<u8>,
        progress: impl FnMut(u64) + Send,
    ) -> Result<(), StoreError> {
        self.upload(from, &entry.file, progress).await?;
        self.put_entry(entry, signed).await
    }

    /// As [`put`](Store::put), where the file may be moved away: into a directory it goes at no cost when it lies there already.
    ///
    /// # Errors
    /// When the file cannot be moved or the store refuses; nothing is in the set then.
    pub async fn take(
        &self,
        from: &Path,
        entry: &Entry,
        signed: Vec<u8>,
        progress: impl FnMut(u64) + Send,
    ) -> Result<(), StoreError> {
        let Some(directory) = self.directory.as_ref().filter(|directory| from.parent() == Some(directory)) else {
            return self.put(from, entry, signed, progress).await;
        };
        let disk = |cause| StoreError::Disk { doing: "move", path: from.to_owned(), cause };
        let synced = std::fs::rename(from, directory.join(&entry.file)).and_then(|()| std::fs::File::open(directory)?.sync_all());
        synced.map_err(disk)?;
        self.put_entry(entry, signed).await
    }

    /// Puts the entry of a file that is there whole.
    ///
    /// # Errors
    /// When the store refuses.
    pub async fn put_entry(&self, entry: &Entry, signed: Vec<u8>) -> Result<(), StoreError> {
        let name = entry.name();
        self.objects.put(&self.location(&name), signed.into()).await.map(drop).map_err(self.failed("write", &name))
    }

    async fn upload(&self, from: &Path, name: &str, mut progress: impl FnMut(u64) + Send) -> Result<(), StoreError> {
        let disk = |cause| StoreError::Disk { doing: "read", path: from.to_owned(), cause };
        let mut file = tokio::fs::File::open(from).await.map_err(disk)?;
        let upload = self.objects.put_multipart(&self.location(name)).await.map_err(self.failed("write", name))?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, PART_BYTES);
        let mut sent = 0;
        loop {
            let mut part = Vec::with_capacity(PART_BYTES);
            let read = (&mut file).take(PART_BYTES as u64).read_to_end(&mut part).await;
            let read = match read {
                Ok(read) => read,
                Err(cause) => {
                    // Best effort: what was sent is in nobody's way.
                    let _ = upload.abort().await;
                    return Err(disk(cause));
                }
            };
            if read == 0 {
                break;
            }
            if let Err(error) = upload.wait_for_capacity(PARTS_MAX).await {
                let _ = upload.abort().await;
                return Err(self.failed("write", name)(error));
            }
            upload.put(part.into());
            sent += read as u64;
            progress(sent);
        }
        upload.finish().await.map(drop).map_err(self.failed("write", name))
    }

    /// Brings a file of the set to this machine, into a new file. `progress` is told how many bytes came down.
    ///
    /// # Errors
    /// When the store or the disk refuses.
    pub async fn fetch(&self, entry: &Entry, to: &Path, mut progress: impl FnMut(u64) + Send) -> Result<(), StoreError> {
        let disk = |doing| move |cause| StoreError::Disk { doing, path: to.to_owned(), cause };
        let got = self.objects.get(&self.location(&entry.file)).await.map_err(self.failed("read", &entry.file))?;
        let mut file = tokio::fs::File::create_new(to).await.map_err(disk("make"))?;
        let (mut parts, mut received) = (got.into_stream(), 0);
        while let Some(part) = parts.next().await {
            let part = part.map_err(self.failed("read", &entry.file))?;
            file.write_all(&part).await.map_err(disk("write"))?;
            received += part.len() as u64;
            progress(received);
        }
        file.flush().await.map_err(disk("write"))
    }

    /// Takes a file out of the set: its entry first, so that it is never in the set and not there.
    ///
    /// # Errors
    /// When the store refuses.
    pub async fn remove(&self, entry: &Entry) -> Result<(), StoreError> {
        for name in [entry.name(), entry.file.clone()] {
            match self.objects.delete(&self.location(&name)).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(self.failed("delete", &name)(error)),
            }
        }
        Ok(())
    }
}

fn bad(place: &str, why: impl std::fmt::Display) -> StoreError {
    StoreError::Place { place: place.to_owned(), why: why.to_string() }
}

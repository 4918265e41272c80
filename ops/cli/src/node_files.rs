//! The files of a new node on their way from the kit to its machine, as one piece of bytes.
//!
//! `"HFN1"`, how many files (one byte), then of each: length of its name (one byte), name, length of its contents (four bytes, big endian),
//! contents. Names are those of a fixed list, which gives the modes too: what arrives can name no other place. Whoever changes the list
//! changes the version of tickets (`ticket.rs`) as well, because a package is seen only when its ticket is used up.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use zeroize::Zeroizing;

const MAGIC: &[u8] = b"HFN1";
/// What a wrapping takes (`WRAPPED_GIVEN_BYTES_MAX` of the server).
const PACKAGE_BYTES_MAX: usize = 60 << 10;
/// The node's settings.
pub(crate) const SETTINGS: &str = "holdfast.toml";
/// The root key, sealed: without it the node has to adopt one.
pub(crate) const SEAL: &str = "seal.json";
/// Directories below the node's own.
pub(crate) const DIRECTORIES: [&str; 2] = ["tls", "data"];

/// A file that `holdfastd kit --add` makes: its name, its mode, and whether there is no node without it.
type Place = (&'static str, u32, bool);

const PLACES: [Place; 9] = [
    (SETTINGS, 0o644, true),
    (SEAL, 0o644, false),
    ("seal.key", 0o600, false),
    ("tls/ca.pem", 0o644, true),
    ("tls/peer.pem", 0o644, true),
    ("tls/peer.key", 0o600, true),
    ("tls/client.pem", 0o644, true),
    ("tls/client.key", 0o600, true),
    ("data/identity.json", 0o600, false),
];

/// Files that a kit gives to those who found a cluster.
const FOUNDING: [&str; 2] = ["data/bootstrap.sealed", "data/plan.json"];

/// The files of one node. Not printable.
pub(crate) struct NodeFiles(BTreeMap<&'static str, Zeroizing<Vec<u8>>>);

impl NodeFiles {
    /// The files in a node's directory.
    ///
    /// # Errors
    /// When it is none as `holdfastd kit --add` makes it: in words that go on from "cannot invite the node in DIR: ".
    pub(crate) fn read(home: &Path) -> Result<NodeFiles, String> {
        let kind = std::fs::symlink_metadata(home).map_err(|error| error.to_string())?.file_type();
        if !kind.is_dir() {
            return Err("it is no directory".into());
        }
        let mut found = BTreeMap::new();
        for directory in ["", DIRECTORIES[0], DIRECTORIES[1]] {
            for name in plain_files(home, directory)? {
                let known = expected(&name).ok_or_else(|| stranger(&name))?;
                found.insert(known, read(&home.join(known)).map_err(|error| format!("{name}: {error}"))?);
            }
        }
        let files = NodeFiles::of(found)?;
        let (bytes, most) = (files.packed_len(), PACKAGE_BYTES_MAX);
        if bytes > most { Err(format!("its files have {bytes} bytes, at most {most} travel")) } else { Ok(files) }
    }

    /// The opposite of [`pack`](NodeFiles::pack).
    ///
    /// # Errors
    /// When it is none, is not whole, or names a file that no new node has. Nothing of it is quoted.
    pub(crate) fn parse(package: &[u8]) -> Result<NodeFiles, String> {
        let mut rest = package;
        if take(&mut rest, MAGIC.len())? != MAGIC {
            return Err("these are not the files of a node, or those of another version".into());
        }
        let count = take(&mut rest, 1)?[0];
        let mut found = BTreeMap::new();
        for _ in 0..count {
            let length = take(&mut rest, 1)?[0];
            let name = std::str::from_utf8(take(&mut rest, length.into())?).ok();
            let known = name.and_then(expected).ok_or("there is a file that no new node has")?;
            let length = u32::from_be_bytes(take(&mut rest, 4)?.try_into().expect("four bytes are four"));
            let contents = take(&mut rest, usize::try_from(length).unwrap_or(usize::MAX))?.to_vec();
            if found.insert(known, Zeroizing::new(contents)).is_some() {
                return Err(format!("{known} is there twice"));
            }
        }
        if rest.is_empty() { NodeFiles::of(found) } else { Err("there is more than its files".into()) }
    }

    fn of(found: BTreeMap<&'static str, Zeroizing<Vec<u8>>>) -> Result<NodeFiles, String> {
        let missing = PLACES.iter().find(|(name, _, needed)| *needed && !found.contains_key(name));
        missing.map_or(Ok(NodeFiles(found)), |(name, ..)| Err(format!("{name} is missing")))
    }

    pub(crate) fn pack(&self) -> Zeroizing<Vec<u8>> {
        // As long as it becomes: nothing is left behind where it would have grown.
        let mut package = Zeroizing::new(Vec::with_capacity(self.packed_len()));
        package.extend_from_slice(MAGIC);
        package.push(u8::try_from(self.0.len()).expect("there are few places"));
        for (name, contents) in &self.0 {
            package.push(u8::try_from(name.len()).expect("names are short"));
            package.extend_from_slice(name.as_bytes());
            package.extend_from_slice(&u32::try_from(contents.len()).expect("a package is small").to_be_bytes());
            package.extend_from_slice(contents);
        }
        package
    }

    fn packed_len(&self) -> usize {
        let file = |(name, contents): (&&str, &Zeroizing<Vec<u8>>)| 1 + name.len() + 4 + contents.len();
        MAGIC.len() + 1 + self.0.iter().map(file).sum::<usize>()
    }

    /// One of the files.
    pub(crate) fn file(&self, name: &str) -> Option<&[u8]> {
        self.0.get(name).map(|contents| contents.as_slice())
    }

    /// Writes them where [`make_room`] made room for them, and makes them durable.
    pub(crate) fn write(&self, home: &Path) -> io::Result<()> {
        for (name, mode, _) in PLACES {
            let Some(contents) = self.0.get(name) else { continue };
            let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(home.join(name))?;
            file.write_all(contents)?;
            file.sync_all()?;
        }
        DIRECTORIES.iter().try_for_each(|directory| File::open(home.join(directory))?.sync_all())?;
        File::open(home)?.sync_all()?;
        let parent = home.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(parent)?.sync_all()
    }
}

/// Makes a new node's directories, and tries that its files have room there. `home` itself may be there, and empty; whether it is new.
///
/// # Errors
/// When something is in the way, or nothing can be written there. Nothing new is left then.
pub(crate) fn make_room(home: &Path) -> io::Result<bool> {
    let is_new = match private_directory(home) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
        made => made.map(|()| true)?,
    };
    if !is_new && std::fs::read_dir(home)?.next().is_some() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "it is not empty"));
    }
    let tried = DIRECTORIES.iter().try_for_each(|directory| private_directory(&home.join(directory))).and_then(|()| {
        let trial = home.join("trial");
        let written = File::create_new(&trial).and_then(|mut file| {
            file.write_all(&[0; PACKAGE_BYTES_MAX])?;
            file.sync_all()
        });
        let removed = std::fs::remove_file(&trial);
        written.and(removed)
    });
    tried.inspect_err(|_| give_back(home, is_new)).map(|()| is_new)
}

/// Takes away what [`make_room`] made.
pub(crate) fn give_back(home: &Path, is_new: bool) {
    // Only what is empty goes; what cannot go is seen by whoever tries again.
    for directory in DIRECTORIES {
        let _ = std::fs::remove_dir(home.join(directory));
    }
    if is_new {
        let _ = std::fs::remove_dir(home);
    }
}

fn private_directory(path: &Path) -> io::Result<()> {
    std::os::unix::fs::DirBuilderExt::mode(&mut std::fs::DirBuilder::new(), 0o700).create(path)
}

/// The name, where a new node has such a file.
fn expected(name: &str) -> Option<&'static str> {
    PLACES.iter().map(|(known, ..)| *known).find(|known| *known == name)
}

/// Names of the files of one directory, below the node's own; the known directories are no files.
fn plain_files(home: &Path, directory: &str) -> Result<Vec<String>, String> {
    let unread = |error: io::Error| if directory.is_empty() { error.to_string() } else { format!("{directory}: {error}") };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(home.join(directory)).map_err(unread)? {
        let entry = entry.map_err(unread)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let name = if directory.is_empty() { name } else { format!("{directory}/{name}") };
        let kind = entry.file_type().map_err(unread)?;
        match kind {
            kind if kind.is_symlink() => return Err(format!("{name} is a symbolic link")),
            kind if kind.is_file() => names.push(name),
            kind if kind.is_dir() && DIRECTORIES.contains(&name.as_str()) => {}
            _ => return Err(stranger(&name)),
        }
    }
    Ok(names)
}

/// What a file means that `holdfastd kit --add` does not make.
fn stranger(name: &str) -> String {
    if FOUNDING.contains(&name) {
        return format!("{name} is there: this node founds a cluster, and joins none");
    }
    if name.starts_with("data/") {
        return format!("{name} is there: a node has run here, and no second one must come under its number");
    }
    format!("{name} is there, which `holdfastd kit --add` does not make")
}

fn read(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut contents = Zeroizing::new(Vec::with_capacity(PACKAGE_BYTES_MAX + 1));
    File::open(path)?.take(PACKAGE_BYTES_MAX as u64 + 1).read_to_end(&mut contents)?;
    Ok(contents)
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], String> {
    let (taken, left) = rest.split_at_checked(length).ok_or("the files of the node are cut off")?;
    *rest = left;
    Ok(taken)
}

#[cfg(test)]
#[path = "node_files_tests.rs"]
mod tests;

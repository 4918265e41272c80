//! Which phase a node is in, and what it takes to get to the next: shares gathered, attempts counted, the seal of a new cluster made.

use super::alone::SealedAlone;
use super::attempts::Attempts;
use super::custody::{Custody, Unsealed, about};
use super::gathering::{self, Gathering, Origin};
use super::kms::Keeper;
use super::phases::{self, Given};
use super::wish::Wish;
use super::{PLAN_FILE, founding};
use crate::boot::Ambient;
use crate::bootstrap::{self, Bootstrap};
use crate::config::Config;
use crate::engine::Sealing;
use crate::engine::sealing::new_token;
use node_domain::ids::ClusterId;
use parking_lot::Mutex;
use proto::v1;
use raft::Member;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use storage_crypto::entropy::random;
use storage_crypto::key::Key;
use storage_crypto::ring::Ring;
use storage_crypto::seal_file::{SealFile, SealedWith};
use storage_crypto::seal_key::SealKey;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tonic::Status;
use zeroize::Zeroizing;

/// Beside an uninitialized node's data: it has never started, so its identity is still to be made.
pub(crate) const FIRST_START: &str = "first-start";

/// The desk of one node's seal.
pub(crate) struct SealDesk {
    node: u64,
    seal_path: PathBuf,
    data: PathBuf,
    ambient: Ambient,
    phase: Mutex<Phase>,
    attempts: Mutex<Attempts>,
    /// Held while a passphrase is stretched.
    stretching: Mutex<()>,
    /// Opened seals go to whoever starts the node with them; nobody does in a node that was started unsealed.
    opened: Option<mpsc::Sender<Unsealed>>,
    asked_to_seal: watch::Sender<bool>,
    /// The service that keeps the seal key, where one does.
    keeper: Keeper,
    /// Whether that service is to be asked, and how often that was said anew: by a new phase, or by somebody.
    service: watch::Sender<(bool, u64)>,
}

enum Phase {
    Uninitialized,
    Sealed {
        file: Box<SealFile>,
        shares: Gathering,
        trouble: String,
    },
    /// Opened; the node is starting.
    Opening {
        file: Box<SealFile>,
    },
    Unsealed {
        custody: Arc<Custody>,
        sealing: Arc<Sealing>,
    },
    /// The node is stopping; its keys go with it.
    Sealing {
        file: Box<SealFile>,
    },
}

/// The seal of a node that is sealed; nothing where it is open already, or opening.
fn seal_to_open(phase: &Phase) -> Result<Option<Box<SealFile>>, Status> {
    match phase {
        Phase::Sealed { file, .. } => Ok(Some(file.clone())),
        Phase::Uninitialized => Err(uninitialized()),
        Phase::Sealing { .. } => Err(Status::unavailable("the node is being sealed: try again in a moment")),
        Phase::Opening { .. } | Phase::Unsealed { .. } => Ok(None),
    }
}

impl SealDesk {
    /// The desk of a node, in the phase that its files say.
    pub(crate) fn new(config: &Config, ambient: &Ambient, opened: Option<mpsc::Sender<Unsealed>>) -> Result<SealDesk, String> {
        let phase = match read_seal(&config.seal.file)? {
            None => Phase::Uninitialized,
            Some(file) => sealed(file),
        };
        Ok(SealDesk {
            node: config.node.id,
            seal_path: config.seal.file.clone(),
            data: config.node.data.clone(),
            ambient: ambient.clone(),
            phase: Mutex::new(phase),
            attempts: Mutex::new(Attempts::new(Instant::now())),
            stretching: Mutex::new(()),
            opened,
            asked_to_seal: watch::channel(false).0,
            keeper: Keeper::new(ambient, &config.seal),
            service: watch::channel((true, 0)).0,
        })
    }

    /// The service that keeps the seal key, where one does.
    pub(crate) fn keeper(&self) -> &Keeper {
        &self.keeper
    }

    /// Waits until the node is sealed by a seal that a service is to open: not while it was sealed on purpose. That seal.
    pub(crate) async fn awaits_service(&self) -> SealFile {
        let mut service = self.service.subscribe();
        loop {
            let wanted = service.borrow_and_update().0;
            if let Some(file) = self.sealed_file().filter(|file| wanted && file.kms().is_some()) {
                return file;
            }
            // The sender lives as long as `self`, so waiting cannot fail.
            let _ = service.changed().await;
        }
    }

    /// Changes when somebody has the service asked, from now on, or the phase does.
    pub(crate) fn watch_service(&self) -> watch::Receiver<(bool, u64)> {
        self.service.subscribe()
    }

    /// Has the service asked now, though the node was sealed on purpose or the service did not open the seal before: until it answers,
    /// the node is sealed and no trouble is shown.
    pub(crate) fn ask_service(&self, origin: Origin) -> Result<(), Status> {
        self.attempts.lock().take(origin)?;
        match &mut *self.phase.lock() {
            Phase::Sealed { file, .. } if file.kms().is_none() => {
                return Err(Status::invalid_argument(format!("this seal is of kind {}: no service opens it", file.kind())));
            }
            Phase::Sealed { trouble, .. } => trouble.clear(),
            _ => {}
        }
        self.service.send_modify(|(wanted, said)| (*wanted, *said) = (true, *said + 1));
        Ok(())
    }

    /// The node is starting with a seal that its service opened.
    pub(crate) fn opening(&self, unsealed: &Unsealed) {
        *self.phase.lock() = Phase::Opening { file: Box::new(unsealed.file.clone()) };
    }

    fn is_sealed_now(&self) {
        self.service.send_modify(|(_, said)| *said += 1);
    }

    /// The sealed file, where there is one and the node is sealed.
    pub(crate) fn sealed_file(&self) -> Option<SealFile> {
        match &*self.phase.lock() {
            Phase::Sealed { file, .. } => Some(SealFile::clone(file)),
            _ => None,
        }
    }

    /// Says why the node did not unseal by itself.
    pub(crate) fn trouble(&self, what: String) {
        if let Phase::Sealed { trouble, .. } = &mut *self.phase.lock() {
            *trouble = what;
        }
    }

    /// The node runs with this seal.
    pub(crate) fn unsealed(&self, custody: Arc<Custody>, sealing: Arc<Sealing>) {
        self.asked_to_seal.send_replace(false);
        self.service.send_modify(|(wanted, _)| *wanted = true);
        *self.phase.lock() = Phase::Unsealed { custody, sealing };
    }

    /// The node is about to forget its keys: what the desk knows of them goes now.
    pub(crate) fn sealing(&self) {
        let mut phase = self.phase.lock();
        if let Phase::Unsealed { custody, .. } = &*phase {
            let file = Box::new(custody.file());
            *phase = Phase::Sealing { file };
        }
    }

    /// The node has forgotten its keys.
    pub(crate) fn sealed_again(&self) -> Result<(), String> {
        let file = read_seal(&self.seal_path)?.ok_or_else(|| format!("{} is gone", self.seal_path.display()))?;
        *self.phase.lock() = sealed(file);
        self.is_sealed_now();
        Ok(())
    }

    /// Whether the node can go on without its keys.
    pub(crate) fn check_sealable(&self) -> Result<(), Status> {
        match self.opened {
            Some(_) => Ok(()),
            None => Err(Status::failed_precondition("a development node is not sealed: stop it")),
        }
    }

    /// Notes that the node is sealed without a record of it. Blocking.
    pub(crate) fn note(&self, alone: &SealedAlone) -> Result<(), Status> {
        let written = alone.write(&*self.ambient.disk, &self.data);
        written.map_err(|error| Status::internal(format!("note that this node is sealed without a record: {error}")))
    }

    /// Asks for the keys to be forgotten.
    pub(crate) fn ask_to_seal(&self) -> Result<(), Status> {
        self.check_sealable()?;
        self.service.send_modify(|(wanted, _)| *wanted = false);
        self.asked_to_seal.send_replace(true);
        Ok(())
    }

    /// Waits until somebody asks for the keys to be forgotten.
    pub(crate) async fn asked_to_seal(&self) {
        let mut asked = self.asked_to_seal.subscribe();
        // The sender lives as long as `self`, so waiting cannot fail.
        let _ = asked.wait_for(|asked| *asked).await;
    }

    /// Where the node stands.
    pub(crate) fn status(&self) -> v1::SealStatusResponse {
        let protection = storage_crypto::arena::memory_protection();
        let empty = v1::SealStatusResponse {
            node_id: self.node,
            memory_locked: protection.locked,
            memory_excluded_from_dumps: protection.excluded_from_dumps,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..Default::default()
        };
        match &*self.phase.lock() {
            Phase::Uninitialized => v1::SealStatusResponse { phase: "uninitialized".into(), ..empty },
            Phase::Sealed { file, shares, trouble } => {
                let progress = u32::try_from(shares.have()).unwrap_or(u32::MAX);
                v1::SealStatusResponse { phase: "sealed".into(), progress, trouble: trouble.clone(), ..described(file, empty) }
            }
            Phase::Opening { file } => v1::SealStatusResponse { phase: "unsealing".into(), ..described(file, empty) },
            Phase::Sealing { file } => v1::SealStatusResponse { phase: "sealing".into(), ..described(file, empty) },
            Phase::Unsealed { custody, sealing } => v1::SealStatusResponse {
                phase: "unsealed".into(),
                root_versions: custody.roots(),
                root_version: sealing.root_version(),
                ..described(&custody.file(), empty)
            },
        }
    }

    /// Takes a share, a passphrase or a key. When it is enough, the node starts. Blocking.
    pub(crate) fn unseal(&self, given: Given, origin: Origin) -> Result<(), Status> {
        let refused = |why: String| Status::invalid_argument(why);
        let Some(file) = seal_to_open(&self.phase.lock())? else { return Ok(()) };
        if let (SealedWith::Shamir(set), Given::Share(text)) = (file.sealed_with(), &given) {
            // What is no share is told so, and takes from nobody's measure.
            gathering::check(set, text).map_err(|error| refused(error.to_string()))?;
            self.attempts.lock().take(origin)?;
            return self.take_share(text, origin);
        }
        self.attempts.lock().take(origin)?;
        // Stretching takes its time and memory: one at a time, and meanwhile the node tells where it stands.
        let _one = self.stretching.lock();
        let key = phases::key_of(&file, &given).map_err(refused)?;
        let opened = phases::open(&file, key).map_err(refused)?;
        let mut phase = self.phase.lock();
        match seal_to_open(&phase)? {
            Some(now) if now == file => self.hand_on(&mut phase, opened),
            Some(_) => Err(Status::unavailable("the seal was changed meanwhile: try again")),
            None => Ok(()),
        }
    }

    fn take_share(&self, text: &str, origin: Origin) -> Result<(), Status> {
        let refused = |why: String| Status::invalid_argument(why);
        let mut phase = self.phase.lock();
        let Phase::Sealed { file, shares, .. } = &mut *phase else { return seal_to_open(&phase).map(drop) };
        let SealedWith::Shamir(set) = file.sealed_with() else {
            return Err(Status::unavailable("the seal was changed meanwhile: try again"));
        };
        let Some(key) = shares.add(set, text, origin).map_err(|error| refused(error.to_string()))? else { return Ok(()) };
        let opened = phases::open(file, key).map_err(refused)?;
        self.hand_on(&mut phase, opened)
    }

    fn hand_on(&self, phase: &mut Phase, opened: Unsealed) -> Result<(), Status> {
        let file = Box::new(opened.file.clone());
        let sender = self.opened.as_ref().ok_or_else(|| Status::failed_precondition("this node was started unsealed"))?;
        sender.try_send(opened).map_err(|_| Status::unavailable("the node is starting already"))?;
        *phase = Phase::Opening { file };
        Ok(())
    }

    /// Whether these open the seal that counts, on a node that has opened it. Blocking.
    pub(crate) fn prove(&self, current: &[Zeroizing<String>], origin: Origin) -> Result<(), Status> {
        self.attempts.lock().take(origin)?;
        let custody = match &*self.phase.lock() {
            Phase::Unsealed { custody, .. } => custody.clone(),
            _ => return Err(Status::failed_precondition("this node is sealed: unseal it first")),
        };
        let file = custody.file();
        let proof = phases::key_from(file.sealed_with(), current).map_err(Status::permission_denied)?;
        if custody.is_opened_by(&proof) {
            return Ok(());
        }
        Err(Status::permission_denied(format!("this is not the {} of the seal that counts", file.kind())))
    }

    /// Forgets the shares that were given from there. Nobody takes back what others gave.
    pub(crate) fn reset(&self, origin: Origin) -> Result<(), Status> {
        self.attempts.lock().take(origin)?;
        if let Phase::Sealed { shares, .. } = &mut *self.phase.lock() {
            shares.forget(origin);
        }
        Ok(())
    }

    /// Draws what a seal key that a service is to keep is made of: the cluster that it is for, and the key.
    pub(crate) fn begin_init(&self, origin: Origin) -> Result<(ClusterId, Key), Status> {
        self.attempts.lock().take(origin)?;
        self.check_uninitialized(&self.phase.lock())?;
        self.plan()?;
        Ok((random(&*self.ambient.entropy), Key::generate(&*self.ambient.entropy)))
    }

    /// Makes the keys of a new cluster, and its seal key unless a service keeps `kept`. Blocking.
    pub(crate) fn init(
        &self,
        request: &v1::InitRequest,
        cluster: ClusterId,
        kept: Option<SealKey>,
    ) -> Result<v1::InitResponse, Status> {
        let mut phase = self.phase.lock();
        self.check_uninitialized(&phase)?;
        let members = self.plan()?;
        let entropy = &*self.ambient.entropy;
        let wish = Wish {
            shares: request.shares,
            threshold: request.threshold,
            key_file: request.key_file,
            kms: !request.kms.is_empty(),
        };
        let made = wish.make(Zeroizing::new(request.passphrase.clone()), kept, entropy)?;
        let ring = Ring::generate(entropy);
        let file = SealFile::create(&made.key, &cluster, &ring, 1, entropy);
        let file = file.map_err(|error| Status::invalid_argument(error.to_string()))?;
        let identity_key = ring.identity().duplicate();
        let sealing = Sealing::new(cluster, ring, self.ambient.entropy.clone());
        let token = new_token(entropy);
        let founding = founding(&sealing, &token, about(&file)).map_err(|bad| Status::internal(bad.to_string()))?;
        let bootstrap = Bootstrap { members, founding }.seal(&cluster, &identity_key, entropy);
        let written = self.write(bootstrap::FILE, &bootstrap).and_then(|()| self.write_seal(&file));
        written.map_err(|error| Status::internal(format!("write the seal of the new cluster: {error}")))?;
        let seal_file = file.to_json();
        tracing::info!(kind = %file.kind(), "the keys of a new cluster were made");
        *phase = sealed(file);
        self.is_sealed_now();
        Ok(v1::InitResponse {
            shares: made.shares.iter().map(|share| String::clone(share)).collect(),
            key_file: String::clone(&made.key_file),
            root_token: String::clone(&token),
            seal_file: seal_file.into(),
            cluster_id: cluster.to_vec().into(),
        })
    }

    /// Takes the seal file of a cluster. Blocking.
    pub(crate) fn adopt(&self, json: &[u8], origin: Origin) -> Result<(), Status> {
        self.attempts.lock().take(origin)?;
        let mut phase = self.phase.lock();
        let file = SealFile::parse(json).map_err(|error| Status::invalid_argument(format!("the seal file: {error}")))?;
        if let Phase::Sealed { file: held, .. } = &*phase
            && **held == file
        {
            return Ok(());
        }
        self.check_uninitialized(&phase)?;
        self.write_seal(&file).map_err(|error| Status::internal(format!("write the seal file: {error}")))?;
        *phase = sealed(file);
        self.is_sealed_now();
        Ok(())
    }

    fn check_uninitialized(&self, phase: &Phase) -> Result<(), Status> {
        if !matches!(phase, Phase::Uninitialized) {
            let words = "this node belongs to a cluster already: its keys were made once and are never made again";
            return Err(Status::failed_precondition(words));
        }
        let used = ["wal", "journal", "identity.json"].iter().find(|name| self.data.join(name).exists());
        match used {
            Some(name) => Err(Status::failed_precondition(format!(
                "{} is there without {}: this is a node's data without its seal; put the seal file back",
                self.data.join(name).display(),
                self.seal_path.display()
            ))),
            None => Ok(()),
        }
    }

    fn plan(&self) -> Result<BTreeMap<u64, Member>, Status> {
        let path = self.data.join(PLAN_FILE);
        let missing = |why: String| {
            Status::failed_precondition(format!(
                "{}: {why}: it says who the members of the new cluster are; `holdfastd kit --seal none` writes it",
                path.display()
            ))
        };
        let text = std::fs::read(&path).map_err(|error| missing(error.to_string()))?;
        let members: BTreeMap<u64, Member> = serde_json::from_slice(&text).map_err(|error| missing(error.to_string()))?;
        if members.contains_key(&self.node) { Ok(members) } else { Err(missing(format!("node {} is not in it", self.node))) }
    }

    /// The marker first, the seal file last: with it the node belongs to the cluster.
    fn write_seal(&self, file: &SealFile) -> std::io::Result<()> {
        self.write(FIRST_START, b"")?;
        storage::disk::replace(&*self.ambient.disk, &self.seal_path, &file.to_json())
    }

    fn write(&self, name: &str, contents: &[u8]) -> std::io::Result<()> {
        self.ambient.disk.create_dir_all(&self.data)?;
        storage::disk::replace(&*self.ambient.disk, &self.data.join(name), contents)
    }
}

fn uninitialized() -> Status {
    Status::failed_precondition(
        "this node belongs to no cluster yet: holdfast operator init on one node, which hands its seal file on",
    )
}

fn sealed(file: SealFile) -> Phase {
    Phase::Sealed { file: Box::new(file), shares: Gathering::default(), trouble: String::new() }
}

/// The seal file, if the node has one.
pub(crate) fn read_seal(path: &Path) -> Result<Option<SealFile>, String> {
    match std::fs::read(path) {
        Ok(bytes) => SealFile::parse(&bytes).map(Some).map_err(|error| format!("seal file {}: {error}", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("setting seal.file: read {}: {error}", path.display())),
    }
}

fn described(file: &SealFile, status: v1::SealStatusResponse) -> v1::SealStatusResponse {
    let seal = about(file);
    v1::SealStatusResponse {
        kind: seal.kind,
        shares: seal.shares,
        threshold: seal.threshold,
        set_id: seal.set,
        generation: seal.generation,
        cluster_id: file.cluster().to_vec().into(),
        ..status
    }
}

#[cfg(test)]
impl SealDesk {
    /// The desk of a sealed node, for tests of who opens its seal.
    pub(crate) fn of_test(directory: &Path, ambient: &Ambient, file: &SealFile) -> SealDesk {
        let path = directory.join("seal.json");
        std::fs::write(&path, file.to_json()).expect("a fresh directory takes a file");
        SealDesk {
            node: 1,
            seal_path: path,
            data: directory.to_owned(),
            ambient: ambient.clone(),
            phase: Mutex::new(sealed(file.clone())),
            attempts: Mutex::new(Attempts::new(Instant::now())),
            stretching: Mutex::new(()),
            opened: Some(mpsc::channel(1).0),
            asked_to_seal: watch::channel(false).0,
            keeper: Keeper::of_test(ambient),
            service: watch::channel((true, 0)).0,
        }
    }
}

//! The server: one process that serves its client port through all phases of its seal.
//!
//! The port is bound once. While the node is uninitialized, sealed or starting, only health, reflection and the seal's service answer
//! there; everything else is told so, as unavailable, and clients go on to another node.

use super::custody::Unsealed;
use super::desk::SealDesk;
use super::kms::Keeper;
use super::phases;
use super::service::SealService;
use crate::boot::{Ambient, BootError, Node};
use crate::certificates::ClientTls;
use crate::config::Config;
use crate::health::port::{self, Board};
use crate::serve;
use proto::v1::seal_server::SealServer;
use std::sync::Arc;
use std::time::Duration;
use storage_crypto::seal_file::{SealFile, SealKind};
use storage_crypto::seal_key::SealKey;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::Status;
use zeroize::Zeroizing;

/// How long a call to a sealed node may take once the node is to be one no more, or is to stop.
const CLOSING: Duration = Duration::from_secs(2);

/// Why the server ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// It did not start.
    #[error(transparent)]
    Boot(#[from] BootError),
    /// It ran, and a part of it failed.
    #[error("node stopped: {0}")]
    Stopped(String),
}

fn failed(doing: &str, cause: impl std::fmt::Display) -> BootError {
    BootError { doing: doing.to_owned(), cause: cause.to_string() }
}

/// Serves one node until `stop`. `say` is told, in words for people, when the phase changes.
///
/// # Errors
/// When the node does not start, or a part of it fails.
pub async fn serve(
    config: Config,
    ambient: Ambient,
    stop: impl Future<Output = ()>,
    say: impl Fn(&str),
) -> Result<(), ServerError> {
    let mut stop = std::pin::pin!(stop);
    let listening = std::net::TcpListener::bind(&config.listen.client);
    let listener =
        listening.map_err(|error| failed(&format!("setting listen.client: listen on {}", config.listen.client), error))?;
    listener.set_nonblocking(true).map_err(|error| failed("listen.client", error))?;
    let (sender, mut opened) = mpsc::channel::<Unsealed>(1);
    let desk = Arc::new(SealDesk::new(&config, &ambient, Some(sender)).map_err(|cause| failed("the seal", cause))?);
    let health = HealthPort::open(&config, &desk).await?;
    warn_of_memory();
    let mut by_itself = true;
    // What a node that starts again by itself had been unsealed with.
    let mut again = None;
    let mut sealed = SealedPort::open(&config, &listener, desk.clone())?;
    loop {
        // It may take long until somebody unseals it, a long log is read, or another member gives what is lacking. Nothing is promised before.
        let starting = async {
            let unsealed = match again.take() {
                Some(unsealed) => unsealed,
                None => unseal(&config, &desk, by_itself, &mut opened, &say).await?,
            };
            let own = listener.try_clone().map_err(|error| failed("listen.client", error))?;
            Node::boot_unsealed(config.clone(), ambient.clone(), unsealed, own, desk.clone()).await
        };
        let mut node = tokio::select! {
            () = &mut stop => { sealed.close().await; return Ok(()) }
            booted = starting => booted?,
        };
        sealed.close().await;
        health.board.set(Some(node.health()));
        say(&format!("node {} answers clients at https://{}", node.id(), node.client_address()));
        let ended = tokio::select! {
            () = &mut stop => Some(Ok(())),
            reason = node.failed() => {
                again = node.to_start_again();
                Some(Err(ServerError::Stopped(reason)))
            }
            () = desk.asked_to_seal() => None,
        };
        health.board.set(None);
        if again.is_some() {
            tracing::error!("this node starts again, to mend its copy of the state");
            sealed = SealedPort::open(&config, &listener, desk.clone())?;
            node.let_go().await.map_err(ServerError::Stopped)?;
            continue;
        }
        if let Some(ended) = ended {
            node.shutdown().await;
            return ended;
        }
        desk.sealing();
        sealed = SealedPort::open(&config, &listener, desk.clone())?;
        node.let_go().await.map_err(ServerError::Stopped)?;
        // What is sealed on purpose is not unsealed by itself again.
        by_itself = false;
        desk.sealed_again().map_err(|cause| failed("the seal", cause))?;
    }
}

/// The port for health, which answers through all phases; it ends when this is dropped.
struct HealthPort {
    board: Board,
    _stop: DropGuard,
}

impl HealthPort {
    async fn open(config: &Config, desk: &Arc<SealDesk>) -> Result<HealthPort, BootError> {
        let (board, stop) = (Board::new(desk.clone(), &config.node.zone), CancellationToken::new());
        if let Some(place) = &config.listen.health {
            let bound = tokio::net::TcpListener::bind(place).await;
            let listener = bound.map_err(|error| failed(&format!("setting listen.health: listen on {place}"), error))?;
            tokio::spawn(port::serve(listener, board.clone(), stop.clone()));
        }
        Ok(HealthPort { board, _stop: stop.drop_guard() })
    }
}

fn warn_of_memory() {
    let protection = storage_crypto::arena::memory_protection();
    if !protection.locked {
        tracing::warn!(
            "keys are not in locked memory and may be swapped out: raise the limit of locked memory (ulimit -l, LimitMEMLOCK)"
        );
    }
    if !protection.excluded_from_dumps {
        tracing::warn!("keys are not kept out of core dumps on this system");
    }
}

/// Waits until the seal is opened: by what lies beside it, by a service, or by people.
async fn unseal(
    config: &Config,
    desk: &Arc<SealDesk>,
    by_itself: bool,
    opened: &mut mpsc::Receiver<Unsealed>,
    say: &impl Fn(&str),
) -> Result<Unsealed, BootError> {
    if let Some(unsealed) = unsealed_by_itself(config, desk, by_itself).await? {
        return Ok(unsealed);
    }
    let (status, place) = (desk.status(), &config.listen.client);
    say(&format!("node {} is {}: it answers holdfast operator at https://{place}", status.node_id, status.phase));
    tokio::select! {
        Some(unsealed) = opened.recv() => Ok(unsealed),
        unsealed = desk.keeper().unseal(desk) => Ok(unsealed),
    }
}

/// Unseals without people, where the kind of seal allows it. What people can mend is shown by the seal's status, and the node waits; a
/// key that is there and is the wrong one is a wrong setting.
async fn unsealed_by_itself(config: &Config, desk: &Arc<SealDesk>, wanted: bool) -> Result<Option<Unsealed>, BootError> {
    // A service is asked beside everything else: it may be away for long.
    let Some(file) = desk.sealed_file().filter(|file| wanted && file.kms().is_none()) else { return Ok(None) };
    match by_itself(config, desk.keeper(), &file).await {
        None => Ok(None),
        Some(Ok(unsealed)) => Ok(Some(unsealed)),
        Some(Err(Hindrance::Wrong(why))) => Err(failed("unseal", why)),
        Some(Err(Hindrance::Missing(why))) => {
            tracing::error!(why, "this node did not unseal by itself: it waits for holdfast operator unseal");
            desk.trouble(why);
            Ok(None)
        }
    }
}

/// Opens the seal of a node that does not run: by what lies beside it, or by `texts` (shares, or a passphrase) where people hold the key.
pub(crate) async fn unseal_offline(
    config: &Config,
    ambient: &Ambient,
    texts: Vec<Zeroizing<String>>,
) -> Result<Unsealed, String> {
    let path = &config.seal.file;
    let file = super::desk::read_seal(path)?
        .ok_or_else(|| format!("seal file {} is missing: put the cluster's there", path.display()))?;
    if let Some(opened) = by_itself(config, &Keeper::new(ambient, &config.seal), &file).await {
        return opened.map_err(|hindrance| hindrance.to_string());
    }
    if texts.is_empty() {
        return Err(format!(
            "the seal is of kind {}: give shares or the passphrase on standard input, one a line (--unseal-stdin)",
            file.kind()
        ));
    }
    let key = phases::key_from(file.sealed_with(), &texts)?;
    phases::open(&file, key)
}

/// Why a seal did not open by itself.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Hindrance {
    /// What opens it is not there now.
    #[error("{0}")]
    Missing(String),
    /// What should open it does not.
    #[error("{0}")]
    Wrong(String),
}

/// The seal opened with what lies beside it; `None` where people are needed.
pub(crate) async fn by_itself(config: &Config, keeper: &Keeper, file: &SealFile) -> Option<Result<Unsealed, Hindrance>> {
    match file.kind() {
        SealKind::Shamir | SealKind::Passphrase => None,
        SealKind::KeyFile => {
            let (path, file) = (config.seal.key_file.clone(), file.clone());
            let opened = raft::offload(move || open_by_key_file(&path, &file)).await;
            Some(opened.unwrap_or_else(|error| Err(Hindrance::Wrong(error.to_string()))))
        }
        SealKind::AwsKms => Some(keeper.open(file).await.map_err(Hindrance::Missing)),
    }
}

fn open_by_key_file(path: &std::path::Path, file: &SealFile) -> Result<Unsealed, Hindrance> {
    let text = std::fs::read_to_string(path).map(zeroize::Zeroizing::new).map_err(|error| {
        let why = format!("setting seal.key_file: read {}: {error}", path.display());
        if error.kind() == std::io::ErrorKind::NotFound { Hindrance::Missing(why) } else { Hindrance::Wrong(why) }
    })?;
    let wrong = |error: String| Hindrance::Wrong(format!("seal key {}: {error}", path.display()));
    let key = SealKey::from_key_file(&text).map_err(|error| wrong(error.to_string()))?;
    phases::open(file, key).map_err(wrong)
}

/// The client port while the node is not unsealed.
struct SealedPort {
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

impl SealedPort {
    fn open(config: &Config, listener: &std::net::TcpListener, desk: Arc<SealDesk>) -> Result<SealedPort, BootError> {
        let own = listener.try_clone().and_then(tokio::net::TcpListener::from_std);
        let own = own.map_err(|error| failed("listen.client", error))?;
        let tls = Arc::new(ClientTls::load(&config.tls)?);
        let stop = CancellationToken::new();
        let routes = tonic::service::Routes::new(SealServer::new(SealService { desk, door: None }));
        let routes = routes.into_axum_router().fallback(|| async {
            let words = "this node is sealed: holdfast operator unseal (holdfast operator status says more)";
            Status::unavailable(words).into_http::<tonic::body::Body>()
        });
        let serving = serve::sealed(own, tls, routes.into(), stop.clone());
        let serving = tokio::spawn(async move {
            if let Err(error) = serving.await {
                tracing::error!(error, "the port of the sealed node failed");
            }
        });
        Ok(SealedPort { stop, serving })
    }

    /// Lets calls under way end, for a moment: somebody who watches the health here, or never ends a call, would hold the node for ever.
    async fn close(mut self) {
        self.stop.cancel();
        if tokio::time::timeout(CLOSING, &mut self.serving).await.is_err() {
            tracing::warn!("somebody holds on to the port of the sealed node: it is closed all the same");
            self.serving.abort();
        }
    }
}

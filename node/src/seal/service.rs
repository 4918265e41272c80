//! The service of a node's seal, in every phase.

use super::desk::SealDesk;
use super::phases::Given;
use crate::api::Door;
use node_domain::Command;
use node_domain::keys::KeysCommand;
use node_domain::operation::Operation;
use proto::v1;
use proto::v1::seal_server::Seal;
use std::sync::Arc;
use tonic::{Request, Response, Status};
use zeroize::Zeroizing;

/// The service. Without a door the node is not unsealed.
#[derive(Clone)]
pub(crate) struct SealService {
    pub(crate) desk: Arc<SealDesk>,
    pub(crate) door: Option<Arc<Door>>,
}

impl SealService {
    /// Asks the desk, off the threads that serve: passphrases are stretched and files are written there.
    async fn at_desk<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&SealDesk) -> Result<T, Status> + Send + 'static,
    ) -> Result<T, Status> {
        let desk = self.desk.clone();
        tokio::task::spawn_blocking(move || ask(&desk)).await.map_err(|error| Status::internal(error.to_string()))?
    }

    async fn standing(&self) -> Result<Response<v1::SealStatusResponse>, Status> {
        self.at_desk(|desk| Ok(desk.status())).await.map(Response::new)
    }
}

#[tonic::async_trait]
impl Seal for SealService {
    async fn status(&self, _request: Request<v1::SealStatusRequest>) -> Result<Response<v1::SealStatusResponse>, Status> {
        self.standing().await
    }

    async fn init(&self, request: Request<v1::InitRequest>) -> Result<Response<v1::InitResponse>, Status> {
        let request = request.into_inner();
        let (cluster, key) = self.at_desk(SealDesk::begin_init).await?;
        let kept = match request.kms.as_str() {
            "" => None,
            named => Some(self.desk.keeper().make(named, cluster, key).await?),
        };
        self.at_desk(move |desk| desk.init(&request, cluster, kept)).await.map(Response::new)
    }

    async fn adopt(&self, request: Request<v1::AdoptRequest>) -> Result<Response<v1::SealStatusResponse>, Status> {
        let request = request.into_inner();
        self.at_desk(move |desk| desk.adopt(&request.seal_file)).await?;
        self.standing().await
    }

    async fn unseal(&self, request: Request<v1::UnsealRequest>) -> Result<Response<v1::SealStatusResponse>, Status> {
        let v1::UnsealRequest { share, passphrase, key_file, reset, service } = request.into_inner();
        let given = [(share, Given::Share as fn(_) -> _), (passphrase, Given::Passphrase), (key_file, Given::KeyFile)];
        let mut given: Vec<Given> =
            given.into_iter().filter(|(text, _)| !text.is_empty()).map(|(text, kind)| kind(Zeroizing::new(text))).collect();
        if service && given.is_empty() {
            self.at_desk(SealDesk::ask_service).await?;
            return self.standing().await;
        }
        if service || given.len() > 1 || (given.is_empty() && !reset) {
            return Err(Status::invalid_argument("give a share, or a passphrase, or the text of a key file"));
        }
        self.at_desk(move |desk| {
            if reset {
                desk.reset();
            }
            given.pop().map_or(Ok(()), |given| desk.unseal(given))
        })
        .await?;
        self.standing().await
    }

    async fn seal(&self, request: Request<v1::SealRequest>) -> Result<Response<v1::SealStatusResponse>, Status> {
        let Some(door) = &self.door else { return self.standing().await };
        let (caller, message) = door.receive_change(request, Operation::SealSeal);
        let command = Command::Keys(Box::new(KeysCommand::SealNode { node: door.node_id }));
        // The record first: a node that has forgotten its keys cannot say so any more.
        door.submit(&caller, Operation::SealSeal, &message, Ok(command)).await?;
        self.desk.ask_to_seal()?;
        self.standing().await
    }
}

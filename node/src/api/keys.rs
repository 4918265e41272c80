//! The service of keys: of environments, of the system, of the cluster.

use crate::api::Door;
use crate::api::door::{Caller, Done};
use crate::seal::Rotation;
use node_domain::ids::EnvironmentName;
use node_domain::keys::{KeysAnswer, KeysCommand};
use node_domain::operation::Operation;
use node_domain::{Answer, Command, Rejection, State};
use proto::v1;
use proto::v1::keys_server::Keys;
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// The service, behind the door.
pub(crate) struct KeysService {
    pub(crate) door: Arc<Door>,
    pub(crate) rotation: Arc<Rotation>,
}

impl KeysService {
    async fn submit(
        &self,
        caller: &Caller,
        operation: Operation,
        asked: &(dyn crate::api::door::Asked + Sync),
        command: Result<KeysCommand, Rejection>,
    ) -> Result<Done, Status> {
        self.door.submit(caller, operation, asked, command.map(|command| Command::Keys(Box::new(command)))).await
    }

    /// That somebody may do what the nodes then do among themselves, in the journal before they begin.
    async fn permit(
        &self,
        caller: &Caller,
        operation: Operation,
        asked: &(dyn crate::api::door::Asked + Sync),
        subject: &str,
    ) -> Result<(), Status> {
        let command = KeysCommand::Ask { operation, subject: subject.to_owned() };
        self.submit(caller, operation, asked, Ok(command)).await.map(drop)
    }

    async fn rotated(&self, caller: &Caller, message: &v1::RotateKeyRequest) -> Result<Done, Status> {
        if message.system {
            let (version, wrapped_key) = self.door.sealing.next_system_key(&self.door.view().state);
            let command = KeysCommand::RotateSystem { version, wrapped_key };
            return self.submit(caller, Operation::KeyRotateSystem, message, Ok(command)).await;
        }
        let command = match self.door.environment(caller, &message.environment).await {
            Ok((environment, about)) => {
                let (version, wrapped_key) = self.door.sealing.next_environment_key(&about);
                Ok(KeysCommand::RotateEnvironment { environment, version, wrapped_key })
            }
            Err(rejection) => Err(rejection),
        };
        self.submit(caller, Operation::KeyRotate, message, command).await
    }
}

#[tonic::async_trait]
impl Keys for KeysService {
    async fn status(&self, request: Request<v1::KeyStatusRequest>) -> Result<Response<v1::KeyStatusResponse>, Status> {
        let (caller, message) = self.door.receive(request);
        let command = KeysCommand::Ask { operation: Operation::KeyStatus, subject: String::new() };
        let done = self.submit(&caller, Operation::KeyStatus, &message, Ok(command)).await?;
        Ok(Response::new(v1::KeyStatusResponse { index: done.index, ..show(&done.view.state) }))
    }

    async fn rotate(&self, request: Request<v1::RotateKeyRequest>) -> Result<Response<v1::RotateKeyResponse>, Status> {
        let (caller, message) = self.door.receive_change(request, Operation::KeyRotate);
        let done = self.rotated(&caller, &message).await?;
        let version = match done.answer {
            Answer::Keys(answer) => match *answer {
                KeysAnswer::Version(version) => version,
            },
            // The same request again is answered with what it did.
            Answer::Written { version, .. } => u32::try_from(version).unwrap_or(u32::MAX),
            _ => 0,
        };
        Ok(Response::new(v1::RotateKeyResponse { version, index: done.index }))
    }

    async fn seal_environment(
        &self,
        request: Request<v1::SealEnvironmentRequest>,
    ) -> Result<Response<v1::SealEnvironmentResponse>, Status> {
        let (caller, message) = self.door.receive_change(request, Operation::EnvironmentSeal);
        let name = EnvironmentName::parse(&message.environment).map_err(Rejection::from);
        let command = name.map(|environment| KeysCommand::SealEnvironment { environment });
        let done = self.submit(&caller, Operation::EnvironmentSeal, &message, command).await?;
        Ok(Response::new(v1::SealEnvironmentResponse { index: done.index }))
    }

    async fn unseal_environment(
        &self,
        request: Request<v1::SealEnvironmentRequest>,
    ) -> Result<Response<v1::SealEnvironmentResponse>, Status> {
        let (caller, message) = self.door.receive_change(request, Operation::EnvironmentUnseal);
        let name = EnvironmentName::parse(&message.environment).map_err(Rejection::from);
        let command = name.map(|environment| KeysCommand::UnsealEnvironment { environment });
        let done = self.submit(&caller, Operation::EnvironmentUnseal, &message, command).await?;
        Ok(Response::new(v1::SealEnvironmentResponse { index: done.index }))
    }

    async fn rotate_root(&self, request: Request<v1::RotateRootRequest>) -> Result<Response<v1::RotateRootResponse>, Status> {
        let (caller, message) = self.door.receive_change(request, Operation::KeyRotateRoot);
        self.rotation.check_leading()?;
        self.permit(&caller, Operation::KeyRotateRoot, &message, "root").await?;
        let (version, index) = self.rotation.rotate().await?;
        Ok(Response::new(v1::RotateRootResponse { version, index }))
    }

    async fn drop_roots(&self, request: Request<v1::DropRootsRequest>) -> Result<Response<v1::DropRootsResponse>, Status> {
        let (caller, message) = self.door.receive_change(request, Operation::KeyDropRoots);
        self.rotation.check_leading()?;
        self.permit(&caller, Operation::KeyDropRoots, &message, "root").await?;
        let dropped = self.rotation.drop_old().await?;
        Ok(Response::new(v1::DropRootsResponse { dropped: dropped.versions, kept: dropped.kept }))
    }

    async fn rekey(&self, request: Request<v1::RekeyRequest>) -> Result<Response<v1::RekeyResponse>, Status> {
        // No fingerprint of it is kept: shares and passphrases are in it.
        let (caller, message) = self.door.receive(request);
        self.rotation.check_leading()?;
        self.permit(&caller, Operation::SealRekey, &message, "seal").await?;
        self.rotation.stage(message).await.map(Response::new)
    }

    async fn confirm_rekey(
        &self,
        request: Request<v1::ConfirmRekeyRequest>,
    ) -> Result<Response<v1::ConfirmRekeyResponse>, Status> {
        let (caller, message) = self.door.receive(request);
        self.rotation.check_leading()?;
        self.permit(&caller, Operation::SealRekey, &message, "seal").await?;
        let (generation, index) = self.rotation.confirm(message).await?;
        Ok(Response::new(v1::ConfirmRekeyResponse { generation, index }))
    }

    async fn seal_file(&self, request: Request<v1::SealFileRequest>) -> Result<Response<v1::SealFileResponse>, Status> {
        let (caller, message) = self.door.receive(request);
        self.permit(&caller, Operation::KeyStatus, &message, "seal-file").await?;
        let (seal_file, _) = self.rotation.holdings.custody.offer();
        Ok(Response::new(v1::SealFileResponse { seal_file: seal_file.into() }))
    }
}

fn show(state: &State) -> v1::KeyStatusResponse {
    let keys = state.keys();
    let environments = state.environments().map(|home| {
        let name = &home.about.name;
        let seal = keys.sealed(name);
        let versions = home.about.keys.iter().map(|(version, _)| v1::KeyVersion {
            version: *version,
            values: keys.uses(name, *version),
            added_at_ms: keys.added(name, *version).map_or(0, |stamp| stamp.as_ms()),
        });
        v1::EnvironmentKeys {
            name: name.to_string(),
            sealed: seal.is_some(),
            sealed_at_ms: seal.map_or(0, |seal| seal.since.as_ms()),
            sealed_by: seal.map(|seal| seal.by.to_string()).unwrap_or_default(),
            versions: versions.collect(),
        }
    });
    let seal = keys.seal().cloned().unwrap_or_default();
    v1::KeyStatusResponse {
        environments: environments.collect(),
        system_versions: keys.system().map(|(version, _)| version).collect(),
        root_version: keys.root(),
        seal_kind: seal.kind,
        seal_shares: seal.shares,
        seal_threshold: seal.threshold,
        seal_generation: seal.generation,
        index: 0,
    }
}

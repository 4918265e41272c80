//! The service of machines.

use super::{Reply, check_ttl, grants, identity, show_grants};
use crate::api::door::Done;
use crate::api::{Door, convert};
use crate::engine::sealing::{SECRET_ID_PREFIX, new_text};
use node_domain::Rejection;
use node_domain::identity::{IdentityCommand, Machine, SecretId};
use node_domain::ids::{Accessor, IdentityName};
use node_domain::operation::Operation;
use proto::v1;
use proto::v1::machines_server::Machines;
use std::sync::Arc;
use storage_crypto::entropy::random;
use storage_crypto::hex;
use tonic::{Request, Response, Status};

/// The service of machines, behind the door.
pub(crate) struct MachinesService(pub(crate) Arc<Door>);

fn show(machine: &Machine) -> v1::Machine {
    v1::Machine {
        name: machine.name.to_string(),
        role_id: hex::encode(&machine.role_id),
        grants: Some(show_grants(&machine.grants)),
        secret_id_ttl_ms: machine.secret_ttl_ms,
        secret_id_uses: machine.secret_uses,
        created_at_ms: machine.created.as_ms(),
        created_by: machine.created_by.to_string(),
    }
}

fn shown(done: &Done, name: &str) -> Reply<v1::Machine> {
    let name = IdentityName::parse(name).map_err(|bad| Status::invalid_argument(bad.to_string()))?;
    let machine = done.view.state.identity().machine(&name);
    machine.map(|machine| Response::new(show(machine))).ok_or_else(|| Status::not_found("the machine was deleted meanwhile"))
}

fn show_secret(secret: &SecretId) -> v1::SecretId {
    v1::SecretId {
        accessor: secret.accessor.to_string(),
        expires_at_ms: convert::show_end(secret.expires),
        uses_left: secret.uses_left.unwrap_or(0),
        created_at_ms: secret.created.as_ms(),
        created_by: secret.created_by.to_string(),
    }
}

#[tonic::async_trait]
impl Machines for MachinesService {
    async fn create(&self, request: Request<v1::CreateMachineRequest>) -> Reply<v1::Machine> {
        let (caller, message) = self.0.receive_change(request, Operation::MachineCreate);
        let role_id = random(self.0.sealing.entropy());
        let parse = || {
            Ok::<_, Rejection>(identity(IdentityCommand::CreateMachine {
                name: IdentityName::parse(&message.name)?,
                role_id,
                grants: grants(message.grants.as_ref())?,
                secret_ttl_ms: message.secret_id_ttl_ms,
                secret_uses: message.secret_id_uses,
            }))
        };
        let done = self.0.submit(&caller, Operation::MachineCreate, &message, parse()).await?;
        shown(&done, &message.name)
    }

    async fn set_grants(&self, request: Request<v1::SetGrantsRequest>) -> Reply<v1::Machine> {
        let (caller, message) = self.0.receive_change(request, Operation::MachineGrant);
        let parse = || {
            let (name, grants) = (IdentityName::parse(&message.name)?, grants(message.grants.as_ref())?);
            Ok::<_, Rejection>(identity(IdentityCommand::SetMachineGrants { name, grants }))
        };
        let done = self.0.submit(&caller, Operation::MachineGrant, &message, parse()).await?;
        shown(&done, &message.name)
    }

    async fn list(&self, request: Request<v1::ListMachinesRequest>) -> Reply<v1::ListMachinesResponse> {
        let (caller, message) = self.0.receive(request);
        let command = Ok(identity(IdentityCommand::ListMachines));
        let done = self.0.submit(&caller, Operation::MachineList, &message, command).await?;
        Ok(Response::new(v1::ListMachinesResponse { machines: done.view.state.identity().machines().map(show).collect() }))
    }

    async fn delete(&self, request: Request<v1::MachineRequest>) -> Reply<v1::MachineResponse> {
        let (caller, message) = self.0.receive_change(request, Operation::MachineDelete);
        let parsed = IdentityName::parse(&message.name).map(|name| identity(IdentityCommand::DeleteMachine { name }));
        let done = self.0.submit(&caller, Operation::MachineDelete, &message, parsed.map_err(Rejection::from)).await?;
        Ok(Response::new(v1::MachineResponse { index: done.index }))
    }

    async fn issue_secret_id(&self, request: Request<v1::IssueSecretIdRequest>) -> Reply<v1::IssueSecretIdResponse> {
        let (caller, message) = self.0.receive_change(request, Operation::MachineSecretId);
        let text = new_text(SECRET_ID_PREFIX, self.0.sealing.entropy());
        let hash = self.0.sealing.token_hash(&text);
        let parse = || {
            if message.wrap_ttl_ms > 0 {
                check_ttl(message.wrap_ttl_ms)?;
            }
            let machine = IdentityName::parse(&message.name)?;
            let (ttl_ms, uses) = (message.ttl_ms, message.uses);
            Ok::<_, Rejection>(identity(IdentityCommand::IssueSecretId { machine, hash, ttl_ms, uses }))
        };
        let done = self.0.submit(&caller, Operation::MachineSecretId, &message, parse()).await?;
        // A repeated request finds no secret id with this hash: the text was in the answer to its first asking.
        let secret = done.view.state.identity().secret_id(&hash).ok_or_else(|| {
            Status::failed_precondition(
                "this request made its secret id before; the text was in the first answer only: make another",
            )
        })?;
        let machine = done.view.state.identity().machine(&secret.machine);
        let role_id = machine.map_or_else(String::new, |machine| hex::encode(&machine.role_id));
        let details = Some(show_secret(secret));
        let secret_id = text.to_string();
        let made = v1::IssueSecretIdResponse { secret_id, details: details.clone(), role_id: role_id.clone(), wrapped: None };
        if message.wrap_ttl_ms == 0 {
            return Ok(Response::new(made));
        }
        let about = format!("secret id of machine {}", message.name);
        let contents = v1::unwrap_response::Contents::SecretId(made);
        let wrapped = Some(self.0.wrap(&caller.again(), about, contents, (message.wrap_ttl_ms, None)).await?);
        Ok(Response::new(v1::IssueSecretIdResponse { secret_id: String::new(), details, role_id, wrapped }))
    }

    async fn list_secret_ids(&self, request: Request<v1::MachineRequest>) -> Reply<v1::ListSecretIdsResponse> {
        let (caller, message) = self.0.receive(request);
        let name = IdentityName::parse(&message.name);
        let parsed = name.clone().map(|machine| identity(IdentityCommand::ListSecretIds { machine }));
        let done = self.0.submit(&caller, Operation::MachineSecretIds, &message, parsed.map_err(Rejection::from)).await?;
        let name = name.map_err(|bad| Status::invalid_argument(bad.to_string()))?;
        let secret_ids = done.view.state.identity().secret_ids_of(&name).map(show_secret).collect();
        Ok(Response::new(v1::ListSecretIdsResponse { secret_ids }))
    }

    async fn revoke_secret_id(&self, request: Request<v1::RevokeSecretIdRequest>) -> Reply<v1::MachineResponse> {
        let (caller, message) = self.0.receive_change(request, Operation::MachineRevokeSecretId);
        let parse = || {
            let (machine, accessor) = (IdentityName::parse(&message.name)?, Accessor::parse(&message.accessor)?);
            Ok::<_, Rejection>(identity(IdentityCommand::RevokeSecretId { machine, accessor }))
        };
        let done = self.0.submit(&caller, Operation::MachineRevokeSecretId, &message, parse()).await?;
        Ok(Response::new(v1::MachineResponse { index: done.index }))
    }
}

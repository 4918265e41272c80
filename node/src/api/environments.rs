//! The service of environments.

use crate::api::Door;
use crate::engine::View;
use node_domain::guard::{EnvironmentChange, GuardCommand};
use node_domain::ids::EnvironmentName;
use node_domain::operation::Operation;
use node_domain::state::Environment;
use node_domain::{Command, Rejection};
use proto::v1;
use proto::v1::environments_server::Environments;
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// The service, behind the door.
pub(crate) struct EnvironmentsService(pub(crate) Arc<Door>);

#[tonic::async_trait]
impl Environments for EnvironmentsService {
    async fn list(
        &self,
        request: Request<v1::ListEnvironmentsRequest>,
    ) -> Result<Response<v1::ListEnvironmentsResponse>, Status> {
        let (caller, message) = self.0.receive(request);
        let done = self.0.submit(&caller, Operation::EnvironmentList, &message, Ok(Command::ListEnvironments)).await?;
        let environments = done.view.state.environments().map(|environment| show(&done.view, environment)).collect();
        Ok(Response::new(v1::ListEnvironmentsResponse { environments, index: done.index }))
    }

    async fn create(&self, request: Request<v1::CreateEnvironmentRequest>) -> Result<Response<v1::Environment>, Status> {
        let (caller, message) = self.0.receive_change(request, Operation::EnvironmentCreate);
        let parse = || {
            let name = EnvironmentName::parse(&message.name)?;
            let (id, wrapped_key) = self.0.sealing.new_environment();
            Ok::<_, Rejection>(Command::CreateEnvironment { name, id, description: message.description.clone(), wrapped_key })
        };
        let done = self.0.submit(&caller, Operation::EnvironmentCreate, &message, parse()).await?;
        let name = EnvironmentName::parse(&message.name).map_err(|bad| Status::invalid_argument(bad.to_string()))?;
        let environment = done.view.state.environment(&name).map_err(|rejection| crate::api::status::refused(&rejection))?;
        Ok(Response::new(show(&done.view, environment)))
    }

    async fn set(&self, request: Request<v1::SetEnvironmentRequest>) -> Result<Response<v1::Environment>, Status> {
        let (caller, message) = self.0.receive_change(request, Operation::EnvironmentSet);
        let parse = || {
            let environment = EnvironmentName::parse(&message.name)?;
            let change = EnvironmentChange { approvals: message.approvals };
            Ok::<_, Rejection>(Command::Guard(Box::new(GuardCommand::SetEnvironment { environment, change })))
        };
        let done = self.0.submit(&caller, Operation::EnvironmentSet, &message, parse()).await?;
        let name = EnvironmentName::parse(&message.name).map_err(|bad| Status::invalid_argument(bad.to_string()))?;
        let environment = done.view.state.environment(&name).map_err(|rejection| crate::api::status::refused(&rejection))?;
        Ok(Response::new(show(&done.view, environment)))
    }
}

fn show(view: &View, environment: &Environment) -> v1::Environment {
    let about = &environment.about;
    v1::Environment {
        name: about.name.to_string(),
        description: about.description.clone(),
        created_at_ms: about.created.as_ms(),
        secrets: environment.secrets.len() as u64,
        key_version: about.keys.last().map_or(0, |(version, _)| *version),
        approvals: view.state.guard().settings.of(&about.name).approvals,
    }
}

//! The services of policies and roles.

use crate::api::{Door, convert, policy_rules, simulation, status};
use node_domain::ids::{Accessor, EnvironmentName, PolicyName, PrincipalName, RoleName, Stamp};
use node_domain::operation::Operation;
use node_domain::policy::{Capability, Question, Replay, Whom};
use node_domain::{Command, Rejection, State};
use proto::v1;
use proto::v1::policies_server::Policies;
use proto::v1::roles_server::Roles;
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// The service of policies, behind the door.
pub(crate) struct PoliciesService(pub(crate) Arc<Door>);

/// The service of roles, behind the door.
pub(crate) struct RolesService(pub(crate) Arc<Door>);

#[tonic::async_trait]
impl Policies for PoliciesService {
    async fn put(&self, request: Request<v1::PutPolicyRequest>) -> Result<Response<v1::Policy>, Status> {
        let (caller, message) = self.0.receive_change(request, Operation::PolicyPut);
        let policy = message.policy.clone().unwrap_or_default();
        let parse = || {
            let rules = policy_rules::parse(&policy.rules)?;
            Ok::<_, Rejection>(Command::PutPolicy { name: PolicyName::parse(&policy.name)?, rules })
        };
        let done = self.0.submit(&caller, Operation::PolicyPut, &message, parse()).await?;
        show_policy(&done.view.state, &policy.name)
    }

    async fn get(&self, request: Request<v1::GetPolicyRequest>) -> Result<Response<v1::Policy>, Status> {
        let (caller, message) = self.0.receive(request);
        let parse = || Ok::<_, Rejection>(Command::ReadPolicy { name: PolicyName::parse(&message.name)? });
        let done = self.0.submit(&caller, Operation::PolicyRead, &message, parse()).await?;
        show_policy(&done.view.state, &message.name)
    }

    async fn list(&self, request: Request<v1::ListPoliciesRequest>) -> Result<Response<v1::ListPoliciesResponse>, Status> {
        let (caller, message) = self.0.receive(request);
        let done = self.0.submit(&caller, Operation::PolicyList, &message, Ok(Command::ListPolicies)).await?;
        Ok(Response::new(v1::ListPoliciesResponse {
            policies: done.view.state.policies().map(policy_rules::show_policy).collect(),
        }))
    }

    async fn delete(&self, request: Request<v1::DeletePolicyRequest>) -> Result<Response<v1::DeletePolicyResponse>, Status> {
        let (caller, message) = self.0.receive_change(request, Operation::PolicyDelete);
        let parse = || Ok::<_, Rejection>(Command::DeletePolicy { name: PolicyName::parse(&message.name)? });
        let done = self.0.submit(&caller, Operation::PolicyDelete, &message, parse()).await?;
        Ok(Response::new(v1::DeletePolicyResponse { index: done.index }))
    }

    async fn test(&self, request: Request<v1::TestPolicyRequest>) -> Result<Response<v1::TestPolicyResponse>, Status> {
        let (caller, message) = self.0.receive(request);
        let parsed = parse_question(&message).map(|mut question| {
            // A question about oneself comes from where one is.
            if question.whom == Whom::Oneself && message.address.is_empty() {
                question.address = caller.ask.address;
            }
            question
        });
        let command = parsed.clone().map(|question| Command::TestPolicy(Box::new(question)));
        let done = self.0.submit(&caller, Operation::PolicyTest, &message, command).await?;
        let question = parsed.map_err(|rejection| status::refused(&rejection))?;
        let own = caller.token(&done.view).map_err(|rejection| status::refused(&rejection))?.clone();
        let view = done.view.clone();
        // Looking for the tokens of a principal looks at all of them.
        let answered = tokio::task::spawn_blocking(move || question.answer(&view.state, &own)).await;
        let answers = answered.map_err(|error| status::fault("test a policy", &error))?;
        let answers = answers.map_err(|rejection| status::refused(&rejection))?;
        let policies = done.view.state.policies_changed().0;
        let judgements = answers.iter().map(|(token, explanation)| policy_rules::show_judgement(token, explanation)).collect();
        Ok(Response::new(v1::TestPolicyResponse { judgements, policies }))
    }

    async fn simulate(
        &self,
        request: Request<v1::SimulatePolicyRequest>,
    ) -> Result<Response<v1::SimulatePolicyResponse>, Status> {
        let (caller, message) = self.0.receive(request);
        let proposed = message.policy.clone().unwrap_or_default();
        let parse = || Ok::<_, Rejection>((PolicyName::parse(&proposed.name)?, policy_rules::parse(&proposed.rules)?));
        let parsed = parse();
        let command = parsed.clone().map(|(name, rules)| Command::SimulatePolicy { name, rules });
        let done = self.0.submit(&caller, Operation::PolicySimulate, &message, command).await?;
        let (name, rules) = parsed.map_err(|rejection| status::refused(&rejection))?;
        let replay = Replay::new(&done.view.state, name, rules);
        // What was asked until now, without this very question.
        let answer = simulation::run(&self.0, replay, done.index.saturating_sub(1), message.last).await?;
        Ok(Response::new(answer))
    }
}

fn show_policy(state: &State, name: &str) -> Result<Response<v1::Policy>, Status> {
    let name = PolicyName::parse(name).map_err(|bad| Status::invalid_argument(bad.to_string()))?;
    let policy = state.policy(&name).ok_or_else(|| Status::not_found(format!("policy {name} was deleted meanwhile")))?;
    Ok(Response::new(policy_rules::show_policy(policy)))
}

fn parse_question(message: &v1::TestPolicyRequest) -> Result<Question, Rejection> {
    let holder = !message.policies.is_empty() || !message.roles.is_empty();
    let whom = match (message.principal.as_str(), message.accessor.as_str(), holder) {
        ("", "", false) => Whom::Oneself,
        (principal, "", false) => Whom::Principal(PrincipalName::parse(principal)?),
        ("", accessor, false) => Whom::Token(Accessor::parse(accessor)?),
        ("", "", true) => {
            Whom::Holder { policies: convert::policies(&message.policies)?, roles: convert::roles(&message.roles)? }
        }
        _ => return Err(Rejection::invalid("ask about a principal, a token, or policies and roles: one of them, not more")),
    };
    let environment = (!message.environment.is_empty()).then(|| EnvironmentName::parse(&message.environment)).transpose()?;
    Ok(Question {
        whom,
        capability: Capability::parse(&message.capability)?,
        environment,
        subject: message.path.clone(),
        address: parse_address(&message.address)?,
        at: (message.at_ms > 0).then(|| Stamp(0).plus_ms(message.at_ms)),
        mfa: message.mfa,
        token_age_ms: message.token_age_ms,
    })
}

fn parse_address(text: &str) -> Result<Option<std::net::IpAddr>, Rejection> {
    let wrong = |_| Rejection::invalid("an address is one such as 10.1.2.3 or fd00::1");
    (!text.is_empty()).then(|| text.parse().map_err(wrong)).transpose()
}

#[tonic::async_trait]
impl Roles for RolesService {
    async fn put(&self, request: Request<v1::PutRoleRequest>) -> Result<Response<v1::Role>, Status> {
        let (caller, message) = self.0.receive_change(request, Operation::RolePut);
        let parse = || {
            let (name, policies) = (RoleName::parse(&message.name)?, convert::policies(&message.policies)?);
            Ok::<_, Rejection>(Command::PutRole { name, description: message.description.clone(), policies })
        };
        let done = self.0.submit(&caller, Operation::RolePut, &message, parse()).await?;
        show_role(&done.view.state, &message.name)
    }

    async fn get(&self, request: Request<v1::GetRoleRequest>) -> Result<Response<v1::Role>, Status> {
        let (caller, message) = self.0.receive(request);
        let parse = || Ok::<_, Rejection>(Command::ReadRole { name: RoleName::parse(&message.name)? });
        let done = self.0.submit(&caller, Operation::RoleRead, &message, parse()).await?;
        show_role(&done.view.state, &message.name)
    }

    async fn list(&self, request: Request<v1::ListRolesRequest>) -> Result<Response<v1::ListRolesResponse>, Status> {
        let (caller, message) = self.0.receive(request);
        let done = self.0.submit(&caller, Operation::RoleList, &message, Ok(Command::ListRoles)).await?;
        Ok(Response::new(v1::ListRolesResponse { roles: done.view.state.roles().map(policy_rules::show_role).collect() }))
    }

    async fn delete(&self, request: Request<v1::DeleteRoleRequest>) -> Result<Response<v1::DeleteRoleResponse>, Status> {
        let (caller, message) = self.0.receive_change(request, Operation::RoleDelete);
        let parse = || Ok::<_, Rejection>(Command::DeleteRole { name: RoleName::parse(&message.name)? });
        let done = self.0.submit(&caller, Operation::RoleDelete, &message, parse()).await?;
        Ok(Response::new(v1::DeleteRoleResponse { index: done.index }))
    }
}

fn show_role(state: &State, name: &str) -> Result<Response<v1::Role>, Status> {
    let name = RoleName::parse(name).map_err(|bad| Status::invalid_argument(bad.to_string()))?;
    let role = state.role(&name).ok_or_else(|| Status::not_found(format!("role {name} was deleted meanwhile")))?;
    Ok(Response::new(policy_rules::show_role(role)))
}

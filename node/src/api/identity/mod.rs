//! The services of identities: logging in, users, machines, wrapping, certificate roles, issuers.

mod login;
mod machines;
mod roles;
mod users;
mod wrapping;

pub(crate) use login::LoginService;
pub(crate) use machines::MachinesService;
pub(crate) use roles::{CertRolesService, IssuersService};
pub(crate) use users::UsersService;
pub(crate) use wrapping::{WrappingService, check_ttl};

use crate::api::convert;
use crate::api::door::Asked;
use node_domain::identity::{Grants, IdentityCommand, LoginCommand};
use node_domain::{Command, Rejection};
use proto::v1;
use tonic::{Response, Status};

type Reply<T> = Result<Response<T>, Status>;

macro_rules! asked {
    ($($message:ty $(: $subject:ident)?),* $(,)?) => {
        $(impl Asked for $message {
            $(fn subject(&self) -> &str { &self.$subject })?
        })*
    };
}

// A login that does not parse is not quoted: people type passwords where their names belong.
asked! {
    v1::LoginPasswordRequest, v1::LoginMachineRequest, v1::LoginCertificateRequest, v1::LoginJwtRequest, v1::UnwrapRequest,
    v1::CreateUserRequest: name, v1::ListUsersRequest, v1::UserRequest: name, v1::SetPasswordRequest: name,
    v1::ConfirmTotpRequest: name, v1::SetGrantsRequest: name, v1::CreateMachineRequest: name, v1::ListMachinesRequest, v1::MachineRequest: name,
    v1::IssueSecretIdRequest: name, v1::RevokeSecretIdRequest: name, v1::CertRole: name, v1::ListCertRolesRequest,
    v1::CertRoleRequest: name, v1::Issuer: name, v1::ListIssuersRequest, v1::IssuerRequest: name, v1::WrapRequest: about,
}

impl Asked for v1::WrapSecretRequest {
    fn environment(&self) -> &str {
        &self.environment
    }

    fn subject(&self) -> &str {
        &self.path
    }
}

fn identity(command: IdentityCommand) -> Command {
    Command::Identity(Box::new(command))
}

fn without_token(command: LoginCommand) -> Command {
    Command::Login(Box::new(command))
}

fn grants(grants: Option<&v1::Grants>) -> Result<Grants, Rejection> {
    let grants = grants.ok_or_else(|| Rejection::invalid("grants are missing: say what a login gives, and for how long"))?;
    Ok(Grants {
        policies: convert::policies(&grants.policies)?,
        roles: convert::roles(&grants.roles)?,
        ttl_ms: grants.ttl_ms,
        ttl_ms_max: grants.ttl_ms_max,
        networks: convert::networks(&grants.networks)?,
        environments: convert::environments(&grants.environments)?,
    })
}

fn show_grants(grants: &Grants) -> v1::Grants {
    v1::Grants {
        policies: grants.policies.iter().map(ToString::to_string).collect(),
        roles: grants.roles.iter().map(ToString::to_string).collect(),
        ttl_ms: grants.ttl_ms,
        ttl_ms_max: grants.ttl_ms_max,
        networks: grants.networks.iter().map(ToString::to_string).collect(),
        environments: grants.environments.iter().map(ToString::to_string).collect(),
    }
}

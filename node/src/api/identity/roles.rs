//! The services of certificate roles and issuers: who from elsewhere may log in.

use super::{Reply, grants, identity, show_grants};
use crate::api::{Door, convert};
use crate::authn::key_sets;
use node_domain::Rejection;
use node_domain::identity::{CertRole, IdentityCommand, Issuer, IssuerKeys, NameGlob};
use node_domain::ids::{IdentityName, Stamp};
use node_domain::limits;
use node_domain::operation::Operation;
use proto::v1;
use proto::v1::cert_roles_server::CertRoles;
use proto::v1::issuers_server::Issuers;
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// The service of certificate roles, behind the door.
pub(crate) struct CertRolesService(pub(crate) Arc<Door>);

/// The service of issuers, behind the door.
pub(crate) struct IssuersService(pub(crate) Arc<Door>);

fn show_role(role: &CertRole) -> v1::CertRole {
    v1::CertRole {
        name: role.name.to_string(),
        san_globs: role.names.iter().map(ToString::to_string).collect(),
        common_names: role.common_names.clone(),
        grants: Some(show_grants(&role.grants)),
        updated_at_ms: role.updated.as_ms(),
    }
}

fn show_issuer(issuer: &Issuer) -> v1::Issuer {
    let keys = match &issuer.keys {
        IssuerKeys::Inline(json) => v1::issuer::Keys::Jwks(json.clone()),
        IssuerKeys::Url(url) => v1::issuer::Keys::JwksUrl(url.clone()),
    };
    v1::Issuer {
        name: issuer.name.to_string(),
        url: issuer.url.clone(),
        audience: issuer.audience.clone(),
        keys: Some(keys),
        bound_claims: issuer.bound_claims.clone(),
        grants: Some(show_grants(&issuer.grants)),
        updated_at_ms: issuer.updated.as_ms(),
    }
}

fn parse_issuer(message: &v1::Issuer) -> Result<Issuer, Rejection> {
    let unusable = |cause: String| Rejection::invalid(format!("the key set of the issuer: {cause}"));
    let keys = match message.keys.as_ref().ok_or_else(|| unusable("it is missing".into()))? {
        v1::issuer::Keys::Jwks(json) => {
            check_size(json, limits::KEY_SET_BYTES_MAX)?;
            key_sets::parse(json.as_bytes()).map_err(unusable)?;
            IssuerKeys::Inline(json.clone())
        }
        v1::issuer::Keys::JwksUrl(url) => {
            check_size(url, limits::TEXT_BYTES_MAX)?;
            key_sets::check_address(url).map_err(unusable)?;
            IssuerKeys::Url(url.clone())
        }
    };
    Ok(Issuer {
        name: IdentityName::parse(&message.name)?,
        url: message.url.clone(),
        audience: message.audience.clone(),
        keys,
        bound_claims: message.bound_claims.clone(),
        grants: grants(message.grants.as_ref())?,
        version: 0,
        updated: Stamp(0),
    })
}

/// Before anything is made of it.
fn check_size(keys: &str, most: usize) -> Result<(), Rejection> {
    if keys.len() > most {
        return Err(Rejection::invalid(format!("a key set, or its address, has 1 to {most} bytes")));
    }
    Ok(())
}

#[tonic::async_trait]
impl CertRoles for CertRolesService {
    async fn put(&self, request: Request<v1::CertRole>) -> Reply<v1::CertRole> {
        let (caller, message) = self.0.receive_change(request, Operation::CertRolePut);
        let parse = || {
            let count = message.san_globs.len() + message.common_names.len();
            convert::check_count("names", count, limits::CERTIFICATE_NAMES_MAX)?;
            Ok::<_, Rejection>(identity(IdentityCommand::PutCertRole {
                name: IdentityName::parse(&message.name)?,
                names: message.san_globs.iter().map(|glob| NameGlob::parse(glob)).collect::<Result<_, _>>()?,
                common_names: message.common_names.clone(),
                grants: grants(message.grants.as_ref())?,
            }))
        };
        let done = self.0.submit(&caller, Operation::CertRolePut, &message, parse()).await?;
        let name = IdentityName::parse(&message.name).ok();
        let role = name.and_then(|name| done.view.state.identity().cert_role(&name).map(show_role));
        role.map(Response::new).ok_or_else(|| Status::not_found("the certificate role was deleted meanwhile"))
    }

    async fn list(&self, request: Request<v1::ListCertRolesRequest>) -> Reply<v1::ListCertRolesResponse> {
        let (caller, message) = self.0.receive(request);
        let command = Ok(identity(IdentityCommand::ListCertRoles));
        let done = self.0.submit(&caller, Operation::CertRoleList, &message, command).await?;
        Ok(Response::new(v1::ListCertRolesResponse { roles: done.view.state.identity().cert_roles().map(show_role).collect() }))
    }

    async fn delete(&self, request: Request<v1::CertRoleRequest>) -> Reply<v1::CertRoleResponse> {
        let (caller, message) = self.0.receive_change(request, Operation::CertRoleDelete);
        let parsed = IdentityName::parse(&message.name).map(|name| identity(IdentityCommand::DeleteCertRole { name }));
        let done = self.0.submit(&caller, Operation::CertRoleDelete, &message, parsed.map_err(Rejection::from)).await?;
        Ok(Response::new(v1::CertRoleResponse { index: done.index }))
    }
}

#[tonic::async_trait]
impl Issuers for IssuersService {
    async fn put(&self, request: Request<v1::Issuer>) -> Reply<v1::Issuer> {
        let (caller, message) = self.0.receive_change(request, Operation::IssuerPut);
        let parsed = parse_issuer(&message).map(|issuer| identity(IdentityCommand::PutIssuer(Box::new(issuer))));
        let done = self.0.submit(&caller, Operation::IssuerPut, &message, parsed).await?;
        let name = IdentityName::parse(&message.name).ok();
        let issuer = name.and_then(|name| done.view.state.identity().issuer(&name).map(show_issuer));
        issuer.map(Response::new).ok_or_else(|| Status::not_found("the issuer was deleted meanwhile"))
    }

    async fn list(&self, request: Request<v1::ListIssuersRequest>) -> Reply<v1::ListIssuersResponse> {
        let (caller, message) = self.0.receive(request);
        let command = Ok(identity(IdentityCommand::ListIssuers));
        let done = self.0.submit(&caller, Operation::IssuerList, &message, command).await?;
        Ok(Response::new(v1::ListIssuersResponse { issuers: done.view.state.identity().issuers().map(show_issuer).collect() }))
    }

    async fn delete(&self, request: Request<v1::IssuerRequest>) -> Reply<v1::IssuerResponse> {
        let (caller, message) = self.0.receive_change(request, Operation::IssuerDelete);
        let parsed = IdentityName::parse(&message.name).map(|name| identity(IdentityCommand::DeleteIssuer { name }));
        let done = self.0.submit(&caller, Operation::IssuerDelete, &message, parsed.map_err(Rejection::from)).await?;
        Ok(Response::new(v1::IssuerResponse { index: done.index }))
    }
}

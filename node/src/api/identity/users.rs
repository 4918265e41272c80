//! The service of users.

use super::{Reply, grants, identity, show_grants};
use crate::api::door::{Caller, Done};
use crate::api::{Door, convert, status};
use crate::authn::codes;
use node_domain::Rejection;
use node_domain::identity::{IdentityCommand, PasswordChange, TotpWish, User, UserWish};
use node_domain::ids::IdentityName;
use node_domain::operation::Operation;
use proto::v1;
use proto::v1::users_server::Users;
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// How often a code or a password is checked again because the user was changed meanwhile, or is news to this node.
const TRIES: usize = 3;

/// The service of users, behind the door.
pub(crate) struct UsersService(pub(crate) Arc<Door>);

impl UsersService {
    async fn change(
        &self,
        request: Request<v1::UserRequest>,
        operation: Operation,
        command: impl FnOnce(IdentityName) -> IdentityCommand,
    ) -> Reply<v1::UserResponse> {
        let (caller, message) = self.0.receive_change(request, operation);
        let parsed = IdentityName::parse(&message.name).map(|name| identity(command(name))).map_err(Rejection::from);
        let done = self.0.submit(&caller, operation, &message, parsed).await?;
        Ok(Response::new(v1::UserResponse { index: done.index }))
    }

    async fn password_change(&self, caller: &Caller, message: &v1::SetPasswordRequest) -> Result<IdentityCommand, Rejection> {
        let name = IdentityName::parse(&message.name)?;
        let (passwords, from) = (&self.0.authn.passwords, caller.ask.address);
        let password = passwords.hash(name.as_str(), &message.password, self.0.sealing.entropy(), from).await?;
        let view = self.0.view();
        let user = view.state.identity().user(&name);
        let mut proven = None;
        if !message.current.is_empty() {
            let fits = passwords.fits(&message.current, user.and_then(|user| user.password.as_ref()), from).await?;
            proven = user.map(|user| user.credential).filter(|_| fits);
        }
        Ok(IdentityCommand::SetPassword(PasswordChange { name, password, proven }))
    }

    fn confirmation(&self, message: &v1::ConfirmTotpRequest) -> Result<IdentityCommand, Rejection> {
        let name = IdentityName::parse(&message.name)?;
        let view = self.0.view();
        let pending = view.state.identity().user(&name).and_then(|user| user.totp_pending.as_ref());
        let (digest, steps) = match pending {
            Some(pending) => {
                let now = self.0.authn.clock.now();
                let steps = codes::fitting_steps(&self.0.sealing, &name, &pending.sealed, &message.code, now);
                let fault = |error| Rejection::NodeFault(status::fault("open a second factor", &error).message().to_owned());
                (pending.digest, steps.map_err(fault)?)
            }
            None => ([0; 32], Vec::new()),
        };
        Ok(IdentityCommand::ConfirmTotp { name, digest, steps })
    }
}

fn user<'a>(done: &'a Done, name: &str) -> Result<&'a User, Status> {
    let name = IdentityName::parse(name).map_err(|bad| Status::invalid_argument(bad.to_string()))?;
    let user = done.view.state.identity().user(&name);
    user.ok_or_else(|| Status::not_found(format!("user {name} was deleted meanwhile")))
}

fn show(user: &User) -> v1::User {
    v1::User {
        name: user.name.to_string(),
        grants: Some(show_grants(&user.grants)),
        disabled: user.disabled,
        requires_totp: user.requires_totp,
        has_totp: user.totp.is_some(),
        recovery_codes_left: user.totp.as_ref().map_or(0, |totp| u32::try_from(totp.recovery.len()).unwrap_or(u32::MAX)),
        locked_until_ms: convert::show_end(user.failures.locked_until),
        failures: u32::try_from(user.failures.recent.len()).unwrap_or(u32::MAX),
        created_at_ms: user.created.as_ms(),
        created_by: user.created_by.to_string(),
    }
}

#[tonic::async_trait]
impl Users for UsersService {
    async fn create(&self, request: Request<v1::CreateUserRequest>) -> Reply<v1::User> {
        let (caller, message) =
            self.0.receive_secretive(request, Operation::UserCreate, |message: &mut v1::CreateUserRequest| {
                zeroize::Zeroize::zeroize(&mut message.password);
            });
        let parse = async || {
            // Whoever is nobody has no passwords hashed.
            self.0.check_known(&caller).await?;
            let name = IdentityName::parse(&message.name)?;
            let (grants, from) = (grants(message.grants.as_ref())?, caller.ask.address);
            let password = self.0.authn.passwords.hash(name.as_str(), &message.password, self.0.sealing.entropy(), from).await?;
            let wish = UserWish { name, password, grants, requires_totp: message.requires_totp };
            Ok(identity(IdentityCommand::CreateUser(wish)))
        };
        let command = parse().await;
        let done = self.0.submit(&caller, Operation::UserCreate, &message, command).await?;
        Ok(Response::new(show(user(&done, &message.name)?)))
    }

    async fn list(&self, request: Request<v1::ListUsersRequest>) -> Reply<v1::ListUsersResponse> {
        let (caller, message) = self.0.receive(request);
        let done = self.0.submit(&caller, Operation::UserList, &message, Ok(identity(IdentityCommand::ListUsers))).await?;
        Ok(Response::new(v1::ListUsersResponse { users: done.view.state.identity().users().map(show).collect() }))
    }

    async fn get(&self, request: Request<v1::UserRequest>) -> Reply<v1::User> {
        let (caller, message) = self.0.receive(request);
        let parsed = IdentityName::parse(&message.name).map(|name| identity(IdentityCommand::ReadUser { name }));
        let done = self.0.submit(&caller, Operation::UserRead, &message, parsed.map_err(Rejection::from)).await?;
        Ok(Response::new(show(user(&done, &message.name)?)))
    }

    async fn disable(&self, request: Request<v1::UserRequest>) -> Reply<v1::UserResponse> {
        self.change(request, Operation::UserDisable, |name| IdentityCommand::DisableUser { name }).await
    }

    async fn enable(&self, request: Request<v1::UserRequest>) -> Reply<v1::UserResponse> {
        self.change(request, Operation::UserEnable, |name| IdentityCommand::EnableUser { name }).await
    }

    async fn delete(&self, request: Request<v1::UserRequest>) -> Reply<v1::UserResponse> {
        self.change(request, Operation::UserDelete, |name| IdentityCommand::DeleteUser { name }).await
    }

    async fn unlock(&self, request: Request<v1::UserRequest>) -> Reply<v1::UserResponse> {
        self.change(request, Operation::UserUnlock, |name| IdentityCommand::UnlockUser { name }).await
    }

    async fn set_grants(&self, request: Request<v1::SetGrantsRequest>) -> Reply<v1::User> {
        let (caller, message) = self.0.receive_change(request, Operation::UserGrant);
        let parse = || {
            let (name, grants) = (IdentityName::parse(&message.name)?, grants(message.grants.as_ref())?);
            Ok::<_, Rejection>(identity(IdentityCommand::SetUserGrants { name, grants }))
        };
        let done = self.0.submit(&caller, Operation::UserGrant, &message, parse()).await?;
        Ok(Response::new(show(user(&done, &message.name)?)))
    }

    async fn set_password(&self, request: Request<v1::SetPasswordRequest>) -> Reply<v1::UserResponse> {
        let (caller, message) =
            self.0.receive_secretive(request, Operation::UserPassword, |message: &mut v1::SetPasswordRequest| {
                zeroize::Zeroize::zeroize(&mut message.password);
                zeroize::Zeroize::zeroize(&mut message.current);
            });
        let command = match self.0.check_known(&caller).await {
            Ok(()) => self.password_change(&caller, &message).await.map(identity),
            Err(rejection) => Err(rejection),
        };
        let done = self.0.submit(&caller, Operation::UserPassword, &message, command).await?;
        Ok(Response::new(v1::UserResponse { index: done.index }))
    }

    async fn enrol_totp(&self, request: Request<v1::UserRequest>) -> Reply<v1::EnrolTotpResponse> {
        let (caller, message) = self.0.receive_change(request, Operation::UserTotpEnrol);
        let drawn = IdentityName::parse(&message.name).map_err(Rejection::from).and_then(|name| {
            let drawn = codes::draw(&self.0.sealing, &name);
            Ok((name, drawn.map_err(|cause| Rejection::NodeFault(format!("draw a second factor: {cause}")))?))
        });
        let command = drawn.as_ref().map_err(Clone::clone).map(|(name, new)| {
            let recovery = new.recovery.iter().map(|code| codes::recovery_hash(&self.0.sealing, code)).collect();
            identity(IdentityCommand::EnrolTotp(TotpWish { name: name.clone(), sealed: new.sealed.clone(), recovery }))
        });
        let done = self.0.submit(&caller, Operation::UserTotpEnrol, &message, command).await?;
        let (_, new) = drawn.map_err(|rejection| status::refused(&rejection))?;
        // A repeated request finds the secret that its first asking made; its text is gone with that answer.
        let pending = user(&done, &message.name)?.totp_pending.as_ref();
        if pending.is_none_or(|pending| pending.sealed != new.sealed) {
            return Err(Status::failed_precondition("the secret was in the first answer to this request only: enrol anew"));
        }
        let recovery_codes = new.recovery.iter().map(|code| code.to_string()).collect();
        Ok(Response::new(v1::EnrolTotpResponse { uri: new.uri.to_string(), recovery_codes }))
    }

    async fn confirm_totp(&self, request: Request<v1::ConfirmTotpRequest>) -> Reply<v1::UserResponse> {
        let (caller, message) = self.0.receive_change(request, Operation::UserTotpConfirm);
        let mut tries = TRIES;
        loop {
            tries -= 1;
            let command = self.confirmation(&message).map(identity);
            match self.0.decided(&caller, Operation::UserTotpConfirm, &message, command).await? {
                Err(Rejection::Conflict { .. }) if tries > 0 => {}
                Err(rejection) => return Err(status::refused(&rejection)),
                Ok(done) => return Ok(Response::new(v1::UserResponse { index: done.index })),
            }
        }
    }

    async fn remove_totp(&self, request: Request<v1::UserRequest>) -> Reply<v1::UserResponse> {
        self.change(request, Operation::UserTotpRemove, |name| IdentityCommand::RemoveTotp { name }).await
    }
}

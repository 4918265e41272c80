//! Logging in. What was shown is checked here, against this node's view; the decision checks that the view still stood.

use super::{Reply, without_token};
use crate::api::door::{Asked, Caller};
use crate::api::{Door, convert, status};
use crate::authn::{certificate, codes, jwt, key_sets};
use crate::engine::sealing::new_token;
use node_domain::Rejection;
use node_domain::identity::{FailedBy, Issuer, IssuerKeys, JwtLogin, LoginCommand, MachineLogin, PasswordLogin};
use node_domain::ids::{Accessor, IdentityName, TokenHash};
use node_domain::operation::Operation;
use proto::v1;
use proto::v1::login_server::Login;
use std::sync::Arc;
use tonic::{Request, Response, Status};
use zeroize::Zeroizing;

/// How often a login is checked again because its user or issuer was changed meanwhile, or is news to this node.
const TRIES: usize = 3;

/// The service of logging in, behind the door.
pub(crate) struct LoginService(pub(crate) Arc<Door>);

/// The token that a login will lead to.
struct Drawn {
    text: Zeroizing<String>,
    hash: TokenHash,
}

impl LoginService {
    fn draw(&self) -> Drawn {
        let text = new_token(self.0.sealing.entropy());
        let hash = self.0.sealing.token_hash(&text);
        Drawn { text, hash }
    }

    async fn log_in(
        &self,
        caller: &Caller,
        operation: Operation,
        asked: &(dyn Asked + Sync),
        command: Result<LoginCommand, Rejection>,
        drawn: &Drawn,
    ) -> Result<Result<v1::LoginResponse, Rejection>, Status> {
        let command = command.unwrap_or_else(|rejection| LoginCommand::Flawed { operation, subject: String::new(), rejection });
        let done = match self.0.decided(caller, operation, asked, Ok(without_token(command))).await? {
            Ok(done) => done,
            Err(rejection) => return Ok(Err(rejection)),
        };
        let token = done.view.state.token_by_accessor(&Accessor::of(&drawn.hash));
        let token =
            token.ok_or_else(|| Status::unauthenticated("the token of this login was revoked meanwhile: log in again"))?;
        Ok(Ok(v1::LoginResponse { token: drawn.text.to_string(), details: Some(convert::show_token(token)) }))
    }

    async fn check_password(
        &self,
        message: &v1::LoginPasswordRequest,
        name: &IdentityName,
        caller: &Caller,
        token: TokenHash,
    ) -> Result<LoginCommand, Rejection> {
        caller.admitted()?;
        let view = self.0.view();
        let user = view.state.identity().user(name);
        let known = user.and_then(|user| user.password.as_ref());
        let password_fits = self.0.authn.passwords.fits(&message.password, known, caller.ask.address).await?;
        let sealed = user.and_then(|user| user.totp.as_ref()).map(|totp| &totp.sealed);
        let now = self.0.authn.clock.now();
        let factor = codes::second_factor(&self.0.sealing, name, sealed, &message.code, now).map_err(|error| {
            drop(status::fault("open a second factor", &error));
            Rejection::NodeFault("a second factor could not be opened".into())
        })?;
        let credential = user.map_or(0, |user| user.credential);
        Ok(LoginCommand::Password(PasswordLogin { user: name.clone(), credential, password_fits, factor, token }))
    }

    async fn check_jwt(
        &self,
        message: &v1::LoginJwtRequest,
        name: &IdentityName,
        caller: &Caller,
        token: TokenHash,
    ) -> Result<LoginCommand, Rejection> {
        caller.admitted()?;
        let view = self.0.view();
        let Some(issuer) = view.state.identity().issuer(name) else {
            // The leader may know it: then it says so, and this node looks again.
            let (subject, id, expires) = (String::new(), String::new(), node_domain::ids::Stamp(u64::MAX));
            return Ok(LoginCommand::Jwt(JwtLogin { issuer: name.clone(), version: 0, subject, id, expires, token }));
        };
        let version = issuer.version;
        Ok(match self.verify(issuer, &message.jwt).await {
            Ok(jwt::Verified { subject, id, expires }) => {
                LoginCommand::Jwt(JwtLogin { issuer: name.clone(), version, subject, id, expires, token })
            }
            Err((cause, why)) => {
                tracing::info!(issuer = %name, why, "a signed token does not count");
                LoginCommand::JwtRefused { issuer: name.clone(), version, cause }
            }
        })
    }

    async fn verify(&self, issuer: &Issuer, text: &str) -> Result<jwt::Verified, jwt::Wrong> {
        let key = jwt::key_id(text)?;
        let keys = match &issuer.keys {
            IssuerKeys::Inline(json) => key_sets::parse(json.as_bytes()).map(Arc::new),
            IssuerKeys::Url(url) => self.0.authn.key_sets.fetch(url, key.as_deref()).await,
        };
        let keys = keys.map_err(|why| (FailedBy::Keys, why))?;
        jwt::verify(issuer, text, &keys, self.0.authn.clock.now())
    }
}

fn answer(outcome: Result<v1::LoginResponse, Rejection>) -> Reply<v1::LoginResponse> {
    outcome.map(Response::new).map_err(|rejection| status::refused(&rejection))
}

#[tonic::async_trait]
impl Login for LoginService {
    async fn password(&self, request: Request<v1::LoginPasswordRequest>) -> Reply<v1::LoginResponse> {
        let (caller, mut message) = self.0.receive_login(request);
        let drawn = self.draw();
        let operation = Operation::LoginPassword;
        let mut tries = TRIES;
        let outcome = loop {
            tries -= 1;
            let command = match IdentityName::parse(&message.user) {
                Ok(name) => self.check_password(&message, &name, &caller, drawn.hash).await,
                Err(_) => Err(Rejection::NotLoggedIn("this is no name of a user".into())),
            };
            match self.log_in(&caller, operation, &message, command, &drawn).await? {
                Err(Rejection::Conflict { .. }) if tries > 0 => {}
                outcome => break outcome,
            }
        };
        zeroize::Zeroize::zeroize(&mut message.password);
        answer(outcome)
    }

    async fn machine(&self, request: Request<v1::LoginMachineRequest>) -> Reply<v1::LoginResponse> {
        let (caller, message) = self.0.receive_login(request);
        let drawn = self.draw();
        let role_id = storage_crypto::hex::decode(message.role_id.trim()).ok().and_then(|bytes| bytes.try_into().ok());
        let secret = self.0.sealing.token_hash(message.secret_id.trim());
        let command = match role_id {
            Some(role_id) => Ok(LoginCommand::Machine(MachineLogin { role_id, secret, token: drawn.hash })),
            None => Err(Rejection::NotLoggedIn("a role id is 32 hexadecimal digits".into())),
        };
        answer(self.log_in(&caller, Operation::LoginMachine, &message, command, &drawn).await?)
    }

    async fn certificate(&self, request: Request<v1::LoginCertificateRequest>) -> Reply<v1::LoginResponse> {
        let shown = request.peer_certs().and_then(|certificates| certificates.first().map(|first| first.to_vec()));
        let (caller, message) = self.0.receive_login(request);
        let drawn = self.draw();
        let parse = || {
            let role = (!message.role.is_empty()).then(|| IdentityName::parse(&message.role)).transpose()?;
            let none = "no certificate was shown: give --cert-file and --key-file; the node needs tls.client_ca";
            let der = shown.ok_or_else(|| Rejection::NotLoggedIn(none.into()))?;
            let login = certificate::login(&der, role, drawn.hash);
            Ok(LoginCommand::Certificate(login.map_err(|_| Rejection::NotLoggedIn("the certificate cannot be read".into()))?))
        };
        answer(self.log_in(&caller, Operation::LoginCertificate, &message, parse(), &drawn).await?)
    }

    async fn jwt(&self, request: Request<v1::LoginJwtRequest>) -> Reply<v1::LoginResponse> {
        let (caller, message) = self.0.receive_login(request);
        let drawn = self.draw();
        let mut tries = TRIES;
        loop {
            tries -= 1;
            let command = match IdentityName::parse(&message.issuer) {
                Ok(name) => self.check_jwt(&message, &name, &caller, drawn.hash).await,
                Err(bad) => Err(bad.into()),
            };
            match self.log_in(&caller, Operation::LoginJwt, &message, command, &drawn).await? {
                Err(Rejection::Conflict { .. }) if tries > 0 => {}
                outcome => return answer(outcome),
            }
        }
    }
}

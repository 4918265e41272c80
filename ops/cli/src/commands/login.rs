//! `holdfast login`, `holdfast logout`.

use std::path::PathBuf;

use clap::Args;
use proto_client::v1;
use zeroize::Zeroizing;

use crate::{
    exit::{Doing, Failure},
    input,
    output::{Format, time},
    settings::Session,
};

use super::token;

const EXAMPLES: &str = "\
Examples:
  holdfast login ana
  holdfast login ana --password-file ana.password --code 123456
  holdfast login --machine 0f6e4a… --secret-id-file secret-id
  holdfast login --certificate ci --cert-file ci.pem --key-file ci.key
  holdfast login --issuer github --jwt-file -
  TOKEN=$(holdfast login ana -o raw)

The token is kept in a file that nobody else may read, for this cluster; -o raw prints it instead.";

/// Prove who is calling, and keep the token that it leads to.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Login {
    /// The user; the password is asked for.
    #[arg(value_name = "USER", required_unless_present_any = ["role_id", "certificate", "issuer"],
          conflicts_with_all = ["role_id", "certificate", "issuer"])]
    user: Option<String>,
    /// File that holds the password, or - for standard input.
    #[arg(long, value_name = "FILE", requires = "user")]
    password_file: Option<String>,
    /// The code of the authenticator, or a recovery code: each counts once.
    #[arg(long, value_name = "CODE", requires = "user")]
    code: Option<String>,
    /// Role id of a machine.
    #[arg(long = "machine", value_name = "ROLE_ID", requires = "secret_id_file", conflicts_with_all = ["certificate", "issuer"])]
    role_id: Option<String>,
    /// File that holds the machine's secret id, or - for standard input.
    #[arg(long, value_name = "FILE")]
    secret_id_file: Option<String>,
    /// Log in with the client certificate, by this role or by the first that fits.
    #[arg(long, value_name = "ROLE", num_args = 0..=1, default_missing_value = "", conflicts_with = "issuer")]
    certificate: Option<String>,
    /// Log in with a signed token (JWT) of this issuer.
    #[arg(long, value_name = "NAME", requires = "jwt_file")]
    issuer: Option<String>,
    /// File that holds the signed token, or - for standard input.
    #[arg(long, value_name = "FILE")]
    jwt_file: Option<String>,
    /// Keep the token in this file, which must be new, instead of where it is looked for.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Login {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let client = session.client().await?;
        let answer = if let Some(user) = &self.user {
            let password = match &self.password_file {
                Some(file) => input::secret_line(file)?,
                None => input::ask_once(&format!("password of {user}"))?,
            };
            let code = match (&self.code, &self.password_file) {
                (Some(code), _) => Zeroizing::new(code.clone()),
                (None, Some(_)) => Zeroizing::default(),
                (None, None) => input::ask_once("code of the authenticator (empty where there is none)")?,
            };
            let request = v1::LoginPasswordRequest { user: user.clone(), password: password.to_string(), code: code.to_string() };
            client.login().password(request).await.doing(|| format!("log in as {user}"))?
        } else if let (Some(role_id), Some(file)) = (&self.role_id, &self.secret_id_file) {
            let secret_id = input::secret_line(file)?.to_string();
            let request = v1::LoginMachineRequest { role_id: role_id.clone(), secret_id };
            client.login().machine(request).await.doing(|| "log in as a machine".to_owned())?
        } else if let (Some(issuer), Some(file)) = (&self.issuer, &self.jwt_file) {
            let jwt = input::secret_line(file)?.to_string();
            let request = v1::LoginJwtRequest { issuer: issuer.clone(), jwt };
            client.login().jwt(request).await.doing(|| format!("log in by a token of {issuer}"))?
        } else {
            let request = v1::LoginCertificateRequest { role: self.certificate.clone().unwrap_or_default() };
            client.login().certificate(request).await.doing(|| "log in by a certificate".to_owned())?
        };
        self.keep(session, answer)
    }

    fn keep(&self, session: &Session, answer: v1::LoginResponse) -> Result<(), Failure> {
        let text = Zeroizing::new(answer.token);
        let details = answer.details.unwrap_or_default();
        if session.out.format() == Format::Raw {
            return session.out.text(&text);
        }
        let path = match &self.out {
            Some(path) => {
                token::write_new(path, &text)?;
                path.clone()
            }
            None => session.keep_login(&text)?,
        };
        if let Some(variable) = session.token_variable {
            let who = &details.principal;
            session.out.warn(&format!("{variable} is set and counts before this login: unset {variable} to go on as {who}"));
        }
        let until = time::local(details.expires_at_ms);
        let sentence = format!("logged in as {} until {until}; the token is in {}", details.principal, path.display());
        session.out.done(&token::document(&details), &sentence)
    }
}

/// End the token that `holdfast login` has kept, and forget it.
#[derive(Args)]
#[command(after_help = "Examples:\n  holdfast logout")]
pub(crate) struct Logout {}

impl Logout {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let (path, kept) = session.kept_login()?;
        let client = session.client().await?.with_token(&kept)?;
        let revoked = client.tokens().revoke(v1::RevokeTokenRequest { accessor: String::new() }).await;
        // One that has ended by itself is as good as revoked; any other failure leaves the file, to try again.
        if let Err(error) = revoked
            && error.code != tonic::Code::Unauthenticated
        {
            return Err(Failure::of_call("end the token", &error));
        }
        std::fs::remove_file(&path).map_err(|error| Failure::io(format!("cannot delete {}", path.display()), &error))?;
        session.out.done(&serde_json::json!({ "file": path.display().to_string() }), "logged out")
    }
}

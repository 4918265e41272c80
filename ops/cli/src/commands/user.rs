//! `holdfast user`.

use std::io::Write;

use clap::Subcommand;
use proto_client::v1;
use qrcode::{QrCode, render::unicode};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::grants;
use crate::{
    exit::{Doing, Failure},
    input,
    output::{table, time},
    settings::Session,
};

/// Users.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Make a user. The password is asked for.
    #[command(after_help = "Examples:
  holdfast user create ana --policy developer --ttl 8h --max-ttl 24h
  holdfast user create bob --role operator --require-totp --bind-cidr 10.0.0.0/8
  holdfast user create ana --policy developer --password-file ana.password")]
    Create {
        /// The name that stands in the journal.
        name: String,
        #[command(flatten)]
        grants: grants::Given,
        /// Refuse logins without a second factor.
        #[arg(long)]
        require_totp: bool,
        /// File that holds the password, or - for standard input.
        #[arg(long, value_name = "FILE")]
        password_file: Option<String>,
    },
    /// List users.
    #[command(after_help = "Examples:\n  holdfast user list")]
    List,
    /// Show a user.
    #[command(after_help = "Examples:\n  holdfast user get ana")]
    Get {
        /// Its name.
        name: String,
    },
    /// Set what a login gives, all of it, and end the user's tokens.
    #[command(after_help = "Examples:
  holdfast user grant ana --policy developer,on-call --ttl 8h --max-ttl 24h
  holdfast user grant bob --role operator --bind-cidr 10.0.0.0/8")]
    Grant {
        /// Its name.
        name: String,
        #[command(flatten)]
        grants: grants::Given,
    },
    /// Refuse every login of a user, and end its tokens.
    #[command(after_help = "Examples:\n  holdfast user disable ana")]
    Disable {
        /// Its name.
        name: String,
    },
    /// Let a user log in again.
    #[command(after_help = "Examples:\n  holdfast user enable ana")]
    Enable {
        /// Its name.
        name: String,
    },
    /// Take away the lock of a user who has failed too often.
    #[command(after_help = "Examples:\n  holdfast user unlock ana")]
    Unlock {
        /// Its name.
        name: String,
    },
    /// Delete a user, and end its tokens.
    #[command(after_help = "Examples:\n  holdfast user delete ana --yes")]
    Delete {
        /// Its name.
        name: String,
    },
    /// Set a password, and end the user's tokens.
    #[command(after_help = "Examples:
  holdfast user password ana
  holdfast user password ana --current       for your own")]
    Password {
        /// Whose.
        name: String,
        /// Show the password that there is: whoever may not change every user's needs it.
        #[arg(long)]
        current: bool,
        /// File that holds the new password, or - for standard input.
        #[arg(long, value_name = "FILE")]
        password_file: Option<String>,
    },
    /// The second factor of a user.
    #[command(subcommand)]
    Totp(Totp),
}

/// The second factor: codes of an authenticator.
#[derive(Subcommand)]
pub(crate) enum Totp {
    /// Make a second factor. It is shown once, and counts from its first code on.
    #[command(after_help = "Examples:\n  holdfast user totp enrol ana\n  holdfast user totp enrol ana -o json")]
    Enrol {
        /// Whose.
        name: String,
    },
    /// Show the first code of a second factor.
    #[command(after_help = "Examples:\n  holdfast user totp confirm ana 123456")]
    Confirm {
        /// Whose.
        name: String,
        /// What the authenticator shows.
        code: String,
    },
    /// Take a second factor away.
    #[command(after_help = "Examples:\n  holdfast user totp remove ana --yes")]
    Remove {
        /// Whose.
        name: String,
    },
}

impl Command {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Command::Create { name, grants, require_totp, password_file } => {
                let password = new_password(&name, password_file.as_deref())?;
                let request = v1::CreateUserRequest {
                    name: name.clone(),
                    password: password.to_string(),
                    grants: Some(grants.into()),
                    requires_totp: require_totp,
                };
                let user = session.client().await?.users().create(request).await.doing(|| format!("make user {name}"))?;
                session.out.done(&document(&user), &format!("made user {name}"))
            }
            Command::List => list(session).await,
            Command::Get { name } => {
                let request = v1::UserRequest { name: name.clone() };
                let user = session.client().await?.users().get(request).await.doing(|| format!("show user {name}"))?;
                session.out.show(&document(&user), |out| facts(out, &user))
            }
            Command::Grant { name, grants } => {
                let request = v1::SetGrantsRequest { name: name.clone(), grants: Some(grants.into()) };
                let user = session.client().await?.users().set_grants(request).await.doing(|| format!("set grants of {name}"))?;
                session.out.done(&document(&user), &format!("user {name} has other grants; its tokens have ended"))
            }
            Command::Password { name, current, password_file } => password(session, name, current, password_file).await,
            Command::Totp(command) => command.run(session).await,
            command => command.change(session).await,
        }
    }

    async fn change(self, session: &Session) -> Result<(), Failure> {
        let client = session.client().await?;
        let users = client.users();
        let request = |name: &str| v1::UserRequest { name: name.to_owned() };
        let (name, word, changed) = match self {
            Command::Disable { name } => {
                let changed = users.disable(request(&name)).await;
                (name, "disabled", changed)
            }
            Command::Enable { name } => {
                let changed = users.enable(request(&name)).await;
                (name, "enabled", changed)
            }
            Command::Unlock { name } => {
                let changed = users.unlock(request(&name)).await;
                (name, "unlocked", changed)
            }
            Command::Delete { name } => {
                super::confirm(session, &format!("User {name} and its tokens go for good."))?;
                let changed = users.delete(request(&name)).await;
                (name, "deleted", changed)
            }
            _ => return Ok(()),
        };
        let index = changed.doing(|| format!("change user {name}"))?.index;
        session.out.done(&json!({ "name": name, "index": index }), &format!("{word} user {name} (record {index})"))
    }
}

fn new_password(name: &str, file: Option<&str>) -> Result<Zeroizing<String>, Failure> {
    match file {
        Some(file) => input::secret_line(file),
        None => input::ask_twice(&format!("new password of {name}")),
    }
}

async fn password(session: &Session, name: String, current: bool, file: Option<String>) -> Result<(), Failure> {
    let current = if current { input::ask_once("current password")? } else { Zeroizing::default() };
    let password = new_password(&name, file.as_deref())?;
    let request = v1::SetPasswordRequest { name: name.clone(), password: password.to_string(), current: current.to_string() };
    let index =
        session.client().await?.users().set_password(request).await.doing(|| format!("set the password of {name}"))?.index;
    session.out.done(&json!({ "name": name, "index": index }), &format!("the password of {name} is set; its tokens have ended"))
}

async fn list(session: &Session) -> Result<(), Failure> {
    let answer = session.client().await?.users().list(v1::ListUsersRequest {}).await;
    let users = answer.doing(|| "list the users".to_owned())?.users;
    let documents: Vec<_> = users.iter().map(document).collect();
    session.out.show(&json!({ "users": documents }), |out| {
        let row = |user: &v1::User| {
            let names = grants::names(user.grants.as_ref());
            [user.name.clone(), names, second_factor(user).to_owned(), state(user), time::local(user.created_at_ms)]
        };
        table::rows(out, &["USER", "MAY", "TOTP", "STATE", "CREATED"], users.iter().map(row))
    })
}

fn second_factor(user: &v1::User) -> &'static str {
    match (user.has_totp, user.requires_totp) {
        (true, _) => "yes",
        (false, true) => "missing",
        (false, false) => "no",
    }
}

fn state(user: &v1::User) -> String {
    match (user.disabled, user.locked_until_ms) {
        (true, _) => "disabled".to_owned(),
        (false, 0) => "active".to_owned(),
        (false, until) => format!("locked until {}", time::local(until)),
    }
}

fn facts(out: &mut dyn Write, user: &v1::User) -> std::io::Result<()> {
    let mut facts = vec![("user", user.name.clone()), ("state", state(user)), ("totp", second_factor(user).to_owned())];
    if user.has_totp {
        facts.push(("recovery codes", format!("{} left", user.recovery_codes_left)));
    }
    facts.extend(grants::facts(user.grants.as_ref()));
    facts.push(("created", format!("{} by {}", time::local(user.created_at_ms), user.created_by)));
    table::facts(out, facts)
}

fn document(user: &v1::User) -> Value {
    json!({
        "name": user.name,
        "grants": grants::document(user.grants.as_ref()),
        "disabled": user.disabled,
        "requires_totp": user.requires_totp,
        "has_totp": user.has_totp,
        "recovery_codes_left": user.recovery_codes_left,
        "locked_until": time::utc(user.locked_until_ms),
        "failures": user.failures,
        "created": time::utc(user.created_at_ms),
        "created_by": user.created_by,
    })
}

impl Totp {
    async fn run(self, session: &Session) -> Result<(), Failure> {
        let client = session.client().await?;
        match self {
            Totp::Enrol { name } => {
                let request = v1::UserRequest { name: name.clone() };
                let made = client.users().enrol_totp(request).await.doing(|| format!("enrol a second factor of {name}"))?;
                enrolled(session, &name, &made)
            }
            Totp::Confirm { name, code } => {
                let request = v1::ConfirmTotpRequest { name: name.clone(), code };
                let done = client.users().confirm_totp(request).await.doing(|| format!("confirm the second factor of {name}"))?;
                session.out.done(&json!({ "name": name, "index": done.index }), &format!("the second factor of {name} counts"))
            }
            Totp::Remove { name } => {
                super::confirm(session, &format!("{name} logs in with the password alone from then on."))?;
                let request = v1::UserRequest { name: name.clone() };
                let done = client.users().remove_totp(request).await.doing(|| format!("remove the second factor of {name}"))?;
                session.out.done(&json!({ "name": name, "index": done.index }), &format!("{name} has no second factor"))
            }
        }
    }
}

fn enrolled(session: &Session, name: &str, made: &v1::EnrolTotpResponse) -> Result<(), Failure> {
    let shown = json!({ "name": name, "uri": made.uri, "recovery_codes": made.recovery_codes });
    session.out.show(&shown, |out| {
        if let Ok(code) = QrCode::new(made.uri.as_bytes()) {
            writeln!(out, "{}", code.render::<unicode::Dense1x2>().quiet_zone(true).build())?;
        }
        writeln!(out, "{}\n\nRecovery codes, each good for one login:", made.uri)?;
        made.recovery_codes.iter().try_for_each(|code| writeln!(out, "  {code}"))
    })?;
    session.out.note(&format!("this is shown once; `holdfast user totp confirm {name} CODE` makes it count"));
    Ok(())
}

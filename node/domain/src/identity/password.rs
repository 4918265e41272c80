//! Logging in with a password, and a second factor where there is one.

use super::login::{Failed, NotYet, Passed};
use super::{FailedBy, IdentityEvent, User, user_principal};
use crate::decide::Context;
use crate::ids::{IdentityName, TokenHash};
use crate::rejection::Rejection;
use crate::state::State;
use crate::token::{Login, is_within};
use serde::{Deserialize, Serialize};

/// What the door verified. It holds no password and no code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasswordLogin {
    /// Who says to log in.
    pub user: IdentityName,
    /// The version of the user's credential that the door verified against; 0 where it knows no such user.
    pub credential: u64,
    /// Whether the password is right.
    pub password_fits: bool,
    /// What was shown besides.
    pub factor: SecondFactor,
    /// Keyed hash of the token's text that the door drew.
    pub token: TokenHash,
}

/// What was shown besides a password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SecondFactor {
    /// Nothing.
    None,
    /// A code, and the steps around now that it fits: none for a wrong one. Which of them counts the leader says.
    Code(Vec<u64>),
    /// The keyed hash of what may be a recovery code.
    Recovery([u8; 32]),
}

pub(super) fn judge(state: &State, context: &Context, login: &PasswordLogin) -> Result<Passed, NotYet> {
    let Some(user) = state.identity.user(&login.user) else {
        return Err(Failed { user: None, cause: FailedBy::Unknown }.into());
    };
    if login.credential != user.credential {
        return Err(NotYet::Moved(Rejection::Conflict {
            path: format!("the credential of {}", user.name),
            found: format!("v{}", user.credential),
            expected: format!("v{}", login.credential),
        }));
    }
    let failed = |cause| Failed { user: Some(user.name.clone()), cause };
    if user.failures.is_locked_at(context.stamp) {
        return Err(failed(FailedBy::Locked).into());
    }
    if !login.password_fits {
        return Err(failed(FailedBy::Secret).into());
    }
    if user.disabled {
        return Err(failed(FailedBy::Disabled).into());
    }
    if !is_within(&user.grants.networks, context.address) {
        return Err(failed(FailedBy::Address).into());
    }
    let (step, recovery) = second_factor(user, context, &login.factor).map_err(failed)?;
    let mfa = step.is_some() || recovery.is_some();
    let token = user.grants.token(login.token, user_principal(&user.name), Login::Password, mfa, context);
    Ok((IdentityEvent::UserLoggedIn { name: user.name.clone(), step, recovery }, token))
}

type Shown = (Option<u64>, Option<[u8; 32]>);

fn second_factor(user: &User, context: &Context, factor: &SecondFactor) -> Result<Shown, FailedBy> {
    match (&user.totp, factor) {
        (None, _) if user.requires_totp => Err(FailedBy::NoCode),
        (None, _) => Ok((None, None)),
        (Some(_), SecondFactor::None) => Err(FailedBy::NoCode),
        (Some(totp), SecondFactor::Code(steps)) => {
            let step = totp.accepted(steps, context.stamp).ok_or(FailedBy::Code)?;
            Ok((Some(step), None))
        }
        (Some(totp), SecondFactor::Recovery(hash)) => {
            if totp.recovery.contains(hash) {
                Ok((None, Some(*hash)))
            } else {
                Err(FailedBy::Code)
            }
        }
    }
}

//! Users: made by whoever may, changed by themselves in what is theirs.

use super::decide::done;
use super::{Failures, Grants, IdentityEvent, PasswordChange, TotpWish, User, UserWish, user_principal};
use crate::decide::{Answer, Decided, Desk, FOUNDER};
use crate::event::Event;
use crate::ids::IdentityName;
use crate::limits;
use crate::operation::Operation;
use crate::policy::{Capability, ROOT};
use crate::rejection::Rejection;
use crate::token::Login;

impl Desk<'_> {
    pub(super) fn create_user(&self, wish: UserWish) -> Decided {
        let UserWish { name, password, grants, requires_totp } = wish;
        self.permit_system(Capability::Identities, name.as_str())?;
        if [FOUNDER, ROOT].contains(&name.as_str()) {
            return Err(Rejection::invalid(format!("the name {name} stands for somebody else in the journal: name another")));
        }
        self.check_giving(&grants)?;
        self.check_room("user", self.state.identity.counts()[0], self.state.identity.user(&name).map(|user| &user.name))?;
        let user = User {
            name,
            password: Some(password),
            // Later than that of any user who had the name before.
            credential: self.seq(0).0,
            grants,
            totp: None,
            totp_pending: None,
            requires_totp,
            disabled: false,
            failures: Failures::default(),
            created: self.context.stamp,
            created_by: self.token.principal.clone(),
        };
        done(IdentityEvent::UserCreated { user: Box::new(user) })
    }

    /// That nothing has the name yet, and that there is room for one more.
    pub(super) fn check_room(&self, what: &str, count: usize, taken: Option<&IdentityName>) -> Result<(), Rejection> {
        if let Some(name) = taken {
            return Err(Rejection::Exists { what: what.into(), name: name.to_string() });
        }
        if count >= limits::IDENTITIES_MAX {
            return Err(Rejection::Limit(format!("there are {} of the kind {what} already", limits::IDENTITIES_MAX)));
        }
        Ok(())
    }

    /// The user, where the caller may change who logs in and how.
    fn user_to_change(&self, name: &IdentityName) -> Result<&User, Rejection> {
        self.permit_system(Capability::Identities, name.as_str())?;
        self.state.identity.user(name).ok_or_else(|| Rejection::not_found("user", name))
    }

    /// The user that the caller has logged in as: what a token was made for somebody by another does not say so.
    fn own_user(&self, name: &IdentityName) -> Option<&User> {
        let own = self.token.login == Login::Password && self.token.principal == user_principal(name);
        self.state.identity.user(name).filter(|_| own)
    }

    fn own_user_or_to_change(&self, name: &IdentityName) -> Result<&User, Rejection> {
        self.own_user(name).map_or_else(|| self.user_to_change(name), Ok)
    }

    pub(super) fn read_user(&self, name: &IdentityName) -> Decided {
        self.own_user_or_to_change(name)?;
        let event = Event::Observed { operation: Operation::UserRead, environment: None, subject: name.to_string() };
        Ok((vec![event], Answer::Done))
    }

    pub(super) fn disable_user(&self, name: IdentityName) -> Decided {
        self.user_to_change(&name)?;
        done(IdentityEvent::UserDisabled { name })
    }

    pub(super) fn enable_user(&self, name: IdentityName) -> Decided {
        self.user_to_change(&name)?;
        done(IdentityEvent::UserEnabled { name })
    }

    pub(super) fn delete_user(&self, name: IdentityName) -> Decided {
        self.user_to_change(&name)?;
        done(IdentityEvent::UserDeleted { name })
    }

    pub(super) fn unlock_user(&self, name: IdentityName) -> Decided {
        self.user_to_change(&name)?;
        done(IdentityEvent::UserUnlocked { name })
    }

    /// Whoever sets what a login gives gives it, as if he made the user.
    pub(super) fn set_user_grants(&self, name: IdentityName, grants: Grants) -> Decided {
        let before = Box::new(self.user_to_change(&name)?.grants.clone());
        self.check_giving(&grants)?;
        done(IdentityEvent::UserGrantsSet { name, before, after: Box::new(grants) })
    }

    pub(super) fn set_password(&self, change: PasswordChange) -> Decided {
        let PasswordChange { name, password, proven } = change;
        // Whoever found a terminal left open does not know the old password.
        match self.own_user(&name) {
            Some(user) if proven == Some(user.credential) => {}
            _ => {
                let user = self.user_to_change(&name)?;
                self.check_giving(&user.grants)?;
            }
        }
        let digest = password.digest();
        done(IdentityEvent::UserPasswordSet { name, password: Some(password), digest })
    }

    pub(super) fn enrol_totp(&self, wish: TotpWish) -> Decided {
        let TotpWish { name, sealed, recovery } = wish;
        let user = self.own_user_or_to_change(&name)?;
        if self.own_user(&name).is_none() {
            // Whoever chooses the second factor of another has half of what logs him in.
            self.check_giving(&user.grants)?;
        }
        if user.totp.is_some() && !self.token.mfa {
            return Err(Rejection::invalid(format!(
                "{name} has a second factor already: show it when logging in, or have it removed"
            )));
        }
        if recovery.len() > limits::RECOVERY_CODES || sealed.len() > limits::TEXT_BYTES_MAX {
            return Err(Rejection::invalid(format!("a second factor has at most {} recovery codes", limits::RECOVERY_CODES)));
        }
        let digest = *blake3::hash(&sealed).as_bytes();
        done(IdentityEvent::TotpEnrolled { name, sealed, digest, recovery })
    }

    pub(super) fn confirm_totp(&self, name: IdentityName, digest: [u8; 32], steps: &[u64]) -> Decided {
        let user = self.own_user_or_to_change(&name)?;
        let pending = user.totp_pending.as_ref();
        let pending =
            pending.ok_or_else(|| Rejection::invalid(format!("{name} has no second factor to confirm: enrol it first")))?;
        if pending.digest != digest {
            return Err(Rejection::Conflict {
                path: format!("the second factor of {name}"),
                found: "another".into(),
                expected: "the one that the code was checked against".into(),
            });
        }
        let step = pending.accepted(steps, self.context.stamp);
        let step = step.ok_or_else(|| Rejection::invalid("the code is wrong, or not of this half minute: try the next one"))?;
        done(IdentityEvent::TotpConfirmed { name, step })
    }

    pub(super) fn remove_totp(&self, name: IdentityName) -> Decided {
        let user = self.user_to_change(&name)?;
        self.check_giving(&user.grants)?;
        done(IdentityEvent::TotpRemoved { name })
    }
}

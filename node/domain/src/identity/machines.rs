//! Machines: programs that log in with a role id and a secret id.

use super::decide::done;
use super::login::{Failed, Passed};
use super::{FailedBy, Grants, IdentityEvent, Machine, SecretId, machine_principal};
use crate::decide::{Answer, Context, Decided, Desk};
use crate::event::Event;
use crate::ids::{Accessor, IdentityName, TokenHash};
use crate::limits;
use crate::operation::Operation;
use crate::policy::Capability;
use crate::rejection::Rejection;
use crate::state::State;
use crate::token::{Login, is_within};
use serde::{Deserialize, Serialize};

/// What a machine shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineLogin {
    /// Who it says it is.
    pub role_id: [u8; 16],
    /// Keyed hash of the secret id's text.
    pub secret: TokenHash,
    /// Keyed hash of the token's text that the door drew.
    pub token: TokenHash,
}

pub(super) fn judge(state: &State, context: &Context, login: &MachineLogin) -> Result<Passed, Failed> {
    let failed = |cause| Failed { user: None, cause };
    let machine = state.identity.machine_by_role_id(&login.role_id).ok_or(failed(FailedBy::Unknown))?;
    let secret = state.identity.secret_id(&login.secret).filter(|secret| secret.machine == machine.name);
    let secret = secret.ok_or(failed(FailedBy::Secret))?;
    if secret.expires.is_some_and(|end| end <= context.stamp) {
        return Err(failed(FailedBy::Secret));
    }
    if !is_within(&machine.grants.networks, context.address) {
        return Err(failed(FailedBy::Address));
    }
    let token = machine.grants.token(login.token, machine_principal(&machine.name), Login::Machine, false, context);
    let left = secret.uses_left.map(|left| left.saturating_sub(1));
    Ok((IdentityEvent::SecretIdUsed { machine: machine.name.clone(), accessor: secret.accessor, left }, token))
}

impl Desk<'_> {
    pub(super) fn create_machine(
        &self,
        name: IdentityName,
        role_id: [u8; 16],
        grants: Grants,
        secret_ttl_ms: u64,
        secret_uses: u32,
    ) -> Decided {
        self.permit_system(Capability::Identities, name.as_str())?;
        self.check_giving(&grants)?;
        let identity = &self.state.identity;
        self.check_room("machine", identity.counts()[1], identity.machine(&name).map(|machine| &machine.name))?;
        self.check_room("role id of machine", 0, identity.machine_by_role_id(&role_id).map(|machine| &machine.name))?;
        let (created, created_by) = (self.context.stamp, self.token.principal.clone());
        let machine = Machine { name, role_id, grants, secret_ttl_ms, secret_uses, created, created_by };
        done(IdentityEvent::MachineCreated { machine: Box::new(machine) })
    }

    fn machine_to_change(&self, name: &IdentityName) -> Result<&Machine, Rejection> {
        self.permit_system(Capability::Identities, name.as_str())?;
        self.state.identity.machine(name).ok_or_else(|| Rejection::not_found("machine", name))
    }

    /// Whoever sets what a login gives gives it, as if he made the machine.
    pub(super) fn set_machine_grants(&self, name: IdentityName, grants: Grants) -> Decided {
        let before = Box::new(self.machine_to_change(&name)?.grants.clone());
        self.check_giving(&grants)?;
        done(IdentityEvent::MachineGrantsSet { name, before, after: Box::new(grants) })
    }

    pub(super) fn delete_machine(&self, name: IdentityName) -> Decided {
        self.machine_to_change(&name)?;
        done(IdentityEvent::MachineDeleted { name })
    }

    pub(super) fn issue_secret_id(&self, name: IdentityName, hash: TokenHash, ttl_ms: u64, uses: u32) -> Decided {
        let machine = self.machine_to_change(&name)?;
        // Whoever has a secret id has what the machine may: it is given as a token is.
        self.check_giving(&machine.grants)?;
        let identity = &self.state.identity;
        let now = self.context.stamp;
        let ended: Vec<&SecretId> = identity.secret_ids_ended_by(now).take(limits::ENDED_SWEPT_MAX).collect();
        let all = identity.counts()[2] - ended.len();
        let own = identity.secret_ids_of(&name).filter(|secret| secret.expires.is_none_or(|end| now < end)).count();
        if own >= limits::SECRET_IDS_MAX || all >= limits::ALL_SECRET_IDS_MAX {
            return Err(Rejection::Limit(format!(
                "machine {name} has {own} live secret ids, all machines {all}; at most {} and {}: revoke some",
                limits::SECRET_IDS_MAX,
                limits::ALL_SECRET_IDS_MAX
            )));
        }
        if identity.secret_id(&hash).is_some() {
            return Err(Rejection::Exists { what: "secret id".into(), name: Accessor::of(&hash).to_string() });
        }
        let ttl_ms = narrower(ttl_ms, machine.secret_ttl_ms);
        let uses = narrower(u64::from(uses), u64::from(machine.secret_uses));
        let revoked = ended
            .iter()
            .map(|secret| IdentityEvent::SecretIdRevoked { machine: secret.machine.clone(), accessor: secret.accessor });
        let mut events: Vec<Event> = revoked.map(Event::Identity).collect();
        let secret = SecretId {
            machine: name,
            accessor: Accessor::of(&hash),
            hash,
            expires: (ttl_ms > 0).then(|| now.plus_ms(ttl_ms)),
            uses_left: u32::try_from(uses).ok().filter(|uses| *uses > 0),
            created: now,
            created_by: self.token.principal.clone(),
        };
        events.push(Event::Identity(IdentityEvent::SecretIdIssued { secret: Box::new(secret) }));
        Ok((events, Answer::Done))
    }

    pub(super) fn list_secret_ids(&self, name: &IdentityName) -> Decided {
        self.machine_to_change(name)?;
        let event = Event::Observed { operation: Operation::MachineSecretIds, environment: None, subject: name.to_string() };
        Ok((vec![event], Answer::Done))
    }

    pub(super) fn revoke_secret_id(&self, machine: IdentityName, accessor: Accessor) -> Decided {
        self.machine_to_change(&machine)?;
        let found = self.state.identity.secret_id_by_accessor(&machine, accessor);
        found.ok_or_else(|| Rejection::not_found("secret id", accessor))?;
        done(IdentityEvent::SecretIdRevoked { machine, accessor })
    }
}

/// What is asked may only narrow what is set; 0 is no bound.
fn narrower(asked: u64, set: u64) -> u64 {
    match (asked, set) {
        (0, bound) | (bound, 0) => bound,
        (asked, set) => asked.min(set),
    }
}

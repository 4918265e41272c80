//! What a request about identities leads to.

use super::{IdentityCommand, IdentityEvent, IdentityUpkeep};
use crate::decide::{Answer, Context, Decided, Desk};
use crate::event::Event;
use crate::operation::Operation;
use crate::policy::Capability;
use crate::state::State;

impl Desk<'_> {
    pub(crate) fn decide_identity(&self, command: IdentityCommand) -> Decided {
        use IdentityCommand as C;
        match command {
            C::RenewToken { accessor, increment_ms } => self.renew_token(accessor, increment_ms),
            C::LookupToken { accessor } => self.lookup_token(accessor),
            C::CreateUser(wish) => self.create_user(wish),
            C::ListUsers => self.look_at_identities(Operation::UserList),
            C::ReadUser { name } => self.read_user(&name),
            C::DisableUser { name } => self.disable_user(name),
            C::EnableUser { name } => self.enable_user(name),
            C::DeleteUser { name } => self.delete_user(name),
            C::UnlockUser { name } => self.unlock_user(name),
            C::SetPassword(change) => self.set_password(change),
            C::EnrolTotp(wish) => self.enrol_totp(wish),
            C::ConfirmTotp { name, digest, steps } => self.confirm_totp(name, digest, &steps),
            C::RemoveTotp { name } => self.remove_totp(name),
            C::CreateMachine { name, role_id, grants, secret_ttl_ms, secret_uses } => {
                self.create_machine(name, role_id, grants, secret_ttl_ms, secret_uses)
            }
            C::ListMachines => self.look_at_identities(Operation::MachineList),
            C::DeleteMachine { name } => self.delete_machine(name),
            C::IssueSecretId { machine, hash, ttl_ms, uses } => self.issue_secret_id(machine, hash, ttl_ms, uses),
            C::ListSecretIds { machine } => self.list_secret_ids(&machine),
            C::RevokeSecretId { machine, accessor } => self.revoke_secret_id(machine, accessor),
            C::Wrap(wish) | C::WrapGiven(wish) => self.wrap(wish),
            C::PutCertRole { name, names, common_names, grants } => self.put_cert_role(name, names, common_names, grants),
            C::ListCertRoles => self.look_at_identities(Operation::CertRoleList),
            C::DeleteCertRole { name } => self.delete_cert_role(name),
            C::PutIssuer(issuer) => self.put_issuer(*issuer),
            C::ListIssuers => self.look_at_identities(Operation::IssuerList),
            C::DeleteIssuer { name } => self.delete_issuer(name),
            C::SetUserGrants { name, grants } => self.set_user_grants(name, grants),
            C::SetMachineGrants { name, grants } => self.set_machine_grants(name, grants),
        }
    }

    fn look_at_identities(&self, operation: Operation) -> Decided {
        self.permit_system(Capability::Identities, "")?;
        Ok((vec![Event::Observed { operation, environment: None, subject: String::new() }], Answer::Done))
    }
}

/// A decision that is one event and says no more than that it is done.
pub(super) fn done(event: IdentityEvent) -> Decided {
    Ok((vec![Event::Identity(event)], Answer::Done))
}

/// What the cluster asks of itself.
pub(crate) fn upkeep(_state: &State, _context: &Context, command: &IdentityUpkeep) -> Decided {
    match *command {}
}

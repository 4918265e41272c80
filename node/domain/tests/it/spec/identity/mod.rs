//! Who is calling: tokens with terms, users, machines, certificates, issuers, wrapping; and the bytes of what happens to them.

mod golden;
mod hands;
mod logins;
mod terms;
mod users;
mod walk;
mod wrapping;

use super::words::*;
use super::world::{Asked, World, given};
use node_domain::Command;
use node_domain::command::TokenWish;
use node_domain::identity::{
    Grants, IdentityCommand, LoginCommand, MachineLogin, PasswordHash, PasswordLogin, SecondFactor, TotpWish, UserWish, WrapWish,
};
use node_domain::ids::{Accessor, IdentityName, Stamp, TokenHash};
use node_domain::limits;

fn called(name: &str) -> IdentityName {
    IdentityName::parse(name).unwrap()
}

fn hashed(seed: u8) -> PasswordHash {
    PasswordHash { salt: [seed; 16], hash: [seed; 32], memory_kib: 64, passes: 1, lanes: 1 }
}

fn asks(command: IdentityCommand) -> Request {
    Box::new(|_| Command::Identity(Box::new(command)))
}

fn gives(policies: &[&str]) -> Grants {
    Grants {
        policies: policies.iter().map(|name| policy(name)).collect(),
        ttl_ms: 60_000,
        ttl_ms_max: 180_000,
        ..Grants::default()
    }
}

fn create_user(name: &str, grants: Grants) -> Request {
    asks(IdentityCommand::CreateUser(UserWish { name: called(name), password: hashed(1), grants, requires_totp: false }))
}

/// A user `ana` who may read everything.
fn a_user() -> [Fact; 2] {
    [done(put_policy("readers", vec![rule("read list", "*")])), done(create_user("ana", gives(&["readers"])))]
}

/// Logs in as a user; the token is held by `who` when it worked. `factor` is made at the moment of asking.
fn logs_in(name: &'static str, fits: bool, factor: impl FnOnce(&World) -> SecondFactor + 'static) -> Request {
    Box::new(move |world| {
        let token = world.draw_hash();
        let credential = world.state.identity().user(&called(name)).map_or(0, |user| user.credential);
        let factor = factor(world);
        world.hold(name, token);
        let login = PasswordLogin { user: called(name), credential, password_fits: fits, factor, token };
        Command::Login(Box::new(LoginCommand::Password(login)))
    })
}

fn with_password(name: &'static str) -> Request {
    logs_in(name, true, |_| SecondFactor::None)
}

fn with_wrong_password(name: &'static str) -> Request {
    logs_in(name, false, |_| SecondFactor::None)
}

/// The step of now, so many steps later or earlier.
fn step_of(world: &World, offset: i64) -> u64 {
    let current = (world.now.0 + 1000) / limits::TOTP_STEP_US;
    current.checked_add_signed(offset).unwrap()
}

fn with_code(name: &'static str, offset: i64) -> Request {
    logs_in(name, true, move |world| SecondFactor::Code(vec![step_of(world, offset)]))
}

fn enrol(name: &str) -> Request {
    let recovery = (0..10).map(|at| [at; 32]).collect();
    asks(IdentityCommand::EnrolTotp(TotpWish {
        name: called(name),
        sealed: b"<<ciphertext>> of a secret".to_vec().into(),
        recovery,
    }))
}

fn confirm(name: &'static str, offset: i64) -> Request {
    Box::new(move |world| {
        let pending = world.state.identity().user(&called(name)).and_then(|user| user.totp_pending.clone());
        let digest = pending.map_or([0; 32], |pending| pending.digest);
        let steps = vec![step_of(world, offset)];
        Command::Identity(Box::new(IdentityCommand::ConfirmTotp { name: called(name), digest, steps }))
    })
}

const NOT_LOGGED_IN: &str = "the name, the password or the code is wrong, or the user may not log in from here or at all; 5 failures within 15 minutes lock a user for 15 minutes";

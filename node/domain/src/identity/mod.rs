//! Who may log in and how: users, machine roles, certificates, token issuers; and what is wrapped for hand-over.

mod certificates;
mod command;
mod decide;
mod event;
mod grants;
mod issuers;
pub(crate) mod login;
mod machines;
mod password;
mod rows;
mod state;
mod table;
mod tokens;
mod users;
mod wrapping;

pub use certificates::{CertificateLogin, NameGlob};
pub use command::{IdentityAnswer, IdentityCommand, IdentityUpkeep, PasswordChange, TotpWish, UserWish, WrapWish};
pub(crate) use decide::upkeep;
pub use event::{FailedBy, IdentityEvent};
pub use grants::Grants;
pub(crate) use grants::admit;
pub use issuers::JwtLogin;
pub use login::LoginCommand;
pub(crate) use login::locks;
pub use machines::MachineLogin;
pub use password::{PasswordLogin, SecondFactor};
pub use rows::{
    CertRole, Failures, Issuer, IssuerKeys, Machine, PasswordHash, SecretId, Totp, User, Wrapped, WrappedOf,
    certificate_principal, jwt_principal, machine_principal, user_principal,
};
pub use state::{IdentityPiece, IdentityState};

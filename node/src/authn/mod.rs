//! What proves who is calling, checked at the door: passwords, codes, certificates, signed tokens. What follows from it the domain decides.

pub(crate) mod certificate;
pub(crate) mod codes;
pub(crate) mod jwt;
pub(crate) mod key_sets;
pub(crate) mod passwords;

use crate::clock::Clock;
use crate::config::LoginConfig;
use key_sets::KeySets;
use passwords::Passwords;
use std::sync::Arc;

/// What checking needs besides the state.
pub(crate) struct Authn {
    pub(crate) passwords: Passwords,
    pub(crate) key_sets: KeySets,
    /// This node's clock: only for what has no place in the log, such as the times in a signed token.
    pub(crate) clock: Arc<dyn Clock>,
}

impl Authn {
    pub(crate) fn new(config: &LoginConfig, clock: Arc<dyn Clock>) -> Authn {
        Authn { passwords: Passwords::new(config), key_sets: KeySets::default(), clock }
    }
}

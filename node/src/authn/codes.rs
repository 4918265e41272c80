//! Codes of a second factor: TOTP (RFC 6238: SHA-1, six digits, 30 seconds, as authenticators have it), and recovery codes.

use crate::engine::Sealing;
use crate::engine::sealing::SealingError;
use bytes::Bytes;
use node_domain::identity::SecondFactor;
use node_domain::ids::{IdentityName, Stamp};
use node_domain::limits;
use storage_crypto::entropy::{Entropy, random};
use totp_rs::{Builder, Totp};
use zeroize::Zeroizing;

const ISSUER: &str = "Holdfast";
const PURPOSE: &str = "totp";
const DIGITS: usize = 6;
const STEP_SECONDS: u64 = limits::TOTP_STEP_US / 1_000_000;
/// The door looks this many steps around its own clock, so that it may be an hour off: which step counts the leader's stamp decides.
const STEPS_AROUND: u64 = 125;
/// Letters that are not mistaken for each other.
const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
const RECOVERY_LETTERS: usize = 16;

/// A new second factor.
pub(crate) struct NewFactor {
    pub(crate) sealed: Bytes,
    pub(crate) uri: Zeroizing<String>,
    pub(crate) recovery: Vec<Zeroizing<String>>,
}

/// Draws a secret and recovery codes for a user.
pub(crate) fn draw(sealing: &Sealing, name: &IdentityName) -> Result<NewFactor, String> {
    let secret = Zeroizing::new(random::<20>(sealing.entropy()));
    let uri = totp(&*secret, name.as_str())?.to_url().map_err(|error| error.to_string())?;
    let recovery = (0..limits::RECOVERY_CODES).map(|_| recovery_code(sealing.entropy())).collect();
    let sealed = sealing.seal_system(&place_of(name), &*secret).map_err(|error| error.to_string())?.into();
    Ok(NewFactor { sealed, uri: Zeroizing::new(uri), recovery })
}

/// Whose it is: it opens as nobody else's.
fn place_of(name: &IdentityName) -> String {
    format!("{PURPOSE}/{name}")
}

fn totp(secret: &[u8], name: &str) -> Result<Totp, String> {
    let builder = Builder::new().with_secret(secret).with_skew(0).with_account_name(name).with_issuer(Some(ISSUER));
    builder.build().map_err(|error| error.to_string())
}

fn recovery_code(entropy: &dyn Entropy) -> Zeroizing<String> {
    let bytes = Zeroizing::new(random::<RECOVERY_LETTERS>(entropy));
    // 32 letters: five bits of each byte, evenly.
    let letters = bytes.iter().map(|byte| char::from(LETTERS[usize::from(*byte % 32)]));
    Zeroizing::new(letters.enumerate().fold(String::with_capacity(20), |mut code, (at, letter)| {
        if at > 0 && at % 4 == 0 {
            code.push('-');
        }
        code.push(letter);
        code
    }))
}

/// The keyed hash by which the state knows a recovery code.
pub(crate) fn recovery_hash(sealing: &Sealing, code: &str) -> [u8; 32] {
    let letters: Zeroizing<String> =
        Zeroizing::new(code.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase()).collect());
    sealing.token_hash(&Zeroizing::new(format!("recovery {}", letters.as_str())))
}

/// What a code is: steps that it fits, or what may be a recovery code. `sealed` is the secret that the state has, if any.
pub(crate) fn second_factor(
    sealing: &Sealing,
    name: &IdentityName,
    sealed: Option<&Bytes>,
    code: &str,
    now: Stamp,
) -> Result<SecondFactor, SealingError> {
    let code = code.trim();
    let is_code = code.len() == DIGITS && code.bytes().all(|byte| byte.is_ascii_digit());
    match sealed {
        _ if code.is_empty() => Ok(SecondFactor::None),
        _ if !is_code => Ok(SecondFactor::Recovery(recovery_hash(sealing, code))),
        Some(sealed) => Ok(SecondFactor::Code(fitting_steps(sealing, name, sealed, code, now)?)),
        None => Ok(SecondFactor::Code(Vec::new())),
    }
}

/// The steps around now that a code fits.
pub(crate) fn fitting_steps(
    sealing: &Sealing,
    name: &IdentityName,
    sealed: &Bytes,
    code: &str,
    now: Stamp,
) -> Result<Vec<u64>, SealingError> {
    let secret = sealing.open_system(&place_of(name), sealed)?;
    // A secret that was sealed here has the length that it takes.
    let Ok(totp) = totp(secret.expose(), name.as_str()) else { return Ok(Vec::new()) };
    let current = now.0 / limits::TOTP_STEP_US;
    let around = current.saturating_sub(STEPS_AROUND)..=current + STEPS_AROUND;
    let fits = |step: &u64| totp.check(code.trim(), step * STEP_SECONDS).is_some();
    Ok(around.filter(fits).take(limits::TOTP_STEPS_FITTING_MAX).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use storage_crypto::SeededEntropy;

    fn sealing() -> Sealing {
        Sealing::founded([1; 16], Arc::new(SeededEntropy::new(3)))
    }

    #[test]
    fn a_code_fits_its_own_step_even_where_the_doors_clock_is_an_hour_off() {
        let (sealing, ana) = (sealing(), IdentityName::parse("ana").unwrap());
        let new = draw(&sealing, &ana).unwrap();
        let theirs = Totp::from_url(new.uri.as_str()).unwrap();
        let now = 1_790_000_000_u64;
        let code = theirs.generate(now).to_string();
        let step = now / STEP_SECONDS;
        for offset in [-3600_i64, 0, 3600] {
            let clock = Stamp((now as i64 + offset) as u64 * 1_000_000);
            let steps = fitting_steps(&sealing, &ana, &new.sealed, &code, clock).unwrap();
            assert!(steps.contains(&step), "{offset}");
        }
        let bob = IdentityName::parse("bob").unwrap();
        assert!(fitting_steps(&sealing, &bob, &new.sealed, &code, Stamp(now * 1_000_000)).is_err(), "moved to another user");
    }

    #[test]
    fn recovery_codes_differ_and_are_forgiving_about_their_spelling() {
        let sealing = sealing();
        let new = draw(&sealing, &IdentityName::parse("ana").unwrap()).unwrap();
        let codes: std::collections::HashSet<_> = new.recovery.iter().map(|code| code.to_string()).collect();
        assert_eq!(codes.len(), limits::RECOVERY_CODES);
        let code = new.recovery[0].as_str();
        assert_eq!(code.len(), 19);
        assert_eq!(recovery_hash(&sealing, code), recovery_hash(&sealing, &code.to_uppercase().replace('-', " ")));
        assert_ne!(recovery_hash(&sealing, code), recovery_hash(&sealing, new.recovery[1].as_str()));
    }
}

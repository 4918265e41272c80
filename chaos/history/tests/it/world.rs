//! A cluster that is honest by construction: one sequential register for each secret, and clients that wait at random.

use std::collections::BTreeMap;

use chaos_history::{Call, Expect, Operation, Outcome};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use uuid::Uuid;

/// How a random history is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) operations: usize,
    pub(crate) keys: usize,
    pub(crate) clients: u32,
    /// Of a hundred operations so many have no answer.
    pub(crate) unknown_percent: u32,
}

#[derive(Clone, Default)]
struct Secret {
    newest: u64,
    live: bool,
    value: String,
}

struct Asked {
    operation: Operation,
    /// When it happens; never where it does not.
    happens: Option<u64>,
}

/// A history that an honest cluster told.
pub(crate) fn honest(seed: u64, shape: Shape) -> Vec<Operation> {
    let mut chance = ChaCha8Rng::seed_from_u64(seed);
    let mut asked: Vec<Asked> = Vec::new();
    let mut free_at = vec![0_u64; shape.clients as usize];
    let mut newest_guess: BTreeMap<String, u64> = BTreeMap::new();
    for at in 0..shape.operations {
        let client = chance.random_range(0..shape.clients);
        let free = &mut free_at[client as usize];
        let called = *free + chance.random_range(1..20);
        let returned = called + chance.random_range(2..60);
        *free = returned;
        let key = format!("k{}", chance.random_range(0..shape.keys));
        let guess = newest_guess.entry(key.clone()).or_default();
        let call = call(&mut chance, at, guess);
        let lost = chance.random_range(0..100) < shape.unknown_percent;
        let happens = match lost {
            true if chance.random_range(0..3) == 0 => None,
            true => Some(called + chance.random_range(1..2_000)),
            false => Some(chance.random_range(called + 1..returned)),
        };
        let outcome = if lost { Outcome::Unknown } else { Outcome::NotDone };
        let request = Uuid::from_u128(at as u128 + 1);
        let (called_ns, returned_ns, words) = (called, returned, String::new());
        let operation = Operation { client, request, record: None, called_ns, returned_ns, key, call, outcome, words };
        asked.push(Asked { operation, happens });
    }
    answer(asked)
}

fn call(chance: &mut ChaCha8Rng, at: usize, guess: &mut u64) -> Call {
    let value = format!("w{at}");
    match chance.random_range(0..10) {
        0..3 => {
            *guess += 1;
            Call::Put { value, expect: Expect::Anything }
        }
        3..5 => {
            let expect = Expect::Version(guess.saturating_sub(chance.random_range(0..2)));
            Call::Put { value, expect }
        }
        5 => Call::Put { value, expect: Expect::Absent },
        6 => Call::Delete,
        7 => Call::Look,
        _ => Call::Get,
    }
}

/// Lets everything happen at its moment, one after the other.
fn answer(mut asked: Vec<Asked>) -> Vec<Operation> {
    let mut secrets: BTreeMap<String, Secret> = BTreeMap::new();
    asked.sort_by_key(|asked| asked.happens);
    for Asked { operation, happens } in &mut asked {
        if happens.is_none() {
            continue;
        }
        let secret = secrets.entry(operation.key.clone()).or_default();
        let outcome = happen(secret, &operation.call);
        if operation.outcome != Outcome::Unknown {
            operation.outcome = outcome;
        }
    }
    asked.into_iter().map(|asked| asked.operation).collect()
}

fn happen(secret: &mut Secret, call: &Call) -> Outcome {
    let refused = Outcome::Refused { found: Some(secret.newest) };
    match call {
        Call::Put { value, expect } => {
            let met = match expect {
                Expect::Anything => true,
                Expect::Absent => !secret.live,
                Expect::Version(version) => secret.newest == *version,
            };
            if !met {
                return refused;
            }
            *secret = Secret { newest: secret.newest + 1, live: true, value: value.clone() };
            Outcome::Written { version: secret.newest }
        }
        Call::Get if secret.live => Outcome::Found { version: secret.newest, value: secret.value.clone() },
        Call::Delete if secret.live => {
            secret.live = false;
            Outcome::Hidden { version: secret.newest }
        }
        Call::Look => Outcome::Seen { version: secret.newest, live: secret.live },
        Call::Get | Call::Delete => refused,
    }
}

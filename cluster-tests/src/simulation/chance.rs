//! Chance as a function of the seed, for the thread of a simulation.
//!
//! What the nodes draw and what the world around them draws are two streams, so that a change of the one leaves the other alone.

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::cell::RefCell;
use std::ops::RangeInclusive;
use storage_crypto::entropy::Entropy;

thread_local! {
    static OF_NODES: RefCell<Option<ChaCha8Rng>> = const { RefCell::new(None) };
    static OF_THE_WORLD: RefCell<Option<ChaCha8Rng>> = const { RefCell::new(None) };
}

/// Makes `getrandom` of this process answer from the seed, on threads that have one. Stands once in a program that simulates.
#[macro_export]
macro_rules! chance_by_seed {
    () => {
        /// libc's, for everything in this process that wants random bytes: hash maps, openraft's elections, keys and nonces.
        ///
        /// # Safety
        /// As libc's: `buffer` is valid for `length` bytes.
        #[allow(unsafe_code)]
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn getrandom(buffer: *mut u8, length: usize, flags: u32) -> isize {
            // SAFETY: the caller's promise is the same.
            unsafe { $crate::simulation::chance::getrandom(buffer, length, flags) }
        }
    };
}

/// What stands behind `getrandom`: the stream of this thread, or the system's.
///
/// # Safety
/// As libc's: `buffer` is valid for `length` bytes.
#[allow(unsafe_code)]
pub unsafe fn getrandom(buffer: *mut u8, length: usize, flags: u32) -> isize {
    if length == 0 {
        return 0;
    }
    // SAFETY: the caller promises that the buffer is valid for so many bytes, and nobody else has it meanwhile.
    let bytes = unsafe { std::slice::from_raw_parts_mut(buffer, length) };
    let filled = OF_NODES.try_with(|stream| match &mut *stream.borrow_mut() {
        Some(stream) => {
            stream.fill_bytes(bytes);
            true
        }
        None => false,
    });
    if filled == Ok(true) {
        return isize::try_from(length).unwrap_or(isize::MAX);
    }
    // SAFETY: a plain system call on the caller's buffer.
    let got = unsafe { libc::syscall(libc::SYS_getrandom, buffer, length, flags) };
    isize::try_from(got).unwrap_or(-1)
}

/// Gives this thread its streams.
pub(super) fn seed(seed: u64) {
    OF_NODES.with_borrow_mut(|stream| *stream = Some(ChaCha8Rng::seed_from_u64(seed)));
    OF_THE_WORLD.with_borrow_mut(|stream| *stream = Some(ChaCha8Rng::seed_from_u64(seed ^ 0x5eed_0f7e_3071_d000)));
}

/// Draws from the world's stream.
///
/// # Panics
/// On a thread that has none: a bug of the simulation.
pub(super) fn draw<T>(draw: impl FnOnce(&mut ChaCha8Rng) -> T) -> T {
    OF_THE_WORLD.with_borrow_mut(|stream| draw(stream.as_mut().expect("this is the thread of a simulation")))
}

/// A number of a range.
pub(super) fn of(range: RangeInclusive<u64>) -> u64 {
    draw(|stream| stream.random_range(range))
}

/// Whether something happens that does so many times of a hundred.
pub(super) fn happens(percent: u64) -> bool {
    of(1..=100) <= percent
}

/// One of these.
pub(super) fn one<T: Copy>(of_these: &[T]) -> Option<T> {
    if of_these.is_empty() { None } else { Some(of_these[usize::try_from(of(0..=of_these.len() as u64 - 1)).unwrap_or(0)]) }
}

/// The world's stream, for a disk that loses its power.
pub(super) struct WorldEntropy;

impl Entropy for WorldEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        draw(|stream| stream.fill_bytes(bytes));
    }
}

//! Scenarios: what happens, and what must come of it, line by line.
//!
//! ```text
//! # A deposed leader's last batch must not count.
//! cluster 3
//! leader 1
//! put ana db/password expecting none      → v1
//! cut 1 | 2 3
//! put-at 1 ana db/password expecting v1   → unknown
//! leader 2
//! put-at 2 ana db/password expecting v1   → v2
//! heal
//! settle
//! same-state 1 2 3
//! ```
//!
//! Everything that chance decides is decided by a seed, and what a scenario says must come true under any. At the end everything is healed
//! and judged as after a walk.

mod line;
mod play;

pub use line::Scenario;
pub(super) use play::play;

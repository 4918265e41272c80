//! Who may do what, where.
//!
//! A token's rules are those of its policies and those of the policies of its roles, all together: it makes no difference which
//! of them a rule came from, nor in which order they stand. A policy or role that is not there gives nothing.
//!
//! # Which rule decides
//!
//! 1. A token that is bound to environments may nothing in any other environment, nor in the system.
//! 2. A rule is *about* a request when it names its capability, its environment (a rule for `*` is about every environment and
//!    about the system; a rule for one environment is about that one and not about the system), and a pattern that its path fits.
//! 3. A rule that is about a request *counts* when all its conditions hold. An address that is not known fits no address
//!    condition: an allowing rule with one does not count then, and a denying rule with one counts, because doubt gives nothing away.
//! 4. If any denying rule counts, the request is denied: however specific its pattern, whatever allows it.
//! 5. Otherwise, if any allowing rule counts, it is allowed.
//! 6. Otherwise it is denied.
//!
//! A listing under a prefix is denied when a denying rule for `list` counts that covers all that could stand there, allowed when
//! an allowing one could fit something there, and shows only the paths that may be listed themselves.
//!
//! `ops/docs/policies.md` says the same to whoever writes policies; `tests/it/oracle` says it a third time, too simply to be wrong.

mod capability;
mod condition;
mod explain;
mod grants;
mod judge;
mod listing;
mod memo;
mod pattern;
mod question;
mod replay;
mod right;
mod role;
mod rule;
mod tree;

pub use capability::{Capabilities, Capability};
pub use condition::{Circumstances, Conditions, Hours, Unmet};
pub use explain::{Considered, Explanation};
pub use grants::Grants;
pub use judge::{Asking, Ground, Verdict};
pub use listing::Sight;
pub(crate) use memo::Memo;
pub use pattern::PathPattern;
pub use question::{Question, Whom};
pub use replay::{Change, Recorded, Replay, ReplayCounts};
pub use right::{Asked, Right};
pub use role::Role;
pub use rule::{Policy, Rule};

/// The policy that allows everything. It exists from the start and cannot be changed.
pub const ROOT: &str = "root";

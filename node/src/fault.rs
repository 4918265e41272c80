//! Points at which a test may end the process, as a crash would, or have something go wrong. Nothing in a release build.

/// Ends the process here when `HOLDFAST_FAULT` names this point.
pub(crate) fn point(name: &str) {
    if is_set(name) {
        tracing::error!(name, "a test ends this process here");
        std::process::abort();
    }
}

/// Whether a test wants this to go wrong.
pub(crate) fn is_set(name: &str) -> bool {
    cfg!(debug_assertions) && std::env::var("HOLDFAST_FAULT").is_ok_and(|wanted| wanted == name)
}

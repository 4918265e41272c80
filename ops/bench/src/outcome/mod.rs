//! What came of it: medians, ratios, and how they are shown.

pub(crate) mod report;
pub(crate) mod summary;

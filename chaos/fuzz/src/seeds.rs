//! Inputs to start from, made by the encoders themselves: they are never older than the formats.

use crate::targets::Target;
use std::path::Path;

/// Writes the seeds of a target into a directory.
pub(crate) fn write(target: &Target, directory: &Path) {
    std::fs::create_dir_all(directory).expect("the directory of seeds can be made");
    for (number, seed) in (target.seeds)().into_iter().enumerate() {
        std::fs::write(directory.join(format!("seed-{number:03}")), seed).expect("a seed can be written");
    }
}

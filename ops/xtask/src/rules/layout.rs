//! The visible root is fixed; tool settings are dotfiles.

use std::collections::BTreeSet;

use crate::{finding::Finding, workspace::Workspace};

const ROOT: &[&str] =
    &["Cargo.toml", "Cargo.lock", "node", "raft", "storage", "proto", "cluster-tests", "chaos", "ops", "README.md"];

pub(super) fn check(workspace: &Workspace) -> Vec<Finding> {
    let names: BTreeSet<&str> = workspace.files.iter().filter_map(|path| path.split('/').next()).collect();
    let strange = names.into_iter().filter(|name| !name.starts_with('.') && !ROOT.contains(name));
    strange.map(|name| Finding::new("layout", name, 0, "does not belong at the root: move it below one of the folders")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_name_at_the_root_is_found() {
        let mut workspace = Workspace::of(Vec::new());
        workspace.files = ["Cargo.toml", ".gitignore", "node/src/lib.rs", "scripts/run.sh"].map(str::to_owned).to_vec();
        let found = check(&workspace);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].path, "scripts");
    }
}

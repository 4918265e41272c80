//! The checks that cargo itself makes. Their output goes to the terminal as it is; a failure is one finding.

use std::process::Command;

use crate::{finding::Finding, workspace::Workspace};

pub(super) fn fmt(workspace: &Workspace) -> Vec<Finding> {
    run(workspace, "fmt", &["fmt", "--all", "--check"], None)
}

pub(super) fn clippy(workspace: &Workspace) -> Vec<Finding> {
    run(workspace, "clippy", &["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"], None)
}

pub(super) fn doc(workspace: &Workspace) -> Vec<Finding> {
    run(workspace, "doc", &["doc", "--workspace", "--no-deps", "--quiet"], Some(("RUSTDOCFLAGS", "-D warnings")))
}

fn run(workspace: &Workspace, rule: &'static str, arguments: &[&str], setting: Option<(&str, &str)>) -> Vec<Finding> {
    let mut command = Command::new("cargo");
    command.args(arguments).current_dir(&workspace.root);
    if let Some((name, value)) = setting {
        command.env(name, value);
    }
    let told = format!("cargo {}", arguments.join(" "));
    match command.status() {
        Ok(status) if status.success() => Vec::new(),
        Ok(_) => vec![Finding::new(rule, "Cargo.toml", 0, format!("`{told}` found something (see above): mend it"))],
        Err(error) => vec![Finding::new(rule, "Cargo.toml", 0, format!("`{told}` did not start: {error}"))],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cargo_command_that_fails_is_a_finding() {
        let mut workspace = Workspace::of(Vec::new());
        workspace.root = env!("CARGO_MANIFEST_DIR").into();
        assert!(run(&workspace, "fmt", &["--version"], None).is_empty());
        assert_eq!(run(&workspace, "fmt", &["no-such-command"], None).len(), 1);
    }
}

//! The workspace as the rules see it: its files, its parsed sources, its packages.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    process::Command,
};

use serde::Deserialize;

use crate::source::Source;

/// Everything a rule may look at.
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    /// Every file that git tracks or would track, relative to the root, sorted.
    pub(crate) files: Vec<String>,
    pub(crate) sources: Vec<Source>,
    pub(crate) packages: Vec<Package>,
}

/// A package of the workspace, as `cargo metadata` tells it.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) manifest_path: String,
    pub(crate) dependencies: Vec<Dependency>,
}

/// What a package asks for.
#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// `dev`, `build`, or none for a plain one.
    pub(crate) kind: Option<String>,
    /// Present for packages of the workspace.
    pub(crate) path: Option<String>,
}

impl Workspace {
    /// Reads the workspace this program was built in.
    pub(crate) fn load() -> Result<Workspace, String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let root = root.canonicalize().map_err(|error| format!("workspace root: {error}"))?;
        let files = files_known_to_git(&root)?;
        let packages = packages(&root)?;
        let mut sources = Vec::new();
        for path in files.iter().filter(|path| path.ends_with(".rs")) {
            let text = std::fs::read_to_string(root.join(path)).map_err(|error| format!("{path}: {error}"))?;
            sources.push(Source::parse(path, text)?);
        }
        mark_test_files(&mut sources);
        Ok(Workspace { root, files, sources, packages })
    }

    /// The sources that are not test code as a whole.
    pub(crate) fn product_sources(&self) -> impl Iterator<Item = &Source> {
        self.sources.iter().filter(|source| !source.is_test)
    }

    /// Text of a file of the workspace; nothing where it is not text.
    pub(crate) fn text_of(&self, path: &str) -> Option<String> {
        std::fs::read_to_string(self.root.join(path)).ok()
    }
}

/// What git tracks, and what it would track because nothing ignores it.
fn files_known_to_git(root: &Path) -> Result<Vec<String>, String> {
    let listed = output(root, "git", &["ls-files", "--cached", "--others", "--exclude-standard", "-z"])?;
    let paths = listed.split('\0').filter(|path| !path.is_empty() && root.join(path).is_file());
    let mut files: Vec<String> = paths.map(str::to_owned).collect();
    files.sort();
    files.dedup();
    Ok(files)
}

fn packages(root: &Path) -> Result<Vec<Package>, String> {
    #[derive(Deserialize)]
    struct Metadata {
        packages: Vec<Package>,
    }
    let text = output(root, "cargo", &["metadata", "--no-deps", "--format-version", "1"])?;
    let mut metadata: Metadata = serde_json::from_str(&text).map_err(|error| format!("cargo metadata: {error}"))?;
    let prefix = format!("{}/", root.display());
    for package in &mut metadata.packages {
        package.manifest_path = package.manifest_path.trim_start_matches(&prefix).to_owned();
    }
    Ok(metadata.packages)
}

fn output(root: &Path, program: &str, arguments: &[&str]) -> Result<String, String> {
    let ran = Command::new(program).args(arguments).current_dir(root).output();
    let ran = ran.map_err(|error| format!("{program}: {error}"))?;
    if !ran.status.success() {
        return Err(format!("{program} {}: {}", arguments.join(" "), String::from_utf8_lossy(&ran.stderr).trim()));
    }
    String::from_utf8(ran.stdout).map_err(|error| format!("{program}: {error}"))
}

/// `#[cfg(test)] mod name;` makes test code of `name.rs` and of all below `name/`.
pub(crate) fn mark_test_files(sources: &mut [Source]) {
    let mut roots = HashSet::new();
    for source in sources.iter() {
        for module in source.outline.modules.iter().filter(|module| module.is_test_file) {
            roots.insert(format!("{}/{}", folder_of_children(&source.path), module.name));
        }
    }
    for source in sources {
        let below = |root: &String| source.path == format!("{root}.rs") || source.path.starts_with(&format!("{root}/"));
        source.is_test |= roots.iter().any(below);
    }
}

/// Where the child modules of a file stand.
fn folder_of_children(path: &str) -> String {
    let (folder, file) = path.rsplit_once('/').unwrap_or((".", path));
    match file.trim_end_matches(".rs") {
        "lib" | "main" | "mod" => folder.to_owned(),
        stem => format!("{folder}/{stem}"),
    }
}

#[cfg(test)]
impl Workspace {
    /// A workspace that exists only in a test.
    pub(crate) fn of(sources: Vec<Source>) -> Workspace {
        let mut sources = sources;
        mark_test_files(&mut sources);
        let files = sources.iter().map(|source| source.path.clone()).collect();
        Workspace { root: PathBuf::new(), files, sources, packages: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::source;

    #[test]
    fn a_module_declared_for_tests_makes_its_file_test_code() {
        let files = vec![source("raft/src/lib.rs", "#[cfg(test)]\nmod twin;\nmod log;\n"), source("raft/src/twin.rs", "")];
        let workspace = Workspace::of(files);
        assert!(!workspace.sources[0].is_test);
        assert!(workspace.sources[1].is_test);
    }
}

//! Which crate may depend on which: folders form a DAG, and it is written down here.

use crate::{
    finding::Finding,
    workspace::{Dependency, Package, Workspace},
};

/// Package → the packages of the workspace it may use. `None`: any.
const ALLOWED: &[(&str, Option<&[&str]>)] = &[
    ("proto", Some(&[])),
    ("proto-record", Some(&[])),
    ("proto-client", Some(&["proto"])),
    ("storage-crypto", Some(&[])),
    ("storage", Some(&["storage-crypto", "proto-record"])),
    ("storage-backup", Some(&["storage", "storage-crypto"])),
    ("raft", Some(&["storage", "storage-crypto", "proto", "proto-record"])),
    ("node-domain", Some(&["proto-record"])),
    ("node-kms", Some(&["storage-crypto"])),
    ("node", Some(&["node-domain", "node-kms", "raft", "storage", "storage-backup", "storage-crypto", "proto", "proto-record"])),
    ("ops-cli", Some(&["proto", "proto-client", "proto-record", "storage-backup", "storage-crypto"])),
    ("ops-bench", Some(&["proto", "proto-client", "proto-record", "storage-crypto", "storage"])),
    ("ops-xtask", Some(&[])),
    ("chaos-history", Some(&["proto-record"])),
    ("chaos", Some(&["proto", "proto-client", "proto-record", "chaos-history"])),
    ("cluster-tests", None),
];

/// What the pure crate may not use: they bring a clock, chance, threads, a disk or a network.
const FORBIDDEN_IN_DOMAIN: &[&str] = &[
    "tokio",
    "tokio-stream",
    "tokio-util",
    "tonic",
    "futures",
    "rand",
    "rand_chacha",
    "getrandom",
    "uuid",
    "jiff",
    "chrono",
    "time",
    "sled",
    "openraft",
    "libc",
    "hyper",
    "hyper-util",
    "rustls",
    "tokio-rustls",
    "parking_lot",
    "tracing",
    "metrics",
    "tempfile",
    "aes-gcm-siv",
];

/// Packages with one owner: nobody else may name them.
const OWNERS: &[(&str, &[&str])] = &[
    ("sled", &["storage"]),
    ("bincode", &["proto-record"]),
    ("openraft", &["raft"]),
    ("aes-gcm-siv", &["storage-crypto"]),
    ("ed25519-dalek", &["storage-crypto"]),
    ("aws-sdk-kms", &["node-kms"]),
];

pub(super) fn check(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in &workspace.packages {
        let manifest = workspace.text_of(&package.manifest_path).unwrap_or_default();
        let place = |dependency: &str| (package.manifest_path.as_str(), line_of(&manifest, dependency));
        for advice in edges_of(package) {
            let (path, line) = place(&advice.dependency);
            findings.push(Finding::new("edges", path, line, advice.text));
        }
        findings.extend(name_follows_path(package));
    }
    findings
}

struct Advice {
    dependency: String,
    text: String,
}

fn edges_of(package: &Package) -> Vec<Advice> {
    let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| *name == package.name) else {
        let text = format!("package {} is not in the table of edges: add it to ops/xtask/src/rules/edges.rs", package.name);
        return vec![Advice { dependency: "name".to_owned(), text }];
    };
    let judged = package.dependencies.iter().filter_map(|dependency| {
        let text =
            if dependency.path.is_some() { inner_edge(package, dependency, *allowed) } else { outer_edge(package, dependency) };
        text.map(|text| Advice { dependency: dependency.name.clone(), text })
    });
    judged.collect()
}

fn inner_edge(package: &Package, dependency: &Dependency, allowed: Option<&[&str]>) -> Option<String> {
    let allowed = allowed?;
    (!allowed.contains(&dependency.name.as_str())).then(|| {
        let names = if allowed.is_empty() { "nothing of ours".to_owned() } else { allowed.join(", ") };
        format!("{} may not depend on {}: it may use {names}", package.name, dependency.name)
    })
}

fn outer_edge(package: &Package, dependency: &Dependency) -> Option<String> {
    let is_dev = dependency.kind.as_deref() == Some("dev");
    let name = dependency.name.as_str();
    if package.name == "node-domain" && !is_dev && FORBIDDEN_IN_DOMAIN.contains(&name) {
        return Some(format!("node-domain is pure and may not use {name}: pass what it gives as an argument"));
    }
    let (_, owners) = OWNERS.iter().find(|(owned, _)| *owned == name)?;
    let strange = !owners.contains(&package.name.as_str()) && package.name != "cluster-tests";
    strange.then(|| format!("{name} belongs to {}: go through that crate", owners.join(", ")))
}

/// `node/domain` is the package `node-domain`.
fn name_follows_path(package: &Package) -> Option<Finding> {
    let expected = package.manifest_path.trim_end_matches("/Cargo.toml").replace('/', "-");
    (expected != package.name)
        .then(|| Finding::new("edges", &package.manifest_path, 2, format!("a package is named by its path: call it {expected}")))
}

fn line_of(manifest: &str, dependency: &str) -> usize {
    let names = |line: &str| {
        let word = line.trim_start().split(['.', ' ', '=']).next().unwrap_or_default();
        word == dependency
    };
    manifest.lines().position(names).map_or(0, |index| index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, path: &str, dependencies: &[(&str, bool, Option<&str>)]) -> Package {
        let dependencies = dependencies.iter().map(|(name, ours, kind)| Dependency {
            name: (*name).to_owned(),
            kind: kind.map(str::to_owned),
            path: ours.then(String::new),
        });
        Package { name: name.to_owned(), manifest_path: format!("{path}/Cargo.toml"), dependencies: dependencies.collect() }
    }

    fn advice(package: &Package) -> Vec<String> {
        edges_of(package).into_iter().map(|advice| advice.text).collect()
    }

    #[test]
    fn an_edge_against_the_dag_is_found() {
        let storage = package("storage", "storage", &[("proto-record", true, None), ("raft", true, None)]);
        assert_eq!(advice(&storage), ["storage may not depend on raft: it may use storage-crypto, proto-record"]);
        let tests = package("cluster-tests", "cluster-tests", &[("node", true, None)]);
        assert!(advice(&tests).is_empty());
    }

    #[test]
    fn the_pure_crate_may_use_a_clock_only_in_its_tests() {
        let bad = package("node-domain", "node/domain", &[("jiff", false, None), ("tempfile", false, Some("dev"))]);
        assert_eq!(advice(&bad).len(), 1);
    }

    #[test]
    fn a_package_with_an_owner_and_a_crate_nobody_knows_are_found() {
        assert_eq!(
            advice(&package("node", "node", &[("sled", false, None)])),
            ["sled belongs to storage: go through that crate"]
        );
        assert_eq!(advice(&package("extras", "extras", &[])).len(), 1);
        assert!(name_follows_path(&package("domain", "node/domain", &[])).is_some());
        assert!(name_follows_path(&package("node-domain", "node/domain", &[])).is_none());
    }

    #[test]
    fn the_table_is_a_dag_because_each_package_uses_only_those_above_it() {
        for (index, (name, allowed)) in ALLOWED.iter().enumerate() {
            for used in allowed.unwrap_or_default() {
                assert!(ALLOWED[..index].iter().any(|(above, _)| above == used), "{name} uses {used}, which stands below it");
            }
        }
    }

    #[test]
    fn the_line_of_a_dependency_is_found_in_its_manifest() {
        assert_eq!(line_of("[dependencies]\nproto-record.workspace = true\nproto = { workspace = true }\n", "proto"), 3);
    }
}

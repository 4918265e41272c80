//! Scenarios from files, each under a few seeds.

use crate::process::Bug;
use crate::{Wanted, process, show};
use cluster_tests::simulation::Scenario;
use std::path::Path;

/// Whether one does not come true, or cannot be read.
pub(crate) fn found(wanted: &Wanted) -> bool {
    let path = wanted.scenarios.as_deref().unwrap_or_default();
    let files = match files(Path::new(path)) {
        Ok(files) if !files.is_empty() => files,
        Ok(_) => {
            show(&format!("error: there is no scenario in {path}"));
            return true;
        }
        Err(error) => {
            show(&format!("error: read {path}: {error}"));
            return true;
        }
    };
    let mut any = false;
    for file in files {
        let wanted = Wanted { scenarios: Some(file.clone()), ..wanted.clone() };
        let mut failing = 0;
        for seed in wanted.from..wanted.from + wanted.seeds {
            let report = process::of(seed, &wanted, Bug::None);
            if !report.findings.is_empty() {
                failing += 1;
                show(&format!(
                    "seed {seed}:\n  {}\n  again: {} --trace",
                    report.findings.join("\n  "),
                    process::again(seed, &wanted)
                ));
            }
        }
        let how = if failing == 0 { "as told".to_owned() } else { format!("not as told under {failing} of them") };
        show(&format!("{file}, {} seeds: {how}", wanted.seeds));
        any |= failing > 0;
    }
    any
}

/// A file, or the scenarios of a directory.
fn files(path: &Path) -> std::io::Result<Vec<String>> {
    if path.is_file() {
        return Ok(vec![path.display().to_string()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let file = entry?.path();
        if file.extension().is_some_and(|extension| extension == "txt") {
            files.push(file.display().to_string());
        }
    }
    files.sort();
    Ok(files)
}

/// The scenario in a file.
pub(crate) fn read(file: &str) -> Result<Scenario, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("read {file}: {error}"))?;
    Scenario::parse(&text).map_err(|why| format!("{file}, {why}"))
}

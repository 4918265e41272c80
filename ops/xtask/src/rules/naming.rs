//! Names say what a thing is; these words say nothing.

use crate::{finding::Finding, source::Source, workspace::Workspace};

const MODULES: &[&str] =
    &["util", "utils", "common", "helper", "helpers", "misc", "stuff", "manager_impl", "data", "info", "lib_impl"];
const PREFIXES: &[&str] = &["handle_", "do_", "get_"];
/// Names that the contract gives: `Secrets.GetMany`, `Secrets.GetStream`.
const OF_THE_CONTRACT: &[&str] = &["get_many", "get_stream"];

pub(super) fn check(workspace: &Workspace) -> Vec<Finding> {
    workspace.sources.iter().flat_map(check_source).collect()
}

fn check_source(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let folders = source.path.trim_end_matches(".rs").split('/');
    for name in folders.filter(|name| MODULES.contains(name)) {
        findings.push(Finding::new("naming", &source.path, 0, format!("`{name}` says nothing: name the one idea of the module")));
    }
    for module in source.outline.modules.iter().filter(|module| MODULES.contains(&module.name.as_str())) {
        let advice = format!("`{}` says nothing: name the one idea of the module", module.name);
        findings.push(Finding::new("naming", &source.path, module.line, advice));
    }
    for function in source.outline.functions.iter().filter(|function| function.is_named_here) {
        let name = function.name.as_str();
        if let Some(prefix) = PREFIXES.iter().find(|prefix| name.starts_with(**prefix) && !OF_THE_CONTRACT.contains(&name)) {
            let advice = format!("`{name}`: drop `{prefix}` and say what the function answers or decides");
            findings.push(Finding::new("naming", &source.path, function.line, advice));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::source;

    #[test]
    fn empty_words_are_found_in_files_modules_and_functions() {
        assert_eq!(check_source(&source("node/src/utils.rs", "")).len(), 1);
        assert_eq!(check_source(&source("node/src/a.rs", "mod helpers {}")).len(), 1);
        assert_eq!(check_source(&source("node/src/a.rs", "struct A;\nimpl A {\n    fn get_path(&self) {}\n}"))[0].line, 3);
    }

    #[test]
    fn names_that_a_trait_or_the_contract_asks_for_are_left_alone() {
        let text = "impl Store for A { fn get_log_state(&self) {} }\nimpl A { fn get_many(&self) {} fn target(&self) {} }";
        assert!(check_source(&source("raft/src/a.rs", text)).is_empty());
    }
}

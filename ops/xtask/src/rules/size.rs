//! One idea a file, one act a function.

use crate::{finding::Finding, source::Source, workspace::Workspace};

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;

pub(super) fn check(workspace: &Workspace) -> Vec<Finding> {
    workspace.product_sources().flat_map(check_source).collect()
}

fn check_source(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let lines = (1..=source.text.lines().count()).filter(|line| !source.is_test_line(*line)).count();
    if lines > FILE_LINES_MAX {
        let advice = format!("{lines} lines without tests, at most {FILE_LINES_MAX}: give the second idea its own file");
        findings.push(Finding::new("size", &source.path, 0, advice));
    }
    for function in &source.outline.functions {
        if function.lines > FUNCTION_LINES_MAX && !source.is_test_line(function.line) {
            let advice = format!("{} has {} lines, at most {FUNCTION_LINES_MAX}: name its steps", function.name, function.lines);
            findings.push(Finding::new("size", &source.path, function.line, advice));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::source;

    #[test]
    fn a_long_file_and_a_long_function_are_found() {
        let body = "    let _ = 1;\n".repeat(FUNCTION_LINES_MAX - 1);
        let text = format!("fn long() {{\n{body}}}\n{}", "// line\n".repeat(FILE_LINES_MAX));
        let found = check_source(&source("node/src/a.rs", &text));
        assert_eq!(found.iter().map(|finding| finding.line).collect::<Vec<_>>(), [0, 1]);
    }

    #[test]
    fn tests_may_be_long() {
        let text = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "    // line\n".repeat(FILE_LINES_MAX * 2));
        assert!(check_source(&source("node/src/a.rs", &text)).is_empty());
    }
}

//! What is committed is finished; what is not done yet is an issue, not a mark in the source.

use crate::{finding::Finding, source::Source, workspace::Workspace};

const MACROS: &[&str] = &["todo", "unimplemented"];
const MARKS: &[&str] = &["TODO", "FIXME", "XXX", "Under construction"];
/// Other text files that are searched for marks.
const TEXTS: &[&str] = &[".proto", ".toml", ".sh", ".py", ".yml", ".yaml"];

pub(super) fn check(workspace: &Workspace) -> Vec<Finding> {
    let mut findings: Vec<Finding> = workspace.sources.iter().flat_map(check_source).collect();
    for path in workspace.files.iter().filter(|path| TEXTS.iter().any(|end| path.ends_with(end))) {
        findings.extend(check_text(path, &workspace.text_of(path).unwrap_or_default()));
    }
    findings
}

fn check_source(source: &Source) -> Vec<Finding> {
    // Tests count here as well: an ignored test proves nothing.
    let mut findings = check_text(&source.path, &source.comments());
    for pair in source.tokens.windows(2).filter(|pair| pair[1].text == "!" && MACROS.contains(&pair[0].text.as_str())) {
        let advice = format!("{}! is left: write it, or take the path away", pair[0].text);
        findings.push(Finding::new("unfinished", &source.path, pair[0].line, advice));
    }
    let ignored = source.tokens.windows(3).filter(|window| window[0].text == "#" && window[1].text == "[");
    for window in ignored.filter(|window| window[2].text == "ignore") {
        findings.push(Finding::new(
            "unfinished",
            &source.path,
            window[2].line,
            "an ignored test proves nothing: mend it or delete it",
        ));
    }
    findings
}

fn check_text(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if let Some(mark) = MARKS.iter().find(|mark| line.contains(**mark)) {
            findings.push(Finding::new(
                "unfinished",
                path,
                index + 1,
                format!("`{mark}`: do it, or open an issue and take the mark away"),
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::source;

    #[test]
    fn marks_macros_and_ignored_tests_are_found() {
        let text =
            format!("// {} later\nfn a() {{ {}!() }}\n#[test]\n#[{} = \"slow\"]\nfn b() {{}}\n", MARKS[0], MACROS[0], "ignore");
        let lines: Vec<_> = check_source(&source("node/src/a.rs", &text)).iter().map(|finding| finding.line).collect();
        assert_eq!(lines, [1, 2, 4]);
    }

    #[test]
    fn a_mark_in_a_string_is_no_mark() {
        let text = format!("const A: &str = \"{}\"; fn ignore() {{}}", MARKS[0]);
        assert!(check_source(&source("node/src/a.rs", &text)).is_empty());
        assert_eq!(check_text("proto/a.proto", &format!("\n// {}", MARKS[1]))[0].line, 2);
    }
}

//! One Rust file as its text, its tokens and its outline.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use crate::outline::Outline;

/// A parsed Rust file of the workspace.
pub(crate) struct Source {
    /// Relative to the root, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
    /// Every leaf token outside comments, in order.
    pub(crate) tokens: Vec<Token>,
    pub(crate) outline: Outline,
    /// The whole file is test code, because of where it stands or because its parent says so.
    pub(crate) is_test: bool,
}

/// A word, a sign or a literal, with its place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) line: usize,
    pub(crate) text: String,
    /// Bytes of the file that the token covers.
    pub(crate) range: std::ops::Range<usize>,
}

impl Source {
    /// Parses the text of a file.
    pub(crate) fn parse(path: &str, text: String) -> Result<Source, String> {
        let syntax = syn::parse_file(&text).map_err(|error| format!("{path}: does not parse: {error}"))?;
        let stream: TokenStream = text.parse().map_err(|error| format!("{path}: does not parse: {error}"))?;
        let mut tokens = Vec::new();
        flatten(stream, &mut tokens);
        Ok(Source { path: path.to_owned(), outline: Outline::of(&syntax), tokens, text, is_test: is_test_path(path) })
    }

    /// Whether a line of this file is test code.
    pub(crate) fn is_test_line(&self, line: usize) -> bool {
        self.is_test || self.outline.test_lines.iter().any(|range| range.contains(&line))
    }

    /// Lines where `words` stand one after another as tokens, outside tests.
    pub(crate) fn lines_naming(&self, words: &[&str]) -> Vec<usize> {
        let named = |window: &&[Token]| window.iter().zip(words).all(|(token, word)| token.text == *word);
        let lines = self.tokens.windows(words.len()).filter(named).map(|window| window[0].line);
        lines.filter(|line| !self.is_test_line(*line)).collect()
    }

    /// The text with every token blanked: what is left are the plain comments.
    pub(crate) fn comments(&self) -> String {
        let mut bytes = self.text.clone().into_bytes();
        for token in &self.tokens {
            for byte in &mut bytes[token.range.clone()] {
                if *byte != b'\n' {
                    *byte = b' ';
                }
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// Test code by its place: a `tests` folder, or a file that is named as tests are.
fn is_test_path(path: &str) -> bool {
    let stem = path.rsplit('/').next().unwrap_or(path).trim_end_matches(".rs");
    path.split('/').any(|part| part == "tests")
        || path.starts_with("cluster-tests/")
        || stem == "tests"
        || stem.ends_with("_tests")
}

fn flatten(stream: TokenStream, tokens: &mut Vec<Token>) {
    for tree in stream {
        let span = tree.span();
        if let TokenTree::Group(group) = tree {
            if is_doc_comment(&group) {
                continue;
            }
            let (open, close) = delimiters(group.delimiter());
            tokens.extend(leaf(open, group.span_open()));
            flatten(group.stream(), tokens);
            tokens.extend(leaf(close, group.span_close()));
        } else {
            tokens.extend(leaf(&tree.to_string(), span));
        }
    }
}

/// A doc comment reaches us as `#[doc = "…"]`, but its place in the file is that of the comment.
fn is_doc_comment(group: &proc_macro2::Group) -> bool {
    group.delimiter() == Delimiter::Bracket && group.span().source_text().is_some_and(|text| text.starts_with('/'))
}

fn leaf(text: &str, span: proc_macro2::Span) -> Option<Token> {
    let of_a_comment = span.source_text().is_some_and(|text| text.starts_with("//") || text.starts_with("/*"));
    let known = !text.is_empty() && !of_a_comment;
    known.then(|| Token { line: span.start().line, text: text.to_owned(), range: span.byte_range() })
}

fn delimiters(delimiter: Delimiter) -> (&'static str, &'static str) {
    match delimiter {
        Delimiter::Parenthesis => ("(", ")"),
        Delimiter::Brace => ("{", "}"),
        Delimiter::Bracket => ("[", "]"),
        Delimiter::None => ("", ""),
    }
}

#[cfg(test)]
pub(crate) fn source(path: &str, text: &str) -> Source {
    Source::parse(path, text.to_owned()).expect("the example parses")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_a_comment_or_a_string_is_not_a_token() {
        let file = source("node/src/a.rs", "//! sled\n/// sled\nfn a() { /* sled */ let x = \"sled\"; sled::open(x) }\n");
        assert_eq!(file.lines_naming(&["sled"]), [3]);
    }

    #[test]
    fn what_stands_in_tests_is_not_counted() {
        let file = source("node/src/a.rs", "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() { sled::open() }\n}\n");
        assert!(file.lines_naming(&["sled"]).is_empty());
    }

    #[test]
    fn comments_are_what_remains_without_tokens() {
        let file = source("node/src/a.rs", "/// doc é\nfn a() { let x = \"// no\"; } // yes é\n");
        let comments = file.comments();
        assert!(comments.contains("// yes é") && comments.contains("/// doc é"));
        assert!(!comments.contains("no"));
    }
}

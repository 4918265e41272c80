//! `.env` files: read strictly, written so that reading gives the same back.
//!
//! - `NAME=value`, `export NAME=value`; white space around an unquoted value does not count, ` #` starts a comment;
//! - `'…'` is literal and stays on its line; `"…"` may span lines and knows `\n \r \t \" \\ \$` and `` \` ``;
//! - nothing is ever substituted: `$` is a dollar sign.

use std::fmt;

/// One `NAME=value`, with its line.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) line: usize,
}

/// What does not parse, and where. Never holds a value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct DotenvError {
    pub(crate) line: usize,
    pub(crate) reason: String,
}

impl fmt::Display for DotenvError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "line {}: {}", self.line, self.reason)
    }
}

/// Reads a whole file.
pub(crate) fn parse(text: &str) -> Result<Vec<Entry>, DotenvError> {
    let mut reader = Reader { rest: text.strip_prefix('\u{feff}').unwrap_or(text), line: 1 };
    let mut entries: Vec<Entry> = Vec::new();
    while let Some(entry) = reader.entry()? {
        if let Some(first) = entries.iter().find(|known| known.name == entry.name) {
            let reason = format!("{} stands on line {} already", entry.name, first.line);
            return Err(DotenvError { line: entry.line, reason });
        }
        entries.push(entry);
    }
    Ok(entries)
}

/// Whether a name can stand left of `=`.
pub(crate) fn is_name(name: &str) -> bool {
    let legal = |sign: char| sign.is_ascii_alphanumeric() || "_./-".contains(sign);
    !name.is_empty() && name.chars().all(legal)
}

/// Writes entries, each quoted.
pub(crate) fn format<'a>(entries: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    entries.into_iter().map(|(name, value)| format!("{name}={}\n", quoted(value))).collect()
}

fn quoted(value: &str) -> String {
    if !value.contains(['\'', '\n', '\r']) {
        return format!("'{value}'");
    }
    let mut text = String::with_capacity(value.len() + 2);
    text.push('"');
    for sign in value.chars() {
        match sign {
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '"' | '\\' | '$' | '`' => text.extend(['\\', sign]),
            _ => text.push(sign),
        }
    }
    text.push('"');
    text
}

/// What is left of a file.
struct Reader<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Reader<'a> {
    /// The next entry; none at the end of the file.
    fn entry(&mut self) -> Result<Option<Entry>, DotenvError> {
        loop {
            if self.rest.is_empty() {
                return Ok(None);
            }
            let line = self.until_newline().trim();
            if !line.is_empty() && !line.starts_with('#') {
                break;
            }
            self.skip_line();
        }
        let line = self.line;
        let name = self.name()?;
        let value = self.value()?;
        Ok(Some(Entry { name, value, line }))
    }

    fn name(&mut self) -> Result<String, DotenvError> {
        let whole = self.until_newline();
        let (left, _) = whole.split_once('=').ok_or_else(|| self.error("there is no `=`"))?;
        let length = left.len() + 1;
        let left = left.trim();
        let name = left.strip_prefix("export").filter(|rest| rest.starts_with(char::is_whitespace)).unwrap_or(left).trim();
        if !is_name(name) {
            return Err(self.error("the name left of `=` may hold letters, digits and _ . / -"));
        }
        let name = name.to_owned();
        self.rest = &self.rest[length..];
        Ok(name)
    }

    fn value(&mut self) -> Result<String, DotenvError> {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
        let value = match self.rest.chars().next() {
            Some('\'') => self.single_quoted()?,
            Some('"') => self.double_quoted()?,
            _ => {
                let value = unquoted(self.until_newline());
                self.skip_line();
                return Ok(value);
            }
        };
        let after = self.until_newline().trim();
        if !after.is_empty() && !after.starts_with('#') {
            return Err(self.error("there is text after the closing quote"));
        }
        self.skip_line();
        Ok(value)
    }

    fn single_quoted(&mut self) -> Result<String, DotenvError> {
        let body = &self.until_newline()[1..];
        let end = body.find('\'').ok_or_else(|| self.error("the single quote is not closed on its line"))?;
        let value = body[..end].to_owned();
        self.rest = &self.rest[end + 2..];
        Ok(value)
    }

    fn double_quoted(&mut self) -> Result<String, DotenvError> {
        let opened = self.error("the double quote is never closed");
        let mut value = String::new();
        let body = &self.rest[1..];
        let mut signs = body.char_indices();
        while let Some((at, sign)) = signs.next() {
            match sign {
                '"' => {
                    self.rest = &body[at + 1..];
                    return Ok(value);
                }
                '\\' => {
                    let Some((_, escaped)) = signs.next() else { return Err(opened) };
                    let meant = unescaped(escaped);
                    value.push(meant.ok_or_else(|| self.error("after a backslash may follow n r t \" \\ $ and `"))?);
                }
                _ => {
                    self.line += usize::from(sign == '\n');
                    value.push(sign);
                }
            }
        }
        Err(opened)
    }

    fn until_newline(&self) -> &'a str {
        self.rest.split('\n').next().unwrap_or_default()
    }

    fn skip_line(&mut self) {
        self.rest = self.rest.split_once('\n').map_or("", |(_, rest)| rest);
        self.line += 1;
    }

    fn error(&self, reason: &str) -> DotenvError {
        DotenvError { line: self.line, reason: reason.to_owned() }
    }
}

fn unescaped(sign: char) -> Option<char> {
    Some(match sign {
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        '"' | '\\' | '$' | '`' => sign,
        _ => return None,
    })
}

fn unquoted(text: &str) -> String {
    let comment = text.char_indices().find(|(at, sign)| *sign == '#' && text[..*at].ends_with([' ', '\t']));
    let end = comment.map_or(text.len(), |(at, _)| at);
    text[..end].trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        parse(text).unwrap_or_else(|error| panic!("{error}")).into_iter().map(|entry| (entry.name, entry.value)).collect()
    }

    fn one(text: &str) -> String {
        pairs(text).remove(0).1
    }

    #[test]
    fn comments_blank_lines_and_export_are_understood() {
        let text = "\u{feff}# a comment\r\n\n  export A=1\r\nexport\tB = two # why\nC=\nexported=x";
        let expected = [("A", "1"), ("B", "two"), ("C", ""), ("exported", "x")];
        assert_eq!(pairs(text), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn unquoted_values_keep_equal_signs_and_inner_number_signs() {
        assert_eq!(one("URL=postgres://a:b@c/d?x=y#z"), "postgres://a:b@c/d?x=y#z");
        assert_eq!(one("A=#none"), "#none");
        assert_eq!(one("A=$HOME"), "$HOME");
    }

    #[test]
    fn single_quotes_are_literal_and_double_quotes_are_not() {
        assert_eq!(one(r"A='a\n$b # c' # comment"), r"a\n$b # c");
        assert_eq!(one(r#"A="a\n\"b\" \\ \$c""#), "a\n\"b\" \\ $c");
        assert_eq!(one("A=\"-----BEGIN\nabc\n-----END\"\nB=1"), "-----BEGIN\nabc\n-----END");
    }

    #[test]
    fn errors_name_the_line_and_no_value() {
        let cases = [
            ("A=1\nhunter2", 2),
            ("A='hunter2", 1),
            ("A=\"x\ny\"\nB=\"hunter2", 3),
            ("A=\"x\ny\\q\"", 2),
            ("A='1' hunter2", 1),
            ("A B=hunter2", 1),
            ("\n\nA=1\nB=2\nA=3", 5),
        ];
        for (text, line) in cases {
            let error = parse(text).err().unwrap();
            assert_eq!(error.line, line, "{text:?}: {error}");
            assert!(!error.to_string().contains("hunter2"));
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_the_same(values in proptest::collection::vec("(?s).{0,40}", 0..8)) {
            let named: Vec<_> = values.iter().enumerate().map(|(index, value)| (format!("app/KEY_{index}"), value)).collect();
            let text = format(named.iter().map(|(name, value)| (name.as_str(), value.as_str())));
            let read = parse(&text).map_err(|error| TestCaseError::fail(error.to_string()))?;
            let read: Vec<_> = read.iter().map(|entry| (entry.name.clone(), &entry.value)).collect();
            prop_assert_eq!(read, named);
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "(?s)[A='\"\\\\n\n #x$]{0,40}") {
            let _ = parse(&text);
        }
    }
}

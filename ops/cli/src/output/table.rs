//! Tables for people: no frame, so that a column can be selected with a mouse.

use std::io::{self, Write};

use comfy_table::{ContentArrangement, Table, presets};

use super::mask::harmless;

/// Writes rows below a line of titles.
pub(crate) fn rows<R>(out: &mut dyn Write, titles: &[&str], rows: impl IntoIterator<Item = R>) -> io::Result<()>
where
    R: IntoIterator<Item = String>,
{
    let mut table = plain();
    table.set_header(titles);
    for row in rows {
        table.add_row(row.into_iter().map(|cell| harmless(&cell)));
    }
    write_trimmed(out, &table)
}

/// Writes names and what they stand for, leaving out what is empty.
pub(crate) fn facts<'a>(out: &mut dyn Write, facts: impl IntoIterator<Item = (&'a str, String)>) -> io::Result<()> {
    let mut table = plain();
    for (name, fact) in facts.into_iter().filter(|(_, fact)| !fact.is_empty()) {
        table.add_row([harmless(name), harmless(&fact)]);
    }
    write_trimmed(out, &table)
}

fn plain() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table
}

fn write_trimmed(out: &mut dyn Write, table: &Table) -> io::Result<()> {
    for line in table.to_string().lines() {
        // The first column stands at the edge, and no line ends in blanks.
        writeln!(out, "{}", line.strip_prefix(' ').unwrap_or(line).trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_end_without_blanks() {
        let mut out = Vec::new();
        rows(&mut out, &["PATH", "V"], [vec!["db/password".to_owned(), "2".to_owned()], vec!["a".to_owned(), String::new()]])
            .unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "PATH         V\ndb/password  2\na\n");
    }

    #[test]
    fn facts_without_content_are_left_out() {
        let mut out = Vec::new();
        facts(&mut out, [("path", "db".to_owned()), ("owner", String::new())]).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "path  db\n");
    }
}

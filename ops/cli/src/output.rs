//! All that is printed goes through here: tables for people, documents for programs, exact bytes for pipes.

pub(crate) mod document;
pub(crate) mod mask;
pub(crate) mod table;
pub(crate) mod time;

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use crate::exit::Failure;

/// The forms of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people; values are masked unless `--reveal`.
    Table,
    /// A document with `"schema": "holdfast/v1"`.
    Json,
    /// The same document as YAML.
    Yaml,
    /// The exact bytes of a value.
    Raw,
    /// `NAME='value'` lines.
    Env,
}

/// Where the answer goes, and in what form.
pub(crate) struct Output {
    chosen: Option<Format>,
    quiet: bool,
    pub(crate) is_terminal: bool,
}

impl Output {
    pub(crate) fn new(chosen: Option<Format>, quiet: bool) -> Output {
        Output { chosen, quiet, is_terminal: io::stdout().is_terminal() }
    }

    /// The form asked for, or a table.
    pub(crate) fn format(&self) -> Format {
        self.chosen.unwrap_or(Format::Table)
    }

    /// The form asked for; for a single value a pipe gets its bytes.
    pub(crate) fn format_of_value(&self) -> Format {
        self.chosen.unwrap_or(if self.is_terminal { Format::Table } else { Format::Raw })
    }

    /// Prints `answer` as a document, or calls `people` to write it for people.
    pub(crate) fn show(
        &self,
        answer: &impl Serialize,
        people: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), Failure> {
        let mut out = anstream::stdout().lock();
        match self.format() {
            Format::Table => people(&mut out)?,
            Format::Json => writeln!(out, "{}", document::json(answer))?,
            Format::Yaml => write!(out, "{}", document::yaml(answer))?,
            Format::Raw | Format::Env => return Err(not_a_value()),
        }
        Ok(out.flush()?)
    }

    /// Prints one item of a stream: a line for people, one line of JSON or one YAML document for programs.
    pub(crate) fn show_item(&self, item: &impl Serialize, line: &str) -> Result<(), Failure> {
        let mut out = anstream::stdout().lock();
        match self.format() {
            Format::Table => writeln!(out, "{line}")?,
            Format::Json => writeln!(out, "{}", document::json_line(item))?,
            Format::Yaml => write!(out, "---\n{}", document::yaml(item))?,
            Format::Raw | Format::Env => return Err(not_a_value()),
        }
        Ok(out.flush()?)
    }

    /// Says that something was done: a sentence for people, a document for programs.
    pub(crate) fn done(&self, answer: &impl Serialize, sentence: &str) -> Result<(), Failure> {
        self.show(answer, |out| if self.quiet { Ok(()) } else { writeln!(out, "{sentence}") })
    }

    /// Writes bytes as they are: no color is stripped, no newline added.
    pub(crate) fn raw(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        out.write_all(bytes)?;
        Ok(out.flush()?)
    }

    /// Text for programs that is not a document.
    pub(crate) fn text(&self, text: &str) -> Result<(), Failure> {
        self.raw(text.as_bytes())
    }

    /// A remark beside the answer, for people.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet {
            to_stderr(&format!("note: {text}"));
        }
    }

    /// A remark that `--quiet` does not silence.
    pub(crate) fn warn(&self, text: &str) {
        to_stderr(&format!("warning: {text}"));
    }

    /// A bar for work that takes long, seen on a terminal only.
    pub(crate) fn progress(&self, length: u64, what: &'static str) -> indicatif::ProgressBar {
        let hidden = self.quiet || !io::stderr().is_terminal();
        if hidden {
            return indicatif::ProgressBar::hidden();
        }
        let style = indicatif::ProgressStyle::with_template("{msg} {bar:30} {pos}/{len} ({eta} left)");
        let bar = indicatif::ProgressBar::new(length).with_message(what);
        // The template is a constant: were it wrong, the plain bar would do.
        style.map(|style| bar.clone().with_style(style)).unwrap_or(bar)
    }
}

fn not_a_value() -> Failure {
    Failure::usage("cannot print this as raw or env", "only values have these forms", "use -o table, json or yaml")
}

/// Writes a line for people. Nothing can be done when even standard error is closed.
pub(crate) fn to_stderr(text: &str) {
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}

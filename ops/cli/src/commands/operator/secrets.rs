//! Asking for what opens a seal, and showing what a new one gives, once.

use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use zeroize::Zeroizing;

use crate::exit::Failure;

/// Longest share, passphrase or key that is read.
const BYTES_MAX: u64 = 4096;

/// Asks on the terminal without echo; otherwise takes the next line of standard input.
pub(super) fn ask(prompt: &str) -> Result<Zeroizing<String>, Failure> {
    let failed = |error: &io::Error| Failure::io(format!("cannot ask for the {prompt}"), error);
    let text = if io::stdin().is_terminal() {
        rpassword::prompt_password(format!("{prompt}: ")).map_err(|error| failed(&error))?
    } else {
        line().map_err(|error| failed(&error))?
    };
    let text = Zeroizing::new(text);
    if text.trim().is_empty() {
        return Err(Failure::usage(
            format!("no {prompt} was given"),
            "the input is empty",
            "give it at the prompt or as a line of standard input",
        ));
    }
    Ok(Zeroizing::new(text.trim().to_owned()))
}

/// One line: what comes after it is for the next question.
fn line() -> io::Result<String> {
    let mut text = String::new();
    io::stdin().lock().take(BYTES_MAX).read_line(&mut text)?;
    Ok(text)
}

/// A new passphrase, asked for twice.
pub(super) fn ask_new_passphrase() -> Result<Zeroizing<String>, Failure> {
    let first = ask("new passphrase")?;
    if *ask("new passphrase again")? != *first {
        return Err(Failure::usage("the two passphrases differ", "nothing was sent", "try again"));
    }
    Ok(first)
}

/// What holds the seal now, asked for by its kind.
pub(super) fn ask_current(kind: &str, threshold: u32) -> Result<Vec<Zeroizing<String>>, Failure> {
    match kind {
        "shamir" => (1..=threshold).map(|number| ask(&format!("current share {number} of {threshold}"))).collect(),
        "passphrase" => Ok(vec![ask("current passphrase")?]),
        "key-file" => Ok(vec![ask("text of the current key file")?]),
        _ => Ok(Vec::new()),
    }
}

pub(super) fn read_key_file(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let text = std::fs::read_to_string(path).map(Zeroizing::new);
    text.map_err(|error| Failure::io(format!("cannot read {}", path.display()), &error))
}

/// The place of a new key file, taken before there is a key: the key is shown once, and must not be lost to a wrong path.
pub(super) struct NewKeyFile {
    file: std::fs::File,
    path: std::path::PathBuf,
}

impl NewKeyFile {
    pub(super) fn create(path: &Path) -> Result<NewKeyFile, Failure> {
        let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let file = file.map_err(|error| Failure::io(format!("cannot create {}", path.display()), &error))?;
        Ok(NewKeyFile { file, path: path.to_owned() })
    }

    pub(super) fn write(mut self, text: &str) -> Result<(), Failure> {
        let written = self.file.write_all(text.as_bytes()).and_then(|()| self.file.sync_all());
        written.map_err(|error| Failure::io(format!("cannot write {}", self.path.display()), &error))
    }
}

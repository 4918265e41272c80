//! Where values come from: standard input, a file, a prompt, or chance. Never the command line.

use std::{
    collections::BTreeMap,
    io::{self, IsTerminal, Read},
    path::PathBuf,
};

use storage_crypto::{Entropy, OsEntropy};
use zeroize::Zeroizing;

use crate::{exit::Failure, output::Output, value::Plain};

/// The most that a value may be; more is refused before it is sent.
const VALUE_BYTES_MAX: u64 = 1 << 20;

/// One `-`, `@file`, `name=-`, `name=@file` or `name=?` of a command line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Given {
    /// The field; none where the whole value is meant.
    field: Option<String>,
    source: Source,
}

#[derive(Debug, PartialEq, Eq)]
enum Source {
    Stdin,
    File(PathBuf),
    Prompt,
}

impl Given {
    /// Reads one argument. The error never holds the argument: it may be a secret.
    pub(crate) fn parse(argument: &str) -> Result<Given, Failure> {
        if let Some(source) = Source::parse(argument) {
            return Ok(Given { field: None, source });
        }
        match argument.split_once('=') {
            Some((field, source)) if !field.is_empty() => {
                let source = Source::parse(source).ok_or_else(inline_value)?;
                Ok(Given { field: Some(field.to_owned()), source })
            }
            _ => Err(inline_value()),
        }
    }
}

impl Source {
    fn parse(text: &str) -> Option<Source> {
        match text {
            "-" => Some(Source::Stdin),
            "?" => Some(Source::Prompt),
            _ => text.strip_prefix('@').filter(|path| !path.is_empty()).map(|path| Source::File(path.into())),
        }
    }

    fn read(&self, prompt: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
        match self {
            Source::Stdin => limited(io::stdin().lock(), "standard input"),
            Source::Prompt => ask(prompt),
            Source::File(path) => {
                let name = path.display().to_string();
                let file = std::fs::File::open(path);
                limited(file.map_err(|error| Failure::io(format!("cannot read {name}"), &error))?, &name)
            }
        }
    }
}

fn inline_value() -> Failure {
    Failure::usage(
        "a value was given on the command line",
        "every process of this machine can see it there, and the shell keeps it: change that value",
        "give - (standard input), @FILE or ? (prompt), for a field NAME=-, NAME=@FILE or NAME=?",
    )
}

fn limited(from: impl Read, name: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let mut bytes = Zeroizing::new(Vec::new());
    from.take(VALUE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| Failure::io(format!("cannot read {name}"), &error))?;
    if bytes.len() as u64 > VALUE_BYTES_MAX {
        return Err(Failure::usage(
            format!("{name} is too large"),
            "a value has at most 1 MiB",
            "keep large files elsewhere, and their key here",
        ));
    }
    Ok(bytes)
}

/// Asks twice, without echo.
fn ask(prompt: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    Ok(Zeroizing::new(ask_twice(prompt)?.as_bytes().to_vec()))
}

/// Asks twice, without echo: for what is new.
pub(crate) fn ask_twice(prompt: &str) -> Result<Zeroizing<String>, Failure> {
    let first = ask_once(prompt)?;
    if *ask_once(&format!("{prompt} again"))? != *first {
        return Err(Failure::usage("the two values differ", "nothing was sent", "try again"));
    }
    Ok(first)
}

/// Asks without echo: for what is there already.
pub(crate) fn ask_once(prompt: &str) -> Result<Zeroizing<String>, Failure> {
    if !io::stdin().is_terminal() {
        let next = "give it in a file, or on standard input: --help shows how";
        return Err(Failure::usage("cannot ask for the value", "there is no terminal", next));
    }
    let answer = rpassword::prompt_password(format!("{prompt}: ")).map(Zeroizing::new);
    answer.map_err(|error| Failure::io("cannot ask for the value", &error))
}

/// One line of a file, or of standard input (`-`): a password, a token. The line's end does not count.
pub(crate) fn secret_line(path: &str) -> Result<Zeroizing<String>, Failure> {
    let source = if path == "-" { Source::Stdin } else { Source::File(path.into()) };
    let bytes = source.read(path)?;
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| Failure::usage(format!("cannot use what is in {path}"), "it is not text", "give a file with one line"))?;
    Ok(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}

/// One line from where an argument says: `@FILE`, `-`, or `?` to be asked without echo. None where it says no such place.
pub(crate) fn line_from(argument: &str, prompt: &str) -> Result<Option<Zeroizing<String>>, Failure> {
    match argument.strip_prefix('@') {
        Some(file) => secret_line(file).map(Some),
        None if argument == "-" => secret_line("-").map(Some),
        None if argument == "?" => ask_once(prompt).map(Some),
        None => Ok(None),
    }
}

/// Bytes as they are from where an argument says: `@FILE`, `-`, or `?` to be asked.
pub(crate) fn bytes_from(argument: &str, prompt: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    Source::parse(argument).ok_or_else(inline_value)?.read(prompt)
}

/// Puts the value of `secret put` together from its arguments.
pub(crate) fn value(arguments: &[String], as_json: bool, out: &Output) -> Result<Plain, Failure> {
    let given: Vec<Given> = arguments.iter().map(|argument| Given::parse(argument)).collect::<Result<_, _>>()?;
    match given.as_slice() {
        [] => Ok(Plain::Bytes(ask("value")?)),
        [Given { field: None, source }] => whole(&source.read("value")?, as_json, out),
        several => fields(several),
    }
}

fn whole(bytes: &Zeroizing<Vec<u8>>, as_json: bool, out: &Output) -> Result<Plain, Failure> {
    if as_json {
        let object = serde_json::from_slice::<serde_json::Map<_, _>>(bytes);
        let object = object.map_err(|error| {
            let place = format!("it is not a JSON object (line {}, column {})", error.line(), error.column());
            Failure::usage("cannot use the value with --json", place, "without --json it is kept as it is")
        })?;
        return Ok(Plain::fields(&object));
    }
    if bytes.ends_with(b"\n") && bytes.iter().filter(|byte| **byte == b'\n').count() == 1 {
        out.note("the value ends with a newline, which is kept; `printf %s` leaves it out");
    }
    Ok(Plain::Bytes(bytes.clone()))
}

/// The fields of a structured value, each from its own source.
pub(crate) fn fields(given: &[Given]) -> Result<Plain, Failure> {
    let refuse =
        |why: String| Failure::usage("cannot put the value together", why, "name each field once, and at most one takes -");
    if given.iter().filter(|one| one.source == Source::Stdin).count() > 1 {
        return Err(refuse("standard input can be read once".to_owned()));
    }
    let mut fields = BTreeMap::new();
    for Given { field, source } in given {
        let name = field.as_ref().ok_or_else(|| refuse("a whole value and fields cannot be mixed".to_owned()))?;
        let bytes = source.read(name)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| refuse(format!("field {name} is not text")))?;
        let json = Zeroizing::new(serde_json::Value::from(text).to_string());
        if fields.insert(name.clone(), json).is_some() {
            return Err(refuse(format!("field {name} is named twice")));
        }
    }
    Ok(Plain::Fields(fields))
}

/// A text file or standard input that is not secret: a policy, a document to import.
pub(crate) fn text(path: &str) -> Result<Zeroizing<String>, Failure> {
    let failed = |error: &io::Error| Failure::io(format!("cannot read {path}"), error);
    let path_of = path.strip_prefix('@').unwrap_or(path);
    let text = if path == "-" { io::read_to_string(io::stdin().lock()) } else { std::fs::read_to_string(path_of) };
    text.map(Zeroizing::new).map_err(|error| failed(&error))
}

/// What `--generate LENGTH[,ALPHABET]` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Generate {
    length: usize,
    alphabet: &'static str,
}

const ALNUM: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
const ALPHABETS: [(&str, &str); 4] = [
    ("alnum", ALNUM),
    ("hex", "0123456789abcdef"),
    ("digits", "0123456789"),
    ("symbols", "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&()*+,-./:;<=>?@[]^_{|}~"),
];

impl Generate {
    pub(crate) fn parse(text: &str) -> Result<Generate, String> {
        let (length, name) = text.split_once(',').unwrap_or((text, "alnum"));
        let length = length.parse().ok().filter(|length| (8..=4096).contains(length));
        let length = length.ok_or("the length is a number from 8 to 4096")?;
        let alphabet = ALPHABETS.iter().find(|(known, _)| *known == name);
        let (_, alphabet) = alphabet.ok_or("the alphabet is alnum, hex, digits or symbols")?;
        Ok(Generate { length, alphabet })
    }

    /// Characters chosen evenly by the operating system's generator.
    pub(crate) fn value(self) -> Plain {
        Plain::Bytes(self.characters(&OsEntropy))
    }

    fn characters(self, entropy: &dyn Entropy) -> Zeroizing<Vec<u8>> {
        let alphabet = self.alphabet.as_bytes();
        // A byte past the last whole multiple would favour the first characters: it is thrown again.
        let fair = 256 / alphabet.len() * alphabet.len();
        let mut chosen = Zeroizing::new(Vec::with_capacity(self.length));
        let mut chance = Zeroizing::new([0u8; 64]);
        while chosen.len() < self.length {
            entropy.fill(&mut *chance);
            let fitting = chance.iter().filter(|byte| usize::from(**byte) < fair);
            let characters = fitting.map(|byte| alphabet[usize::from(*byte) % alphabet.len()]);
            let missing = self.length - chosen.len();
            chosen.extend(characters.take(missing));
        }
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use storage_crypto::SeededEntropy;

    #[test]
    fn sources_are_read_from_arguments() {
        let given = |field: Option<&str>, source| Given { field: field.map(str::to_owned), source };
        assert_eq!(Given::parse("-").unwrap(), given(None, Source::Stdin));
        assert_eq!(Given::parse("@a=b").unwrap(), given(None, Source::File("a=b".into())));
        assert_eq!(Given::parse("user=@u.txt").unwrap(), given(Some("user"), Source::File("u.txt".into())));
        assert_eq!(Given::parse("password=-").unwrap(), given(Some("password"), Source::Stdin));
        assert_eq!(Given::parse("password=?").unwrap(), given(Some("password"), Source::Prompt));
    }

    #[test]
    fn a_value_on_the_command_line_is_refused_and_not_repeated() {
        for argument in ["password=hunter2", "hunter2", "=hunter2", "@", "password=", "password=@"] {
            let failure = Given::parse(argument).unwrap_err();
            assert_eq!(failure.exit as u8, 2);
            assert!(!failure.to_string().contains("hunter2"));
        }
    }

    #[test]
    fn standard_input_is_read_for_one_field_alone() {
        let given = [Given::parse("a=-").unwrap(), Given::parse("b=-").unwrap()];
        assert!(fields(&given).err().unwrap().to_string().contains("once"));
    }

    #[test]
    fn fields_come_from_files_exactly_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("user");
        std::fs::write(&path, "a\"na\n").unwrap();
        let argument = format!("user=@{}", path.display());
        let plain = fields(&[Given::parse(&argument).unwrap()]).unwrap_or_else(|failure| panic!("{failure}"));
        assert_eq!(plain.field("user").unwrap().as_slice(), b"a\"na\n");
    }

    #[test]
    fn generated_values_have_the_length_and_every_character_of_the_alphabet() {
        let characters = Generate::parse("4096,hex").unwrap().characters(&SeededEntropy::new(1));
        assert_eq!(characters.len(), 4096);
        let counts = "0123456789abcdef".bytes().map(|sign| characters.iter().filter(|byte| **byte == sign).count());
        assert!(counts.into_iter().all(|count| (180..340).contains(&count)));
        assert!(Generate::parse("7").is_err() && Generate::parse("32,words").is_err() && Generate::parse("x").is_err());
    }
}

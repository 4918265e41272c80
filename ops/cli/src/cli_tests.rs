//! The command line itself: well formed, and every example in it is one that works.

use clap::{CommandFactory, Parser};

use super::*;

#[test]
fn the_tree_is_well_formed() {
    Cli::command().debug_assert();
}

/// Every command with its full name.
fn commands() -> Vec<(String, clap::Command)> {
    let mut root = Cli::command().term_width(100);
    root.build();
    let mut waiting = vec![("holdfast".to_owned(), root)];
    let mut found = Vec::new();
    while let Some((name, command)) = waiting.pop() {
        let below = command.get_subcommands().filter(|child| child.get_name() != "help");
        let below = below.map(|child| (format!("{name} {}", child.get_name()), child.clone()));
        waiting.extend(below);
        found.push((name, command));
    }
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    found
}

/// Lines of a help text that are commands; a comment stands three blanks to the right of its command.
fn examples(command: &clap::Command) -> Vec<String> {
    let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let lines = text.lines().filter(|line| line.starts_with("  ") && line.contains("holdfast "));
    lines.map(|line| line.trim().split("   ").next().unwrap_or_default().to_owned()).collect()
}

/// The arguments of each `holdfast …` in a line of shell.
fn invocations(line: &str) -> Vec<Vec<String>> {
    let parts = line.split(['|', '>', '(', ')']).map(str::trim).filter(|part| part.starts_with("holdfast "));
    parts.map(words).collect()
}

fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    for sign in text.chars() {
        match (sign, quote) {
            (sign, Some(open)) if sign == open => quote = None,
            ('\'' | '"', None) => quote = Some(sign),
            (' ', None) => words.extend((!word.is_empty()).then(|| std::mem::take(&mut word))),
            _ => word.push(sign),
        }
    }
    words.extend((!word.is_empty()).then_some(word));
    words
}

#[test]
fn every_example_in_the_help_is_understood() {
    let mut count = 0;
    for (name, command) in commands() {
        for line in examples(&command) {
            for arguments in invocations(&line) {
                // A link is shortened in the help; here it has its length.
                let arguments = arguments.iter().map(|argument| match argument.split_once(':') {
                    Some((seq, link)) if link.ends_with('…') => format!("{seq}:{}", "0".repeat(64)),
                    _ => argument.clone(),
                });
                if let Err(error) = Cli::try_parse_from(arguments) {
                    panic!("{name}: `{line}` is not understood:\n{error}");
                }
                count += 1;
            }
        }
    }
    assert!(count > 60, "only {count} examples were found");
}

#[test]
fn every_command_that_does_something_shows_an_example() {
    let plain = ["holdfast version", "holdfast exit-codes"];
    for (name, command) in commands() {
        if !command.has_subcommands() && !plain.contains(&name.as_str()) {
            assert!(!examples(&command).is_empty(), "{name} has no example");
        }
    }
}

#[test]
fn everything_says_what_it_is_for() {
    for (name, command) in commands() {
        assert!(command.get_about().is_some(), "{name} has no description");
        for argument in command.get_arguments() {
            assert!(argument.get_help().is_some(), "{name}: {} has no help", argument.get_id());
        }
    }
}

#[test]
fn no_argument_takes_a_token_or_a_value() {
    for (name, command) in commands() {
        for argument in command.get_arguments() {
            let id = argument.get_id().as_str();
            assert!(!["token", "value", "password", "secret"].contains(&id), "{name} takes {id}");
        }
    }
}

#[test]
fn the_tree_of_commands_is_the_one_that_is_documented() {
    let names: Vec<_> = commands().into_iter().map(|(name, _)| name).collect();
    insta::assert_snapshot!(names.join("\n"));
}

#[test]
fn the_help_of_a_command_reads_as_it_should() {
    for name in ["holdfast", "holdfast secret put", "holdfast audit verify", "holdfast exit-codes"] {
        let (_, mut command) = commands().into_iter().find(|(known, _)| known == name).unwrap();
        insta::assert_snapshot!(name.replace(' ', "-"), command.render_long_help().to_string());
    }
}

#[test]
fn pages_and_completions_are_made_for_every_command() {
    let folder = tempfile::tempdir().unwrap();
    clap_mangen::generate_to(Cli::command(), folder.path()).unwrap();
    let pages = std::fs::read_dir(folder.path()).unwrap().count();
    assert!(pages >= commands().len(), "{pages} pages");
    let mut script = Vec::new();
    clap_complete::generate(clap_complete::Shell::Bash, &mut Cli::command(), "holdfast", &mut script);
    assert!(String::from_utf8(script).unwrap().contains("audit"));
}

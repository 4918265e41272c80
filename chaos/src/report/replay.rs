//! How to do a run again: the line for a shell.

use crate::{
    nemesis::{START, STOP},
    plan::Span,
    run::{ENVIRONMENT, Order},
};

/// Where a shell finds the commands that stop and start a node. What they hold is not shown: there may be a token in it.
const HOOKS: [(&str, &str); 2] = [(STOP, "EXEC_STOP"), (START, "EXEC_START")];

/// The command that does it again, with everything that was given and that decides what happens.
pub(super) fn of(order: &Order) -> String {
    let mut words = vec!["holdfast-chaos".to_owned(), "run".to_owned(), order.name.clone()];
    let mut option =
        |name: &str, value: Option<String>| words.extend(value.into_iter().flat_map(|value| [name.to_owned(), value]));
    option("--seed", Some(order.seed.to_string()));
    option("--for", Some(Span(order.lasts).to_string()));
    option("--holdfastd", order.named_binary.as_ref().map(|path| path.display().to_string()));
    option("--attach", order.attach.as_ref().map(|path| path.display().to_string()));
    let is_said = order.attach.is_some() || order.environment != ENVIRONMENT;
    option("--environment", is_said.then(|| order.environment.clone()));
    let flags = [("--strict", order.strict), ("--i-know-this-is-not-production", order.attach.is_some())];
    words.extend(flags.into_iter().filter(|(_, given)| *given).map(|(flag, _)| flag.to_owned()));
    let mut line = words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
    let given = [&order.hooks.stop, &order.hooks.start];
    let given: Vec<(&str, &str)> =
        HOOKS.into_iter().zip(given).filter(|(_, given)| given.is_some()).map(|(hook, _)| hook).collect();
    for (flag, variable) in &given {
        line.push_str(&format!(" {flag} \"${variable}\""));
    }
    let set: Vec<String> = given.iter().map(|(flag, variable)| format!("{variable} to the command of {flag}")).collect();
    if !set.is_empty() {
        line.push_str(&format!(" # set {} first: they are not shown, for they may hold a token", set.join(" and ")));
    }
    line
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:=@%+,".contains(letter);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{nemesis::Hooks, plan::Plan};

    fn order() -> Order {
        Order::of_plan("smoke", Plan::find("smoke").unwrap())
    }

    #[test]
    fn a_run_on_new_nodes_is_done_again_by_its_plan_and_seed() {
        assert_eq!(of(&order()), "holdfast-chaos run smoke --seed 7 --for 40s");
    }

    #[test]
    fn everything_that_was_given_is_given_again() {
        let order = Order {
            attach: Some("my cluster/client.toml".into()),
            environment: "staging".into(),
            hooks: Hooks { stop: Some("curl -H 'Token: hfs.secret'".into()), start: Some("ssh {host} start".into()) },
            strict: true,
            ..order()
        };
        let wanted = r#"holdfast-chaos run smoke --seed 7 --for 40s --attach 'my cluster/client.toml' --environment staging --strict --i-know-this-is-not-production --exec-stop "$EXEC_STOP" --exec-start "$EXEC_START" # set EXEC_STOP to the command of --exec-stop and EXEC_START to the command of --exec-start first: they are not shown, for they may hold a token"#;
        assert_eq!(of(&order), wanted);
    }

    #[test]
    fn another_server_and_another_environment_are_part_of_it() {
        let order = Order { named_binary: Some("old/holdfastd".into()), environment: "test".into(), ..order() };
        assert!(of(&order).ends_with("--holdfastd old/holdfastd --environment test"));
    }
}

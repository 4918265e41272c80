//! Walks that found something once, kept in a file and taken again.

use crate::{Wanted, several, show, without};

/// Whether one of them finds something now, or cannot be read.
pub(crate) fn found(wanted: &Wanted) -> bool {
    let path = wanted.kept.as_deref().unwrap_or_default();
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            show(&format!("error: read {path}: {error}"));
            return true;
        }
    };
    let (mut any, mut count) = (false, 0);
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        count += 1;
        any |= match read(line, wanted) {
            Ok((seed, wanted)) => several(&[seed], &wanted),
            Err(why) => {
                show(&format!("error: {path}, line {}: {why}", number + 1));
                true
            }
        };
    }
    if count == 0 {
        show(&format!("error: there is no walk in {path}: a line is SEED STEPS NODES"));
    }
    any || count == 0
}

/// `SEED STEPS NODES [KIND,…]`
fn read(line: &str, wanted: &Wanted) -> Result<(u64, Wanted), String> {
    let mut words = line.split_whitespace();
    let mut number = |what: &str| {
        let word = words.next().ok_or_else(|| format!("the number of the {what} is missing"))?;
        word.parse::<u64>().map_err(|_| format!("{what}: {word:?} is not a whole number"))
    };
    let (seed, steps, nodes) = (number("seed")?, number("steps")?, number("nodes")?);
    let without = without(words.next().unwrap_or_default())?;
    Ok((seed, Wanted { steps, nodes, without, ..wanted.clone() }))
}

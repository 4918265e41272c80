//! The text of a scenario.

use chaos_history::{Call, Expect, Outcome};

/// A scenario that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// Nodes at the start.
    pub nodes: u64,
    /// What happens, with the number of its line.
    pub lines: Vec<(usize, Line)>,
}

/// What happens in a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// Somebody asks, once, at a node or anywhere.
    Ask {
        /// Who.
        who: String,
        /// What; a put has no value yet.
        call: Call,
        /// The path of the secret.
        key: String,
        /// Where; where left out, at a node that leads or knows who does.
        at: Option<u64>,
        /// What must come of it.
        told: Told,
    },
    /// The last call is asked again, with its request id.
    Again(u64, Told),
    /// Nothing goes between any of the first and any of the second.
    Cut(Vec<u64>, Vec<u64>),
    /// Nothing goes from any of the first to any of the second.
    CutOneWay(Vec<u64>, Vec<u64>),
    /// Every piece of the network takes up to so many milliseconds.
    SlowNetwork(u64),
    /// What is queued for a node's disk waits up to so many milliseconds longer.
    SlowDisk(u64, u64),
    /// Network and disks are well again.
    Heal,
    /// These are killed.
    Kill(Vec<u64>),
    /// These lose their power, at once.
    PowerCut(Vec<u64>),
    /// These stop when they are asked to.
    Stop(Vec<u64>),
    /// These start, those that are up excepted, and the next line comes when they are up.
    Start(Vec<u64>),
    /// A node must not start: its log was damaged. It is put back then.
    RotAndStart(u64),
    /// A node ends and starts again with a build that understands this feature level, and the next line comes when it is up.
    Build(u64, u32),
    /// A node must not start with a build of this level, or not stay: the cluster has gone beyond it. It gets the newest then.
    TooOld(u64, u32),
    /// All that are up come to use this feature level.
    Level(u32),
    /// A node's clock is off by so many milliseconds.
    Clock(u64, i64),
    /// A node leads: it is waited for, or asked for.
    Leader(u64),
    /// Another node comes in place of this one.
    Replace(u64),
    /// A node makes a snapshot.
    Snapshot(u64),
    /// The environment is sealed.
    Seal,
    /// The environment is opened.
    Unseal,
    /// So many milliseconds pass.
    Wait(u64),
    /// All nodes that are up come to stand at the same record.
    Settle,
    /// These stand at the same record with the same chain and state.
    SameState(Vec<u64>),
}

impl Line {
    /// The nodes that it names.
    pub(super) fn nodes(&self) -> Vec<u64> {
        match self {
            Line::Ask { at, .. } => at.iter().copied().collect(),
            Line::Cut(one, other) | Line::CutOneWay(one, other) => [&one[..], other].concat(),
            Line::Kill(nodes) | Line::PowerCut(nodes) | Line::Stop(nodes) | Line::Start(nodes) | Line::SameState(nodes) => {
                nodes.clone()
            }
            Line::Again(node, _)
            | Line::SlowDisk(node, _)
            | Line::RotAndStart(node)
            | Line::Build(node, _)
            | Line::TooOld(node, _)
            | Line::Clock(node, _)
            | Line::Leader(node)
            | Line::Replace(node)
            | Line::Snapshot(node) => vec![*node],
            Line::SlowNetwork(_) | Line::Heal | Line::Level(_) | Line::Seal | Line::Unseal | Line::Wait(_) | Line::Settle => {
                Vec::new()
            }
        }
    }
}

/// What must come of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Made, read or hidden: this version.
    Version(u64),
    /// Refused because of how the secret is.
    Refused,
    /// Not done, for another reason.
    NotDone,
    /// Nobody knows.
    Unknown,
    /// No answer that counts: not done, or nobody knows.
    Unanswered,
}

impl Told {
    /// Whether this is what came of it.
    #[must_use]
    pub fn is(self, outcome: &Outcome) -> bool {
        match (self, outcome) {
            (
                Told::Version(wanted),
                Outcome::Written { version } | Outcome::Found { version, .. } | Outcome::Hidden { version },
            ) => wanted == *version,
            (Told::Refused, Outcome::Refused { .. })
            | (Told::NotDone | Told::Unanswered, Outcome::NotDone)
            | (Told::Unknown | Told::Unanswered, Outcome::Unknown) => true,
            _ => false,
        }
    }
}

impl Scenario {
    /// Reads a scenario.
    ///
    /// # Errors
    /// With the number of the line that cannot be read, and why.
    pub fn parse(text: &str) -> Result<Scenario, String> {
        let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.split('#').next().unwrap_or_default().trim()));
        let mut lines = lines.filter(|(_, line)| !line.is_empty());
        let (at, first) = lines.next().ok_or("it is empty: begin with `cluster 3`")?;
        let nodes =
            first.strip_prefix("cluster ").and_then(|count| count.trim().parse().ok()).filter(|count| (1..=9).contains(count));
        let nodes = nodes.ok_or_else(|| format!("line {at}: {first:?} should be `cluster N`, with 1 to 9 nodes"))?;
        let lines = lines.map(|(at, line)| parse(line).map(|line| (at, line)).map_err(|why| format!("line {at}: {why}")));
        Ok(Scenario { nodes, lines: lines.collect::<Result<_, _>>()? })
    }
}

fn parse(line: &str) -> Result<Line, String> {
    let (what, told) = line.split_once('→').map_or((line, None), |(what, told)| (what, Some(told.trim())));
    let words: Vec<&str> = what.split_whitespace().collect();
    let (verb, rest) = words.split_first().ok_or("nothing happens")?;
    if let Some((verb, at)) = call(verb) {
        return ask(verb, at, rest, told);
    }
    if let ("again", [at]) = (*verb, rest) {
        return Ok(Line::Again(number(at)?, expected(told)?));
    }
    if told.is_some() {
        return Err(format!("nothing is told of {verb:?}"));
    }
    match (*verb, rest) {
        ("cut", groups) => parted(groups, "|").map(|(one, other)| Line::Cut(one, other)),
        ("cut-one-way", groups) => parted(groups, ">").map(|(from, to)| Line::CutOneWay(from, to)),
        ("slow-network", [ms]) => Ok(Line::SlowNetwork(number(ms)?)),
        ("slow-disk", [node, ms]) => Ok(Line::SlowDisk(number(node)?, number(ms)?)),
        ("heal", []) => Ok(Line::Heal),
        ("kill", nodes) => Ok(Line::Kill(numbers(nodes)?)),
        ("power-cut", nodes) => Ok(Line::PowerCut(numbers(nodes)?)),
        ("stop", nodes) => Ok(Line::Stop(numbers(nodes)?)),
        ("start", nodes) => Ok(Line::Start(numbers(nodes)?)),
        ("rot-and-start", [node]) => Ok(Line::RotAndStart(number(node)?)),
        ("build", [node, level]) => Ok(Line::Build(number(node)?, feature_level(level)?)),
        ("too-old", [node, level]) => Ok(Line::TooOld(number(node)?, feature_level(level)?)),
        ("level", [level]) => Ok(Line::Level(feature_level(level)?)),
        ("clock", [node, ms]) => Ok(Line::Clock(number(node)?, ms.parse().map_err(|_| format!("{ms:?} is no whole number"))?)),
        ("leader", [node]) => Ok(Line::Leader(number(node)?)),
        ("replace", [node]) => Ok(Line::Replace(number(node)?)),
        ("snapshot", [node]) => Ok(Line::Snapshot(number(node)?)),
        ("seal", []) => Ok(Line::Seal),
        ("unseal", []) => Ok(Line::Unseal),
        ("wait", [ms]) => Ok(Line::Wait(number(ms)?)),
        ("settle", []) => Ok(Line::Settle),
        ("same-state", nodes) => Ok(Line::SameState(numbers(nodes)?)),
        _ => Err(format!("{what:?} is not known, or lacks something")),
    }
}

/// A verb of callers, and where it is asked.
fn call(verb: &str) -> Option<(&str, bool)> {
    let (verb, at) = verb.strip_suffix("-at").map_or((verb, false), |verb| (verb, true));
    ["put", "get", "delete"].contains(&verb).then_some((verb, at))
}

fn ask(verb: &str, at: bool, words: &[&str], told: Option<&str>) -> Result<Line, String> {
    let (at, words) = match words.split_first() {
        Some((node, words)) if at => (Some(number(node)?), words),
        _ if at => return Err(format!("{verb}-at needs a node")),
        _ => (None, words),
    };
    let (who, key, expect) = match words {
        [who, key] => (who, key, Expect::Anything),
        [who, key, "expecting", "none"] => (who, key, Expect::Absent),
        [who, key, "expecting", found] => (who, key, Expect::Version(version(found)?)),
        _ => return Err(format!("it should be: {verb} WHO PATH")),
    };
    let call = match verb {
        "put" => Call::Put { value: String::new(), expect },
        _ if expect != Expect::Anything => return Err(format!("{verb} expects nothing")),
        "get" => Call::Get,
        _ => Call::Delete,
    };
    Ok(Line::Ask { who: (*who).to_owned(), call, key: (*key).to_owned(), at, told: expected(told)? })
}

fn expected(told: Option<&str>) -> Result<Told, String> {
    match told.ok_or("say what must come of it, behind an arrow: → v1, refused, not-done, unknown or unanswered")? {
        "refused" => Ok(Told::Refused),
        "not-done" => Ok(Told::NotDone),
        "unknown" => Ok(Told::Unknown),
        "unanswered" => Ok(Told::Unanswered),
        found => version(found).map(Told::Version),
    }
}

fn version(word: &str) -> Result<u64, String> {
    word.strip_prefix('v').and_then(|version| version.parse().ok()).ok_or_else(|| format!("{word:?} is no version such as v1"))
}

fn number(word: &str) -> Result<u64, String> {
    word.parse().map_err(|_| format!("{word:?} is no whole number"))
}

fn feature_level(word: &str) -> Result<u32, String> {
    word.parse().ok().filter(|level| *level > 0).ok_or_else(|| format!("{word:?} is no feature level: they begin with 1"))
}

fn numbers(words: &[&str]) -> Result<Vec<u64>, String> {
    if words.is_empty() { Err("name at least one node".to_owned()) } else { words.iter().map(|word| number(word)).collect() }
}

/// Two groups of nodes.
fn parted(words: &[&str], by: &str) -> Result<(Vec<u64>, Vec<u64>), String> {
    let at = words.iter().position(|word| *word == by).ok_or_else(|| format!("put {by} between two groups of nodes"))?;
    Ok((numbers(&words[..at])?, numbers(&words[at + 1..])?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_say_what_happens_and_what_comes_of_it() {
        let text = "# a comment\ncluster 3\n\nput ana db/password expecting none → v1 # another\ncut 1 | 2 3\nget-at 2 ben db/password → unknown\n";
        let scenario = Scenario::parse(text).unwrap();
        assert_eq!(scenario.nodes, 3);
        let put = Call::Put { value: String::new(), expect: Expect::Absent };
        let asked = |who: &str, call, at, told| Line::Ask { who: who.into(), call, key: "db/password".into(), at, told };
        assert_eq!(
            scenario.lines,
            [
                (4, asked("ana", put, None, Told::Version(1))),
                (5, Line::Cut(vec![1], vec![2, 3])),
                (6, asked("ben", Call::Get, Some(2), Told::Unknown)),
            ]
        );
    }

    #[test]
    fn what_cannot_be_read_is_named_with_its_line() {
        for (text, line, why) in [
            ("cluster many", 1, "cluster N"),
            ("cluster 3\nput ana", 2, "put WHO PATH"),
            ("cluster 3\nput ana a/b", 2, "behind an arrow"),
            ("cluster 3\n\nget ana a/b expecting none → v1", 3, "expects nothing"),
            ("cluster 3\ncut 1 2", 2, "between two groups"),
            ("cluster 3\nheal → v1", 2, "nothing is told"),
            ("cluster 3\nkill", 2, "at least one node"),
            ("cluster 3\nput ana a/b → 1", 2, "no version"),
            ("cluster 3\nbuild 1 0", 2, "no feature level"),
            ("cluster 3\njump", 2, "not known"),
        ] {
            let refused = Scenario::parse(text).unwrap_err();
            assert!(refused.starts_with(&format!("line {line}: ")) && refused.contains(why), "{text:?}: {refused}");
        }
        assert!(Scenario::parse("# nothing").unwrap_err().contains("empty"));
    }
}

//! A plan: how long, how much work, which faults. Plans are TOML; those that come with the program are in `plans/`.

use std::{path::Path, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{nemesis::Kind, trouble::Trouble};

/// Plans that come with the program, by name.
pub(crate) const BUILT_IN: &[(&str, &str)] = &[
    ("smoke", include_str!("../plans/smoke.toml")),
    ("everything", include_str!("../plans/everything.toml")),
    ("power", include_str!("../plans/power.toml")),
    ("network", include_str!("../plans/network.toml")),
    ("disk", include_str!("../plans/disk.toml")),
    ("staging", include_str!("../plans/staging.toml")),
];

/// What to do to a cluster, and for how long.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Plan {
    /// What it is for, in a sentence.
    pub(crate) about: String,
    /// How long faults strike, unless the command line says otherwise.
    #[serde(rename = "for")]
    pub(crate) lasts: Span,
    /// Nodes at the start.
    #[serde(default = "three")]
    pub(crate) nodes: u64,
    /// How many faults may be under way at once.
    #[serde(default = "one")]
    pub(crate) hands: usize,
    /// Quiet after each fault, so that the cluster finds itself again.
    pub(crate) rest: Span,
    /// A run of the plan's time with fewer calls answered proves nothing, and fails; a longer one must have more. What else it must
    /// have follows from it: see `floors`.
    pub(crate) operations_min: u64,
    /// What clients do meanwhile.
    pub(crate) workload: WorkloadPlan,
    /// What strikes.
    pub(crate) fault: Vec<FaultPlan>,
    /// Settings of the nodes, such as `replication.snapshot_entries=2000`.
    #[serde(default)]
    pub(crate) settings: Vec<String>,
}

/// What clients do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WorkloadPlan {
    /// Clients, each of which asks one thing at a time.
    pub(crate) clients: u32,
    /// Secrets in use at a time.
    pub(crate) keys: u32,
    /// After so long other secrets are used: each has a history that can be judged.
    pub(crate) keys_for: Span,
    /// Calls in a second, of all clients together, at most.
    pub(crate) rate: u32,
    /// How long a call may take.
    pub(crate) timeout: Span,
    /// The largest value, in bytes.
    pub(crate) value_bytes_max: usize,
}

/// One kind of fault of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FaultPlan {
    /// What strikes.
    pub(crate) kind: Kind,
    /// How long each time.
    pub(crate) lasts: Span,
    /// How often it must really have struck, or the run fails.
    #[serde(default = "once")]
    pub(crate) times_min: u32,
}

fn three() -> u64 {
    3
}

fn one() -> usize {
    1
}

fn once() -> u32 {
    1
}

impl Plan {
    /// A plan that comes with the program, or one in a file.
    pub(crate) fn find(name: &str) -> Result<Plan, Trouble> {
        if let Some((_, text)) = BUILT_IN.iter().find(|(known, _)| *known == name) {
            return Plan::parse(name, text);
        }
        let path = Path::new(name);
        if !path.exists() {
            let known: Vec<&str> = BUILT_IN.iter().map(|(name, _)| *name).collect();
            let why = format!("neither a file nor one of {}", known.join(", "));
            return Err(Trouble::unusable(format!("plan {name}"), why));
        }
        Plan::parse(name, &std::fs::read_to_string(path).map_err(Trouble::io("read", path))?)
    }

    /// A plan as text.
    pub(crate) fn parse(name: &str, text: &str) -> Result<Plan, Trouble> {
        let wrong = |why: String| Trouble::unusable(format!("plan {name}"), why);
        let plan: Plan = toml::from_str(text).map_err(|error| wrong(error.to_string().trim().to_owned()))?;
        let workload = &plan.workload;
        if plan.nodes == 0 || plan.nodes > 9 || plan.hands == 0 || plan.hands > 4 {
            return Err(wrong("use 1 to 9 nodes and 1 to 4 hands".into()));
        }
        if workload.clients == 0 || workload.keys == 0 || workload.rate == 0 || workload.clients > 256 {
            return Err(wrong("use 1 to 256 clients, and at least one key and one call a second".into()));
        }
        if plan.fault.is_empty() {
            return Err(wrong("name at least one fault".into()));
        }
        Ok(plan)
    }
}

/// A time as people write it: `90s`, `5m`, `250ms`, `1h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

impl std::str::FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Span, String> {
        let wrong = || format!("{text:?} is no time: use a whole number and ms, s, m or h, such as 90s");
        let digits = text.find(|letter: char| !letter.is_ascii_digit()).ok_or_else(wrong)?;
        let (count, unit) = text.split_at(digits);
        let count: u64 = count.parse().map_err(|_| wrong())?;
        let each_ms = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(wrong()),
        };
        count.checked_mul(each_ms).map(|ms| Span(Duration::from_millis(ms))).ok_or_else(wrong)
    }
}

impl std::fmt::Display for Span {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ms = self.0.as_millis();
        match ms {
            0 => write!(formatter, "0s"),
            ms if ms % 3_600_000 == 0 => write!(formatter, "{}h", ms / 3_600_000),
            ms if ms % 60_000 == 0 => write!(formatter, "{}m", ms / 60_000),
            ms if ms % 1_000 == 0 => write!(formatter, "{}s", ms / 1_000),
            ms => write!(formatter, "{ms}ms"),
        }
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_plan_that_comes_with_the_program_can_be_used() {
        for (name, text) in BUILT_IN {
            let plan = Plan::parse(name, text).unwrap();
            assert!(!plan.about.is_empty());
        }
    }

    #[test]
    fn the_plan_with_everything_has_every_fault() {
        let plan = Plan::find("everything").unwrap();
        for kind in Kind::ALL {
            assert!(plan.fault.iter().any(|fault| fault.kind == *kind), "{kind:?} is missing");
        }
    }

    #[test]
    fn what_is_wrong_with_a_plan_is_said() {
        let (_, smoke) = BUILT_IN[0];
        let error = |text: &str| Plan::parse("p", text).unwrap_err().to_string();
        assert!(error(&smoke.replace("about", "abuot")).contains("abuot"));
        assert!(error(&smoke.replace("kind = \"kill\"", "kind = \"tickle\"")).contains("tickle"));
        assert!(error(&smoke.replace("clients = ", "clients = 99")).contains("256 clients"));
        assert!(Plan::find("no-such-plan").unwrap_err().to_string().contains("everything"));
    }

    #[test]
    fn a_time_is_read_and_shown_as_people_write_it() {
        for text in ["250ms", "90s", "5m", "1h"] {
            assert_eq!(text.parse::<Span>().unwrap().to_string(), text);
        }
        for bad in ["", "5", "s", "5 s", "-5s", "99999999999999999999s"] {
            assert!(bad.parse::<Span>().is_err(), "{bad}");
        }
    }
}

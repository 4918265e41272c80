//! Histories written as lines: `CALLED RETURNED WHAT → OUTCOME [#REQUEST]`.

use chaos_history::{Call, Expect, Operation, Outcome};
use uuid::Uuid;

/// The history of a text; each line is a client of its own unless it says otherwise.
#[track_caller]
pub(crate) fn history(text: &str) -> Vec<Operation> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).enumerate().map(|(at, line)| operation(at, line)).collect()
}

#[track_caller]
fn operation(at: usize, line: &str) -> Operation {
    let (asked, told) = line.split_once(" -> ").unwrap_or_else(|| panic!("no outcome in {line}"));
    let (told, request) = match told.split_once(" #") {
        Some((told, request)) => (told, request.parse().unwrap()),
        None => (told, 1_000 + at as u128),
    };
    let asked: Vec<&str> = asked.split_whitespace().collect();
    let told: Vec<&str> = told.split_whitespace().collect();
    let call = match asked[2..] {
        ["put", _, value] => Call::Put { value: value.into(), expect: Expect::Anything },
        ["put", _, value, "absent"] => Call::Put { value: value.into(), expect: Expect::Absent },
        ["put", _, value, "over", over] => Call::Put { value: value.into(), expect: Expect::Version(version(over)) },
        ["get", _] => Call::Get,
        ["list", _] => Call::Look,
        ["delete", _] => Call::Delete,
        _ => panic!("what is {line}"),
    };
    let outcome = match (&call, told.as_slice()) {
        (_, ["unknown"]) => Outcome::Unknown,
        (_, ["not-done"]) => Outcome::NotDone,
        (_, ["refused"]) => Outcome::Refused { found: None },
        (_, ["refused", found]) => Outcome::Refused { found: Some(version(found)) },
        (Call::Put { .. }, [made]) => Outcome::Written { version: version(made) },
        (Call::Delete, [hid]) => Outcome::Hidden { version: version(hid) },
        (Call::Get, [found, value]) => Outcome::Found { version: version(found), value: (*value).into() },
        (Call::Look, [found, "hidden"]) => Outcome::Seen { version: version(found), live: false },
        (Call::Look, [found]) => Outcome::Seen { version: version(found), live: version(found) > 0 },
        _ => panic!("what came of {line}"),
    };
    Operation {
        client: u32::try_from(at).unwrap(),
        request: Uuid::from_u128(request),
        record: None,
        called_ns: asked[0].parse().unwrap(),
        returned_ns: asked[1].parse().unwrap(),
        key: asked[3].into(),
        call,
        outcome,
        words: String::new(),
    }
}

fn version(text: &str) -> u64 {
    text.trim_start_matches('v').parse().unwrap()
}

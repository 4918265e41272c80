//! Names, paths, patterns, hours and words, as people write them in every request.

use crate::input::text;
use node_domain::guard::{AlertKind, Classes, Reuse, Severity};
use node_domain::identity::NameGlob;
use node_domain::ids::{
    Accessor, EnvironmentName, IdentityName, PolicyName, PrincipalName, RoleName, RuleName, SecretPath, SinkName, Stamp,
};
use node_domain::operation::Operation;
use node_domain::policy::{Capabilities, Capability, Hours, PathPattern};
use node_domain::secret::SecretType;

/// Each line by every parser; what reads is written as it was, and what a path can be tested against is.
pub(super) fn run(bytes: &[u8]) {
    let lines: Vec<&str> = text(bytes).lines().take(8).collect();
    for line in &lines {
        one(line);
    }
    for pattern in lines.iter().filter_map(|line| PathPattern::parse(line).ok()) {
        for line in &lines {
            let (whole, all, some) = (pattern.matches(line), pattern.matches_all_under(line), pattern.matches_some_under(line));
            assert!(!all || some, "a pattern matches everything under {line:?} and nothing");
            let _ = (whole, pattern.to_string());
        }
    }
    for glob in lines.iter().filter_map(|line| NameGlob::parse(line).ok()) {
        for line in &lines {
            let _ = glob.matches(line);
        }
    }
}

fn one(line: &str) {
    if let Ok(path) = SecretPath::parse(line) {
        assert_eq!(path.as_str(), line, "a path changes when it is read");
        let pattern = PathPattern::parse(line).expect("a path is a pattern");
        assert!(pattern.matches(line), "a path does not match itself");
    }
    if let Ok(pattern) = PathPattern::parse(line) {
        assert_eq!(PathPattern::parse(&pattern.to_string()).ok(), Some(pattern), "a pattern changes when it is written");
    }
    if let Ok(hours) = Hours::parse(line) {
        assert_eq!(Hours::parse(&hours.to_string()).ok(), Some(hours), "hours change when they are written");
        for day in 0..8u64 {
            let _ = hours.hold_at(Stamp(day * 86_400_000_000));
        }
        let _ = hours.hold_at(Stamp(u64::MAX));
    }
    if let Ok(accessor) = Accessor::parse(line) {
        assert_eq!(Accessor::parse(&accessor.to_string()).ok(), Some(accessor), "an accessor changes when it is written");
    }
    drop((EnvironmentName::parse(line), IdentityName::parse(line), PolicyName::parse(line), PrincipalName::parse(line)));
    drop((RoleName::parse(line), RuleName::parse(line), SinkName::parse(line), SecretType::parse(line)));
    drop((Capability::parse(line), Capabilities::parse(line.split(',')), Classes::parse(line.split(','))));
    let _ = (AlertKind::parse(line), Severity::parse(line), Reuse::parse(line));
    drop(line.parse::<u16>().map(Operation::try_from));
    let _ = node::fuzzing::is_address_of_keys(line);
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let texts = [
        "db/password\ndb/*\n+/password\n*",
        "mon-fri/08:00-18:00\n22:00-06:00\nsat,sun/00:00-24:00",
        "0123456789abcdef01234567\nproduction\nread,write",
        "*.example.com\nspiffe://example.com/*\nana@example.com\na.example.com",
        "https://issuer.example.com/keys\nhttp://127.0.0.1:80/\nhttp://[::1]/",
        "password\nviolation\ncritical\nrefuse\nlower,upper,digit,symbol\n12",
    ];
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

//! When a rule counts: the circumstances of a request.

use crate::ids::Stamp;
use crate::limits;
use crate::rejection::Rejection;
use core::net::IpAddr;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::fmt;

const MINUTES_A_DAY: u16 = 24 * 60;
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
/// Bit 0 is Monday.
const EVERY_DAY: u8 = 0b111_1111;

/// Under which circumstances a rule counts; all that are named must hold. A rule without conditions always counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Conditions {
    /// The caller's address lies in one of these; empty: any.
    pub addresses: Vec<IpNet>,
    /// The time is within these hours.
    pub hours: Option<Hours>,
    /// The caller showed a second factor when it logged in.
    pub mfa: bool,
    /// The token was made at most so long ago.
    pub token_age_ms_max: Option<u64>,
}

/// What conditions are judged on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Circumstances {
    /// Where the request came from, where that is known.
    pub address: Option<IpAddr>,
    /// The leader's stamp.
    pub now: Stamp,
    /// Whether the holder of the token showed a second factor.
    pub mfa: bool,
    /// When the token was made.
    pub token_created: Stamp,
}

/// The first condition of a rule that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmet {
    /// The address is known and outside.
    Address(IpAddr),
    /// The address is not known: an allowing rule does not count.
    AddressUnknown,
    /// The time is outside the hours of the rule.
    Hours(Hours, Stamp),
    /// No second factor was shown.
    Mfa,
    /// The token is so old, and may be so old.
    TokenAge {
        /// How old it is.
        age_ms: u64,
        /// How old it may be.
        age_ms_max: u64,
    },
}

impl Conditions {
    /// Whether there are none, so that the rule always counts.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.addresses.is_empty() && self.hours.is_none() && !self.mfa && self.token_age_ms_max.is_none()
    }

    /// The first condition that keeps a rule from counting.
    ///
    /// Where the caller's address is not known, an address condition holds for a rule that denies and does not hold for one that
    /// allows: doubt never gives anything away.
    #[must_use]
    pub fn unmet(&self, deny: bool, at: &Circumstances) -> Option<Unmet> {
        if !self.addresses.is_empty() {
            match at.address {
                None if !deny => return Some(Unmet::AddressUnknown),
                Some(address) if !self.addresses.iter().any(|network| network.contains(&address)) => {
                    return Some(Unmet::Address(address));
                }
                _ => {}
            }
        }
        if let Some(hours) = self.hours.filter(|hours| !hours.hold_at(at.now)) {
            return Some(Unmet::Hours(hours, at.now));
        }
        if self.mfa && !at.mfa {
            return Some(Unmet::Mfa);
        }
        let age_ms = at.now.0.saturating_sub(at.token_created.0) / 1000;
        let age_ms_max = self.token_age_ms_max.filter(|most| age_ms > *most)?;
        Some(Unmet::TokenAge { age_ms, age_ms_max })
    }

    /// Whether conditions that came from another node are ones that a door makes.
    ///
    /// # Errors
    /// When they are not; the error names the condition.
    pub fn check(&self) -> Result<(), Rejection> {
        if self.addresses.len() > limits::RULE_NETWORKS_MAX {
            let (found, most) = (self.addresses.len(), limits::RULE_NETWORKS_MAX);
            return Err(Rejection::invalid(format!("a rule names at most {most} networks, not {found}")));
        }
        if self.token_age_ms_max == Some(0) {
            return Err(Rejection::invalid("no token is 0 ms old: leave the age out, or name one"));
        }
        self.hours.map_or(Ok(()), Hours::check)
    }

    /// About how many bytes they take in the log.
    #[must_use]
    pub fn size_hint(&self) -> usize {
        16 + self.addresses.len() * 20
    }
}

/// As people write it on a command line: `mfa, address in 10.0.0.0/8, hours mon-fri/08:00-18:00 UTC, token at most 3600 s old`.
impl fmt::Display for Conditions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if self.mfa {
            parts.push("mfa".to_owned());
        }
        if !self.addresses.is_empty() {
            let networks: Vec<_> = self.addresses.iter().map(ToString::to_string).collect();
            parts.push(format!("address in {}", networks.join(" or ")));
        }
        parts.extend(self.hours.map(|hours| format!("hours {hours} UTC")));
        parts.extend(self.token_age_ms_max.map(|most| format!("token at most {} s old", most.div_ceil(1000))));
        formatter.write_str(&parts.join(", "))
    }
}

impl fmt::Display for Unmet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unmet::Address(address) => write!(formatter, "the address {address} is in none of its networks"),
            Unmet::AddressUnknown => formatter.write_str("the address of the caller is not known"),
            Unmet::Hours(hours, at) => write!(formatter, "{} is outside {hours} UTC", clock(*at)),
            Unmet::Mfa => formatter.write_str("no second factor was shown"),
            Unmet::TokenAge { age_ms, age_ms_max } => {
                write!(formatter, "the token is {} s old, at most {} s count", age_ms / 1000, age_ms_max.div_ceil(1000))
            }
        }
    }
}

/// Day and time of a stamp, as hours are written.
fn clock(stamp: Stamp) -> String {
    let (day, minute) = day_and_minute(stamp);
    format!("{} {:02}:{:02}", DAYS[day], minute / 60, minute % 60)
}

/// Day of the week, Monday first, and minute of the day, UTC.
fn day_and_minute(stamp: Stamp) -> (usize, u16) {
    let minutes = stamp.0 / 60_000_000;
    // 1 January 1970 was a Thursday.
    let day = (minutes / u64::from(MINUTES_A_DAY) + 3) % 7;
    let minute = minutes % u64::from(MINUTES_A_DAY);
    (usize::try_from(day).unwrap_or(0), u16::try_from(minute).unwrap_or(0))
}

/// A part of each week, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Hours {
    /// Bit 0 is Monday, bit 6 Sunday: the days on which the window starts.
    pub days: u8,
    /// First minute of the day that counts.
    pub from_minute: u16,
    /// First minute of the day that counts no more; at or before `from_minute`, the window runs past midnight into the next day.
    pub to_minute: u16,
}

impl Hours {
    /// Parses `mon-fri/08:00-18:00`, `sat,sun/00:00-24:00`, or `22:00-06:00` for every day.
    ///
    /// # Errors
    /// When the text is anything else; the error shows the form.
    pub fn parse(text: &str) -> Result<Hours, Rejection> {
        let wrong = || {
            let quoted: String = text.chars().take(limits::QUOTE_BYTES_MAX / 4).collect();
            Rejection::invalid(format!(
                "hours {quoted:?}: write days and times in UTC, such as mon-fri/08:00-18:00 or 22:00-06:00"
            ))
        };
        let (days, times) = text.split_once('/').map_or((None, text), |(days, times)| (Some(days), times));
        let days = days.map_or(Some(EVERY_DAY), days_of).ok_or_else(wrong)?;
        let (from, to) = times.split_once('-').ok_or_else(wrong)?;
        let hours = Hours { days, from_minute: minute_of(from).ok_or_else(wrong)?, to_minute: minute_of(to).ok_or_else(wrong)? };
        hours.check().map_err(|_| wrong())?;
        Ok(hours)
    }

    fn check(self) -> Result<(), Rejection> {
        let fits =
            self.days != 0 && self.days <= EVERY_DAY && self.from_minute < MINUTES_A_DAY && self.to_minute <= MINUTES_A_DAY;
        if fits { Ok(()) } else { Err(Rejection::invalid("hours name at least one day, and times from 00:00 to 24:00")) }
    }

    /// Whether the window is open at this stamp. A window past midnight belongs to the day on which it starts.
    #[must_use]
    pub fn hold_at(self, stamp: Stamp) -> bool {
        let (day, minute) = day_and_minute(stamp);
        let starts_on = |day: usize| self.days & (1 << day) != 0;
        if self.from_minute < self.to_minute {
            return starts_on(day) && (self.from_minute..self.to_minute).contains(&minute);
        }
        (starts_on(day) && minute >= self.from_minute) || (starts_on((day + 6) % 7) && minute < self.to_minute)
    }
}

fn days_of(text: &str) -> Option<u8> {
    let number = |word: &str| DAYS.iter().position(|day| *day == word);
    let mut days = 0;
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (number(first)?, number(last)?);
        // `sat-mon` goes round the end of the week.
        let count = (last + 7 - first) % 7;
        days |= (0..=count).fold(0, |days, step| days | 1 << ((first + step) % 7));
    }
    Some(days)
}

fn minute_of(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let number = |digits: &str| digits.parse::<u16>().ok().filter(|_| digits.len() == 2 && digits.is_ascii());
    let (hour, minute) = (number(hour)?, number(minute)?);
    (minute < 60 && hour * 60 + minute <= MINUTES_A_DAY).then_some(hour * 60 + minute)
}

impl fmt::Display for Hours {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.days != EVERY_DAY {
            let mut runs: Vec<(usize, usize)> = Vec::new();
            for day in (0..7).filter(|day| self.days & (1 << day) != 0) {
                match runs.last_mut() {
                    Some((_, last)) if *last + 1 == day => *last = day,
                    _ => runs.push((day, day)),
                }
            }
            let run = |(first, last): &(usize, usize)| match last - first {
                0 => DAYS[*first].to_owned(),
                _ => format!("{}-{}", DAYS[*first], DAYS[*last]),
            };
            write!(formatter, "{}/", runs.iter().map(run).collect::<Vec<_>>().join(","))?;
        }
        let time = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
        write!(formatter, "{}-{}", time(self.from_minute), time(self.to_minute))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Monday, 23 November 2026, 00:00 UTC.
    const MONDAY_US: u64 = 1_795_392_000_000_000;

    fn at(day: u64, hour: u64, minute: u64) -> Stamp {
        Stamp(MONDAY_US + ((day * 24 + hour) * 60 + minute) * 60_000_000)
    }

    #[test]
    fn hours_are_days_and_a_window_in_utc() {
        let office = Hours::parse("mon-fri/08:00-18:00").unwrap();
        assert!(office.hold_at(at(0, 8, 0)) && office.hold_at(at(4, 17, 59)));
        assert!(!office.hold_at(at(0, 7, 59)) && !office.hold_at(at(0, 18, 0)) && !office.hold_at(at(5, 12, 0)));
    }

    #[test]
    fn a_window_past_midnight_belongs_to_the_day_it_starts() {
        let night = Hours::parse("fri/22:00-06:00").unwrap();
        assert!(night.hold_at(at(4, 22, 0)) && night.hold_at(at(5, 5, 59)));
        assert!(!night.hold_at(at(5, 6, 0)) && !night.hold_at(at(5, 22, 0)) && !night.hold_at(at(4, 5, 0)));
        let sunday = Hours::parse("sun/22:00-06:00").unwrap();
        assert!(sunday.hold_at(at(7, 5, 0)), "the week goes round");
    }

    #[test]
    fn a_window_that_ends_where_it_starts_is_a_whole_day() {
        let day = Hours::parse("tue/08:00-08:00").unwrap();
        assert!(day.hold_at(at(1, 8, 0)) && day.hold_at(at(2, 7, 59)) && !day.hold_at(at(1, 7, 59)) && !day.hold_at(at(2, 8, 0)));
    }

    #[test]
    fn hours_read_back_as_they_are_written() {
        for text in ["mon-fri/08:00-18:00", "22:00-06:00", "mon,wed,fri-sun/00:00-24:00"] {
            assert_eq!(Hours::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Hours::parse("sat-mon/01:00-02:00").unwrap().to_string(), "mon,sat-sun/01:00-02:00");
        for bad in [
            "",
            "mon",
            "mon/",
            "8-18",
            "mon/8:00-18:00",
            "mon/08:00",
            "mon/08:00-24:01",
            "mon/24:00-08:00",
            "day/01:00-02:00",
            "mon/08:60-09:00",
        ] {
            assert!(Hours::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_address_that_is_not_known_never_gives_anything_away() {
        let conditions = Conditions { addresses: vec!["10.0.0.0/8".parse().unwrap()], ..Conditions::default() };
        let circumstances = |address: Option<&str>| Circumstances {
            address: address.map(|text| text.parse().unwrap()),
            now: Stamp(0),
            mfa: false,
            token_created: Stamp(0),
        };
        assert_eq!(conditions.unmet(false, &circumstances(Some("10.1.2.3"))), None);
        assert!(conditions.unmet(false, &circumstances(Some("11.1.2.3"))).is_some());
        assert!(conditions.unmet(true, &circumstances(Some("11.1.2.3"))).is_some());
        assert_eq!(conditions.unmet(false, &circumstances(None)), Some(Unmet::AddressUnknown));
        assert_eq!(conditions.unmet(true, &circumstances(None)), None);
    }
}

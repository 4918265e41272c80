//! Times as people write and read them.

use std::time::Duration;

use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp, civil, tz::TimeZone};

/// RFC 3339 in the local time zone; `-` where there is none.
pub(crate) fn local(stamp_ms: u64) -> String {
    match timestamp(stamp_ms) {
        Some(stamp) => stamp.to_zoned(TimeZone::system()).strftime("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string(),
        None => "-".to_owned(),
    }
}

/// RFC 3339 in UTC, for programs.
pub(crate) fn utc(stamp_ms: u64) -> Option<String> {
    timestamp(stamp_ms).map(|stamp| format!("{stamp:.3}"))
}

fn timestamp(stamp_ms: u64) -> Option<Timestamp> {
    let millisecond = i64::try_from(stamp_ms).ok().filter(|ms| *ms != 0)?;
    Timestamp::from_millisecond(millisecond).ok()
}

/// How long, in whole seconds, as people write it.
pub(crate) fn span(ms: u64) -> String {
    format!("{:#}", SignedDuration::from_secs(i64::try_from(ms / 1000).unwrap_or(i64::MAX)))
}

/// `10s`, `1h 30m`, `30d`: a day is 24 hours.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let span: Span = text.parse().map_err(|_| format!("`{text}` is not a duration: write 10s, 2h or 30d"))?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|error| error.to_string())?;
    Duration::try_from(duration).map_err(|_| format!("`{text}` is negative"))
}

/// A duration in milliseconds.
pub(crate) fn parse_duration_ms(text: &str) -> Result<u64, String> {
    let duration = parse_duration(text)?;
    u64::try_from(duration.as_millis()).map_err(|_| format!("`{text}` is too long"))
}

/// As `parse_duration_ms`, for a bound: none at all would be taken for no bound.
pub(crate) fn parse_bound_ms(text: &str) -> Result<u64, String> {
    match parse_duration_ms(text)? {
        0 => Err(format!("`{text}` is no time at all: leave it out where nothing is to be bounded")),
        ms => Ok(ms),
    }
}

/// A moment in milliseconds since 1970: RFC 3339, a local date or time, or a duration before now (`2h`).
pub(crate) fn parse_moment(text: &str) -> Result<u64, String> {
    parse_moment_at(text, Timestamp::now())
}

fn parse_moment_at(text: &str, now: Timestamp) -> Result<u64, String> {
    let stamp = if let Ok(stamp) = text.parse::<Timestamp>() {
        stamp
    } else if let Ok(date) = text.parse::<civil::DateTime>() {
        date.to_zoned(TimeZone::system()).map_err(|error| error.to_string())?.timestamp()
    } else {
        let advice = || format!("`{text}` is not a time: write 2h (ago), 2026-11-22 or 2026-11-22T10:00:00Z");
        let before = parse_duration(text).map_err(|_| advice())?;
        let before = SignedDuration::try_from(before).map_err(|_| advice())?;
        now.checked_sub(before).map_err(|_| advice())?
    };
    u64::try_from(stamp.as_millisecond()).map_err(|_| format!("`{text}` is before 1970"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_people_write_them() {
        assert_eq!(parse_duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(parse_duration("1h 30m"), Ok(Duration::from_secs(5_400)));
        assert_eq!(parse_duration("30d"), Ok(Duration::from_secs(30 * 86_400)));
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        for bad in ["", "10", "soon", "-1h"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_bound_is_some_time() {
        assert_eq!(parse_bound_ms("8h"), Ok(28_800_000));
        for bad in ["0s", "0d", "10us", "soon"] {
            assert!(parse_bound_ms(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn moments_are_absolute_or_before_now() {
        let now = Timestamp::from_second(1_790_000_000).unwrap();
        assert_eq!(parse_moment_at("2h", now), Ok(1_789_992_800_000));
        assert_eq!(parse_moment_at("1970-01-01T00:00:01Z", now), Ok(1_000));
        assert_eq!(parse_moment_at("1970-01-01T01:00:01+01:00", now), Ok(1_000));
        assert!(parse_moment_at("2026-11-22", now).is_ok());
        assert!(parse_moment_at("yesterday-ish", now).is_err());
    }

    #[test]
    fn no_time_is_shown_as_none() {
        assert_eq!((local(0).as_str(), utc(0)), ("-", None));
        assert_eq!(utc(1_000).as_deref(), Some("1970-01-01T00:00:01.000Z"));
    }
}

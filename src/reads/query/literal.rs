//! Literals with a meaning of their own: times, durations, statuses.

use proto::temporal::api::enums::v1::WorkflowExecutionStatus as Status;
use statemachine::time::{DAY, HOUR, MINUTE, SECOND};

/// Nanoseconds since the epoch of an RFC 3339 time with a zone, as Go's time.RFC3339Nano reads it. Times outside of what
/// 64 bits hold (years 1677 to 2262) are cut to the nearest that fits.
pub fn rfc3339_nanos(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    if !text.is_ascii() || bytes.len() < "2006-01-02T15:04:05Z".len() {
        return None;
    }
    let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if separators.iter().any(|&(at, separator)| bytes[at] != separator) {
        return None;
    }
    let year = digits(&text[0..4])?;
    let month = digits(&text[5..7])?;
    let day = digits(&text[8..10])?;
    let (hour, minute, second) = (digits(&text[11..13])?, digits(&text[14..16])?, digits(&text[17..19])?);
    if !(1..=12).contains(&month) || day < 1 || day > days_in(year, month) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (fraction, zone) = fraction(&text[19..])?;
    let seconds = days_from_epoch(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - zone_seconds(zone)?;
    let nanos = i128::from(seconds) * i128::from(SECOND) + i128::from(fraction);
    Some(nanos.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64)
}

fn digits(text: &str) -> Option<i64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// Nanoseconds of a leading fraction of a second, and what follows it.
fn fraction(text: &str) -> Option<(i64, &str)> {
    let Some(rest) = text.strip_prefix(['.', ',']) else { return Some((0, text)) };
    let length = rest.bytes().take_while(u8::is_ascii_digit).count();
    if length == 0 {
        return None;
    }
    let kept = &rest[..length.min(9)];
    let scale = 10_i64.pow(9 - kept.len() as u32);
    Some((digits(kept)? * scale, &rest[length..]))
}

fn zone_seconds(zone: &str) -> Option<i64> {
    if zone == "Z" {
        return Some(0);
    }
    let sign = match zone.as_bytes() {
        [b'+', ..] => 1,
        [b'-', ..] => -1,
        _ => return None,
    };
    if zone.len() != 6 || &zone[3..4] != ":" {
        return None;
    }
    let (hours, minutes) = (digits(&zone[1..3])?, digits(&zone[4..6])?);
    (hours <= 24 && minutes <= 60).then_some(sign * (hours * 3600 + minutes * 60))
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap(year) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days from 1970-01-01 in the Gregorian calendar, for years from 0.
fn days_from_epoch(year: i64, month: i64, day: i64) -> i64 {
    let months: i64 = (1..month).map(|before| days_in(year, before)).sum();
    let past = year - 1;
    let leap_days = past.div_euclid(4) - past.div_euclid(100) + past.div_euclid(400);
    let leap_days_to_1970 = 477;
    (year - 1970) * 365 + leap_days - leap_days_to_1970 + months + day - 1
}

/// Nanoseconds of an execution duration: a number of nanoseconds, a Go duration with days (`1d12h`, `-1.5h`, `300ms`) or
/// `hh:mm:ss`. The error says what is wrong as Temporal does.
pub(super) fn duration_nanos(text: &str) -> Result<i64, &'static str> {
    if let Ok(nanos) = text.parse::<i64>() {
        return Ok(nanos);
    }
    match go_duration(text) {
        Some(nanos) => Ok(nanos),
        None => clock_duration(text),
    }
}

fn go_duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if rest.is_empty() {
        return None;
    }
    let mut total: i64 = 0;
    while !rest.is_empty() {
        let length = rest.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
        let (number, tail) = rest.split_at(length);
        let (unit, nanos) = UNITS.iter().find(|(unit, _)| tail.starts_with(unit))?;
        total = total.checked_add(scaled(number, *nanos)?)?;
        rest = &tail[unit.len()..];
    }
    Some(if negative { -total } else { total })
}

/// Longer units first where one is the beginning of another.
const UNITS: [(&str, i64); 9] = [
    ("ns", 1),
    ("us", 1000),
    ("µs", 1000),
    ("μs", 1000),
    ("ms", 1_000_000),
    ("s", SECOND),
    ("m", MINUTE),
    ("h", HOUR),
    ("d", DAY),
];

/// A decimal number of units in nanoseconds.
fn scaled(number: &str, unit: i64) -> Option<i64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let whole = if whole.is_empty() { 0 } else { digits(whole)? };
    let fraction = &fraction[..fraction.len().min(15)];
    let part = match fraction.is_empty() {
        true => 0,
        false => i128::from(digits(fraction)?) * i128::from(unit) / 10_i128.pow(fraction.len() as u32),
    };
    i64::try_from(i128::from(whole) * i128::from(unit) + part).ok()
}

fn clock_duration(text: &str) -> Result<i64, &'static str> {
    const INVALID: &str = "invalid duration";
    let mut parts = text.splitn(3, ':');
    let mut next = || parts.next().and_then(|part| part.parse::<i64>().ok()).ok_or(INVALID);
    let (hours, minutes, seconds) = (next()?, next()?, next()?);
    if hours < 0 {
        return Err("invalid duration: hours must be a positive number");
    }
    if !(0..60).contains(&minutes) {
        return Err("invalid duration: minutes must be from 0 to 59");
    }
    if !(0..60).contains(&seconds) {
        return Err("invalid duration: seconds must be from 0 to 59");
    }
    hours.checked_mul(HOUR).and_then(|nanos| nanos.checked_add(minutes * MINUTE + seconds * SECOND)).ok_or(INVALID)
}

const STATUSES: [Status; 9] = [
    Status::Unspecified,
    Status::Running,
    Status::Completed,
    Status::Failed,
    Status::Canceled,
    Status::Terminated,
    Status::ContinuedAsNew,
    Status::TimedOut,
    Status::Paused,
];

/// A status by its short or its full name, case-sensitively.
pub(super) fn status(name: &str) -> Option<Status> {
    STATUSES.into_iter().find(|status| status_name(*status) == name || status.as_str_name() == name)
}

/// The short name that queries and groups use.
pub fn status_name(status: Status) -> &'static str {
    match status {
        Status::Unspecified => "Unspecified",
        Status::Running => "Running",
        Status::Completed => "Completed",
        Status::Failed => "Failed",
        Status::Canceled => "Canceled",
        Status::Terminated => "Terminated",
        Status::ContinuedAsNew => "ContinuedAsNew",
        Status::TimedOut => "TimedOut",
        Status::Paused => "Paused",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (text, nanos) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01T00:00:00.000000001Z", 1),
            ("1969-12-31T23:59:59.5Z", -500_000_000),
            ("1970-01-01T05:30:00+05:30", 0),
            ("1969-12-31T16:00:00-08:00", 0),
            ("2024-02-29T12:00:00Z", 1_709_208_000 * SECOND),
            ("2000-03-01T00:00:00,25Z", 951_868_800 * SECOND + 250_000_000),
            ("2020-01-01T00:00:00.1234567899Z", 1_577_836_800 * SECOND + 123_456_789),
            ("9999-12-31T23:59:59Z", i64::MAX),
            ("0001-01-01T00:00:00Z", i64::MIN),
        ] {
            assert_eq!(rfc3339_nanos(text), Some(nanos), "{text}");
        }
        for bad in [
            "",
            "yesterday",
            "2020-01-01",
            "2020-01-01T00:00:00",
            "1577836800000000000",
            "2020-13-01T00:00:00Z",
            "2023-02-29T00:00:00Z",
            "2020-01-01T24:00:00Z",
            "2020-01-01 00:00:00Z",
            "2020-01-01T00:00:00.Z",
            "2020-01-01T00:00:00+0530",
            "2020-01-01T00:00:00z",
            "2020-01-01T00:00:00Zx",
            "2020-01-0éT00:00:00Z",
        ] {
            assert_eq!(rfc3339_nanos(bad), None, "{bad}");
        }
    }

    #[test]
    fn durations() {
        for (text, nanos) in [
            ("0", 0),
            ("1900000000", 1_900_000_000),
            ("1900ms", 1_900_000_000),
            ("1h30m", 90 * MINUTE),
            ("1d12h", 36 * HOUR),
            ("1.5d", 36 * HOUR),
            ("-1.5h", -90 * MINUTE),
            ("+.5s", SECOND / 2),
            ("1.s", SECOND),
            ("2us", 2000),
            ("2µs", 2000),
            ("01:02:03", HOUR + 2 * MINUTE + 3 * SECOND),
            ("0:0:0", 0),
            ("100:00:00", 100 * HOUR),
        ] {
            assert_eq!(duration_nanos(text), Ok(nanos), "{text}");
        }
        for bad in ["abc", "1 hour", "1:2", "", "1", "h", "-", "1..5s", "1.2.3s", "9999999999d", "é"] {
            let expected = if bad == "1" { Ok(1) } else { Err("invalid duration") };
            assert_eq!(duration_nanos(bad), expected, "{bad}");
        }
        assert_eq!(duration_nanos("1:60:00"), Err("invalid duration: minutes must be from 0 to 59"));
        assert_eq!(duration_nanos("1:00:60"), Err("invalid duration: seconds must be from 0 to 59"));
        assert_eq!(duration_nanos("-1:00:00"), Err("invalid duration: hours must be a positive number"));
    }

    #[test]
    fn statuses() {
        assert_eq!(status("TimedOut"), Some(Status::TimedOut));
        assert_eq!(status("WORKFLOW_EXECUTION_STATUS_TIMED_OUT"), Some(Status::TimedOut));
        assert_eq!(status("Paused"), Some(Status::Paused));
        for bad in ["running", "RUNNING", "1", "TimeOut", ""] {
            assert_eq!(status(bad), None, "{bad}");
        }
    }
}

//! Values as people read them.

use std::time::SystemTime;

use chrono::{DateTime, Utc};
use prost_types::{Duration, Timestamp};

/// `2026-11-22 16:29:42.123`, in UTC; empty if absent.
pub(super) fn time(timestamp: Option<&Timestamp>) -> String {
    let time = timestamp.and_then(|at| DateTime::<Utc>::from_timestamp(at.seconds, u32::try_from(at.nanos).ok()?));
    time.map(|time| time.format("%Y-%m-%d %H:%M:%S%.3f").to_string()).unwrap_or_default()
}

/// `12 ms`, `3.4 s`, `5 min 6 s`, `7 h 8 min`, `9 d 10 h`; empty if absent.
pub(super) fn duration(duration: Option<&Duration>) -> String {
    let Some(duration) = duration else { return String::new() };
    let millis = i128::from(duration.seconds) * 1000 + i128::from(duration.nanos) / 1_000_000;
    let seconds = millis / 1000;
    match seconds {
        ..1 => format!("{millis} ms"),
        1..60 => format!("{}.{} s", seconds, millis % 1000 / 100),
        60..3600 => two(seconds / 60, "min", seconds % 60, "s"),
        3600..86_400 => two(seconds / 3600, "h", seconds % 3600 / 60, "min"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3600, "h"),
    }
}

fn two(large: i128, large_unit: &str, small: i128, small_unit: &str) -> String {
    match small {
        0 => format!("{large} {large_unit}"),
        _ => format!("{large} {large_unit} {small} {small_unit}"),
    }
}

/// From one time to another, or to now.
pub(super) fn between(start: Option<&Timestamp>, end: Option<&Timestamp>) -> String {
    let now = Timestamp::from(SystemTime::now());
    let end = end.unwrap_or(&now);
    let end = (end.seconds, end.nanos);
    let Some(start) = start else { return String::new() };
    let nanos = (i128::from(end.0) - i128::from(start.seconds)) * 1_000_000_000 + i128::from(end.1 - start.nanos);
    let nanos = nanos.max(0);
    duration(Some(&Duration { seconds: (nanos / 1_000_000_000) as i64, nanos: (nanos % 1_000_000_000) as i32 }))
}

pub(super) fn bytes(count: i64) -> String {
    match count {
        ..1024 => format!("{count} B"),
        1024..1_048_576 => format!("{:.1} KiB", count as f64 / 1024.0),
        _ => format!("{:.1} MiB", count as f64 / 1_048_576.0),
    }
}

/// `EVENT_TYPE_TIMER_FIRED` without its prefix as `TimerFired`.
pub(super) fn pascal(name: &str, prefix: &str) -> String {
    let words = name.strip_prefix(prefix).unwrap_or(name).split('_');
    words.map(|word| format!("{}{}", word.get(..1).unwrap_or(""), word.get(1..).unwrap_or("").to_lowercase())).collect()
}

/// At most so many characters, with a sign that there are more.
pub(super) fn shortened(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_string(),
    }
}

/// Page tokens in links.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = text.chars().map(|character| character.to_digit(16)).collect();
    let digits = digits.filter(|digits| digits.len().is_multiple_of(2))?;
    Some(digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_durations() {
        assert_eq!(time(Some(&Timestamp { seconds: 0, nanos: 5_000_000 })), "1970-01-01 00:00:00.005");
        assert_eq!(time(Some(&Timestamp { seconds: i64::MAX, nanos: -1 })), "");
        let cases =
            [(0, 12, "12 ms"), (3, 450, "3.4 s"), (306, 0, "5 min 6 s"), (25_680, 0, "7 h 8 min"), (86_400, 0, "1 d")];
        for (seconds, millis, expected) in cases {
            assert_eq!(duration(Some(&Duration { seconds, nanos: millis * 1_000_000 })), expected);
        }
        let (start, end) = (Timestamp { seconds: 1, nanos: 900_000_000 }, Timestamp { seconds: 2, nanos: 0 });
        assert_eq!(between(Some(&start), Some(&end)), "100 ms");
    }

    #[test]
    fn names_and_tokens() {
        assert_eq!(pascal("EVENT_TYPE_TIMER_FIRED", "EVENT_TYPE_"), "TimerFired");
        assert_eq!(shortened("äöü", 2), "äö…");
        assert_eq!(from_hex(&hex(&[0, 255, 16])), Some(vec![0, 255, 16]));
        assert_eq!(from_hex("0g"), None);
        assert_eq!(from_hex("abc"), None);
    }
}

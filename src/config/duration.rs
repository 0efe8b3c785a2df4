//! Durations as people write them: `"250ms"`, `"10s"`, `"1h30m"`; Go's notation, as in Temporal's own configuration.

use std::time::Duration;

use serde::{de, Deserialize, Deserializer, Serializer};

const UNITS: [(&str, u128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];
const EXPECTED: &str = "expected a duration such as \"250ms\", \"10s\" or \"1h30m\"";

pub fn parse(text: &str) -> Result<Duration, String> {
    let refuse = || format!("`{text}` is not a duration: {EXPECTED}");
    let mut rest = text.trim();
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(refuse());
    }
    let mut nanos: u128 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(refuse)?;
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let (_, size) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(refuse)?;
        nanos = nanos.checked_add(scaled(number, *size).ok_or_else(refuse)?).ok_or_else(refuse)?;
        rest = tail;
    }
    u64::try_from(nanos).map(Duration::from_nanos).map_err(|_| refuse())
}

/// `number` may have a fraction; integers only, so that "0.1s" is exactly 100 ms.
fn scaled(number: &str, size: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let mut nanos = whole.parse::<u128>().ok()?.checked_mul(size)?;
    let mut place = size;
    for digit in fraction.chars() {
        place /= 10;
        nanos += u128::from(digit.to_digit(10)?) * place;
    }
    Some(nanos)
}

/// The shortest notation with at most two units.
pub fn format(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    let exact =
        [("h", 3_600_000_000_000), ("m", 60_000_000_000), ("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000)];
    for (unit, size) in exact {
        if nanos >= size && nanos.is_multiple_of(size) {
            return format!("{}{unit}", nanos / size);
        }
    }
    match nanos {
        0 => "0s".into(),
        _ => format!("{nanos}ns"),
    }
}

pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format(*duration))
}

pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_go_reads() {
        let cases = [("0", 0), ("0s", 0), ("250ms", 250), ("1.5s", 1500), ("1h30m", 5_400_000), ("1d", 86_400_000)];
        for (text, millis) in cases {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "5", "s", "1x", "-1s", "1..5s", "99999999999999999999h", "1 s"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        for nanos in [0, 1, 1_500, 70_000_000, 90_000_000_000, 86_400_000_000_000, 1_000_000_001] {
            let duration = Duration::from_nanos(nanos);
            assert_eq!(parse(&format(duration)), Ok(duration));
        }
    }
}

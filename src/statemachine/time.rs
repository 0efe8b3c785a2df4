//! Nanoseconds since the epoch and durations in nanoseconds, to and from protobuf's types.

use prost_types::{Duration, Timestamp};

pub const MILLISECOND: i64 = 1_000_000;
pub const SECOND: i64 = 1_000_000_000;
pub const MINUTE: i64 = 60 * SECOND;
pub const HOUR: i64 = 60 * MINUTE;
pub const DAY: i64 = 24 * HOUR;
/// Longer timeouts are cut to this (Temporal: 100 years of 365 days).
pub const TIMEOUT_MAX: i64 = 100 * 365 * DAY;

pub fn timestamp(nanos: i64) -> Timestamp {
    Timestamp { seconds: nanos.div_euclid(SECOND), nanos: nanos.rem_euclid(SECOND) as i32 }
}

/// Absent for 0.
pub fn timestamp_if_set(nanos: i64) -> Option<Timestamp> {
    (nanos != 0).then(|| timestamp(nanos))
}

pub fn duration(nanos: i64) -> Duration {
    Duration { seconds: nanos / SECOND, nanos: (nanos % SECOND) as i32 }
}

/// Saturates at what 64 bits of nanoseconds hold (292 years).
pub fn nanos_of(duration: &Duration) -> i64 {
    duration.seconds.saturating_mul(SECOND).saturating_add(i64::from(duration.nanos))
}

/// 0 if absent.
pub fn nanos_or_zero(duration: Option<&Duration>) -> i64 {
    duration.map(nanos_of).unwrap_or_default()
}

pub fn nanos_of_timestamp(timestamp: &Timestamp) -> i64 {
    timestamp.seconds.saturating_mul(SECOND).saturating_add(i64::from(timestamp.nanos))
}

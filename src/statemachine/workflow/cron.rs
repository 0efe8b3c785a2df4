//! Cron schedules of workflows: five fields, names, `@daily` and its like, `@every 5m`, and a `CRON_TZ=` or `TZ=` prefix
//! (SEMANTICS B9). A day matches if either of its day fields does, unless one of them is `*`.

use chrono::{DateTime, Datelike, Duration, LocalResult, NaiveDate, TimeZone, Timelike, Utc};
use chrono_tz::Tz;

use crate::time::SECOND;

/// Days searched for a match: five years, beyond which 30 February stays.
const DAYS_MAX: usize = 5 * 366;
const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

#[derive(Debug, Clone, PartialEq)]
pub enum Cron {
    /// Every so many nanoseconds after the start.
    Every(i64),
    Fields(Box<Fields>),
}

/// Each field as a set of bits.
#[derive(Debug, Clone, PartialEq)]
pub struct Fields {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    any_day: bool,
    any_weekday: bool,
    zone: Tz,
}

impl Cron {
    /// `None` if the text is no schedule.
    pub fn parse(text: &str) -> Option<Self> {
        let (zone, text) = split_zone(text.trim())?;
        if let Some(interval) = text.strip_prefix("@every ") {
            let nanos = parse_duration(interval.trim())?;
            return (nanos >= SECOND).then_some(Self::Every(nanos / SECOND * SECOND));
        }
        let expanded = match text {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            other => other,
        };
        let parts: Vec<&str> = expanded.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = parts.as_slice() else { return None };
        Some(Self::Fields(Box::new(Fields {
            minutes: field(minutes, 0, 59, &[], 0)?,
            hours: field(hours, 0, 23, &[], 0)?,
            days: field(days, 1, 31, &[], 0)?,
            months: field(months, 1, 12, &MONTHS, 1)?,
            weekdays: field(weekdays, 0, 6, &DAYS, 0)?,
            any_day: days.starts_with(['*', '?']),
            any_weekday: weekdays.starts_with(['*', '?']),
            zone,
        })))
    }

    /// The first time after `now`, for a run that began at `start`; both ns since the epoch. Whole seconds.
    pub fn next(&self, start: i64, now: i64) -> Option<i64> {
        match self {
            Self::Every(interval) => {
                let passed = now.saturating_sub(start).max(0) / interval + 1;
                Some(start.saturating_add(passed.saturating_mul(*interval)))
            }
            Self::Fields(fields) => fields.next(now),
        }
    }
}

impl Fields {
    fn next(&self, now: i64) -> Option<i64> {
        let now = DateTime::<Utc>::from_timestamp(now.div_euclid(SECOND), 0)?;
        let local = now.with_timezone(&self.zone);
        let mut date = local.date_naive();
        for _ in 0..DAYS_MAX {
            if self.has_day(date) {
                if let Some(found) = self.first_on(date, now) {
                    return Some(found.timestamp() * SECOND);
                }
            }
            date = date.succ_opt()?;
        }
        None
    }

    fn has_day(&self, date: NaiveDate) -> bool {
        let day = self.days >> date.day() & 1 == 1;
        let weekday = self.weekdays >> date.weekday().num_days_from_sunday() & 1 == 1;
        let month = self.months >> date.month() & 1 == 1;
        month && if self.any_day || self.any_weekday { day && weekday } else { day || weekday }
    }

    /// The first matching minute of the day after `now`; local times that a clock change skips do not count.
    fn first_on(&self, date: NaiveDate, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let hours = (0..24).filter(|hour| self.hours >> hour & 1 == 1);
        let times = hours.flat_map(|hour| {
            (0..60).filter(|minute| self.minutes >> minute & 1 == 1).map(move |minute| (hour, minute))
        });
        times
            .filter_map(|(hour, minute)| match self.zone.from_local_datetime(&date.and_hms_opt(hour, minute, 0)?) {
                LocalResult::Single(time) => Some(time.with_timezone(&Utc)),
                LocalResult::Ambiguous(first, second) => {
                    let first = first.with_timezone(&Utc);
                    Some(if first > now { first } else { second.with_timezone(&Utc) })
                }
                LocalResult::None => None,
            })
            .find(|time| *time > now && time.second() == 0)
    }
}

fn split_zone(text: &str) -> Option<(Tz, &str)> {
    for prefix in ["CRON_TZ=", "TZ="] {
        if let Some(rest) = text.strip_prefix(prefix) {
            let (name, rest) = rest.split_once(' ')?;
            return Some((name.parse().ok()?, rest.trim()));
        }
    }
    Some((Tz::UTC, text))
}

/// One field: a list of `*`, values, ranges, each with an optional step.
fn field(text: &str, least: u32, most: u32, names: &[&str], first_name: u32) -> Option<u64> {
    let value = |text: &str| -> Option<u32> {
        let lower = text.to_ascii_lowercase();
        if let Some(at) = names.iter().position(|name| *name == lower) {
            return Some(at as u32 + first_name);
        }
        text.parse().ok()
    };
    let mut bits = 0u64;
    for item in text.split(',') {
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, Some(step.parse::<u32>().ok().filter(|step| *step > 0)?)),
            None => (item, None),
        };
        let (from, to) = match range {
            "*" | "?" => (least, most),
            range => match range.split_once('-') {
                Some((from, to)) => (value(from)?, value(to)?),
                None => {
                    let from = value(range)?;
                    (from, if step.is_some() { most } else { from })
                }
            },
        };
        if from < least || to > most || from > to {
            return None;
        }
        (from..=to).step_by(step.unwrap_or(1) as usize).for_each(|bit| bits |= 1 << bit);
    }
    Some(bits)
}

/// Go's duration texts: 1h30m, 90s, 1.5h.
fn parse_duration(text: &str) -> Option<i64> {
    let mut total = 0i64;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit_end = rest.find(|letter: char| letter.is_ascii_digit()).unwrap_or(rest.len());
        let unit = match &rest[..unit_end] {
            "h" => Duration::hours(1),
            "m" => Duration::minutes(1),
            "s" => Duration::seconds(1),
            "ms" => Duration::milliseconds(1),
            _ => return None,
        };
        total = total.checked_add((number * unit.num_nanoseconds()? as f64) as i64)?;
        rest = &rest[unit_end..];
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(text: &str, now: &str) -> String {
        let now = DateTime::parse_from_rfc3339(now).expect("a time").timestamp() * SECOND;
        let next = Cron::parse(text).expect("a schedule").next(now, now).expect("a next time");
        DateTime::<Utc>::from_timestamp(next / SECOND, 0).expect("a time").to_rfc3339()
    }

    #[test]
    fn schedules_find_their_next_time() {
        for (text, now, expected) in [
            ("* * * * *", "2026-11-22T10:00:00Z", "2026-11-22T10:01:00+00:00"),
            ("*/15 9-17 * * mon-fri", "2026-11-20T17:50:00Z", "2026-11-23T09:00:00+00:00"),
            ("0 12 1,15 * 3", "2026-11-22T00:00:00Z", "2026-11-25T12:00:00+00:00"),
            ("@daily", "2026-11-22T00:00:00Z", "2026-11-23T00:00:00+00:00"),
            ("@every 90s", "2026-11-22T10:00:00Z", "2026-11-22T10:01:30+00:00"),
            ("CRON_TZ=Europe/Berlin 30 2 29 3 *", "2026-01-01T00:00:00Z", "2027-03-29T00:30:00+00:00"),
            ("0 0 29 2 *", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00+00:00"),
        ] {
            assert_eq!(next(text, now), expected, "{text} after {now}");
        }
    }

    #[test]
    fn texts_that_are_no_schedule_are_refused() {
        for text in
            ["", "never", "* * * *", "60 * * * *", "* * 0 * *", "5-1 * * * *", "*/0 * * * *", "@every", "@every x"]
        {
            assert_eq!(Cron::parse(text), None, "{text}");
        }
    }
}

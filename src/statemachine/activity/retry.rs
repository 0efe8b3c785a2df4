//! Retry policies: defaults, checks, what may be retried and after how long. Activities and workflows share them
//! (SEMANTICS B7, B9; Temporal: common/retrypolicy, service/history/workflow/retry.go).

use proto::temporal::api::common::v1::RetryPolicy;
use proto::temporal::api::enums::v1::{RetryState, TimeoutType};
use proto::temporal::api::failure::v1::failure::FailureInfo;
use proto::temporal::api::failure::v1::Failure;

use crate::time::{duration, nanos_of, nanos_or_zero, SECOND, TIMEOUT_MAX};

const INITIAL_INTERVAL: i64 = SECOND;
const BACKOFF_COEFFICIENT: f64 = 2.0;
/// The maximum interval is so many times the initial one unless given.
const MAXIMUM_FACTOR: i64 = 100;
/// A type in `non_retryable_error_types` that stands for a kind of timeout starts with this.
const TIMEOUT_TYPE_PREFIX: &str = "TemporalTimeout:";

/// Gives each missing field its default.
pub fn fill_in(policy: &mut RetryPolicy) {
    if nanos_or_zero(policy.initial_interval.as_ref()) == 0 {
        policy.initial_interval = Some(duration(INITIAL_INTERVAL));
    }
    if nanos_or_zero(policy.maximum_interval.as_ref()) == 0 {
        let initial = nanos_or_zero(policy.initial_interval.as_ref());
        policy.maximum_interval = Some(duration(initial.saturating_mul(MAXIMUM_FACTOR).min(TIMEOUT_MAX)));
    }
    if policy.backoff_coefficient == 0.0 {
        policy.backoff_coefficient = BACKOFF_COEFFICIENT;
    }
}

/// What is wrong with a policy. One that allows a single attempt is not looked at any further.
pub fn validate(policy: &RetryPolicy) -> Result<(), String> {
    if policy.maximum_attempts == 1 {
        return Ok(());
    }
    let initial = nanos_or_zero(policy.initial_interval.as_ref());
    let maximum = nanos_or_zero(policy.maximum_interval.as_ref());
    if initial < 0 {
        return Err("invalid InitialInterval set on retry policy: negative duration".into());
    }
    let coefficient = policy.backoff_coefficient;
    if coefficient.is_nan() || (coefficient != 0.0 && coefficient < 1.0) {
        return Err("BackoffCoefficient cannot be less than 1 on retry policy.".into());
    }
    if maximum < 0 {
        return Err("invalid MaximumInterval set on retry policy: negative duration".into());
    }
    if maximum > 0 && maximum < initial {
        return Err("MaximumInterval cannot be less than InitialInterval on retry policy.".into());
    }
    if policy.maximum_attempts < 0 {
        return Err("MaximumAttempts cannot be negative on retry policy.".into());
    }
    for kind in policy.non_retryable_error_types.iter().filter_map(|kind| kind.strip_prefix(TIMEOUT_TYPE_PREFIX)) {
        if timeout_type(kind).is_none() {
            return Err(format!("Invalid timeout type value: {kind}."));
        }
    }
    Ok(())
}

/// The name of a timeout in messages and error types.
pub fn timeout_name(kind: TimeoutType) -> &'static str {
    match kind {
        TimeoutType::Unspecified => "Unspecified",
        TimeoutType::StartToClose => "StartToClose",
        TimeoutType::ScheduleToStart => "ScheduleToStart",
        TimeoutType::ScheduleToClose => "ScheduleToClose",
        TimeoutType::Heartbeat => "Heartbeat",
    }
}

fn timeout_type(name: &str) -> Option<TimeoutType> {
    [
        TimeoutType::Unspecified,
        TimeoutType::StartToClose,
        TimeoutType::ScheduleToStart,
        TimeoutType::ScheduleToClose,
        TimeoutType::Heartbeat,
    ]
    .into_iter()
    .find(|kind| timeout_name(*kind) == name || kind.as_str_name() == name)
}

/// Whether a failure may be retried at all. Only the outermost failure counts, not its causes.
pub fn is_retryable(failure: Option<&Failure>, policy: &RetryPolicy) -> bool {
    let listed = |kind: &str| policy.non_retryable_error_types.iter().any(|listed| listed == kind);
    match failure.and_then(|failure| failure.failure_info.as_ref()) {
        Some(FailureInfo::ApplicationFailureInfo(info)) => !info.non_retryable && !listed(&info.r#type),
        Some(FailureInfo::ServerFailureInfo(info)) => !info.non_retryable,
        Some(FailureInfo::TimeoutFailureInfo(info)) => match info.timeout_type() {
            kind @ (TimeoutType::StartToClose | TimeoutType::Heartbeat) => {
                !listed(&format!("{TIMEOUT_TYPE_PREFIX}{}", timeout_name(kind)))
            }
            TimeoutType::ScheduleToStart | TimeoutType::ScheduleToClose | TimeoutType::Unspecified => false,
        },
        Some(FailureInfo::CanceledFailureInfo(_) | FailureInfo::TerminatedFailureInfo(_)) => false,
        _ => true,
    }
}

/// The delay that the failure itself asks for; a delay of nothing is none.
pub fn asked_delay(failure: Option<&Failure>) -> Option<i64> {
    match failure?.failure_info.as_ref()? {
        FailureInfo::ApplicationFailureInfo(info) => {
            info.next_retry_delay.as_ref().map(nanos_of).filter(|delay| *delay > 0)
        }
        _ => None,
    }
}

/// A delay cut to the policy's maximum interval. Workflows do this to the delay a failure asks for, activities do not.
pub fn within_maximum(policy: &RetryPolicy, delay: i64) -> i64 {
    match nanos_or_zero(policy.maximum_interval.as_ref()) {
        maximum if maximum > 0 => delay.min(maximum),
        _ => delay,
    }
}

/// Initial interval × coefficient ^ (attempt − 1), cut to the maximum interval. Multiplies step by step: the library's
/// powers may differ between platforms, and replicas must not.
pub fn interval(policy: &RetryPolicy, attempt: i32) -> i64 {
    let initial = nanos_or_zero(policy.initial_interval.as_ref());
    let maximum = match nanos_or_zero(policy.maximum_interval.as_ref()) {
        maximum if maximum > 0 => maximum,
        _ => TIMEOUT_MAX,
    };
    let coefficient = policy.backoff_coefficient;
    if initial <= 0 || coefficient == 1.0 {
        return initial.clamp(0, maximum);
    }
    let mut delay = initial as f64;
    for _ in 1..attempt {
        delay *= coefficient;
        if !(1.0..maximum as f64).contains(&delay) {
            return maximum;
        }
    }
    (delay as i64).min(maximum)
}

/// The delay before the attempt that follows `attempt`, or why there is none. `expires`: when retrying has to end,
/// 0 for never.
pub fn backoff(
    policy: &RetryPolicy,
    attempt: i32,
    next_retry_delay: Option<i64>,
    now: i64,
    expires: i64,
) -> Result<i64, RetryState> {
    if policy.maximum_attempts > 0 && attempt >= policy.maximum_attempts {
        return Err(RetryState::MaximumAttemptsReached);
    }
    let delay = next_retry_delay.unwrap_or_else(|| interval(policy, attempt));
    if delay <= 0 || (expires > 0 && now.saturating_add(delay) > expires) {
        return Err(RetryState::Timeout);
    }
    Ok(delay)
}

#[cfg(test)]
mod tests {
    use proto::temporal::api::failure::v1::{
        ApplicationFailureInfo, CanceledFailureInfo, ServerFailureInfo, TerminatedFailureInfo, TimeoutFailureInfo,
    };

    use super::*;

    fn policy(initial: i64, coefficient: f64, maximum: i64, attempts: i32) -> RetryPolicy {
        RetryPolicy {
            initial_interval: Some(duration(initial)),
            backoff_coefficient: coefficient,
            maximum_interval: Some(duration(maximum)),
            maximum_attempts: attempts,
            ..Default::default()
        }
    }

    fn failure(info: FailureInfo) -> Failure {
        Failure { failure_info: Some(info), ..Default::default() }
    }

    #[test]
    fn missing_fields_get_defaults_each_on_its_own() {
        let cases = [
            (RetryPolicy::default(), policy(SECOND, 2.0, 100 * SECOND, 0)),
            (policy(3 * SECOND, 0.0, 0, 0), policy(3 * SECOND, 2.0, 300 * SECOND, 0)),
            (policy(0, 1.5, 0, 0), policy(SECOND, 1.5, 100 * SECOND, 0)),
            (policy(0, 0.0, 5 * SECOND, 0), policy(SECOND, 2.0, 5 * SECOND, 0)),
            (policy(0, 0.5, 0, 1), policy(SECOND, 0.5, 100 * SECOND, 1)),
        ];
        for (mut given, filled) in cases {
            fill_in(&mut given);
            assert_eq!(given, filled);
        }
    }

    #[test]
    fn each_fault_of_a_policy_has_its_text() {
        let listed =
            |kind: &str| RetryPolicy { non_retryable_error_types: vec![kind.into()], ..policy(SECOND, 2.0, 0, 0) };
        let cases = [
            (policy(-1, 2.0, 0, 0), "invalid InitialInterval set on retry policy: negative duration"),
            (policy(1, 0.5, 0, 0), "BackoffCoefficient cannot be less than 1 on retry policy."),
            (policy(1, 2.0, -1, 0), "invalid MaximumInterval set on retry policy: negative duration"),
            (policy(5, 2.0, 1, 0), "MaximumInterval cannot be less than InitialInterval on retry policy."),
            (policy(1, 2.0, 0, -1), "MaximumAttempts cannot be negative on retry policy."),
            (listed("TemporalTimeout:Lunch"), "Invalid timeout type value: Lunch."),
        ];
        for (given, text) in cases {
            assert_eq!(validate(&given), Err(text.to_owned()));
        }
        for good in [policy(1, 1.0, 1, 0), policy(-1, 0.5, -1, 1), listed("TemporalTimeout:Heartbeat"), listed("X")] {
            assert_eq!(validate(&good), Ok(()));
        }
    }

    #[test]
    fn intervals_grow_up_to_the_maximum() {
        let cases = [
            (policy(2 * SECOND, 1.5, 200 * SECOND, 0), 1, 2 * SECOND),
            (policy(2 * SECOND, 1.5, 200 * SECOND, 0), 2, 3 * SECOND),
            (policy(2 * SECOND, 10.0, 3 * SECOND, 0), 2, 3 * SECOND),
            (policy(SECOND, 1.0, 100 * SECOND, 0), i32::MAX, SECOND),
            (policy(SECOND, 2.0, 0, 0), i32::MAX, TIMEOUT_MAX),
            (policy(SECOND, f64::INFINITY, 9 * SECOND, 0), 2, 9 * SECOND),
            (policy(SECOND, 0.5, 9 * SECOND, 0), i32::MAX, 9 * SECOND),
            (policy(0, 2.0, 9 * SECOND, 0), 3, 0),
        ];
        for (given, attempt, expected) in cases {
            assert_eq!(interval(&given, attempt), expected, "{given:?} attempt {attempt}");
        }
    }

    #[test]
    fn retrying_ends_for_a_reason() {
        let limited = policy(SECOND, 2.0, 100 * SECOND, 3);
        assert_eq!(backoff(&limited, 2, None, 0, 0), Ok(2 * SECOND));
        assert_eq!(backoff(&limited, 3, None, 0, 0), Err(RetryState::MaximumAttemptsReached));
        assert_eq!(backoff(&limited, 1, Some(500 * SECOND), 0, 0), Ok(500 * SECOND));
        assert_eq!(backoff(&limited, 1, None, 10, 10 + SECOND), Ok(SECOND));
        assert_eq!(backoff(&limited, 1, None, 11, 10 + SECOND), Err(RetryState::Timeout));
        assert_eq!(within_maximum(&limited, 500 * SECOND), 100 * SECOND);
    }

    #[test]
    fn only_the_outermost_failure_decides() {
        let strict = RetryPolicy {
            non_retryable_error_types: vec!["Fatal".into(), "TemporalTimeout:StartToClose".into()],
            ..Default::default()
        };
        let application = |kind: &str, non_retryable| {
            let info = ApplicationFailureInfo { r#type: kind.into(), non_retryable, ..Default::default() };
            failure(FailureInfo::ApplicationFailureInfo(info))
        };
        let timeout = |kind: TimeoutType| {
            let info = TimeoutFailureInfo { timeout_type: kind as i32, ..Default::default() };
            failure(FailureInfo::TimeoutFailureInfo(info))
        };
        let wraps = Failure { cause: Some(Box::new(application("Fatal", true))), ..application("Mild", false) };
        let server = |non_retryable| failure(FailureInfo::ServerFailureInfo(ServerFailureInfo { non_retryable }));
        let cases = [
            (application("Mild", false), true),
            (application("Mild", true), false),
            (application("Fatal", false), false),
            (wraps, true),
            (server(false), true),
            (server(true), false),
            (timeout(TimeoutType::StartToClose), false),
            (timeout(TimeoutType::Heartbeat), true),
            (timeout(TimeoutType::ScheduleToStart), false),
            (timeout(TimeoutType::ScheduleToClose), false),
            (failure(FailureInfo::CanceledFailureInfo(CanceledFailureInfo::default())), false),
            (failure(FailureInfo::TerminatedFailureInfo(TerminatedFailureInfo::default())), false),
            (Failure::default(), true),
        ];
        for (given, expected) in cases {
            assert_eq!(is_retryable(Some(&given), &strict), expected, "{given:?}");
        }
        assert!(is_retryable(None, &strict));
    }
}

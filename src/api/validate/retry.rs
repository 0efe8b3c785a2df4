//! Retry policies (Temporal: common/retrypolicy/retry_policy.go).

use prost_types::Duration;
use proto::temporal::api::common::v1::RetryPolicy;
use statemachine::time::{duration, nanos_or_zero, SECOND};

use super::timeout::not_negative;
use super::{refuse, Checked};

const TIMEOUT_TYPE_PREFIX: &str = "TemporalTimeout:";
const TIMEOUT_TYPES: [&str; 5] = ["Unspecified", "StartToClose", "ScheduleToStart", "ScheduleToClose", "Heartbeat"];

/// Fills in the defaults of a policy that a caller gave, then checks it. No policy means no retry.
pub fn retry_policy(policy: &mut Option<RetryPolicy>) -> Checked {
    let Some(policy) = policy else { return Ok(()) };
    fill_in(policy);
    if policy.maximum_attempts == 1 {
        return Ok(());
    }
    not_negative(&mut policy.initial_interval)
        .map_err(|cause| refuse(format!("invalid InitialInterval set on retry policy: {cause}")))?;
    if policy.backoff_coefficient < 1.0 {
        return Err(refuse("BackoffCoefficient cannot be less than 1 on retry policy."));
    }
    not_negative(&mut policy.maximum_interval)
        .map_err(|cause| refuse(format!("invalid MaximumInterval set on retry policy: {cause}")))?;
    if nanos_or_zero(policy.maximum_interval.as_ref()) < nanos_or_zero(policy.initial_interval.as_ref()) {
        return Err(refuse("MaximumInterval cannot be less than InitialInterval on retry policy."));
    }
    if policy.maximum_attempts < 0 {
        return Err(refuse("MaximumAttempts cannot be negative on retry policy."));
    }
    for name in &policy.non_retryable_error_types {
        if let Some(kind) = name.strip_prefix(TIMEOUT_TYPE_PREFIX) {
            if !TIMEOUT_TYPES.contains(&kind) {
                return Err(refuse(format!("Invalid timeout type value: {kind}.")));
            }
        }
    }
    Ok(())
}

fn fill_in(policy: &mut RetryPolicy) {
    if is_zero(policy.initial_interval.as_ref()) {
        policy.initial_interval = Some(duration(SECOND));
    }
    if is_zero(policy.maximum_interval.as_ref()) {
        let initial = nanos_or_zero(policy.initial_interval.as_ref());
        policy.maximum_interval = Some(duration(initial.saturating_mul(100)));
    }
    if policy.backoff_coefficient == 0.0 {
        policy.backoff_coefficient = 2.0;
    }
}

fn is_zero(duration: Option<&Duration>) -> bool {
    nanos_or_zero(duration) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: i64) -> Option<Duration> {
        Some(Duration { seconds, nanos: 0 })
    }

    #[test]
    fn defaults_fill_what_is_unset() {
        let mut policy = Some(RetryPolicy { initial_interval: seconds(2), ..Default::default() });
        retry_policy(&mut policy).expect("valid");
        let policy = policy.expect("still there");
        assert_eq!(policy.maximum_interval, seconds(200));
        assert_eq!((policy.backoff_coefficient, policy.maximum_attempts), (2.0, 0));
    }

    #[test]
    fn refusals() {
        let empty = RetryPolicy::default;
        let types = |name: &str| vec![name.to_owned()];
        let cases = [
            (
                RetryPolicy { backoff_coefficient: 0.5, ..empty() },
                "BackoffCoefficient cannot be less than 1 on retry policy.",
            ),
            (
                RetryPolicy { initial_interval: seconds(-1), ..empty() },
                "invalid InitialInterval set on retry policy: negative duration",
            ),
            (
                RetryPolicy { maximum_interval: seconds(-1), ..empty() },
                "invalid MaximumInterval set on retry policy: negative duration",
            ),
            (
                RetryPolicy { initial_interval: seconds(10), maximum_interval: seconds(5), ..empty() },
                "MaximumInterval cannot be less than InitialInterval on retry policy.",
            ),
            (RetryPolicy { maximum_attempts: -1, ..empty() }, "MaximumAttempts cannot be negative on retry policy."),
            (
                RetryPolicy { non_retryable_error_types: types("TemporalTimeout:Bogus"), ..empty() },
                "Invalid timeout type value: Bogus.",
            ),
        ];
        for (policy, expected) in cases {
            let refused = retry_policy(&mut Some(policy)).expect_err(expected);
            assert_eq!(refused.message(), expected);
        }
    }

    #[test]
    fn a_single_attempt_hides_the_rest() {
        let mut policy = Some(RetryPolicy { maximum_attempts: 1, backoff_coefficient: 0.5, ..Default::default() });
        assert!(retry_policy(&mut policy).is_ok());
    }
}

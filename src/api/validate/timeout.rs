//! Durations that callers give.

use prost_types::Duration;
use statemachine::time::{SECOND, TIMEOUT_MAX};

use super::{refuse, Checked};

/// Checks a duration and cuts it to Temporal's longest. `Err` holds the cause only.
pub fn not_negative(duration: &mut Option<Duration>) -> Result<(), &'static str> {
    let Some(duration) = duration else { return Ok(()) };
    if duration.seconds < 0 || duration.nanos < 0 {
        return Err("negative duration");
    }
    if duration.seconds >= TIMEOUT_MAX / SECOND {
        *duration = Duration { seconds: TIMEOUT_MAX / SECOND, nanos: 0 };
    }
    Ok(())
}

/// `what` as in `An invalid WorkflowRunTimeoutSeconds is set on request.`
pub fn timeout(what: &str, duration: &mut Option<Duration>) -> Checked {
    not_negative(duration).map_err(|cause| refuse(format!("An invalid {what} is set on request. cause: {cause}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn negative_ones_are_refused_and_long_ones_cut() {
        let mut negative = Some(Duration { seconds: -1, nanos: 0 });
        let refused = timeout("WorkflowRunTimeoutSeconds", &mut negative).expect_err("negative");
        let text = "An invalid WorkflowRunTimeoutSeconds is set on request. cause: negative duration";
        assert_eq!(refused.message(), text);
        let mut long = Some(Duration { seconds: 31_536_000_000, nanos: 5 });
        timeout("WorkflowRunTimeoutSeconds", &mut long).expect("cut");
        assert_eq!(long, Some(Duration { seconds: 3_153_600_000, nanos: 0 }));
    }
}

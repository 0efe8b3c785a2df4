//! Every text a caller may see, as Temporal 1.31 words them (golden/expected/activity.*.json).

/// By token: the attempt is not the running one, or there is no such activity.
pub const NOT_RUNNING: &str = "invalid activityID or activity already timed out or invoking workflow is completed";
/// Pause, unpause, reset and update options.
pub const NOT_PENDING: &str =
    "Can't find pending activity with such ID. Invalid activityID or activity already completed";
pub const NO_TARGET: &str = "Either Activity.Id or Activity.Type should be set on request.";
pub const CANCEL_NOT_REQUESTED: &str =
    "unable to mark activity as canceled without activity being request canceled first";

pub const RESULT_TOO_LARGE: &str = "Complete result exceeds size limit.";
pub const HEARTBEAT_TOO_LARGE: &str = "Heartbeat details exceed size limit.";
pub const CANCEL_DETAILS_TOO_LARGE: &str = "Cancel details exceed size limit.";
pub const FAILURE_TOO_LARGE: &str = "Failure exceeds size limit.";
pub const INPUT_TOO_LARGE: &str = "ScheduleActivityTaskCommandAttributes.Input exceeds size limit.";
pub const NO_TIME_LEFT: &str =
    "Not enough time to schedule next retry before activity ScheduleToClose timeout, giving up retrying";
/// Details of an activity that was cancelled before a worker had it, as JSON.
pub const NOT_STARTED_DETAILS: &str = "\"ACTIVITY_ID_NOT_STARTED\"";

pub const OPTIONS_MISSING: &str = "ActivityOptions are not provided";
pub const MASK_MISSING: &str = "UpdateMask is not provided";
pub const MASK_AND_RESTORE: &str = "Both UpdateMask and RestoreOriginal are provided";
pub const QUEUE_MISSING: &str = "TaskQueue is not provided";
pub const POLICY_MISSING: &str = "RetryPolicy is not provided";
pub const PRIORITY_MISSING: &str = "Priority is not provided";

/// By id: no pending activity has it.
pub fn unknown_id(activity_id: &str) -> String {
    format!(
        "cannot find pending activity with ActivityID {activity_id}, check workflow execution history for more details"
    )
}

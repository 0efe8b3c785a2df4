//! The two requests that start workflows.

use prost_types::Duration;
use proto::temporal::api::common::v1::TimeSkippingConfig;
use proto::temporal::api::taskqueue::v1::TaskQueue;
use proto::temporal::api::workflow::v1::VersioningOverride;
use proto::temporal::api::workflowservice::v1::{
    SignalWithStartWorkflowExecutionRequest, StartWorkflowExecutionRequest,
};
use statemachine::workflow::options;

use super::{
    blob, callbacks, cron_schedule, length, links, memo, priority, refuse, request_id, retry_policy, set_and_short,
    signal_with_start_policies, start_policies, start_task_queue, timeout, Checked,
};
use crate::config::{Callbacks, Limits};

/// Search attributes are checked apart, by `search_attributes`, which knows the namespace.
pub fn start(request: &mut StartWorkflowExecutionRequest, limits: &Limits, allowed: &Callbacks) -> Checked {
    set_and_short("WorkflowId", &request.workflow_id)?;
    retry_policy(&mut request.retry_policy)?;
    start_delay(&request.cron_schedule, &mut request.workflow_start_delay)?;
    cron_schedule(&request.cron_schedule)?;
    let workflow_type = request.workflow_type.as_ref().map(|kind| kind.name.as_str());
    set_and_short("WorkflowType", workflow_type.unwrap_or_default())?;
    start_task_queue(&mut request.task_queue)?;
    timeout("WorkflowExecutionTimeoutSeconds", &mut request.workflow_execution_timeout)?;
    timeout("WorkflowRunTimeoutSeconds", &mut request.workflow_run_timeout)?;
    timeout("WorkflowTaskTimeoutSeconds", &mut request.workflow_task_timeout)?;
    length("Identity", &request.identity)?;
    request_id(&mut request.request_id)?;
    start_policies(&mut request.workflow_id_reuse_policy, &mut request.workflow_id_conflict_policy)?;
    if request
        .on_conflict_options
        .is_some_and(|options| options.attach_completion_callbacks && !options.attach_request_id)
    {
        return Err(refuse("attaching request ID is required for attaching completion callbacks"));
    }
    priority(request.priority.as_ref())?;
    callbacks(&mut request.completion_callbacks, &allowed.allowed_addresses)?;
    let of_callbacks: Vec<_> = request.completion_callbacks.iter().flat_map(|callback| &callback.links).collect();
    request.links.retain(|link| !of_callbacks.contains(&link));
    links(request.links.iter().chain(of_callbacks), limits)?;
    no_time_skipping(request.time_skipping_config.as_ref())?;
    blob(request.input.as_ref(), limits)?;
    blob(request.header.as_ref(), limits)?;
    blob(request.last_completion_result.as_ref(), limits)?;
    blob(request.continued_failure.as_ref(), limits)?;
    memo(request.memo.as_ref(), limits)?;
    pinned(request.versioning_override.as_ref(), request.task_queue.as_ref())
}

pub fn signal_with_start(request: &mut SignalWithStartWorkflowExecutionRequest, limits: &Limits) -> Checked {
    set_and_short("WorkflowId", &request.workflow_id)?;
    set_and_short("SignalName", &request.signal_name)?;
    let workflow_type = request.workflow_type.as_ref().map(|kind| kind.name.as_str());
    set_and_short("WorkflowType", workflow_type.unwrap_or_default())?;
    start_task_queue(&mut request.task_queue)?;
    request_id(&mut request.request_id)?;
    timeout("WorkflowExecutionTimeoutSeconds", &mut request.workflow_execution_timeout)?;
    timeout("WorkflowRunTimeoutSeconds", &mut request.workflow_run_timeout)?;
    timeout("WorkflowTaskTimeoutSeconds", &mut request.workflow_task_timeout)?;
    signal_with_start_policies(&mut request.workflow_id_reuse_policy, &mut request.workflow_id_conflict_policy)?;
    retry_policy(&mut request.retry_policy)?;
    start_delay(&request.cron_schedule, &mut request.workflow_start_delay)?;
    cron_schedule(&request.cron_schedule)?;
    length("Identity", &request.identity)?;
    priority(request.priority.as_ref())?;
    links(&request.links, limits)?;
    no_time_skipping(request.time_skipping_config.as_ref())?;
    blob(request.input.as_ref(), limits)?;
    blob(request.signal_input.as_ref(), limits)?;
    blob(request.header.as_ref(), limits)?;
    memo(request.memo.as_ref(), limits)?;
    pinned(request.versioning_override.as_ref(), request.task_queue.as_ref())
}

/// Temporal 1.31.2 does not know the field either; it drops it.
fn no_time_skipping(sent: Option<&TimeSkippingConfig>) -> Checked {
    if sent.is_some() {
        return Err(refuse("time skipping is not supported"));
    }
    Ok(())
}

fn pinned(wanted: Option<&VersioningOverride>, queue: Option<&TaskQueue>) -> Checked {
    options::check_version(wanted, queue.map(|queue| queue.name.as_str()).unwrap_or_default())
}

fn start_delay(cron: &str, delay: &mut Option<Duration>) -> Checked {
    if !cron.is_empty() && delay.is_some() {
        return Err(refuse("CronSchedule and WorkflowStartDelay may not be used together."));
    }
    timeout("WorkflowStartDelaySeconds", delay)
}

#[cfg(test)]
mod tests {
    use proto::temporal::api::common::v1::{Payload, Payloads, WorkflowType};
    use proto::temporal::api::deployment::v1::WorkerDeploymentVersion;
    use proto::temporal::api::workflow::v1::versioning_override::{Override, PinnedOverride};
    use proto::temporal::api::workflow::v1::OnConflictOptions;

    use super::*;

    fn valid() -> StartWorkflowExecutionRequest {
        StartWorkflowExecutionRequest {
            workflow_id: "w".into(),
            workflow_type: Some(WorkflowType { name: "T".into() }),
            task_queue: Some(TaskQueue { name: "q".into(), ..Default::default() }),
            ..Default::default()
        }
    }

    fn refusal(change: impl FnOnce(&mut StartWorkflowExecutionRequest)) -> String {
        let mut request = valid();
        change(&mut request);
        let checked = start(&mut request, &Limits::default(), &Callbacks::default());
        checked.map_or_else(|reject| reject.message().to_owned(), |()| "ok".into())
    }

    #[test]
    fn a_minimal_start_is_valid() {
        assert_eq!(refusal(|_| ()), "ok");
    }

    #[test]
    fn fields_that_are_missing_or_too_long() {
        let long = "x".repeat(1001);
        assert_eq!(refusal(|r| r.workflow_id.clear()), "WorkflowId is not set on request.");
        assert_eq!(refusal(|r| r.workflow_id = long.clone()), "WorkflowId length exceeds limit.");
        assert_eq!(refusal(|r| r.workflow_type = None), "WorkflowType is not set on request.");
        let named = |name: &str| Some(WorkflowType { name: name.into() });
        assert_eq!(refusal(|r| r.workflow_type = named("")), "WorkflowType is not set on request.");
        assert_eq!(refusal(|r| r.workflow_type = named(&long)), "WorkflowType length exceeds limit.");
        assert_eq!(refusal(|r| r.request_id = long.clone()), "RequestId length exceeds limit.");
    }

    #[test]
    fn what_does_not_go_together() {
        let second = Some(Duration { seconds: 1, nanos: 0 });
        let both = refusal(|r| {
            r.cron_schedule = "* * * * *".into();
            r.workflow_start_delay = second;
        });
        assert_eq!(both, "CronSchedule and WorkflowStartDelay may not be used together.");
        let attached = OnConflictOptions { attach_completion_callbacks: true, ..Default::default() };
        let text = "attaching request ID is required for attaching completion callbacks";
        assert_eq!(refusal(|r| r.on_conflict_options = Some(attached)), text);
    }

    #[test]
    fn a_version_that_no_queue_has() {
        let version = WorkerDeploymentVersion { deployment_name: "d".into(), build_id: "1".into() };
        let pin = PinnedOverride { version: Some(version), ..Default::default() };
        let wanted = VersioningOverride { r#override: Some(Override::Pinned(pin)), ..Default::default() };
        let text = "Pinned version 'd:1' is not present in task queue 'q' of type 'Workflow'";
        assert_eq!(refusal(|r| r.versioning_override = Some(wanted)), text);
        let upgrade = VersioningOverride { r#override: Some(Override::AutoUpgrade(true)), ..Default::default() };
        assert_eq!(refusal(|r| r.versioning_override = Some(upgrade)), "ok");
    }

    #[test]
    fn time_is_not_skipped() {
        let skipping = Some(Default::default());
        assert_eq!(refusal(|r| r.time_skipping_config = skipping), "time skipping is not supported");
    }

    #[test]
    fn what_is_too_big() {
        let big = Payloads { payloads: vec![Payload { data: vec![0; 2 << 20].into(), ..Default::default() }] };
        assert_eq!(refusal(|r| r.input = Some(big)), "Blob data size exceeds limit.");
    }
}

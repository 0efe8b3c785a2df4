//! What scripts say about resets, pauses and options.

use proto::temporal::api::common::v1::{Priority, WorkflowExecution};
use proto::temporal::api::enums::v1::{ResetReapplyExcludeType, ResetReapplyType};
use proto::temporal::api::workflow::v1::{
    post_reset_operation, versioning_override, PostResetOperation, VersioningOverride, WorkflowExecutionOptions,
};
use proto::temporal::api::workflowservice::v1::{
    PauseWorkflowExecutionRequest, ResetWorkflowExecutionRequest, UnpauseWorkflowExecutionRequest,
    UpdateWorkflowExecutionOptionsRequest,
};

use super::script::{Script, Words};
use crate::op::{self, op::Kind};

/// `reset 4 request=r run=2 exclude=signals,updates older=none`; run: which run of the workflow id, from 1, the latest
/// without it. `then=signal:s`, `then=priority:5`: what is to follow.
#[expect(deprecated, reason = "clients still send the older setting")]
pub(super) fn reset(script: &mut Script, words: &Words<'_>) {
    let workflow_id = words.get("wf", "w");
    let run_id = match words.get("run", "") {
        "" => String::new(),
        number => script.harness.nth_run(workflow_id, number.parse().expect("a number")),
    };
    let exclude = words.get("exclude", "").split(',').filter_map(|name| match name {
        "signals" => Some(ResetReapplyExcludeType::Signal as i32),
        "updates" => Some(ResetReapplyExcludeType::Update as i32),
        _ => None,
    });
    let older = match words.get("older", "") {
        "none" => ResetReapplyType::None,
        "signals" => ResetReapplyType::Signal,
        _ => ResetReapplyType::Unspecified,
    };
    let default_id = format!("reset-{}", script.said());
    let request = ResetWorkflowExecutionRequest {
        workflow_execution: Some(WorkflowExecution { workflow_id: workflow_id.into(), run_id }),
        reason: "again".into(),
        workflow_task_finish_event_id: words.pairs.first().and_then(|pair| pair.0.parse().ok()).unwrap_or_default(),
        request_id: words.get("request", &default_id).into(),
        reset_reapply_type: older as i32,
        reset_reapply_exclude_types: exclude.collect(),
        identity: "resetter".into(),
        post_reset_operations: words
            .pairs
            .iter()
            .filter(|(key, _)| *key == "then")
            .map(|(_, what)| then(what))
            .collect(),
        ..Default::default()
    };
    let namespace = Some(script.harness.namespace.clone());
    script.propose(Kind::ResetWorkflow(op::ResetWorkflow { namespace, request: Some(request) }));
}

/// `signal:name`, `priority:5`, `nothing`.
fn then(what: &str) -> PostResetOperation {
    let (kind, value) = what.split_once(':').unwrap_or((what, ""));
    let variant = match kind {
        "signal" => Some(post_reset_operation::Variant::SignalWorkflow(post_reset_operation::SignalWorkflow {
            signal_name: value.into(),
            ..Default::default()
        })),
        "priority" => {
            let priority = Priority { priority_key: value.parse().expect("a number"), ..Default::default() };
            let options = WorkflowExecutionOptions { priority: Some(priority), ..Default::default() };
            Some(post_reset_operation::Variant::UpdateWorkflowOptions(post_reset_operation::UpdateWorkflowOptions {
                workflow_execution_options: Some(options),
                update_mask: Some(prost_types::FieldMask { paths: vec!["priority".into()] }),
            }))
        }
        _ => None,
    };
    PostResetOperation { variant }
}

pub(super) fn pause(script: &mut Script, words: &Words<'_>) {
    let request = PauseWorkflowExecutionRequest {
        workflow_id: words.get("wf", "w").into(),
        reason: "maintenance".into(),
        request_id: words.get("request", "pause").into(),
        ..Default::default()
    };
    let namespace = Some(script.harness.namespace.clone());
    script.propose(Kind::PauseWorkflow(op::PauseWorkflow { namespace, request: Some(request) }));
}

pub(super) fn unpause(script: &mut Script, words: &Words<'_>) {
    let request = UnpauseWorkflowExecutionRequest {
        workflow_id: words.get("wf", "w").into(),
        request_id: words.get("request", "unpause").into(),
        ..Default::default()
    };
    let namespace = Some(script.harness.namespace.clone());
    script.propose(Kind::UnpauseWorkflow(op::UnpauseWorkflow { namespace, request: Some(request) }));
}

/// `options mask=priority,versioning_override priority=5 fairness=key auto-upgrade`.
pub(super) fn options(script: &mut Script, words: &Words<'_>) {
    let priority = Priority {
        priority_key: words.get("priority", "0").parse().expect("a number"),
        fairness_key: words.get("fairness", "").into(),
        ..Default::default()
    };
    let upgrade = words.pairs.iter().any(|(key, _)| *key == "auto-upgrade");
    let given = WorkflowExecutionOptions {
        priority: (priority != Priority::default()).then_some(priority),
        versioning_override: upgrade.then(|| VersioningOverride {
            r#override: Some(versioning_override::Override::AutoUpgrade(true)),
            ..Default::default()
        }),
        ..Default::default()
    };
    let paths = words.get("mask", "").split(',').filter(|path| !path.is_empty()).map(str::to_owned).collect();
    let request = UpdateWorkflowExecutionOptionsRequest {
        workflow_execution: Script::execution(words),
        workflow_execution_options: Some(given),
        update_mask: Some(prost_types::FieldMask { paths }),
        ..Default::default()
    };
    let namespace = Some(script.harness.namespace.clone());
    script.propose(Kind::UpdateWorkflowOptions(op::UpdateWorkflowOptions { namespace, request: Some(request) }));
}

//! Changing a running workflow's options: its priority, and the override of its versioning.

use proto::temporal::api::common::v1::Priority;
use proto::temporal::api::enums::v1::VersioningBehavior;
use proto::temporal::api::history::v1::history_event::Attributes;
use proto::temporal::api::history::v1::WorkflowExecutionOptionsUpdatedEventAttributes;
use proto::temporal::api::workflow::v1::{versioning_override, VersioningOverride, WorkflowExecutionOptions};

use super::run::Extras;
use super::{close, task, Run};
use crate::op::{answer, UpdateWorkflowOptions, UpdateWorkflowOptionsAnswer};
use crate::reject::Decided;
use crate::{activity, Context, Fault, Reject};

const OPTIONS_MESSAGE: &str = "temporal.api.workflow.v1.WorkflowExecutionOptions";

pub fn decide(ctx: &mut Context<'_, '_>, op: &UpdateWorkflowOptions) -> Decided<answer::Kind> {
    let namespace = op.namespace.as_ref().ok_or_else(|| Fault::corrupt("options op", "no namespace"))?;
    let request = op.request.as_ref().ok_or_else(|| Fault::corrupt("options op", "no request"))?;
    let execution = request.workflow_execution.clone().unwrap_or_default();
    let mut run = Run::load(ctx, &namespace.id, &execution.workflow_id, &execution.run_id)?;
    let again = run.seen_before(&ctx.op_id);
    if !again {
        run.require_open()?;
    }
    let given = request.workflow_execution_options.clone().unwrap_or_default();
    let paths = request.update_mask.as_ref().map(|mask| mask.paths.as_slice()).unwrap_or_default();
    let changed = !again && change(ctx, &mut run, &given, paths, &request.identity)?;
    let options = Some(in_force(&run));
    if changed {
        close::enforce_buffer_limits(ctx, &mut run)?;
        run.finish(ctx)?;
    }
    Ok(answer::Kind::UpdateWorkflowOptions(UpdateWorkflowOptionsAnswer { options }))
}

/// The first path of a mask that names no option, as Temporal refuses it.
pub fn check_mask(paths: &[String]) -> Result<(), Reject> {
    let mut options = WorkflowExecutionOptions::default();
    for path in paths {
        if !take(&mut options, &WorkflowExecutionOptions::default(), path) {
            return Err(Reject::invalid_argument(format!(
                "error parsing UpdateMask: proto: invalid path \"{path}\" for message \"{OPTIONS_MESSAGE}\""
            )));
        }
    }
    Ok(())
}

/// Takes over what the mask names, with an event if that changes anything.
pub fn change(
    ctx: &mut Context<'_, '_>,
    run: &mut Run,
    given: &WorkflowExecutionOptions,
    paths: &[String],
    identity: &str,
) -> Decided<bool> {
    check_mask(paths)?;
    let before = in_force(run);
    let mut wanted = before.clone();
    for path in paths {
        take(&mut wanted, given, path);
    }
    if wanted == before {
        return Ok(false);
    }
    check_version(wanted.versioning_override.as_ref(), &run.row.task_queue)?;
    let updated = WorkflowExecutionOptionsUpdatedEventAttributes {
        unset_versioning_override: wanted.versioning_override.is_none(),
        versioning_override: wanted.versioning_override,
        identity: identity.into(),
        priority: wanted.priority,
        ..Default::default()
    };
    // Ready tasks stand where their priority puts them.
    task::withhold(ctx, run);
    activity::withhold_all(ctx, run)?;
    run.record(ctx, Attributes::WorkflowExecutionOptionsUpdatedEventAttributes(updated), Extras::default())?;
    task::hand_out(ctx, run);
    activity::hand_out_all(ctx, run)?;
    Ok(true)
}

/// Copies one option; false if there is none of this name.
fn take(to: &mut WorkflowExecutionOptions, from: &WorkflowExecutionOptions, path: &str) -> bool {
    let given = from.priority.clone().unwrap_or_default();
    let priority = |to: &mut WorkflowExecutionOptions, change: &dyn Fn(&mut Priority)| {
        let mut priority = to.priority.take().unwrap_or_default();
        change(&mut priority);
        to.priority = (priority != Priority::default()).then_some(priority);
    };
    match path {
        "versioning_override" => to.versioning_override.clone_from(&from.versioning_override),
        "priority" => to.priority.clone_from(&from.priority),
        "priority.priority_key" => priority(to, &|to| to.priority_key = given.priority_key),
        "priority.fairness_key" => priority(to, &|to| to.fairness_key.clone_from(&given.fairness_key)),
        "priority.fairness_weight" => priority(to, &|to| to.fairness_weight = given.fairness_weight),
        _ => return false,
    }
    true
}

/// There are no worker deployments, so no queue has a version to pin to.
#[expect(deprecated, reason = "clients still send the older form of a pin")]
pub fn check_version(wanted: Option<&VersioningOverride>, queue: &str) -> Result<(), Reject> {
    let pinned = wanted.and_then(|wanted| match &wanted.r#override {
        Some(versioning_override::Override::Pinned(pinned)) => pinned.version.clone(),
        Some(versioning_override::Override::OneTime(once)) => once.target_deployment_version.clone(),
        Some(versioning_override::Override::AutoUpgrade(_)) | None => None,
    });
    let name = match (pinned, wanted.map(|wanted| wanted.pinned_version.as_str()).unwrap_or_default()) {
        (Some(version), _) => format!("{}:{}", version.deployment_name, version.build_id),
        (None, "") => return Ok(()),
        (None, older) => older.to_owned(),
    };
    let text = format!("Pinned version '{name}' is not present in task queue '{queue}' of type 'Workflow'");
    Err(Reject::failed_precondition(text))
}

#[expect(deprecated, reason = "Describe shows the older fields, which callers do not send")]
fn in_force(run: &Run) -> WorkflowExecutionOptions {
    let versioning = run.row.versioning.as_ref().and_then(|info| info.versioning_override.clone());
    WorkflowExecutionOptions {
        versioning_override: versioning
            .map(|shown| VersioningOverride { behavior: VersioningBehavior::Unspecified as i32, ..shown }),
        priority: run.row.priority.clone(),
        ..Default::default()
    }
}

/// What the event changes.
#[expect(deprecated, reason = "Describe shows the older fields as well")]
pub fn evolve(run: &mut Run, a: &WorkflowExecutionOptionsUpdatedEventAttributes) {
    if let Some(wanted) = &a.versioning_override {
        let behavior = match &wanted.r#override {
            Some(versioning_override::Override::AutoUpgrade(true)) => VersioningBehavior::AutoUpgrade as i32,
            _ => wanted.behavior,
        };
        let shown = VersioningOverride { behavior, ..wanted.clone() };
        run.row.versioning.get_or_insert_default().versioning_override = Some(shown);
    }
    if a.unset_versioning_override {
        if let Some(versioning) = run.row.versioning.as_mut() {
            versioning.versioning_override = None;
        }
    }
    // A change of options says one or the other of the override, an attached request neither.
    if a.unset_versioning_override || a.versioning_override.is_some() {
        run.row.priority.clone_from(&a.priority);
    }
}

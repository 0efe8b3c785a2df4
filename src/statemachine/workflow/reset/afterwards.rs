//! What a reset's request asks to be done with the new run before its first task: signals, changes of its options, in
//! the order given.

use proto::temporal::api::history::v1::WorkflowExecutionSignaledEventAttributes;
use proto::temporal::api::workflow::v1::post_reset_operation::Variant;
use proto::temporal::api::workflowservice::v1::ResetWorkflowExecutionRequest;

use crate::reject::Decided;
use crate::workflow::run::Extras;
use crate::workflow::{options, signal, Run};
use crate::Context;

pub fn all(ctx: &mut Context<'_, '_>, run: &mut Run, request: &ResetWorkflowExecutionRequest) -> Decided<()> {
    for variant in request.post_reset_operations.iter().filter_map(|operation| operation.variant.as_ref()) {
        match variant {
            Variant::UpdateWorkflowOptions(wanted) => {
                let given = wanted.workflow_execution_options.clone().unwrap_or_default();
                let paths = wanted.update_mask.as_ref().map(|mask| mask.paths.as_slice()).unwrap_or_default();
                options::change(ctx, run, &given, paths, &request.identity)?;
            }
            Variant::SignalWorkflow(wanted) => {
                let signaled = WorkflowExecutionSignaledEventAttributes {
                    signal_name: wanted.signal_name.clone(),
                    input: wanted.input.clone(),
                    identity: request.identity.clone(),
                    header: wanted.header.clone(),
                    ..Default::default()
                };
                let extras = Extras { links: wanted.links.clone(), ..Default::default() };
                signal::receive(ctx, run, signaled, extras)?;
            }
        }
    }
    Ok(())
}

//! Operations of the core that clients ask for, and how their effect is read.

use proto::temporal::api::common::v1::{WorkflowExecution, WorkflowType};
use proto::temporal::api::history::v1::history_event::Attributes;
use proto::temporal::api::taskqueue::v1::TaskQueue;
use proto::temporal::api::workflowservice::v1::{
    SignalWithStartWorkflowExecutionRequest, SignalWorkflowExecutionRequest,
};
use statemachine::op::{self, op::Kind, NamespaceFacts};
use statemachine::time::DAY;
use statemachine::workflow::run;
use statemachine::{tables, Fault, Kv};

pub use statemachine::testing::harness::START;

const NAMESPACE_ID: &str = "aaaaaaaa-0000-4000-8000-000000000001";

fn namespace() -> Option<NamespaceFacts> {
    Some(NamespaceFacts { id: NAMESPACE_ID.into(), name: "default".into(), retention: DAY, ..Default::default() })
}

pub fn workflow_id(number: u64) -> String {
    format!("w{number}")
}

/// A signal to a workflow that is there.
pub fn signal(workflow_id: &str, name: &str) -> op::Op {
    let request = SignalWorkflowExecutionRequest {
        workflow_execution: Some(WorkflowExecution { workflow_id: workflow_id.into(), ..Default::default() }),
        signal_name: name.into(),
        request_id: name.into(),
        ..Default::default()
    };
    let signal = op::SignalWorkflow { namespace: namespace(), request: Some(request) };
    op::Op { kind: Some(Kind::SignalWorkflow(signal)) }
}

/// A signal that starts its workflow if need be.
pub fn signal_with_start(workflow_id: &str, name: &str) -> op::Op {
    let request = SignalWithStartWorkflowExecutionRequest {
        namespace: "default".into(),
        workflow_id: workflow_id.into(),
        workflow_type: Some(WorkflowType { name: "T".into() }),
        task_queue: Some(TaskQueue { name: "q".into(), ..Default::default() }),
        signal_name: name.into(),
        request_id: name.into(),
        ..Default::default()
    };
    let signal = op::SignalWithStart { namespace: namespace(), request: Some(request) };
    op::Op { kind: Some(Kind::SignalWithStart(signal)) }
}

/// The names of a workflow's signals, in the order of its history; none if it has not started.
pub fn signals(kv: &dyn Kv, workflow_id: &str) -> Result<Vec<String>, Fault> {
    let Some(run) = run::find(kv, NAMESPACE_ID, workflow_id, "")? else { return Ok(Vec::new()) };
    let mut names = Vec::new();
    for batch in tables::read_batches(kv, run.key, 1, i64::MAX, usize::MAX)? {
        names.extend(batch.events()?.into_iter().filter_map(|event| match event.attributes {
            Some(Attributes::WorkflowExecutionSignaledEventAttributes(signaled)) => Some(signaled.signal_name),
            _ => None,
        }));
    }
    Ok(names)
}

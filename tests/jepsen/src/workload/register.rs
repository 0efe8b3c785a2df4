//! Workload `register`: few workflow ids, several processes that start, describe and terminate them at once.

use std::sync::Arc;
use std::time::Duration;

use proto::temporal::api::enums::v1::WorkflowExecutionStatus;
use proto::temporal::api::workflowservice::v1::{
    DescribeWorkflowExecutionRequest, DescribeWorkflowExecutionResponse, StartWorkflowExecutionResponse,
    TerminateWorkflowExecutionRequest,
};
use rand::Rng;
use serde_json::{json, Value};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::session::{start_request, Tasks};
use super::{Context, Session};
use crate::client::{self, NAMESPACE};
use crate::history::Outcome;

const PROCESSES_EACH_NODE: usize = 2;
const KEYS: u64 = 4;
/// A key is used for so long: unknown operations make the search for an order long.
const EPOCH: Duration = Duration::from_secs(15);
const BETWEEN: Duration = Duration::from_millis(90);

pub fn start(context: &Arc<Context>, clients: &mut JoinSet<()>) {
    for &node in &context.nodes {
        for _ in 0..PROCESSES_EACH_NODE {
            clients.spawn(run(Session::new(context, "register", node)));
        }
    }
}

async fn run(mut session: Session) {
    while session.context.pause(BETWEEN.mul_f64(session.random.random_range(0.5..1.5))).await {
        let epoch = session.context.recorder.now() / u64::try_from(EPOCH.as_nanos()).unwrap_or(u64::MAX);
        let key = format!("register-{epoch}-{}", session.random.random_range(0..KEYS));
        match session.random.random_range(0..10) {
            0..4 => start_one(&session, &key).await,
            4..8 => describe(&session, &key).await,
            _ => terminate(&session, &key).await,
        }
    }
}

/// An unknown start is sent once more, the same request, by the same process: it must give the same run.
async fn start_one(session: &Session, key: &str) {
    let request = start_request("Register", key, Tasks::ToNobody, &Value::Null, &Uuid::new_v4().to_string());
    for tried in 0..2 {
        let request = request.clone();
        let input = json!({ "request": request.request_id });
        let output = |answer: &StartWorkflowExecutionResponse| json!({ "run": answer.run_id });
        let call = |mut client: client::Client| async move { client.start_workflow_execution(request).await };
        match session.once(tried, "start", key, input, output, call).await {
            Ok(answer) => return session.context.remember("register", key, &answer.run_id),
            Err(status) if client::outcome_of(&status) == Outcome::Info => {}
            Err(status) => {
                if let Some(run) = client::found_run(&status) {
                    session.context.remember("register", key, &run);
                }
                return;
            }
        }
    }
}

async fn describe(session: &Session, key: &str) {
    let request = DescribeWorkflowExecutionRequest { namespace: NAMESPACE.into(), execution: client::execution(key) };
    let output = |answer: &DescribeWorkflowExecutionResponse| {
        let info = answer.workflow_execution_info.clone().unwrap_or_default();
        let open = info.status == WorkflowExecutionStatus::Running as i32;
        json!({ "run": info.execution.unwrap_or_default().run_id, "open": open })
    };
    let call = |mut client: client::Client| async move { client.describe_workflow_execution(request).await };
    let seen = session.once(0, "describe", key, Value::Null, output, call).await;
    let info = seen.ok().and_then(|answer| answer.workflow_execution_info);
    if let Some(run) = info.and_then(|info| info.execution) {
        session.context.remember("register", key, &run.run_id);
    }
}

async fn terminate(session: &Session, key: &str) {
    let request = TerminateWorkflowExecutionRequest {
        namespace: NAMESPACE.into(),
        workflow_execution: client::execution(key),
        // In the last event, from where checkers know which call ended the run.
        identity: Uuid::new_v4().to_string(),
        ..TerminateWorkflowExecutionRequest::default()
    };
    let input = json!({ "request": request.identity });
    let call = |mut client: client::Client| async move { client.terminate_workflow_execution(request).await };
    let _recorded = session.once(0, "terminate", key, input, |_| Value::Null, call).await;
}

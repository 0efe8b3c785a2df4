//! Workload `updates`: updates with ids of their own, each sent until its outcome is known.

use std::sync::Arc;
use std::time::Duration;

use proto::temporal::api::enums::v1::UpdateWorkflowExecutionLifecycleStage as Stage;
use proto::temporal::api::update::v1::{outcome, Input, Meta, Request, WaitPolicy};
use proto::temporal::api::workflowservice::v1::{UpdateWorkflowExecutionRequest, UpdateWorkflowExecutionResponse};
use serde_json::{json, Value};
use tokio::task::JoinSet;
use tonic::{Response, Status};

use super::session::Tasks;
use super::{Context, Session};
use crate::client::{self, Client, NAMESPACE};
use crate::worker::DONE;

const BETWEEN: Duration = Duration::from_millis(400);
const UPDATES: u32 = 80;

pub fn start(context: &Arc<Context>, clients: &mut JoinSet<()>) {
    for &node in &context.nodes {
        clients.spawn(run(Session::new(context, "updates", node)));
    }
}

async fn run(session: Session) {
    for epoch in 0.. {
        if session.context.stop.is_cancelled() {
            return;
        }
        let key = format!("updates-{}-{epoch}", session.process);
        let Some(run_id) = session.start("Updates", &key, Tasks::ToWorkers, &Value::Null).await else { continue };
        for number in 0..UPDATES {
            if !session.context.pause(BETWEEN).await {
                break;
            }
            update(&session, &key, &run_id, number).await;
        }
        let _recorded = session.signal(&key, DONE, &Value::Null).await;
    }
}

async fn update(session: &Session, key: &str, run_id: &str, number: u32) {
    let id = format!("update-{number}");
    let value = json!({ "update": id });
    let request = UpdateWorkflowExecutionRequest {
        namespace: NAMESPACE.into(),
        workflow_execution: client::run_of(key, run_id),
        wait_policy: Some(WaitPolicy { lifecycle_stage: Stage::Completed as i32 }),
        request: Some(Request {
            meta: Some(Meta { update_id: id.clone(), identity: "jep".into() }),
            input: Some(Input { header: None, name: "echo".into(), args: client::payloads(&value) }),
            ..Request::default()
        }),
        ..UpdateWorkflowExecutionRequest::default()
    };
    let output = |answer: &UpdateWorkflowExecutionResponse| json!({ "result": result(answer) });
    let call = |client| completed(client, request.clone());
    let _recorded = session.until_known("update", key, value.clone(), output, call).await;
}

/// An answer without an outcome says no more than that the update is under way: unknown, to be asked again.
async fn completed(
    mut client: Client,
    request: UpdateWorkflowExecutionRequest,
) -> Result<Response<UpdateWorkflowExecutionResponse>, Status> {
    let answer = client.update_workflow_execution(request).await?;
    match answer.get_ref().outcome {
        Some(_) => Ok(answer),
        None => Err(Status::deadline_exceeded("not completed yet")),
    }
}

fn result(answer: &UpdateWorkflowExecutionResponse) -> Value {
    match answer.outcome.as_ref().and_then(|outcome| outcome.value.as_ref()) {
        Some(outcome::Value::Success(payloads)) => client::value_in(Some(payloads)),
        Some(outcome::Value::Failure(failure)) => json!({ "failure": failure.message }),
        None => Value::Null,
    }
}

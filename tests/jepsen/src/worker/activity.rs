//! Runs activities, as badly as real workers do: some attempts are answered twice at once with different results through
//! two nodes, some fail, some are never answered. Every answer is recorded (workload `steps`).

use std::sync::Arc;
use std::time::Duration;

use proto::temporal::api::failure::v1::{failure::FailureInfo, ApplicationFailureInfo, Failure};
use proto::temporal::api::workflowservice::v1::{
    PollActivityTaskQueueRequest, PollActivityTaskQueueResponse, RespondActivityTaskCompletedRequest,
    RespondActivityTaskFailedRequest,
};
use rand::Rng;
use serde_json::{json, Value};

use super::{ANSWER, PAUSE, POLL};
use crate::client::{self, Ask, Client, NAMESPACE};
use crate::workload::Context;

pub async fn run(context: Arc<Context>, node: u64) {
    let mut polling = client::connect(&context.cluster, node, POLL);
    let everybody = context.clients(ANSWER);
    loop {
        let poll = PollActivityTaskQueueRequest {
            namespace: NAMESPACE.into(),
            task_queue: client::queue(),
            identity: format!("jep-{node}"),
            ..PollActivityTaskQueueRequest::default()
        };
        match polling.poll_activity_task_queue(poll).await {
            Ok(task) if !task.get_ref().task_token.is_empty() => {
                // After many replacements most nodes of a run are gone for good.
                let members = context.cluster.ids();
                let clients: Vec<_> = everybody.iter().filter(|(node, _)| members.contains(node)).collect();
                answer(&context, &clients, &task.into_inner()).await;
            }
            Ok(_) => {}
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

async fn answer(context: &Arc<Context>, clients: &[&(u64, Client)], task: &PollActivityTaskQueueResponse) {
    let chance = rand::rng().random_range(0..100);
    let first = rand::rng().random_range(0..clients.len());
    match chance {
        0..4 => {} // A worker that died.
        4..12 => fail(context, clients[first], task).await,
        12..40 => {
            let second = clients[(first + 1) % clients.len()];
            tokio::join!(complete(context, clients[first], task, 0), complete(context, second, task, 1));
        }
        _ => {
            let work = rand::rng().random_range(0..30);
            tokio::time::sleep(Duration::from_millis(work)).await;
            complete(context, clients[first], task, 0).await;
        }
    }
}

/// The attempt, and a result that no other answer has.
fn input(task: &PollActivityTaskQueueResponse, result: &str) -> Value {
    let run = task.workflow_execution.clone().unwrap_or_default().run_id;
    json!({ "run": run, "activity": task.activity_id, "attempt": task.attempt, "result": result })
}

fn ask<'a>(
    context: &Context,
    node: u64,
    f: &'a str,
    task: &'a PollActivityTaskQueueResponse,
    number: u32,
    result: &str,
) -> Ask<'a> {
    let key = task.workflow_execution.as_ref().map_or("", |execution| execution.workflow_id.as_str());
    let process = context.worker_process(node) * 2 + number;
    Ask { workload: "steps", process, node, f, key, input: input(task, result) }
}

async fn complete(context: &Arc<Context>, to: &(u64, Client), task: &PollActivityTaskQueueResponse, number: u32) {
    let result = format!("result-{}", context.recorder.id());
    let mut client = to.1.clone();
    let request = RespondActivityTaskCompletedRequest {
        namespace: NAMESPACE.into(),
        task_token: task.task_token.clone(),
        result: client::payloads(&json!(result)),
        ..RespondActivityTaskCompletedRequest::default()
    };
    let ask = ask(context, to.0, "complete", task, number, &result);
    let answering = async move { client.respond_activity_task_completed(request).await };
    let _recorded = client::call(&context.recorder, ask, answering, |_| Value::Null).await;
}

async fn fail(context: &Arc<Context>, to: &(u64, Client), task: &PollActivityTaskQueueResponse) {
    let mut client = to.1.clone();
    let failure = Failure {
        message: "as wanted".into(),
        failure_info: Some(FailureInfo::ApplicationFailureInfo(ApplicationFailureInfo::default())),
        ..Failure::default()
    };
    let request = RespondActivityTaskFailedRequest {
        namespace: NAMESPACE.into(),
        task_token: task.task_token.clone(),
        failure: Some(failure),
        ..RespondActivityTaskFailedRequest::default()
    };
    let ask = ask(context, to.0, "fail", task, 0, "");
    let answering = async move { client.respond_activity_task_failed(request).await };
    let _recorded = client::call(&context.recorder, ask, answering, |_| Value::Null).await;
}

//! A failure with a long chain of causes gets through, cut, wherever it comes in, and the shard goes on.

use prost::{Message as _, Name};
use proto::failure::CAUSES_KEPT;
use proto::temporal::api::command::v1::command::Attributes;
use proto::temporal::api::command::v1::{
    Command, FailWorkflowExecutionCommandAttributes, ScheduleActivityTaskCommandAttributes,
};
use proto::temporal::api::common::v1::{ActivityType, WorkflowExecution};
use proto::temporal::api::enums::v1::{CommandType, UpdateWorkflowExecutionLifecycleStage as Stage};
use proto::temporal::api::failure::v1::failure::FailureInfo;
use proto::temporal::api::failure::v1::{ApplicationFailureInfo, Failure};
use proto::temporal::api::history::v1::history_event::Attributes as Event;
use proto::temporal::api::protocol::v1::Message;
use proto::temporal::api::update::v1::{outcome, Acceptance, Input, Meta, Outcome, Request, Response, WaitPolicy};
use proto::temporal::api::workflowservice::v1 as service;

use crate::support::{node, queue, start_request, Client};

const DEEP: usize = 150;

fn deep() -> Option<Failure> {
    let info = || Some(FailureInfo::ApplicationFailureInfo(ApplicationFailureInfo::default()));
    let level = |cause| Failure { message: "it broke".into(), failure_info: info(), cause, ..Default::default() };
    Some(level((0..DEEP).fold(None, |cause, _| Some(Box::new(level(cause))))))
}

fn causes(failure: Option<&Failure>) -> usize {
    std::iter::successors(failure, |failure| failure.cause.as_deref()).count() - 1
}

fn execution(run_id: &str) -> Option<WorkflowExecution> {
    Some(WorkflowExecution { workflow_id: "w".into(), run_id: run_id.into() })
}

async fn task(client: &mut Client) -> service::PollWorkflowTaskQueueResponse {
    let request = service::PollWorkflowTaskQueueRequest {
        namespace: "default".into(),
        task_queue: queue("orders"),
        ..Default::default()
    };
    let task = client.poll_workflow_task_queue(request).await.expect("an answer").into_inner();
    assert!(!task.task_token.is_empty(), "there is a task");
    task
}

async fn complete(
    client: &mut Client,
    task: &service::PollWorkflowTaskQueueResponse,
    commands: Vec<Command>,
    messages: Vec<Message>,
) {
    let request = service::RespondWorkflowTaskCompletedRequest {
        namespace: "default".into(),
        task_token: task.task_token.clone(),
        commands,
        messages,
        ..Default::default()
    };
    client.respond_workflow_task_completed(request).await.expect("it is taken");
}

fn command(kind: CommandType, attributes: Attributes) -> Command {
    Command { command_type: kind as i32, attributes: Some(attributes), ..Default::default() }
}

fn schedule(activity_id: &str) -> Command {
    let second = Some(prost_types::Duration { seconds: 60, nanos: 0 });
    let attributes = ScheduleActivityTaskCommandAttributes {
        activity_id: activity_id.into(),
        activity_type: Some(ActivityType { name: "charge".into() }),
        task_queue: queue("orders"),
        start_to_close_timeout: second,
        schedule_to_close_timeout: second,
        retry_policy: Some(proto::temporal::api::common::v1::RetryPolicy { maximum_attempts: 1, ..Default::default() }),
        ..Default::default()
    };
    command(CommandType::ScheduleActivityTask, Attributes::ScheduleActivityTaskCommandAttributes(attributes))
}

async fn activity(client: &mut Client) -> service::PollActivityTaskQueueResponse {
    let request = service::PollActivityTaskQueueRequest {
        namespace: "default".into(),
        task_queue: queue("orders"),
        ..Default::default()
    };
    client.poll_activity_task_queue(request).await.expect("an answer").into_inner()
}

async fn history(client: &mut Client) -> Vec<Event> {
    let request = service::GetWorkflowExecutionHistoryRequest {
        namespace: "default".into(),
        execution: execution(""),
        ..Default::default()
    };
    let answer = client.get_workflow_execution_history(request).await.expect("a history").into_inner();
    let events = answer.history.expect("a history").into_events().expect("events");
    events.into_iter().filter_map(|event| event.attributes).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_chain_of_causes_is_cut_and_the_shard_goes_on() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (node, channel) = node(directory.path(), |_| {}).await;
    let mut client = Client::new(channel);
    let start = service::StartWorkflowExecutionRequest { continued_failure: deep(), ..start_request("default", "w") };
    client.start_workflow_execution(start).await.expect("it starts");

    let first = task(&mut client).await;
    let failed = service::RespondWorkflowTaskFailedRequest {
        namespace: "default".into(),
        task_token: first.task_token,
        failure: deep(),
        ..Default::default()
    };
    client.respond_workflow_task_failed(failed).await.expect("it is taken");

    let second = task(&mut client).await;
    complete(&mut client, &second, vec![schedule("a"), schedule("b")], Vec::new()).await;
    let charged = activity(&mut client).await;
    let failed = service::RespondActivityTaskFailedRequest {
        namespace: "default".into(),
        task_token: charged.task_token,
        failure: deep(),
        ..Default::default()
    };
    client.respond_activity_task_failed(failed).await.expect("it is taken");
    let charged = activity(&mut client).await;
    let failed = service::RespondActivityTaskFailedByIdRequest {
        namespace: "default".into(),
        workflow_id: "w".into(),
        activity_id: charged.activity_id,
        failure: deep(),
        ..Default::default()
    };
    client.respond_activity_task_failed_by_id(failed).await.expect("it is taken");

    let third = task(&mut client).await;
    let attributes = FailWorkflowExecutionCommandAttributes { failure: deep() };
    let attributes = Attributes::FailWorkflowExecutionCommandAttributes(attributes);
    complete(&mut client, &third, vec![command(CommandType::FailWorkflowExecution, attributes)], Vec::new()).await;

    let told: Vec<_> = history(&mut client)
        .await
        .iter()
        .filter_map(|event| match event {
            Event::WorkflowExecutionStartedEventAttributes(a) => Some(causes(a.continued_failure.as_ref())),
            Event::WorkflowTaskFailedEventAttributes(a) => Some(causes(a.failure.as_ref())),
            Event::ActivityTaskFailedEventAttributes(a) => Some(causes(a.failure.as_ref())),
            Event::WorkflowExecutionFailedEventAttributes(a) => Some(causes(a.failure.as_ref())),
            _ => None,
        })
        .collect();
    assert_eq!(told, [CAUSES_KEPT; 5]);
    let again = service::StartWorkflowExecutionRequest { request_id: "again".into(), ..start_request("default", "w") };
    client.start_workflow_execution(again).await.expect("the shard goes on");
    node.shutdown().await;
}

fn message(id: &str, name: String, value: Vec<u8>) -> Message {
    let body = prost_types::Any { type_url: format!("type.googleapis.com/{name}"), value };
    Message { id: id.into(), protocol_instance_id: "u".into(), body: Some(body), ..Default::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_that_failed_deeply_can_be_reset() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (node, channel) = node(directory.path(), |_| {}).await;
    let mut client = Client::new(channel);
    client.start_workflow_execution(start_request("default", "w")).await.expect("it starts");
    let first = task(&mut client).await;
    complete(&mut client, &first, Vec::new(), Vec::new()).await;

    let meta = Meta { update_id: "u".into(), ..Default::default() };
    let update = service::UpdateWorkflowExecutionRequest {
        namespace: "default".into(),
        workflow_execution: execution(""),
        wait_policy: Some(WaitPolicy { lifecycle_stage: Stage::Completed as i32 }),
        request: Some(Request {
            meta: Some(meta),
            input: Some(Input { name: "change".into(), ..Default::default() }),
            ..Default::default()
        }),
        ..Default::default()
    };
    let mut caller = client.clone();
    let waiting = tokio::spawn(async move { caller.update_workflow_execution(update).await });
    let second = task(&mut client).await;
    let outcome = Outcome { value: deep().map(outcome::Value::Failure) };
    let messages = vec![
        message("accept", Acceptance::full_name(), Acceptance::default().encode_to_vec()),
        message("respond", Response::full_name(), Response { meta: None, outcome: Some(outcome) }.encode_to_vec()),
    ];
    complete(&mut client, &second, Vec::new(), messages).await;
    let updated = waiting.await.expect("no panic").expect("an answer").into_inner();
    let Some(outcome::Value::Failure(failure)) = updated.outcome.and_then(|outcome| outcome.value) else {
        panic!("it failed");
    };
    assert_eq!(causes(Some(&failure)), CAUSES_KEPT);

    let reset = service::ResetWorkflowExecutionRequest {
        namespace: "default".into(),
        workflow_execution: execution(""),
        workflow_task_finish_event_id: 4,
        request_id: "reset".into(),
        ..Default::default()
    };
    client.reset_workflow_execution(reset).await.expect("the history can be read");
    let again = history(&mut client).await;
    let admitted = |event: &Event| matches!(event, Event::WorkflowExecutionUpdateAdmittedEventAttributes(_));
    assert!(again.iter().any(admitted), "the update comes again: {again:?}");
    node.shutdown().await;
}

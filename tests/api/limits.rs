//! A namespace at its limit is told so, in words that clients know, and others do not notice.

use std::time::Duration;

use prost::Message;
use proto::google::rpc;
use proto::temporal::api::common::v1::WorkflowExecution;
use proto::temporal::api::enums::v1::{
    ResourceExhaustedCause as Cause, ResourceExhaustedScope as Scope, UpdateWorkflowExecutionLifecycleStage as Stage,
};
use proto::temporal::api::errordetails::v1::ResourceExhaustedFailure;
use proto::temporal::api::update::v1::{Input, Meta, Request, UpdateRef, WaitPolicy};
use proto::temporal::api::workflowservice::v1::{
    CountWorkflowExecutionsRequest, PollWorkflowExecutionUpdateRequest, PollWorkflowTaskQueueRequest,
    UpdateWorkflowExecutionRequest,
};
use tonic::{Code, Status};

use crate::support::{node, queue, start, start_request, Client};

/// What a refusal names, in its detail and in its headers.
fn cause(status: &Status) -> (i32, i32, Option<String>) {
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    let detail = rpc::Status::decode(status.details()).expect("a status").details.remove(0);
    let detail = ResourceExhaustedFailure::decode(detail.value.as_slice()).expect("the detail");
    let header = status.metadata().get("x-resource-exhausted-cause").map(|value| value.to_str().expect("text").into());
    (detail.cause, detail.scope, header)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_namespace_at_its_rate_does_not_slow_another() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (node, channel) = node(directory.path(), |config| config.frontend.namespace_requests_per_second = 5).await;
    let mut client = Client::new(channel);
    let mut refused = Vec::new();
    for number in 0..40 {
        let request = start_request("other", &format!("w{number}"));
        refused.extend(client.start_workflow_execution(request).await.err());
    }
    assert!(refused.len() >= 20, "a burst of 10, then 5 a second: {}", refused.len());
    let expected = (Cause::RpsLimit as i32, Scope::Namespace as i32, Some("RpsLimit".to_owned()));
    assert!(refused.iter().all(|status| cause(status) == expected));
    for number in 0..8 {
        let begun = std::time::Instant::now();
        client.start_workflow_execution(start_request("default", &format!("w{number}"))).await.expect("it has room");
        assert!(begun.elapsed() < Duration::from_secs(2));
    }
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn long_polls_and_lists_of_a_namespace_have_limits_of_their_own() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (node, channel) = node(directory.path(), |config| {
        config.frontend.namespace_long_polls = 2;
        config.frontend.namespace_visibility_requests_per_second = 1;
    })
    .await;
    let client = Client::new(channel);
    let poll = |namespace: &str| {
        let mut client = client.clone();
        let namespace = namespace.to_owned();
        let request = PollWorkflowTaskQueueRequest { namespace, task_queue: queue("orders"), ..Default::default() };
        tokio::spawn(async move { client.poll_workflow_task_queue(request).await.map(|_| ()) })
    };
    let waiting = [poll("other"), poll("other")];
    let refused = loop {
        // Those two may still be on their way.
        let third = poll("other");
        match tokio::time::timeout(Duration::from_millis(300), third).await {
            Ok(ended) => break ended.expect("no panic").expect_err("one too many"),
            Err(_) => continue,
        }
    };
    let expected = (Cause::ConcurrentLimit as i32, Scope::Namespace as i32, Some("ConcurrentLimit".to_owned()));
    assert_eq!(cause(&refused), expected);
    assert_eq!(refused.message(), "namespace concurrent poller limit exceeded");
    let other = poll("default");
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!other.is_finished(), "another namespace waits as it likes");
    let mut lists = client.clone();
    let count = CountWorkflowExecutionsRequest { namespace: "other".into(), ..Default::default() };
    lists.count_workflow_executions(count.clone()).await.expect("the first");
    let refused = lists.count_workflow_executions(count).await.expect_err("the second in this second");
    assert_eq!(cause(&refused).0, Cause::RpsLimit as i32);
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn waits_for_updates_are_long_polls() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (node, channel) = node(directory.path(), |config| config.frontend.namespace_long_polls = 1).await;
    let client = Client::new(channel);
    start(&mut client.clone(), "other", "w").await;
    let update = || {
        let mut client = client.clone();
        let input = Input { name: "change".into(), ..Default::default() };
        let meta = Meta { update_id: "u".into(), ..Default::default() };
        let request = UpdateWorkflowExecutionRequest {
            namespace: "other".into(),
            workflow_execution: Some(WorkflowExecution { workflow_id: "w".into(), run_id: String::new() }),
            request: Some(Request { meta: Some(meta), input: Some(input), ..Default::default() }),
            ..Default::default()
        };
        tokio::spawn(async move { client.update_workflow_execution(request).await.map(|_| ()) })
    };
    let soon = Duration::from_millis(300);
    let waiting = update();
    let refused = loop {
        // The first may still be on its way.
        match tokio::time::timeout(soon, update()).await {
            Ok(ended) => break ended.expect("no panic").expect_err("one too many"),
            Err(_) => continue,
        }
    };
    let expected = (Cause::ConcurrentLimit as i32, Scope::Namespace as i32, Some("ConcurrentLimit".to_owned()));
    assert_eq!(cause(&refused), expected);
    let execution = Some(WorkflowExecution { workflow_id: "w".into(), run_id: String::new() });
    let update_ref = Some(UpdateRef { workflow_execution: execution, update_id: "u".into() });
    let wait_policy = Some(WaitPolicy { lifecycle_stage: Stage::Completed as i32 });
    let poll =
        PollWorkflowExecutionUpdateRequest { namespace: "other".into(), update_ref, wait_policy, ..Default::default() };
    let other_kind = loop {
        let mut client = client.clone();
        match tokio::time::timeout(soon, client.poll_workflow_execution_update(poll.clone())).await {
            // The first was counted, and may not have been taken in yet.
            Ok(Err(status)) if status.code() == tonic::Code::NotFound => continue,
            ended => break ended,
        }
    };
    assert!(other_kind.is_err(), "polls for updates are counted apart: it waits, and not {other_kind:?}");
    waiting.abort();
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pollers_and_queues_of_a_namespace_have_limits_that_can_be_set() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (node, channel) = node(directory.path(), |config| {
        config.frontend.namespace_pollers = 2;
        config.frontend.namespace_queues = 2;
    })
    .await;
    let client = Client::new(channel);
    let poll = |namespace: &str, name: &str| {
        let mut client = client.clone();
        let namespace = namespace.to_owned();
        let request = PollWorkflowTaskQueueRequest { namespace, task_queue: queue(name), ..Default::default() };
        tokio::spawn(async move { client.poll_workflow_task_queue(request).await.map(|_| ()) })
    };
    let soon = Duration::from_millis(300);
    let waiting = [poll("other", "a"), poll("other", "a")];
    let refused = loop {
        // Those two may still be on their way.
        match tokio::time::timeout(soon, poll("other", "a")).await {
            Ok(ended) => break ended.expect("no panic").expect_err("one too many"),
            Err(_) => continue,
        }
    };
    assert_eq!(cause(&refused).0, Cause::ConcurrentLimit as i32);
    let elsewhere = poll("default", "a");
    assert!(tokio::time::timeout(soon, elsewhere).await.is_err(), "another namespace has room: it waits");
    waiting.iter().for_each(|poll| poll.abort());
    node.shutdown().await;
}

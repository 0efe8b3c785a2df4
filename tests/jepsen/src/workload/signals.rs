//! Workload `signals`: on each shard, through each node, a writer signals a workflow of its own with rising numbers and
//! now and then reads it back through another node.
//!
//! Most of these workflows have no worker, so that an acknowledged signal is an event at once; the signals of those that
//! have one, one on each shard, may be held back while a workflow task runs.

use std::sync::Arc;
use std::time::Duration;

use proto::temporal::api::workflowservice::v1::{
    DescribeWorkflowExecutionRequest, DescribeWorkflowExecutionResponse, GetWorkflowExecutionHistoryRequest,
    GetWorkflowExecutionHistoryResponse,
};
use rand::Rng;
use serde_json::{json, Value};
use tokio::task::JoinSet;

use super::session::Tasks;
use super::{Context, Session};
use crate::client::{self, NAMESPACE};
use crate::observe::fingerprint;
use crate::worker::DONE;

const BETWEEN: Duration = Duration::from_millis(100);
/// Signals to one workflow before the next begins.
const SIGNALS: i64 = 300;
const DESCRIBE_EVERY: i64 = 5;
const READ_EVERY: i64 = 20;

pub fn start(context: &Arc<Context>, clients: &mut JoinSet<()>) {
    for (row, shard) in context.shards.data_shards().into_iter().enumerate() {
        for (column, &node) in context.nodes.iter().enumerate() {
            let tasks = if row == column { Tasks::ToWorkers } else { Tasks::ToNobody };
            clients.spawn(write(Session::new(context, "signals", node), shard, tasks));
        }
    }
}

async fn write(mut session: Session, shard: u32, tasks: Tasks) {
    for epoch in 0.. {
        if session.context.stop.is_cancelled() {
            return;
        }
        let kind = if tasks == Tasks::ToWorkers { "polled" } else { "silent" };
        let prefix = format!("signals-{kind}-{}-{epoch}", session.process);
        let key = session.context.shards.id_in(shard, &prefix);
        let Some(run_id) = session.start("Signals", &key, tasks, &Value::Null).await else { continue };
        for number in 1..=SIGNALS {
            if !session.context.pause(BETWEEN).await {
                break;
            }
            let _recorded = session.signal(&key, "number", &json!({ "n": number })).await;
            if number % DESCRIBE_EVERY == 0 {
                describe(&mut session, &key, &run_id).await;
            }
            if number % READ_EVERY == 0 {
                read(&mut session, &key, &run_id).await;
            }
        }
        match tasks {
            Tasks::ToWorkers => {
                let _recorded = session.signal(&key, DONE, &Value::Null).await;
            }
            Tasks::ToNobody => session.terminate(&key, &run_id).await,
        }
    }
}

/// How long the history is, asked of any node.
async fn describe(session: &mut Session, key: &str, run_id: &str) {
    let anywhere = session.random.random_range(0..16);
    let request =
        DescribeWorkflowExecutionRequest { namespace: NAMESPACE.into(), execution: client::run_of(key, run_id) };
    let output = |answer: &DescribeWorkflowExecutionResponse| {
        let info = answer.workflow_execution_info.clone().unwrap_or_default();
        json!({ "events": info.history_length })
    };
    let call = |mut client: client::Client| async move { client.describe_workflow_execution(request).await };
    let _recorded = session.once(anywhere, "describe", key, json!({ "run": run_id }), output, call).await;
}

/// The whole history, asked of any node, as its length, a fingerprint and the highest number in it.
async fn read(session: &mut Session, key: &str, run_id: &str) {
    let anywhere = session.random.random_range(0..16);
    let request = GetWorkflowExecutionHistoryRequest {
        namespace: NAMESPACE.into(),
        execution: client::run_of(key, run_id),
        maximum_page_size: 1000,
        ..GetWorkflowExecutionHistoryRequest::default()
    };
    let output = |answer: &GetWorkflowExecutionHistoryResponse| {
        let events = answer.history.clone().unwrap_or_default().events;
        let print = fingerprint(&events).last().copied().unwrap_or_default();
        json!({ "events": events.len(), "print": format!("{print:016x}"), "whole": answer.next_page_token.is_empty() })
    };
    let call = |mut client: client::Client| async move { client.get_workflow_execution_history(request).await };
    let _recorded = session.once(anywhere, "history", key, json!({ "run": run_id }), output, call).await;
}

//! `/namespaces/{namespace}/workflows/{workflow}/{run}`: one run: its state, what it waits for, its history.

use axum::extract::{Path, Query, State};
use prost_types::Timestamp;
use proto::temporal::api::common::v1::WorkflowExecution;
use proto::temporal::api::enums::v1::{PendingActivityState, PendingWorkflowTaskState};
use proto::temporal::api::history::v1::HistoryEvent;
use proto::temporal::api::workflow::v1::{
    PendingActivityInfo, PendingChildExecutionInfo, PendingWorkflowTaskInfo, WorkflowExecutionInfo,
};
use proto::temporal::api::workflowservice::v1::{
    DescribeWorkflowExecutionRequest, DescribeWorkflowExecutionResponse, GetWorkflowExecutionHistoryRequest,
};
use serde::Deserialize;

use super::error::ErrorPage;
use super::{fact, frame, status_label, workflow_link, workflows_link, Html, Refresh};
use crate::web::format::{self, pascal};
use crate::web::{decode, history_text, Backend};

const EVENTS: i32 = 200;

#[derive(Deserialize)]
pub(in crate::web) struct Parameters {
    #[serde(default)]
    events: String,
}

struct Run<'a> {
    namespace: &'a str,
    id: &'a str,
    run: &'a str,
}

pub(in crate::web) async fn page(
    State(backend): Backend,
    Path((namespace, id, run)): Path<(String, String, String)>,
    Query(parameters): Query<Parameters>,
) -> Result<Html, ErrorPage> {
    let execution = Some(WorkflowExecution { workflow_id: id.clone(), run_id: run.clone() });
    let describe = DescribeWorkflowExecutionRequest { namespace: namespace.clone(), execution: execution.clone() };
    let history = GetWorkflowExecutionHistoryRequest {
        namespace: namespace.clone(),
        execution,
        maximum_page_size: EVENTS,
        next_page_token: format::from_hex(&parameters.events).unwrap_or_default().into(),
        ..GetWorkflowExecutionHistoryRequest::default()
    };
    let (described, history) = tokio::join!(backend.describe(describe), backend.history(history));
    let (described, history) = (described?, history?);
    let this = Run { namespace: &namespace, id: &id, run: &run };
    let mut body = Html::default();
    facts(&mut body, &this, &described);
    pending(&mut body, &this, &described);
    let events = history.history.unwrap_or_default().into_events();
    let events = events.map_err(|error| tonic::Status::internal(error.to_string()))?;
    let info = described.workflow_execution_info.unwrap_or_default();
    history_list(&mut body, &events, info.start_time.as_ref());
    if !history.next_page_token.is_empty() {
        let next = workflow_link(&namespace, &id, &run).with("events", &format::hex(&history.next_page_token));
        body.raw("<p class=\"more\">").link(&next, "Later events").raw("</p>");
    }
    let crumbs =
        [(namespace.as_str(), workflows_link(&namespace)), (id.as_str(), workflow_link(&namespace, &id, &run))];
    Ok(frame(&id, &crumbs, Refresh::Never, body))
}

fn facts(body: &mut Html, this: &Run<'_>, described: &DescribeWorkflowExecutionResponse) {
    let nothing = WorkflowExecutionInfo::default();
    let info = described.workflow_execution_info.as_ref().unwrap_or(&nothing);
    body.raw("<h1>").text(this.id).raw(" ");
    status_label(body, info.status);
    body.raw("</h1><dl>");
    fact(body, "Type", info.r#type.as_ref().map_or("", |kind| &kind.name));
    fact(body, "Run", this.run);
    fact(body, "Task queue", &info.task_queue);
    fact(body, "Started (UTC)", &format::time(info.start_time.as_ref()));
    fact(body, "Closed (UTC)", &format::time(info.close_time.as_ref()));
    let took = if info.close_time.is_some() { "Took" } else { "Open for" };
    fact(body, took, &format::between(info.start_time.as_ref(), info.close_time.as_ref()));
    if let Some(config) = &described.execution_config {
        fact(body, "Run timeout", &format::duration(config.workflow_run_timeout.as_ref().filter(|t| t.seconds > 0)));
        let total = config.workflow_execution_timeout.as_ref().filter(|t| t.seconds > 0);
        fact(body, "Execution timeout", &format::duration(total));
    }
    fact(body, "History", &format!("{} events, {}", info.history_length, format::bytes(info.history_size_bytes)));
    if let Some(parent) = &info.parent_execution {
        body.raw("<dt>Parent</dt><dd>");
        body.link(&workflow_link(this.namespace, &parent.workflow_id, &parent.run_id), &parent.workflow_id);
        body.raw("</dd>");
    }
    if info.first_run_id != this.run && !info.first_run_id.is_empty() {
        let first = workflow_link(this.namespace, this.id, &info.first_run_id);
        body.raw("<dt>First run</dt><dd>").link(&first, &info.first_run_id).raw("</dd>");
    }
    body.raw("</dl>");
    fields(
        body,
        "<h2>Search attributes</h2>",
        info.search_attributes.as_ref().filter(|a| !a.indexed_fields.is_empty()),
    );
    fields(body, "<h2>Memo</h2>", info.memo.as_ref().filter(|memo| !memo.fields.is_empty()));
}

fn fields<M: prost::Message + prost::Name>(body: &mut Html, heading: &'static str, message: Option<&M>) {
    if let Some(message) = message {
        let json = decode::to_json(message);
        let inner = json.get("indexedFields").or_else(|| json.get("fields")).unwrap_or(&json);
        body.raw(heading).raw("<pre>").text(decode::lines(inner)).raw("</pre>");
    }
}

fn pending(body: &mut Html, this: &Run<'_>, described: &DescribeWorkflowExecutionResponse) {
    if let Some(task) = &described.pending_workflow_task {
        pending_task(body, task);
    }
    if !described.pending_activities.is_empty() {
        body.raw("<h2>Pending activities</h2><div class=\"scroll\"><table><tr><th>Activity</th><th>Type</th>");
        body.raw("<th>State</th><th>Attempt</th><th>Next attempt (UTC)</th><th>Last failure</th><th>Worker</th></tr>");
        described.pending_activities.iter().for_each(|activity| pending_activity(body, activity));
        body.raw("</table></div>");
    }
    if !described.pending_children.is_empty() {
        body.raw("<h2>Pending children</h2><div class=\"scroll\"><table><tr><th>Workflow</th><th>Type</th></tr>");
        described.pending_children.iter().for_each(|child| pending_child(body, this, child));
        body.raw("</table></div>");
    }
}

fn pending_task(body: &mut Html, task: &PendingWorkflowTaskInfo) {
    let state = PendingWorkflowTaskState::try_from(task.state).unwrap_or(PendingWorkflowTaskState::Unspecified);
    body.raw("<h2>Pending workflow task</h2><dl>");
    fact(body, "State", &pascal(state.as_str_name(), "PENDING_WORKFLOW_TASK_STATE_"));
    fact(body, "Attempt", &task.attempt.to_string());
    fact(body, "Scheduled (UTC)", &format::time(task.scheduled_time.as_ref()));
    fact(body, "Started (UTC)", &format::time(task.started_time.as_ref()));
    body.raw("</dl>");
}

fn pending_activity(body: &mut Html, activity: &PendingActivityInfo) {
    let state = PendingActivityState::try_from(activity.state).unwrap_or(PendingActivityState::Unspecified);
    let kind = activity.activity_type.as_ref().map_or("", |kind| kind.name.as_str());
    let failure = activity.last_failure.as_ref().map_or("", |failure| failure.message.as_str());
    body.raw("<tr><td class=\"id\">").text(&activity.activity_id).raw("</td><td>").text(kind).raw("</td><td>");
    body.text(pascal(state.as_str_name(), "PENDING_ACTIVITY_STATE_")).raw("</td><td class=\"count\">");
    body.number(activity.attempt);
    if activity.maximum_attempts > 0 {
        body.raw(" of ").number(activity.maximum_attempts);
    }
    body.raw("</td><td class=\"time\">").text(format::time(activity.next_attempt_schedule_time.as_ref()));
    body.raw("</td><td>").text(failure).raw("</td><td>").text(&activity.last_worker_identity).raw("</td></tr>");
}

fn pending_child(body: &mut Html, this: &Run<'_>, child: &PendingChildExecutionInfo) {
    let link = workflow_link(this.namespace, &child.workflow_id, &child.run_id);
    body.raw("<tr><td class=\"id\">");
    if child.run_id.is_empty() {
        body.text(&child.workflow_id).raw(" (starting)");
    } else {
        body.link(&link, &child.workflow_id);
    }
    body.raw("</td><td>").text(&child.workflow_type_name).raw("</td></tr>");
}

fn history_list(body: &mut Html, events: &[HistoryEvent], start: Option<&Timestamp>) {
    body.raw("<h2>History</h2>");
    for event in events {
        let text = history_text::event(event);
        body.raw("<details><summary><span class=\"soft\">").number(text.id).raw("</span>");
        body.raw(colour(&text.name)).text(&text.name).raw("</span><span class=\"soft\" title=\"");
        body.text(format::time(event.event_time.as_ref())).raw("\">");
        if event.event_time.is_some() {
            body.raw("+").text(format::between(start, event.event_time.as_ref()));
        }
        body.raw("</span><span class=\"what\">").text(&text.summary).raw("</span></summary><pre>");
        body.text(&text.details).raw("</pre></details>");
    }
}

/// The outcome an event tells of.
fn colour(name: &str) -> &'static str {
    let ends = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
    if ends(&["Failed", "Rejected"]) {
        "<span class=\"red\">"
    } else if ends(&["TimedOut", "Terminated", "Canceled", "CancelRequested"]) {
        "<span class=\"orange\">"
    } else if ends(&["ExecutionCompleted", "ActivityTaskCompleted", "UpdateCompleted"]) {
        "<span class=\"green\">"
    } else if ends(&["Signaled", "TimerFired", "UpdateAccepted"]) {
        "<span class=\"blue\">"
    } else if name.starts_with("WorkflowTask") {
        "<span class=\"soft\">"
    } else {
        "<span>"
    }
}

//! `/namespaces/{namespace}/workflows`: a list with a query.

use axum::extract::{Path, Query, State};
use proto::temporal::api::workflow::v1::WorkflowExecutionInfo;
use proto::temporal::api::workflowservice::v1::{ListWorkflowExecutionsRequest, ListWorkflowExecutionsResponse};
use serde::Deserialize;
use tonic::{Code, Status};

use super::error::ErrorPage;
use super::{frame, status_label, workflow_link, workflows_link, Html, Refresh};
use crate::web::format;
use crate::web::Backend;

const PAGE_SIZE: i32 = 50;
const EXAMPLES: [(&str, &str); 6] = [
    ("All", ""),
    ("Running", "ExecutionStatus = 'Running'"),
    ("Completed", "ExecutionStatus = 'Completed'"),
    ("Failed", "ExecutionStatus = 'Failed'"),
    ("Timed out", "ExecutionStatus = 'TimedOut'"),
    ("Terminated", "ExecutionStatus = 'Terminated'"),
];

#[derive(Deserialize)]
pub(in crate::web) struct Parameters {
    #[serde(default)]
    query: String,
    #[serde(default)]
    page: String,
}

pub(in crate::web) async fn page(
    State(backend): Backend,
    Path(namespace): Path<String>,
    Query(parameters): Query<Parameters>,
) -> Result<Html, ErrorPage> {
    let request = ListWorkflowExecutionsRequest {
        namespace: namespace.clone(),
        page_size: PAGE_SIZE,
        next_page_token: format::from_hex(&parameters.page).unwrap_or_default().into(),
        query: parameters.query.clone(),
    };
    let answer = backend.list_workflows(request).await;
    let mut body = Html::default();
    body.raw("<h1>Workflows</h1>");
    form(&mut body, &namespace, &parameters.query);
    match answer {
        Ok(answer) => list(&mut body, &namespace, &parameters.query, &answer),
        // The query can be corrected where it stands.
        Err(status) if status.code() == Code::InvalidArgument => mistake(&mut body, &status),
        Err(status) => return Err(status.into()),
    }
    let crumbs = [(namespace.as_str(), workflows_link(&namespace))];
    Ok(frame(&namespace, &crumbs, Refresh::Never, body))
}

fn form(body: &mut Html, namespace: &str, query: &str) {
    body.raw("<form method=\"get\" action=\"").text(workflows_link(namespace).path()).raw("\">");
    body.raw("<input name=\"query\" aria-label=\"Query\" autocomplete=\"off\" spellcheck=\"false\" ");
    body.raw("placeholder=\"WorkflowType = 'Order' AND ExecutionStatus = 'Running'\" value=\"").text(query);
    body.raw("\"><button>Search</button></form><p>");
    for (name, example) in EXAMPLES {
        if example == query {
            body.raw("<b>").text(name).raw("</b> &nbsp; ");
        } else {
            body.link(&workflows_link(namespace).with("query", example), name).raw(" &nbsp; ");
        }
    }
    body.raw("</p>");
}

fn mistake(body: &mut Html, status: &Status) {
    body.raw("<p class=\"note\">").text(status.message()).raw("</p>");
}

fn list(body: &mut Html, namespace: &str, query: &str, answer: &ListWorkflowExecutionsResponse) {
    if answer.executions.is_empty() {
        body.raw("<p class=\"soft\">No workflows.</p>");
        return;
    }
    body.raw("<div class=\"scroll\"><table><tr><th>Status</th><th>Workflow</th><th>Type</th><th>Task queue</th>");
    body.raw("<th>Started (UTC)</th><th>Duration</th></tr>");
    answer.executions.iter().for_each(|workflow| row(body, namespace, workflow));
    body.raw("</table></div>");
    if !answer.next_page_token.is_empty() {
        let page = format::hex(&answer.next_page_token);
        let next = workflows_link(namespace).with("query", query).with("page", &page);
        body.raw("<p class=\"more\">").link(&next, "Older").raw("</p>");
    }
}

fn row(body: &mut Html, namespace: &str, workflow: &WorkflowExecutionInfo) {
    let execution = workflow.execution.clone().unwrap_or_default();
    let link = workflow_link(namespace, &execution.workflow_id, &execution.run_id);
    body.raw("<tr><td>");
    status_label(body, workflow.status);
    body.raw("</td><td class=\"id\">").link(&link, &execution.workflow_id).raw("</td><td>");
    body.text(workflow.r#type.as_ref().map_or("", |kind| &kind.name)).raw("</td><td>").text(&workflow.task_queue);
    body.raw("</td><td class=\"time\">").text(format::time(workflow.start_time.as_ref()));
    let took = format::between(workflow.start_time.as_ref(), workflow.close_time.as_ref());
    body.raw("</td><td class=\"time\">").text(took).raw("</td></tr>");
}

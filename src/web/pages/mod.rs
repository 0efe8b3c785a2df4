//! One file per page, and the frame around all of them.

use proto::temporal::api::enums::v1::WorkflowExecutionStatus;

use super::format::pascal;
use super::html::{Html, Link};

pub(super) mod cluster;
pub(super) mod error;
pub(super) mod namespaces;
pub(super) mod workflow;
pub(super) mod workflows;

const STYLE: &str = include_str!("style.css");

/// Whether the browser loads the page again by itself.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Refresh {
    Never,
    EverySecond,
}

/// A whole page. The crumbs lead back: name and link.
fn frame(title: &str, crumbs: &[(&str, Link)], refresh: Refresh, body: Html) -> Html {
    let mut page = Html::default();
    page.raw("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">");
    page.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">");
    page.raw("<meta name=\"color-scheme\" content=\"light dark\">");
    if refresh == Refresh::EverySecond {
        page.raw("<meta http-equiv=\"refresh\" content=\"1\">");
    }
    page.raw("<title>").text(title).raw(" · Everstep</title><style>").raw(STYLE).raw("</style></head><body>");
    page.raw("<header><a class=\"home\" href=\"/\">Everstep</a><nav>");
    for (name, link) in crumbs {
        page.raw("<span class=\"slash\">/</span>").link(link, name);
    }
    page.raw("</nav><a class=\"end\" href=\"/cluster\">Cluster</a></header><main>");
    page.append(body);
    page.raw("</main></body></html>\n");
    page
}

fn workflows_link(namespace: &str) -> Link {
    Link::to(&["namespaces", namespace, "workflows"])
}

fn workflow_link(namespace: &str, workflow: &str, run: &str) -> Link {
    Link::to(&["namespaces", namespace, "workflows", workflow, run])
}

/// A coloured label.
fn status_label(html: &mut Html, status: i32) {
    use WorkflowExecutionStatus as Status;
    let known = Status::try_from(status).unwrap_or(Status::Unspecified);
    html.raw(match known {
        Status::Running => "<span class=\"label blue\">",
        Status::Completed => "<span class=\"label green\">",
        Status::Failed => "<span class=\"label red\">",
        Status::TimedOut | Status::Terminated => "<span class=\"label orange\">",
        Status::Canceled | Status::ContinuedAsNew | Status::Paused | Status::Unspecified => {
            "<span class=\"label grey\">"
        }
    });
    html.text(pascal(known.as_str_name(), "WORKFLOW_EXECUTION_STATUS_")).raw("</span>");
}

/// One row of a two-column list; left out without a value.
fn fact(html: &mut Html, name: &'static str, value: &str) {
    if !value.is_empty() {
        html.raw("<dt>").raw(name).raw("</dt><dd>").text(value).raw("</dd>");
    }
}

//! `/`: the namespaces.

use axum::extract::{Query, State};
use proto::temporal::api::enums::v1::NamespaceState;
use proto::temporal::api::workflowservice::v1::{DescribeNamespaceResponse, ListNamespacesRequest};
use serde::Deserialize;

use super::error::ErrorPage;
use super::{frame, workflows_link, Html, Refresh};
use crate::web::format::{self, pascal};
use crate::web::html::Link;
use crate::web::Backend;

const PAGE_SIZE: i32 = 100;

#[derive(Deserialize)]
pub(in crate::web) struct Parameters {
    #[serde(default)]
    page: String,
}

pub(in crate::web) async fn page(
    State(backend): Backend,
    Query(parameters): Query<Parameters>,
) -> Result<Html, ErrorPage> {
    let next_page_token = format::from_hex(&parameters.page).unwrap_or_default().into();
    let request = ListNamespacesRequest { page_size: PAGE_SIZE, next_page_token, namespace_filter: None };
    let answer = backend.list_namespaces(request).await?;
    let mut body = Html::default();
    body.raw("<h1>Namespaces</h1><div class=\"scroll\"><table><tr><th>Name</th><th>State</th><th>Retention</th>");
    body.raw("<th>Owner</th><th>Description</th></tr>");
    answer.namespaces.iter().for_each(|namespace| row(&mut body, namespace));
    body.raw("</table></div>");
    if !answer.next_page_token.is_empty() {
        let next = Link::to(&[""]).with("page", &format::hex(&answer.next_page_token));
        body.raw("<p class=\"more\">").link(&next, "More").raw("</p>");
    }
    Ok(frame("Namespaces", &[], Refresh::Never, body))
}

fn row(body: &mut Html, namespace: &DescribeNamespaceResponse) {
    let info = namespace.namespace_info.clone().unwrap_or_default();
    let retention = namespace.config.as_ref().and_then(|config| config.workflow_execution_retention_ttl.as_ref());
    body.raw("<tr><td class=\"id\">").link(&workflows_link(&info.name), &info.name).raw("</td><td>");
    let state = NamespaceState::try_from(info.state).unwrap_or(NamespaceState::Unspecified);
    body.text(pascal(state.as_str_name(), "NAMESPACE_STATE_")).raw("</td><td>");
    body.text(format::duration(retention)).raw("</td><td>").text(&info.owner_email).raw("</td><td>");
    body.text(&info.description).raw("</td></tr>");
}

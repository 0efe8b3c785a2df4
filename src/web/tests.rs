use axum::body::{to_bytes, Body};
use proto::everstep::admin::v1::{NodeStatus, ShardReplica, ShardStatus};
use proto::temporal::api::common::v1::{WorkflowExecution, WorkflowType};
use proto::temporal::api::enums::v1::{EventType, WorkflowExecutionStatus};
use proto::temporal::api::failure::v1::Failure;
use proto::temporal::api::history::v1::history_event::Attributes;
use proto::temporal::api::history::v1::{History, HistoryEvent, WorkflowExecutionFailedEventAttributes};
use proto::temporal::api::namespace::v1::NamespaceInfo;
use proto::temporal::api::workflow::v1::{PendingActivityInfo, WorkflowExecutionInfo};
use proto::temporal::api::workflowservice::v1::DescribeNamespaceResponse;
use tower::ServiceExt;

use super::*;

const HOSTILE: &str = "<script>alert('x')</script>\"";

/// Answers with hostile text wherever text is.
struct Hostile;

fn info() -> WorkflowExecutionInfo {
    WorkflowExecutionInfo {
        execution: Some(WorkflowExecution { workflow_id: HOSTILE.into(), run_id: "run/1".into() }),
        r#type: Some(WorkflowType { name: HOSTILE.into() }),
        status: WorkflowExecutionStatus::Failed.into(),
        task_queue: HOSTILE.into(),
        ..WorkflowExecutionInfo::default()
    }
}

#[tonic::async_trait]
impl WebBackend for Hostile {
    async fn list_namespaces(&self, _: ListNamespacesRequest) -> Result<ListNamespacesResponse, Status> {
        let namespace_info =
            Some(NamespaceInfo { name: HOSTILE.into(), description: HOSTILE.into(), ..Default::default() });
        let namespaces = vec![DescribeNamespaceResponse { namespace_info, ..Default::default() }];
        Ok(ListNamespacesResponse { namespaces, next_page_token: vec![1, 2].into() })
    }

    async fn list_workflows(
        &self,
        request: ListWorkflowExecutionsRequest,
    ) -> Result<ListWorkflowExecutionsResponse, Status> {
        match request.query.as_str() {
            "bad" => Err(Status::invalid_argument(HOSTILE)),
            "gone" => Err(Status::not_found(HOSTILE)),
            _ => Ok(ListWorkflowExecutionsResponse { executions: vec![info()], next_page_token: vec![7].into() }),
        }
    }

    async fn describe(
        &self,
        request: DescribeWorkflowExecutionRequest,
    ) -> Result<DescribeWorkflowExecutionResponse, Status> {
        assert_eq!(request.execution.expect("an execution").run_id, "run/1");
        let activity = PendingActivityInfo { activity_id: HOSTILE.into(), attempt: 3, ..Default::default() };
        Ok(DescribeWorkflowExecutionResponse {
            workflow_execution_info: Some(info()),
            pending_activities: vec![activity],
            ..Default::default()
        })
    }

    async fn history(
        &self,
        _: GetWorkflowExecutionHistoryRequest,
    ) -> Result<GetWorkflowExecutionHistoryResponse, Status> {
        let failure = Some(Failure { message: HOSTILE.into(), ..Failure::default() });
        let attributes = WorkflowExecutionFailedEventAttributes { failure, ..Default::default() };
        let event = HistoryEvent {
            event_id: 1,
            event_type: EventType::WorkflowExecutionFailed.into(),
            attributes: Some(Attributes::WorkflowExecutionFailedEventAttributes(attributes)),
            ..HistoryEvent::default()
        };
        let history = Some(History::from(vec![event]));
        Ok(GetWorkflowExecutionHistoryResponse { history, ..Default::default() })
    }

    async fn cluster_status(&self) -> Result<ClusterStatusResponse, Status> {
        let replica = ShardReplica { node_id: 2, applied: 1, lag: 9, up: true, learner: false };
        Ok(ClusterStatusResponse {
            cluster_id: HOSTILE.into(),
            nodes: vec![NodeStatus { node_id: 1, api_address: HOSTILE.into(), ..NodeStatus::default() }],
            shards: vec![ShardStatus { shard: 1, replicas: vec![replica], ..ShardStatus::default() }],
            answered_by: 1,
        })
    }
}

async fn get_page(path: &str) -> (StatusCode, Response<Body>) {
    let request = Request::builder().uri(path).body(Body::empty()).expect("a request");
    let response = router(Arc::new(Hostile)).oneshot(request).await.expect("infallible");
    (response.status(), response)
}

async fn text(path: &str) -> (StatusCode, String) {
    let (status, response) = get_page(path).await;
    let bytes = to_bytes(response.into_body(), 1 << 20).await.expect("a body");
    (status, String::from_utf8(bytes.to_vec()).expect("UTF-8"))
}

#[tokio::test]
async fn hostile_text_is_shown_and_not_run() {
    let pages = [
        ("/", StatusCode::OK),
        ("/namespaces/a%3Cscript%3E/workflows?query=%3Cscript%3E%22", StatusCode::OK),
        ("/namespaces/a/workflows?query=bad", StatusCode::OK),
        ("/namespaces/a/workflows?query=gone", StatusCode::NOT_FOUND),
        ("/namespaces/a/workflows/w%3Cscript%3E/run%2F1", StatusCode::OK),
        ("/cluster", StatusCode::OK),
    ];
    for (path, expected) in pages {
        let (status, body) = text(path).await;
        assert_eq!(status, expected, "{path}");
        assert!(!body.contains("<script"), "{path}: {body}");
        assert!(body.contains("&lt;script&gt;"), "{path}: {body}");
    }
}

#[tokio::test]
async fn pages_lead_to_each_other() {
    let (_, namespaces) = text("/").await;
    assert!(namespaces.contains("href=\"/namespaces/%3Cscript%3E"), "{namespaces}");
    assert!(namespaces.contains("href=\"/?page=0102\""), "{namespaces}");
    let (_, list) = text("/namespaces/a/workflows?query=x").await;
    assert!(list.contains("/run%2F1\""), "{list}");
    assert!(list.contains("?query=x&amp;page=07\""), "{list}");
    let (_, cluster) = text("/cluster").await;
    assert!(cluster.contains("node 2 −9"), "{cluster}");
}

#[tokio::test]
async fn every_answer_has_the_headers() {
    for path in ["/", "/nothing", "/namespaces/a/workflows?query=gone"] {
        let (_, response) = get_page(path).await;
        for (name, value) in HEADERS {
            assert_eq!(response.headers().get(name).map(|header| header.as_bytes()), Some(value.as_bytes()), "{path}");
        }
    }
}

//! Histories as encoded batches, for clients that take them apart themselves.

use everstep::config::{dynamic, Config};
use everstep::node::Node;
use prost::Message;
use proto::temporal::api::common::v1::WorkflowExecution;
use proto::temporal::api::enums::v1::{EncodingType, HistoryEventFilterType};
use proto::temporal::api::history::v1::History;
use proto::temporal::api::workflowservice::v1::{
    GetWorkflowExecutionHistoryRequest, GetWorkflowExecutionHistoryResponse, GetWorkflowExecutionHistoryReverseRequest,
};

use crate::support::{node, start, terminate, Client};

async fn with_raw_history(directory: &std::path::Path) -> (Node, Client) {
    let on = |config: &mut Config| {
        let key = "frontend.sendRawWorkflowHistory";
        assert_eq!(dynamic::apply(config, key, &true.into()).expect("it is known"), None);
    };
    let (node, channel) = node(directory, on).await;
    (node, Client::new(channel))
}

fn request(workflow_id: &str) -> GetWorkflowExecutionHistoryRequest {
    let execution = Some(WorkflowExecution { workflow_id: workflow_id.into(), run_id: String::new() });
    GetWorkflowExecutionHistoryRequest { namespace: "default".into(), execution, ..Default::default() }
}

/// The ids of the events of each batch.
fn batches(response: &GetWorkflowExecutionHistoryResponse) -> Vec<Vec<i64>> {
    assert_eq!(response.history, Some(History::default()), "in place of the history");
    let ids = |data: &[u8]| History::decode(data).expect("a history").events.iter().map(|e| e.event_id).collect();
    assert!(response.raw_history.iter().all(|blob| blob.encoding_type == EncodingType::Proto3 as i32));
    response.raw_history.iter().map(|blob| ids(&blob.data)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn raw_histories_come_in_batches_page_by_page() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (node, mut client) = with_raw_history(directory.path()).await;
    start(&mut client, "default", "w").await;
    let open = client.get_workflow_execution_history(request("w")).await.expect("a history").into_inner();
    assert_eq!(batches(&open), [[1, 2]]);
    terminate(&mut client, "default", "w").await;

    let first = GetWorkflowExecutionHistoryRequest { maximum_page_size: 1, ..request("w") };
    let page = client.get_workflow_execution_history(first.clone()).await.expect("a page").into_inner();
    assert_eq!(batches(&page), [[1, 2]]);
    let next = GetWorkflowExecutionHistoryRequest { next_page_token: page.next_page_token, ..first };
    let page = client.get_workflow_execution_history(next).await.expect("a page").into_inner();
    assert_eq!(batches(&page), [[3]]);
    assert!(page.next_page_token.is_empty());

    let history_event_filter_type = HistoryEventFilterType::CloseEvent as i32;
    let close = GetWorkflowExecutionHistoryRequest { history_event_filter_type, wait_new_event: true, ..request("w") };
    let closed = client.get_workflow_execution_history(close).await.expect("closed").into_inner();
    assert_eq!(batches(&closed), [[3]]);

    let reverse = GetWorkflowExecutionHistoryReverseRequest {
        namespace: "default".into(),
        execution: request("w").execution,
        ..Default::default()
    };
    let reverse = client.get_workflow_execution_history_reverse(reverse).await.expect("a history").into_inner();
    let events = reverse.history.expect("decoded").into_events().expect("readable");
    assert_eq!(events.iter().map(|event| event.event_id).collect::<Vec<_>>(), [3, 2, 1]);
    node.shutdown().await;
}

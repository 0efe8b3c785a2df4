//! temporal.api.workflowservice.v1.WorkflowService: one file per family of calls. A handler resolves the namespace, looks
//! at the shape of the request, and then proposes an op or reads; it decides nothing that depends on stored state.
//! Calls that are not listed here answer Unimplemented with their name (`envelope`).

mod activity_control;
mod assemble;
mod control;
mod describe;
mod history;
mod multi_operation;
mod namespace;
mod pause;
mod poll;
mod query;
mod reset;
mod respond_activity;
mod respond_workflow_task;
mod signal;
mod start;
mod system;
mod task_queue;
mod task_queue_config;
mod update;
mod visibility;
mod worker;
mod workflow_options;

use std::sync::Arc;

use prost::Message;
use proto::temporal::api::workflowservice::v1 as service;
use tonic::{Request, Response, Status};

use super::call::Call;
use super::frontend::Frontend;

pub struct WorkflowService {
    frontend: Arc<Frontend>,
}

impl WorkflowService {
    pub fn new(frontend: Arc<Frontend>) -> Self {
        Self { frontend }
    }
}

/// Smaller answers go as they are, even to a client that takes gzip: they fit into one packet.
const COMPRESSED_BYTES_MIN: usize = 1400;

fn answer<M: Message>(message: M) -> Response<M> {
    let small = message.encoded_len() < COMPRESSED_BYTES_MIN;
    let mut response = Response::new(message);
    if small {
        response.disable_compression();
    }
    response
}

/// Gives each RPC to its handler; nothing else happens here.
macro_rules! serve {
    ($($rpc:ident($request:ident) -> $response:ident = $handler:path;)*) => {
        #[tonic::async_trait]
        impl service::workflow_service_server::WorkflowService for WorkflowService {
            $(async fn $rpc(
                &self,
                request: Request<service::$request>,
            ) -> Result<Response<service::$response>, Status> {
                Ok(answer($handler(&self.frontend, Call::new(request)).await?))
            })*
        }
    };
}

serve! {
    register_namespace(RegisterNamespaceRequest) -> RegisterNamespaceResponse = namespace::register;
    describe_namespace(DescribeNamespaceRequest) -> DescribeNamespaceResponse = namespace::describe;
    list_namespaces(ListNamespacesRequest) -> ListNamespacesResponse = namespace::list;
    update_namespace(UpdateNamespaceRequest) -> UpdateNamespaceResponse = namespace::update;
    deprecate_namespace(DeprecateNamespaceRequest) -> DeprecateNamespaceResponse = namespace::deprecate;

    start_workflow_execution(StartWorkflowExecutionRequest) -> StartWorkflowExecutionResponse = start::start;
    signal_with_start_workflow_execution(SignalWithStartWorkflowExecutionRequest)
        -> SignalWithStartWorkflowExecutionResponse = start::signal_with_start;
    signal_workflow_execution(SignalWorkflowExecutionRequest) -> SignalWorkflowExecutionResponse = signal::signal;
    request_cancel_workflow_execution(RequestCancelWorkflowExecutionRequest)
        -> RequestCancelWorkflowExecutionResponse = control::request_cancel;
    terminate_workflow_execution(TerminateWorkflowExecutionRequest)
        -> TerminateWorkflowExecutionResponse = control::terminate;
    delete_workflow_execution(DeleteWorkflowExecutionRequest) -> DeleteWorkflowExecutionResponse = control::delete;
    reset_workflow_execution(ResetWorkflowExecutionRequest) -> ResetWorkflowExecutionResponse = reset::reset;
    pause_workflow_execution(PauseWorkflowExecutionRequest) -> PauseWorkflowExecutionResponse = pause::pause;
    unpause_workflow_execution(UnpauseWorkflowExecutionRequest) -> UnpauseWorkflowExecutionResponse = pause::unpause;
    update_workflow_execution_options(UpdateWorkflowExecutionOptionsRequest)
        -> UpdateWorkflowExecutionOptionsResponse = workflow_options::update;
    reset_sticky_task_queue(ResetStickyTaskQueueRequest)
        -> ResetStickyTaskQueueResponse = control::reset_sticky_task_queue;

    poll_workflow_task_queue(PollWorkflowTaskQueueRequest)
        -> PollWorkflowTaskQueueResponse = poll::workflow_task_queue;
    respond_workflow_task_completed(RespondWorkflowTaskCompletedRequest)
        -> RespondWorkflowTaskCompletedResponse = respond_workflow_task::completed;
    respond_workflow_task_failed(RespondWorkflowTaskFailedRequest)
        -> RespondWorkflowTaskFailedResponse = respond_workflow_task::failed;
    poll_activity_task_queue(PollActivityTaskQueueRequest)
        -> PollActivityTaskQueueResponse = poll::activity_task_queue;
    record_activity_task_heartbeat(RecordActivityTaskHeartbeatRequest)
        -> RecordActivityTaskHeartbeatResponse = respond_activity::heartbeat;
    record_activity_task_heartbeat_by_id(RecordActivityTaskHeartbeatByIdRequest)
        -> RecordActivityTaskHeartbeatByIdResponse = respond_activity::heartbeat_by_id;
    respond_activity_task_completed(RespondActivityTaskCompletedRequest)
        -> RespondActivityTaskCompletedResponse = respond_activity::completed;
    respond_activity_task_completed_by_id(RespondActivityTaskCompletedByIdRequest)
        -> RespondActivityTaskCompletedByIdResponse = respond_activity::completed_by_id;
    respond_activity_task_failed(RespondActivityTaskFailedRequest)
        -> RespondActivityTaskFailedResponse = respond_activity::failed;
    respond_activity_task_failed_by_id(RespondActivityTaskFailedByIdRequest)
        -> RespondActivityTaskFailedByIdResponse = respond_activity::failed_by_id;
    respond_activity_task_canceled(RespondActivityTaskCanceledRequest)
        -> RespondActivityTaskCanceledResponse = respond_activity::canceled;
    respond_activity_task_canceled_by_id(RespondActivityTaskCanceledByIdRequest)
        -> RespondActivityTaskCanceledByIdResponse = respond_activity::canceled_by_id;

    pause_activity(PauseActivityRequest) -> PauseActivityResponse = activity_control::pause;
    unpause_activity(UnpauseActivityRequest) -> UnpauseActivityResponse = activity_control::unpause;
    reset_activity(ResetActivityRequest) -> ResetActivityResponse = activity_control::reset;
    update_activity_options(UpdateActivityOptionsRequest)
        -> UpdateActivityOptionsResponse = activity_control::update_options;

    update_workflow_execution(UpdateWorkflowExecutionRequest) -> UpdateWorkflowExecutionResponse = update::update;
    poll_workflow_execution_update(PollWorkflowExecutionUpdateRequest)
        -> PollWorkflowExecutionUpdateResponse = update::poll;
    execute_multi_operation(ExecuteMultiOperationRequest)
        -> ExecuteMultiOperationResponse = multi_operation::execute;

    query_workflow(QueryWorkflowRequest) -> QueryWorkflowResponse = query::query;
    respond_query_task_completed(RespondQueryTaskCompletedRequest)
        -> RespondQueryTaskCompletedResponse = query::completed;

    describe_workflow_execution(DescribeWorkflowExecutionRequest)
        -> DescribeWorkflowExecutionResponse = describe::describe;
    get_workflow_execution_history(GetWorkflowExecutionHistoryRequest)
        -> GetWorkflowExecutionHistoryResponse = history::get;
    get_workflow_execution_history_reverse(GetWorkflowExecutionHistoryReverseRequest)
        -> GetWorkflowExecutionHistoryReverseResponse = history::get_reverse;

    list_workflow_executions(ListWorkflowExecutionsRequest) -> ListWorkflowExecutionsResponse = visibility::list;
    scan_workflow_executions(ScanWorkflowExecutionsRequest) -> ScanWorkflowExecutionsResponse = visibility::scan;
    list_open_workflow_executions(ListOpenWorkflowExecutionsRequest)
        -> ListOpenWorkflowExecutionsResponse = visibility::list_open;
    list_closed_workflow_executions(ListClosedWorkflowExecutionsRequest)
        -> ListClosedWorkflowExecutionsResponse = visibility::list_closed;
    count_workflow_executions(CountWorkflowExecutionsRequest) -> CountWorkflowExecutionsResponse = visibility::count;

    get_system_info(GetSystemInfoRequest) -> GetSystemInfoResponse = system::system_info;
    get_cluster_info(GetClusterInfoRequest) -> GetClusterInfoResponse = system::cluster_info;
    get_search_attributes(GetSearchAttributesRequest) -> GetSearchAttributesResponse = system::search_attributes;

    describe_task_queue(DescribeTaskQueueRequest) -> DescribeTaskQueueResponse = task_queue::describe;
    update_task_queue_config(UpdateTaskQueueConfigRequest)
        -> UpdateTaskQueueConfigResponse = task_queue_config::update;
    list_task_queue_partitions(ListTaskQueuePartitionsRequest)
        -> ListTaskQueuePartitionsResponse = task_queue::list_partitions;

    shutdown_worker(ShutdownWorkerRequest) -> ShutdownWorkerResponse = worker::shutdown;
    record_worker_heartbeat(RecordWorkerHeartbeatRequest) -> RecordWorkerHeartbeatResponse = worker::record_heartbeat;
    list_workers(ListWorkersRequest) -> ListWorkersResponse = worker::list;
    count_workers(CountWorkersRequest) -> CountWorkersResponse = worker::count;
    describe_worker(DescribeWorkerRequest) -> DescribeWorkerResponse = worker::describe;
}

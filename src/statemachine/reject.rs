//! Deterministic refusals. Each has the gRPC code and the errordetails message that Temporal's SDKs look at
//! (SEMANTICS B32; api-go serviceerror/*.go). A Reject writes nothing.

use prost::{Message, Name};
use proto::temporal::api::enums::v1::{ResourceExhaustedCause, ResourceExhaustedScope};
use proto::temporal::api::errordetails::v1 as details;

use crate::op;

/// Numbers of google.rpc.Code, the ones in use.
pub mod code {
    pub const UNKNOWN: i32 = 2;
    pub const INVALID_ARGUMENT: i32 = 3;
    pub const DEADLINE_EXCEEDED: i32 = 4;
    pub const NOT_FOUND: i32 = 5;
    pub const ALREADY_EXISTS: i32 = 6;
    pub const PERMISSION_DENIED: i32 = 7;
    pub const RESOURCE_EXHAUSTED: i32 = 8;
    pub const FAILED_PRECONDITION: i32 = 9;
    pub const ABORTED: i32 = 10;
    pub const UNIMPLEMENTED: i32 = 12;
    pub const INTERNAL: i32 = 13;
    pub const UNAVAILABLE: i32 = 14;
}

/// A refusal that every replica decides alike.
#[derive(Debug, Clone, PartialEq)]
pub struct Reject(pub Box<op::Reject>);

impl Reject {
    pub fn new(code: i32, message: impl Into<String>) -> Self {
        Self(Box::new(op::Reject { code, message: message.into(), detail: None }))
    }

    pub fn with_detail<M: Message + Name>(code: i32, message: impl Into<String>, detail: &M) -> Self {
        let any = prost_types::Any {
            type_url: format!("type.googleapis.com/{}", M::full_name()),
            value: detail.encode_to_vec(),
        };
        Self(Box::new(op::Reject { code, message: message.into(), detail: Some(any) }))
    }

    pub fn invalid_argument(message: impl Into<String>) -> Self {
        Self::new(code::INVALID_ARGUMENT, message)
    }

    pub fn failed_precondition(message: impl Into<String>) -> Self {
        Self::new(code::FAILED_PRECONDITION, message)
    }

    pub fn not_found(message: impl Into<String>) -> Self {
        Self::with_detail(code::NOT_FOUND, message, &details::NotFoundFailure::default())
    }

    pub fn namespace_not_found(namespace: &str) -> Self {
        Self::with_detail(
            code::NOT_FOUND,
            format!("Namespace {namespace} is not found."),
            &details::NamespaceNotFoundFailure { namespace: namespace.into() },
        )
    }

    pub fn already_started(request_id: &str, run_id: &str) -> Self {
        Self::with_detail(
            code::ALREADY_EXISTS,
            "Workflow execution is already running. WorkflowId: , RunId: .",
            &details::WorkflowExecutionAlreadyStartedFailure {
                start_request_id: request_id.into(),
                run_id: run_id.into(),
                ..Default::default()
            },
        )
    }

    /// A limit that clearing work lifts: the caller should back off and try again.
    pub fn resource_exhausted(cause: ResourceExhaustedCause, message: impl Into<String>) -> Self {
        Self::with_detail(
            code::RESOURCE_EXHAUSTED,
            message,
            &details::ResourceExhaustedFailure { cause: cause as i32, scope: ResourceExhaustedScope::Namespace as i32 },
        )
    }

    /// The run is over (Temporal's consts.ErrWorkflowCompleted).
    pub fn workflow_completed() -> Self {
        Self::not_found("workflow execution already completed")
    }

    /// The task token names a workflow task that is not the running one.
    pub fn workflow_task_not_found() -> Self {
        Self::not_found("Workflow task not found.")
    }

    pub fn code(&self) -> i32 {
        self.0.code
    }

    pub fn message(&self) -> &str {
        &self.0.message
    }
}

/// Why deciding stopped: the caller's fault, or this node's.
#[derive(Debug)]
pub enum Stop {
    Reject(Reject),
    Fault(crate::Fault),
}

impl From<Reject> for Stop {
    fn from(reject: Reject) -> Self {
        Self::Reject(reject)
    }
}

impl From<crate::Fault> for Stop {
    fn from(fault: crate::Fault) -> Self {
        Self::Fault(fault)
    }
}

/// What deciding an op returns.
pub type Decided<T> = Result<T, Stop>;

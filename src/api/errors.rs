//! The one map from refusals and failures to gRPC statuses. Clients tell errors apart by code and by the type of the
//! first detail (SEMANTICS B32), which travel as a `google.rpc.Status` in `grpc-status-details-bin`.

use bytes::Bytes;
use prost::{Message, Name};
use proto::temporal::api::enums::v1::{ResourceExhaustedCause as Cause, ResourceExhaustedScope as Scope};
use proto::temporal::api::errordetails::v1::ResourceExhaustedFailure;
use statemachine::reject::{code, Stop};
use statemachine::{op, Fault, Reject};
use tonic::{Code, Status};

use crate::cluster::RouteError;
use crate::matching::Exhausted;

/// gRPC's key for when a client may try again, and the milliseconds that it is told.
const PUSHBACK_KEY: &str = "grpc-retry-pushback-ms";
const PUSHBACK_MS: u32 = 1000;
/// Temporal's system.maxServiceErrorMessageLength.
const MESSAGE_BYTES_MAX: usize = 4000;

/// Why a request got no answer.
#[derive(Debug)]
pub enum ApiError {
    /// The caller's fault, or a limit that the caller has met.
    Reject(Reject),
    /// This node's fault; another try may succeed.
    Unavailable(String),
    /// More is asked for than this node can do: not done, and better tried a little later.
    Overloaded,
    /// The caller's time is over. What was asked for may still happen.
    DeadlineExceeded,
    /// A bug: what another part answered does not fit the question.
    Internal(&'static str),
}

impl From<Reject> for ApiError {
    fn from(reject: Reject) -> Self {
        Self::Reject(reject)
    }
}

impl From<op::Reject> for ApiError {
    fn from(reject: op::Reject) -> Self {
        Self::Reject(Reject(Box::new(reject)))
    }
}

impl From<RouteError> for ApiError {
    fn from(error: RouteError) -> Self {
        match error {
            RouteError::DiskFull => Self::Reject(exhausted(
                Cause::PersistenceStorageLimit,
                Scope::System,
                "the disk of this shard's leader is full",
            )),
            RouteError::Unknown { .. } | RouteError::Unavailable { .. } => Self::Unavailable(error.to_string()),
        }
    }
}

impl From<Exhausted> for ApiError {
    fn from(error: Exhausted) -> Self {
        let scope = match error {
            Exhausted::NamespacePollers | Exhausted::NamespaceQueues | Exhausted::QueuePollers => Scope::Namespace,
            Exhausted::Pollers | Exhausted::Queues | Exhausted::Queries => Scope::System,
        };
        Self::Reject(exhausted(Cause::ConcurrentLimit, scope, &error.to_string()))
    }
}

impl From<Stop> for ApiError {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Reject(reject) => Self::Reject(reject),
            Stop::Fault(fault) => fault.into(),
        }
    }
}

fn exhausted(cause: Cause, scope: Scope, message: &str) -> Reject {
    let detail = ResourceExhaustedFailure { cause: cause as i32, scope: scope as i32 };
    Reject::with_detail(code::RESOURCE_EXHAUSTED, message, &detail)
}

impl From<Fault> for ApiError {
    fn from(fault: Fault) -> Self {
        tracing::error!(%fault, "a read failed");
        Self::Unavailable("shard unavailable, please backoff and retry".into())
    }
}

impl From<ApiError> for Status {
    fn from(error: ApiError) -> Self {
        match error {
            ApiError::Reject(reject) => status_of(&reject.0),
            ApiError::Unavailable(message) => Self::unavailable(shortened(&message)),
            ApiError::Overloaded => overloaded(),
            ApiError::DeadlineExceeded => Self::deadline_exceeded("context deadline exceeded"),
            ApiError::Internal(what) => {
                tracing::error!(what, "an answer does not fit its question");
                Self::internal("something went wrong, please retry")
            }
        }
    }
}

/// With gRPC's own hint when to come again, which clients that retry by its rules keep to.
fn overloaded() -> Status {
    let reject = exhausted(Cause::SystemOverloaded, Scope::System, "service is overloaded, please retry later");
    let mut status = status_of(&reject.0);
    status.metadata_mut().insert(PUSHBACK_KEY, PUSHBACK_MS.into());
    status
}

fn status_of(reject: &op::Reject) -> Status {
    let code = Code::from_i32(reject.code);
    let message = shortened(&reject.message);
    let Some(detail) = &reject.detail else { return Status::new(code, message) };
    let details =
        proto::google::rpc::Status { code: reject.code, message: message.to_owned(), details: vec![detail.clone()] };
    let mut status = Status::with_details(code, message, Bytes::from(details.encode_to_vec()));
    if let Some(limit) = limit_of(detail) {
        tell_limit(&mut status, &limit);
    }
    status
}

fn limit_of(detail: &prost_types::Any) -> Option<ResourceExhaustedFailure> {
    let named = detail.type_url.ends_with(&ResourceExhaustedFailure::full_name());
    named.then(|| ResourceExhaustedFailure::decode(detail.value.as_slice()).ok()).flatten()
}

/// Temporal says in two headers as well which limit it was (common/rpc/interceptor/frontend_service_error.go).
fn tell_limit(status: &mut Status, limit: &ResourceExhaustedFailure) {
    let cause = pascal(limit.cause().as_str_name(), "RESOURCE_EXHAUSTED_CAUSE_");
    let scope = pascal(limit.scope().as_str_name(), "RESOURCE_EXHAUSTED_SCOPE_");
    for (name, value) in [("x-resource-exhausted-cause", cause), ("x-resource-exhausted-scope", scope)] {
        if let Ok(value) = value.parse() {
            status.metadata_mut().insert(name, value);
        }
    }
}

/// `RESOURCE_EXHAUSTED_CAUSE_RPS_LIMIT` as `RpsLimit`.
fn pascal(name: &str, prefix: &str) -> String {
    let words = name.trim_start_matches(prefix).split('_').filter(|word| !word.is_empty());
    words.map(|word| word[..1].to_owned() + &word[1..].to_ascii_lowercase()).collect()
}

/// At most so much of a message as Temporal sends, cut between characters.
fn shortened(message: &str) -> &str {
    if message.len() <= MESSAGE_BYTES_MAX {
        return message;
    }
    let end = (0..=MESSAGE_BYTES_MAX).rev().find(|&end| message.is_char_boundary(end)).unwrap_or_default();
    &message[..end]
}

#[cfg(test)]
mod tests {
    use proto::google::rpc;
    use proto::temporal::api::errordetails::v1 as details;

    use super::*;

    fn detail_types(status: &Status) -> Vec<String> {
        let decoded = rpc::Status::decode(status.details()).expect("a status");
        decoded.details.iter().map(|any| any.type_url.clone()).collect()
    }

    #[test]
    fn a_reject_keeps_its_code_its_text_and_its_detail() {
        let status = Status::from(ApiError::from(Reject::namespace_not_found("nowhere")));
        assert_eq!(status.code(), Code::NotFound);
        assert_eq!(status.message(), "Namespace nowhere is not found.");
        let name = "type.googleapis.com/temporal.api.errordetails.v1.NamespaceNotFoundFailure";
        assert_eq!(detail_types(&status), [name]);
        let any = rpc::Status::decode(status.details()).expect("a status").details.remove(0);
        let failure = details::NamespaceNotFoundFailure::decode(any.value.as_slice()).expect("the detail");
        assert_eq!(failure.namespace, "nowhere");
    }

    #[test]
    fn an_overloaded_node_says_when_to_come_again() {
        let status = Status::from(ApiError::Overloaded);
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert_eq!(status.metadata().get(PUSHBACK_KEY).and_then(|value| value.to_str().ok()), Some("1000"));
        assert_eq!(
            detail_types(&status),
            ["type.googleapis.com/temporal.api.errordetails.v1.ResourceExhaustedFailure"]
        );
    }

    #[test]
    fn a_reject_without_detail_has_no_details() {
        let status = Status::from(ApiError::from(Reject::invalid_argument("no")));
        assert_eq!((status.code(), status.details().len()), (Code::InvalidArgument, 0));
    }

    #[test]
    fn long_messages_are_cut_between_characters() {
        let status = Status::from(ApiError::from(Reject::invalid_argument("ä".repeat(3000) + "x")));
        assert_eq!(status.message().len(), 4000);
        let odd = "x".to_owned() + &"ä".repeat(3000);
        assert_eq!(shortened(&odd).len(), 3999);
    }
}

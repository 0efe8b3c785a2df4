//! What surrounds every call, unary or streaming: who may call at all, and what a refusal says that the generated code
//! made. It is the one place that all calls pass.

use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::{HeaderMap, Request, Response};
use proto::temporal::api::errordetails::v1::PermissionDeniedFailure;
use statemachine::reject::code;
use statemachine::Reject;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};

use super::errors::ApiError;
use super::versions;

/// Packages whose calls are checked; health and reflection are open to every client.
const CHECKED_PREFIX: &str = "/temporal.api.";
/// What the generated stubs and tonic's decoder say.
const STUB_MESSAGE: &str = "Not yet implemented";
const TOO_LARGE: &str = "Error, decoded message length too large";
const TOO_LARGE_DECOMPRESSED: &str = "Error decompressing: size limit";

/// Calls of Temporal's worker versioning 0.1 and 0.2, which are deprecated and off in a server by default.
const SWITCHED_OFF: [(&str, &str); 5] = [
    ("UpdateWorkerBuildIdCompatibility", VERSION_SETS),
    ("GetWorkerBuildIdCompatibility", VERSION_SETS),
    ("GetWorkerTaskReachability", VERSION_SETS),
    ("UpdateWorkerVersioningRules", VERSION_RULES),
    ("GetWorkerVersioningRules", VERSION_RULES),
];
const VERSION_SETS: &str = "Worker versioning v0.1 (Version Set-based, deprecated) is disabled on this namespace.";
const VERSION_RULES: &str = "Worker versioning v0.2 (Rule-based, deprecated) is disabled on this namespace.";

#[derive(Debug, Clone, Copy)]
pub struct EnvelopeLayer;

impl<S> Layer<S> for EnvelopeLayer {
    type Service = Envelope<S>;

    fn layer(&self, inner: S) -> Envelope<S> {
        Envelope { inner }
    }
}

#[derive(Debug, Clone)]
pub struct Envelope<S> {
    inner: S,
}

impl<S> Service<Request<Body>> for Envelope<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<Body>, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let path = request.uri().path().to_owned();
        if let Err(refused) = admit(&path, request.headers()) {
            let response = Status::from(ApiError::from(refused)).into_http();
            return Box::pin(async move { Ok(response) });
        }
        let called = self.inner.call(request);
        Box::pin(async move { Ok(rewritten(&path, called.await?)) })
    }
}

fn admit(path: &str, headers: &HeaderMap) -> Result<(), Reject> {
    if !path.starts_with(CHECKED_PREFIX) {
        return Ok(());
    }
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    versions::check(versions::Client {
        name: header("client-name"),
        version: header("client-version"),
        supported_server_versions: header("supported-server-versions"),
    })?;
    match SWITCHED_OFF.iter().find(|(method, _)| *method == method_of(path)) {
        Some((_, why)) => Err(Reject::with_detail(code::PERMISSION_DENIED, *why, &PermissionDeniedFailure::default())),
        None => Ok(()),
    }
}

/// Replaces a refusal that the generated code made by one that clients know.
fn rewritten(path: &str, response: Response<Body>) -> Response<Body> {
    if !response.headers().contains_key(Status::GRPC_STATUS) {
        return response;
    }
    let Some(status) = Status::from_header_map(response.headers()) else { return response };
    let method = method_of(path);
    match status.code() {
        Code::Unimplemented if status.message() == STUB_MESSAGE => {
            Status::unimplemented(format!("{method} is not implemented by this server")).into_http()
        }
        Code::Unimplemented if status.message().is_empty() => {
            let service = path.trim_start_matches('/').rsplit_once('/').map_or(path, |(service, _)| service);
            Status::unimplemented(format!("unknown method {method} for service {service}")).into_http()
        }
        // Temporal's clients know a request that is too large by gRPC's own text.
        Code::OutOfRange if status.message().starts_with(TOO_LARGE) => {
            let mut sizes = status.message().split(|letter: char| !letter.is_ascii_digit()).filter(|n| !n.is_empty());
            let (found, max) = (sizes.next().unwrap_or("?"), sizes.next().unwrap_or("?"));
            let message = format!("grpc: received message larger than max ({found} vs. {max})");
            Status::resource_exhausted(message).into_http()
        }
        _ if status.message().starts_with(TOO_LARGE_DECOMPRESSED) => {
            Status::resource_exhausted("grpc: received message after decompression larger than max").into_http()
        }
        _ => response,
    }
}

fn method_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(path: &str, status: Status) -> Status {
        let response = rewritten(path, status.into_http());
        Status::from_header_map(response.headers()).expect("still a refusal")
    }

    #[test]
    fn what_is_not_built_is_named() {
        let path = "/temporal.api.workflowservice.v1.WorkflowService/CreateSchedule";
        let status = after(path, Status::unimplemented(STUB_MESSAGE));
        assert_eq!(status.message(), "CreateSchedule is not implemented by this server");
        let status = after(path, Status::unimplemented("for a reason"));
        assert_eq!(status.message(), "for a reason");
    }

    #[test]
    fn unknown_methods_are_named_as_grpc_does() {
        let status = after("/some.Service/Method", Status::unimplemented(""));
        assert_eq!(status.message(), "unknown method Method for service some.Service");
    }

    #[test]
    fn a_request_that_is_too_large_is_told_in_grpcs_words() {
        let text = "Error, decoded message length too large: found 5000000 bytes, the limit is: 4194304 bytes";
        let status = after("/a.B/C", Status::out_of_range(text));
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert_eq!(status.message(), "grpc: received message larger than max (5000000 vs. 4194304)");
    }

    #[test]
    fn old_versioning_is_denied() {
        let path = "/temporal.api.workflowservice.v1.WorkflowService/GetWorkerVersioningRules";
        let refused = admit(path, &HeaderMap::new()).expect_err("off");
        assert_eq!(refused.code(), code::PERMISSION_DENIED);
    }
}

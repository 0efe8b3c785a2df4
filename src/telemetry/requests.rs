//! Counts and times API requests. Mounted around the tonic server as a tower layer; the API tells the namespace once it
//! knows that it exists, so that names nobody registered never become labels.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, LazyLock, OnceLock, RwLock};
use std::task::{ready, Context, Poll};
use std::time::Instant;

use axum::http::{Extensions, HeaderMap, Request, Response};
use metrics::{Counter, Gauge, Histogram};
use prost::Message;
use prost_types::FileDescriptorSet;
use tonic::Code;
use tower::{Layer, Service};

use super::tasks;

const UNKNOWN: &str = "_unknown_";
const SERVICE: &str = "frontend";

/// From `/package.Service/Method` to `Method`, for every method that clients can call.
static OPERATIONS: LazyLock<BTreeMap<String, &'static str>> = LazyLock::new(operations);

fn operations() -> BTreeMap<String, &'static str> {
    let set = FileDescriptorSet::decode(proto::PUBLIC_DESCRIPTORS).expect("made by our own build");
    let mut operations = BTreeMap::new();
    for file in &set.file {
        for service in &file.service {
            for method in &service.method {
                let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                let name: &'static str = Box::leak(method.name().to_string().into_boxed_str());
                operations.insert(path, name);
            }
        }
    }
    operations
}

/// Where the API leaves the namespace of a request for its metrics.
#[derive(Clone, Default)]
struct NamespaceSlot(Arc<OnceLock<Arc<str>>>);

/// Tells the namespace of a request, after it was found to exist.
pub fn name_namespace(extensions: &Extensions, namespace: &str) {
    if let Some(slot) = extensions.get::<NamespaceSlot>() {
        slot.0.get_or_init(|| namespace.into());
    }
}

#[derive(Clone, Default)]
pub struct MetricsLayer {
    meters: Arc<Meters>,
}

/// The metrics of calls that end well, found once for each operation and namespace. Both are bounded: only operations
/// that exist and namespaces that were found get here.
#[derive(Default)]
struct Meters {
    known: RwLock<HashMap<Called, Arc<Meter>>>,
    pending: RwLock<HashMap<&'static str, Gauge>>,
}

/// An operation and its namespace.
type Called = (&'static str, Arc<str>);

struct Meter {
    requests: Counter,
    latency: Histogram,
    outcome: Option<Counter>,
}

impl Meters {
    fn of(&self, operation: &'static str, namespace: &Arc<str>) -> Arc<Meter> {
        let key = (operation, namespace.clone());
        if let Some(known) = self.known.read().expect("no panic while held").get(&key) {
            return known.clone();
        }
        let labels = labels(operation, Arc::clone(namespace).into());
        let meter = Arc::new(Meter {
            requests: metrics::counter!("service_requests", labels.iter()),
            latency: metrics::histogram!("service_latency", labels.iter()),
            outcome: tasks::outcome_counter(operation).map(|name| metrics::counter!(name, labels.iter())),
        });
        self.known.write().expect("no panic while held").entry(key).or_insert(meter).clone()
    }

    fn pending(&self, operation: &'static str) -> Gauge {
        if let Some(known) = self.pending.read().expect("no panic while held").get(operation) {
            return known.clone();
        }
        let gauge = metrics::gauge!("service_pending_requests", "operation" => operation, "service_name" => SERVICE);
        self.pending.write().expect("no panic while held").entry(operation).or_insert(gauge).clone()
    }
}

fn labels(operation: &'static str, namespace: metrics::SharedString) -> [metrics::Label; 3] {
    [
        metrics::Label::from_static_parts("operation", operation),
        metrics::Label::new("namespace", namespace),
        metrics::Label::from_static_parts("service_name", SERVICE),
    ]
}

impl<S> Layer<S> for MetricsLayer {
    type Service = MetricsService<S>;

    fn layer(&self, inner: S) -> MetricsService<S> {
        MetricsService { inner, meters: self.meters.clone() }
    }
}

#[derive(Clone)]
pub struct MetricsService<S> {
    inner: S,
    meters: Arc<Meters>,
}

impl<S, RequestBody, ResponseBody> Service<Request<RequestBody>> for MetricsService<S>
where
    S: Service<Request<RequestBody>, Response = Response<ResponseBody>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Measured<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<RequestBody>) -> Self::Future {
        let operation = OPERATIONS.get(request.uri().path()).copied().unwrap_or(UNKNOWN);
        let slot = NamespaceSlot::default();
        request.extensions_mut().insert(slot.clone());
        let pending = Pending::new(operation, self.meters.pending(operation));
        let (meters, started) = (self.meters.clone(), Instant::now());
        Measured { pending, meters, slot, started, inner: Box::pin(self.inner.call(request)) }
    }
}

/// Counts a request as pending for as long as it lives, also if the client goes away.
struct Pending {
    operation: &'static str,
    gauge: Gauge,
}

impl Pending {
    fn new(operation: &'static str, gauge: Gauge) -> Self {
        gauge.increment(1.0);
        Self { operation, gauge }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.gauge.decrement(1.0);
    }
}

pub struct Measured<F> {
    pending: Pending,
    meters: Arc<Meters>,
    slot: NamespaceSlot,
    started: Instant,
    inner: Pin<Box<F>>,
}

impl<F, Body, E> Future for Measured<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let result = ready!(self.inner.as_mut().poll(context));
        let code = result.as_ref().map_or(Code::Internal, |response| status(response.headers()));
        match self.slot.0.get() {
            Some(namespace) if code == Code::Ok => {
                let meter = self.meters.of(self.pending.operation, namespace);
                meter.requests.increment(1);
                meter.latency.record(self.started.elapsed().as_secs_f64());
                meter.outcome.iter().for_each(|outcome| outcome.increment(1));
            }
            namespace => record(self.pending.operation, namespace, self.started, code),
        }
        Poll::Ready(result)
    }
}

/// A handler's error is all headers and no body; anything else is an answer.
fn status(headers: &HeaderMap) -> Code {
    headers.get("grpc-status").map_or(Code::Ok, |value| Code::from_bytes(value.as_bytes()))
}

fn record(operation: &'static str, namespace: Option<&Arc<str>>, started: Instant, code: Code) {
    let namespace: metrics::SharedString = match namespace {
        Some(name) => Arc::clone(name).into(),
        None => UNKNOWN.into(),
    };
    let labels = labels(operation, namespace);
    metrics::counter!("service_requests", labels.iter()).increment(1);
    metrics::histogram!("service_latency", labels.iter()).record(started.elapsed().as_secs_f64());
    if code == Code::Ok {
        if let Some(name) = tasks::outcome_counter(operation) {
            metrics::counter!(name, labels.iter()).increment(1);
        }
    } else {
        metrics::counter!("service_errors", labels.iter()).increment(1);
        if let Some(name) = error_counter(code, operation) {
            metrics::counter!(name, labels.iter()).increment(1);
        }
        let kind = metrics::Label::from_static_parts("error_type", error_type(code, operation));
        let labels: Vec<_> = labels.into_iter().chain([kind]).collect();
        metrics::counter!("service_error_with_type", labels).increment(1);
    }
}

/// Temporal's counters of single kinds of errors.
fn error_counter(code: Code, operation: &str) -> Option<&'static str> {
    match code {
        Code::InvalidArgument if operation == "QueryWorkflow" => Some("service_errors_query_failed"),
        Code::InvalidArgument => Some("service_errors_invalid_argument"),
        Code::NotFound => Some("service_errors_entity_not_found"),
        Code::AlreadyExists if operation == "RegisterNamespace" => Some("service_errors_namespace_already_exists"),
        Code::AlreadyExists => Some("service_errors_execution_already_started"),
        Code::ResourceExhausted => Some("service_errors_resource_exhausted"),
        Code::DeadlineExceeded => Some("service_errors_context_timeout"),
        Code::PermissionDenied | Code::Unauthenticated => Some("service_errors_unauthorized"),
        Code::Unavailable => Some("service_errors_unavailable"),
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::Internal
        | Code::DataLoss => None,
    }
}

/// Named as Temporal's error types are.
fn error_type(code: Code, operation: &str) -> &'static str {
    match code {
        Code::InvalidArgument if operation == "QueryWorkflow" => "QueryFailed",
        Code::AlreadyExists if operation == "RegisterNamespace" => "NamespaceAlreadyExists",
        Code::AlreadyExists => "WorkflowExecutionAlreadyStarted",
        Code::Ok => "Ok",
        Code::Cancelled => "Canceled",
        Code::Unknown => "Unknown",
        Code::InvalidArgument => "InvalidArgument",
        Code::DeadlineExceeded => "DeadlineExceeded",
        Code::NotFound => "NotFound",
        Code::PermissionDenied => "PermissionDenied",
        Code::ResourceExhausted => "ResourceExhausted",
        Code::FailedPrecondition => "FailedPrecondition",
        Code::Aborted => "Aborted",
        Code::OutOfRange => "OutOfRange",
        Code::Unimplemented => "Unimplemented",
        Code::Internal => "Internal",
        Code::Unavailable => "Unavailable",
        Code::DataLoss => "DataLoss",
        Code::Unauthenticated => "Unauthenticated",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_public_method_has_a_name() {
        let path = "/temporal.api.workflowservice.v1.WorkflowService/StartWorkflowExecution";
        assert_eq!(OPERATIONS.get(path), Some(&"StartWorkflowExecution"));
        assert_eq!(OPERATIONS.get("/grpc.health.v1.Health/Check"), Some(&"Check"));
        assert!(!OPERATIONS.contains_key("/anything/else"));
    }

    #[test]
    fn the_status_is_in_the_headers_of_an_error() {
        let mut headers = HeaderMap::new();
        assert_eq!(status(&headers), Code::Ok);
        headers.insert("grpc-status", "5".parse().expect("a header value"));
        assert_eq!(status(&headers), Code::NotFound);
    }
}

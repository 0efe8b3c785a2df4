//! Makes the requests of completion callbacks: so many at a time on this node, so many to one destination, none longer
//! than allowed; and judges the answers as Nexus does: what is the callback's own fault is not tried again.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use base64::engine::general_purpose::STANDARD;
use base64::Engine;
use bytes::Bytes;
use http::header::{HeaderValue, AUTHORIZATION};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde_json::Value;
use tokio::sync::futures::Notified;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::completion::Completion;
use crate::config::Callbacks;

/// Connections that wait for the next request, of one destination.
const IDLE_MAX: usize = 4;
const IDLE_FOR: Duration = Duration::from_secs(30);
/// Of an answer that is no success.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// Of what is kept of it.
const MESSAGE_BYTES_MAX: usize = 2000;
/// Addresses inside Temporal begin so. What they mean comes with Nexus operations.
const OWN_SCHEME: &str = "temporal://";

type Plain = Client<HttpConnector, Full<Bytes>>;
type Secure = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// One for each node.
pub struct CallbackCaller {
    plain: Plain,
    /// Made for the first https address: it reads the system's certificates, and tries again if it could not.
    secure: OnceLock<Secure>,
    limits: Callbacks,
    taken: Mutex<HashMap<String, usize>>,
    freed: Notify,
}

/// An answer to [`CallbackCaller::enter`].
pub enum Entry {
    Place(Place),
    DestinationBusy,
    NodeBusy,
}

/// The right to make one request; freed when it is dropped.
pub struct Place {
    caller: Arc<CallbackCaller>,
    destination: String,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    Delivered,
    Failed { message: String, retryable: bool },
}

impl Outcome {
    fn failed(message: impl Into<String>, retryable: bool) -> Self {
        let mut message = message.into();
        let end = (0..=MESSAGE_BYTES_MAX.min(message.len())).rev().find(|at| message.is_char_boundary(*at));
        message.truncate(end.unwrap_or_default());
        Self::Failed { message, retryable }
    }
}

impl CallbackCaller {
    pub fn new(limits: &Callbacks) -> Arc<Self> {
        let plain = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_FOR)
            .pool_max_idle_per_host(IDLE_MAX)
            .build(HttpConnector::new());
        Arc::new(Self {
            plain,
            secure: OnceLock::new(),
            limits: limits.clone(),
            taken: Mutex::default(),
            freed: Notify::new(),
        })
    }

    pub fn per_destination(&self) -> usize {
        self.limits.concurrent_per_destination
    }

    /// Ends when somebody has freed a place.
    pub fn freed(&self) -> Notified<'_> {
        self.freed.notified()
    }

    /// Takes a place for a request to this destination, however it is spelt.
    pub fn enter(self: &Arc<Self>, destination: &str) -> Entry {
        let destination = spelt_alike(destination);
        let mut taken = self.taken.lock().expect("no panic while held");
        if taken.values().sum::<usize>() >= self.limits.concurrent {
            return Entry::NodeBusy;
        }
        let here = taken.entry(destination.clone()).or_default();
        if *here >= self.limits.concurrent_per_destination {
            return Entry::DestinationBusy;
        }
        *here += 1;
        Entry::Place(Place { caller: self.clone(), destination })
    }

    fn leave(&self, destination: &str) {
        let mut taken = self.taken.lock().expect("no panic while held");
        if let Some(here) = taken.get_mut(destination) {
            *here -= 1;
            if *here == 0 {
                taken.remove(destination);
            }
        }
        drop(taken);
        self.freed.notify_waiters();
    }

    fn secure(&self) -> Result<&Secure, String> {
        if let Some(made) = self.secure.get() {
            return Ok(made);
        }
        let connector = HttpsConnectorBuilder::new()
            .with_native_roots()
            .map_err(|error| format!("no certificates to trust: {error}"))?
            .https_only()
            .enable_http1()
            .build();
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_FOR)
            .pool_max_idle_per_host(IDLE_MAX)
            .build(connector);
        Ok(self.secure.get_or_init(|| client))
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, String> {
        if request.uri().scheme_str() == Some("https") {
            return self.secure()?.request(request).await.map_err(|error| whole(&error));
        }
        self.plain.request(request).await.map_err(|error| whole(&error))
    }
}

/// A destination in small letters and without the user: the same host is one destination.
fn spelt_alike(destination: &str) -> String {
    let (scheme, authority) = destination.split_once("://").unwrap_or(("", destination));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}").to_lowercase()
}

/// An error with its causes.
fn whole(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

impl Drop for Place {
    fn drop(&mut self) {
        self.caller.leave(&self.destination);
    }
}

impl Place {
    pub async fn call(&self, completion: &Completion) -> Outcome {
        if completion.url.starts_with(OWN_SCHEME) {
            // Operations whose tokens could be valid do not exist yet.
            return Outcome::failed("handler error (BAD_REQUEST): invalid callback token", false);
        }
        let request = match request(completion) {
            Ok(request) => request,
            Err(why) => return Outcome::failed(why, false),
        };
        let within = self.caller.limits.request_timeout;
        match timeout(within, self.exchange(request)).await {
            Ok(outcome) => outcome,
            Err(_) => Outcome::failed(format!("no answer within {within:?}"), true),
        }
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Outcome {
        let (head, body) = match self.caller.send(request).await {
            Ok(response) => response.into_parts(),
            Err(error) => return Outcome::failed(error, true),
        };
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        if head.status.is_success() {
            return Outcome::Delivered;
        }
        let body = body.map(|body| body.to_bytes()).unwrap_or_default();
        refused(head.status, &head.headers, &body)
    }
}

fn request(completion: &Completion) -> Result<Request<Full<Bytes>>, String> {
    let mut headers = completion.headers.clone()?;
    let (url, user) = without_user(completion.url.split('#').next().unwrap_or_default());
    if let Some(user) = user.filter(|_| !headers.contains_key(AUTHORIZATION)) {
        let value = format!("Basic {}", STANDARD.encode(unescaped(user)));
        headers.insert(AUTHORIZATION, HeaderValue::try_from(value).map_err(|error| error.to_string())?);
    }
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(url)
        .body(Full::new(completion.body.clone()))
        .map_err(|error| error.to_string())?;
    *request.headers_mut() = headers;
    Ok(request)
}

/// An address without its user and password, and these.
fn without_user(url: &str) -> (String, Option<&str>) {
    let Some((scheme, rest)) = url.split_once("://") else { return (url.to_owned(), None) };
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    match authority.rsplit_once('@') {
        Some((user, host)) => (format!("{scheme}://{host}{path}"), Some(user)),
        None => (url.to_owned(), None),
    }
}

/// User and password as the header has them: with a colon between them, and without escapes.
fn unescaped(user: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = user.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = after.get(..2).filter(|_| *first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    if !user.contains(':') {
        bytes.push(b':');
    }
    bytes
}

/// An answer that is no success: an error of a Nexus handler, by its body or by its status.
fn refused(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Outcome {
    let said = headers
        .get(http::header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .filter(|kind| kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json")))
        .and_then(|_| serde_json::from_slice::<Value>(body).ok())
        .unwrap_or_default();
    let message = said["message"].as_str().unwrap_or_default();
    let in_words = |kind: &str| match message {
        "" => format!("handler error ({kind})"),
        message => format!("handler error ({kind}): {message}"),
    };
    if said["metadata"]["type"] == "nexus.HandlerError" {
        let kind = said["details"]["type"].as_str().unwrap_or("INTERNAL");
        let retryable = said["details"]["retryableOverride"].as_bool().unwrap_or_else(|| is_retryable(kind));
        return Outcome::failed(in_words(kind), retryable);
    }
    let Some(kind) = kind_of(status) else {
        return Outcome::failed(format!("unexpected response status: \"{status}\""), true);
    };
    let retryable = match headers.get("nexus-request-retryable").map(|value| value.as_bytes().to_ascii_lowercase()) {
        Some(value) if value == b"true" => true,
        Some(value) if value == b"false" => false,
        _ => is_retryable(kind),
    };
    Outcome::failed(in_words(kind), retryable)
}

fn kind_of(status: StatusCode) -> Option<&'static str> {
    Some(match status.as_u16() {
        400 => "BAD_REQUEST",
        401 => "UNAUTHENTICATED",
        403 => "UNAUTHORIZED",
        404 => "NOT_FOUND",
        408 => "REQUEST_TIMEOUT",
        409 => "CONFLICT",
        429 => "RESOURCE_EXHAUSTED",
        500 => "INTERNAL",
        501 => "NOT_IMPLEMENTED",
        503 => "UNAVAILABLE",
        520 => "UPSTREAM_TIMEOUT",
        _ => return None,
    })
}

fn is_retryable(kind: &str) -> bool {
    !matches!(kind, "BAD_REQUEST" | "UNAUTHENTICATED" | "UNAUTHORIZED" | "NOT_FOUND" | "CONFLICT" | "NOT_IMPLEMENTED")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> Outcome {
        let status = StatusCode::from_u16(status).expect("a status");
        let headers = headers
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        refused(status, &headers, body.as_bytes())
    }

    #[test]
    fn answers_are_judged_as_nexus_does() {
        let failed = |message: &str, retryable| Outcome::Failed { message: message.into(), retryable };
        assert_eq!(answered(503, &[], "busy"), failed("handler error (UNAVAILABLE)", true));
        assert_eq!(answered(429, &[], ""), failed("handler error (RESOURCE_EXHAUSTED)", true));
        assert_eq!(answered(404, &[], ""), failed("handler error (NOT_FOUND)", false));
        assert_eq!(answered(418, &[], ""), failed("unexpected response status: \"418 I'm a teapot\"", true));
        let json = ("content-type", "application/json; charset=utf-8");
        let body = "{\"message\":\"gone\"}";
        assert_eq!(answered(404, &[json], body), failed("handler error (NOT_FOUND): gone", false));
        let retry = ("nexus-request-retryable", "true");
        assert_eq!(answered(400, &[retry], ""), failed("handler error (BAD_REQUEST)", true));
        let body = "{\"message\":\"no\",\"metadata\":{\"type\":\"nexus.HandlerError\"},\
                    \"details\":{\"type\":\"INTERNAL\",\"retryableOverride\":false}}";
        assert_eq!(answered(500, &[json], body), failed("handler error (INTERNAL): no", false));
    }

    #[test]
    fn users_are_sent_as_a_header() {
        assert_eq!(without_user("http://me:p%40ss@h:1/x?y"), ("http://h:1/x?y".to_owned(), Some("me:p%40ss")));
        assert_eq!(without_user("http://h/x@y"), ("http://h/x@y".to_owned(), None));
        assert_eq!(unescaped("me:p%40ss"), b"me:p@ss");
        assert_eq!(unescaped("me"), b"me:");
    }

    #[test]
    fn a_destination_is_one_however_it_is_spelt() {
        assert_eq!(spelt_alike("HTTP://me:secret@Example.com:80"), "http://example.com:80");
        assert_ne!(spelt_alike("http://a"), spelt_alike("https://a"));
    }

    #[test]
    fn places_are_few() {
        let limits = Callbacks { concurrent: 3, concurrent_per_destination: 2, ..Callbacks::default() };
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let _entered = runtime.enter();
        let caller = CallbackCaller::new(&limits);
        let first = caller.enter("a");
        let _second = caller.enter("a");
        assert!(matches!(caller.enter("a"), Entry::DestinationBusy));
        let _third = caller.enter("b");
        assert!(matches!(caller.enter("c"), Entry::NodeBusy));
        drop(first);
        assert!(matches!(caller.enter("a"), Entry::Place(_)));
    }

    #[test]
    fn what_is_kept_of_an_answer_is_short() {
        let Outcome::Failed { message, .. } = Outcome::failed("ä".repeat(5000), true) else { unreachable!() };
        assert_eq!(message.len(), MESSAGE_BYTES_MAX);
    }
}

//! What a callback is told: the request of Nexus's protocol that completes an operation (Temporal:
//! common/nexus/nexusrpc/completion.go, GetNexusCompletion). Reasons of terminations stay here; only failures' own words
//! go out.

use std::fmt::Write;

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use http::header::{HeaderName, HeaderValue, CONTENT_TYPE, USER_AGENT};
use http::HeaderMap;
use prost::Message;
use proto::temporal::api::common::v1::callback::Variant;
use proto::temporal::api::common::v1::Payload;
use proto::temporal::api::failure::v1::failure::FailureInfo;
use proto::temporal::api::failure::v1::{CanceledFailureInfo, Failure, TerminatedFailureInfo, TimeoutFailureInfo};
use proto::temporal::api::history::v1::history_event::Attributes;
use statemachine::tables::{self, CallbackKey};
use statemachine::{state, Fault, Kv};

use super::failure::to_nexus;

const LINK: HeaderName = HeaderName::from_static("nexus-link");
const STATE: HeaderName = HeaderName::from_static("nexus-operation-state");
const START_TIME: HeaderName = HeaderName::from_static("nexus-operation-start-time");
const CLOSE_TIME: HeaderName = HeaderName::from_static("nexus-operation-close-time");
const LINK_TYPE: &str = "temporal.api.common.v1.Link.WorkflowEvent";
/// What belongs to the connection and the message: no caller says it for us.
const OURS: &[&str] = &[
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
const OUR_NAME: &str = concat!("everstep/", env!("CARGO_PKG_VERSION"));

/// One callback and what it is told.
pub struct Completion {
    pub namespace_id: String,
    pub workflow_id: String,
    pub run_id: String,
    pub attempt: i32,
    pub url: String,
    /// An error: it cannot be sent, now or later.
    pub headers: Result<HeaderMap, String>,
    pub body: Bytes,
}

impl Completion {
    /// `None`: it is no longer to be delivered.
    pub fn read(kv: &dyn Kv, key: &CallbackKey) -> Result<Option<Self>, Fault> {
        let Some(run) = tables::run(kv, key.run)? else { return Ok(None) };
        let Some(row) = tables::callback(kv, key.run, key.number)? else { return Ok(None) };
        if row.ready_time != key.ready_time {
            return Ok(None);
        }
        let close = tables::event(kv, key.run, run.next_event_id - 1)?;
        let told = Told::of(close.attributes.as_ref());
        let (url, given) = match row.callback.as_ref().and_then(|callback| callback.variant.clone()) {
            Some(Variant::Nexus(nexus)) => (nexus.url, nexus.header),
            _ => Default::default(),
        };
        let mut headers = told.headers;
        let headers = given
            .iter()
            .filter(|(name, _)| !is_ours(name))
            .try_for_each(|(name, value)| {
                headers.insert(name_of(name)?, value_of(value)?);
                Ok(())
            })
            .and_then(|()| complete(headers, &run, &row));
        Ok(Some(Self {
            namespace_id: run.namespace_id,
            workflow_id: run.workflow_id,
            run_id: run.run_id,
            attempt: row.attempt,
            url,
            headers,
            body: told.body,
        }))
    }
}

fn is_ours(name: &str) -> bool {
    OURS.iter().any(|ours| name.eq_ignore_ascii_case(ours))
}

fn name_of(name: &str) -> Result<HeaderName, String> {
    HeaderName::try_from(name).map_err(|_| format!("invalid header field name {name:?}"))
}

fn value_of(value: &str) -> Result<HeaderValue, String> {
    HeaderValue::try_from(value).map_err(|_| format!("invalid header field value {value:?}"))
}

/// Adds what the callback's own header does not say.
fn complete(mut headers: HeaderMap, run: &state::Run, row: &state::Callback) -> Result<HeaderMap, String> {
    let start = DateTime::<Utc>::from_timestamp_nanos(run.start_time);
    let close = DateTime::<Utc>::from_timestamp_nanos(run.close_time);
    for (name, value) in [
        (USER_AGENT, OUR_NAME.to_owned()),
        (START_TIME, start.format("%a, %d %b %Y %H:%M:%S GMT").to_string()),
        (CLOSE_TIME, close.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
        (LINK, link(run, row)),
    ] {
        if !headers.contains_key(&name) {
            headers.insert(name, value_of(&value)?);
        }
    }
    Ok(headers)
}

/// The event that started the workflow, or the request that attached the callback.
fn link(run: &state::Run, row: &state::Callback) -> String {
    let [namespace, workflow_id, run_id] = [&run.namespace, &run.workflow_id, &run.run_id].map(|part| escaped(part));
    let query = if row.request_id.is_empty() {
        "eventID=1&eventType=WorkflowExecutionStarted&referenceType=EventReference".to_owned()
    } else {
        let request_id = escaped(&row.request_id);
        format!("eventType=WorkflowExecutionOptionsUpdated&referenceType=RequestIdReference&requestID={request_id}")
    };
    let path = format!("/namespaces/{namespace}/workflows/{workflow_id}/{run_id}/history");
    format!("<temporal://{path}?{query}>; type=\"{LINK_TYPE}\"")
}

/// A part of a path or a query.
fn escaped(part: &str) -> String {
    let mut text = String::new();
    for byte in part.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => text.push(char::from(byte)),
            _ => drop(write!(text, "%{byte:02X}")),
        }
    }
    text
}

/// How it ended.
struct Told {
    headers: HeaderMap,
    body: Bytes,
}

impl Told {
    fn of(close: Option<&Attributes>) -> Self {
        let because = |message: &str, info| {
            Self::failure(
                "failed",
                &Failure { message: message.into(), failure_info: Some(info), ..Default::default() },
            )
        };
        match close {
            Some(Attributes::WorkflowExecutionCompletedEventAttributes(a)) => {
                Self::result(a.result.as_ref().and_then(|result| result.payloads.first()))
            }
            Some(Attributes::WorkflowExecutionFailedEventAttributes(a)) => {
                Self::failure("failed", &a.failure.clone().unwrap_or_default())
            }
            Some(Attributes::WorkflowExecutionCanceledEventAttributes(a)) => {
                let info = CanceledFailureInfo { details: a.details.clone(), ..Default::default() };
                let failure = Failure {
                    message: "operation canceled".into(),
                    failure_info: Some(FailureInfo::CanceledFailureInfo(info)),
                    ..Default::default()
                };
                Self::failure("canceled", &failure)
            }
            Some(Attributes::WorkflowExecutionTimedOutEventAttributes(_)) => {
                let info = FailureInfo::TimeoutFailureInfo(TimeoutFailureInfo::default());
                because("operation exceeded internal timeout", info)
            }
            // A run that is closed for good and none of these was terminated.
            _ => {
                let info = FailureInfo::TerminatedFailureInfo(TerminatedFailureInfo::default());
                because("operation terminated", info)
            }
        }
    }

    fn failure(state: &'static str, failure: &Failure) -> Self {
        let headers =
            [(STATE, HeaderValue::from_static(state)), (CONTENT_TYPE, HeaderValue::from_static("application/json"))];
        Self { headers: headers.into_iter().collect(), body: to_nexus(failure).to_string().into() }
    }

    fn result(payload: Option<&Payload>) -> Self {
        let mut headers = HeaderMap::from_iter([(STATE, HeaderValue::from_static("succeeded"))]);
        let (content_type, body) = content(payload);
        if let Some(value) = content_type.and_then(|text| HeaderValue::try_from(text).ok()) {
            headers.insert(CONTENT_TYPE, value);
        }
        Self { headers, body }
    }
}

/// A payload as the content of a message: what everybody can read as itself, everything else as Temporal's own
/// (Temporal: common/nexus/payload_serializer.go).
fn content(payload: Option<&Payload>) -> (Option<String>, Bytes) {
    let Some(payload) = payload else { return (None, Bytes::new()) };
    let text = |name: &str| payload.metadata.get(name).map(|value| String::from_utf8_lossy(value).into_owned());
    let (encoding, kind) = (text("encoding").unwrap_or_default(), text("messageType").unwrap_or_default());
    let content_type = match (encoding.as_str(), payload.metadata.len()) {
        ("json/plain", 1) => "application/json".to_owned(),
        ("binary/plain", 1) => "application/octet-stream".to_owned(),
        ("binary/null", 1) => return (None, payload.data.clone()),
        ("json/protobuf", 2) if !kind.is_empty() => {
            format!("application/json; format=protobuf; message-type={kind:?}")
        }
        ("binary/protobuf", 2) if !kind.is_empty() => format!("application/x-protobuf; message-type={kind:?}"),
        ("unknown/nexus-content", _) => return (text("type"), payload.data.clone()),
        _ => return (Some("application/x-temporal-payload".to_owned()), payload.encode_to_vec().into()),
    };
    (Some(content_type), payload.data.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(metadata: &[(&str, &str)]) -> Payload {
        let metadata = metadata.iter().map(|(name, value)| (name.to_string(), value.to_string().into())).collect();
        Payload { metadata, data: "{}".into(), ..Default::default() }
    }

    #[test]
    fn contents() {
        let typed = |metadata: &[(&str, &str)]| content(Some(&payload(metadata))).0;
        assert_eq!(content(None), (None, Bytes::new()));
        assert_eq!(typed(&[("encoding", "json/plain")]).as_deref(), Some("application/json"));
        let with_type = "application/x-protobuf; message-type=\"a.B\"";
        assert_eq!(typed(&[("encoding", "binary/protobuf"), ("messageType", "a.B")]).as_deref(), Some(with_type));
        let own = Some("application/x-temporal-payload");
        assert_eq!(typed(&[("encoding", "json/plain"), ("more", "x")]).as_deref(), own);
        assert_eq!(typed(&[]).as_deref(), own);
        assert_eq!(typed(&[("encoding", "binary/null")]), None);
    }

    #[test]
    fn callers_do_not_frame_the_message() {
        assert!(["Host", "Content-Length", "transfer-encoding", "TE"].iter().all(|name| is_ours(name)));
        assert!(["Authorization", "content-type", "X-Host"].iter().all(|name| !is_ours(name)));
    }

    #[test]
    fn links_name_the_start_or_the_request() {
        let run = state::Run {
            namespace: "default".into(),
            workflow_id: "a/b c".into(),
            run_id: "r".into(),
            ..Default::default()
        };
        let of_start = link(&run, &state::Callback::default());
        let expected = "<temporal:///namespaces/default/workflows/a%2Fb%20c/r/history\
                        ?eventID=1&eventType=WorkflowExecutionStarted&referenceType=EventReference>\
                        ; type=\"temporal.api.common.v1.Link.WorkflowEvent\"";
        assert_eq!(of_start, expected);
        let attached = state::Callback { request_id: "q".into(), ..Default::default() };
        assert!(link(&run, &attached).contains("&referenceType=RequestIdReference&requestID=q>"));
    }
}

//! Failures as Nexus has them: message and stack trace in the open, everything else as details of a named type
//! (Temporal: common/nexus/failure.go).

use prost::{Message, Name};
use proto::temporal::api::enums::v1::NexusHandlerErrorRetryBehavior as Behavior;
use proto::temporal::api::failure::v1::failure::FailureInfo;
use proto::temporal::api::failure::v1::{Failure, NexusHandlerFailureInfo};
use serde_json::{json, Map, Value};

use crate::effects::json::to_json;

/// What the details of all levels may hold, encoded: the details of each have its causes once more.
const DETAILS_BYTES_MAX: usize = 4 << 20;

/// A failure and its causes. Details beyond the bound leave the causes out, which stand beside them.
pub fn to_nexus(failure: &Failure) -> Value {
    level(failure, &mut { DETAILS_BYTES_MAX })
}

fn level(failure: &Failure, left: &mut usize) -> Value {
    let (kind, details) = match &failure.failure_info {
        Some(FailureInfo::NexusHandlerFailureInfo(info)) => ("nexus.HandlerError".to_owned(), handler_error(info)),
        _ => {
            let cause = failure.cause.clone().filter(|_| failure.encoded_len() <= *left);
            *left = left.saturating_sub(failure.encoded_len());
            let rest = Failure {
                source: failure.source.clone(),
                encoded_attributes: failure.encoded_attributes.clone(),
                failure_info: failure.failure_info.clone(),
                cause,
                ..Default::default()
            };
            (Failure::full_name(), to_json(&rest))
        }
    };
    let mut fields = Map::new();
    fields.insert("message".into(), failure.message.clone().into());
    if !failure.stack_trace.is_empty() {
        fields.insert("stackTrace".into(), failure.stack_trace.clone().into());
    }
    fields.insert("metadata".into(), json!({ "type": kind }));
    fields.insert("details".into(), details);
    if let Some(cause) = &failure.cause {
        fields.insert("cause".into(), level(cause, left));
    }
    Value::Object(fields)
}

fn handler_error(info: &NexusHandlerFailureInfo) -> Value {
    let mut fields = Map::new();
    fields.insert("type".into(), info.r#type.clone().into());
    match info.retry_behavior() {
        Behavior::Retryable => drop(fields.insert("retryableOverride".into(), true.into())),
        Behavior::NonRetryable => drop(fields.insert("retryableOverride".into(), false.into())),
        Behavior::Unspecified => {}
    }
    Value::Object(fields)
}

#[cfg(test)]
mod tests {
    use proto::temporal::api::failure::v1::ApplicationFailureInfo;

    use super::*;

    #[test]
    fn message_and_trace_stand_in_the_open() {
        let info = ApplicationFailureInfo { r#type: "Golden".into(), ..Default::default() };
        let failure = Failure {
            message: "it broke".into(),
            stack_trace: "here".into(),
            source: "golden".into(),
            failure_info: Some(FailureInfo::ApplicationFailureInfo(info)),
            cause: Some(Box::new(Failure { message: "deeper".into(), ..Default::default() })),
            ..Default::default()
        };
        let shown = to_nexus(&failure);
        assert_eq!(shown["message"], "it broke");
        assert_eq!(shown["stackTrace"], "here");
        assert_eq!(shown["metadata"], json!({ "type": "temporal.api.failure.v1.Failure" }));
        assert_eq!(shown["details"]["source"], "golden");
        assert_eq!(shown["details"]["applicationFailureInfo"], json!({ "type": "Golden" }));
        assert_eq!(shown["details"].get("message"), None);
        assert_eq!(shown["cause"]["message"], "deeper");
    }

    #[test]
    fn details_of_a_long_chain_are_bounded() {
        let one = |cause| Failure { message: "x".repeat(30 << 10), cause, ..Default::default() };
        let chain = |causes| one((0..causes).fold(None, |cause, _| Some(Box::new(one(cause)))));
        let short = to_nexus(&chain(2));
        assert_eq!(short["details"]["cause"]["cause"]["message"], short["message"], "a short chain is whole");
        let long = to_nexus(&chain(60));
        assert!(long.to_string().len() < 8 << 20);
        let deepest = (0..60).fold(&long, |level, _| &level["cause"]);
        assert_eq!(deepest["message"], short["message"], "every cause is told once");
    }

    #[test]
    fn handlers_errors_have_a_form_of_their_own() {
        let info =
            NexusHandlerFailureInfo { r#type: "NOT_FOUND".into(), retry_behavior: Behavior::NonRetryable as i32 };
        let failure = Failure { failure_info: Some(FailureInfo::NexusHandlerFailureInfo(info)), ..Default::default() };
        let shown = to_nexus(&failure);
        assert_eq!(shown["metadata"], json!({ "type": "nexus.HandlerError" }));
        assert_eq!(shown["details"], json!({ "type": "NOT_FOUND", "retryableOverride": false }));
    }
}

//! Failures the server itself makes, and the cutting of failures that are too large to keep.

use prost::Message;
use proto::temporal::api::enums::v1::TimeoutType;
use proto::temporal::api::failure::v1::failure::FailureInfo;
use proto::temporal::api::failure::v1::{ApplicationFailureInfo, Failure, ServerFailureInfo, TimeoutFailureInfo};

use super::{retry, texts};

const SOURCE: &str = "Server";
/// Bytes of a failure that a retried activity keeps (Temporal: limit.mutableStateActivityFailureSize.error).
const KEPT_MAX: usize = 4096;
/// Bytes that stay of a failure too large for an event (Temporal: limit.blobSize.warn).
const EVENT_MAX: usize = 512 * 1024;
/// What a field costs beside its text.
const FIELD_OVERHEAD: usize = 4;
/// Causes deeper than this are dropped when a failure is cut.
const DEPTH_MAX: usize = 20;

/// A payload was too large: no retry will make it smaller.
pub fn too_large(message: &str) -> Failure {
    server(message, true)
}

fn server(message: &str, non_retryable: bool) -> Failure {
    Failure {
        message: message.into(),
        failure_info: Some(FailureInfo::ServerFailureInfo(ServerFailureInfo { non_retryable })),
        ..Default::default()
    }
}

pub fn timeout(kind: TimeoutType) -> Failure {
    let message = match kind {
        TimeoutType::ScheduleToClose => texts::NO_TIME_LEFT.to_owned(),
        kind => format!("activity {} timeout", retry::timeout_name(kind)),
    };
    let info = TimeoutFailureInfo { timeout_type: kind as i32, ..Default::default() };
    Failure {
        message,
        source: SOURCE.into(),
        failure_info: Some(FailureInfo::TimeoutFailureInfo(info)),
        ..Default::default()
    }
}

/// What stands for a failure that is too large for an event.
pub fn replaced(failure: &Failure, blob_size: usize) -> Failure {
    Failure { cause: Some(Box::new(cut(failure, blob_size.min(EVENT_MAX)))), ..server(texts::FAILURE_TOO_LARGE, true) }
}

/// What a retried activity keeps of a failure.
pub fn kept(failure: &Failure) -> Failure {
    if failure.encoded_len() <= KEPT_MAX {
        return failure.clone();
    }
    Failure { cause: Some(Box::new(cut(failure, KEPT_MAX))), ..server(texts::FAILURE_TOO_LARGE, false) }
}

/// Drops details and cuts texts: the type first gets its share of `room`, then source, message, stack trace, causes.
fn cut(failure: &Failure, room: usize) -> Failure {
    cut_to_depth(failure, &mut { room }, DEPTH_MAX)
}

fn cut_to_depth(failure: &Failure, room: &mut usize, depth: usize) -> Failure {
    let mut short = Failure::default();
    match &failure.failure_info {
        Some(FailureInfo::ApplicationFailureInfo(info)) => {
            *room = room.saturating_sub(FIELD_OVERHEAD);
            short.failure_info = Some(FailureInfo::ApplicationFailureInfo(ApplicationFailureInfo {
                r#type: cut_text(&info.r#type, room),
                non_retryable: info.non_retryable,
                ..Default::default()
            }));
        }
        Some(FailureInfo::ServerFailureInfo(info)) => {
            *room = room.saturating_sub(FIELD_OVERHEAD);
            short.failure_info = Some(FailureInfo::ServerFailureInfo(*info));
        }
        _ => {}
    }
    short.source = cut_text(&failure.source, room);
    short.message = cut_text(&failure.message, room);
    short.stack_trace = cut_text(&failure.stack_trace, room);
    if let Some(cause) = failure.cause.as_ref().filter(|_| depth > 0 && *room > FIELD_OVERHEAD) {
        *room -= FIELD_OVERHEAD;
        short.cause = Some(Box::new(cut_to_depth(cause, room, depth - 1)));
    }
    short
}

fn cut_text(text: &str, room: &mut usize) -> String {
    let mut end = text.len().min(room.saturating_sub(FIELD_OVERHEAD));
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    *room = room.saturating_sub(end + FIELD_OVERHEAD);
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use proto::temporal::api::common::v1::{Payload, Payloads};

    use super::*;

    fn application(message: String) -> Failure {
        let details = Payloads { payloads: vec![Payload { data: vec![b'x'; 5000].into(), ..Default::default() }] };
        let info = ApplicationFailureInfo { r#type: "Golden".into(), details: Some(details), ..Default::default() };
        Failure {
            message,
            source: "golden".into(),
            stack_trace: "at main".into(),
            failure_info: Some(FailureInfo::ApplicationFailureInfo(info)),
            ..Default::default()
        }
    }

    #[test]
    fn a_large_failure_is_kept_short() {
        let kept = kept(&application("m".repeat(5000)));
        assert_eq!(kept.message, texts::FAILURE_TOO_LARGE);
        let cause = kept.cause.expect("the original");
        assert_eq!((cause.message.len(), cause.source.as_str(), cause.stack_trace.as_str()), (4068, "golden", ""));
    }

    #[test]
    fn a_failure_too_large_for_an_event_loses_its_details() {
        let replaced = replaced(&application("big".into()), 2 << 20);
        assert!(!retry::is_retryable(Some(&replaced), &Default::default()));
        let cause = replaced.cause.expect("the original");
        assert_eq!((cause.message.as_str(), cause.stack_trace.as_str()), ("big", "at main"));
        assert!(cause.encoded_len() < 100);
    }

    #[test]
    fn texts_are_cut_between_letters() {
        assert_eq!(cut_text("aü", &mut 6), "a");
        assert_eq!(cut_text("aü", &mut 7), "aü");
        assert_eq!(cut_text("aü", &mut 0), "");
    }
}

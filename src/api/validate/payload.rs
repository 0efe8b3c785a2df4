//! Sizes of what callers send. A payload that is too big is refused; a failure is cut, because its reason must get
//! through (Temporal: common/failure/failure.go Truncate).

use prost::Message;
use proto::temporal::api::common::v1::Memo;
use proto::temporal::api::failure::v1::failure::FailureInfo;
use proto::temporal::api::failure::v1::{ApplicationFailureInfo, Failure, ServerFailureInfo};

use super::{refuse, Checked};
use crate::config::Limits;

/// What is kept of a failure that is too big (Temporal's limit.blobSize.warn).
const FAILURE_BYTES_KEPT: usize = 512 << 10;
/// No failure has more causes than this that anybody reads.
const CAUSES_KEPT: usize = 32;

pub fn blob_is_too_big<M: Message>(payload: Option<&M>, limits: &Limits) -> bool {
    payload.is_some_and(|payload| payload.encoded_len() > limits.blob_bytes)
}

pub fn blob<M: Message>(payload: Option<&M>, limits: &Limits) -> Checked {
    if blob_is_too_big(payload, limits) {
        return Err(refuse("Blob data size exceeds limit."));
    }
    Ok(())
}

pub fn memo(memo: Option<&Memo>, limits: &Limits) -> Checked {
    if memo.is_some_and(|memo| memo.encoded_len() > limits.memo_bytes) {
        return Err(refuse("Memo size exceeds limit."));
    }
    Ok(())
}

/// The failure that takes the place of something too big.
pub fn size_failure(message: &str, cause: Option<Failure>) -> Failure {
    Failure {
        message: message.into(),
        cause: cause.map(Box::new),
        failure_info: Some(FailureInfo::ServerFailureInfo(ServerFailureInfo { non_retryable: true })),
        ..Default::default()
    }
}

/// `None` if the failure is small enough; else what to record in its place, with the failure, cut, as its cause.
pub fn shortened_failure(failure: Option<&Failure>, limits: &Limits) -> Option<Failure> {
    let failure = failure.filter(|failure| blob_is_too_big(Some(*failure), limits))?;
    let mut room = FAILURE_BYTES_KEPT.min(limits.blob_bytes);
    Some(size_failure("Failure exceeds size limit.", Some(cut(failure, &mut room, CAUSES_KEPT))))
}

/// Keeps texts as far as there is room and drops details.
fn cut(failure: &Failure, room: &mut usize, causes: usize) -> Failure {
    let failure_info = match &failure.failure_info {
        Some(FailureInfo::ApplicationFailureInfo(info)) => {
            Some(FailureInfo::ApplicationFailureInfo(ApplicationFailureInfo {
                r#type: take(&info.r#type, room),
                non_retryable: info.non_retryable,
                ..Default::default()
            }))
        }
        Some(FailureInfo::ServerFailureInfo(info)) => Some(FailureInfo::ServerFailureInfo(*info)),
        _ => None,
    };
    let message = take(&failure.message, room);
    let source = take(&failure.source, room);
    let stack_trace = take(&failure.stack_trace, room);
    let cause = failure.cause.as_ref().filter(|_| causes > 0 && *room > 0);
    let cause = cause.map(|cause| Box::new(cut(cause, room, causes - 1)));
    Failure { message, source, stack_trace, cause, failure_info, ..Default::default() }
}

fn take(text: &str, room: &mut usize) -> String {
    let end = (0..=text.len().min(*room)).rev().find(|&end| text.is_char_boundary(end)).unwrap_or_default();
    *room -= end;
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use proto::temporal::api::common::v1::{Payload, Payloads};

    use super::*;

    fn limits(bytes: usize) -> Limits {
        Limits { blob_bytes: bytes, memo_bytes: bytes, ..Limits::default() }
    }

    fn payloads(bytes: usize) -> Payloads {
        Payloads { payloads: vec![Payload { data: vec![b'x'; bytes].into(), ..Default::default() }] }
    }

    #[test]
    fn sizes_are_those_of_the_encoded_message() {
        let small = payloads(90);
        assert!(blob(Some(&small), &limits(small.encoded_len())).is_ok());
        let refused = blob(Some(&small), &limits(small.encoded_len() - 1)).expect_err("too big");
        assert_eq!(refused.message(), "Blob data size exceeds limit.");
        assert!(blob(None::<&Payloads>, &limits(0)).is_ok());
    }

    #[test]
    fn a_small_failure_stays_as_it_is() {
        let failure = Failure { message: "small".into(), ..Default::default() };
        assert_eq!(shortened_failure(Some(&failure), &limits(100)), None);
        assert_eq!(shortened_failure(None, &limits(0)), None);
    }

    #[test]
    fn a_big_failure_keeps_its_texts_and_loses_its_details() {
        let info =
            ApplicationFailureInfo { r#type: "Golden".into(), details: Some(payloads(5000)), ..Default::default() };
        let failure = Failure {
            message: "big".into(),
            source: "golden".into(),
            stack_trace: "at main".into(),
            failure_info: Some(FailureInfo::ApplicationFailureInfo(info)),
            ..Default::default()
        };
        let short = shortened_failure(Some(&failure), &limits(1000)).expect("too big");
        assert_eq!(short.message, "Failure exceeds size limit.");
        let cause = short.cause.expect("the failure");
        assert_eq!((cause.message.as_str(), cause.stack_trace.as_str()), ("big", "at main"));
        let expected = ApplicationFailureInfo { r#type: "Golden".into(), ..Default::default() };
        assert_eq!(cause.failure_info, Some(FailureInfo::ApplicationFailureInfo(expected)));
    }

    #[test]
    fn a_long_text_is_cut() {
        let failure = Failure { message: "ä".repeat(5000), ..Default::default() };
        let short = shortened_failure(Some(&failure), &limits(1001)).expect("too big");
        assert_eq!(short.cause.expect("the failure").message.len(), 1000);
    }
}

//! Search attributes: which exist, and what values they take. Writes are checked here, by the API for a start and by
//! the core for a command, with the same words (SEMANTICS B22, B36).

use bytes::Bytes;
use prost::Message;
use proto::temporal::api::common::v1::{Payload, SearchAttributes};
use proto::temporal::api::enums::v1::IndexedValueType as Type;
use serde_json::Value;

use crate::op::NamespaceFacts;
use crate::workflow::evolve::is_null;

const KEYS_MAX: usize = 100;
const VALUE_SIZE_MAX: usize = 2048;
const TOTAL_SIZE_MAX: usize = 40 * 1024;

/// Attributes every run has; nobody sets them.
pub const SYSTEM: &[(&str, Type)] = &[
    ("CloseTime", Type::Datetime),
    ("ExecutionDuration", Type::Int),
    ("ExecutionStatus", Type::Keyword),
    ("ExecutionTime", Type::Datetime),
    ("HistoryLength", Type::Int),
    ("HistorySizeBytes", Type::Int),
    ("ParentRunId", Type::Keyword),
    ("ParentWorkflowId", Type::Keyword),
    ("RootRunId", Type::Keyword),
    ("RootWorkflowId", Type::Keyword),
    ("RunId", Type::Keyword),
    ("StartTime", Type::Datetime),
    ("StateTransitionCount", Type::Int),
    ("TaskQueue", Type::Keyword),
    ("WorkflowId", Type::Keyword),
    ("WorkflowType", Type::Keyword),
];

/// Attributes that exist in every namespace; the third field says whether a caller may set them.
pub const PREDEFINED: &[(&str, Type, bool)] = &[
    ("BatcherNamespace", Type::Keyword, true),
    ("BatcherUser", Type::Keyword, true),
    ("BinaryChecksums", Type::KeywordList, true),
    ("BuildIds", Type::KeywordList, true),
    ("TemporalChangeVersion", Type::KeywordList, true),
    ("TemporalExternalPayloadCount", Type::Int, false),
    ("TemporalExternalPayloadSizeBytes", Type::Int, false),
    ("TemporalNamespaceDivision", Type::Keyword, true),
    ("TemporalPauseInfo", Type::KeywordList, true),
    ("TemporalReportedProblems", Type::KeywordList, true),
    ("TemporalScheduledById", Type::Keyword, true),
    ("TemporalScheduledStartTime", Type::Datetime, true),
    ("TemporalSchedulePaused", Type::Bool, true),
    ("TemporalUsedWorkerDeploymentVersions", Type::KeywordList, false),
    ("TemporalWorkerDeployment", Type::Keyword, false),
    ("TemporalWorkerDeploymentVersion", Type::Keyword, false),
    ("TemporalWorkflowVersioningBehavior", Type::Keyword, false),
];

/// Checks attributes a caller sets and returns them with their types noted, as they are stored. How large they may be
/// is for [`check_size`].
pub fn check(namespace: &NamespaceFacts, sent: &SearchAttributes) -> Result<SearchAttributes, String> {
    if sent.indexed_fields.len() > KEYS_MAX {
        return Err(format!("number of search attributes {} exceeds limit {KEYS_MAX}", sent.indexed_fields.len()));
    }
    let mut typed = SearchAttributes::default();
    for (name, payload) in &sent.indexed_fields {
        let kind = settable_type(namespace, name)?;
        if !is_null(payload) {
            check_value(name, kind, payload)?;
        }
        typed.indexed_fields.insert(name.clone(), with_type(payload, kind));
    }
    Ok(typed)
}

/// Refuses attributes that are too large, one by one or together (Temporal: searchattribute/validator.go, ValidateSize).
pub fn check_size(attributes: &SearchAttributes) -> Result<(), String> {
    for (name, payload) in &attributes.indexed_fields {
        let size = payload.data.len();
        if size > VALUE_SIZE_MAX {
            return Err(format!("search attribute {name} value size {size} exceeds size limit {VALUE_SIZE_MAX}"));
        }
    }
    let total = attributes.encoded_len();
    if total > TOTAL_SIZE_MAX {
        return Err(format!("total size of search attributes {total} exceeds size limit {TOTAL_SIZE_MAX}"));
    }
    Ok(())
}

fn settable_type(namespace: &NamespaceFacts, name: &str) -> Result<Type, String> {
    if let Some((_, kind, settable)) = PREDEFINED.iter().find(|(known, ..)| *known == name) {
        if *settable {
            return Ok(*kind);
        }
        return Err(format!("{name} attribute can't be set in SearchAttributes"));
    }
    if SYSTEM.iter().any(|(known, _)| *known == name) {
        return Err(format!("{name} attribute can't be set in SearchAttributes"));
    }
    let custom = namespace.search_attributes.get(name).and_then(|number| Type::try_from(*number).ok());
    custom.ok_or_else(|| format!("Namespace {} has no mapping defined for search attribute {name}", namespace.name))
}

fn with_type(payload: &Payload, kind: Type) -> Payload {
    let mut payload = payload.clone();
    payload.metadata.insert("type".into(), Bytes::from_static(type_name(kind).as_bytes()));
    payload
}

/// The name a type has in a payload's metadata.
pub fn type_name(kind: Type) -> &'static str {
    match kind {
        Type::Text => "Text",
        Type::Keyword => "Keyword",
        Type::Int => "Int",
        Type::Double => "Double",
        Type::Bool => "Bool",
        Type::Datetime => "Datetime",
        Type::KeywordList => "KeywordList",
        Type::Unspecified => "Unspecified",
    }
}

fn check_value(name: &str, kind: Type, payload: &Payload) -> Result<(), String> {
    let value = serde_json::from_slice::<Value>(&payload.data).ok();
    let fits = value.as_ref().is_some_and(|value| match value {
        Value::Array(items) if kind == Type::KeywordList => items.iter().all(Value::is_string),
        // A list of one stands for a scalar (system.visibilityAllowList).
        Value::Array(items) => items.len() <= 1 && items.iter().all(|item| is_of_type(kind, item)),
        scalar => is_of_type(kind, scalar),
    });
    if fits {
        return Ok(());
    }
    let shown = value.map_or_else(|| String::from_utf8_lossy(&payload.data).into_owned(), |value| shown(&value));
    Err(format!("invalid value for search attribute {name} of type {}: {shown}", type_name(kind)))
}

/// A value as Temporal's messages show it, which is how Go prints it: text bare, [1 2], map[a:1], 4.0 as 4.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(" ")),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| format!("{name}:{}", shown(value)));
            format!("map[{}]", fields.collect::<Vec<_>>().join(" "))
        }
        Value::Number(number) => number.to_string().trim_end_matches(".0").to_owned(),
        Value::Null => "<nil>".to_owned(),
        other => other.to_string(),
    }
}

fn is_of_type(kind: Type, value: &Value) -> bool {
    match kind {
        Type::Text | Type::Keyword | Type::KeywordList => value.is_string(),
        Type::Int => value.is_i64(),
        Type::Double => value.is_number(),
        Type::Bool => value.is_boolean(),
        Type::Datetime => value.as_str().is_some_and(looks_like_a_time),
        Type::Unspecified => false,
    }
}

/// RFC 3339: 2026-11-22T10:00:00Z, with a fraction or an offset if wanted.
fn looks_like_a_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    let digits =
        |range: std::ops::Range<usize>| bytes.get(range).is_some_and(|part| part.iter().all(u8::is_ascii_digit));
    let at = |index: usize, wanted: &[u8]| bytes.get(index).is_some_and(|byte| wanted.contains(byte));
    let zone = text.len() > 19 && (text.ends_with(['Z', 'z']) || text[19..].contains(['+', '-']));
    digits(0..4)
        && at(4, b"-")
        && digits(5..7)
        && at(7, b"-")
        && digits(8..10)
        && at(10, b"Tt ")
        && digits(11..13)
        && at(13, b":")
        && digits(14..16)
        && at(16, b":")
        && digits(17..19)
        && zone
}

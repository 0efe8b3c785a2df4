//! Which type a search attribute has, and how its values are read (SEMANTICS B22). The catalogue stands in the core.
//!
//! System attributes are fields of a run; predefined ones are stored like custom ones but exist in every namespace.
//! Values are JSON payloads whose metadata may name the type; the catalogue's type decides, not the payload's.

use std::borrow::Cow;
use std::collections::BTreeMap;

use proto::temporal::api::common::v1::Payload;
use proto::temporal::api::enums::v1::IndexedValueType as Kind;
pub use statemachine::visibility::attributes::{type_name, PREDEFINED, SYSTEM};

use super::query::literal::rfc3339_nanos;

/// Names of Temporal's own fields that are no attributes, and the prefix it keeps for itself.
const RESERVED: [&str; 4] = ["NamespaceId", "MemoEncoding", "Memo", "VisibilityTaskKey"];
pub const RESERVED_PREFIX: &str = "Temporal";

/// The type of an attribute that every run has.
pub fn system_kind(name: &str) -> Option<Kind> {
    SYSTEM.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
}

/// The type of an attribute that exists in every namespace.
pub fn predefined_kind(name: &str) -> Option<Kind> {
    PREDEFINED.iter().find(|(known, ..)| *known == name).map(|(_, kind, _)| *kind)
}

/// Whether a namespace may not use the name for an attribute of its own.
pub fn is_reserved(name: &str) -> bool {
    name.starts_with(RESERVED_PREFIX)
        || RESERVED.contains(&name)
        || system_kind(name).is_some()
        || predefined_kind(name).is_some()
}

/// The type of a namespace's own attribute.
pub fn custom_kind(custom: &BTreeMap<String, i32>, name: &str) -> Option<Kind> {
    Kind::try_from(*custom.get(name)?).ok().filter(|kind| *kind != Kind::Unspecified)
}

/// The type under which values of this name are stored: the namespace's own attributes, then predefined and system
/// ones. `None`: no such attribute.
pub fn kind_of(custom: &BTreeMap<String, i32>, name: &str) -> Option<Kind> {
    custom_kind(custom, name).or_else(|| predefined_kind(name)).or_else(|| system_kind(name))
}

/// One value of an attribute. Times are nanoseconds since the epoch.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'v> {
    Text(Cow<'v, str>),
    Integer(i64),
    Float(f64),
    Bool(bool),
    Time(i64),
    List(Vec<String>),
}

/// The payload is no value of the attribute's type. `shown` is the value as Temporal's messages print it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{shown}")]
pub struct Invalid {
    pub shown: String,
}

/// The value in a JSON payload; `None` for null and for an empty list. A list of one value is that value.
pub fn decode(payload: &Payload, kind: Kind) -> Result<Option<Value<'static>>, Invalid> {
    if payload.metadata.get("encoding").is_some_and(|encoding| encoding.as_ref() == b"binary/null") {
        return Ok(None);
    }
    let json: serde_json::Value = serde_json::from_slice(&payload.data)
        .map_err(|_| Invalid { shown: String::from_utf8_lossy(&payload.data).into_owned() })?;
    let value = match (&json, kind) {
        (serde_json::Value::Null, _) => return Ok(None),
        (serde_json::Value::Array(items), _) if items.is_empty() => return Ok(None),
        (serde_json::Value::Array(items), Kind::KeywordList) => list(items),
        (serde_json::Value::Array(items), _) if items.len() == 1 => scalar(&items[0], kind),
        (item, Kind::KeywordList) => list(std::slice::from_ref(item)),
        (item, _) => scalar(item, kind),
    };
    value.map(Some).ok_or_else(|| Invalid { shown: shown(&json) })
}

fn list(items: &[serde_json::Value]) -> Option<Value<'static>> {
    items.iter().map(|item| item.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>().map(Value::List)
}

fn scalar(item: &serde_json::Value, kind: Kind) -> Option<Value<'static>> {
    match kind {
        Kind::Text | Kind::Keyword => item.as_str().map(|text| Value::Text(Cow::Owned(text.to_owned()))),
        Kind::Int => item.as_i64().map(Value::Integer),
        Kind::Double => item.as_f64().map(Value::Float),
        Kind::Bool => item.as_bool().map(Value::Bool),
        Kind::Datetime => item.as_str().and_then(rfc3339_nanos).map(Value::Time),
        Kind::KeywordList | Kind::Unspecified => None,
    }
}

/// A JSON value as Go's `%v` prints it, which is what Temporal's messages show.
fn shown(json: &serde_json::Value) -> String {
    match json {
        serde_json::Value::Null => "<nil>".to_owned(),
        serde_json::Value::Bool(truth) => truth.to_string(),
        serde_json::Value::Number(number) => {
            number.as_f64().map_or_else(|| number.to_string(), |float| float.to_string())
        }
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Array(items) => {
            format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(" "))
        }
        serde_json::Value::Object(fields) => {
            let fields: Vec<_> = fields.iter().map(|(name, value)| format!("{name}:{}", shown(value))).collect();
            format!("map[{}]", fields.join(" "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Payload {
        Payload { data: text.as_bytes().to_vec().into(), ..Default::default() }
    }

    #[test]
    fn reserved_names() {
        for name in ["WorkflowId", "NamespaceId", "Memo", "TemporalThing", "BuildIds"] {
            assert!(is_reserved(name), "{name}");
        }
        assert!(!is_reserved("Color") && !is_reserved("workflowid"));
    }

    #[test]
    fn a_namespace_names_its_own_types() {
        let custom = BTreeMap::from([("Color".to_owned(), Kind::Keyword as i32), ("Bad".to_owned(), 0)]);
        assert_eq!(kind_of(&custom, "Color"), Some(Kind::Keyword));
        assert_eq!(kind_of(&custom, "BuildIds"), Some(Kind::KeywordList));
        assert_eq!(kind_of(&custom, "StartTime"), Some(Kind::Datetime));
        assert_eq!(kind_of(&custom, "Bad"), None);
        assert_eq!(kind_of(&custom, "color"), None);
    }

    #[test]
    fn values_by_type() {
        let text = |text: &'static str| Value::Text(Cow::Borrowed(text));
        for (payload, kind, value) in [
            ("\"k\"", Kind::Keyword, Some(text("k"))),
            ("[\"k\"]", Kind::Keyword, Some(text("k"))),
            ("\"two words\"", Kind::Text, Some(text("two words"))),
            ("[4]", Kind::Int, Some(Value::Integer(4))),
            ("3", Kind::Double, Some(Value::Float(3.0))),
            ("true", Kind::Bool, Some(Value::Bool(true))),
            ("\"1970-01-01T00:00:01Z\"", Kind::Datetime, Some(Value::Time(1_000_000_000))),
            ("\"one\"", Kind::KeywordList, Some(Value::List(vec!["one".into()]))),
            ("[\"a\",\"b\"]", Kind::KeywordList, Some(Value::List(vec!["a".into(), "b".into()]))),
            ("[]", Kind::KeywordList, None),
            ("null", Kind::Int, None),
        ] {
            assert_eq!(decode(&json(payload), kind), Ok(value), "{payload}");
        }
    }

    #[test]
    fn wrong_values_are_shown_as_temporal_shows_them() {
        for (payload, kind, shown) in [
            ("\"x\"", Kind::Int, "x"),
            ("1.5", Kind::Int, "1.5"),
            ("4.0", Kind::Int, "4"),
            ("1", Kind::Bool, "1"),
            ("[\"a\",\"b\"]", Kind::Keyword, "[a b]"),
            ("[1,2]", Kind::KeywordList, "[1 2]"),
            ("{\"a\":1}", Kind::Keyword, "map[a:1]"),
            ("\"yesterday\"", Kind::Datetime, "yesterday"),
        ] {
            assert_eq!(decode(&json(payload), kind), Err(Invalid { shown: shown.into() }), "{payload}");
        }
    }

    #[test]
    fn a_null_payload_is_no_value() {
        let metadata = BTreeMap::from([("encoding".to_owned(), b"binary/null".to_vec().into())]);
        assert_eq!(decode(&Payload { metadata, ..Default::default() }, Kind::Int), Ok(None));
    }
}

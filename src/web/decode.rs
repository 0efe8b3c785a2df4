//! Messages of Temporal's API as JSON values for people: payloads decoded where they are JSON, described where not.

use base64::engine::general_purpose::STANDARD;
use base64::Engine;
use serde_json::{Map, Value};

use crate::effects::json;

/// A message that the pool does not know is `null`.
pub(super) fn to_json<M: prost::Message + prost::Name>(message: &M) -> Value {
    readable(json::to_json(message))
}

/// Replaces each Payload and Payloads by what it holds.
fn readable(value: Value) -> Value {
    match value {
        Value::Object(fields) => match payload(&fields) {
            Some(content) => content,
            None => {
                let said = fields.into_iter().filter(|(_, value)| !is_empty_message(value));
                unwrap_payloads(said.map(|(name, value)| (name, readable(value))).collect())
            }
        },
        Value::Array(items) => Value::Array(items.into_iter().map(readable).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    }
}

/// Present, but says nothing. (A payload that holds `{}` has metadata.)
fn is_empty_message(value: &Value) -> bool {
    value.as_object().is_some_and(Map::is_empty)
}

/// `{payloads: [x]}` reads better as `x`.
fn unwrap_payloads(mut fields: Map<String, Value>) -> Value {
    if fields.len() == 1 {
        match fields.remove("payloads") {
            Some(Value::Array(mut items)) if items.len() == 1 => return items.remove(0),
            Some(items) => return items,
            None => {}
        }
    }
    Value::Object(fields)
}

/// What a Payload holds, if these are the fields of one.
fn payload(fields: &Map<String, Value>) -> Option<Value> {
    let encoding = STANDARD.decode(fields.get("metadata")?.as_object()?.get("encoding")?.as_str()?).ok()?;
    let encoding = String::from_utf8_lossy(&encoding).into_owned();
    let data = match fields.get("data") {
        Some(data) => STANDARD.decode(data.as_str()?).ok()?,
        None => Vec::new(),
    };
    Some(match encoding.as_str() {
        "binary/null" => Value::Null,
        "json/plain" | "json/protobuf" => match serde_json::from_slice(&data) {
            Ok(value) => value,
            Err(_) => Value::String(format!("({encoding}, but not JSON: {} bytes)", data.len())),
        },
        _ => Value::String(format!("({encoding}, {} bytes)", data.len())),
    })
}

/// As indented `name: value` lines, empty for nothing.
pub(super) fn lines(value: &Value) -> String {
    let mut text = String::new();
    if !value.is_null() {
        write_value(value, 0, &mut text);
    }
    text.trim().to_string()
}

fn write_value(value: &Value, depth: usize, text: &mut String) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                indent(depth, text);
                text.push_str(name);
                text.push(':');
                write_nested(value, depth, text);
            }
        }
        Value::Array(items) => {
            for item in items {
                indent(depth, text);
                text.push('-');
                write_nested(item, depth, text);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => write_nested(value, depth, text),
    }
}

fn write_nested(value: &Value, depth: usize, text: &mut String) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            text.push('\n');
            write_value(value, depth + 1, text);
        }
        Value::Array(items) if !items.is_empty() => {
            text.push('\n');
            write_value(value, depth + 1, text);
        }
        Value::String(string) if string.contains('\n') => {
            text.push('\n');
            for line in string.lines() {
                indent(depth + 1, text);
                text.push_str(line);
                text.push('\n');
            }
        }
        Value::Object(_) | Value::Array(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            text.push(' ');
            text.push_str(&value.to_string());
            text.push('\n');
        }
    }
}

fn indent(depth: usize, text: &mut String) {
    text.extend(std::iter::repeat_n("  ", depth));
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proto::temporal::api::common::v1::{Payload, Payloads};
    use serde_json::json;

    use super::*;

    fn payload(encoding: &str, data: &str) -> Payload {
        let metadata = BTreeMap::from([("encoding".to_string(), encoding.to_string().into())]);
        Payload { metadata, data: data.to_string().into(), ..Payload::default() }
    }

    #[test]
    fn payloads_are_read() {
        let one = Payloads { payloads: vec![payload("json/plain", "{\"a\":[1,null]}")] };
        assert_eq!(to_json(&one), json!({"a": [1, null]}));
        let many = Payloads {
            payloads: vec![payload("binary/null", ""), payload("binary/encrypted", "xyz"), payload("json/plain", "{")],
        };
        assert_eq!(to_json(&many), json!([null, "(binary/encrypted, 3 bytes)", "(json/plain, but not JSON: 1 bytes)"]));
    }

    #[test]
    fn values_become_lines() {
        let value = json!({"a": 1, "b": {"c": "x", "d": []}, "e": ["y", {"f": "two\nlines"}]});
        let expected = "a: 1\nb:\n  c: \"x\"\n  d: []\ne:\n  - \"y\"\n  -\n    f:\n      two\n      lines";
        assert_eq!(lines(&value), expected);
    }
}

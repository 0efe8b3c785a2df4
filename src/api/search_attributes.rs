//! Search attributes of a start: checked as the core checks those of commands, and without those that have no value.

use proto::temporal::api::common::v1::{Payload, SearchAttributes};
use statemachine::op::NamespaceFacts;
use statemachine::visibility::attributes;
use statemachine::Reject;

/// Refuses what the namespace does not know or what does not fit its type, and notes each one's type in its metadata
/// unless the caller did.
pub fn prepare(sent: &mut Option<SearchAttributes>, namespace: &NamespaceFacts) -> Result<(), Reject> {
    let Some(attributes) = sent.as_ref() else { return Ok(()) };
    let mut checked = attributes::check(namespace, attributes).map_err(Reject::invalid_argument)?;
    attributes::check_size(attributes).map_err(Reject::invalid_argument)?;
    checked.indexed_fields.retain(|_, payload| !is_absent(payload));
    for (name, payload) in &mut checked.indexed_fields {
        if let Some(told) = attributes.indexed_fields.get(name).and_then(|sent| sent.metadata.get("type")) {
            payload.metadata.insert("type".into(), told.clone());
        }
    }
    *sent = (!checked.indexed_fields.is_empty()).then_some(checked);
    Ok(())
}

/// No value at all; a JSON null is one, and is kept.
fn is_absent(payload: &Payload) -> bool {
    payload.metadata.get("encoding").is_some_and(|encoding| encoding.as_ref() == b"binary/null")
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proto::temporal::api::enums::v1::IndexedValueType;

    use super::*;

    fn prepared(name: &str, encoding: &'static str, data: &'static str) -> Result<Option<SearchAttributes>, String> {
        let metadata = [("encoding".to_owned(), Bytes::from_static(encoding.as_bytes()))].into();
        let payload = Payload { metadata, data: Bytes::from_static(data.as_bytes()), ..Default::default() };
        let namespace = NamespaceFacts {
            name: "ns".into(),
            search_attributes: [("Number".to_owned(), IndexedValueType::Int as i32)].into(),
            ..Default::default()
        };
        let mut sent = Some(SearchAttributes { indexed_fields: [(name.to_owned(), payload)].into() });
        prepare(&mut sent, &namespace).map_err(|reject| reject.message().to_owned())?;
        Ok(sent)
    }

    #[test]
    fn the_type_is_noted_and_null_is_dropped() {
        let kept = prepared("Number", "json/plain", "7").expect("valid").expect("kept");
        assert_eq!(kept.indexed_fields["Number"].metadata["type"], "Int");
        assert_eq!(prepared("Number", "binary/null", ""), Ok(None));
    }

    #[test]
    fn unknown_and_wrongly_typed_ones_are_refused() {
        let unknown = "Namespace ns has no mapping defined for search attribute Nonesuch";
        assert_eq!(prepared("Nonesuch", "json/plain", "7"), Err(unknown.into()));
        let wrong = "invalid value for search attribute Number of type Int: seven";
        assert_eq!(prepared("Number", "json/plain", "\"seven\""), Err(wrong.into()));
    }
}

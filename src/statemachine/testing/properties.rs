//! The lines of scripts that are about memos and search attributes.
//!
//! ```text
//! define 30                          the namespace has search attributes k1 to k30
//! complete memo=k:1000               the memo's k is so many bytes now; of 0 bytes, it goes
//! complete attributes=1-15:2000      k1 to k15 are so many bytes each now
//! complete continue-as-new=k:1000    with this memo
//! ```

use std::collections::BTreeMap;

use bytes::Bytes;
use proto::temporal::api::command::v1::{
    ContinueAsNewWorkflowExecutionCommandAttributes, ModifyWorkflowPropertiesCommandAttributes,
    UpsertWorkflowSearchAttributesCommandAttributes,
};
use proto::temporal::api::common::v1::{Memo, Payload, SearchAttributes};
use proto::temporal::api::enums::v1::IndexedValueType;

use super::script::{Script, Words};

pub(super) fn define(script: &mut Script, words: &Words<'_>) {
    let count: usize = words.pairs[0].0.parse().expect("a number");
    let kind = IndexedValueType::Keyword as i32;
    script.harness.namespace.search_attributes = (1..=count).map(|number| (format!("k{number}"), kind)).collect();
}

/// A text of so many bytes, or no value.
fn payload(size: &str) -> Payload {
    let size: usize = size.parse().expect("a number of bytes");
    let encoding = if size == 0 { "binary/null" } else { "json/plain" };
    let text = "x".repeat(size.saturating_sub(2));
    let data = if size == 0 { Bytes::new() } else { format!("\"{text}\"").into() };
    Payload { metadata: [("encoding".to_owned(), encoding.into())].into(), data, ..Default::default() }
}

fn memo(key: &str, size: &str) -> Option<Memo> {
    (!key.is_empty()).then(|| Memo { fields: [(key.to_owned(), payload(size))].into() })
}

pub(super) fn modify(key: &str, size: &str) -> ModifyWorkflowPropertiesCommandAttributes {
    ModifyWorkflowPropertiesCommandAttributes { upserted_memo: memo(key, size) }
}

pub(super) fn continue_as_new(key: &str, size: &str) -> ContinueAsNewWorkflowExecutionCommandAttributes {
    ContinueAsNewWorkflowExecutionCommandAttributes { memo: memo(key, size), ..Default::default() }
}

pub(super) fn upsert(range: &str, size: &str) -> UpsertWorkflowSearchAttributesCommandAttributes {
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let numbers = first.parse::<usize>().expect("a number")..=last.parse().expect("a number");
    let indexed_fields: BTreeMap<_, _> = numbers.map(|number| (format!("k{number}"), payload(size))).collect();
    UpsertWorkflowSearchAttributesCommandAttributes { search_attributes: Some(SearchAttributes { indexed_fields }) }
}

//! What a completed workflow task says about the worker: build ids, binary checksums and automatic reset points.

use bytes::Bytes;
use proto::temporal::api::common::v1::Payload;
use proto::temporal::api::history::v1::WorkflowTaskCompletedEventAttributes;
use proto::temporal::api::workflow::v1::ResetPointInfo;

use super::Run;
use crate::time::timestamp;

/// Reset points a run keeps (Temporal: history.historyMaxAutoResetPoints).
const RESET_POINTS_MAX: usize = 20;
const UNVERSIONED: &str = "unversioned";

#[expect(deprecated, reason = "SDKs still send checksums and version stamps")]
pub fn completed(run: &mut Run, event_id: i64, a: &WorkflowTaskCompletedEventAttributes, time: i64) {
    let build_id = a.worker_version.as_ref().map(|stamp| stamp.build_id.clone()).unwrap_or_default();
    if a.worker_version.is_some() {
        run.row.worker_version.clone_from(&a.worker_version);
    }
    let mut build_ids = vec![UNVERSIONED.to_owned()];
    if !build_id.is_empty() {
        build_ids.push(format!("{UNVERSIONED}:{build_id}"));
    }
    add_to_list(run, "BuildIds", build_ids);
    if !a.binary_checksum.is_empty() {
        add_to_list(run, "BinaryChecksums", vec![a.binary_checksum.clone()]);
    }
    add_reset_point(run, event_id, &a.binary_checksum, &build_id, time);
}

#[expect(deprecated, reason = "SDKs still send checksums")]
fn add_reset_point(run: &mut Run, event_id: i64, binary_checksum: &str, build_id: &str, time: i64) {
    let run_id = run.row.run_id.clone();
    let points = &mut run.row.reset_points.get_or_insert_default().points;
    let known = points.iter().any(|point| {
        if build_id.is_empty() {
            point.binary_checksum == binary_checksum && point.build_id.is_empty()
        } else {
            point.build_id == build_id
        }
    });
    if known {
        return;
    }
    points.push(ResetPointInfo {
        binary_checksum: binary_checksum.into(),
        build_id: build_id.into(),
        run_id,
        first_workflow_task_completed_id: event_id,
        create_time: Some(timestamp(time)),
        resettable: true,
        ..Default::default()
    });
    if points.len() > RESET_POINTS_MAX {
        points.remove(0);
    }
}

/// Adds values to a KeywordList search attribute, in order, each once.
fn add_to_list(run: &mut Run, name: &str, values: Vec<String>) {
    let fields = &mut run.row.search_attributes.get_or_insert_default().indexed_fields;
    let mut list = fields.get(name).map(keyword_list).unwrap_or_default();
    let before = list.len();
    for value in values {
        if !list.contains(&value) {
            list.push(value);
        }
    }
    if list.len() == before {
        return;
    }
    fields.insert(name.into(), keyword_list_payload(&list));
    run.visible_changed = true;
}

/// Reads a payload this module wrote: a JSON list of strings without escapes but \" and \\.
fn keyword_list(payload: &Payload) -> Vec<String> {
    let text = String::from_utf8_lossy(&payload.data);
    let mut list = Vec::new();
    let mut item: Option<String> = None;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (letter, item.as_mut()) {
            ('"', None) => item = Some(String::new()),
            ('"', Some(_)) => list.extend(item.take()),
            ('\\', Some(text)) => text.extend(letters.next()),
            (letter, Some(text)) => text.push(letter),
            (_, None) => {}
        }
    }
    list
}

pub(super) fn keyword_list_payload(list: &[String]) -> Payload {
    let quoted: Vec<String> =
        list.iter().map(|item| format!("\"{}\"", item.replace('\\', "\\\\").replace('"', "\\\""))).collect();
    let text = |text: &'static str| Bytes::from_static(text.as_bytes());
    Payload {
        metadata: [("encoding".to_owned(), text("json/plain")), ("type".to_owned(), text("KeywordList"))].into(),
        data: Bytes::from(format!("[{}]", quoted.join(","))),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyword_list_survives_a_round_trip() {
        let list = vec!["unversioned".to_owned(), "a \"quoted\" \\ one".to_owned()];
        assert_eq!(keyword_list(&keyword_list_payload(&list)), list);
    }
}

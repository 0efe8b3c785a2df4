//! Histories that a real Temporal server wrote (tests/golden/expected) fold into the core's state, and the state says
//! what Temporal's Describe said of the run at the same length of its history.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use base64::Engine;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, Kind, MessageDescriptor};
use proto::temporal::api::enums::v1::WorkflowExecutionStatus;
use proto::temporal::api::history::v1::{history_event, HistoryEvent};
use serde_json::{json, Map, Value};
use statemachine::state::Run;
use statemachine::tables::{self, RunKey};
use statemachine::testing::fold;
use statemachine::MemoryKv;

/// What the families are about that the core has; others hold events that it does not know yet.
const FAMILIES: [&str; 7] = ["activity", "chain", "child", "task", "timer", "update", "workflow"];
const NAMESPACE: &str = "aaaaaaaa-0000-4000-8000-000000000001";

struct Scenario {
    name: String,
    entries: Vec<Value>,
}

fn scenarios() -> Vec<Scenario> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../golden/expected");
    let mut found = Vec::new();
    for entry in fs_err::read_dir(folder).expect("recorded answers") {
        let path = entry.expect("a file").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        if FAMILIES.contains(&name.split('.').next().unwrap_or_default()) {
            let text = fs_err::read_to_string(&path).expect("recorded answers");
            found.push(Scenario { name, entries: serde_json::from_str(&text).expect("JSON") });
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

/// Every list of events within an entry.
fn histories<'v>(value: &'v Value, found: &mut Vec<&'v Vec<Value>>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::Array(events) if name == "events" => found.push(events),
                    other => histories(other, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| histories(value, found)),
        _ => {}
    }
}

/// `<uuid 7>` as an id that has the form of one, within any text.
fn with_ids(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("<uuid ") {
        let (number, after) = after.split_once('>').expect("a placeholder ends");
        out += before;
        out += &format!("bbbbbbbb-0000-4000-8000-{:0>12}", number);
        rest = after;
    }
    out + rest
}

/// A recorded value as the JSON of its protobuf type. `at`: the time that stands for every `<time>` of this event.
fn restored(kind: &Kind, value: &Value, at: &str) -> Value {
    match (kind, value) {
        (Kind::Message(message), value) => restored_message(message, value, at),
        (Kind::Bytes, Value::String(text)) => {
            let plain = || base64::prelude::BASE64_STANDARD.encode(with_ids(text));
            json!(text.strip_prefix("base64:").map_or_else(plain, str::to_owned))
        }
        (_, Value::String(text)) => json!(with_ids(text)),
        (_, other) => other.clone(),
    }
}

fn restored_message(message: &MessageDescriptor, value: &Value, at: &str) -> Value {
    match message.full_name() {
        "google.protobuf.Timestamp" => return json!(at),
        "google.protobuf.Duration" => return value.clone(),
        "temporal.api.common.v1.Payload" => return restored_payload(value),
        _ => {}
    }
    let mut fields = Map::new();
    for (name, value) in value.as_object().into_iter().flatten() {
        let field = message.get_field_by_name(name).unwrap_or_else(|| panic!("{} has no {name}", message.full_name()));
        let is_any = matches!(field.kind(), Kind::Message(inner) if inner.full_name() == "google.protobuf.Any");
        if is_any {
            continue; // Its type's fields are not told apart; no event of the core has one that matters.
        }
        let restored = match (field.is_map(), field.is_list(), value) {
            (true, _, Value::Object(items)) => {
                let Kind::Message(entry) = field.kind() else { panic!("{name} is a map") };
                let kind = entry.map_entry_value_field().kind();
                items
                    .iter()
                    .map(|(key, value)| (with_ids(key), restored(&kind, value, at)))
                    .collect::<Map<_, _>>()
                    .into()
            }
            (_, true, Value::Array(items)) => {
                items.iter().map(|item| restored(&field.kind(), item, at)).collect::<Vec<_>>().into()
            }
            _ => restored(&field.kind(), value, at),
        };
        fields.insert(name.clone(), restored);
    }
    fields.into()
}

/// `{"payload": "json/protobuf:…"}`; without a kind it is json/plain.
fn restored_payload(value: &Value) -> Value {
    let shown = value["payload"].as_str().unwrap_or_default();
    let encode = |text: &str| base64::prelude::BASE64_STANDARD.encode(text);
    let (kind, data) = match shown.split_once(':') {
        Some((kind, data)) if kind.contains('/') => (kind, data),
        _ => ("json/plain", shown),
    };
    json!({ "metadata": { "encoding": encode(kind) }, "data": encode(&with_ids(data)) })
}

fn event(pool: &DescriptorPool, recorded: &Value) -> HistoryEvent {
    let descriptor = pool.get_message_by_name("temporal.api.history.v1.HistoryEvent").expect("a known type");
    let number = recorded["event_id"].as_i64().expect("an id");
    let at = format!("2026-01-01T00:{:02}:{:02}Z", number / 60 % 60, number % 60);
    let json = restored_message(&descriptor, recorded, &at);
    let message = DynamicMessage::deserialize(descriptor, &json).unwrap_or_else(|error| panic!("{error}: {json}"));
    HistoryEvent::decode(message.encode_to_vec().as_slice()).expect("the same type")
}

/// A run as its history tells it.
struct Folded {
    key: RunKey,
    kv: MemoryKv,
    row: Run,
}

fn folded(scenario: &str, events: &[HistoryEvent]) -> Folded {
    let Some(history_event::Attributes::WorkflowExecutionStartedEventAttributes(started)) = &events[0].attributes
    else {
        panic!("{scenario}: the first event starts nothing");
    };
    let run_id = started.original_execution_run_id.clone();
    let key = RunKey::new(NAMESPACE, &started.workflow_id, &run_id).expect("ids");
    let blank = Run { namespace_id: NAMESPACE.into(), namespace: "$namespace".into(), run_id, ..Default::default() };
    let (kv, row) = fold::of_events(key, blank, events).unwrap_or_else(|wrong| panic!("{scenario}: {wrong}"));
    Folded { key, kv, row }
}

fn text(value: &Value) -> String {
    with_ids(value.as_str().unwrap_or_default())
}

fn names(values: &Value, path: &str) -> BTreeSet<String> {
    values.as_array().into_iter().flatten().map(|value| text(value.pointer(path).unwrap_or(&Value::Null))).collect()
}

/// What Describe said, field by field, and what the state says.
fn compare(describe: &Value, run: &Folded) -> Vec<(&'static str, String, String)> {
    let info = &describe["workflow_execution_info"];
    let status = WorkflowExecutionStatus::try_from(run.row.status).expect("a status").as_str_name();
    let parent = run.row.parent.as_ref();
    let activities = tables::activities(&run.kv, run.key).expect("rows");
    let children = tables::children(&run.kv, run.key).expect("rows");
    let activity_ids: BTreeSet<String> = activities.into_iter().map(|activity| activity.activity_id).collect();
    let child_ids: BTreeSet<String> = children.into_iter().map(|child| child.workflow_id).collect();
    let memo: BTreeSet<&String> = run.row.memo.iter().flat_map(|memo| memo.fields.keys()).collect();
    let told: BTreeSet<&String> = info["memo"]["fields"].as_object().into_iter().flat_map(Map::keys).collect();
    let flag = |value: &Value| value.as_bool().unwrap_or_default().to_string();
    let cancelled = &describe["workflow_extended_info"]["cancel_requested"];
    vec![
        ("status", text(&info["status"]), status.to_owned()),
        ("history length", info["history_length"].to_string(), (run.row.next_event_id - 1).to_string()),
        ("workflow id", text(&info["execution"]["workflow_id"]), run.row.workflow_id.clone()),
        ("run id", text(&info["execution"]["run_id"]), run.row.run_id.clone()),
        ("type", text(&info["type"]["name"]), run.row.workflow_type.clone()),
        ("queue", text(&info["task_queue"]), run.row.task_queue.clone()),
        ("first run", text(&info["first_run_id"]), run.row.first_run_id.clone()),
        ("parent", text(&info["parent_execution"]["run_id"]), parent.map(|p| p.run_id.clone()).unwrap_or_default()),
        ("closed", (!info["close_time"].is_null()).to_string(), (run.row.close_time != 0).to_string()),
        ("cancel requested", flag(cancelled), run.row.cancel_requested.to_string()),
        ("memo", format!("{told:?}"), format!("{memo:?}")),
        (
            "activities",
            format!("{:?}", names(&describe["pending_activities"], "/activity_id")),
            format!("{activity_ids:?}"),
        ),
        ("children", format!("{:?}", names(&describe["pending_children"], "/workflow_id")), format!("{child_ids:?}")),
    ]
}

#[test]
fn recorded_histories_fold_into_what_describe_said() {
    let pool = DescriptorPool::decode(proto::PUBLIC_DESCRIPTORS).expect("generated descriptors");
    let (mut histories_folded, mut descriptions) = (0, 0);
    let mut wrong = Vec::new();
    for Scenario { name, entries } in scenarios() {
        let mut longest: BTreeMap<String, Vec<HistoryEvent>> = BTreeMap::new();
        for entry in &entries {
            let mut found = Vec::new();
            histories(entry, &mut found);
            for recorded in
                found.into_iter().filter(|events| events.first().is_some_and(|first| first["event_id"] == 1))
            {
                let events: Vec<HistoryEvent> = recorded.iter().map(|recorded| event(&pool, recorded)).collect();
                let dense = events.iter().zip(1..).all(|(event, id)| event.event_id == id);
                if !dense {
                    continue; // Read backwards.
                }
                histories_folded += 1;
                let run = folded(&name, &events);
                let known = longest.entry(run.row.run_id).or_default();
                if known.len() < events.len() {
                    *known = events;
                }
            }
        }
        for entry in &entries {
            let describe = &entry["ok"];
            let info = &describe["workflow_execution_info"];
            let length = info["history_length"].as_u64().unwrap_or_default() as usize;
            let events = longest.get(&text(&info["execution"]["run_id"])).filter(|events| events.len() >= length);
            let Some(events) = events.filter(|_| length > 0) else { continue };
            descriptions += 1;
            // While a worker has a task, events that are held back have changed the state and are no history yet.
            let held_back = describe["pending_workflow_task"]["state"] == "PENDING_WORKFLOW_TASK_STATE_STARTED";
            let hidden = |what| held_back && ["cancel requested", "activities", "children"].contains(&what);
            let compared = compare(describe, &folded(&name, &events[..length]));
            let differences = compared.into_iter().filter(|(what, a, b)| a != b && !hidden(*what));
            wrong.extend(differences.map(|(what, told, is)| format!("{name}: {what}: Describe {told}, state {is}")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(histories_folded > 150 && descriptions > 20, "{histories_folded} histories, {descriptions} descriptions");
    println!("{histories_folded} histories folded, {descriptions} descriptions compared");
}

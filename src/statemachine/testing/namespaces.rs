//! The lines of scripts that are about namespaces and the settings of queues.
//!
//! ```text
//! cluster 2                      a cluster of so many data shards; the script's store is all of them
//! register n                     update n retention=3600s owner=o data=k:v   delete-namespace n   namespaces
//! enter n                        what follows is in this namespace
//! change-retention n 3600s [max=2] [from]       drop n [max=2]               end-sweep n 1
//! queue-config q rate=5 key-rate=2 weight=k:3 unset=k                        runs
//! ```

use proto::temporal::api::namespace::v1::{NamespaceConfig, UpdateNamespaceInfo};
use proto::temporal::api::taskqueue::v1::RateLimit;
use proto::temporal::api::workflowservice::v1::update_task_queue_config_request::RateLimitUpdate;
use proto::temporal::api::workflowservice::v1::{
    RegisterNamespaceRequest, UpdateNamespaceRequest, UpdateTaskQueueConfigRequest,
};

use super::print;
use super::script::{seconds, Script, Words};
use crate::op::{answer, op::Kind};
use crate::time::{duration, SECOND};
use crate::{op, state, tables, TaskType};

/// What `change-retention … from` goes on from.
#[derive(Default)]
pub(super) struct Last {
    cursor: bytes::Bytes,
}

/// Whether the verb was one of these.
pub(super) fn step(script: &mut Script, verb: &str, words: &Words<'_>) -> bool {
    let name = words.pairs.first().map(|pair| pair.0).unwrap_or_default();
    match verb {
        "cluster" => cluster(script, name.parse().expect("a number")),
        "register" => call(script, Kind::RegisterNamespace(op::RegisterNamespace { request: Some(request(name)) })),
        "update-namespace" => call(script, update(name, words)),
        "delete-namespace" => {
            let keep_for = seconds(words.get("keep", "0s"));
            call(
                script,
                Kind::DeleteNamespace(op::DeleteNamespace { namespace: name.into(), keep_for, ..Default::default() }),
            );
        }
        "namespaces" => list(script),
        "enter" => enter(script, name),
        "change-retention" | "drop" => page(script, verb, name, words),
        "end-sweep" => {
            let row = find(script, name);
            let number = row.sweep.map(|sweep| sweep.number).unwrap_or_default();
            let shard = words.pairs[1].0.parse().expect("a number");
            call(script, Kind::EndSweep(op::EndSweep { namespace_id: row.id, number, shard }));
        }
        "queue-config" => queue_config(script, name, words),
        "runs" => runs(script),
        _ => return false,
    }
    true
}

fn cluster(script: &mut Script, data_shards: u32) {
    let cluster = Some(state::Cluster { data_shards, ..Default::default() });
    script.propose(Kind::InitCluster(op::InitCluster { cluster, ..Default::default() }));
}

fn request(name: &str) -> RegisterNamespaceRequest {
    RegisterNamespaceRequest {
        namespace: name.into(),
        workflow_execution_retention_period: Some(duration(24 * 3600 * SECOND)),
        ..Default::default()
    }
}

fn update(name: &str, words: &Words<'_>) -> Kind {
    let retention = words.get("retention", "");
    let data = words.get("data", "").split_once(':');
    let request = UpdateNamespaceRequest {
        namespace: name.into(),
        update_info: Some(UpdateNamespaceInfo {
            owner_email: words.get("owner", "").into(),
            data: data.map(|(key, value)| (key.to_owned(), value.to_owned())).into_iter().collect(),
            ..Default::default()
        }),
        config: (!retention.is_empty()).then(|| NamespaceConfig {
            workflow_execution_retention_ttl: Some(duration(seconds(retention))),
            ..Default::default()
        }),
        ..Default::default()
    };
    Kind::UpdateNamespace(op::UpdateNamespace { request: Some(request) })
}

fn call(script: &mut Script, kind: Kind) {
    let proposal = script.harness.proposal(kind);
    let outcome = script.harness.commit(&proposal);
    script.say(&print::answer(&outcome.answer));
}

fn list(script: &mut Script) {
    let rows = tables::namespaces(&script.harness.kv, None, usize::MAX).expect("no fault");
    for row in rows.into_iter().filter(|row| row.id != crate::system::namespace::SYSTEM_ID) {
        let info = row.info.unwrap_or_default();
        let retention = row.config.and_then(|config| config.workflow_execution_retention_ttl).unwrap_or_default();
        let mut line = format!("{} {:?} retention={}s", info.name, info.state(), retention.seconds);
        if !info.owner_email.is_empty() || !info.data.is_empty() {
            line.push_str(&format!(" owner={} data={:?}", info.owner_email, info.data));
        }
        if let Some(sweep) = row.sweep {
            line.push_str(&format!(" sweep drop={} done={:?}", sweep.drop, sweep.shards_done));
        }
        script.say(&line);
    }
}

fn find(script: &Script, name: &str) -> state::Namespace {
    let rows = tables::namespaces(&script.harness.kv, None, usize::MAX).expect("no fault");
    let named = |row: &state::Namespace| row.info.as_ref().is_some_and(|info| info.name.starts_with(name));
    rows.into_iter().find(named).expect("a namespace")
}

fn enter(script: &mut Script, name: &str) {
    let row = find(script, name);
    let retention = row.config.as_ref().and_then(|config| config.workflow_execution_retention_ttl).unwrap_or_default();
    script.harness.namespace = op::NamespaceFacts {
        id: row.id,
        name: name.into(),
        retention: retention.seconds * SECOND,
        ..Default::default()
    };
}

fn page(script: &mut Script, verb: &str, name: &str, words: &Words<'_>) {
    let namespace_id = find(script, name).id;
    let max = words.get("max", "100").parse().expect("a number");
    let kind = if verb == "drop" {
        Kind::DropNamespace(op::DropNamespace { namespace_id, max })
    } else {
        let from = if words.has("from") { script.last.cursor.clone() } else { bytes::Bytes::new() };
        Kind::ChangeRetention(op::ChangeRetention { namespace_id, retention: seconds(words.pairs[1].0), from, max })
    };
    let answer = script.harness.propose(kind).answer;
    script.say(&print::answer(&answer));
    if let Some(answer::Kind::Sweep(page)) = answer.kind {
        script.last.cursor = page.next;
    }
}

fn queue_config(script: &mut Script, queue: &str, words: &Words<'_>) {
    let update = |key| {
        let rate = words.get(key, "");
        let rate_limit = (rate != "none").then(|| RateLimit { requests_per_second: rate.parse().unwrap_or_default() });
        words.has(key).then(|| RateLimitUpdate { rate_limit, reason: "script".into() })
    };
    let weight = words.get("weight", "").split_once(':');
    let request = UpdateTaskQueueConfigRequest {
        task_queue: queue.into(),
        task_queue_type: TaskType::Activity as i32,
        update_queue_rate_limit: update("rate"),
        update_fairness_key_rate_limit_default: update("key-rate"),
        set_fairness_weight_overrides: weight
            .map(|(key, weight)| (key.to_owned(), weight.parse().expect("a number")))
            .into_iter()
            .collect(),
        unset_fairness_weight_overrides: words
            .has("unset")
            .then(|| words.get("unset", "").into())
            .into_iter()
            .collect(),
        ..Default::default()
    };
    let namespace_id = script.harness.namespace.id.clone();
    call(script, Kind::UpdateQueueConfig(op::UpdateQueueConfig { namespace_id, request: Some(request) }));
}

/// Every run of the namespace, and when a closed one goes.
fn runs(script: &mut Script) {
    let harness = &script.harness;
    let mut lines = Vec::new();
    let visit = &mut |key: &[u8], _: &[u8]| {
        let key = tables::VisibleKey::decode(key).expect("a key");
        let row = tables::run(&harness.kv, key.run).expect("no fault").expect("a run");
        let kept = (row.retention_deadline - row.close_time) / SECOND;
        let kept = if key.closed { format!(" kept={kept}s") } else { String::new() };
        lines.push(format!("{} {:?}{kept}", row.workflow_id, row.status()));
        true
    };
    tables::VisibleKey::scan(&harness.kv, &harness.namespace.id, None, visit).expect("no fault");
    if lines.is_empty() {
        lines.push("none".into());
    }
    lines.iter().for_each(|line| script.say(line));
}

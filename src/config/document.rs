//! `docs/config.md`: every key with its default and one sentence, made from the defaults themselves and the table below.

use std::fmt::Write;

use toml::Value;

use super::dynamic::{self, Rule};
use super::Config;

/// Every key once, in the order of the page. A test compares the list with the structs.
pub const TEXTS: &[(&str, &str)] = &[
    ("cluster_id", "Nodes with another id are refused. Choose one for each cluster and keep it."),
    ("cluster_name", "What clients see as the name of the cluster."),
    ("node_id", "1 or more, different for each node, and never given to another node later, even if this one is gone."),
    ("data_dir", "Where the node keeps its data. One process at a time."),
    ("advertise", "`host:port` of the peer port as other nodes reach it. Default: the address in `peers`, or `listen.peer`."),
    ("data_shards", "How many Raft groups hold workflows. Read when the cluster is made, and never changed later."),
    ("chaos", "Honour the partitions that `everstep chaos` asks for ([chaos](chaos.md)). Not for production."),
    ("join", "Peer ports (`host:port`) of nodes of a cluster that exists: at its first start this node asks them to become a member, and has no `peers` ([membership](membership.md))."),
    ("peers", "The nodes that make the cluster at its first start: `[[peers]]` with `id` and `address` (of the peer port), this node included. The same list on each of them. Empty: a cluster of one."),
    ("listen.api", "gRPC for clients and workers."),
    ("listen.peer", "Between the nodes of the cluster, and for `everstep cluster`. Keep it inside your network."),
    ("listen.web", "Web pages. Not served if absent."),
    ("listen.http", "HTTP API. Not served if absent. (Answers 501 so far.)"),
    ("listen.metrics", "Prometheus endpoint, `/metrics`. Not served if absent."),
    ("raft.heartbeat", "A leader is silent for no longer than this."),
    ("raft.election_min", "A follower that hears nothing asks for votes at least this long after the leader's lease,"),
    ("raft.election_max", "and at most this long. The lease is as long as this."),
    ("raft.append_entries_max", "Entries of one message to a follower,"),
    ("raft.append_bytes_max", "and their bytes."),
    ("raft.lag_entries_max", "A follower further behind than this is sent a snapshot."),
    ("raft.snapshot_log_bytes", "A snapshot is made after this much log."),
    ("raft.log_entries_kept", "Entries kept after a snapshot, for followers that were away."),
    ("raft.snapshot_timeout", "For one snapshot sent to one follower."),
    ("raft.propose_timeout", "A write not acknowledged within this has an unknown outcome; the client is told to retry."),
    ("storage.cache_bytes", "Memory for blocks, indexes and filters read from files."),
    ("storage.write_buffers_bytes", "Memory for rows not yet in files, all shards together."),
    ("storage.log_tail_bytes", "The newest log entries of each shard kept in memory for followers."),
    ("storage.flush_every", "Rows are written to files at least this often while there are new ones; bounds the replay after a crash,"),
    ("storage.flush_log_bytes", "as does this much log."),
    ("storage.disk_reserve_bytes", "With less free space than this, writes are refused with ResourceExhausted until there is more."),
    ("limits.blob_bytes", "Bytes of one input, result, details or failure."),
    ("limits.memo_bytes", "Bytes of a memo."),
    ("limits.pending_activities", "Activities a workflow may have open."),
    ("limits.pending_children", "Child workflows it may have open."),
    ("limits.pending_signals", "Signals to other workflows under way."),
    ("limits.pending_cancels", "Requests to cancel other workflows under way."),
    ("limits.signals", "Signals one run takes."),
    ("limits.buffered_events", "Events that wait for the end of a workflow task; more fail the task."),
    ("limits.buffered_bytes", "Their bytes."),
    ("limits.history_events", "A run with more events is terminated."),
    ("limits.history_bytes", "A run with a larger history is terminated."),
    ("limits.suggest_continue_events", "From here on workers are told to continue as new."),
    ("limits.suggest_continue_bytes", "The same by size."),
    ("limits.updates_in_flight", "Updates of one run at the same time."),
    ("limits.updates_total", "Updates of one run."),
    ("limits.buffered_queries", "Queries that wait for a run's workflow task."),
    ("limits.links_per_request", "Links in one request."),
    ("limits.link_bytes", "Bytes of one link."),
    ("limits.run_gap_min", "Least time between the starts of two runs of one workflow id by continue-as-new."),
    ("limits.workflow_task_heartbeat", "How long a worker may keep a workflow task alive by heartbeats."),
    ("limits.retention_min", "Shortest retention a namespace may have."),
    ("frontend.requests_per_second", "Requests of all namespaces that this node takes; 0 is no limit. (Temporal: 2400.)"),
    ("frontend.namespace_requests_per_second", "Requests of one namespace; 0 is no limit. (Temporal: 2400.)"),
    ("frontend.namespace_burst_ratio", "How many seconds' worth a namespace may take at once."),
    ("frontend.namespace_visibility_requests_per_second", "Lists and counts of one namespace; 0 is no limit. (Temporal: 10.)"),
    ("frontend.namespace_long_polls", "Long polls of one namespace and kind waiting on this node; 0 is no limit. (Temporal: 1200.)"),
    ("frontend.namespace_pollers", "Polls of a namespace's workers that wait on this node, or at it as the home of their queues; more are answered ResourceExhausted."),
    ("frontend.namespace_queues", "Task queues of one namespace that this node knows at the same time, as long as somebody polls them or something waits in them."),
    ("frontend.poll_timeout", "A worker's poll without a task is answered empty after this."),
    ("frontend.history_poll_timeout", "The same for a poll for new history events, updates and results."),
    ("frontend.message_bytes_max", "Bytes of one request."),
    ("frontend.list_page_max", "Rows of one page of a list."),
    ("frontend.history_page_max", "Events of one page of history, if the caller does not say."),
    ("frontend.shutdown_drain", "After SIGTERM, running requests are given this long."),
    ("features.eager_workflow_start", "A start may bring its first task back to the worker that asked."),
    ("features.eager_activities", "A completed workflow task may bring back its activities."),
    ("features.cross_namespace_commands", "Workflows may signal, cancel and start workflows of other namespaces."),
    ("features.end_polls_on_shutdown", "A worker that says it shuts down has its polls ended at once."),
    ("features.worker_heartbeats", "Workers are asked to report themselves."),
    ("features.raw_history", "Histories are given out as encoded batches, which clients must be able to read (Temporal's Go SDK is)."),
    ("callbacks.allowed_addresses", "`[[callbacks.allowed_addresses]]` with `pattern` (`host:port`, `*` for any text) and `allow_insecure` (default false: https only): where completion callbacks may go. None: they are refused."),
    ("callbacks.request_timeout", "For one request."),
    ("callbacks.concurrent", "Requests of this node under way at the same time,"),
    ("callbacks.concurrent_per_destination", "and of those the ones to one host and port."),
    ("bootstrap.search_attributes", "Custom search attributes (`Name = \"Keyword\"`) of the namespaces below."),
    ("bootstrap.namespaces", "`[[bootstrap.namespaces]]` with `name` and `retention` (default 24h), made once the cluster has a leader, if missing."),
    ("log.level", "`error`, `warn`, `info`, `debug`, `trace`, `never`, or a filter such as `info,everstep::raft=debug`."),
    ("log.format", "`text` or `json`."),
];

/// The whole page.
pub fn page() -> String {
    let defaults = Value::try_from(Config::default()).expect("the defaults can be written as TOML");
    let mut page = String::from(INTRODUCTION);
    let mut section = "";
    for (name, text) in TEXTS {
        let heading = name.split_once('.').map_or("", |(heading, _)| heading);
        if section != heading || page.ends_with("\n\n") {
            section = heading;
            if !section.is_empty() {
                let _ = write!(page, "\n## [{section}]\n\n");
            }
            page.push_str("| key | default | |\n|---|---|---|\n");
        }
        let default = find(&defaults, name).map_or_else(|| "absent".into(), |value| format!("`{value}`"));
        let short = name.rsplit('.').next().expect("a split has a last part");
        let _ = writeln!(page, "| `{short}` | {default} | {text} |");
    }
    page.push_str(DYNAMIC);
    for key in dynamic::KEYS {
        let effect = match &key.rule {
            Rule::Sets(ours) => format!("sets `{ours}`"),
            Rule::Always(value) => format!("always `{value}`; another value is answered with a warning"),
            Rule::Nothing(why) => format!("none: {why}"),
            Rule::Later(part) => format!("none yet: {part}"),
        };
        let _ = writeln!(page, "| `{}` | {effect} |", key.name);
    }
    page
}

fn find<'a>(defaults: &'a Value, name: &str) -> Option<&'a Value> {
    name.split('.').try_fold(defaults, |table, part| table.get(part))
}

const INTRODUCTION: &str = "# Configuration

<!-- Generated by `everstep config docs > docs/config.md`. A test compares. -->

`everstep server --config everstep.toml` reads one TOML file. Every key has a default; an unknown key, a wrong type or a
value that cannot work ends the start with one line naming the key. `everstep config check FILE` only checks.
Durations are text: `\"250ms\"`, `\"10s\"`, `\"1h30m\"`. Sizes are bytes.

A node of a cluster of three:

```toml
cluster_id = \"orders\"
node_id = 1
data_dir = \"/var/lib/everstep\"
peers = [
  { id = 1, address = \"10.0.0.1:7234\" },
  { id = 2, address = \"10.0.0.2:7234\" },
  { id = 3, address = \"10.0.0.3:7234\" },
]
[listen]
api = \"0.0.0.0:7233\"
peer = \"0.0.0.0:7234\"
web = \"127.0.0.1:8233\"
metrics = \"127.0.0.1:9233\"
```

";

const DYNAMIC: &str = "
## Temporal's dynamic configuration

`--dynamic-config-value KEY=JSON` of `everstep dev`, `everstep server` and `everstep server start-dev` takes Temporal's
keys, without regard to case. Those below are known; any other is accepted with a warning.

| key | effect |
|---|---|
";

#[cfg(test)]
mod tests {
    use super::*;

    fn flatten(prefix: &str, value: &Value, into: &mut Vec<String>) {
        match value {
            Value::Table(table) if !table.is_empty() => {
                for (name, value) in table {
                    flatten(&format!("{prefix}{name}."), value, into);
                }
            }
            _ => into.push(prefix.trim_end_matches('.').to_string()),
        }
    }

    #[test]
    fn every_key_is_documented_once() {
        let mut keys: Vec<String> =
            ["advertise", "listen.web", "listen.http", "listen.metrics"].map(String::from).to_vec();
        flatten("", &Value::try_from(Config::default()).expect("serializes"), &mut keys);
        keys.sort();
        let mut documented: Vec<_> = TEXTS.iter().map(|(name, _)| name.to_string()).collect();
        documented.sort();
        assert_eq!(keys, documented);
    }

    #[test]
    fn the_page_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/config.md");
        let stored = fs_err::read_to_string(path).expect("docs/config.md");
        assert!(stored == page(), "docs/config.md is old: everstep config docs > docs/config.md");
    }
}

//! Every metric of Everstep: name, unit and one sentence. Names that dashboards of Temporal rely on keep Temporal's
//! name and shape (SEMANTICS B33): counters without `_total`, latencies in seconds without a unit in the name. Ours
//! begin with `everstep_`.

use metrics::Unit;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

#[derive(Debug, Clone, Copy)]
pub struct Metric {
    pub name: &'static str,
    pub kind: Kind,
    pub unit: Unit,
    pub help: &'static str,
}

const fn counter(name: &'static str, help: &'static str) -> Metric {
    Metric { name, kind: Kind::Counter, unit: Unit::Count, help }
}

const fn gauge(name: &'static str, unit: Unit, help: &'static str) -> Metric {
    Metric { name, kind: Kind::Gauge, unit, help }
}

const fn seconds(name: &'static str, help: &'static str) -> Metric {
    Metric { name, kind: Kind::Histogram, unit: Unit::Seconds, help }
}

const fn sizes(name: &'static str, unit: Unit, help: &'static str) -> Metric {
    Metric { name, kind: Kind::Histogram, unit, help }
}

pub const ALL: &[Metric] = &[
    // API, tags: operation, namespace, service_name; errors also error_type.
    counter("service_requests", "Requests taken."),
    seconds("service_latency", "From the request's arrival to its answer, long polls included."),
    gauge("service_pending_requests", Unit::Count, "Requests being worked on."),
    counter("service_errors", "Requests that ended in an error."),
    counter("service_error_with_type", "The same by kind, tag error_type."),
    counter("service_errors_invalid_argument", "Requests refused as wrong."),
    counter("service_errors_entity_not_found", "Requests for something that does not exist."),
    counter("service_errors_execution_already_started", "Starts of a workflow id that is taken."),
    counter("service_errors_namespace_already_exists", "Registrations of a name that is taken."),
    counter("service_errors_resource_exhausted", "Requests refused by a limit."),
    counter("service_errors_context_timeout", "Requests whose deadline passed."),
    counter("service_errors_unauthorized", "Requests without the right to make them."),
    counter("service_errors_query_failed", "Queries a worker could not answer."),
    counter("service_errors_unavailable", "Requests that found no leader in time."),
    // Workers, tags: operation, namespace, task_type.
    counter("poll_success", "Polls that got a task."),
    counter("poll_timeouts", "Polls that ended empty."),
    seconds("poll_latency", "From a poll's arrival to its end."),
    // Of the shards this node leads, tags: namespace, taskqueue, task_type; a queue's backlog is the sum over the nodes.
    gauge("approximate_backlog_count", Unit::Count, "Tasks that wait for a worker."),
    gauge("approximate_backlog_age_seconds", Unit::Seconds, "For how long the first of them has waited."),
    counter("everstep_matching_started_for_nobody", "Tasks started for a poll that had gone; they went back."),
    // Outcomes that clients and workers report, tags: operation, namespace.
    counter("activity_success", "Activities completed."),
    counter("activity_task_fail", "Attempts of activities that failed."),
    counter("activity_cancel", "Activities cancelled."),
    // What ended, counted by the leader of its shard, tags: operation, namespace.
    counter("workflow_success", "Runs completed."),
    counter("workflow_failed", "Runs failed."),
    counter("workflow_cancel", "Runs cancelled."),
    counter("workflow_terminate", "Runs terminated, by request or by the server."),
    counter("workflow_timeout", "Runs timed out."),
    counter("workflow_continued_as_new", "Runs continued as new."),
    counter("activity_task_timeout", "Attempts of activities that timed out."),
    counter("start_to_close_timeout", "Those that took too long."),
    counter("schedule_to_start_timeout", "Those that no worker took in time."),
    counter("schedule_to_close_timeout", "Those whose activity took too long."),
    counter("heartbeat_timeout", "Those whose worker fell silent."),
    // Raft and storage.
    gauge("everstep_raft_leaders", Unit::Count, "Shards this node leads."),
    counter("everstep_raft_elections_total", "Terms this node saw begin, over all shards."),
    seconds("everstep_raft_commit_seconds", "From a proposal to its answer, on the leader."),
    seconds("everstep_raft_apply_seconds", "One batch of entries applied."),
    sizes("everstep_raft_apply_batch_entries", Unit::Count, "Entries of one such batch."),
    gauge("everstep_raft_proposals_in_flight", Unit::Count, "Proposals waiting for their answer."),
    counter("everstep_raft_proposals_failed_total", "Proposals that got no answer, tag reason."),
    counter("everstep_raft_snapshots_sent_total", "Snapshots sent to other nodes."),
    counter("everstep_raft_snapshots_received_total", "Snapshots taken from other nodes."),
    gauge("everstep_raft_stopped_groups", Unit::Count, "Shards that stopped on this node over a fault."),
    seconds("everstep_raft_log_sync_seconds", "One fsync of the log."),
    sizes("everstep_raft_log_batch_entries", Unit::Count, "Entries of all shards that one fsync covered."),
    sizes("everstep_raft_log_queue_jobs", Unit::Count, "Jobs that waited when the log's writer took the queue."),
    seconds("everstep_raft_state_flush_seconds", "One flush of a state store."),
    gauge("everstep_raft_disk_full", Unit::Count, "1 while writes are refused for lack of disk space."),
    counter("everstep_router_retries", "Proposals and reads sent again because a leader changed."),
    counter("everstep_starts_refused", "Workflows refused because the node had more to do than it could."),
    counter("everstep_router_forwards", "Proposals sent to another node."),
    counter("everstep_callback_requests", "Requests of completion callbacks, tag outcome: delivered, retried, failed."),
    counter("everstep_effects_recoveries", "Shards whose soft state was rebuilt after a change of leader."),
    // The process.
    counter("restarts", "Starts of this process: 1."),
    gauge("process_resident_memory_bytes", Unit::Bytes, "Memory of the process."),
    gauge("process_open_fds", Unit::Count, "Open files and sockets."),
    gauge("process_threads", Unit::Count, "Threads."),
    gauge("process_cpu_seconds", Unit::Seconds, "CPU time used since the start."),
    gauge("process_start_time_seconds", Unit::Seconds, "When the process started, since 1970."),
];

/// Upper bounds of the buckets of histograms, by unit.
pub fn buckets(unit: Unit) -> &'static [f64] {
    match unit {
        Unit::Seconds => &SECONDS,
        Unit::Bytes => &BYTES,
        _ => &COUNTS,
    }
}

const SECONDS: [f64; 16] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 20.0, 60.0];
const BYTES: [f64; 9] = [1024.0, 4096.0, 16384.0, 65536.0, 262144.0, 1048576.0, 4194304.0, 16777216.0, 67108864.0];
const COUNTS: [f64; 10] = [1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 500.0, 2500.0, 10000.0];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// What stands in quotes in all sources but this file.
    fn literals(folder: &Path, into: &mut BTreeSet<String>) {
        for entry in fs_err::read_dir(folder).expect("a folder of sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                literals(&path, into);
            } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("catalog.rs") {
                let text = fs_err::read_to_string(&path).expect("a source");
                into.extend(text.lines().flat_map(|line| line.split('"').skip(1).step_by(2)).map(String::from));
            }
        }
    }

    #[test]
    fn the_list_is_complete_and_nothing_in_it_is_unused() {
        let names: BTreeSet<_> = ALL.iter().map(|metric| metric.name.to_string()).collect();
        assert_eq!(names.len(), ALL.len(), "a name is there twice");
        let mut used = BTreeSet::new();
        literals(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut used);
        let unused: Vec<_> = names.difference(&used).collect();
        assert!(unused.is_empty(), "nothing records {unused:?}");
        let ours = |name: &&String| name.starts_with("everstep_") && !name.contains([' ', ':', '.', '{', '-']);
        let missing: Vec<_> = used.difference(&names).filter(ours).collect();
        assert!(missing.is_empty(), "not in the list: {missing:?}");
    }
}

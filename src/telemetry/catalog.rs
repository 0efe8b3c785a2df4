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
    // Matching, tags: operation, namespace, taskqueue, task_type.
    counter("poll_success", "Polls that got a task."),
    counter("poll_success_sync", "Polls that got a task that came after them."),
    counter("poll_timeouts", "Polls that ended empty."),
    seconds("poll_latency", "From a poll's arrival to its end."),
    seconds("syncmatch_latency", "From a task's offer to a poller that waited."),
    seconds("asyncmatch_latency", "The same for tasks that had to wait."),
    seconds("task_dispatch_latency", "From a task being ready to a worker having it."),
    counter("tasks_added", "Tasks offered to matching."),
    counter("no_poller_tasks", "Tasks that found no poller in five minutes."),
    gauge("approximate_backlog_count", Unit::Count, "Tasks waiting for a poller."),
    gauge("approximate_backlog_age_seconds", Unit::Seconds, "How long the oldest of them waits."),
    gauge("loaded_task_queue_count", Unit::Count, "Task queues in memory."),
    // Workflows, tags: namespace, operation.
    counter("workflow_success", "Runs completed."),
    counter("workflow_failed", "Runs failed."),
    counter("workflow_cancel", "Runs cancelled."),
    counter("workflow_terminate", "Runs terminated."),
    counter("workflow_timeout", "Runs timed out."),
    counter("workflow_continued_as_new", "Runs continued as new."),
    counter("workflow_task_heartbeat_timeout_count", "Workflow tasks kept alive for too long."),
    counter("activity_success", "Activities completed."),
    counter("activity_fail", "Activities failed for good."),
    counter("activity_task_fail", "Attempts of activities that failed."),
    counter("activity_cancel", "Activities cancelled."),
    counter("activity_timeout", "Activities timed out for good, tag timeout_type."),
    counter("activity_task_timeout", "Attempts of activities that timed out, tag timeout_type."),
    seconds("activity_end_to_end_latency", "From an activity's schedule to its end."),
    counter("schedule_to_start_timeout", "Tasks not started in time."),
    counter("start_to_close_timeout", "Tasks not finished in time."),
    counter("schedule_to_close_timeout", "Activities not finished in time, retries included."),
    counter("heartbeat_timeout", "Activities that stopped to report."),
    sizes("history_size", Unit::Bytes, "Bytes of a run's history at its end."),
    sizes("history_count", Unit::Count, "Events of a run at its end."),
    // Raft and storage, tag shard where it makes sense.
    gauge("everstep_raft_leader", Unit::Count, "1 for a shard this node leads."),
    gauge("everstep_raft_term", Unit::Count, "The shard's term."),
    gauge("everstep_raft_applied", Unit::Count, "The last log index applied."),
    gauge("everstep_raft_lag", Unit::Count, "Log entries committed but not applied here."),
    counter("everstep_raft_elections", "Leaderships this node won."),
    counter("everstep_raft_transfers", "Leaderships this node handed over on purpose."),
    seconds("everstep_raft_commit_seconds", "From a proposal to its answer, on the leader."),
    seconds("everstep_raft_apply_seconds", "One batch of entries applied."),
    sizes("everstep_raft_apply_batch_entries", Unit::Count, "Entries of one such batch."),
    counter("everstep_raft_snapshots", "Snapshots, tag kind: built, sent, installed."),
    seconds("everstep_raft_log_sync_seconds", "One fsync of the log."),
    sizes("everstep_raft_log_batch_entries", Unit::Count, "Entries of all shards that one fsync covered."),
    sizes("everstep_raft_log_queue_jobs", Unit::Count, "Jobs that waited when the log's writer took the queue."),
    seconds("everstep_raft_state_flush_seconds", "One flush of a state store."),
    gauge("everstep_raft_disk_full", Unit::Count, "1 while writes are refused for lack of disk space."),
    counter("everstep_router_retries", "Proposals and reads sent again because a leader changed."),
    counter("everstep_router_forwards", "Proposals sent to another node."),
    gauge("everstep_effects_deadlines", Unit::Count, "Deadlines this node watches."),
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

    use super::*;

    #[test]
    fn no_name_is_there_twice() {
        let names: BTreeSet<_> = ALL.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), ALL.len());
    }
}

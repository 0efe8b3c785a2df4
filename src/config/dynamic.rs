//! Temporal's dynamic-configuration keys that clients, harnesses and people pass, and what each does here. Keys are
//! compared without case. A key that is not in the table is accepted with a warning.

use serde_json::Value;

use super::{duration, Config};

pub struct Key {
    pub name: &'static str,
    pub rule: Rule,
}

pub enum Rule {
    /// Sets our key of that name.
    Sets(&'static str),
    /// Everstep always behaves as if it had this value.
    Always(bool),
    /// Tunes a part that Everstep does not have, or what it does anyway.
    Nothing(&'static str),
    /// Belongs to an API that answers Unimplemented so far.
    Later(&'static str),
}

use Rule::{Always, Later, Nothing, Sets};

const CHASM: &str = "a choice between implementations inside Temporal";
const PARTITIONS: &str = "task queues have no partitions here";
const PERSISTENCE: &str = "there is no database to protect";
const CONSTANT: &str = "always Temporal's default here";
const CACHES: &str = "what was written is seen at once";
const MANY_HOSTS: &str = "Everstep has one limit for all roles of a node";

pub const KEYS: &[Key] = &[
    key("frontend.rps", Sets("frontend.requests_per_second")),
    key("frontend.namespaceRPS", Sets("frontend.namespace_requests_per_second")),
    key("frontend.namespaceBurstRatio", Sets("frontend.namespace_burst_ratio")),
    key("frontend.namespaceRPS.visibility", Sets("frontend.namespace_visibility_requests_per_second")),
    key("frontend.namespaceCount", Sets("frontend.namespace_long_polls")),
    key("frontend.visibilityMaxPageSize", Sets("frontend.list_page_max")),
    key("frontend.historyMaxPageSize", Sets("frontend.history_page_max")),
    key("frontend.shutdownDrainDuration", Sets("frontend.shutdown_drain")),
    key("matching.longPollExpirationInterval", Sets("frontend.poll_timeout")),
    key("history.longPollExpirationInterval", Sets("frontend.history_poll_timeout")),
    key("limit.blobSize.error", Sets("limits.blob_bytes")),
    key("limit.memoSize.error", Sets("limits.memo_bytes")),
    key("limit.numPendingActivities.error", Sets("limits.pending_activities")),
    key("limit.numPendingChildExecutions.error", Sets("limits.pending_children")),
    key("limit.numPendingSignals.error", Sets("limits.pending_signals")),
    key("limit.numPendingCancelRequests.error", Sets("limits.pending_cancels")),
    key("limit.historyCount.error", Sets("limits.history_events")),
    key("limit.historySize.error", Sets("limits.history_bytes")),
    key("limit.historyCount.suggestContinueAsNew", Sets("limits.suggest_continue_events")),
    key("limit.historySize.suggestContinueAsNew", Sets("limits.suggest_continue_bytes")),
    key("frontend.linkMaxSize", Sets("limits.link_bytes")),
    key("frontend.maxlinksPerRequest", Sets("limits.links_per_request")),
    key("history.maximumBufferedEventsBatch", Sets("limits.buffered_events")),
    key("history.maximumBufferedEventsSizeInBytes", Sets("limits.buffered_bytes")),
    key("history.maximumSignalsPerExecution", Sets("limits.signals")),
    key("history.maxInFlightUpdates", Sets("limits.updates_in_flight")),
    key("history.maxTotalUpdates", Sets("limits.updates_total")),
    key("history.MaxBufferedQueryCount", Sets("limits.buffered_queries")),
    key("history.workflowIdReuseMinimalInterval", Sets("limits.run_gap_min")),
    key("history.workflowTaskHeartbeatTimeout", Sets("limits.workflow_task_heartbeat")),
    key("system.namespaceMinRetentionLocal", Sets("limits.retention_min")),
    key("system.enableEagerWorkflowStart", Sets("features.eager_workflow_start")),
    key("system.enableActivityEagerExecution", Sets("features.eager_activities")),
    key("system.enableCrossNamespaceCommands", Sets("features.cross_namespace_commands")),
    key("frontend.enableCancelWorkerPollsOnShutdown", Sets("features.end_polls_on_shutdown")),
    key("frontend.WorkerHeartbeatsEnabled", Sets("features.worker_heartbeats")),
    key("frontend.sendRawWorkflowHistory", Sets("features.raw_history")),
    key("callback.allowedAddresses", Sets("callbacks.allowed_addresses")),
    key("component.callbacks.allowedAddresses", Sets("callbacks.allowed_addresses")),
    key("callback.request.timeout", Sets("callbacks.request_timeout")),
    key("component.callbacks.request.timeout", Sets("callbacks.request_timeout")),
    key("system.maxCallbacksPerWorkflow", Nothing(CONSTANT)),
    key("frontend.callbackURLMaxLength", Nothing(CONSTANT)),
    key("frontend.callbackHeaderMaxLength", Nothing(CONSTANT)),
    key("frontend.enableUpdateWorkflowExecution", Always(true)),
    key("frontend.enableUpdateWorkflowExecutionAsyncAccepted", Always(true)),
    key("frontend.enableExecuteMultiOperation", Always(true)),
    key("frontend.activityAPIsEnabled", Always(true)),
    key("frontend.ListWorkersEnabled", Always(true)),
    key("history.enableRequestIdRefLinks", Always(true)),
    key("system.enableNexus", Always(true)),
    key("system.enableDeployments", Always(true)),
    key("system.enableDeploymentVersions", Always(true)),
    key("frontend.enableServerVersionCheck", Always(false)),
    key("system.forceSearchAttributesCacheRefreshOnRead", Nothing(CACHES)),
    key("system.refreshNexusEndpointsMinWait", Nothing(CACHES)),
    key("system.system.refreshNexusEndpointsMinWait", Nothing(CACHES)),
    key("system.namespaceCacheRefreshInterval", Nothing(CACHES)),
    key("system.clusterMetadataRefreshInterval", Nothing(CACHES)),
    key("history.enableChasm", Nothing(CHASM)),
    key("history.enableTransitionHistory", Nothing(CHASM)),
    key("history.enableCHASMCallbacks", Nothing(CHASM)),
    key("matching.useNewMatcher", Nothing(CHASM)),
    key("matching.numTaskqueueReadPartitions", Nothing(PARTITIONS)),
    key("matching.numTaskqueueWritePartitions", Nothing(PARTITIONS)),
    key("frontend.persistenceMaxQPS", Nothing(PERSISTENCE)),
    key("history.persistenceMaxQPS", Nothing(PERSISTENCE)),
    key("matching.persistenceMaxQPS", Nothing(PERSISTENCE)),
    key("worker.persistenceMaxQPS", Nothing(PERSISTENCE)),
    key("history.rps", Nothing(MANY_HOSTS)),
    key("matching.rps", Nothing(MANY_HOSTS)),
    key("limit.maxIDLength", Nothing(CONSTANT)),
    key("limit.userMetadataSummarySize", Later("limits of user metadata")),
    key("limit.userMetadataDetailsSize", Later("limits of user metadata")),
    key("frontend.searchAttributesNumberOfKeysLimit", Nothing(CONSTANT)),
    key("frontend.searchAttributesSizeOfValueLimit", Nothing(CONSTANT)),
    key("frontend.searchAttributesTotalSizeLimit", Nothing(CONSTANT)),
    key("limit.blobSize.warn", Nothing("only limits that refuse exist here")),
    key("limit.memoSize.warn", Nothing("only limits that refuse exist here")),
    key("limit.historySize.warn", Nothing("only limits that refuse exist here")),
    key("limit.historyCount.warn", Nothing("only limits that refuse exist here")),
    key("history.enableCHASMSignalBacklinks", Later("links of signals")),
    key("history.enableSignalWithStartFromWorkflow", Later("signal-with-start from workflows")),
    key("history.enableUpdateCallbacks", Later("callbacks of updates")),
    key("component.nexusoperations.recordCancelRequestCompletionEvents", Later("Nexus")),
    key("component.nexusoperations.useSystemCallbackURL", Later("Nexus")),
    key("component.nexusoperations.callback.endpoint.template", Later("Nexus")),
    key("nexusoperation.enableStandalone", Later("standalone Nexus operations")),
    key("activity.enableStandalone", Later("standalone activities")),
    key("activity.enableCallbacks", Later("standalone activities")),
    key("activity.startDelayEnabled", Later("standalone activities")),
    key("frontend.workerCommandsEnabled", Later("worker commands")),
    key("system.enableCancelActivityWorkerCommand", Later("worker commands")),
    key("frontend.workerVersioningRuleAPIs", Later("worker versioning")),
    key("frontend.workerVersioningDataAPIs", Later("worker versioning")),
    key("frontend.workerVersioningWorkflowAPIs", Later("worker versioning")),
    key("frontend.enableVersioningDataAPIs", Later("worker versioning")),
    key("frontend.enableVersioningWorkflowAPIs", Later("worker versioning")),
    key("worker.buildIdScavengerEnabled", Later("worker versioning")),
    key("worker.removableBuildIdDurationSinceDefault", Later("worker versioning")),
    key("matching.maxDeployments", Later("worker deployments")),
    key("matching.maxVersionsInDeployment", Later("worker deployments")),
    key("matching.maxTaskQueuesInDeploymentVersion", Later("worker deployments")),
    key("matching.wv.VersionDrainageStatusVisibilityGracePeriod", Later("worker deployments")),
    key("matching.wv.VersionDrainageStatusRefreshInterval", Later("worker deployments")),
    key("frontend.MaxConcurrentBatchOperationPerNamespace", Later("batch operations")),
    key("frontend.MaxExecutionCountBatchOperationPerNamespace", Later("batch operations")),
];

const fn key(name: &'static str, rule: Rule) -> Key {
    Key { name, rule }
}

/// Splits `key=json`.
pub fn parse(argument: &str) -> Result<(String, Value), String> {
    let (name, text) = argument.split_once('=').ok_or_else(|| format!("`{argument}` is not KEY=JSON"))?;
    let value = serde_json::from_str(text).map_err(|error| format!("the value of {name} is not JSON: {error}"))?;
    Ok((name.into(), value))
}

/// Puts one of Temporal's keys into effect. The answer is a warning for the log, if there is anything to say.
pub fn apply(config: &mut Config, name: &str, value: &Value) -> anyhow::Result<Option<String>> {
    let Some(key) = KEYS.iter().find(|key| key.name.eq_ignore_ascii_case(name)) else {
        return Ok(Some(format!("dynamic configuration {name} is not known here and has no effect")));
    };
    match &key.rule {
        Sets(ours) => set(config, ours, value).map_err(|error| anyhow::anyhow!("{name}: {error}"))?,
        Always(fixed) if value.as_bool() != Some(*fixed) => {
            return Ok(Some(format!("dynamic configuration {name} is always {fixed} here")));
        }
        Always(_) | Nothing(_) | Later(_) => {}
    }
    Ok(None)
}

/// Puts a value at one of our keys, `section.name`.
fn set(config: &mut Config, key: &str, value: &Value) -> Result<(), String> {
    let mut whole = serde_json::to_value(&*config).map_err(|error| error.to_string())?;
    let place =
        whole.pointer_mut(&format!("/{}", key.replace('.', "/"))).ok_or_else(|| format!("there is no {key}"))?;
    *place = fitting(place, value)?;
    *config = serde_json::from_value(whole).map_err(|_| format!("{value} does not fit"))?;
    Ok(())
}

/// The value in the notation of the one it replaces: a flag, a list, a number, or a duration, which Temporal takes as a string in
/// Go's notation or as seconds.
fn fitting(old: &Value, new: &Value) -> Result<Value, String> {
    match old {
        Value::Bool(_) if new.is_boolean() => Ok(new.clone()),
        Value::Array(_) if new.is_array() => Ok(new.clone()),
        Value::Array(_) => Err(format!("{new} is not a list")),
        Value::Bool(_) => Err(format!("{new} is neither true nor false")),
        Value::String(_) => match (new.as_str(), new.as_u64()) {
            (Some(text), _) => duration::parse(text).map(|_| new.clone()),
            (None, Some(seconds)) => Ok(Value::from(format!("{seconds}s"))),
            (None, None) => Err(format!("{new} is not a duration")),
        },
        _ => {
            let whole = new.as_f64().filter(|float| float.fract() == 0.0).map(|float| float as i64);
            new.as_i64().or(whole).map(Value::from).ok_or_else(|| format!("{new} is not a fitting number"))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::*;
    use crate::config::AllowedAddress;

    fn applied(argument: &str) -> (Config, Option<String>) {
        let mut config = Config::default();
        let (name, value) = parse(argument).expect(argument);
        let warning = apply(&mut config, &name, &value).expect(argument);
        (config, warning)
    }

    #[test]
    fn keys_of_the_test_suites_take_effect() {
        assert_eq!(applied("history.workflowIdReuseMinimalInterval=\"0s\"").0.limits.run_gap_min, Duration::ZERO);
        assert_eq!(applied("limit.historyCount.suggestContinueAsNew=50").0.limits.suggest_continue_events, 50);
        assert!(!applied("system.enablecrossnamespacecommands=false").0.features.cross_namespace_commands);
        assert_eq!(applied("matching.longPollExpirationInterval=5").0.frontend.poll_timeout, Duration::from_secs(5));
        assert_eq!(applied("frontend.rps=5e3").0.frontend.requests_per_second, 5000);
        let addresses = "component.callbacks.allowedAddresses=[{\"Pattern\":\"*\",\"AllowInsecure\":true}]";
        let allowed = AllowedAddress { pattern: "*".into(), allow_insecure: true };
        assert_eq!(applied(addresses).0.callbacks.allowed_addresses, [allowed]);
    }

    #[test]
    fn what_has_no_effect_is_said() {
        assert!(applied("frontend.somethingNew=1").1.is_some_and(|text| text.contains("frontend.somethingNew")));
        assert!(applied("frontend.enableExecuteMultiOperation=false").1.is_some());
        assert_eq!(applied("frontend.enableExecuteMultiOperation=true").1, None);
    }

    #[test]
    fn wrong_values_are_refused() {
        for argument in
            ["limit.blobSize.error=-1", "limit.blobSize.error=\"x\"", "frontend.rps=1.5", "history.maxTotalUpdates=[]"]
        {
            let (name, value) = parse(argument).expect(argument);
            assert!(apply(&mut Config::default(), &name, &value).is_err(), "{argument}");
        }
        assert!(parse("a").is_err());
        assert!(parse("a=b").is_err());
    }

    #[test]
    fn no_key_is_there_twice_and_each_sets_a_documented_one() {
        let documented: BTreeSet<_> = crate::config::document::TEXTS.iter().map(|(name, _)| *name).collect();
        let mut seen = BTreeSet::new();
        for key in KEYS {
            assert!(seen.insert(key.name.to_lowercase()), "{}", key.name);
            if let Sets(ours) = key.rule {
                assert!(documented.contains(ours), "{ours}");
                let value = match ours {
                    "callbacks.allowed_addresses" => Value::Array(Vec::new()),
                    flag if flag.starts_with("features.") => Value::Bool(true),
                    _ => Value::from(7),
                };
                assert_eq!(set(&mut Config::default(), ours, &value), Ok(()), "{ours}");
            }
        }
    }
}

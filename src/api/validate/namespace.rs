//! What a namespace is registered with and changed to.

use prost_types::Duration;
use proto::temporal::api::enums::v1::{NamespaceState, ReplicationState};
use proto::temporal::api::replication::v1::NamespaceReplicationConfig;
use statemachine::time::nanos_or_zero;

use super::{refuse, Checked};
use crate::config::Limits;

pub fn retention(sent: Option<&Duration>, limits: &Limits) -> Checked {
    let least = i64::try_from(limits.retention_min.as_nanos()).unwrap_or(i64::MAX);
    if nanos_or_zero(sent) < least {
        return Err(refuse("A valid retention period is not set on request."));
    }
    Ok(())
}

/// A namespace is on this cluster and no other (Temporal: namespace_handler.go, validateReplicationStateUpdate;
/// nsmanager/attr_validator.go).
pub fn replication(sent: &NamespaceReplicationConfig, state: NamespaceState, cluster_name: &str) -> Checked {
    match ReplicationState::try_from(sent.state) {
        Ok(ReplicationState::Unspecified | ReplicationState::Normal) => {}
        _ if state != NamespaceState::Registered => {
            let text = "update ReplicationState is only supported when namespace is in Registered state, current state";
            return Err(refuse(format!("{text}: {}", shown(state))));
        }
        Ok(ReplicationState::Handover) => return Err(refuse("Handover can only be set for global namespace")),
        Err(_) => return Err(refuse(format!("Invalid replication state: {}", sent.state))),
    }
    let active = Some(&sent.active_cluster_name).filter(|name| !name.is_empty());
    let named = active.into_iter().chain(sent.clusters.iter().map(|cluster| &cluster.cluster_name));
    if let Some(other) = named.into_iter().find(|name| *name != cluster_name) {
        return Err(refuse(format!("Invalid cluster name: {other}")));
    }
    if sent.clusters.len() > 1 {
        return Err(refuse("Invalid local namespace clusters"));
    }
    Ok(())
}

fn shown(state: NamespaceState) -> &'static str {
    match state {
        NamespaceState::Unspecified => "Unspecified",
        NamespaceState::Registered => "Registered",
        NamespaceState::Deprecated => "Deprecated",
        NamespaceState::Deleted => "Deleted",
    }
}

#[cfg(test)]
mod tests {
    use proto::temporal::api::replication::v1::ClusterReplicationConfig;

    use super::*;

    fn refusal(active: &str, clusters: &[&str], change: impl FnOnce(&mut NamespaceReplicationConfig)) -> String {
        let cluster = |name: &&str| ClusterReplicationConfig { cluster_name: (*name).into(), ..Default::default() };
        let mut sent = NamespaceReplicationConfig {
            active_cluster_name: active.into(),
            clusters: clusters.iter().map(cluster).collect(),
            state: ReplicationState::Unspecified as i32,
        };
        change(&mut sent);
        let state = if clusters.contains(&"old") { NamespaceState::Deprecated } else { NamespaceState::Registered };
        replication(&sent, state, "here").map_or_else(|reject| reject.message().to_owned(), |()| "ok".into())
    }

    #[test]
    fn only_this_cluster_has_it() {
        assert_eq!(refusal("", &[], |_| ()), "ok");
        assert_eq!(refusal("here", &["here"], |sent| sent.state = ReplicationState::Normal as i32), "ok");
        assert_eq!(refusal("there", &[], |_| ()), "Invalid cluster name: there");
        assert_eq!(refusal("", &["here", "there"], |_| ()), "Invalid cluster name: there");
        assert_eq!(refusal("", &["here", "here"], |_| ()), "Invalid local namespace clusters");
    }

    #[test]
    fn it_is_not_handed_over() {
        let handover = |sent: &mut NamespaceReplicationConfig| sent.state = ReplicationState::Handover as i32;
        assert_eq!(refusal("", &[], handover), "Handover can only be set for global namespace");
        let text = "update ReplicationState is only supported when namespace is in Registered state, current state: \
                    Deprecated";
        assert_eq!(refusal("", &["old"], handover), text);
        assert_eq!(refusal("", &[], |sent| sent.state = 9), "Invalid replication state: 9");
    }

    #[test]
    fn a_retention_is_long_enough() {
        let limits = Limits { retention_min: std::time::Duration::from_secs(60), ..Limits::default() };
        let seconds = |seconds| Some(Duration { seconds, nanos: 0 });
        assert!(retention(seconds(60).as_ref(), &limits).is_ok());
        for short in [None, seconds(0), seconds(59), seconds(-60)] {
            assert!(retention(short.as_ref(), &limits).is_err(), "{short:?}");
        }
    }
}

//! Before a node takes part, it asks the others who they think it is: a node that was removed, or that lost its data
//! directory, must not vote under its old id. One that is leaving asks on, to learn that it may stop.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use proto::everstep::admin::v1::admin_client::AdminClient;
use proto::everstep::admin::v1::{GreetRequest, GreetResponse};
use statemachine::state::MemberState;
use tokio::time::sleep;
use tonic::transport::Endpoint;

use super::planner::Rows;
use crate::cluster::tasks::Tasks;
use crate::cluster::{Router, SYSTEM_SHARD};

pub(super) const PATIENCE: Duration = Duration::from_millis(500);
const LOOK: Duration = Duration::from_secs(1);
/// Leaders are heard several times in a second.
const SILENCE: Duration = Duration::from_secs(2);

/// What the others say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cluster) enum Greeting {
    /// Nobody knows of a cluster.
    NoCluster,
    /// Nobody knows of one yet, and somebody is still opening what it has stored.
    Opening,
    /// Take part, but never give a group its first voters.
    Welcome,
    /// There is a cluster and this node is not in it.
    Stranger,
    Refused(String),
}

/// Asks all of them at once; those that do not answer have no say.
pub(in crate::cluster) async fn greet(router: &Router, cluster_id: &str, addresses: &[String]) -> Greeting {
    let node_id = router.this_node();
    let answers = join_all(addresses.iter().map(|address| ask(address, node_id))).await;
    let answers: Vec<_> = answers.into_iter().flatten().collect();
    judge(node_id, cluster_id, &router.facts.incarnation, &answers)
}

pub(super) async fn ask(address: &str, node_id: u64) -> Option<GreetResponse> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).ok()?;
    let asked = async {
        let channel = endpoint.connect_timeout(PATIENCE).connect().await.ok()?;
        let answer = AdminClient::new(channel).greet(GreetRequest { node_id }).await;
        Some(answer.ok()?.into_inner())
    };
    tokio::time::timeout(PATIENCE, asked).await.ok()?
}

fn judge(node_id: u64, cluster_id: &str, incarnation: &[u8], answers: &[GreetResponse]) -> Greeting {
    let mut of_cluster = answers.iter().filter(|answer| !answer.cluster_id.is_empty()).peekable();
    if of_cluster.peek().is_none() {
        let opening = answers.iter().any(|answer| answer.opening);
        return if opening { Greeting::Opening } else { Greeting::NoCluster };
    }
    let mut welcome = false;
    for answer in of_cluster {
        if answer.cluster_id != cluster_id {
            let other = &answer.cluster_id;
            return Greeting::Refused(format!(
                "the nodes named belong to the cluster `{other}`, not to `{cluster_id}`"
            ));
        }
        if answer.state == "removed" {
            return Greeting::Refused(format!(
                "node {node_id} was removed from the cluster; a node id is used once: start it with another node_id, \
                 an empty data_dir and `join`"
            ));
        }
        if answer.known && !answer.incarnation.is_empty() && answer.incarnation != incarnation {
            return Greeting::Refused(other_directory(node_id));
        }
        welcome |= answer.known;
    }
    if welcome {
        Greeting::Welcome
    } else {
        Greeting::Stranger
    }
}

/// Why a node must not take part with what it has stored.
pub(in crate::cluster) fn other_directory(node_id: u64) -> String {
    format!(
        "node {node_id} is a member with another data directory, and this one knows none of its votes: start a node with a \
         new node_id and `join`, then `everstep cluster replace {node_id} NEW`"
    )
}

/// Runs until dropped: a node that was removed stops.
pub(in crate::cluster) async fn farewell(router: Arc<Router>, tasks: Tasks) {
    let node = router.this_node();
    loop {
        sleep(LOOK).await;
        let Some(rows) = router.local(SYSTEM_SHARD).and_then(|rows| Rows::read(&rows).ok()) else { continue };
        let removed = match rows.state(node) {
            MemberState::Removed => true,
            MemberState::Leaving => is_removed(&router).await,
            // Its replica may not have heard of it any more, or its disk was too full to take it.
            _ if router.is_left_alone(SYSTEM_SHARD, SILENCE) => is_removed(&router).await,
            _ => false,
        };
        if removed {
            tasks.fail(format!("node {node} was removed from the cluster and stops"));
            return;
        }
    }
}

async fn is_removed(router: &Router) -> bool {
    let others = router.peers.nodes().into_iter().filter(|other| other.node_id != router.this_node());
    let asked = join_all(others.map(|other| async move { ask(&other.peer_address, router.this_node()).await }));
    asked.await.into_iter().flatten().any(|answer| answer.state == "removed")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(cluster_id: &str, known: bool, state: &str, incarnation: &'static str) -> GreetResponse {
        let incarnation = bytes::Bytes::from_static(incarnation.as_bytes());
        GreetResponse {
            cluster_id: cluster_id.into(),
            known,
            state: state.into(),
            incarnation,
            opening: false,
            time: 0,
        }
    }

    #[test]
    fn one_node_that_knows_is_enough() {
        let nobody = answer("", false, "active", "");
        let known = answer("c", true, "active", "mine");
        let unknown = answer("c", false, "active", "");
        let judge = |answers: &[GreetResponse]| judge(3, "c", b"mine", answers);
        assert_eq!(judge(&[]), Greeting::NoCluster);
        assert_eq!(judge(std::slice::from_ref(&nobody)), Greeting::NoCluster);
        let opening = GreetResponse { opening: true, ..nobody.clone() };
        assert_eq!(judge(&[nobody.clone(), opening.clone()]), Greeting::Opening);
        assert_eq!(judge(&[opening, known.clone()]), Greeting::Welcome);
        assert_eq!(judge(&[nobody.clone(), known.clone()]), Greeting::Welcome);
        assert_eq!(judge(&[unknown.clone(), known.clone()]), Greeting::Welcome);
        assert_eq!(judge(std::slice::from_ref(&unknown)), Greeting::Stranger);
        assert_eq!(judge(&[answer("c", true, "active", "")]), Greeting::Welcome);
        for refused in [
            answer("other", false, "active", ""),
            answer("c", false, "removed", ""),
            answer("c", true, "active", "another"),
        ] {
            assert!(matches!(judge(&[known.clone(), refused]), Greeting::Refused(_)));
        }
    }
}

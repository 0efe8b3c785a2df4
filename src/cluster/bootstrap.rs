//! From nothing to a cluster: the system shard first, then the cluster's record, then the data shards it names.
//! A node that joins does not form anything: it is admitted, and finds the rest in the system shard.
//! Every step may be repeated, by any node, at any time: a node that starts again goes the same way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::try_join_all;
use proto::temporal::api::workflowservice::v1::RegisterNamespaceRequest;
use rand::RngCore;
use statemachine::{op, state, tables};
use tokio::time::{sleep, timeout, Instant};

use super::members::{self, Greeting};
use super::{RouteError, Router, SlotMap, Target, SYSTEM_SHARD};
use crate::raft::{Group, OpenError};

/// After this without a leader any voter gives a group its first voters, not only the one whose turn it is.
const INITIALIZE_AFTER: Duration = Duration::from_millis(1500);
/// One proposal of bootstrap; it is made again after.
const PATIENCE: Duration = Duration::from_secs(5);
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// What a node knows when it starts.
#[derive(Debug, Clone)]
pub struct Bootstrap {
    pub cluster_id: String,
    /// Of a new cluster; an existing one keeps what it has.
    pub data_shards: u32,
    /// The nodes a new cluster is made of; none when joining one.
    pub voters: BTreeSet<u64>,
    /// Where to ask for a place in a cluster that exists.
    pub join: Vec<String>,
    /// Made if missing.
    pub namespaces: Vec<RegisterNamespaceRequest>,
    /// Custom ones of those namespaces, name to IndexedValueType.
    pub search_attributes: BTreeMap<String, i32>,
}

#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("the data directory belongs to the cluster `{found}`, not to `{configured}`")]
    OtherCluster { found: String, configured: String },
    #[error("{0}")]
    Refused(String),
    #[error("the system shard cannot be read")]
    Read(#[from] statemachine::Fault),
}

/// Returns when this node takes part in every shard, each has a leader and the first namespaces exist.
pub async fn bootstrap(router: &Arc<Router>, plan: &Bootstrap) -> Result<(), BootstrapError> {
    let is_new = !router.groups.has_data(SYSTEM_SHARD);
    // Before anything here could vote.
    let plan = &if is_new { introduce(router, plan).await? } else { plan.clone() };
    let system = router.groups.start_shard(SYSTEM_SHARD).await?;
    router.feed.cluster_changed();
    // Before this node leads any data: it gives the time then.
    members::compare_clocks(router, &plan.join).await;
    if let Some(cluster) = stored(router)? {
        check(&cluster, plan)?;
        // Known before the system shard has a leader: all shards elect theirs at the same time.
        start_data_shards(router, cluster.data_shards, plan).await?;
    } else if !plan.join.is_empty() {
        members::join(router, &plan.cluster_id, &plan.join).await.map_err(BootstrapError::Refused)?;
    }
    lead(router, &system, plan).await?;
    let cluster = wait_for_cluster(router, &system, plan).await?;
    check(&cluster, plan)?;
    start_data_shards(router, cluster.data_shards, plan).await?;
    put_node(router, plan).await?;
    for group in router.groups.groups() {
        lead(router, &group, plan).await?;
    }
    create_namespaces(router, plan).await
}

/// With an empty data directory: asks the others whether this node may be what its configuration says.
async fn introduce(router: &Router, plan: &Bootstrap) -> Result<Bootstrap, BootstrapError> {
    let others = router.peers.nodes().into_iter().filter(|node| node.node_id != router.this_node());
    let addresses: Vec<String> = others.map(|node| node.peer_address).chain(plan.join.iter().cloned()).collect();
    let mut greeting = members::greet(router, &plan.cluster_id, &addresses).await;
    while greeting == Greeting::Opening {
        tracing::info!("waits for a node that reads what it has stored, to learn whether there is a cluster");
        tokio::time::sleep(ASK_AGAIN).await;
        greeting = members::greet(router, &plan.cluster_id, &addresses).await;
    }
    match greeting {
        Greeting::NoCluster | Greeting::Opening => Ok(plan.clone()),
        Greeting::Welcome => Ok(Bootstrap { voters: BTreeSet::new(), ..plan.clone() }),
        Greeting::Stranger if !plan.join.is_empty() => Ok(plan.clone()),
        Greeting::Stranger => Err(BootstrapError::Refused(format!(
            "node {} is not a member of the cluster `{}`: to make it one, start it with `join` instead of `peers`",
            router.this_node(),
            plan.cluster_id
        ))),
        Greeting::Refused(why) => Err(BootstrapError::Refused(why)),
    }
}

/// A node that was away for long may have been removed meanwhile: then nobody will ever lead it.
async fn check_removed(router: &Router, plan: &Bootstrap) -> Result<(), BootstrapError> {
    let others = router.peers.nodes().into_iter().filter(|node| node.node_id != router.this_node());
    let addresses: Vec<String> = others.map(|node| node.peer_address).collect();
    match members::greet(router, &plan.cluster_id, &addresses).await {
        Greeting::Refused(why) => Err(BootstrapError::Refused(why)),
        Greeting::NoCluster | Greeting::Opening | Greeting::Welcome | Greeting::Stranger => Ok(()),
    }
}

fn stored(router: &Router) -> Result<Option<Arc<state::Cluster>>, BootstrapError> {
    let Some(rows) = router.local(SYSTEM_SHARD) else { return Ok(None) };
    Ok(tables::cluster(&rows)?.map(Arc::new))
}

fn check(cluster: &state::Cluster, plan: &Bootstrap) -> Result<(), BootstrapError> {
    if cluster.cluster_id == plan.cluster_id {
        return Ok(());
    }
    Err(BootstrapError::OtherCluster { found: cluster.cluster_id.clone(), configured: plan.cluster_id.clone() })
}

async fn start_data_shards(router: &Arc<Router>, data_shards: u32, plan: &Bootstrap) -> Result<(), BootstrapError> {
    try_join_all((1..=data_shards).map(|shard| async move {
        router.groups.start_shard(shard).await?;
        if first_voter(shard, plan) == Some(router.this_node()) {
            router.groups.initialize(shard, plan.voters.clone()).await?;
        }
        Ok::<_, BootstrapError>(())
    }))
    .await?;
    Ok(())
}

/// Whose turn it is to give a group its first voters and thereby to lead it first: spread like the leaderships.
fn first_voter(shard: u32, plan: &Bootstrap) -> Option<u64> {
    let turn = (shard as usize).checked_rem(plan.voters.len())?;
    plan.voters.iter().nth(turn).copied()
}

/// Waits until the group has a leader; gives it its first voters when it is this node's turn or nobody else did.
async fn lead(router: &Arc<Router>, group: &Arc<Group>, plan: &Bootstrap) -> Result<(), BootstrapError> {
    let shard = group.shard();
    if first_voter(shard, plan) == Some(router.this_node()) {
        router.groups.initialize(shard, plan.voters.clone()).await?;
    }
    let mut leadership = group.leadership();
    loop {
        let led = leadership.wait_for(|now| now.leader.is_some());
        if timeout(INITIALIZE_AFTER, led).await.is_ok() {
            return Ok(());
        }
        if plan.voters.contains(&router.this_node()) {
            router.groups.initialize(shard, plan.voters.clone()).await?;
        }
        tracing::info!(shard, "waiting for a leader");
        check_removed(router, plan).await?;
    }
}

async fn wait_for_cluster(
    router: &Arc<Router>,
    system: &Arc<Group>,
    plan: &Bootstrap,
) -> Result<Arc<state::Cluster>, BootstrapError> {
    let mut changed = router.feed.cluster();
    loop {
        changed.mark_unchanged();
        if let Some(cluster) = stored(router)? {
            router.feed.cluster_changed();
            return Ok(cluster);
        }
        if system.is_leader() {
            match router.propose(Target::System, init_cluster(router, plan), Instant::now() + PATIENCE).await {
                Ok(_) => continue,
                Err(error) => tracing::warn!(%error, "the cluster's record is not written yet"),
            }
        }
        tokio::select! {
            _ = changed.changed() => {}
            () = sleep(Duration::from_millis(100)) => {}
        }
    }
}

fn init_cluster(router: &Router, plan: &Bootstrap) -> op::Op {
    let mut token_key = vec![0; 32];
    rand::rng().fill_bytes(&mut token_key);
    let cluster = state::Cluster {
        cluster_id: plan.cluster_id.clone(),
        token_key: Bytes::from(token_key),
        data_shards: plan.data_shards,
        feature_level: 1,
        created: super::now(),
    };
    let own = router.facts.node.clone();
    let others = router.peers.nodes().into_iter().filter(|node| node.node_id != own.node_id);
    let nodes = std::iter::once(own.clone()).chain(others).collect();
    let slots = SlotMap::even_ranges(plan.data_shards);
    let namespaces = plan.namespaces.clone();
    let init = op::InitCluster { cluster: Some(cluster), slots, nodes, namespaces };
    op::Op { kind: Some(op::op::Kind::InitCluster(init)) }
}

/// Tells the cluster this node's addresses, if it does not know them.
async fn put_node(router: &Arc<Router>, plan: &Bootstrap) -> Result<(), BootstrapError> {
    let own = &router.facts.node;
    loop {
        let rows = router.local(SYSTEM_SHARD).expect("the system shard was started above");
        let member = tables::member(&rows, own.node_id)?.unwrap_or_default();
        if !member.incarnation.is_empty() && member.incarnation != router.facts.incarnation {
            return Err(BootstrapError::Refused(members::other_directory(own.node_id)));
        }
        if tables::nodes(&rows)?.contains(own) && !member.incarnation.is_empty() {
            return Ok(());
        }
        let put = op::PutNode { node: Some(own.clone()), incarnation: router.facts.incarnation.clone() };
        commit(router, op::Op { kind: Some(op::op::Kind::PutNode(put)) }).await;
        check_removed(router, plan).await?;
    }
}

async fn create_namespaces(router: &Arc<Router>, plan: &Bootstrap) -> Result<(), BootstrapError> {
    for request in &plan.namespaces {
        let mut accepted = true;
        while let Some(op) = missing(router, request, &plan.search_attributes)? {
            if !accepted {
                tracing::error!(namespace = request.namespace, "the namespace cannot be made as configured");
                break;
            }
            // Refused may also mean that another node was faster: the next look tells.
            accepted = commit(router, op).await;
        }
    }
    Ok(())
}

/// What has to be done before the namespace is as wanted.
fn missing(
    router: &Router,
    request: &RegisterNamespaceRequest,
    search_attributes: &BTreeMap<String, i32>,
) -> Result<Option<op::Op>, BootstrapError> {
    let rows = router.local(SYSTEM_SHARD).expect("the system shard was started above");
    let Some(found) = tables::namespace_by_name(&rows, &request.namespace)? else {
        let register = op::RegisterNamespace { request: Some(request.clone()) };
        return Ok(Some(op::Op { kind: Some(op::op::Kind::RegisterNamespace(register)) }));
    };
    let mut add = search_attributes.clone();
    add.retain(|name, _| !found.search_attributes.contains_key(name));
    if add.is_empty() {
        return Ok(None);
    }
    let change = op::ChangeSearchAttributes { namespace: request.namespace.clone(), add, remove: Vec::new() };
    Ok(Some(op::Op { kind: Some(op::op::Kind::ChangeSearchAttributes(change)) }))
}

/// Commits an op of bootstrap and waits until it is applied here; tried again by the caller, who looks first. `false`
/// if it was refused: somebody else did the same meanwhile, or it cannot be done.
async fn commit(router: &Arc<Router>, op: op::Op) -> bool {
    let deadline = Instant::now() + PATIENCE;
    let outcome: Result<_, RouteError> = async {
        let committed = router.propose(Target::System, op, deadline).await?;
        router.wait_applied(committed.shard, committed.index, deadline).await?;
        Ok(committed.answer)
    }
    .await;
    match outcome {
        Ok(op::Answer { kind: Some(op::answer::Kind::Reject(reject)), .. }) => {
            tracing::info!(message = reject.message, "a step of the start was refused");
            sleep(Duration::from_millis(50)).await;
            false
        }
        Ok(_) => true,
        Err(error) => {
            tracing::warn!(%error, "a step of the start is tried again");
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_leaders_are_spread_over_the_voters() {
        let plan = |voters: &[u64]| Bootstrap {
            cluster_id: "blue".into(),
            data_shards: 3,
            voters: voters.iter().copied().collect(),
            join: Vec::new(),
            namespaces: Vec::new(),
            search_attributes: BTreeMap::new(),
        };
        let three = plan(&[1, 2, 5]);
        assert_eq!([0, 1, 2, 3].map(|shard| first_voter(shard, &three)), [Some(1), Some(2), Some(5), Some(1)]);
        assert_eq!(first_voter(3, &plan(&[7])), Some(7));
        assert_eq!(first_voter(3, &plan(&[])), None);
    }
}

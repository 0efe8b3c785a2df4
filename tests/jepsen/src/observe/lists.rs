//! Lists and counts of workflows by every node, and the digest of every replica.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use proto::everstep::admin::v1::admin_client::AdminClient;
use proto::everstep::admin::v1::ShardDigestsRequest;
use proto::temporal::api::workflowservice::v1::{CountWorkflowExecutionsRequest, ListWorkflowExecutionsRequest};
use serde_json::{json, Value};
use tokio::time::Instant;

use super::PATIENCE;
use crate::client::{self, Client, NAMESPACE};
use crate::history::Run;
use crate::workload::{Context, Known};

/// For each node: `[run id, status, workflow id]` of every run it lists, and what it counts.
pub async fn from_every_node(clients: &[(u64, Client)]) -> anyhow::Result<Value> {
    let mut nodes = BTreeMap::new();
    for (node, client) in clients {
        let mut request = ListWorkflowExecutionsRequest {
            namespace: NAMESPACE.into(),
            page_size: 1000,
            ..ListWorkflowExecutionsRequest::default()
        };
        let mut runs = Vec::new();
        loop {
            let page = client::persist(PATIENCE, |_| {
                let (mut client, request) = (client.clone(), request.clone());
                async move { client.list_workflow_executions(request).await }
            });
            let page = page.await?;
            runs.extend(page.executions.iter().map(|info| {
                let execution = info.execution.clone().unwrap_or_default();
                json!([execution.run_id, info.status().as_str_name(), execution.workflow_id])
            }));
            request.next_page_token = page.next_page_token;
            if request.next_page_token.is_empty() {
                break;
            }
        }
        let counted = client::persist(PATIENCE, |_| {
            let mut client = client.clone();
            let request = CountWorkflowExecutionsRequest { namespace: NAMESPACE.into(), ..Default::default() };
            async move { client.count_workflow_executions(request).await }
        });
        nodes.insert(node.to_string(), json!({ "count": counted.await?.count, "runs": runs }));
    }
    Ok(json!(nodes))
}

/// Registers that are listed and have not been read.
pub fn unknown(lists: &Value, read: &[Run]) -> Vec<Known> {
    let read: BTreeSet<&str> = read.iter().map(|run| run.run_id.as_str()).collect();
    let nodes = lists.as_object().into_iter().flat_map(|nodes| nodes.values());
    let listed = nodes.flat_map(|node| node["runs"].as_array().into_iter().flatten());
    let new: BTreeSet<Known> = listed
        .filter_map(|run| Some((run[0].as_str()?, run[2].as_str()?)))
        .filter(|(run, key)| key.starts_with("register-") && !read.contains(run))
        .map(|(run, key)| Known { workload: "register", key: key.into(), run_id: run.into() })
        .collect();
    new.into_iter().collect()
}

/// Node, applied index, digest.
type Replica = (u64, u64, String);

/// Asks until all voters of each shard have applied the same entries, at most for `PATIENCE`: the digests
/// `{shard: [[node, index, digest], …]}`, and the voters `{shard: [node, …]}`.
pub async fn digests(context: &Arc<Context>) -> (Value, Value) {
    let end = Instant::now() + PATIENCE;
    loop {
        let voters = voters(context).await;
        let found = digests_once(context).await;
        let settled = |(shard, voters): (&u32, &Vec<u64>)| {
            let replicas: &[Replica] = found.get(shard).map_or(&[], Vec::as_slice);
            let there = voters.iter().all(|voter| replicas.iter().any(|replica| replica.0 == *voter));
            there && replicas.windows(2).all(|two| two[0].1 == two[1].1)
        };
        if (voters.iter().all(settled) && !voters.is_empty()) || Instant::now() > end {
            return (json!(found), json!(voters));
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

async fn voters(context: &Arc<Context>) -> BTreeMap<u32, Vec<u64>> {
    let shards = context.cluster.status().await.map(|status| status.shards).unwrap_or_default();
    shards.into_iter().map(|shard| (shard.shard, shard.voters)).collect()
}

async fn digests_once(context: &Arc<Context>) -> BTreeMap<u32, Vec<Replica>> {
    let mut shards: BTreeMap<u32, Vec<Replica>> = BTreeMap::new();
    for node in context.cluster.ids() {
        let Some(channel) = context.cluster.admin_channel(node, PATIENCE) else { continue };
        let Ok(answer) = AdminClient::new(channel).shard_digests(ShardDigestsRequest {}).await else { continue };
        for replica in answer.into_inner().shards {
            let digest: String = replica.digest.iter().map(|byte| format!("{byte:02x}")).collect();
            shards.entry(replica.shard).or_default().push((node, replica.applied, digest));
        }
    }
    shards
}

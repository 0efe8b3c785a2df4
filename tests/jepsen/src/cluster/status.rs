//! What the nodes say of themselves: leaders, terms, applied indexes.

use std::collections::BTreeMap;
use std::time::Duration;

use proto::everstep::admin::v1::admin_client::AdminClient;
use proto::everstep::admin::v1::{ClusterStatusRequest, ClusterStatusResponse};
use tonic::transport::{Channel, Endpoint};

use super::Cluster;

const PATIENCE: Duration = Duration::from_millis(1500);

impl Cluster {
    /// The newest view that any living node has: of each shard the one in the highest term.
    pub async fn status(&self) -> Option<ClusterStatusResponse> {
        let asked = self.ids().into_iter().map(|id| self.status_by(id));
        let answers: Vec<_> = futures::future::join_all(asked).await.into_iter().flatten().collect();
        let mut answers = answers.into_iter();
        let mut best = answers.next()?;
        for other in answers {
            if other.nodes.iter().filter(|node| node.up).count() > best.nodes.iter().filter(|node| node.up).count() {
                best.nodes.clone_from(&other.nodes);
            }
            for shard in other.shards {
                match best.shards.iter_mut().find(|known| known.shard == shard.shard) {
                    Some(known) if (shard.term, shard.leader != 0) > (known.term, known.leader != 0) => *known = shard,
                    Some(_) => {}
                    None => best.shards.push(shard),
                }
            }
        }
        Some(best)
    }

    async fn status_by(&self, node: u64) -> Option<ClusterStatusResponse> {
        let channel = self.admin_channel(node, PATIENCE)?;
        let answer = AdminClient::new(channel).cluster_status(ClusterStatusRequest {}).await;
        answer.ok().map(tonic::Response::into_inner)
    }

    /// A connection for calls of operators.
    pub fn admin_channel(&self, node: u64, patience: Duration) -> Option<Channel> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.admin(node))).ok()?;
        Some(endpoint.connect_timeout(PATIENCE).timeout(patience).connect_lazy())
    }

    /// Shard → leader, without the shards that have none.
    pub async fn leaders(&self) -> BTreeMap<u32, u64> {
        let shards = self.status().await.map(|status| status.shards).unwrap_or_default();
        shards.iter().filter(|shard| shard.leader != 0).map(|shard| (shard.shard, shard.leader)).collect()
    }
}

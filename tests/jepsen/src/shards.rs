//! Which shard a workflow lies in, so that a run can put load on each and tell how long each was silent.

use anyhow::{ensure, Context};
use proto::temporal::api::workflowservice::v1::DescribeNamespaceRequest;
use std::time::Duration;
use tokio::time::Instant;

use crate::client::{self, NAMESPACE};
use crate::cluster::Cluster;

const SLOTS: u32 = 4096;
/// From the first leaders to the last shard of a new cluster.
const PLACED: Duration = Duration::from_secs(30);

#[derive(Debug, Clone)]
pub struct Shards {
    namespace_id: String,
    /// First slot, slots, shard.
    ranges: Vec<(u32, u32, u32)>,
}

impl Shards {
    /// Waits until every slot of a new cluster has its shard.
    pub async fn of(cluster: &Cluster) -> anyhow::Result<Self> {
        let ranges = ranges(cluster).await?;
        let client = client::connect(cluster, 1, Duration::from_secs(10));
        let described = client::persist(Duration::from_secs(30), |_| {
            let mut client = client.clone();
            async move {
                let request = DescribeNamespaceRequest { namespace: NAMESPACE.into(), ..Default::default() };
                client.describe_namespace(request).await
            }
        });
        let namespace_id = described.await?.namespace_info.unwrap_or_default().id;
        Ok(Self { namespace_id, ranges })
    }

    pub fn data_shards(&self) -> Vec<u32> {
        self.ranges.iter().map(|range| range.2).collect()
    }

    pub fn shard_of(&self, workflow_id: &str) -> u32 {
        let slot = slot_of(&self.namespace_id, workflow_id);
        let owner = self.ranges.iter().find(|(first, slots, _)| (*first..first + slots).contains(&slot));
        owner.map_or(0, |range| range.2)
    }

    /// A workflow id that begins like this and lies in the shard.
    pub fn id_in(&self, shard: u32, prefix: &str) -> String {
        let mut ids = (0_u32..).map(|n| format!("{prefix}-{n}"));
        ids.find(|id| self.shard_of(id) == shard).unwrap_or_else(|| prefix.to_owned())
    }
}

async fn ranges(cluster: &Cluster) -> anyhow::Result<Vec<(u32, u32, u32)>> {
    let end = Instant::now() + PLACED;
    loop {
        let status = cluster.status().await.context("no node answers")?;
        let data = status.shards.iter().filter(|shard| shard.slots > 0);
        let ranges: Vec<_> = data.map(|shard| (shard.first_slot, shard.slots, shard.shard)).collect();
        if ranges.iter().map(|range| range.1).sum::<u32>() == SLOTS {
            return Ok(ranges);
        }
        ensure!(Instant::now() < end, "slots without a shard after {PLACED:?}: {ranges:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The same function as the server's (`src/statemachine/slot.rs`), which is frozen.
fn slot_of(namespace_id: &str, workflow_id: &str) -> u32 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in namespace_id.bytes().chain([0]).chain(workflow_id.bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    let folded = hash ^ (hash >> 32);
    let mixed = folded ^ (folded >> 12) ^ (folded >> 24);
    (mixed & u64::from(SLOTS - 1)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slot_is_the_servers() {
        assert_eq!(["a", "order-1", "order-2", "ünï"].map(|id| slot_of("ns", id)), [4095, 401, 1976, 1217]);
    }

    #[test]
    fn an_id_can_be_found_in_each_shard() {
        let shards = Shards { namespace_id: "ns".into(), ranges: vec![(0, 2048, 1), (2048, 2048, 2)] };
        for shard in shards.data_shards() {
            assert_eq!(shards.shard_of(&shards.id_in(shard, "probe")), shard);
        }
    }
}

//! A snapshot to one follower: a header, then its files as one run of chunks.

use std::sync::Arc;
use std::time::Duration;

use proto::everstep::peer::v1::{snapshot_chunk, SnapshotChunk, SnapshotHeader};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::lane::Lane;
use crate::raft::types::RaftVote;
use crate::raft::{codec, metric};
use crate::storage::{work, Checkpoint, Chunks, StoreError};

const CHUNK_BYTES: usize = 1 << 20;
const QUEUE_MAX: usize = 4;
/// A follower that takes less than this is not going to make it.
const BYTES_PER_SECOND_MIN: u64 = 2 << 20;

/// Why a snapshot was not installed.
pub enum Failure {
    Unreachable(String),
    /// The files here are not any more what they were when the snapshot was made.
    Damaged(StoreError),
}

impl From<String> for Failure {
    fn from(why: String) -> Self {
        Self::Unreachable(why)
    }
}

/// Sends the snapshot and waits until it is installed. Answers the follower's vote.
pub async fn send(
    lane: Arc<Lane>,
    shard: u32,
    vote: &RaftVote,
    checkpoint: Arc<Checkpoint>,
    ttl: Duration,
) -> Result<RaftVote, Failure> {
    let bytes: u64 = checkpoint.manifest().files.iter().map(|file| file.size).sum();
    let patience = ttl + Duration::from_secs(bytes / BYTES_PER_SECOND_MIN);
    let header =
        SnapshotHeader { shard, vote: Some(codec::vote_to_peer(vote)), manifest: Some(checkpoint.manifest().clone()) };
    if lane.is_cut() {
        return Err("cut off".to_owned().into());
    }
    let mut connected = lane.connect()?;
    let (chunks, queue) = mpsc::channel(QUEUE_MAX);
    let request = lane.request(ReceiverStream::new(queue))?;
    tracing::info!(shard, to = lane.target(), bytes, last = ?checkpoint.last(), "sending a snapshot");
    let reader = tokio::spawn(feed(checkpoint, header, chunks));
    match tokio::time::timeout(patience, connected.client.install_snapshot(request)).await {
        Ok(Ok(reply)) => {
            metrics::counter!(metric::SNAPSHOTS_SENT).increment(1);
            Ok(codec::vote_from_peer(reply.into_inner().vote.as_ref()))
        }
        Ok(Err(status)) => match reader.await {
            Ok(Err(error @ StoreError::Corrupt { .. })) => Err(Failure::Damaged(error)),
            Ok(Err(error)) => Err(error.to_string().into()),
            Ok(Ok(())) | Err(_) => Err(status.to_string().into()),
        },
        Err(_) => {
            lane.broken(connected.epoch);
            Err("sending a snapshot took too long".to_owned().into())
        }
    }
}

/// Ends early when nobody wants the chunks any more. An error ends the call before its files are complete, which the
/// other side notices.
async fn feed(
    checkpoint: Arc<Checkpoint>,
    header: SnapshotHeader,
    queue: mpsc::Sender<SnapshotChunk>,
) -> Result<(), StoreError> {
    let chunk = |kind| SnapshotChunk { kind: Some(kind) };
    if queue.send(chunk(snapshot_chunk::Kind::Header(header))).await.is_err() {
        return Ok(());
    }
    let mut chunks = Chunks::new(checkpoint);
    loop {
        let (read, rest) = work::blocking(move || (chunks.read(CHUNK_BYTES), chunks))
            .await
            .map_err(|error| StoreError::io("reading a snapshot", error))?;
        chunks = rest;
        let Some(data) = read? else { return Ok(()) };
        if queue.send(chunk(snapshot_chunk::Kind::Data(data.into()))).await.is_err() {
            return Ok(());
        }
    }
}

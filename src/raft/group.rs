//! One shard's Raft group as the rest of the node sees it.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use openraft::errors::{ClientWriteError, ForwardToLeader, LinearizableReadError, RaftError};
use openraft::impls::{EmptyNode, ProgressResponder};
use openraft::raft::ClientWriteResponse;
use openraft::{ChangeMembers, ReadPolicy};
use statemachine::op;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::shard_time::ShardTime;
use super::types::{Command, LeaderId, RaftHandle, TypeConfig, Written};
use super::{metric, ChangeError, GroupStatus, ProposeError, RaftConfig, ReadError, Snapshot};
use crate::storage::{DiskState, DiskWatch, LogId, LogMark, ShardLog, StateStore};

/// A committed and applied proposal.
#[derive(Debug, Clone)]
pub struct Applied {
    pub index: u64,
    pub answer: op::Answer,
}

/// Who leads a group, as far as this node knows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Leadership {
    pub term: u64,
    pub leader: Option<u64>,
}

/// What a running group consists of.
pub struct Group {
    pub(super) shard: u32,
    pub(super) node: u64,
    pub(super) config: RaftConfig,
    pub(super) raft: RaftHandle,
    pub(super) log: Arc<ShardLog>,
    pub(super) mark: LogMark,
    pub(super) store: Arc<StateStore>,
    pub(super) applied: watch::Receiver<Option<LogId>>,
    pub(super) leadership: watch::Receiver<Leadership>,
    pub(super) is_leader: Arc<AtomicBool>,
    pub(super) time: Arc<ShardTime>,
    pub(super) disk: DiskWatch,
    /// Log bytes appended when the last snapshot was asked for.
    pub(super) snapshot_mark: AtomicU64,
    pub(super) leadership_task: JoinHandle<()>,
    pub(super) opened: Instant,
    /// When a leader last sent something: microseconds after `opened`.
    pub(super) heard: AtomicU64,
}

impl Drop for Group {
    fn drop(&mut self) {
        self.leadership_task.abort();
    }
}

impl Group {
    pub fn shard(&self) -> u32 {
        self.shard
    }

    /// What a new entry's time is at least, in nanoseconds since the epoch: the leader's own clock may be behind.
    pub fn time_at_least(&self) -> i64 {
        self.time.at_least()
    }

    pub(super) fn raft(&self) -> &RaftHandle {
        &self.raft
    }

    pub(super) fn store(&self) -> &Arc<StateStore> {
        &self.store
    }

    /// Replicates an encoded `op::Proposal` and waits until it is applied here. Only the leader accepts.
    pub async fn propose(&self, proposal: Bytes) -> Result<Applied, ProposeError> {
        self.propose_in(None, proposal).await
    }

    /// The same; a leader of another term than that does not accept. Its log has everything that was committed in that term.
    pub async fn propose_in(&self, term: Option<u64>, proposal: Bytes) -> Result<Applied, ProposeError> {
        let started = Instant::now();
        let result = self.propose_inner(term, proposal).await;
        let reason = match &result {
            Ok(_) => {
                metrics::histogram!(metric::COMMIT_SECONDS).record(started.elapsed().as_secs_f64());
                return result;
            }
            Err(ProposeError::NotLeader { .. }) => "not_leader",
            Err(ProposeError::Unknown { .. }) => "unknown",
            Err(ProposeError::DiskFull) => "disk_full",
        };
        metrics::counter!(metric::PROPOSALS_FAILED, "reason" => reason).increment(1);
        result
    }

    async fn propose_inner(&self, term: Option<u64>, proposal: Bytes) -> Result<Applied, ProposeError> {
        if self.disk.state() == DiskState::Full {
            return Err(ProposeError::DiskFull);
        }
        let _in_flight = InFlight::new();
        let written = match tokio::time::timeout(self.config.propose_timeout, self.write(term, proposal)).await {
            Ok(written) => written?,
            Err(_) => return Err(unknown("no answer in time")),
        };
        match written {
            Ok(ClientWriteResponse { log_id, data, .. }) => match data.0 {
                Some(answer) => Ok(Applied { index: log_id.index, answer }),
                None => Err(unknown("applied without an answer")),
            },
            Err(ClientWriteError::ForwardToLeader(forward)) => {
                Err(ProposeError::NotLeader { leader: self.other_leader(&forward) })
            }
            Err(error) => Err(unknown(error)),
        }
    }

    async fn write(&self, term: Option<u64>, proposal: Bytes) -> Result<Written, ProposeError> {
        let (responder, written) = ProgressResponder::complete_only();
        let mut write = self.raft.write(Command(proposal)).responder(responder);
        if let Some(term) = term {
            write = write.with_leader(LeaderId { term, node_id: self.node });
        }
        write.await.map_err(unknown)?;
        written.await.map_err(unknown)
    }

    /// The leader to go to instead; a leader that refuses, for lack of a quorum, does not name itself.
    fn other_leader(&self, forward: &ForwardToLeader<TypeConfig>) -> Option<u64> {
        forward.leader_id.filter(|leader| *leader != self.node)
    }

    /// An index such that a reader of any replica that has applied it sees every write acknowledged before this call.
    /// Only the leader answers, after a quorum confirmed it; concurrent calls share one round.
    pub async fn read_index(&self) -> Result<u64, ReadError> {
        if cfg!(feature = "bug-lease-read-no-guard") && self.is_leader() {
            // Planted: who believes to lead answers without asking a quorum.
            return Ok(self.applied.borrow().map_or(0, |applied| applied.index));
        }
        let read = self.raft.get_read_linearizer(ReadPolicy::ReadIndex);
        match tokio::time::timeout(self.config.propose_timeout, read).await {
            Err(_) => Err(ReadError::NoQuorum),
            Ok(Ok(linearizer)) => Ok(linearizer.read_log_id().index()),
            Ok(Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(forward)))) => {
                Err(ReadError::NotLeader { leader: self.other_leader(&forward) })
            }
            Ok(Err(RaftError::APIError(LinearizableReadError::QuorumNotEnough(_)))) => Err(ReadError::NoQuorum),
            Ok(Err(RaftError::Fatal(fatal))) => Err(ReadError::Stopped { why: fatal.to_string() }),
        }
    }

    /// Waits until this replica has applied `index`.
    pub async fn wait_applied(&self, index: u64) -> Result<(), ReadError> {
        let mut applied = self.applied.clone();
        let reached = applied.wait_for(|applied| applied.is_some_and(|applied| applied.index >= index)).await;
        reached.map(|_| ()).map_err(|_| ReadError::Stopped { why: "the group has ended".to_owned() })
    }

    /// A consistent view of this replica's rows, as of its last applied batch.
    pub fn snapshot(&self) -> Snapshot {
        self.store.snapshot()
    }

    pub fn leader(&self) -> Option<u64> {
        self.leadership.borrow().leader
    }

    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.leadership.clone()
    }

    pub fn is_leader(&self) -> bool {
        self.is_leader.load(Ordering::Relaxed)
    }

    /// Notes that a leader of this group sent something.
    pub(super) fn hear(&self) {
        let now = u64::try_from(self.opened.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.heard.store(now, Ordering::Relaxed);
    }

    /// When a leader was last heard; equal as long as there is silence.
    pub(super) fn heard(&self) -> u64 {
        self.heard.load(Ordering::Relaxed)
    }

    /// For how long no leader was heard. A leader hears none.
    pub fn silence(&self) -> Duration {
        self.opened.elapsed().saturating_sub(Duration::from_micros(self.heard()))
    }

    pub fn status(&self) -> GroupStatus {
        super::status::of(self)
    }

    /// Asks a voter to take over and waits until it leads or the attempt has failed.
    pub async fn transfer_leader(&self, to: u64) -> Result<(), ChangeError> {
        if !self.is_leader() {
            return Err(ChangeError::NotLeader { leader: self.leader() });
        }
        let mut leadership = self.leadership();
        let asked = self.raft.trigger().transfer_leader(to).await;
        asked.map_err(|fatal| ChangeError::Refused { why: fatal.to_string() })?;
        let patience = self.config.election_max * 3;
        let taken = async { leadership.wait_for(|leadership| leadership.leader == Some(to)).await.map(|_| ()) };
        match tokio::time::timeout(patience, taken).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(ChangeError::Unknown { why: "the group has ended".to_owned() }),
            Err(_) => Err(ChangeError::Unknown { why: format!("node {to} did not take over in {patience:?}") }),
        }
    }

    /// Adds a member without a vote. It catches up afterwards.
    pub async fn add_learner(&self, node: u64) -> Result<(), ChangeError> {
        self.changed(self.raft.add_learner(node, EmptyNode::default(), false)).await
    }

    /// Makes `voters`, all of them members, the group's voters; former ones stay as learners. Also finishes a change
    /// that another leader began.
    pub async fn change_voters(&self, voters: BTreeSet<u64>) -> Result<(), ChangeError> {
        self.changed(self.raft.change_membership(voters, true)).await
    }

    /// Takes members without a vote out of the group.
    pub async fn remove_learners(&self, nodes: BTreeSet<u64>) -> Result<(), ChangeError> {
        self.changed(self.raft.change_membership(ChangeMembers::RemoveNodes(nodes), true)).await
    }

    async fn changed<T>(
        &self,
        change: impl Future<Output = Result<T, RaftError<TypeConfig, ClientWriteError<TypeConfig>>>>,
    ) -> Result<(), ChangeError> {
        match tokio::time::timeout(self.config.propose_timeout, change).await {
            Err(_) => Err(ChangeError::Unknown { why: "no answer in time".to_owned() }),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(RaftError::APIError(ClientWriteError::ForwardToLeader(forward)))) => {
                Err(ChangeError::NotLeader { leader: self.other_leader(&forward) })
            }
            Ok(Err(RaftError::APIError(ClientWriteError::ChangeMembershipError(error)))) => {
                Err(ChangeError::Refused { why: error.to_string() })
            }
            Ok(Err(error)) => Err(ChangeError::Unknown { why: error.to_string() }),
        }
    }

    /// Whether enough log has come since the last snapshot for a new one.
    pub(super) fn snapshot_is_due(&self) -> bool {
        let since = self.log.appended_bytes().saturating_sub(self.snapshot_mark.load(Ordering::Relaxed));
        since >= self.config.snapshot_log_bytes
    }

    /// Whether the log has come further than its note says.
    pub(super) fn log_is_unnoted(&self) -> bool {
        self.mark.is_behind(&self.log, self.store.progress().applied)
    }

    pub(super) fn note_log(&self) {
        if let Err(error) = self.mark.note(&self.log, self.store.progress().applied) {
            // It only helps to notice a loss.
            tracing::debug!(shard = self.shard, %error, "how far the log is was not noted");
        }
    }

    /// Makes a snapshot, after which old log is purged.
    pub(super) async fn make_snapshot(&self) {
        self.snapshot_mark.store(self.log.appended_bytes(), Ordering::Relaxed);
        if let Err(fatal) = self.raft.trigger().snapshot().await {
            tracing::debug!(shard = self.shard, %fatal, "no snapshot");
        }
    }
}

fn unknown(why: impl ToString) -> ProposeError {
    ProposeError::Unknown { why: why.to_string() }
}

/// Counts a proposal while it waits.
struct InFlight;

impl InFlight {
    fn new() -> Self {
        metrics::gauge!(metric::PROPOSALS_IN_FLIGHT).increment(1.0);
        Self
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        metrics::gauge!(metric::PROPOSALS_IN_FLIGHT).decrement(1.0);
    }
}

/// How long a node may take to answer before its connections are given up.
pub(super) fn patience(config: &RaftConfig) -> Duration {
    (config.election_max * 4).max(Duration::from_secs(2))
}

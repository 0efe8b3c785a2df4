//! How proposals, reads and changes fail. What matters to a caller: can it still have happened?

/// Why a proposal got no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ProposeError {
    /// Definitely not accepted; try the leader named, or wait for one.
    #[error("not the leader (leader: {leader:?})")]
    NotLeader { leader: Option<u64> },
    /// It may have been committed, or still be. Only a retry with the same op id can tell.
    #[error("outcome unknown: {why}")]
    Unknown { why: String },
    /// Definitely not accepted: this node has no room for its log.
    #[error("the disk is full")]
    DiskFull,
}

/// Why a linearizable read could not be admitted. Reads change nothing, so all of these can be retried.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReadError {
    #[error("not the leader (leader: {leader:?})")]
    NotLeader { leader: Option<u64> },
    #[error("no quorum answered in time")]
    NoQuorum,
    /// The group has stopped on this node.
    #[error("stopped: {why}")]
    Stopped { why: String },
}

/// Why a membership change or a transfer of leadership was not done.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ChangeError {
    #[error("not the leader (leader: {leader:?})")]
    NotLeader { leader: Option<u64> },
    #[error("refused: {why}")]
    Refused { why: String },
    #[error("outcome unknown: {why}")]
    Unknown { why: String },
}

/// Why the stores or a group could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("storage")]
    Storage(#[from] crate::storage::StoreError),
    #[error("raft: {0}")]
    Raft(String),
    #[error("shard {0} is not started")]
    UnknownShard(u32),
}

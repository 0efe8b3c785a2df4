//! How routing fails. What matters to a caller: can the op still have happened?

/// Why an op or a read got no answer before its deadline.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// It may have been committed, or still be. Only a retry by the client can tell.
    #[error("the outcome is unknown: {why}")]
    Unknown { why: String },
    /// It did not happen: nobody who could have done it answered in time.
    #[error("the shard is unavailable: {why}")]
    Unavailable { why: String },
    /// It did not happen: the leader has no room for its log.
    #[error("the disk is full")]
    DiskFull,
}

impl RouteError {
    pub(super) fn unavailable(why: impl Into<String>) -> Self {
        Self::Unavailable { why: why.into() }
    }
}

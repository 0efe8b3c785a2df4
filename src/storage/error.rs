//! How storage fails.

/// A failure of this node's storage.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    #[error("{what}: {why}")]
    Io { what: &'static str, why: String },
    #[error("corrupt {what}: {why}")]
    Corrupt { what: &'static str, why: String },
    /// A write failed before; nothing is accepted any more.
    #[error("the log store has stopped")]
    Stopped,
}

impl StoreError {
    pub fn io(what: &'static str, why: impl ToString) -> Self {
        Self::Io { what, why: why.to_string() }
    }

    pub fn corrupt(what: &'static str, why: impl ToString) -> Self {
        Self::Corrupt { what, why: why.to_string() }
    }
}

impl From<StoreError> for std::io::Error {
    fn from(error: StoreError) -> Self {
        std::io::Error::other(error)
    }
}

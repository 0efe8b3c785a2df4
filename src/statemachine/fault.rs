//! This node's own failure, as opposed to a refusal every replica shares.

/// I/O or corruption met while applying. The node stops: going on would let its replica diverge.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error("storage: {0}")]
    Storage(String),
    /// A row or log entry whose bytes do not decode, or rows that contradict each other.
    #[error("corrupt {what}: {why}")]
    Corrupt { what: &'static str, why: String },
}

impl Fault {
    pub fn corrupt(what: &'static str, why: impl ToString) -> Self {
        Self::Corrupt { what, why: why.to_string() }
    }
}

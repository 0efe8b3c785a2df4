//! A follower that has not got any more what it said it has: its disk lost the end of its log, or it was started with an
//! older copy of its data. Its answers must not reach openraft, which counts entries once acknowledged for ever.

use openraft::errors::{RPCError, Unreachable};
use openraft::raft::{StreamAppendError, StreamAppendResult};

use crate::raft::types::{RaftLogId, TypeConfig};

type Answer = Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>>;

/// What stands for the answers of such a follower.
pub fn unreachable() -> RPCError<TypeConfig> {
    RPCError::Unreachable(Unreachable::from_string("its log lost entries that it had acknowledged"))
}

/// Passes an answer on, unless it takes back an earlier one. Answers come in the order of the requests, and within a term
/// the leader's log only grows.
pub fn believable(acknowledged: &mut Option<RaftLogId>, answer: Answer) -> Answer {
    match answer {
        Ok(Ok(last)) => {
            *acknowledged = last.max(*acknowledged);
            Ok(Ok(last))
        }
        Ok(Err(StreamAppendError::Conflict(at))) if Some(at) <= *acknowledged => Err(unreachable()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::codec;
    use crate::storage::LogId;

    fn id(term: u64, index: u64) -> RaftLogId {
        codec::log_id_from_store(LogId { term, leader: 1, index })
    }

    #[test]
    fn what_was_acknowledged_cannot_be_taken_back() {
        let mut acknowledged = None;
        let conflict = |at| Ok(Err(StreamAppendError::Conflict(at)));
        // While the leader looks for the end of the follower's log.
        assert!(matches!(believable(&mut acknowledged, conflict(id(3, 9))), Ok(Err(_))));
        for index in [4, 8, 6] {
            assert!(matches!(believable(&mut acknowledged, Ok(Ok(Some(id(3, index))))), Ok(Ok(Some(_)))));
        }
        assert_eq!(acknowledged, Some(id(3, 8)));
        assert!(matches!(believable(&mut acknowledged, conflict(id(3, 9))), Ok(Err(_))));
        for lost in [id(3, 8), id(3, 7), id(2, 7)] {
            assert!(matches!(believable(&mut acknowledged, conflict(lost)), Err(RPCError::Unreachable(_))));
        }
        assert!(matches!(believable(&mut acknowledged, Ok(Ok(None))), Ok(Ok(None))));
        assert_eq!(acknowledged, Some(id(3, 8)));
    }
}

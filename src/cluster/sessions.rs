//! Which of a node's streams of proposals is the newest. What comes on an older one is not taken: it may have waited in a
//! network for as long as that kept it, while its sender gave it up, sent it again on the next stream, and told its caller
//! that it failed.

use std::collections::BTreeMap;
use std::sync::Mutex;

use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::Status;

const SESSION: &str = "everstep-session";

/// One stream of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Session {
    /// Of the node's process, by chance.
    pub incarnation: u64,
    /// Counts its streams to one peer.
    pub number: u64,
}

impl Session {
    pub(super) fn put(self, metadata: &mut MetadataMap) {
        let text = format!("{:x}.{}", self.incarnation, self.number);
        if let Ok(value) = MetadataValue::<Ascii>::try_from(text) {
            metadata.insert(SESSION, value);
        }
    }

    pub(super) fn of(metadata: &MetadataMap) -> Option<Self> {
        let (incarnation, number) = metadata.get(SESSION)?.to_str().ok()?.split_once('.')?;
        Some(Self { incarnation: u64::from_str_radix(incarnation, 16).ok()?, number: number.parse().ok()? })
    }
}

/// The newest of each node that has called.
#[derive(Default)]
pub(super) struct Sessions(Mutex<BTreeMap<u64, Session>>);

impl Sessions {
    /// A process that was started again begins anew.
    pub(super) fn open(&self, node: u64, session: Session) -> Result<(), Status> {
        let mut newest = self.0.lock().expect("nothing panics while holding the sessions");
        let known = newest.get(&node).filter(|known| known.incarnation == session.incarnation);
        if known.is_some_and(|known| known.number >= session.number) {
            return Err(Status::failed_precondition("a newer stream of this node has been opened"));
        }
        newest.insert(node, session);
        Ok(())
    }

    pub(super) fn is_newest(&self, node: u64, session: Session) -> bool {
        self.0.lock().expect("nothing panics while holding the sessions").get(&node) == Some(&session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(incarnation: u64, number: u64) -> Session {
        Session { incarnation, number }
    }

    #[test]
    fn the_newest_stream_of_a_node_counts() {
        let sessions = Sessions::default();
        sessions.open(1, session(7, 1)).expect("the first");
        sessions.open(2, session(9, 5)).expect("of another node");
        assert!(sessions.is_newest(1, session(7, 1)));
        sessions.open(1, session(7, 2)).expect("the next");
        assert!(!sessions.is_newest(1, session(7, 1)) && sessions.is_newest(1, session(7, 2)));
        for late in [1, 2] {
            assert!(sessions.open(1, session(7, late)).is_err(), "{late} comes late");
        }
        sessions.open(1, session(8, 1)).expect("of a process that was started again");
        assert!(sessions.is_newest(1, session(8, 1)) && sessions.is_newest(2, session(9, 5)));
    }

    #[test]
    fn a_session_travels_as_metadata() {
        let mut metadata = MetadataMap::new();
        assert_eq!(Session::of(&metadata), None);
        session(u64::MAX, 12).put(&mut metadata);
        assert_eq!(Session::of(&metadata), Some(session(u64::MAX, 12)));
        metadata.insert(SESSION, MetadataValue::from_static("7"));
        assert_eq!(Session::of(&metadata), None);
    }
}

//! `temporal.api.history.v1.History` by hand: the one message of the API that the server passes on without looking into
//! it. The tables hold it encoded, and so it goes to the client.

use bytes::{Buf, BufMut};
use prost::encoding::{message, skip_field, DecodeContext, WireType};
use prost::{DecodeError, Message};

use crate::temporal::api::history::v1::HistoryEvent;

/// The field `events` of the .proto file.
const EVENTS: u32 = 1;

/// A history. On the wire its encoded part comes first; what is decoded has none.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Events as they are encoded: History messages one after the other are a longer one.
    pub encoded: Vec<u8>,
    /// The events after those.
    pub events: Vec<HistoryEvent>,
}

impl History {
    /// Adds an encoded History. Nothing decoded may come before it.
    pub fn append(&mut self, encoded: Vec<u8>) {
        assert!(self.events.is_empty(), "encoded events come first");
        if self.encoded.is_empty() {
            self.encoded = encoded;
        } else {
            self.encoded.extend_from_slice(&encoded);
        }
    }

    /// All events, decoded.
    pub fn into_events(self) -> Result<Vec<HistoryEvent>, DecodeError> {
        if self.encoded.is_empty() {
            return Ok(self.events);
        }
        let mut events = Self::decode(self.encoded.as_slice())?.events;
        events.extend(self.events);
        Ok(events)
    }
}

impl From<Vec<HistoryEvent>> for History {
    fn from(events: Vec<HistoryEvent>) -> Self {
        Self { encoded: Vec::new(), events }
    }
}

impl PartialEq for History {
    fn eq(&self, other: &Self) -> bool {
        self.encode_to_vec() == other.encode_to_vec()
    }
}

impl Message for History {
    fn encode_raw(&self, buffer: &mut impl BufMut) {
        buffer.put_slice(&self.encoded);
        message::encode_repeated(EVENTS, &self.events, buffer);
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buffer: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        match tag {
            EVENTS => message::merge_repeated(wire_type, &mut self.events, buffer, context),
            _ => skip_field(wire_type, tag, buffer, context),
        }
    }

    fn encoded_len(&self) -> usize {
        self.encoded.len() + message::encoded_len_repeated(EVENTS, &self.events)
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(ids: &[i64]) -> Vec<HistoryEvent> {
        ids.iter().map(|&event_id| HistoryEvent { event_id, ..Default::default() }).collect()
    }

    #[test]
    fn what_was_never_decoded_reads_as_if_it_had_been() {
        let whole = History::from(events(&[1, 2, 3, 4]));
        let mut passed_on = History::default();
        passed_on.append(History::from(events(&[1, 2])).encode_to_vec());
        passed_on.append(History::from(events(&[3])).encode_to_vec());
        passed_on.events = events(&[4]);
        assert_eq!(passed_on, whole);
        assert_eq!(passed_on.encoded_len(), whole.encoded_len());
        let read = History::decode(passed_on.encode_to_vec().as_slice()).expect("just encoded");
        assert_eq!(read.events, whole.events);
        assert_eq!(passed_on.into_events(), Ok(whole.events));
    }
}

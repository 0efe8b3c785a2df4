//! `temporal.api.failure.v1.Failure` by hand: the one message of ours that contains itself. Decoders allow a hundred
//! levels, whatever a message stands in counts, and nobody may store what cannot be read again. So a chain of causes
//! counts for nothing here, however long, and ends after [`CAUSES_KEPT`]: whoever reports a long one must get through
//! (Temporal: common/failure/failure.go Truncate).

use bytes::{Buf, BufMut, Bytes};
use prost::encoding::{
    check_wire_type, decode_key, decode_varint, message, skip_field, string, DecodeContext, WireType,
};
use prost::{DecodeError, Message, Name};

use crate::temporal::api::common::v1::Payload;

/// The field `cause` of the .proto file.
const CAUSE: u32 = 4;
/// Causes of one failure that are kept. With whatever they stand in they are no deeper than clients decode.
pub const CAUSES_KEPT: usize = 64;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Failure {
    pub message: String,
    pub source: String,
    pub stack_trace: String,
    pub encoded_attributes: Option<Payload>,
    pub cause: Option<Box<Failure>>,
    pub failure_info: Option<failure::FailureInfo>,
}

/// Where it would be if it had been generated.
pub mod failure {
    use crate::temporal::api::failure::v1 as info;

    #[derive(Clone, PartialEq, prost::Oneof)]
    pub enum FailureInfo {
        #[prost(message, tag = "5")]
        ApplicationFailureInfo(info::ApplicationFailureInfo),
        #[prost(message, tag = "6")]
        TimeoutFailureInfo(info::TimeoutFailureInfo),
        #[prost(message, tag = "7")]
        CanceledFailureInfo(info::CanceledFailureInfo),
        #[prost(message, tag = "8")]
        TerminatedFailureInfo(info::TerminatedFailureInfo),
        #[prost(message, tag = "9")]
        ServerFailureInfo(info::ServerFailureInfo),
        #[prost(message, tag = "10")]
        ResetWorkflowFailureInfo(info::ResetWorkflowFailureInfo),
        #[prost(message, tag = "11")]
        ActivityFailureInfo(info::ActivityFailureInfo),
        #[prost(message, tag = "12")]
        ChildWorkflowExecutionFailureInfo(info::ChildWorkflowExecutionFailureInfo),
        #[prost(message, tag = "13")]
        NexusOperationExecutionFailureInfo(info::NexusOperationFailureInfo),
        #[prost(message, tag = "14")]
        NexusHandlerFailureInfo(info::NexusHandlerFailureInfo),
    }
}

impl Failure {
    /// Any field but the cause.
    fn merge_own(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buffer: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        match tag {
            1 => string::merge(wire_type, &mut self.message, buffer, context),
            2 => string::merge(wire_type, &mut self.source, buffer, context),
            3 => string::merge(wire_type, &mut self.stack_trace, buffer, context),
            5..=14 => failure::FailureInfo::merge(&mut self.failure_info, tag, wire_type, buffer, context),
            20 => message::merge(wire_type, self.encoded_attributes.get_or_insert_default(), buffer, context),
            _ => skip_field(wire_type, tag, buffer, context),
        }
    }

    /// One failure of a chain, and its cause, encoded.
    fn level(mut encoded: Bytes) -> Result<(Self, Option<Bytes>), DecodeError> {
        let (mut level, mut cause) = (Self::default(), None);
        while encoded.has_remaining() {
            let (tag, wire_type) = decode_key(&mut encoded)?;
            match tag {
                CAUSE => cause = Some(take(wire_type, &mut encoded)?),
                _ => level.merge_own(tag, wire_type, &mut encoded, DecodeContext::default())?,
            }
        }
        Ok((level, cause))
    }

    /// A failure with its causes, level by level: nothing here recurses.
    fn chain(encoded: Bytes) -> Result<Box<Self>, DecodeError> {
        let (first, mut rest) = Self::level(encoded)?;
        let mut levels = vec![first];
        while let Some(encoded) = rest.filter(|_| levels.len() < CAUSES_KEPT) {
            let (level, cause) = Self::level(encoded)?;
            levels.push(level);
            rest = cause;
        }
        let whole = levels.into_iter().rev().fold(None, |cause, level| Some(Box::new(Self { cause, ..level })));
        Ok(whole.unwrap_or_default())
    }
}

/// The bytes of a field that has a length.
fn take(wire_type: WireType, buffer: &mut impl Buf) -> Result<Bytes, DecodeError> {
    check_wire_type(WireType::LengthDelimited, wire_type)?;
    let length = usize::try_from(decode_varint(buffer)?).unwrap_or(usize::MAX);
    if length > buffer.remaining() {
        // What a decoder says of a buffer that ends early.
        decode_varint(&mut [0x80_u8].as_slice())?;
    }
    Ok(buffer.copy_to_bytes(length))
}

impl Message for Failure {
    fn encode_raw(&self, buffer: &mut impl BufMut) {
        for (tag, text) in [(1, &self.message), (2, &self.source), (3, &self.stack_trace)] {
            if !text.is_empty() {
                string::encode(tag, text, buffer);
            }
        }
        if let Some(cause) = &self.cause {
            message::encode(CAUSE, cause, buffer);
        }
        if let Some(info) = &self.failure_info {
            info.encode(buffer);
        }
        if let Some(attributes) = &self.encoded_attributes {
            message::encode(20, attributes, buffer);
        }
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buffer: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        if tag == CAUSE {
            self.cause = Some(Self::chain(take(wire_type, buffer)?)?);
            return Ok(());
        }
        self.merge_own(tag, wire_type, buffer, context)
    }

    fn encoded_len(&self) -> usize {
        let texts = [(1, &self.message), (2, &self.source), (3, &self.stack_trace)];
        let texts = texts.iter().filter(|(_, text)| !text.is_empty());
        texts.map(|(tag, text)| string::encoded_len(*tag, *text)).sum::<usize>()
            + self.cause.as_ref().map_or(0, |cause| message::encoded_len(CAUSE, cause))
            + self.failure_info.as_ref().map_or(0, failure::FailureInfo::encoded_len)
            + self.encoded_attributes.as_ref().map_or(0, |attributes| message::encoded_len(20, attributes))
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Name for Failure {
    const NAME: &'static str = "Failure";
    const PACKAGE: &'static str = "temporal.api.failure.v1";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use prost_types::{DescriptorProto, FileDescriptorSet};

    use super::*;
    use crate::temporal::api::failure::v1::ApplicationFailureInfo;

    /// What decoders allow.
    const LEVELS: usize = 100;

    fn deep(causes: usize) -> Failure {
        let level = |number: usize, cause| Failure { message: number.to_string(), cause, ..Default::default() };
        let cause = (1..=causes).rev().fold(None, |cause, number| Some(Box::new(level(number, cause))));
        level(0, cause)
    }

    fn messages(failure: &Failure) -> Vec<&str> {
        let chain = std::iter::successors(Some(failure), |failure| failure.cause.as_deref());
        chain.map(|failure| failure.message.as_str()).collect()
    }

    #[test]
    fn a_failure_reads_as_it_was_written() {
        let info = ApplicationFailureInfo { r#type: "T".into(), non_retryable: true, ..Default::default() };
        let failure = Failure {
            message: "m".into(),
            source: "s".into(),
            stack_trace: "t".into(),
            encoded_attributes: Some(Payload { data: "x".into(), ..Default::default() }),
            failure_info: Some(failure::FailureInfo::ApplicationFailureInfo(info)),
            cause: Some(Box::new(deep(3))),
        };
        let bytes = failure.encode_to_vec();
        assert_eq!(bytes.len(), failure.encoded_len());
        assert_eq!(Failure::decode(bytes.as_slice()), Ok(failure));
        let bytes = Failure { message: "m".into(), cause: Some(Box::default()), ..Default::default() }.encode_to_vec();
        assert_eq!(bytes, [0x0a, 1, b'm', 0x22, 0], "as generated code writes it");
    }

    #[test]
    fn the_first_causes_of_a_long_chain_are_kept() {
        for causes in [CAUSES_KEPT, CAUSES_KEPT + 1, 150, 2000] {
            let read = Failure::decode(deep(causes).encode_to_vec().as_slice()).expect("it can be read");
            assert_eq!(read, deep(CAUSES_KEPT), "{causes}");
            assert_eq!(messages(&read).last(), Some(&"64"));
        }
    }

    #[test]
    fn a_cause_that_ends_early_is_refused() {
        assert!(Failure::decode([0x22, 5, 0x0a].as_slice()).is_err());
        assert!(Failure::decode([0x22, 2, 0x22, 9].as_slice()).is_err());
        assert!(Failure::decode([0x20, 2].as_slice()).is_err());
    }

    /// How deep messages of this type can be; the chain of causes counts for what is kept of it.
    fn depth(all: &BTreeMap<String, DescriptorProto>, name: &str, above: &mut Vec<String>) -> usize {
        assert!(!above.iter().any(|upper| upper == name), "a message within itself: {above:?}, {name}");
        above.push(name.to_owned());
        let fields = all[name].field.iter().filter(|field| !field.type_name().is_empty());
        let fields = fields.filter_map(|field| {
            let of = field.type_name().trim_start_matches('.');
            let is_chain = of == Failure::full_name() && name == of;
            (all.contains_key(of) && !is_chain).then_some(of)
        });
        let below = fields.map(|of| depth(all, of, above)).max().unwrap_or_default();
        above.pop();
        let chain = if name == Failure::full_name() { CAUSES_KEPT } else { 0 };
        1 + below + chain
    }

    fn collect(prefix: &str, message: &DescriptorProto, all: &mut BTreeMap<String, DescriptorProto>) {
        let name = format!("{prefix}.{}", message.name());
        message.nested_type.iter().for_each(|nested| collect(&name, nested, all));
        all.insert(name, message.clone());
    }

    #[test]
    fn all_that_is_stored_can_be_read_again() {
        let files = FileDescriptorSet::decode(crate::ALL_DESCRIPTORS).expect("descriptors");
        let mut all = BTreeMap::new();
        for file in &files.file {
            file.message_type.iter().for_each(|message| collect(file.package(), message, &mut all));
        }
        let ours = ["everstep.", "temporal.api.history.", "temporal.api.update."];
        let stored: Vec<_> = all.keys().filter(|name| ours.iter().any(|ours| name.starts_with(ours))).collect();
        assert!(stored.iter().any(|name| *name == "everstep.op.v1.Proposal"));
        for name in stored {
            let levels = depth(&all, name, &mut Vec::new());
            assert!(levels < LEVELS, "{name} has {levels} levels");
        }
    }
}

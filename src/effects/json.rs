//! Messages of Temporal's API as protobuf's JSON.

use std::sync::LazyLock;

use prost_reflect::{DescriptorPool, DynamicMessage};
use serde_json::Value;

static POOL: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(proto::PUBLIC_DESCRIPTORS).expect("made by our own build"));

/// A message that the pool does not know is `null`.
pub fn to_json<M: prost::Message + prost::Name>(message: &M) -> Value {
    let Some(descriptor) = POOL.get_message_by_name(&M::full_name()) else { return Value::Null };
    let decoded = DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice());
    decoded.ok().and_then(|message| serde_json::to_value(message).ok()).unwrap_or(Value::Null)
}

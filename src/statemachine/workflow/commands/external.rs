//! Commands that are known and not carried out yet.

use proto::temporal::api::command::v1::ProtocolMessageCommandAttributes;
use proto::temporal::api::enums::v1::WorkflowTaskFailedCause as Cause;

use super::{missing_attributes, Refused};

pub fn not_built(command: &str) -> Refused {
    Refused::task(Cause::FeatureDisabled, format!("{command} is not implemented by this server"))
}

/// Messages belong to updates; without updates no message can be there to refer to.
pub fn message(sent: Option<&ProtocolMessageCommandAttributes>) -> Result<(), Refused> {
    let bad = |message: String| Refused::task(Cause::BadUpdateWorkflowExecutionMessage, message);
    let sent = sent.ok_or_else(|| bad(missing_attributes("ProtocolMessage")))?;
    if sent.message_id.is_empty() {
        return Err(bad("MessageID is not set on ProtocolMessageCommand.".into()));
    }
    Err(bad(format!("ProtocolMessageCommand referenced absent message ID {}", sent.message_id)))
}

//! Updates: what a worker answers to the message that brings one, and how a client sends it.

use prost::{Message as _, Name};
use proto::temporal::api::command::v1::command::Attributes;
use proto::temporal::api::command::v1::{Command, ProtocolMessageCommandAttributes};
use proto::temporal::api::common::v1::{Payloads, WorkflowExecution};
use proto::temporal::api::enums::v1::{CommandType, UpdateWorkflowExecutionLifecycleStage as Stage};
use proto::temporal::api::protocol::v1::{message::SequencingId, Message};
use proto::temporal::api::update::v1::{outcome, Acceptance, Input, Meta, Outcome, Request, Response, WaitPolicy};
use proto::temporal::api::workflowservice::v1::UpdateWorkflowExecutionRequest;

/// Accepts an update and completes it: the commands in their order, and the messages they name.
pub(super) fn handle(update: &Message, payloads: &Payloads, messages: &mut Vec<Message>) -> Vec<Command> {
    let body = update.body.as_ref().map(|body| body.value.as_slice()).unwrap_or_default();
    let Ok(request) = Request::decode(body) else { return Vec::new() };
    let sequencing = match update.sequencing_id {
        Some(SequencingId::EventId(event)) => event,
        _ => 0,
    };
    let meta = request.meta.clone();
    let acceptance = Acceptance {
        accepted_request_message_id: update.id.clone(),
        accepted_request_sequencing_event_id: sequencing,
        accepted_request: Some(request),
    };
    let outcome = Some(Outcome { value: Some(outcome::Value::Success(payloads.clone())) });
    let response = Response { meta, outcome };
    [("accept", any(&acceptance)), ("complete", any(&response))]
        .into_iter()
        .map(|(what, body)| {
            let id = format!("{}/{what}", update.protocol_instance_id);
            let protocol_instance_id = update.protocol_instance_id.clone();
            messages.push(Message { id: id.clone(), protocol_instance_id, body: Some(body), ..Default::default() });
            let named = ProtocolMessageCommandAttributes { message_id: id };
            Command {
                command_type: CommandType::ProtocolMessage as i32,
                attributes: Some(Attributes::ProtocolMessageCommandAttributes(named)),
                ..Default::default()
            }
        })
        .collect()
}

fn any<M: prost::Message + Name>(message: &M) -> prost_types::Any {
    prost_types::Any { type_url: format!("type.googleapis.com/{}", M::full_name()), value: message.encode_to_vec() }
}

/// An update of a workflow that is waited for until it is complete.
pub(super) fn request(
    namespace: &str,
    workflow_id: &str,
    number: usize,
    payloads: &Payloads,
) -> UpdateWorkflowExecutionRequest {
    let meta = Meta { update_id: format!("update-{number}"), identity: "everstep-bench".into() };
    let input = Input { name: "bench".into(), args: Some(payloads.clone()), ..Default::default() };
    UpdateWorkflowExecutionRequest {
        namespace: namespace.into(),
        workflow_execution: Some(WorkflowExecution { workflow_id: workflow_id.into(), run_id: String::new() }),
        wait_policy: Some(WaitPolicy { lifecycle_stage: Stage::Completed as i32 }),
        request: Some(Request { meta: Some(meta), input: Some(input), ..Default::default() }),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_is_accepted_and_completed() {
        let request = request("n", "w", 1, &Payloads::default()).request.expect("a request");
        let update = Message {
            id: "u/request".into(),
            protocol_instance_id: "u".into(),
            sequencing_id: Some(SequencingId::EventId(4)),
            body: Some(any(&request)),
        };
        let mut messages = Vec::new();
        let commands = handle(&update, &Payloads::default(), &mut messages);
        assert_eq!(commands.len(), 2);
        assert_eq!(messages.iter().map(|sent| sent.id.as_str()).collect::<Vec<_>>(), ["u/accept", "u/complete"]);
        let body = messages[0].body.as_ref().expect("a body");
        let acceptance = Acceptance::decode(body.value.as_slice()).expect("an acceptance");
        assert_eq!((acceptance.accepted_request_sequencing_event_id, acceptance.accepted_request), (4, Some(request)));
    }
}

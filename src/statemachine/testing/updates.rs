//! What scripts say about updates.

use prost::{Message as _, Name};
use proto::temporal::api::protocol::v1::Message;
use proto::temporal::api::update::v1::{outcome, Acceptance, Input, Meta, Outcome, Rejection, Request, Response};
use proto::temporal::api::workflowservice::v1::UpdateWorkflowExecutionRequest;

use super::script::{Script, Words};
use crate::op::{self, op::Kind};
use crate::reject::Stop;
use crate::update::outcome::{of_admitted, Progress};

fn id<'l>(words: &Words<'l>) -> &'l str {
    words.pairs.first().map(|pair| pair.0).unwrap_or("u")
}

fn request(words: &Words<'_>) -> UpdateWorkflowExecutionRequest {
    let meta = Meta { update_id: id(words).into(), identity: "caller".into() };
    let input = Input { name: "change".into(), ..Default::default() };
    UpdateWorkflowExecutionRequest {
        workflow_execution: Script::execution(words),
        request: Some(Request { meta: Some(meta), input: Some(input), ..Default::default() }),
        ..Default::default()
    }
}

pub(super) fn admit(script: &mut Script, words: &Words<'_>) {
    let namespace = Some(script.harness.namespace.clone());
    script.propose(Kind::AdmitUpdate(op::AdmitUpdate { namespace, request: Some(request(words)) }));
}

pub(super) fn with_start(script: &mut Script, words: &Words<'_>) {
    let namespace = Some(script.harness.namespace.clone());
    let start = Some(script.start_request(words));
    let update = Some(request(words));
    script.propose(Kind::UpdateWithStart(op::UpdateWithStart { namespace, start, update }));
}

/// What the caller of the update learns now.
pub(super) fn outcome(script: &mut Script, words: &Words<'_>) {
    let run = script.harness.run(words.get("wf", "w")).expect("a run");
    let said = match of_admitted(&script.harness.kv, run.key, &run.row, id(words)) {
        Ok(Progress::Done(Outcome { value: Some(outcome::Value::Failure(failure)) })) => {
            format!("failed: {}", failure.message)
        }
        Ok(progress @ (Progress::Admitted | Progress::Accepted)) => format!("{progress:?}"),
        Ok(Progress::Done(_)) => "succeeded".to_owned(),
        Err(Stop::Reject(reject)) => format!("reject {}: {}", reject.code(), reject.message()),
        Err(Stop::Fault(fault)) => panic!("{fault}"),
    };
    script.say(&said);
}

/// `accept=u` and its like as the message that the worker sends.
pub(super) fn message(key: &str, id: &str) -> Option<Message> {
    let (name, value) = match key {
        "accept" | "mute-accept" => {
            let accepted_request_message_id = format!("{id}/request");
            let acceptance = Acceptance {
                accepted_request_message_id,
                accepted_request_sequencing_event_id: 1,
                ..Default::default()
            };
            (Acceptance::full_name(), acceptance.encode_to_vec())
        }
        "respond" => {
            let outcome = Outcome { value: Some(outcome::Value::Success(Default::default())) };
            let response = Response { meta: None, outcome: Some(outcome) };
            (Response::full_name(), response.encode_to_vec())
        }
        "reject" => {
            let failure = proto::temporal::api::failure::v1::Failure { message: "no".into(), ..Default::default() };
            let rejection = Rejection { failure: Some(failure), ..Default::default() };
            (Rejection::full_name(), rejection.encode_to_vec())
        }
        _ => return None,
    };
    let body = prost_types::Any { type_url: format!("type.googleapis.com/{name}"), value };
    let protocol_instance_id = id.to_owned();
    Some(Message { id: format!("{id}/{key}"), protocol_instance_id, body: Some(body), ..Default::default() })
}

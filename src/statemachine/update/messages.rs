//! What a worker says about updates in the messages of a completed workflow task: in the order of the commands that
//! refer to them, the rest after all commands.

use prost::{Message as _, Name};
use proto::temporal::api::enums::v1::WorkflowTaskFailedCause as Cause;
use proto::temporal::api::failure::v1::Failure;
use proto::temporal::api::history::v1::history_event::Attributes;
use proto::temporal::api::history::v1::{
    WorkflowExecutionUpdateAcceptedEventAttributes, WorkflowExecutionUpdateCompletedEventAttributes,
};
use proto::temporal::api::protocol::v1::Message;
use proto::temporal::api::update::v1::{Acceptance, Rejection, Request, Response};

use super::{admit, in_flight, outcome, refuse};
use crate::reject::Decided;
use crate::state::update::Stage;
use crate::state::Update;
use crate::workflow::commands::Refused;
use crate::workflow::Run;
use crate::{tables, Context};

/// The messages of one task that were not carried out yet.
#[derive(Debug, Default)]
pub struct Messages {
    left: Vec<Message>,
}

/// One message's body.
enum Body {
    Acceptance(Acceptance),
    Rejection(Rejection),
    Response(Response),
}

impl Body {
    fn decode(message: &Message) -> Result<Self, Refused> {
        let any = message.body.as_ref();
        let (url, value) = any.map(|any| (any.type_url.as_str(), any.value.as_slice())).unwrap_or_default();
        let decoded = match url.rsplit('/').next().unwrap_or_default() {
            name if name == Acceptance::full_name() => Acceptance::decode(value).map(Self::Acceptance),
            name if name == Rejection::full_name() => Rejection::decode(value).map(Self::Rejection),
            name if name == Response::full_name() => Response::decode(value).map(Self::Response),
            _ => return Err(bad(format!("message body of type {url} is not supported"))),
        };
        decoded.map_err(|error| bad(format!("unable to unmarshal message {}: {error}", message.id)))
    }

    /// As Temporal's texts name it.
    fn name(&self) -> &'static str {
        match self {
            Self::Acceptance(_) => "*update.Acceptance",
            Self::Rejection(_) => "*update.Rejection",
            Self::Response(_) => "*update.Response",
        }
    }

    /// The request that a worker sends along, in case the server has lost it.
    fn request(&self) -> Option<&Request> {
        match self {
            Self::Acceptance(acceptance) => acceptance.accepted_request.as_ref(),
            Self::Rejection(rejection) => rejection.rejected_request.as_ref(),
            Self::Response(_) => None,
        }
    }
}

fn bad(message: impl Into<String>) -> Refused {
    Refused::task(Cause::BadUpdateWorkflowExecutionMessage, message)
}

/// Whether a worker says nothing but that it refuses updates.
pub fn only_rejections(messages: &[Message]) -> bool {
    let is_rejection = |any: &prost_types::Any| any.type_url.rsplit('/').next() == Some(&Rejection::full_name());
    messages.iter().all(|message| message.body.as_ref().is_some_and(is_rejection))
}

impl Messages {
    pub fn new(sent: &[Message]) -> Self {
        Self { left: sent.to_vec() }
    }

    /// Carries out the message that a command refers to.
    pub fn carry_out(&mut self, ctx: &mut Context<'_, '_>, run: &mut Run, id: &str) -> Result<(), Refused> {
        let Some(at) = self.left.iter().position(|message| message.id == id) else {
            return Err(bad(format!("ProtocolMessageCommand referenced absent message ID {id}")));
        };
        let message = self.left.remove(at);
        apply(ctx, run, &message)
    }

    /// Carries out the messages that no command referred to.
    pub fn carry_out_rest(&mut self, ctx: &mut Context<'_, '_>, run: &mut Run) -> Result<(), Refused> {
        std::mem::take(&mut self.left).iter().try_for_each(|message| apply(ctx, run, message))
    }
}

fn apply(ctx: &mut Context<'_, '_>, run: &mut Run, message: &Message) -> Result<(), Refused> {
    let body = Body::decode(message)?;
    let id = message.protocol_instance_id.as_str();
    let known = tables::update(ctx.txn, run.key, id)?.filter(|row| !admit::is_refused(row));
    let row = match known.or_else(|| revived(id, &body)) {
        Some(row) => row,
        None => {
            return Err(bad(format!(
                "update {id} wasn't found on the server. This is most likely a transient error which will be resolved \
                 automatically by retries"
            )))
        }
    };
    match (body, state_of(&row)) {
        (Body::Acceptance(acceptance), State::Sent) => accept(ctx, run, row, acceptance),
        (Body::Rejection(rejection), State::Sent) => {
            reject(ctx, run, row, rejection.failure.unwrap_or_default());
            Ok(())
        }
        (Body::Response(response), State::Accepted) => complete(ctx, run, &row, response),
        (body, state) => Err(bad(format!(
            "invalid state transition attempted for Update {id}: received {} message while in state {state:?}",
            body.name()
        ))),
    }
}

/// An update's state as Temporal's texts name it.
#[derive(Debug)]
enum State {
    Admitted,
    Sent,
    Accepted,
    Completed,
}

fn state_of(row: &Update) -> State {
    match row.stage() {
        Stage::Admitted if row.sent_with == 0 && row.admitted_event_id == 0 => State::Admitted,
        Stage::Admitted => State::Sent,
        Stage::Accepted => State::Accepted,
        Stage::Completed | Stage::Rejected | Stage::Aborted => State::Completed,
    }
}

/// An update that the server does not know any more, from what the worker knows of it.
fn revived(id: &str, body: &Body) -> Option<Update> {
    let request = body.request()?.clone();
    Some(Update { update_id: id.to_owned(), request: Some(request), sent_with: u64::MAX, ..Default::default() })
}

fn accept(ctx: &mut Context<'_, '_>, run: &mut Run, row: Update, acceptance: Acceptance) -> Result<(), Refused> {
    let accepted = WorkflowExecutionUpdateAcceptedEventAttributes {
        protocol_instance_id: row.update_id,
        accepted_request_message_id: acceptance.accepted_request_message_id,
        accepted_request_sequencing_event_id: acceptance.accepted_request_sequencing_event_id,
        // The event that admitted it has the request already.
        accepted_request: row.request.filter(|_| row.admitted_event_id == 0),
    };
    run.add(ctx, Attributes::WorkflowExecutionUpdateAcceptedEventAttributes(accepted))?;
    Ok(())
}

fn complete(ctx: &mut Context<'_, '_>, run: &mut Run, row: &Update, response: Response) -> Result<(), Refused> {
    let mut meta = response.meta.unwrap_or_default();
    if meta.update_id.is_empty() {
        meta.update_id.clone_from(&row.update_id);
    }
    if meta.update_id != row.update_id {
        let (sent, id) = (&meta.update_id, &row.update_id);
        return Err(bad(format!("invalid *update.Response: meta.update_id {sent} is not of Update {id}")));
    }
    if response.outcome.as_ref().is_none_or(|outcome| outcome.value.is_none()) {
        return Err(bad("invalid *update.Response: outcome is not set"));
    }
    let completed = WorkflowExecutionUpdateCompletedEventAttributes {
        meta: Some(meta),
        accepted_event_id: row.accepted_event_id,
        outcome: response.outcome,
    };
    run.add(ctx, Attributes::WorkflowExecutionUpdateCompletedEventAttributes(completed))?;
    Ok(())
}

fn reject(ctx: &mut Context<'_, '_>, run: &mut Run, row: Update, failure: Failure) {
    refuse(ctx, run, Update { stage: Stage::Rejected as i32, rejection: Some(failure), ..row });
}

/// A worker that says nothing about an update it was sent does not know updates: they would come to it for ever.
pub fn reject_unprocessed(ctx: &mut Context<'_, '_>, run: &mut Run) -> Decided<()> {
    for row in in_flight(ctx.txn, run)? {
        if row.stage() == Stage::Admitted && row.sent_with != 0 {
            reject(ctx, run, row, outcome::unprocessed());
        }
    }
    Ok(())
}

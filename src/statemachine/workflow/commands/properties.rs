//! Markers, search attributes and memo, and references to messages.

use std::collections::BTreeMap;

use prost::Message;
use proto::temporal::api::command::v1::{
    ModifyWorkflowPropertiesCommandAttributes, ProtocolMessageCommandAttributes, RecordMarkerCommandAttributes,
    UpsertWorkflowSearchAttributesCommandAttributes,
};
use proto::temporal::api::common::v1::{Memo, Payload, SearchAttributes};
use proto::temporal::api::enums::v1::WorkflowTaskFailedCause as Cause;
use proto::temporal::api::history::v1::history_event::Attributes;
use proto::temporal::api::history::v1::{
    MarkerRecordedEventAttributes, UpsertWorkflowSearchAttributesEventAttributes,
    WorkflowPropertiesModifiedEventAttributes,
};

use super::{check_id, missing_attributes, Refused, Scope};
use crate::visibility::attributes;
use crate::workflow::evolve::merge;
use crate::workflow::run::Extras;
use crate::workflow::Run;
use crate::Context;

pub fn marker(
    ctx: &mut Context<'_, '_>,
    run: &mut Run,
    sent: Option<&RecordMarkerCommandAttributes>,
    extras: Extras,
    completed_event_id: i64,
) -> Result<(), Refused> {
    let bad = |message: String| Refused::task(Cause::BadRecordMarkerAttributes, message);
    let sent = sent.ok_or_else(|| bad(missing_attributes("RecordMarker")))?;
    check_id("MarkerName", "RecordMarkerCommand", &sent.marker_name).map_err(bad)?;
    let size: usize = sent.details.values().map(Message::encoded_len).sum();
    check_blob(ctx, size, "RecordMarkerCommandAttributes.Details", Cause::BadRecordMarkerAttributes)?;
    let recorded = MarkerRecordedEventAttributes {
        marker_name: sent.marker_name.clone(),
        details: sent.details.clone(),
        workflow_task_completed_event_id: completed_event_id,
        header: sent.header.clone(),
        failure: sent.failure.clone(),
    };
    run.add_with(ctx, Attributes::MarkerRecordedEventAttributes(recorded), extras)?;
    Ok(())
}

/// What is stored, with what a command changes of it: this is what has a limit, not what was sent.
fn merged(stored: Option<&BTreeMap<String, Payload>>, sent: &BTreeMap<String, Payload>) -> BTreeMap<String, Payload> {
    let mut merged = stored.cloned().unwrap_or_default();
    merge(&mut merged, sent);
    merged
}

/// Of names and values, as Temporal counts what a command changes (payloadsMapSize).
fn fields_size(fields: &BTreeMap<String, Payload>) -> usize {
    fields.iter().map(|(name, payload)| name.len() + payload.data.len()).sum()
}

/// A memo that is too large ends the workflow.
pub fn check_memo(ctx: &Context<'_, '_>, memo: Option<&Memo>, command: &str, cause: Cause) -> Result<(), Refused> {
    if memo.map(Message::encoded_len).unwrap_or_default() > ctx.limits.memo_size {
        let message = format!("{command}CommandAttributes. Memo exceeds size limit.");
        return Err(Refused::Workflow { cause, message });
    }
    Ok(())
}

/// Search attributes that are too large end the workflow.
pub fn check_attributes(attributes: &SearchAttributes, cause: Cause) -> Result<(), Refused> {
    attributes::check_size(attributes).map_err(|message| Refused::Workflow { cause, message })
}

/// Something too large ends the workflow: it could never get past this task.
pub fn check_blob(ctx: &Context<'_, '_>, size: usize, field: &str, cause: Cause) -> Result<(), Refused> {
    if size > ctx.limits.blob_size {
        return Err(Refused::Workflow { cause, message: format!("{field} exceeds size limit.") });
    }
    Ok(())
}

pub fn upsert(
    ctx: &mut Context<'_, '_>,
    run: &mut Run,
    sent: Option<&UpsertWorkflowSearchAttributesCommandAttributes>,
    extras: Extras,
    scope: &Scope<'_>,
) -> Result<(), Refused> {
    let bad = |message: String| Refused::task(Cause::BadSearchAttributes, message);
    let sent = sent.ok_or_else(|| bad(missing_attributes("UpsertWorkflowSearchAttributes")))?;
    let search_attributes = sent
        .search_attributes
        .as_ref()
        .ok_or_else(|| bad("SearchAttributes is not set on UpsertWorkflowSearchAttributesCommand.".to_owned()))?;
    if search_attributes.indexed_fields.is_empty() {
        return Err(bad("IndexedFields is not set on UpsertWorkflowSearchAttributesCommand.".to_owned()));
    }
    let typed = attributes::check(scope.namespace, search_attributes).map_err(bad)?;
    let size = fields_size(&search_attributes.indexed_fields);
    check_blob(ctx, size, "UpsertWorkflowSearchAttributesCommandAttributes", Cause::BadSearchAttributes)?;
    let stored = run.row.search_attributes.as_ref().map(|stored| &stored.indexed_fields);
    let indexed_fields = merged(stored, &search_attributes.indexed_fields);
    check_attributes(&SearchAttributes { indexed_fields }, Cause::BadSearchAttributes)?;
    let upserted = UpsertWorkflowSearchAttributesEventAttributes {
        workflow_task_completed_event_id: scope.completed_event_id,
        search_attributes: Some(typed),
    };
    run.add_with(ctx, Attributes::UpsertWorkflowSearchAttributesEventAttributes(upserted), extras)?;
    Ok(())
}

pub fn modify(
    ctx: &mut Context<'_, '_>,
    run: &mut Run,
    sent: Option<&ModifyWorkflowPropertiesCommandAttributes>,
    extras: Extras,
    completed_event_id: i64,
) -> Result<(), Refused> {
    let bad = |message: &str| Refused::task(Cause::BadModifyWorkflowPropertiesAttributes, message);
    let sent = sent.ok_or_else(|| bad(&missing_attributes("ModifyWorkflowProperties")))?;
    let memo = sent
        .upserted_memo
        .as_ref()
        .ok_or_else(|| bad("UpsertedMemo is not set on ModifyWorkflowPropertiesCommand."))?;
    if memo.fields.is_empty() {
        return Err(bad("UpsertedMemo.Fields is not set on ModifyWorkflowPropertiesCommand."));
    }
    let cause = Cause::BadModifyWorkflowPropertiesAttributes;
    check_blob(ctx, fields_size(&memo.fields), "ModifyWorkflowPropertiesCommandAttributes", cause)?;
    let stored = run.row.memo.as_ref().map(|stored| &stored.fields);
    let whole = Memo { fields: merged(stored, &memo.fields) };
    check_memo(ctx, Some(&whole), "ModifyWorkflowProperties", cause)?;
    let modified = WorkflowPropertiesModifiedEventAttributes {
        workflow_task_completed_event_id: completed_event_id,
        upserted_memo: Some(memo.clone()),
    };
    run.add_with(ctx, Attributes::WorkflowPropertiesModifiedEventAttributes(modified), extras)?;
    Ok(())
}

/// The message about an update that a command refers to.
pub fn message_id(sent: Option<&ProtocolMessageCommandAttributes>) -> Result<&str, Refused> {
    let bad = |message: String| Refused::task(Cause::BadUpdateWorkflowExecutionMessage, message);
    let sent = sent.ok_or_else(|| bad(missing_attributes("ProtocolMessage")))?;
    if sent.message_id.is_empty() {
        return Err(bad("MessageID is not set on ProtocolMessageCommand.".into()));
    }
    Ok(&sent.message_id)
}

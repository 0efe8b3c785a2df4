//! The values of one visibility record, as the evaluator asks for them.

use std::borrow::Cow;

use proto::temporal::api::common::v1::WorkflowExecution;
use proto::temporal::api::workflow::v1::WorkflowExecutionInfo;
use statemachine::time::{nanos_of, nanos_of_timestamp};

use super::filter::{Field, System};
use crate::reads::search_attributes::{decode, Value};

/// What a list shows of a run.
#[derive(Clone, Copy)]
pub(crate) struct Record<'i>(pub(crate) &'i WorkflowExecutionInfo);

impl<'i> Record<'i> {
    /// The field's value; `None` if the record has none. A stored value that is not of the attribute's type is none.
    pub(super) fn value(&self, field: &Field) -> Option<Value<'i>> {
        match field {
            Field::System(system) => self.system(*system),
            Field::Attribute { name, kind } => {
                let payload = self.0.search_attributes.as_ref()?.indexed_fields.get(name)?;
                decode(payload, *kind).ok().flatten()
            }
        }
    }

    fn system(&self, system: System) -> Option<Value<'i>> {
        let info = self.0;
        match system {
            System::StartTime => time(info.start_time.as_ref()),
            System::ExecutionTime => time(info.execution_time.as_ref()),
            System::CloseTime => time(info.close_time.as_ref()),
            System::ExecutionStatus => Some(Value::Integer(info.status.into())),
            System::ExecutionDuration => self.closed(self.duration()?),
            System::HistoryLength => self.closed(info.history_length),
            System::HistorySizeBytes => self.closed(info.history_size_bytes),
            System::StateTransitionCount => self.closed(info.state_transition_count),
            System::WorkflowId => text(&info.execution.as_ref()?.workflow_id),
            System::RunId => text(&info.execution.as_ref()?.run_id),
            System::ParentWorkflowId => text(&info.parent_execution.as_ref()?.workflow_id),
            System::ParentRunId => text(&info.parent_execution.as_ref()?.run_id),
            System::RootWorkflowId => text(&self.root()?.workflow_id),
            System::RootRunId => text(&self.root()?.run_id),
            System::TaskQueue => text(&info.task_queue),
            System::WorkflowType => text(&info.r#type.as_ref()?.name),
        }
    }

    /// A run that is nobody's child is its own root.
    fn root(&self) -> Option<&'i WorkflowExecution> {
        self.0.root_execution.as_ref().or(self.0.execution.as_ref())
    }

    /// Totals exist once the run is closed.
    fn closed(&self, total: i64) -> Option<Value<'i>> {
        self.0.close_time.is_some().then_some(Value::Integer(total))
    }

    fn duration(&self) -> Option<i64> {
        if let Some(duration) = &self.0.execution_duration {
            return Some(nanos_of(duration));
        }
        let from = self.0.execution_time.as_ref().or(self.0.start_time.as_ref())?;
        Some(nanos_of_timestamp(self.0.close_time.as_ref()?) - nanos_of_timestamp(from))
    }
}

fn time(timestamp: Option<&prost_types::Timestamp>) -> Option<Value<'static>> {
    timestamp.map(|timestamp| Value::Time(nanos_of_timestamp(timestamp)))
}

fn text(text: &str) -> Option<Value<'_>> {
    (!text.is_empty()).then_some(Value::Text(Cow::Borrowed(text)))
}

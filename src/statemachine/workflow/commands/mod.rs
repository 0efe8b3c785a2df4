//! The commands of a completed workflow task, in order. One that cannot be carried out fails the task as a whole.

mod closing;
mod external;
pub(crate) mod properties;

use proto::temporal::api::command::v1::{command::Attributes, Command};
use proto::temporal::api::enums::v1::{CommandType, WorkflowTaskFailedCause as Cause};

use super::run::Extras;
use super::{start::NewRun, Run};
use crate::activity::{self, EagerTarget};
use crate::op::{self, NamespaceFacts};
use crate::reject::Stop;
use crate::update::messages::Messages;
use crate::{child, timer, Context, Fault, Reject};

pub(crate) const ID_LENGTH_MAX: usize = 1000;

/// Why a task's commands were not carried out.
#[derive(Debug)]
pub enum Refused {
    /// The task fails with this cause; the message goes to the worker, behind the cause's name.
    Task { cause: Cause, message: String },
    /// The task fails and the workflow is terminated: it can never get past this.
    Workflow { cause: Cause, message: String },
    /// The request as a whole is refused and the task stays open, or this node is broken.
    Stop(Stop),
}

impl Refused {
    pub fn task(cause: Cause, message: impl Into<String>) -> Self {
        Self::Task { cause, message: message.into() }
    }
}

impl From<Stop> for Refused {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        Self::Stop(fault.into())
    }
}

impl From<Reject> for Refused {
    fn from(reject: Reject) -> Self {
        Self::Stop(reject.into())
    }
}

/// What the commands of one task led to, beside events.
#[derive(Debug, Default)]
pub struct Carried {
    /// Activities handed to the worker with the answer.
    pub activities: Vec<op::ActivityTaskStarted>,
    /// An activity ended without having started: the workflow must hear of it in a new task.
    pub needs_task: bool,
    /// What the worker says about updates and no command has referred to yet.
    pub messages: Messages,
    /// The run closed, and this one follows it.
    pub successor: Option<(String, NewRun)>,
}

/// What a command is carried out with.
pub struct Scope<'s> {
    pub namespace: &'s NamespaceFacts,
    /// Those that commands name, as far as they are known.
    pub other_namespaces: &'s [NamespaceFacts],
    pub completed_event_id: i64,
    pub identity: &'s str,
    pub eager: Option<EagerTarget>,
    pub commands: &'s [Command],
}

/// Refuses a list in which something follows a closing command, or with a command nobody knows (SEMANTICS F: the task
/// stays open).
pub fn check_sequence(commands: &[Command]) -> Result<(), Reject> {
    for (at, command) in commands.iter().enumerate() {
        let kind = match CommandType::try_from(command.command_type) {
            Ok(CommandType::Unspecified) => return Err(Reject::invalid_argument("unknown command type: Unspecified")),
            Ok(kind) => kind,
            Err(_) => return Err(Reject::invalid_argument(format!("unknown command type: {}", command.command_type))),
        };
        if is_closing(kind) && at + 1 != commands.len() {
            let names: Vec<String> = commands.iter().map(|command| name_of(command.command_type)).collect();
            let name = name_of(command.command_type);
            return Err(Reject::invalid_argument(format!(
                "invalid command sequence: [{}], command {name} must be the last command.",
                names.join(", ")
            )));
        }
    }
    Ok(())
}

pub fn is_closing(kind: CommandType) -> bool {
    matches!(
        kind,
        CommandType::CompleteWorkflowExecution
            | CommandType::FailWorkflowExecution
            | CommandType::CancelWorkflowExecution
            | CommandType::ContinueAsNewWorkflowExecution
    )
}

/// A command type's name as Temporal prints it: CompleteWorkflowExecution.
fn name_of(number: i32) -> String {
    let Ok(kind) = CommandType::try_from(number) else { return number.to_string() };
    pascal_case(kind.as_str_name().trim_start_matches("COMMAND_TYPE_"))
}

/// SCREAMING_SNAKE to PascalCase.
pub fn pascal_case(name: &str) -> String {
    name.split('_')
        .flat_map(|word| {
            word.chars().enumerate().map(|(at, letter)| if at == 0 { letter } else { letter.to_ascii_lowercase() })
        })
        .collect()
}

/// Carries out one command.
#[expect(clippy::too_many_lines, reason = "one arm for each kind, none of them long")]
pub fn carry_out(
    ctx: &mut Context<'_, '_>,
    run: &mut Run,
    command: &Command,
    scope: &Scope<'_>,
    carried: &mut Carried,
) -> Result<(), Refused> {
    let extras = Extras {
        user_metadata: command.user_metadata.clone(),
        event_group_markers: command.event_group_markers.clone(),
        ..Default::default()
    };
    let id = scope.completed_event_id;
    let attributes = command.attributes.as_ref();
    macro_rules! attributes {
        ($variant:ident) => {
            match attributes {
                Some(Attributes::$variant(found)) => Some(found),
                _ => None,
            }
        };
    }
    match CommandType::try_from(command.command_type).unwrap_or_default() {
        CommandType::ScheduleActivityTask => {
            let found = attributes!(ScheduleActivityTaskCommandAttributes);
            let eager = scope.eager.as_ref();
            carried.activities.extend(activity::schedule::decide(ctx, run, found, extras, id, eager)?);
        }
        CommandType::RequestCancelActivityTask => {
            let found = attributes!(RequestCancelActivityTaskCommandAttributes);
            carried.needs_task |= activity::cancel::decide(ctx, run, found, id, scope.identity)?;
        }
        CommandType::StartTimer => {
            timer::start(ctx, run, attributes!(StartTimerCommandAttributes), extras, id)?;
        }
        CommandType::CancelTimer => {
            timer::cancel(ctx, run, attributes!(CancelTimerCommandAttributes), extras, id, scope.identity)?;
        }
        CommandType::RecordMarker => {
            properties::marker(ctx, run, attributes!(RecordMarkerCommandAttributes), extras, id)?;
        }
        CommandType::UpsertWorkflowSearchAttributes => {
            let found = attributes!(UpsertWorkflowSearchAttributesCommandAttributes);
            properties::upsert(ctx, run, found, extras, scope)?;
        }
        CommandType::ModifyWorkflowProperties => {
            let found = attributes!(ModifyWorkflowPropertiesCommandAttributes);
            properties::modify(ctx, run, found, extras, id)?;
        }
        CommandType::CompleteWorkflowExecution => {
            let found = attributes!(CompleteWorkflowExecutionCommandAttributes);
            carried.successor = closing::complete(ctx, run, found, extras, scope)?;
        }
        CommandType::FailWorkflowExecution => {
            let found = attributes!(FailWorkflowExecutionCommandAttributes);
            carried.successor = closing::fail(ctx, run, found, extras, scope)?;
        }
        CommandType::CancelWorkflowExecution => {
            closing::cancel(ctx, run, attributes!(CancelWorkflowExecutionCommandAttributes), extras, id)?;
        }
        CommandType::ContinueAsNewWorkflowExecution => {
            let found = attributes!(ContinueAsNewWorkflowExecutionCommandAttributes);
            carried.successor = Some(super::continue_as_new::decide(ctx, run, found, extras, scope)?);
        }
        CommandType::StartChildWorkflowExecution => {
            child::command::decide(ctx, run, attributes!(StartChildWorkflowExecutionCommandAttributes), extras, scope)?;
        }
        CommandType::SignalExternalWorkflowExecution => {
            let found = attributes!(SignalExternalWorkflowExecutionCommandAttributes);
            crate::external::command::signal(ctx, run, found, extras, scope)?;
        }
        CommandType::RequestCancelExternalWorkflowExecution => {
            let found = attributes!(RequestCancelExternalWorkflowExecutionCommandAttributes);
            crate::external::command::cancel(ctx, run, found, extras, scope)?;
        }
        CommandType::ProtocolMessage => {
            let id = properties::message_id(attributes!(ProtocolMessageCommandAttributes))?;
            carried.messages.carry_out(ctx, run, id)?;
        }
        CommandType::ScheduleNexusOperation => return Err(external::not_built("ScheduleNexusOperation")),
        CommandType::RequestCancelNexusOperation => return Err(external::not_built("RequestCancelNexusOperation")),
        CommandType::Unspecified => return Err(Reject::invalid_argument("unknown command type: Unspecified").into()),
    }
    Ok(())
}

/// The text for a command without its attributes.
pub fn missing_attributes(command: &str) -> String {
    format!("{command}CommandAttributes is not set on {command}Command.")
}

/// An id of a command must be there and not too long.
pub fn check_id(field: &str, command: &str, id: &str) -> Result<(), String> {
    if id.is_empty() {
        return Err(format!("{field} is not set on {command}."));
    }
    check_length(field, command, id)
}

pub fn check_length(field: &str, command: &str, id: &str) -> Result<(), String> {
    if id.len() > ID_LENGTH_MAX {
        return Err(format!(
            "{field} on {command} exceeds length limit. {field}={id} Length={} Limit={ID_LENGTH_MAX}",
            id.len()
        ));
    }
    Ok(())
}

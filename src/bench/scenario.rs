//! What the workflows do, decided from the history alone.

use prost_types::Duration;
use proto::temporal::api::command::v1::command::Attributes;
use proto::temporal::api::command::v1::{
    Command, CompleteWorkflowExecutionCommandAttributes, RecordMarkerCommandAttributes,
    ScheduleActivityTaskCommandAttributes, StartChildWorkflowExecutionCommandAttributes, StartTimerCommandAttributes,
};
use proto::temporal::api::common::v1::{ActivityType, Payload, Payloads, WorkflowType};
use proto::temporal::api::enums::v1::{CommandType, EventType};
use proto::temporal::api::history::v1::HistoryEvent;
use proto::temporal::api::protocol::v1::Message;
use proto::temporal::api::taskqueue::v1::TaskQueue;

#[derive(clap::ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    /// Activities, one after the other.
    Activities,
    /// Activities, all at once.
    Parallel,
    /// Timers of 1 ms, one after the other.
    Timers,
    /// Signals that the client sends.
    Signals,
    /// Updates that the client waits for.
    Updates,
    /// Child workflows, one after the other.
    Children,
    /// So many markers in one go, then an activity: a long history.
    Long,
}

/// The type of workflows that end at once.
const CHILD: &str = "bench-child";
/// The type of workflows that wait for ever.
pub(super) const IDLE: &str = "bench-idle";
pub(super) const WORKFLOW: &str = "bench";

/// Timers are as short as this.
const TIMER: Duration = Duration { seconds: 0, nanos: 1_000_000 };
const ACTIVITY_TIMEOUT: Duration = Duration { seconds: 60, nanos: 0 };

/// What a workflow is to do, and with which bytes.
pub(super) struct Plan {
    pub(super) scenario: Scenario,
    pub(super) steps: usize,
    pub(super) queue: String,
    pub(super) payloads: Payloads,
}

impl Plan {
    /// The commands of the next workflow task, and whether the workflow ends with them.
    pub(super) fn next(&self, workflow_type: &str, queue: &str, events: &[HistoryEvent]) -> (Vec<Command>, bool) {
        match workflow_type {
            CHILD => (vec![self.complete()], true),
            IDLE => (Vec::new(), false),
            _ => self.next_step(queue, events),
        }
    }

    fn next_step(&self, queue: &str, events: &[HistoryEvent]) -> (Vec<Command>, bool) {
        let count = |kind: EventType| events.iter().filter(|event| event.event_type == kind as i32).count();
        let (begun, ended) = match self.scenario {
            Scenario::Activities | Scenario::Parallel => {
                (count(EventType::ActivityTaskScheduled), count(EventType::ActivityTaskCompleted))
            }
            Scenario::Timers => (count(EventType::TimerStarted), count(EventType::TimerFired)),
            Scenario::Signals => (self.steps, count(EventType::WorkflowExecutionSignaled)),
            Scenario::Updates => (self.steps, count(EventType::WorkflowExecutionUpdateCompleted)),
            Scenario::Children => (
                count(EventType::StartChildWorkflowExecutionInitiated),
                count(EventType::ChildWorkflowExecutionCompleted),
            ),
            Scenario::Long if count(EventType::ActivityTaskScheduled) == 0 => {
                let markers = (0..self.steps).map(|_| self.marker());
                return (markers.chain([self.activity(queue, 0)]).collect(), false);
            }
            Scenario::Long => (0, self.steps * count(EventType::ActivityTaskCompleted)),
        };
        if ended >= self.steps {
            return (vec![self.complete()], true);
        }
        let wanted = match self.scenario {
            Scenario::Parallel => self.steps,
            _ => ended + 1,
        };
        ((begun..wanted).map(|step| self.step(queue, step)).collect(), false)
    }

    fn step(&self, queue: &str, step: usize) -> Command {
        match self.scenario {
            Scenario::Children => command(
                CommandType::StartChildWorkflowExecution,
                Attributes::StartChildWorkflowExecutionCommandAttributes(
                    StartChildWorkflowExecutionCommandAttributes {
                        workflow_id: format!("child-{}", uuid::Uuid::new_v4().simple()),
                        workflow_type: Some(WorkflowType { name: CHILD.into() }),
                        input: Some(self.payloads.clone()),
                        ..Default::default()
                    },
                ),
            ),
            Scenario::Timers => command(
                CommandType::StartTimer,
                Attributes::StartTimerCommandAttributes(StartTimerCommandAttributes {
                    timer_id: step.to_string(),
                    start_to_fire_timeout: Some(TIMER),
                }),
            ),
            _ => self.activity(queue, step),
        }
    }

    fn activity(&self, queue: &str, step: usize) -> Command {
        command(
            CommandType::ScheduleActivityTask,
            Attributes::ScheduleActivityTaskCommandAttributes(ScheduleActivityTaskCommandAttributes {
                activity_id: step.to_string(),
                activity_type: Some(ActivityType { name: "step".into() }),
                task_queue: Some(task_queue(queue)),
                input: Some(self.payloads.clone()),
                start_to_close_timeout: Some(ACTIVITY_TIMEOUT),
                ..Default::default()
            }),
        )
    }

    fn marker(&self) -> Command {
        let details = [("data".to_owned(), self.payloads.clone())].into_iter().collect();
        command(
            CommandType::RecordMarker,
            Attributes::RecordMarkerCommandAttributes(RecordMarkerCommandAttributes {
                marker_name: "step".into(),
                details,
                ..Default::default()
            }),
        )
    }

    /// Whether the updates that come with a task are the last ones that the workflow is to have.
    pub(super) fn is_last_update(&self, events: &[HistoryEvent], arrived: &[Message]) -> bool {
        let completed = EventType::WorkflowExecutionUpdateCompleted as i32;
        events.iter().filter(|event| event.event_type == completed).count() + arrived.len() >= self.steps
    }

    pub(super) fn complete(&self) -> Command {
        let result = Some(self.payloads.clone());
        command(
            CommandType::CompleteWorkflowExecution,
            Attributes::CompleteWorkflowExecutionCommandAttributes(CompleteWorkflowExecutionCommandAttributes {
                result,
            }),
        )
    }
}

fn command(kind: CommandType, attributes: Attributes) -> Command {
    Command { command_type: kind as i32, attributes: Some(attributes), ..Default::default() }
}

pub(super) fn task_queue(name: &str) -> TaskQueue {
    TaskQueue { name: name.into(), ..Default::default() }
}

pub(super) fn payloads(bytes: usize) -> Payloads {
    let metadata = [("encoding".to_owned(), bytes::Bytes::from_static(b"binary/plain"))].into_iter().collect();
    // Not all the same, or compression would flatter the numbers.
    let data: Vec<u8> = (0..bytes).map(|_| rand::random()).collect();
    Payloads { payloads: vec![Payload { metadata, data: data.into(), ..Default::default() }] }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(kinds: &[EventType]) -> Vec<HistoryEvent> {
        kinds.iter().map(|&kind| HistoryEvent { event_type: kind as i32, ..Default::default() }).collect()
    }

    #[test]
    fn each_scenario_ends() {
        let plan = |scenario, steps| Plan { scenario, steps, queue: "q".into(), payloads: payloads(3) };
        use EventType::{ActivityTaskCompleted as Done, ActivityTaskScheduled as Scheduled};
        let plan = |scenario, steps| {
            let plan = plan(scenario, steps);
            move |events: &[HistoryEvent]| plan.next(WORKFLOW, "q", events)
        };
        let (commands, ends) = plan(Scenario::Activities, 2)(&events(&[Scheduled, Done]));
        assert_eq!((commands.len(), ends), (1, false));
        let (commands, ends) = plan(Scenario::Parallel, 3)(&[]);
        assert_eq!((commands.len(), ends), (3, false));
        let (commands, ends) = plan(Scenario::Parallel, 3)(&events(&[Scheduled, Scheduled, Scheduled, Done]));
        assert_eq!((commands.len(), ends), (0, false));
        assert!(plan(Scenario::Timers, 0)(&[]).1);
        assert!(plan(Scenario::Signals, 1)(&events(&[EventType::WorkflowExecutionSignaled])).1);
        assert!(plan(Scenario::Updates, 1)(&events(&[EventType::WorkflowExecutionUpdateCompleted])).1);
        let (commands, ends) = plan(Scenario::Children, 1)(&[]);
        assert_eq!((commands.len(), ends), (1, false));
        assert!(plan(Scenario::Children, 1)(&events(&[EventType::ChildWorkflowExecutionCompleted])).1);
        let (commands, ends) = plan(Scenario::Long, 100)(&[]);
        assert_eq!((commands.len(), ends), (101, false));
        assert!(plan(Scenario::Long, 100)(&events(&[Scheduled, Done])).1);
    }
}

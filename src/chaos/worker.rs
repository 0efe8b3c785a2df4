//! Plays the workers: a workflow that runs one activity and completes when it has seen the last signal.

use std::sync::Arc;
use std::time::Duration;

use proto::temporal::api::command::v1::{
    command::Attributes, Command, CompleteWorkflowExecutionCommandAttributes, ScheduleActivityTaskCommandAttributes,
};
use proto::temporal::api::common::v1::ActivityType;
use proto::temporal::api::enums::v1::CommandType;
use proto::temporal::api::history::v1::{history_event::Attributes as Event, HistoryEvent};
use proto::temporal::api::workflowservice::v1::{
    PollActivityTaskQueueRequest, PollWorkflowTaskQueueRequest, RespondActivityTaskCompletedRequest,
    RespondWorkflowTaskCompletedRequest,
};
use tokio::task::JoinSet;

use super::calls::{self, Caller, Site};
use super::journal::{Journal, Operation};
use super::load::DONE;

const POLLERS: usize = 4;
/// Longer than the server's long polls.
const CALL: Duration = Duration::from_secs(70);

pub struct Worker {
    pollers: JoinSet<()>,
}

impl Worker {
    pub fn start(site: &Arc<Site>, journal: &Arc<Journal>) -> anyhow::Result<Self> {
        let mut pollers = JoinSet::new();
        for nth in 0..POLLERS {
            // Polls wait long, answers do not.
            let poller = || Caller::new(site, nth, CALL, journal);
            let answers = || Caller::new(site, nth, site.try_for, journal);
            pollers.spawn(run_workflow_tasks(poller()?, answers()?));
            pollers.spawn(run_activity_tasks(poller()?, answers()?));
        }
        Ok(Self { pollers })
    }

    pub fn stop(mut self) {
        self.pollers.abort_all();
    }
}

async fn run_workflow_tasks(poller: Caller, answers: Caller) {
    loop {
        let poll = PollWorkflowTaskQueueRequest {
            namespace: poller.site.namespace.clone(),
            task_queue: poller.site.task_queue(),
            identity: "chaos".into(),
            ..Default::default()
        };
        let Ok(task) = poller.client().poll_workflow_task_queue(poll).await else {
            poller.next_address();
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let task = task.into_inner();
        if task.task_token.is_empty() {
            continue;
        }
        let request = RespondWorkflowTaskCompletedRequest {
            namespace: poller.site.namespace.clone(),
            task_token: task.task_token,
            commands: decide(&task.history.unwrap_or_default().events, &poller.site),
            ..Default::default()
        };
        // A refusal is fine: the task may have timed out, or an unseen signal forbids to complete. It comes again.
        let answered = answers.persist(Operation::WorkflowTask, |mut client| {
            let request = request.clone();
            async move { client.respond_workflow_task_completed(request).await }
        });
        let _told_again = answered.await;
    }
}

/// Its histories fit into one page.
fn decide(history: &[HistoryEvent], site: &Site) -> Vec<Command> {
    let has = |wanted: fn(&Event) -> bool| history.iter().filter_map(|event| event.attributes.as_ref()).any(wanted);
    if !has(|event| matches!(event, Event::ActivityTaskScheduledEventAttributes(_))) {
        return vec![schedule_activity(site)];
    }
    let answered = has(|event| matches!(event, Event::ActivityTaskCompletedEventAttributes(_)));
    let done = has(|event| match event {
        Event::WorkflowExecutionSignaledEventAttributes(signal) => {
            calls::number_in(signal.input.as_ref()) == Some(DONE)
        }
        _ => false,
    });
    if answered && done {
        vec![complete()]
    } else {
        Vec::new()
    }
}

fn schedule_activity(site: &Site) -> Command {
    let attributes = ScheduleActivityTaskCommandAttributes {
        activity_id: "only".into(),
        activity_type: Some(ActivityType { name: "Only".into() }),
        task_queue: site.task_queue(),
        start_to_close_timeout: calls::seconds(3),
        ..Default::default()
    };
    Command {
        command_type: CommandType::ScheduleActivityTask as i32,
        attributes: Some(Attributes::ScheduleActivityTaskCommandAttributes(attributes)),
        ..Default::default()
    }
}

fn complete() -> Command {
    let attributes = CompleteWorkflowExecutionCommandAttributes { result: None };
    Command {
        command_type: CommandType::CompleteWorkflowExecution as i32,
        attributes: Some(Attributes::CompleteWorkflowExecutionCommandAttributes(attributes)),
        ..Default::default()
    }
}

async fn run_activity_tasks(poller: Caller, answers: Caller) {
    loop {
        let poll = PollActivityTaskQueueRequest {
            namespace: poller.site.namespace.clone(),
            task_queue: poller.site.task_queue(),
            identity: "chaos".into(),
            ..Default::default()
        };
        let Ok(task) = poller.client().poll_activity_task_queue(poll).await else {
            poller.next_address();
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let task = task.into_inner();
        if task.task_token.is_empty() {
            continue;
        }
        let request = RespondActivityTaskCompletedRequest {
            namespace: poller.site.namespace.clone(),
            task_token: task.task_token,
            ..Default::default()
        };
        // A refusal is fine: the attempt may have timed out. Then the activity is given out again.
        let answered = answers.persist(Operation::Activity, |mut client| {
            let request = request.clone();
            async move { client.respond_activity_task_completed(request).await }
        });
        let _told_again = answered.await;
    }
}

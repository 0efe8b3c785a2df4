//! What workers hold: the tasks handed to them, and those they are done with, which must be worth nothing any more.

use std::collections::{BTreeMap, VecDeque};

use statemachine::op::TaskRef;
use statemachine::TaskType;

/// Tasks held at a time; the worker of the oldest dies with it.
const HELD_MAX: usize = 48;
const SPENT_MAX: usize = 32;

/// A task that was handed out.
#[derive(Debug, Clone, PartialEq)]
pub struct Held {
    pub task: TaskRef,
    /// Order of hand-outs.
    pub serial: u64,
}

/// Which attempts belong together: run, kind, and for activities the event that scheduled it.
type Subject = (String, i32, i64);

fn subject(task: &TaskRef) -> Subject {
    let scheduled = if task.task_type == TaskType::Activity as i32 { task.scheduled_event_id } else { 0 };
    (task.run_id.clone(), task.task_type, scheduled)
}

#[derive(Debug, Clone, Default)]
pub struct Workers {
    pub workflow_tasks: VecDeque<Held>,
    pub activity_tasks: VecDeque<Held>,
    pub spent: VecDeque<Held>,
    newest: BTreeMap<Subject, Held>,
    serial: u64,
}

impl Workers {
    /// A task goes to a worker. The same one again is the same hand-out.
    pub fn hand_out(&mut self, task: TaskRef) {
        let subject = subject(&task);
        if self.newest.get(&subject).is_some_and(|held| held.task == task) {
            return;
        }
        self.serial += 1;
        let held = Held { task, serial: self.serial };
        self.newest.insert(subject, held.clone());
        let line = if held.task.task_type == TaskType::Activity as i32 {
            &mut self.activity_tasks
        } else {
            &mut self.workflow_tasks
        };
        line.push_back(held);
        if line.len() > HELD_MAX {
            line.pop_front();
        }
    }

    /// A task was answered: its token is kept to be tried again.
    pub fn spend(&mut self, held: Held) {
        self.spent.push_back(held);
        if self.spent.len() > SPENT_MAX {
            self.spent.pop_front();
        }
    }

    /// A later attempt was handed out since.
    pub fn is_superseded(&self, held: &Held) -> bool {
        self.newest.get(&subject(&held.task)).is_some_and(|newest| newest.serial > held.serial)
    }

    /// Runs that are gone need no memory.
    pub fn forget_runs(&mut self, gone: impl Fn(&str) -> bool) {
        self.newest.retain(|(run_id, _, _), _| !gone(run_id));
    }
}

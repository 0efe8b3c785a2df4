//! Where effects arrive from the apply threads and are handed on without waiting.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use proto::temporal::api::taskqueue::v1::TaskQueueConfig;
use statemachine::op::ReservationAnswer;
use statemachine::{state, tables, Effect, QueueKey, TaskType};

use super::dispatch::ready_task;
use super::recover::{lead, Led};
use super::{CallbackCaller, Progress, QueryRegistry, Watchers};
use crate::cluster::tasks::Tasks;
use crate::cluster::{ChangeFeed, Router, SYSTEM_SHARD};
use crate::matching::{Matching, Started};
use crate::raft::EffectSink;
use crate::telemetry::tasks as telemetry;

/// What the leader works with.
#[derive(Clone)]
pub struct Hands {
    pub router: Arc<Router>,
    pub matching: Matching,
    pub caller: Arc<CallbackCaller>,
}

/// Takes the effects of all shards of this node.
pub struct Hub {
    tasks: Tasks,
    feed: Arc<ChangeFeed>,
    watchers: Arc<Watchers>,
    queries: Arc<QueryRegistry>,
    hands: Mutex<Option<Hands>>,
    led: Mutex<HashMap<u32, Led>>,
}

impl Hub {
    pub fn new(tasks: Tasks, feed: Arc<ChangeFeed>, queries: Arc<QueryRegistry>) -> Arc<Self> {
        Arc::new(Self {
            tasks,
            feed,
            watchers: Arc::default(),
            queries,
            hands: Mutex::default(),
            led: Mutex::default(),
        })
    }

    /// Once, before the first shard is started.
    pub fn connect(&self, hands: Hands) {
        *self.hands.lock().expect("no panic while held") = Some(hands);
    }

    /// The node stops: nothing is led from here any more, and nothing keeps its parts alive.
    pub fn disconnect(&self) {
        self.hands.lock().expect("no panic while held").take();
        self.led.lock().expect("no panic while held").clear();
    }

    pub fn watchers(&self) -> &Arc<Watchers> {
        &self.watchers
    }

    /// Somebody's reserved poller got a task; if it waits here, it gets to know.
    fn started(&self, shard: u32, answer: ReservationAnswer) {
        let Some(matching) =
            self.hands.lock().expect("no panic while held").as_ref().map(|hands| hands.matching.clone())
        else {
            return;
        };
        let task = answer.workflow_task.as_ref().and_then(|started| started.task.as_ref());
        let queries = task.map(|task| self.queries.of_started(task)).unwrap_or_default();
        matching.fulfil(Started { shard, answer, queries });
    }

    /// The settings of a queue changed: matching goes by the stored ones.
    fn configure(&self, queue: QueueKey) {
        let hands = self.hands.lock().expect("no panic while held");
        let Some((hands, rows)) = hands.as_ref().and_then(|hands| Some((hands, hands.router.local(SYSTEM_SHARD)?)))
        else {
            return;
        };
        match tables::queue_config(&rows, &queue) {
            Ok(row) => hands.matching.configure(vec![(queue, row.and_then(|row| row.config).unwrap_or_default())]),
            Err(fault) => tracing::error!(%fault, "the settings of a queue cannot be read"),
        }
    }

    /// Everything may have changed: the node began, or took a snapshot of the system shard.
    pub fn configure_all(&self) {
        let hands = self.hands.lock().expect("no panic while held");
        let Some((hands, rows)) = hands.as_ref().and_then(|hands| Some((hands, hands.router.local(SYSTEM_SHARD)?)))
        else {
            return;
        };
        match tables::queue_configs(&rows, None, usize::MAX) {
            Ok(rows) => hands.matching.configure(rows.into_iter().filter_map(of_row).collect()),
            Err(fault) => tracing::error!(%fault, "the settings of queues cannot be read"),
        }
    }

    fn hand_on(&self, shard: u32, effect: Effect, led: Option<&Led>) {
        match effect {
            Effect::TaskStarted(answer) => self.started(shard, *answer),
            Effect::TaskReady { queue, task, sticky, priority } => {
                if let Some(led) = led {
                    led.ready(ready_task(queue, *task, sticky, priority.as_ref()));
                }
            }
            Effect::DeadlineSet { due } => {
                if let Some(led) = led {
                    led.alarm(due);
                }
            }
            Effect::RunChanged { run_id, next_event_id, closed, .. } => {
                self.watchers.changed(&run_id, Progress { next_event_id, closed });
                if closed {
                    self.queries.run_closed(&run_id);
                }
            }
            Effect::NamespaceChanged { .. } => {
                self.feed.namespaces_changed();
                if let Some(led) = led {
                    led.namespaces();
                }
            }
            Effect::QueueConfigChanged { queue } => self.configure(queue),
            Effect::RunEnded { namespace, status } if led.is_some() => telemetry::run_ended(&namespace, status),
            Effect::ActivityTimedOut { namespace, kind } if led.is_some() => {
                telemetry::activity_timed_out(&namespace, kind);
            }
            Effect::RunEnded { .. } | Effect::ActivityTimedOut { .. } => {}
            Effect::ClusterChanged => {
                self.feed.cluster_changed();
                self.feed.namespaces_changed();
                self.watchers.wake_all();
                self.configure_all();
            }
            Effect::CallbackReady => {
                if let Some(led) = led {
                    led.callbacks();
                }
            }
            Effect::OutboxReady { .. } => {
                if let Some(led) = led {
                    led.outbox();
                }
            }
        }
    }
}

fn of_row(row: state::QueueConfig) -> Option<(QueueKey, TaskQueueConfig)> {
    let task_type = TaskType::from_number(row.task_type)?;
    let queue = QueueKey { namespace_id: row.namespace_id, task_type, name: row.name };
    Some((queue, row.config.unwrap_or_default()))
}

impl EffectSink for Hub {
    fn applied(&self, shard: u32, _is_leader: bool, effects: Vec<Effect>) {
        let led = self.led.lock().expect("no panic while held");
        let led = led.get(&shard);
        for effect in effects {
            self.hand_on(shard, effect, led);
        }
    }

    fn leadership(&self, shard: u32, term: Option<u64>) {
        let mut led = self.led.lock().expect("no panic while held");
        // What an earlier term left is ended before the next begins.
        let before = led.remove(&shard);
        match term {
            Some(term) => {
                let hands = self.hands.lock().expect("no panic while held");
                led.extend(hands.as_ref().map(|hands| (shard, lead(shard, term, &self.tasks, hands))));
            }
            None if before.is_some() => self.queries.leadership_lost(shard),
            None => {}
        }
    }
}

//! Between our types and those of peer.proto.

use proto::everstep::peer::v1 as peer;
use proto::everstep::peer::v1::offer_tasks_response::Offered as WireOffered;
use statemachine::{QueueKey, TaskType};

use super::types::{Task, TaskKind};
use super::words::{Offered, Reason};

pub(super) fn queue(key: &QueueKey) -> peer::MatchingQueue {
    peer::MatchingQueue {
        namespace_id: key.namespace_id.clone(),
        task_type: key.task_type as i32,
        name: key.name.clone(),
    }
}

pub(super) fn queue_from(wire: Option<peer::MatchingQueue>) -> Result<QueueKey, tonic::Status> {
    let wire = wire.ok_or_else(|| tonic::Status::invalid_argument("no queue"))?;
    let task_type = TaskType::from_number(wire.task_type)
        .ok_or_else(|| tonic::Status::invalid_argument(format!("task type {} is unknown", wire.task_type)))?;
    Ok(QueueKey { namespace_id: wire.namespace_id, task_type, name: wire.name })
}

pub(super) fn task(task: &Task, reason: Reason) -> peer::MatchingTask {
    let query = match &task.kind {
        TaskKind::Query(query) => Some(query.as_ref().clone()),
        TaskKind::Workflow | TaskKind::Activity => None,
    };
    peer::MatchingTask {
        queue: Some(queue(&task.queue)),
        task: Some(task.task.clone()),
        priority: task.priority,
        fairness_key: task.fairness_key.clone(),
        fairness_weight: task.fairness_weight,
        ready_time: task.ready_time,
        sticky: task.sticky,
        more_pollers: task.more_pollers,
        query,
        returned: reason == Reason::Returned,
    }
}

pub(super) fn task_from(wire: peer::MatchingTask) -> Result<(Task, Reason), tonic::Status> {
    let queue = queue_from(wire.queue)?;
    let kind = match (wire.query, queue.task_type) {
        (Some(query), _) => TaskKind::Query(Box::new(query)),
        (None, TaskType::Workflow) => TaskKind::Workflow,
        (None, TaskType::Activity) => TaskKind::Activity,
    };
    let task = Task {
        queue,
        task: wire.task.unwrap_or_default(),
        priority: wire.priority,
        fairness_key: wire.fairness_key,
        fairness_weight: wire.fairness_weight,
        ready_time: wire.ready_time,
        sticky: wire.sticky,
        more_pollers: wire.more_pollers,
        kind,
    };
    Ok((task, if wire.returned { Reason::Returned } else { Reason::Ready }))
}

pub(super) fn offered(offered: &Offered) -> WireOffered {
    match offered {
        Offered::Taken => WireOffered::Taken,
        Offered::Kept => WireOffered::Kept,
        Offered::Known => WireOffered::Known,
        Offered::Full => WireOffered::Full,
        Offered::Unpolled(_) => WireOffered::Unpolled,
        Offered::Away(_) => WireOffered::Moved,
    }
}

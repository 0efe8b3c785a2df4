//! Operators: pause, unpause, reset and change activities, and how long closed runs are kept.

use prost_types::FieldMask;
use proto::temporal::api::activity::v1::ActivityOptions;
use proto::temporal::api::common::v1::WorkflowExecution;
use proto::temporal::api::workflowservice::v1::*;
use statemachine::op::{self, op::Kind, NamespaceFacts};
use statemachine::time::{duration, HOUR, SECOND};

use super::clients;
use crate::{Checked, Random, World};

struct Target {
    namespace: NamespaceFacts,
    workflow_id: String,
}

impl Target {
    fn draw(world: &World, random: &mut Random) -> Self {
        Self { namespace: world.namespace(random), workflow_id: world.workflow_id(random) }
    }

    fn execution(&self) -> Option<WorkflowExecution> {
        Some(WorkflowExecution { workflow_id: self.workflow_id.clone(), run_id: String::new() })
    }

    fn namespace(&self) -> Option<NamespaceFacts> {
        Some(self.namespace.clone())
    }

    fn call(&self, world: &mut World, random: &mut Random, kind: Kind) -> Checked {
        world.call_workflow(random, &self.namespace.id, &self.workflow_id, kind).map(|_| ())
    }
}

fn activity_id(random: &mut Random) -> String {
    format!("a{}", random.below(5))
}

pub fn pause(world: &mut World, random: &mut Random) -> Checked {
    use pause_activity_request::Activity;
    let target = Target::draw(world, random);
    let activity = if random.percent(50) { Activity::Type("Act".into()) } else { Activity::Id(activity_id(random)) };
    let request =
        PauseActivityRequest { execution: target.execution(), activity: Some(activity), ..Default::default() };
    let kind = Kind::PauseActivity(op::PauseActivity { namespace: target.namespace(), request: Some(request) });
    target.call(world, random, kind)
}

pub fn unpause(world: &mut World, random: &mut Random) -> Checked {
    use unpause_activity_request::Activity;
    let target = Target::draw(world, random);
    let activity = if random.percent(50) { Activity::UnpauseAll(true) } else { Activity::Id(activity_id(random)) };
    let request = UnpauseActivityRequest {
        execution: target.execution(),
        activity: Some(activity),
        reset_attempts: random.percent(30),
        reset_heartbeat: random.percent(30),
        jitter: clients::some_duration(random, 30),
        ..Default::default()
    };
    let kind = Kind::UnpauseActivity(op::UnpauseActivity { namespace: target.namespace(), request: Some(request) });
    target.call(world, random, kind)
}

pub fn reset(world: &mut World, random: &mut Random) -> Checked {
    use reset_activity_request::Activity;
    let target = Target::draw(world, random);
    let activity = if random.percent(50) { Activity::MatchAll(true) } else { Activity::Id(activity_id(random)) };
    let request = ResetActivityRequest {
        execution: target.execution(),
        activity: Some(activity),
        reset_heartbeat: random.percent(30),
        keep_paused: random.percent(30),
        jitter: clients::some_duration(random, 30),
        restore_original_options: random.percent(30),
        ..Default::default()
    };
    let kind = Kind::ResetActivity(op::ResetActivity { namespace: target.namespace(), request: Some(request) });
    target.call(world, random, kind)
}

pub fn update_options(world: &mut World, random: &mut Random) -> Checked {
    use update_activity_options_request::Activity;
    let target = Target::draw(world, random);
    let activity = if random.percent(50) { Activity::MatchAll(true) } else { Activity::Id(activity_id(random)) };
    let restore = random.percent(20);
    let options = ActivityOptions {
        schedule_to_close_timeout: clients::some_duration(random, 50),
        schedule_to_start_timeout: clients::some_duration(random, 50),
        start_to_close_timeout: Some(duration(random.one_of([SECOND, 20 * SECOND]))),
        heartbeat_timeout: clients::some_duration(random, 50),
        retry_policy: Some(clients::retry_policy(random)),
        task_queue: Some(proto::temporal::api::taskqueue::v1::TaskQueue {
            name: world.queue(random),
            ..Default::default()
        }),
        ..Default::default()
    };
    let paths = [
        "schedule_to_close_timeout",
        "schedule_to_start_timeout",
        "start_to_close_timeout",
        "heartbeat_timeout",
        "task_queue.name",
        "retry_policy.maximum_attempts",
    ];
    let paths = paths.into_iter().filter(|_| random.percent(40)).map(str::to_owned).collect();
    let request = UpdateActivityOptionsRequest {
        execution: target.execution(),
        activity: Some(activity),
        activity_options: (!restore).then_some(options),
        update_mask: (!restore).then_some(FieldMask { paths }),
        restore_original: restore,
        ..Default::default()
    };
    let kind = Kind::UpdateActivityOptions(op::UpdateActivityOptions {
        namespace: target.namespace(),
        request: Some(request),
    });
    target.call(world, random, kind)
}

/// A namespace's retention changes: a page of its closed runs hears of it.
pub fn retention(world: &mut World, random: &mut Random) -> Checked {
    let namespace = world.namespace(random);
    let shard = random.index(world.shards.len());
    let retention = random.one_of([20 * SECOND, HOUR]);
    let kind = Kind::ChangeRetention(op::ChangeRetention {
        namespace_id: namespace.id,
        retention,
        from: Default::default(),
        max: random.one_of([1, 100]),
    });
    world.call(random, shard, kind).map(|_| ())
}

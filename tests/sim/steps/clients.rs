//! Clients: they start, signal, update, cancel, terminate and delete workflows.

use proto::temporal::api::common::v1::{
    Memo, Payload, Payloads, Priority, RetryPolicy, WorkflowExecution, WorkflowType,
};
use proto::temporal::api::taskqueue::v1::TaskQueue;
use proto::temporal::api::update::v1::{Input, Meta, Request};
use proto::temporal::api::workflow::v1::OnConflictOptions;
use proto::temporal::api::workflowservice::v1::*;
use statemachine::op::{self, answer, op::Kind, Answer, NamespaceFacts};
use statemachine::state::Run;
use statemachine::time::{duration, MILLISECOND, MINUTE, SECOND};
use statemachine::workflow::run;

use crate::world::is_reject;
use crate::{Checked, Random, World};

pub fn payloads(random: &mut Random) -> Option<Payloads> {
    random.percent(30).then(|| {
        let data = vec![b'x'; random.one_of([0, 5, 60])];
        Payloads { payloads: vec![Payload { data: data.into(), ..Default::default() }] }
    })
}

fn queue(name: String) -> Option<TaskQueue> {
    Some(TaskQueue { name, ..Default::default() })
}

pub fn some_duration(random: &mut Random, chance: u64) -> Option<prost_types::Duration> {
    let nanos = random.one_of([MILLISECOND, SECOND, 3 * SECOND, 30 * SECOND, 10 * MINUTE]);
    random.percent(chance).then(|| duration(nanos))
}

/// As the API would hand it on: every field filled in.
pub fn retry_policy(random: &mut Random) -> RetryPolicy {
    RetryPolicy {
        initial_interval: Some(duration(random.one_of([10 * MILLISECOND, SECOND]))),
        backoff_coefficient: random.one_of([1.0, 2.0]),
        maximum_interval: Some(duration(random.one_of([SECOND, 10 * SECOND]))),
        maximum_attempts: random.one_of([0, 2, 4]),
        non_retryable_error_types: if random.percent(30) { vec!["Fatal".into()] } else { Vec::new() },
    }
}

pub fn cron(random: &mut Random) -> &'static str {
    random.one_of(["@every 2s", "* * * * *", "@every 20s"])
}

/// A run id that exists, is of another run, or is left out.
pub fn run_id(world: &World, random: &mut Random, namespace: &NamespaceFacts, workflow_id: &str) -> String {
    match random.below(8) {
        0 => current(world, namespace, workflow_id).map(|row| row.run_id).unwrap_or_default(),
        1 => world.workers.spent.front().map(|held| held.task.run_id.clone()).unwrap_or_default(),
        _ => String::new(),
    }
}

pub fn current(world: &World, namespace: &NamespaceFacts, workflow_id: &str) -> Option<Run> {
    let shard = world.shard_of(&namespace.id, workflow_id);
    run::find(&world.shards[shard].kv, &namespace.id, workflow_id, "").ok().flatten().map(|run| run.row)
}

fn start_request(world: &mut World, random: &mut Random, namespace: &NamespaceFacts) -> StartWorkflowExecutionRequest {
    let request_id = world.fresh("start");
    let is_cron = random.percent(6);
    StartWorkflowExecutionRequest {
        namespace: namespace.name.clone(),
        workflow_id: world.workflow_id(random),
        workflow_type: Some(WorkflowType { name: "T".into() }),
        task_queue: queue(world.queue(random)),
        input: payloads(random),
        request_id,
        identity: "client".into(),
        workflow_execution_timeout: some_duration(random, 15),
        workflow_run_timeout: some_duration(random, 15),
        workflow_task_timeout: some_duration(random, 15),
        workflow_start_delay: if is_cron { None } else { some_duration(random, 8) },
        cron_schedule: if is_cron { cron(random).into() } else { String::new() },
        retry_policy: random.percent(25).then(|| retry_policy(random)),
        workflow_id_reuse_policy: random.one_of([0, 1, 1, 2, 3, 4]),
        workflow_id_conflict_policy: random.one_of([0, 1, 2, 3]),
        request_eager_execution: random.percent(10),
        memo: random.percent(10).then(Memo::default),
        priority: random
            .percent(10)
            .then(|| Priority { priority_key: random.between(1, 5) as i32, ..Default::default() }),
        on_conflict_options: random.percent(20).then(|| OnConflictOptions {
            attach_request_id: random.percent(70),
            attach_completion_callbacks: false,
            attach_links: random.percent(30),
        }),
        ..Default::default()
    }
}

/// What the API refuses never reaches the core.
fn valid(mut request: StartWorkflowExecutionRequest) -> StartWorkflowExecutionRequest {
    if request.workflow_id_reuse_policy == 4 {
        request.workflow_id_conflict_policy = 0;
    }
    request
}

pub fn start(world: &mut World, random: &mut Random) -> Checked {
    let namespace = world.namespace(random);
    let request = valid(start_request(world, random, &namespace));
    let workflow_id = request.workflow_id.clone();
    let lost = random.percent(world.settings.lost_polls);
    let kind = Kind::StartWorkflow(op::StartWorkflow { namespace: Some(namespace.clone()), request: Some(request) });
    let answer = world.call_workflow(random, &namespace.id, &workflow_id, kind)?;
    if let Some(answer::Kind::StartWorkflow(started)) = answer.kind {
        if let Some(task) = started.eager_task.and_then(|task| task.task).filter(|_| !lost) {
            world.workers.hand_out(task);
        }
    }
    Ok(())
}

fn execution(workflow_id: &str, run_id: String) -> Option<WorkflowExecution> {
    Some(WorkflowExecution { workflow_id: workflow_id.into(), run_id })
}

pub fn signal(world: &mut World, random: &mut Random) -> Checked {
    let namespace = world.namespace(random);
    let workflow_id = world.workflow_id(random);
    let run_id = run_id(world, random, &namespace, &workflow_id);
    let name = world.fresh("signal");
    let request = SignalWorkflowExecutionRequest {
        workflow_execution: execution(&workflow_id, run_id.clone()),
        signal_name: name.clone(),
        input: payloads(random),
        request_id: name.clone(),
        ..Default::default()
    };
    let kind = Kind::SignalWorkflow(op::SignalWorkflow { namespace: Some(namespace.clone()), request: Some(request) });
    let run_id = if run_id.is_empty() { id_of_current(world, &namespace, &workflow_id) } else { run_id };
    let answer = world.call_workflow(random, &namespace.id, &workflow_id, kind)?;
    remember_signal(world, &answer, run_id, name);
    Ok(())
}

fn id_of_current(world: &World, namespace: &NamespaceFacts, workflow_id: &str) -> String {
    current(world, namespace, workflow_id).map(|row| row.run_id).unwrap_or_default()
}

/// The signal was acknowledged: the run has it, once.
fn remember_signal(world: &mut World, answer: &Answer, run_id: String, name: String) {
    if !is_reject(answer) {
        world.ledger.signals.entry(run_id).or_default().insert(name);
    }
}

pub fn signal_with_start(world: &mut World, random: &mut Random) -> Checked {
    let namespace = world.namespace(random);
    let start = valid(start_request(world, random, &namespace));
    let name = world.fresh("signal");
    let request = SignalWithStartWorkflowExecutionRequest {
        namespace: start.namespace,
        workflow_id: start.workflow_id.clone(),
        workflow_type: start.workflow_type,
        task_queue: start.task_queue,
        request_id: name.clone(),
        workflow_execution_timeout: start.workflow_execution_timeout,
        workflow_start_delay: start.workflow_start_delay,
        workflow_id_reuse_policy: start.workflow_id_reuse_policy,
        workflow_id_conflict_policy: random.one_of([0, 2, 3]),
        signal_name: name.clone(),
        cron_schedule: start.cron_schedule,
        retry_policy: start.retry_policy,
        ..Default::default()
    };
    let kind =
        Kind::SignalWithStart(op::SignalWithStart { namespace: Some(namespace.clone()), request: Some(request) });
    let answer = world.call_workflow(random, &namespace.id, &start.workflow_id, kind)?;
    if let Some(answer::Kind::StartWorkflow(started)) = &answer.kind {
        remember_signal(world, &answer, started.run_id.clone(), name);
    }
    Ok(())
}

pub fn cancel(world: &mut World, random: &mut Random) -> Checked {
    let namespace = world.namespace(random);
    let workflow_id = world.workflow_id(random);
    let run_id = run_id(world, random, &namespace, &workflow_id);
    let request = RequestCancelWorkflowExecutionRequest {
        workflow_execution: execution(&workflow_id, run_id),
        request_id: world.fresh("cancel"),
        ..Default::default()
    };
    let kind = Kind::RequestCancelWorkflow(op::RequestCancelWorkflow {
        namespace: Some(namespace.clone()),
        request: Some(request),
    });
    world.call_workflow(random, &namespace.id, &workflow_id, kind).map(|_| ())
}

pub fn terminate(world: &mut World, random: &mut Random) -> Checked {
    let namespace = world.namespace(random);
    let workflow_id = world.workflow_id(random);
    let run_id = run_id(world, random, &namespace, &workflow_id);
    terminate_run(world, random, &namespace, &workflow_id, run_id)
}

pub fn terminate_run(
    world: &mut World,
    random: &mut Random,
    namespace: &NamespaceFacts,
    workflow_id: &str,
    run_id: String,
) -> Checked {
    let request =
        TerminateWorkflowExecutionRequest { workflow_execution: execution(workflow_id, run_id), ..Default::default() };
    let kind =
        Kind::TerminateWorkflow(op::TerminateWorkflow { namespace: Some(namespace.clone()), request: Some(request) });
    world.call_workflow(random, &namespace.id, workflow_id, kind).map(|_| ())
}

pub fn delete(world: &mut World, random: &mut Random) -> Checked {
    let namespace = world.namespace(random);
    let workflow_id = world.workflow_id(random);
    let run_id = run_id(world, random, &namespace, &workflow_id);
    let kind = Kind::DeleteWorkflow(op::DeleteWorkflow {
        namespace: Some(namespace.clone()),
        workflow_id: workflow_id.clone(),
        run_id,
    });
    world.call_workflow(random, &namespace.id, &workflow_id, kind).map(|_| ())
}

fn update_request(world: &mut World, random: &mut Random, workflow_id: &str) -> UpdateWorkflowExecutionRequest {
    let update_id = if random.percent(60) { world.fresh("update") } else { format!("u{}", random.below(4)) };
    UpdateWorkflowExecutionRequest {
        workflow_execution: execution(workflow_id, String::new()),
        request: Some(Request {
            meta: Some(Meta { update_id, identity: "client".into() }),
            input: Some(Input { name: "change".into(), ..Default::default() }),
            ..Default::default()
        }),
        ..Default::default()
    }
}

pub fn update(world: &mut World, random: &mut Random) -> Checked {
    let namespace = world.namespace(random);
    let workflow_id = world.workflow_id(random);
    let request = update_request(world, random, &workflow_id);
    let kind = Kind::AdmitUpdate(op::AdmitUpdate { namespace: Some(namespace.clone()), request: Some(request) });
    world.call_workflow(random, &namespace.id, &workflow_id, kind).map(|_| ())
}

pub fn update_with_start(world: &mut World, random: &mut Random) -> Checked {
    let namespace = world.namespace(random);
    let start = valid(start_request(world, random, &namespace));
    let start = StartWorkflowExecutionRequest {
        cron_schedule: String::new(),
        workflow_start_delay: None,
        request_eager_execution: false,
        workflow_id_conflict_policy: if start.workflow_id_conflict_policy == 0 {
            1
        } else {
            start.workflow_id_conflict_policy
        },
        workflow_id_reuse_policy: start.workflow_id_reuse_policy.min(3),
        on_conflict_options: None,
        ..start
    };
    let workflow_id = start.workflow_id.clone();
    let update = update_request(world, random, &workflow_id);
    let kind = Kind::UpdateWithStart(op::UpdateWithStart {
        namespace: Some(namespace.clone()),
        start: Some(start),
        update: Some(update),
    });
    world.call_workflow(random, &namespace.id, &workflow_id, kind).map(|_| ())
}

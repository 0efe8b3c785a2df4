//! Starting a workflow: request-id dedup, then the policies for an id that is in use, then a new run (SEMANTICS B3).

use proto::temporal::api::common::v1::{link, Link, WorkflowExecution};
use proto::temporal::api::enums::v1::{
    ContinueAsNewInitiator, EventType, WorkflowExecutionStatus as Status, WorkflowIdConflictPolicy as Conflict,
    WorkflowIdReusePolicy as Reuse,
};
use proto::temporal::api::errordetails::v1::WorkflowExecutionAlreadyStartedFailure;
use proto::temporal::api::history::v1::history_event::Attributes;
use proto::temporal::api::history::v1::{
    WorkflowExecutionOptionsUpdatedEventAttributes, WorkflowExecutionStartedEventAttributes,
};
use proto::temporal::api::workflowservice::v1::StartWorkflowExecutionRequest;

use super::run::Extras;
use super::{resent, retry, task, terminate, Run};
use crate::op::{answer, NamespaceFacts, StartWorkflow, StartWorkflowAnswer};
use crate::reject::{code, Decided};
use crate::state::{self, RequestIdInfo};
use crate::tables::{DeadlineKey, DeadlineKind, RunKey};
use crate::time::{duration, nanos_or_zero, timestamp, timestamp_if_set, SECOND, TIMEOUT_MAX};
use crate::{callback, tables, Context, Fault, Reject};

const TASK_TIMEOUT_DEFAULT: i64 = 10 * SECOND;
const TASK_TIMEOUT_MAX: i64 = 120 * SECOND;

/// Everything a new run begins with.
#[derive(Debug, Clone)]
pub struct NewRun {
    pub namespace: NamespaceFacts,
    pub request_id: String,
    pub started: WorkflowExecutionStartedEventAttributes,
    pub extras: Extras,
}

pub fn decide(ctx: &mut Context<'_, '_>, op: &StartWorkflow) -> Decided<answer::Kind> {
    let (namespace, request) = parts(op)?;
    let policies = Policies::of(request.workflow_id_reuse_policy(), request.workflow_id_conflict_policy());
    if let Some(run) = resent::taken(ctx, &namespace.id, &request.workflow_id)? {
        let known = run.was_created_by(&ctx.op_id) || run.row.request_ids.contains_key(&request.request_id);
        return if known { Ok(same_request(run, request)) } else { use_existing(ctx, run, request) };
    }
    match admit(ctx, namespace, &request.workflow_id, &request.request_id, &policies)? {
        Admitted::Same(run) => Ok(same_request(run, request)),
        Admitted::Existing(run) => use_existing(ctx, run, request),
        Admitted::New { replaces } => {
            let new_run_id = ctx.new_id();
            if let Some(old) = replaces {
                terminate::replaced(ctx, old, &new_run_id)?;
            }
            start_new(ctx, namespace, request, new_run_id)
        }
    }
}

fn parts(op: &StartWorkflow) -> Decided<(&NamespaceFacts, &StartWorkflowExecutionRequest)> {
    let namespace = op.namespace.as_ref().ok_or_else(|| Fault::corrupt("start op", "no namespace"))?;
    let request = op.request.as_ref().ok_or_else(|| Fault::corrupt("start op", "no request"))?;
    Ok((namespace, request))
}

fn start_new(
    ctx: &mut Context<'_, '_>,
    namespace: &NamespaceFacts,
    request: &StartWorkflowExecutionRequest,
    run_id: String,
) -> Decided<answer::Kind> {
    let (mut new, backoff) = from_request(ctx, namespace, request, &run_id);
    let eager = request.request_eager_execution && backoff == 0;
    new.started.eager_execution_accepted = eager;
    let mut run = create(ctx, run_id, new)?;
    run.note_created_by(&ctx.op_id);
    first_task(ctx, &mut run, backoff)?;
    let mut eager_task = None;
    if eager {
        task::start(ctx, &mut run, &request.request_id, &request.identity)?;
        eager_task = task::started_answer(&run);
    }
    let answer = StartWorkflowAnswer { eager_task, ..started_answer(&run) };
    run.finish(ctx)?;
    Ok(answer::Kind::StartWorkflow(answer))
}

/// The answer of the call that started the run.
pub fn started_answer(run: &Run) -> StartWorkflowAnswer {
    StartWorkflowAnswer { started: true, link: Some(started_link(run, None)), ..plain_answer(run) }
}

fn plain_answer(run: &Run) -> StartWorkflowAnswer {
    StartWorkflowAnswer {
        run_id: run.row.run_id.clone(),
        status: run.row.status,
        first_run_id: run.row.first_run_id.clone(),
        ..Default::default()
    }
}

// ---- admission ----

/// The policies as they are meant after the older ones are translated.
pub struct Policies {
    pub reuse: Reuse,
    pub conflict: Conflict,
}

impl Policies {
    #[expect(deprecated, reason = "clients still send the older reuse policy")]
    pub fn of(reuse: Reuse, conflict: Conflict) -> Self {
        match (reuse, conflict) {
            (Reuse::TerminateIfRunning, _) => {
                Self { reuse: Reuse::AllowDuplicate, conflict: Conflict::TerminateExisting }
            }
            (reuse, Conflict::Unspecified) => Self { reuse, conflict: Conflict::Fail },
            (reuse, conflict) => Self { reuse, conflict },
        }
    }
}

pub enum Admitted {
    /// The latest run was started by, or is attached to, this very request.
    Same(Run),
    /// The id is in use and the caller wants that run.
    Existing(Run),
    /// A new run may start; the running one is terminated first.
    New { replaces: Option<Run> },
}

/// Decides what a start of this id may do.
pub fn admit(
    ctx: &Context<'_, '_>,
    namespace: &NamespaceFacts,
    workflow_id: &str,
    request_id: &str,
    policies: &Policies,
) -> Decided<Admitted> {
    if tables::namespace_here(ctx.txn, &namespace.id)?.dropped {
        return Err(Reject::namespace_not_found(&namespace.name).into());
    }
    let Some(run) = super::run::find(ctx.txn, &namespace.id, workflow_id, "")? else {
        return Ok(Admitted::New { replaces: None });
    };
    if run.row.create_request_id == request_id || run.row.request_ids.contains_key(request_id) {
        return Ok(Admitted::Same(run));
    }
    if run.is_open() {
        return match policies.conflict {
            Conflict::UseExisting => Ok(Admitted::Existing(run)),
            Conflict::TerminateExisting => Ok(Admitted::New { replaces: Some(run) }),
            Conflict::Fail | Conflict::Unspecified => {
                Err(already_started(&run, "Workflow execution is already running.", "").into())
            }
        };
    }
    match policies.reuse {
        Reuse::RejectDuplicate => Err(already_started(
            &run,
            "Workflow execution already finished.",
            " Workflow Id reuse policy: reject duplicate workflow Id.",
        )
        .into()),
        Reuse::AllowDuplicateFailedOnly if !ended_badly(run.status()) => Err(already_started(
            &run,
            "Workflow execution already finished successfully.",
            " Workflow Id reuse policy: allow duplicate workflow Id if last run failed.",
        )
        .into()),
        _ => Ok(Admitted::New { replaces: None }),
    }
}

fn ended_badly(status: Status) -> bool {
    matches!(status, Status::Failed | Status::Canceled | Status::Terminated | Status::TimedOut)
}

fn already_started(run: &Run, what: &str, why: &str) -> Reject {
    let (workflow_id, run_id) = (&run.row.workflow_id, &run.row.run_id);
    Reject::with_detail(
        code::ALREADY_EXISTS,
        format!("{what} WorkflowId: {workflow_id}, RunId: {run_id}.{why}"),
        &WorkflowExecutionAlreadyStartedFailure {
            start_request_id: run.row.create_request_id.clone(),
            run_id: run_id.clone(),
            ..Default::default()
        },
    )
}

/// The same request again gets the same answer; its eager task too while that is still running.
fn same_request(run: Run, request: &StartWorkflowExecutionRequest) -> answer::Kind {
    let created_it = run.row.create_request_id == request.request_id;
    let attached = (!created_it).then_some(request.request_id.as_str());
    let eager = created_it
        && request.request_eager_execution
        && run.row.task.as_ref().is_some_and(|task| task.request_id == request.request_id);
    answer::Kind::StartWorkflow(StartWorkflowAnswer {
        started: created_it,
        eager_task: if eager { task::started_answer(&run) } else { None },
        link: Some(started_link(&run, attached)),
        ..plain_answer(&run)
    })
}

/// Uses the running run, and attaches what the caller wants attached to it.
fn use_existing(
    ctx: &mut Context<'_, '_>,
    mut run: Run,
    request: &StartWorkflowExecutionRequest,
) -> Decided<answer::Kind> {
    let options = request.on_conflict_options.unwrap_or_default();
    let mut attached = None;
    let attaches = options.attach_request_id || options.attach_completion_callbacks || options.attach_links;
    let again = attaches && run.seen_before(&ctx.op_id);
    if attaches && !again {
        let mut updated = WorkflowExecutionOptionsUpdatedEventAttributes::default();
        if options.attach_request_id {
            updated.attached_request_id.clone_from(&request.request_id);
            attached = Some(request.request_id.as_str());
        }
        if options.attach_completion_callbacks {
            callback::check_room(&run, request.completion_callbacks.len())?;
            updated.attached_completion_callbacks.clone_from(&request.completion_callbacks);
        }
        let links = if options.attach_links { request.links.clone() } else { Vec::new() };
        let extras = Extras { links, ..Default::default() };
        attach(ctx, &mut run, updated, extras)?;
    }
    let answer = StartWorkflowAnswer { link: Some(started_link(&run, attached)), ..plain_answer(&run) };
    if attaches && !again {
        run.finish(ctx)?;
    }
    Ok(answer::Kind::StartWorkflow(answer))
}

/// Records what is attached to a run, by a start that uses it or by a reset that repeats that.
pub fn attach(
    ctx: &mut Context<'_, '_>,
    run: &mut Run,
    updated: WorkflowExecutionOptionsUpdatedEventAttributes,
    extras: Extras,
) -> Decided<()> {
    let request_id = updated.attached_request_id.clone();
    let event_id = run.record(ctx, Attributes::WorkflowExecutionOptionsUpdatedEventAttributes(updated), extras)?;
    if !request_id.is_empty() {
        let event_type = EventType::WorkflowExecutionOptionsUpdated as i32;
        run.row.request_ids.insert(request_id, RequestIdInfo { event_type, event_id, buffered: event_id == 0 });
    }
    Ok(())
}

/// A link to the event that started the run, or to the one that attached a request id.
fn started_link(run: &Run, attached: Option<&str>) -> Link {
    use link::workflow_event::{EventReference, Reference, RequestIdReference};
    let reference = match attached {
        Some(request_id) => Reference::RequestIdRef(RequestIdReference {
            request_id: request_id.into(),
            event_type: EventType::WorkflowExecutionOptionsUpdated as i32,
        }),
        None => {
            Reference::EventRef(EventReference { event_id: 1, event_type: EventType::WorkflowExecutionStarted as i32 })
        }
    };
    Link {
        variant: Some(link::Variant::WorkflowEvent(link::WorkflowEvent {
            namespace: run.row.namespace.clone(),
            workflow_id: run.row.workflow_id.clone(),
            run_id: run.row.run_id.clone(),
            reference: Some(reference),
        })),
    }
}

// ---- a new run ----

/// A start request as the attributes of its first event, and the wait before its first task.
pub fn from_request(
    ctx: &Context<'_, '_>,
    namespace: &NamespaceFacts,
    request: &StartWorkflowExecutionRequest,
    run_id: &str,
) -> (NewRun, i64) {
    let execution_timeout = nanos_or_zero(request.workflow_execution_timeout.as_ref()).min(TIMEOUT_MAX);
    let run_timeout = capped(nanos_or_zero(request.workflow_run_timeout.as_ref()), execution_timeout);
    let task_timeout = task_timeout(nanos_or_zero(request.workflow_task_timeout.as_ref()), run_timeout);
    let mut backoff = nanos_or_zero(request.workflow_start_delay.as_ref());
    let mut initiator = ContinueAsNewInitiator::Unspecified;
    if !request.cron_schedule.is_empty() {
        backoff = retry::cron_wait(&request.cron_schedule, ctx.now, ctx.now).unwrap_or_default();
        initiator = ContinueAsNewInitiator::CronSchedule;
    }
    let expires = if execution_timeout == 0 { 0 } else { ctx.now + backoff + execution_timeout };
    let started = WorkflowExecutionStartedEventAttributes {
        workflow_type: request.workflow_type.clone(),
        task_queue: Some(task::normal_queue(
            request.task_queue.as_ref().map(|queue| queue.name.as_str()).unwrap_or_default(),
        )),
        input: request.input.clone(),
        workflow_execution_timeout: duration_if_set(execution_timeout),
        workflow_run_timeout: duration_if_set(run_timeout),
        workflow_task_timeout: Some(duration(task_timeout)),
        original_execution_run_id: run_id.into(),
        first_execution_run_id: run_id.into(),
        identity: request.identity.clone(),
        retry_policy: request.retry_policy.clone(),
        attempt: 1,
        workflow_execution_expiration_time: timestamp_if_set(expires),
        cron_schedule: request.cron_schedule.clone(),
        first_workflow_task_backoff: Some(duration(backoff)),
        memo: request.memo.clone(),
        search_attributes: request.search_attributes.clone(),
        header: request.header.clone(),
        initiator: initiator as i32,
        continued_failure: request.continued_failure.clone(),
        last_completion_result: request.last_completion_result.clone(),
        completion_callbacks: request.completion_callbacks.clone(),
        versioning_override: request.versioning_override.clone(),
        priority: request.priority.clone(),
        workflow_id: request.workflow_id.clone(),
        ..Default::default()
    };
    let extras =
        Extras { user_metadata: request.user_metadata.clone(), links: request.links.clone(), ..Default::default() };
    let new = NewRun { namespace: namespace.clone(), request_id: request.request_id.clone(), started, extras };
    (new, backoff)
}

/// The run timeout: that of the execution if unset, and never longer.
pub fn capped(run_timeout: i64, execution_timeout: i64) -> i64 {
    match (run_timeout.min(TIMEOUT_MAX), execution_timeout) {
        (run, 0) => run,
        (0, execution) => execution,
        (run, execution) => run.min(execution),
    }
}

/// The workflow-task timeout: 10 s unless given, at most 120 s, never longer than the run.
pub fn task_timeout(asked: i64, run_timeout: i64) -> i64 {
    let timeout = if asked == 0 { TASK_TIMEOUT_DEFAULT } else { asked.min(TASK_TIMEOUT_MAX) };
    if run_timeout == 0 {
        timeout
    } else {
        timeout.min(run_timeout)
    }
}

pub fn duration_if_set(nanos: i64) -> Option<prost_types::Duration> {
    (nanos != 0).then(|| duration(nanos))
}

/// Creates the run with its first event and arms its timeout. The caller goes on with [`first_task`].
pub fn create(ctx: &mut Context<'_, '_>, run_id: String, mut new: NewRun) -> Decided<Run> {
    new.started.original_execution_run_id.clone_from(&run_id);
    let workflow_id = new.started.workflow_id.clone();
    let key = RunKey::new(&new.namespace.id, &workflow_id, &run_id)
        .ok_or_else(|| Fault::corrupt("start op", "a run id that is no UUID"))?;
    let info = RequestIdInfo { event_type: EventType::WorkflowExecutionStarted as i32, event_id: 1, buffered: false };
    let row = state::Run {
        namespace_id: new.namespace.id,
        namespace: new.namespace.name,
        retention: new.namespace.retention,
        workflow_id: workflow_id.clone(),
        run_id: run_id.clone(),
        create_request_id: new.request_id.clone(),
        request_ids: [(new.request_id, info)].into(),
        next_event_id: 1,
        ..Default::default()
    };
    let mut run = Run::new(key, row);
    run.add_with(ctx, Attributes::WorkflowExecutionStartedEventAttributes(new.started), new.extras)?;
    run.row.root.get_or_insert(WorkflowExecution { workflow_id, run_id });
    arm_run_timeout(ctx, &mut run);
    Ok(run)
}

/// The run timeout counts from the end of the first task's wait; the chain's expiry caps it.
pub fn arm_run_timeout(ctx: &mut Context<'_, '_>, run: &mut Run) {
    let mut due = 0;
    if run.row.run_timeout != 0 {
        due = run.row.execution_time.saturating_add(run.row.run_timeout);
    }
    if run.row.execution_deadline != 0 && (due == 0 || run.row.execution_deadline < due) {
        due = run.row.execution_deadline;
    }
    run.row.run_deadline = due;
    if due != 0 {
        run_deadline(run).put(ctx.txn, "");
    }
}

pub fn run_deadline(run: &Run) -> DeadlineKey {
    DeadlineKey { due: run.row.run_deadline, kind: DeadlineKind::RunTimeout, run: run.key, entity: 0, stamp: 0 }
}

/// Schedules the first task, now or after a wait.
pub fn first_task(ctx: &mut Context<'_, '_>, run: &mut Run, backoff: i64) -> Decided<()> {
    if backoff <= 0 {
        return task::schedule(ctx, run, 0);
    }
    run.row.first_task_deadline = ctx.now.saturating_add(backoff);
    task::first_task_deadline(run).put(ctx.txn, "");
    Ok(())
}

/// Expiry of the chain as an event shows it.
pub fn expiration(row: &state::Run) -> Option<prost_types::Timestamp> {
    (row.execution_deadline != 0).then(|| timestamp(row.execution_deadline))
}

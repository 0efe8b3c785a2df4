//! Clients that start workflows and signal them, and remember what was acknowledged.

use std::sync::Arc;
use std::time::{Duration, Instant};

use proto::temporal::api::common::v1::WorkflowType;
use proto::temporal::api::workflowservice::v1::{SignalWorkflowExecutionRequest, StartWorkflowExecutionRequest};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use uuid::Uuid;

use super::calls::{self, Caller, Site};
use super::journal::{Journal, Operation};

const SIGNALS: u32 = 12;
const BETWEEN: Duration = Duration::from_millis(200);

/// The last signal: the workflow completes when it has seen it.
pub const DONE: u32 = 1_000_000;

/// One workflow as its client knows it.
pub struct Record {
    pub workflow_id: String,
    pub run_id: String,
    pub started: Option<Instant>,
    /// Numbers of the acknowledged signals and when they were.
    pub signals: Vec<(u32, Instant)>,
    /// A refusal that no retry can mend; there must be none.
    pub refused: Option<Status>,
}

pub struct Load {
    lanes: JoinSet<Vec<Record>>,
    stop: CancellationToken,
}

impl Load {
    pub fn start(site: &Arc<Site>, lanes: usize, journal: &Arc<Journal>) -> anyhow::Result<Self> {
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        for nth in 0..lanes {
            let caller = Caller::new(site, nth, site.try_for, journal)?;
            tasks.spawn(lane(caller, stop.clone()));
        }
        Ok(Self { lanes: tasks, stop })
    }

    /// Lets every client finish the workflow it is at.
    pub async fn stop(self) -> Vec<Record> {
        self.stop.cancel();
        self.lanes.join_all().await.into_iter().flatten().collect()
    }
}

async fn lane(caller: Caller, stop: CancellationToken) -> Vec<Record> {
    let mut records = Vec::new();
    while !stop.is_cancelled() {
        let mut record = Record {
            workflow_id: format!("chaos-{}", Uuid::new_v4()),
            run_id: String::new(),
            started: None,
            signals: Vec::new(),
            refused: None,
        };
        record.refused = one_workflow(&caller, &mut record).await.err();
        records.push(record);
    }
    records
}

async fn one_workflow(caller: &Caller, record: &mut Record) -> Result<(), Status> {
    let request = StartWorkflowExecutionRequest {
        namespace: caller.site.namespace.clone(),
        workflow_id: record.workflow_id.clone(),
        workflow_type: Some(WorkflowType { name: "Chaos".into() }),
        task_queue: caller.site.task_queue(),
        workflow_task_timeout: calls::seconds(2),
        request_id: Uuid::new_v4().to_string(),
        ..Default::default()
    };
    let started = caller.persist(Operation::Start, |mut client| {
        let request = request.clone();
        async move { client.start_workflow_execution(request).await }
    });
    record.run_id = started.await?.run_id;
    record.started = Some(Instant::now());
    for number in (1..=SIGNALS).chain([DONE]) {
        signal(caller, &record.workflow_id, number).await?;
        record.signals.push((number, Instant::now()));
        tokio::time::sleep(BETWEEN).await;
    }
    Ok(())
}

async fn signal(caller: &Caller, workflow_id: &str, number: u32) -> Result<(), Status> {
    let request = SignalWorkflowExecutionRequest {
        namespace: caller.site.namespace.clone(),
        workflow_execution: calls::execution(workflow_id, ""),
        signal_name: "number".into(),
        input: calls::number(number),
        request_id: Uuid::new_v4().to_string(),
        ..Default::default()
    };
    let signaled = caller.persist(Operation::Signal, |mut client| {
        let request = request.clone();
        async move { client.signal_workflow_execution(request).await }
    });
    signaled.await.map(|_| ())
}

//! Clients that start workflows and signal them, and remember what was acknowledged.

use std::net::SocketAddr;
use std::time::Duration;

use proto::temporal::api::common::v1::WorkflowType;
use proto::temporal::api::workflowservice::v1::{SignalWorkflowExecutionRequest, StartWorkflowExecutionRequest};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use uuid::Uuid;

use super::calls::{self, Client, NAMESPACE};

const LANES: usize = 6;
const SIGNALS: u32 = 12;
const BETWEEN: Duration = Duration::from_millis(200);
const CALL: Duration = Duration::from_secs(10);

/// The last signal: the workflow completes when it has seen it.
pub const DONE: u32 = 1_000_000;

/// One workflow as its client knows it.
pub struct Record {
    pub workflow_id: String,
    pub run_id: String,
    /// Numbers of the acknowledged signals.
    pub signals: Vec<u32>,
    /// A refusal that no retry can mend; there must be none.
    pub refused: Option<Status>,
}

pub struct Load {
    lanes: JoinSet<Vec<Record>>,
    stop: CancellationToken,
}

impl Load {
    pub fn start(address: SocketAddr) -> Self {
        let stop = CancellationToken::new();
        let mut lanes = JoinSet::new();
        for _ in 0..LANES {
            lanes.spawn(lane(calls::client(address, CALL), stop.clone()));
        }
        Self { lanes, stop }
    }

    /// Lets every client finish the workflow it is at.
    pub async fn stop(self) -> Vec<Record> {
        self.stop.cancel();
        self.lanes.join_all().await.into_iter().flatten().collect()
    }
}

async fn lane(client: Client, stop: CancellationToken) -> Vec<Record> {
    let mut records = Vec::new();
    while !stop.is_cancelled() {
        let mut record = Record {
            workflow_id: format!("chaos-{}", Uuid::new_v4()),
            run_id: String::new(),
            signals: Vec::new(),
            refused: None,
        };
        record.refused = one_workflow(&client, &mut record).await.err();
        records.push(record);
    }
    records
}

async fn one_workflow(client: &Client, record: &mut Record) -> Result<(), Status> {
    let request = StartWorkflowExecutionRequest {
        namespace: NAMESPACE.into(),
        workflow_id: record.workflow_id.clone(),
        workflow_type: Some(WorkflowType { name: "Chaos".into() }),
        task_queue: calls::queue(),
        workflow_task_timeout: calls::seconds(2),
        request_id: Uuid::new_v4().to_string(),
        ..Default::default()
    };
    let started = calls::persist(|| {
        let (mut client, request) = (client.clone(), request.clone());
        async move { client.start_workflow_execution(request).await }
    });
    record.run_id = started.await?.run_id;
    for number in (1..=SIGNALS).chain([DONE]) {
        signal(client, &record.workflow_id, number).await?;
        record.signals.push(number);
        tokio::time::sleep(BETWEEN).await;
    }
    Ok(())
}

async fn signal(client: &Client, workflow_id: &str, number: u32) -> Result<(), Status> {
    let request = SignalWorkflowExecutionRequest {
        namespace: NAMESPACE.into(),
        workflow_execution: calls::execution(workflow_id),
        signal_name: "number".into(),
        input: calls::number(number),
        request_id: Uuid::new_v4().to_string(),
        ..Default::default()
    };
    let signaled = calls::persist(|| {
        let (mut client, request) = (client.clone(), request.clone());
        async move { client.signal_workflow_execution(request).await }
    });
    signaled.await.map(|_| ())
}

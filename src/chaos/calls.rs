//! Calls that are repeated until they are answered: what an SDK does while a leader is missing.

use std::error::Error;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use proto::temporal::api::common::v1::{Payload, Payloads, WorkflowExecution};
use proto::temporal::api::taskqueue::v1::TaskQueue;
use proto::temporal::api::workflowservice::v1::workflow_service_client::WorkflowServiceClient;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Response, Status};

use super::journal::{Entry, Journal, Operation};

pub type Client = WorkflowServiceClient<Channel>;

/// A call that is not settled by then has failed.
const PATIENCE: Duration = Duration::from_secs(60);
const BETWEEN: Duration = Duration::from_millis(50);
const CONNECT: Duration = Duration::from_secs(1);

/// Where the load goes and under which names.
#[derive(Debug, Clone)]
pub struct Site {
    /// `host:port` of APIs. Several: a client that gets no answer from one goes to the next.
    pub addresses: Vec<String>,
    pub namespace: String,
    pub queue: String,
    /// One try of a call.
    pub try_for: Duration,
}

/// Connects when it is first used, and again whenever the connection is lost.
pub fn client(address: &str, timeout: Duration) -> anyhow::Result<Client> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
    Ok(Client::new(endpoint.connect_timeout(CONNECT).timeout(timeout).connect_lazy()))
}

/// True if the call may or may not have been done, so that it is to be sent again, the same.
pub fn unknown(status: &Status) -> bool {
    let codes = [Code::Unavailable, Code::DeadlineExceeded, Code::Cancelled, Code::Unknown, Code::ResourceExhausted];
    codes.contains(&status.code()) || status.source().is_some()
}

/// A client of all addresses, with a journal.
#[derive(Clone)]
pub struct Caller {
    pub site: Arc<Site>,
    clients: Arc<Vec<Client>>,
    /// Which of them is used now.
    at: Arc<AtomicUsize>,
    journal: Arc<Journal>,
}

impl Caller {
    /// The `nth` caller of a site begins at another address than the one before.
    pub fn new(site: &Arc<Site>, nth: usize, try_for: Duration, journal: &Arc<Journal>) -> anyhow::Result<Self> {
        let clients: Vec<Client> =
            site.addresses.iter().map(|address| client(address, try_for)).collect::<anyhow::Result<_>>()?;
        anyhow::ensure!(!clients.is_empty(), "no node to connect to");
        let at = Arc::new(AtomicUsize::new(nth));
        Ok(Self { site: site.clone(), clients: Arc::new(clients), at, journal: journal.clone() })
    }

    pub fn client(&self) -> Client {
        self.clients[self.at.load(Ordering::Relaxed) % self.clients.len()].clone()
    }

    pub fn next_address(&self) {
        self.at.fetch_add(1, Ordering::Relaxed);
    }

    /// Sends the same call again until its outcome is known, and writes down how that went.
    pub async fn persist<T, F>(&self, operation: Operation, call: impl FnMut(Client) -> F) -> Result<T, Status>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let begun = Instant::now();
        let mut tries = 0;
        let settled = self.repeat(call, &mut tries).await;
        let gone = |status: &Status| matches!(status.code(), Code::NotFound | Code::InvalidArgument);
        let (failed, stale) = match &settled {
            Ok(_) => (false, false),
            // A task that timed out meanwhile: it comes again. Not so for what clients ask.
            Err(status) => {
                let task = matches!(operation, Operation::WorkflowTask | Operation::Activity);
                (!(task && gone(status)), task && gone(status))
            }
        };
        if !stale {
            self.journal.record(Entry { operation, begun, ended: Instant::now(), unknown: tries, failed });
        }
        settled
    }

    /// As `persist`, but nothing is written down: for looking.
    pub async fn look<T, F>(&self, call: impl FnMut(Client) -> F) -> Result<T, Status>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        self.repeat(call, &mut 0).await
    }

    async fn repeat<T, F>(&self, mut call: impl FnMut(Client) -> F, unknowns: &mut u32) -> Result<T, Status>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let end = Instant::now() + PATIENCE;
        loop {
            match call(self.client()).await {
                Ok(response) => return Ok(response.into_inner()),
                Err(status) if unknown(&status) && Instant::now() < end => {
                    *unknowns += 1;
                    self.next_address();
                    tokio::time::sleep(BETWEEN).await;
                }
                Err(status) => return Err(status),
            }
        }
    }
}

impl Site {
    pub fn task_queue(&self) -> Option<TaskQueue> {
        Some(TaskQueue { name: self.queue.clone(), ..Default::default() })
    }
}

pub fn execution(workflow_id: &str, run_id: &str) -> Option<WorkflowExecution> {
    Some(WorkflowExecution { workflow_id: workflow_id.into(), run_id: run_id.into() })
}

pub fn number(number: u32) -> Option<Payloads> {
    let payload = Payload { data: number.to_string().into(), ..Default::default() };
    Some(Payloads { payloads: vec![payload] })
}

pub fn number_in(payloads: Option<&Payloads>) -> Option<u32> {
    std::str::from_utf8(&payloads?.payloads.first()?.data).ok()?.parse().ok()
}

pub fn seconds(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
}

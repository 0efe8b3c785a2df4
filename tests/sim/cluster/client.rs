//! A client: it signals and reads workflows, goes to whoever leads, and tries again with the same ids until it knows.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use sim::{Random, Violation};
use statemachine::op::{answer, Answer};
use turmoil::net::TcpStream;

use crate::history::Workflow;
use crate::invariants::linearizable;
use crate::net::{self, Reply, Request, CLIENT_PORT};
use crate::record;
use crate::settings::{node_name, Settings};
use crate::workload;

pub struct Client {
    number: u64,
    settings: Arc<Settings>,
    random: Random,
    /// The node it talks to.
    at: u64,
    stream: Option<TcpStream>,
    calls: u64,
}

pub fn name(number: u64) -> String {
    format!("c{number}")
}

impl Client {
    pub fn new(number: u64, settings: Arc<Settings>, mut random: Random) -> Self {
        let at = 1 + random.below(settings.nodes);
        Self { number, settings, random, at, stream: None, calls: 0 }
    }

    /// Until all is healed; then it must get through to every shard.
    pub async fn run(mut self) -> turmoil::Result {
        while !record::with(|record| record.healed) {
            let pause = self.random.below(self.settings.pause.as_millis() as u64 + 1);
            tokio::time::sleep(Duration::from_millis(pause)).await;
            let shard = self.random.below(self.settings.shards.into()) as u32;
            match self.random.percent(60) {
                true => self.signal(shard).await,
                false => self.read(shard).await,
            }
        }
        for shard in 0..self.settings.shards {
            self.signal(shard).await;
            self.read(shard).await;
        }
        Ok(())
    }

    fn workflow(&mut self, shard: u32) -> Workflow {
        (shard, workload::workflow_id(self.random.below(self.settings.workflows)))
    }

    async fn signal(&mut self, shard: u32) {
        let workflow = self.workflow(shard);
        self.calls += 1;
        let name = format!("c{}-{}", self.number, self.calls);
        let op_id = ((self.number << 32) | self.calls).to_be_bytes();
        let started = record::with(|record| record.history.has_started(&workflow));
        let op = match started && self.random.percent(70) {
            true => workload::signal(&workflow.1, &name),
            false => workload::signal_with_start(&workflow.1, &name),
        };
        let request = Request {
            shard,
            op: op.encode_to_vec().into(),
            op_id: Bytes::copy_from_slice(&op_id),
            ..Default::default()
        };
        record::with(|record| record.history.invoke(&name, &workflow));
        while let Some(reply) = self.attempt(&request).await {
            if reply.done {
                return acknowledged(&name, &workflow, &reply);
            }
            self.move_on(&reply).await;
        }
        record::with(|record| record.counted("signals given up"));
    }

    async fn read(&mut self, shard: u32) {
        let workflow = self.workflow(shard);
        let request = Request { shard, workflow_id: workflow.1.clone(), ..Default::default() };
        loop {
            let reading = record::with(|record| record.history.begin_reading(&workflow));
            let Some(reply) = self.attempt(&request).await else { return };
            if reply.done {
                return record::with(|record| {
                    record.note(&format!("c{} reads {} of {workflow:?}", self.number, reply.signals.len()));
                    record.counted("reads");
                    let checked = linearizable::read(&mut record.history, &reading, &reply.signals);
                    record.check(checked);
                });
            }
            self.move_on(&reply).await;
        }
    }

    /// Goes where it is told, or anywhere, after a moment.
    async fn move_on(&mut self, reply: &Reply) {
        let is_told = (1..=self.settings.nodes).contains(&reply.leader);
        let anywhere = 1 + self.random.below(self.settings.nodes);
        self.go_to(if is_told { reply.leader } else { anywhere });
        let moment = self.random.below(if is_told { 10 } else { 150 });
        tokio::time::sleep(Duration::from_millis(moment)).await;
    }

    fn go_to(&mut self, node: u64) {
        if self.at != node {
            (self.at, self.stream) = (node, None);
        }
    }

    /// One try; a reply that is not done if there was none. Now and then it loses patience for good, but not in the end.
    async fn attempt(&mut self, request: &Request) -> Option<Reply> {
        if self.random.percent(2) {
            let anywhere = 1 + self.random.below(self.settings.nodes);
            self.go_to(anywhere);
        }
        let patience = Duration::from_millis(self.random.one_of([300, 1000, 5000]));
        let answered = tokio::time::timeout(patience, ask(&mut self.stream, self.at, request)).await;
        if let Ok(Ok(reply)) = answered {
            return Some(reply);
        }
        // Whatever comes on this connection now would be taken for something else.
        self.stream = None;
        let gives_up = self.random.percent(3) && !record::with(|record| record.healed);
        (!gives_up).then(Reply::default)
    }
}

async fn ask(stream: &mut Option<TcpStream>, node: u64, request: &Request) -> std::io::Result<Reply> {
    let connection = match stream {
        Some(open) => open,
        None => stream.insert(TcpStream::connect((node_name(node), CLIENT_PORT)).await?),
    };
    net::send(connection, request).await?;
    net::receive(connection).await
}

fn acknowledged(name: &str, workflow: &Workflow, reply: &Reply) {
    record::with(|record| {
        record.note(&format!("{name} to {workflow:?} is acknowledged"));
        record.counted("signals acknowledged");
        match Answer::decode(reply.answer.clone()).map(|answer| answer.kind) {
            Ok(Some(answer::Kind::Reject(reject))) => {
                let what = format!("{name} to {workflow:?} is refused: {reject:?}");
                record.check(Err(Violation { invariant: "linearizable", what }));
            }
            Ok(_) => record.history.acknowledge(name),
            Err(error) => record.check(Err(Violation { invariant: "no_fault", what: error.to_string() })),
        }
    });
}

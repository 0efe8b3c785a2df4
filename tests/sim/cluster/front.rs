//! A node's door for clients: stamps and proposes what they send, and reads the way the server reads: a read index from
//! the leader, confirmed by a quorum, then this replica's rows.

use std::net::Ipv4Addr;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use statemachine::op;
use statemachine::time::MILLISECOND;
use turmoil::net::{TcpListener, TcpStream};

use crate::net::{self, Reply, Request, CLIENT_PORT};
use crate::raft::{Group, Groups, ProposeError, ReadError};
use crate::record;
use crate::workload;

pub struct Front {
    node: u64,
    groups: Arc<Groups>,
    /// How far this node's wall clock is off, in milliseconds.
    skew: i64,
}

fn refused(leader: Option<u64>, why: impl ToString) -> Reply {
    Reply { leader: leader.unwrap_or_default(), why: why.to_string(), ..Default::default() }
}

impl Front {
    pub fn new(node: u64, groups: Arc<Groups>, skew: i64) -> Arc<Self> {
        Arc::new(Self { node, groups, skew })
    }

    pub async fn serve(self: Arc<Self>) -> std::io::Result<()> {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, CLIENT_PORT)).await?;
        loop {
            let (stream, _) = listener.accept().await?;
            // A connection ends with its client.
            tokio::spawn(self.clone().converse(stream));
        }
    }

    async fn converse(self: Arc<Self>, mut stream: TcpStream) {
        while let Ok(request) = net::receive::<Request>(&mut stream).await {
            let reply = self.answer(request).await;
            if net::send(&mut stream, &reply).await.is_err() {
                return;
            }
        }
    }

    async fn answer(&self, request: Request) -> Reply {
        let Some(group) = self.groups.group(request.shard) else { return refused(None, "no such shard") };
        match request.op.is_empty() {
            true => self.read(&group, &request.workflow_id).await,
            false => self.propose(&group, request).await,
        }
    }

    async fn propose(&self, group: &Group, request: Request) -> Reply {
        let proposal = match op::Op::decode(request.op) {
            Ok(op) => {
                op::Proposal { stamp: Some(self.stamp()), op: Some(op), op_id: request.op_id, ..Default::default() }
            }
            Err(error) => return refused(None, error),
        };
        match group.propose(proposal.encode_to_vec().into()).await {
            Ok(applied) => Reply { done: true, answer: applied.answer.encode_to_vec().into(), ..Default::default() },
            Err(ProposeError::NotLeader { leader }) => refused(leader, "not the leader"),
            Err(error) => refused(None, error),
        }
    }

    fn stamp(&self) -> op::Stamp {
        let (now, seed) = record::with(|record| {
            let words = [record.random.word().to_be_bytes(), record.random.word().to_be_bytes()];
            (record.now, Bytes::from(words.concat()))
        });
        let now = workload::START + now.as_nanos() as i64 + self.skew * MILLISECOND;
        op::Stamp { now, seed }
    }

    async fn read(&self, group: &Group, workflow_id: &str) -> Reply {
        let index = match group.read_index().await {
            Ok(index) => index,
            Err(ReadError::NotLeader { leader }) => return refused(leader, "not the leader"),
            Err(error) => return refused(None, error),
        };
        if let Err(error) = group.wait_applied(index).await {
            return refused(None, error);
        }
        match workload::signals(&group.snapshot(), workflow_id) {
            Ok(signals) => Reply { done: true, signals, ..Default::default() },
            Err(fault) => {
                record::violated("no_fault", format!("n{} shard {}: {fault}", self.node, group.shard()));
                refused(None, fault)
            }
        }
    }
}

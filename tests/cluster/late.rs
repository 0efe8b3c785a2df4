//! What comes later than its call was answered: on a connection that its sender has given up, or for a term that is over. The
//! test is the other node.

use everstep::config::{Config, NamespaceSeed, Peer};
use everstep::node::Node;
use prost::Message;
use proto::everstep::peer::v1::cluster_client::ClusterClient;
use proto::everstep::peer::v1::propose_response::Outcome;
use proto::everstep::peer::v1::{NumberedProposal, OutcomeFrame, ProposalFrame, ProposeRequest};
use proto::temporal::api::workflowservice::v1::RegisterNamespaceRequest;
use statemachine::op::{op::Kind, Op, RegisterNamespace};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Request, Streaming};

use crate::in_process::free_ports;

const SYSTEM_SHARD: u32 = 0;

/// A proposal that registers a namespace, for a term.
fn proposal(name: &str, term: u64) -> ProposeRequest {
    let request = RegisterNamespaceRequest {
        namespace: name.into(),
        workflow_execution_retention_period: Some(prost_types::Duration { seconds: 86_400, nanos: 0 }),
        ..Default::default()
    };
    let op = Op { kind: Some(Kind::RegisterNamespace(RegisterNamespace { request: Some(request) })) };
    let op_id = format!("op id of {name}").into();
    ProposeRequest { shard: SYSTEM_SHARD, op: op.encode_to_vec().into(), op_id, term, ..Default::default() }
}

/// A cluster of one, and a way to it as if from a second node.
struct Bench {
    node: Node,
    cluster: String,
    client: ClusterClient<Channel>,
    _directory: tempfile::TempDir,
}

impl Bench {
    async fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let held = free_ports().next().expect("a free port");
        let address = held.local_addr().expect("it is bound");
        drop(held);
        let mut config = Config {
            data_dir: directory.path().join("1"),
            peers: vec![Peer { id: 1, address: address.to_string() }],
            ..Config::default()
        };
        config.listen.api = "127.0.0.1:0".parse().expect("an address");
        config.listen.peer = address;
        config.bootstrap.namespaces = vec![NamespaceSeed::named("default")];
        let node = Node::start(config).await.expect("the node starts");
        node.namespaces().by_name("default").await.expect("it was bootstrapped");
        let cluster = node.router().cluster().expect("it was bootstrapped").cluster_id.clone();
        let client = ClusterClient::connect(format!("http://{address}")).await.expect("it listens");
        Self { node, cluster, client, _directory: directory }
    }

    fn term(&self) -> u64 {
        self.node.router().leaderships()[SYSTEM_SHARD as usize].borrow().term
    }

    fn by_node_2<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        for (key, value) in [("everstep-cluster", self.cluster.as_str()), ("everstep-from", "2"), ("everstep-to", "1")]
        {
            request.metadata_mut().insert(key, value.parse().expect("text"));
        }
        request
    }

    /// Opens a stream of proposals as the second node's process `b0`.
    async fn open(&self, number: u64) -> (mpsc::Sender<ProposalFrame>, Result<Streaming<OutcomeFrame>, tonic::Status>) {
        let (send, queue) = mpsc::channel(4);
        let mut request = self.by_node_2(ReceiverStream::new(queue));
        request.metadata_mut().insert("everstep-session", format!("b0.{number}").parse().expect("text"));
        let opened = self.client.clone().proposals(request).await;
        (send, opened.map(tonic::Response::into_inner))
    }

    async fn is_registered(&self, name: &str) -> bool {
        self.node.namespaces().by_name(name).await.is_ok()
    }
}

fn frame(request: ProposeRequest) -> ProposalFrame {
    ProposalFrame { proposals: vec![NumberedProposal { id: 1, request: Some(request) }] }
}

async fn outcome(answers: &mut Streaming<OutcomeFrame>) -> Option<Outcome> {
    let frame = answers.message().await.expect("open").expect("not ended");
    frame.outcomes.into_iter().next()?.response?.outcome
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_taken_on_a_stream_that_another_has_replaced() {
    let bench = Bench::start().await;
    let term = bench.term();
    let (first, answers) = bench.open(1).await;
    let mut first_answers = answers.expect("it is the newest");
    first.send(frame(proposal("in-time", term))).await.expect("open");
    assert!(matches!(outcome(&mut first_answers).await, Some(Outcome::Committed(_))));

    // Its sender has given the first up, and tried again on a second, and was answered.
    let (second, answers) = bench.open(2).await;
    let mut second_answers = answers.expect("it is the newest");
    second.send(frame(proposal("tried-again", term))).await.expect("open");
    assert!(matches!(outcome(&mut second_answers).await, Some(Outcome::Committed(_))));

    first.send(frame(proposal("late", term))).await.expect("open");
    let ended = first_answers.message().await.expect_err("nothing is taken on it any more");
    assert_eq!(ended.code(), Code::Unavailable);
    let (_late, refused) = bench.open(1).await;
    assert_eq!(refused.expect_err("a newer one is open").code(), Code::FailedPrecondition);
    assert!(!bench.is_registered("late").await);
    assert!(bench.is_registered("in-time").await && bench.is_registered("tried-again").await);
    second.send(frame(proposal("goes-on", term))).await.expect("open");
    assert!(matches!(outcome(&mut second_answers).await, Some(Outcome::Committed(_))));
    bench.node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_for_another_term_is_not_taken() {
    let bench = Bench::start().await;
    let term = bench.term();
    let (stream, answers) = bench.open(1).await;
    let mut answers = answers.expect("it is the newest");
    // Its leader led before, or will lead again: it was answered elsewhere since.
    stream.send(frame(proposal("late", term + 1))).await.expect("open");
    assert!(matches!(outcome(&mut answers).await, Some(Outcome::NotLeader(_))));
    let by_itself = bench.client.clone().propose(bench.by_node_2(proposal("late", term + 1))).await;
    let by_itself = by_itself.expect("it is answered").into_inner().outcome;
    assert!(matches!(by_itself, Some(Outcome::NotLeader(_))), "{by_itself:?}");
    assert!(!bench.is_registered("late").await);
    stream.send(frame(proposal("in-time", term))).await.expect("open");
    assert!(matches!(outcome(&mut answers).await, Some(Outcome::Committed(_))));
    assert!(bench.is_registered("in-time").await);
    bench.node.shutdown().await;
}

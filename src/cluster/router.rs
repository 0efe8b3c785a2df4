//! From a key to its shard to the node that leads it, over elections, until the caller's deadline.

use std::future::Future;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use proto::everstep::peer::v1 as peer;
use proto::temporal::api::query::v1::WorkflowQuery;
use rand::Rng;
use statemachine::{op, state, tables, Kv};
use tokio::sync::watch;
use tokio::time::{sleep, timeout_at, Instant};

use super::barrier::Barriers;
use super::leader::{Call, Leader};
use super::members::Rows;
use super::proposals::{Failure, Proposals};
use super::status::NodeFacts;
use super::tasks::Tasks;
use super::{
    Buffered, ChangeFeed, Committed, Draining, Lane, LeaderHooks, Peer, Peers, QueryResults, Reservations, RouteError,
    SlotMap, Target, SYSTEM_SHARD,
};
use crate::raft::{Group, Groups, Leadership, ProposeError, ReadError, Snapshot};
use crate::storage::DiskState;

/// Tries follow each other after a random pause up to this, at first less.
const PAUSE_MAX: Duration = Duration::from_millis(100);
const PAUSE_FIRST: Duration = Duration::from_millis(5);
/// How long a node that was said to lead is believed against the local replica.
const HINT: Duration = Duration::from_millis(50);

pub struct RouterOptions {
    pub groups: Arc<Groups>,
    pub peers: Arc<Peers>,
    pub feed: Arc<ChangeFeed>,
    pub tasks: Tasks,
    pub limits: statemachine::limits::Limits,
    pub facts: NodeFacts,
}

pub struct Router {
    pub(super) groups: Arc<Groups>,
    pub(super) peers: Arc<Peers>,
    pub(super) feed: Arc<ChangeFeed>,
    pub(super) leader: Leader,
    pub(super) draining: Draining,
    pub(super) facts: NodeFacts,
    proposals: Proposals,
    barriers: Barriers,
    map: RwLock<Arc<Map>>,
}

/// What the system shard says, as last read by this node.
#[derive(Default)]
struct Map {
    version: u64,
    cluster: Option<Arc<state::Cluster>>,
    slots: Option<SlotMap>,
    ranges: Vec<state::SlotRange>,
    rows: Arc<Rows>,
}

/// One try.
pub(super) enum Tried<T> {
    Done(T),
    /// It did not happen; the leader may be this one.
    NotLeader(Option<u64>),
    /// It may have happened.
    Unknown(String),
    /// It did not happen and will not on this leader.
    Full,
}

impl Router {
    pub fn new(options: RouterOptions) -> Arc<Self> {
        Arc::new(Self {
            leader: Leader::new(&options.limits),
            proposals: Proposals::default(),
            barriers: Barriers::new(options.tasks),
            groups: options.groups,
            peers: options.peers,
            feed: options.feed,
            draining: Draining::default(),
            facts: options.facts,
            map: RwLock::default(),
        })
    }

    /// Joins in what the leader keeps in memory; once, before the first call.
    pub fn connect(&self, hooks: Arc<dyn LeaderHooks>) {
        self.leader.connect(hooks);
    }

    /// Joins in the pollers parked on this node; once, before the first call.
    pub fn connect_reservations(&self, reservations: Arc<dyn Reservations>) {
        self.leader.connect_reservations(reservations);
    }

    pub fn this_node(&self) -> u64 {
        self.peers.this_node()
    }

    /// The cluster's record; `None` until it is bootstrapped.
    pub fn cluster(&self) -> Option<Arc<state::Cluster>> {
        self.map().cluster.clone()
    }

    /// Empty until the cluster is bootstrapped.
    pub fn data_shards(&self) -> Vec<u32> {
        self.cluster().map(|cluster| (1..=cluster.data_shards).collect()).unwrap_or_default()
    }

    pub(super) fn slot_ranges(&self) -> Vec<state::SlotRange> {
        self.map().ranges.clone()
    }

    /// The shard of a target; the system shard for a workflow as long as there is no slot map.
    pub fn shard_of(&self, target: Target<'_>) -> u32 {
        match target {
            Target::System => SYSTEM_SHARD,
            Target::Shard(shard) => shard,
            Target::Workflow { namespace_id, workflow_id } => {
                let map = self.map();
                map.slots.as_ref().map_or(SYSTEM_SHARD, |slots| slots.shard_of(namespace_id, workflow_id))
            }
        }
    }

    /// Whether this node has stored what it has not read yet: it may be of a cluster.
    pub(super) fn is_opening(&self) -> bool {
        self.groups.has_data(SYSTEM_SHARD) && self.local(SYSTEM_SHARD).is_none()
    }

    /// Members and places of replicas, as last read by this node.
    pub(super) fn rows(&self) -> Arc<Rows> {
        self.map().rows.clone()
    }

    /// The members that are not known to be down, this one included.
    pub fn alive_nodes(&self) -> Vec<u64> {
        self.rows();
        let nodes = self.peers.nodes().into_iter().map(|node| node.node_id);
        nodes.filter(|&node| node == self.this_node() || !self.peers.is_suspect(node)).collect()
    }

    /// A call to the node failed or was answered: whether it is worth asking.
    pub fn heard(&self, node: u64, answered: bool) {
        self.peers.heard(node, answered);
    }

    pub fn connection(&self, node: u64, lane: Lane) -> Result<Peer, tonic::Status> {
        self.peers.connection(node, lane)
    }

    /// Who leads, for each shard that runs on this node.
    pub fn leaderships(&self) -> Vec<watch::Receiver<Leadership>> {
        self.groups.groups().iter().map(|group| group.leadership()).collect()
    }

    /// The node that leads the shard, as far as this one knows.
    pub fn leader_of(&self, shard: u32) -> Option<u64> {
        self.groups.group(shard)?.leader()
    }

    /// Whether this node neither leads nor has heard a leader for so long.
    pub fn is_left_alone(&self, shard: u32, silence: Duration) -> bool {
        self.groups.group(shard).is_some_and(|group| !group.is_leader() && group.silence() > silence)
    }

    pub fn leads(&self, shard: u32) -> bool {
        self.groups.group(shard).is_some_and(|group| group.is_leader())
    }

    /// Whether this node takes no proposals for lack of room.
    pub fn disk_is_full(&self) -> bool {
        self.groups.disk() == DiskState::Full
    }

    /// The shard's time on this node, in nanoseconds since the epoch.
    pub fn time(&self, shard: u32) -> i64 {
        self.groups.group(shard).map_or_else(super::now, |group| super::clock::in_shard(&group))
    }

    /// This replica's rows, without a barrier: they may be old.
    pub fn local(&self, shard: u32) -> Option<Snapshot> {
        self.groups.group(shard).map(|group| group.snapshot())
    }

    /// Commits an op. The answer may be a Reject.
    ///
    /// Encodes it before the future exists: an op is large, and what a future holds is moved with it.
    pub fn propose<'r>(
        &'r self,
        target: Target<'_>,
        op: op::Op,
        deadline: Instant,
    ) -> impl Future<Output = Result<Committed, RouteError>> + Send + use<'r> {
        self.propose_answering(target, &op, QueryResults::new(), deadline)
    }

    /// Commits a `CompleteWorkflowTask` that comes with answers to the queries its task carried.
    pub fn propose_answering<'r>(
        &'r self,
        target: Target<'_>,
        op: &op::Op,
        query_results: QueryResults,
        deadline: Instant,
    ) -> impl Future<Output = Result<Committed, RouteError>> + Send + use<'r> {
        let call = self.check_ready(target).map(|()| Call::new(self.shard_of(target), op, query_results));
        async move { self.commit(call?, deadline).await }
    }

    async fn commit(&self, call: Call, deadline: Instant) -> Result<Committed, RouteError> {
        let mut unknown = None;
        let outcome = self
            .over_elections(
                call.shard,
                deadline,
                |group, leader| {
                    let (call, known) = (&call, *group.leadership().borrow());
                    async move {
                        // A try that comes late, after another was refused, must find another term: one is needed.
                        if known.leader != Some(leader) {
                            return Tried::NotLeader(None);
                        }
                        if leader == self.this_node() {
                            self.propose_here(group, call, known.term).await
                        } else {
                            self.forward(leader, call, known.term).await
                        }
                    }
                },
                &mut unknown,
            )
            .await;
        match (outcome, unknown) {
            (Some(Ok(committed)), _) => Ok(committed),
            (_, Some(why)) => Err(RouteError::Unknown { why }),
            (Some(Err(error)), None) => Err(error),
            (None, None) => Err(RouteError::unavailable(format!("shard {} has no leader", call.shard))),
        }
    }

    /// Commits an op if this node leads the shard: for the leader's own ops, which a new leader makes anew.
    pub(crate) async fn propose_locally(&self, shard: u32, op: op::Op) -> Result<Committed, ProposeError> {
        let group = self.groups.group(shard).ok_or(ProposeError::NotLeader { leader: None })?;
        self.leader.propose(&group, &Call::new(shard, &op, QueryResults::new()), None).await
    }

    async fn propose_here(&self, group: Arc<Group>, call: &Call, term: u64) -> Tried<Committed> {
        match self.leader.propose(&group, call, Some(term)).await {
            Ok(committed) => Tried::Done(committed),
            Err(ProposeError::NotLeader { leader }) => Tried::NotLeader(leader),
            Err(ProposeError::Unknown { why }) => Tried::Unknown(why),
            Err(ProposeError::DiskFull) => Tried::Full,
        }
    }

    async fn forward(&self, leader: u64, call: &Call, term: u64) -> Tried<Committed> {
        use peer::propose_response::Outcome;
        metrics::counter!("everstep_router_forwards").increment(1);
        let Ok(mut client) = self.peers.client(leader) else { return Tried::NotLeader(None) };
        let answered = match self.proposals.call(leader, client.clone(), call.to_peer(term)).await {
            Err(Failure::ByItself) => match client.propose(call.to_peer(term)).await {
                Ok(response) => Ok(response.into_inner()),
                Err(status) if refused_at_connect(&status) => Err(Failure::Unsent),
                Err(status) => Err(Failure::Unknown(status.to_string())),
            },
            answered => answered,
        };
        let response = match answered {
            Ok(response) => response,
            Err(Failure::Unknown(why)) => return Tried::Unknown(format!("node {leader}: {why}")),
            Err(Failure::Unsent | Failure::ByItself) => return Tried::NotLeader(None),
        };
        match response.outcome {
            Some(Outcome::Committed(committed)) => Tried::Done(Committed {
                shard: call.shard,
                index: committed.index,
                answer: committed.answer.unwrap_or_default(),
                queries: committed.queries,
            }),
            Some(Outcome::NotLeader(other)) => Tried::NotLeader((other.leader > 0).then_some(other.leader)),
            Some(Outcome::Unknown(why)) => Tried::Unknown(why),
            Some(Outcome::DiskFull(_)) => Tried::Full,
            None => Tried::Unknown(format!("node {leader} answered nothing")),
        }
    }

    /// A consistent view of the target's shard with every write acknowledged before the call.
    pub async fn read(self: &Arc<Self>, target: Target<'_>, deadline: Instant) -> Result<Snapshot, RouteError> {
        self.check_ready(target)?;
        let shard = self.shard_of(target);
        self.barriers.pass(self, shard, deadline).await?;
        self.local(shard).ok_or_else(|| RouteError::unavailable(format!("shard {shard} is not on this node")))
    }

    /// One barrier of this node: the leader's read index, applied here.
    pub(super) async fn barrier(&self, shard: u32, deadline: Instant) -> Result<(), RouteError> {
        let tried = |group: Arc<Group>, leader: u64| async move {
            if leader == self.this_node() {
                self.read_index_here(&group).await
            } else {
                self.read_index_of(leader, shard).await
            }
        };
        match self.over_elections(shard, deadline, tried, &mut None).await {
            Some(Ok(index)) => self.wait_applied(shard, index, deadline).await,
            Some(Err(error)) => Err(error),
            None => Err(RouteError::unavailable(format!("shard {shard} has no leader"))),
        }
    }

    pub(super) async fn read_index_here(&self, group: &Group) -> Tried<u64> {
        match group.read_index().await {
            Ok(index) => Tried::Done(index),
            Err(ReadError::NotLeader { leader }) => Tried::NotLeader(leader),
            Err(error) => Tried::Unknown(error.to_string()),
        }
    }

    async fn read_index_of(&self, leader: u64, shard: u32) -> Tried<u64> {
        use peer::read_index_response::Outcome;
        let Ok(mut client) = self.peers.client(leader) else { return Tried::NotLeader(None) };
        match client.read_index(peer::ReadIndexRequest { shard }).await.map(|response| response.into_inner().outcome) {
            Ok(Some(Outcome::Index(index))) => Tried::Done(index),
            Ok(Some(Outcome::NotLeader(other))) => Tried::NotLeader((other.leader > 0).then_some(other.leader)),
            Ok(Some(Outcome::Unavailable(why))) => Tried::Unknown(why),
            Ok(None) => Tried::Unknown(format!("node {leader} answered nothing")),
            Err(status) => Tried::Unknown(format!("node {leader}: {status}")),
        }
    }

    /// Waits until this node's replica has applied `index`, as told by [`Committed`].
    pub async fn wait_applied(&self, shard: u32, index: u64, deadline: Instant) -> Result<(), RouteError> {
        let Some(group) = self.groups.group(shard) else {
            return Err(RouteError::unavailable(format!("shard {shard} is not on this node")));
        };
        match timeout_at(deadline, group.wait_applied(index)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(RouteError::unavailable(error.to_string())),
            Err(_) => Err(RouteError::unavailable(format!("this node's replica of shard {shard} is behind"))),
        }
    }

    /// Leaves a query with the run's next workflow task and waits for its answer.
    pub async fn query_buffered(
        &self,
        namespace_id: &str,
        workflow_id: &str,
        run_id: &str,
        query: WorkflowQuery,
        deadline: Instant,
    ) -> Result<Buffered, RouteError> {
        let run =
            peer::RunRef { namespace_id: namespace_id.into(), workflow_id: workflow_id.into(), run_id: run_id.into() };
        let shard = self.shard_of(Target::Workflow { namespace_id, workflow_id });
        let tried = |_: Arc<Group>, leader: u64| {
            let (run, query) = (run.clone(), query.clone());
            async move { self.buffer_query_at(leader, shard, run, query).await }
        };
        match self.over_elections(shard, deadline, tried, &mut None).await {
            Some(outcome) => outcome,
            None => Err(RouteError::unavailable("the query was not answered in time")),
        }
    }

    async fn buffer_query_at(
        &self,
        leader: u64,
        shard: u32,
        run: peer::RunRef,
        query: WorkflowQuery,
    ) -> Tried<Buffered> {
        use peer::buffer_query_response::Outcome;
        if leader == self.this_node() {
            let Some(hooks) = self.leader.hooks() else { return Tried::NotLeader(None) };
            return hooks.buffer_query(shard, run, query).await.map_or(Tried::NotLeader(None), Tried::Done);
        }
        let Ok(mut client) = self.peers.client(leader) else { return Tried::NotLeader(None) };
        let request = peer::BufferQueryRequest { shard, run: Some(run), query: Some(query) };
        match client.buffer_query(request).await.map(|response| response.into_inner().outcome) {
            Ok(Some(Outcome::Result(result))) => Tried::Done(Buffered::Answered(result)),
            Ok(Some(Outcome::Dispatch(_))) => Tried::Done(Buffered::Dispatch),
            Ok(Some(Outcome::Full(_))) => Tried::Done(Buffered::Full),
            Ok(Some(Outcome::NotLeader(other))) => Tried::NotLeader((other.leader > 0).then_some(other.leader)),
            Ok(None) => Tried::Unknown(format!("node {leader} answered nothing")),
            Err(status) => Tried::Unknown(format!("node {leader}: {status}")),
        }
    }

    fn check_ready(&self, target: Target<'_>) -> Result<(), RouteError> {
        let ready = !matches!(target, Target::Workflow { .. }) || self.map().slots.is_some();
        ready.then_some(()).ok_or_else(|| RouteError::unavailable("the cluster is not bootstrapped yet"))
    }

    /// Tries at whoever leads until something is certain or the deadline is there; `None` if nobody ever led.
    /// `unknown` is set once a try may have happened.
    async fn over_elections<T, F, Fut>(
        &self,
        shard: u32,
        deadline: Instant,
        mut attempt: F,
        unknown: &mut Option<String>,
    ) -> Option<Result<T, RouteError>>
    where
        F: FnMut(Arc<Group>, u64) -> Fut,
        Fut: std::future::Future<Output = Tried<T>>,
    {
        let Some(group) = self.groups.group(shard) else {
            return Some(Err(RouteError::unavailable(format!("shard {shard} is not on this node"))));
        };
        let mut leadership = group.leadership();
        let mut tries = Tries::new(deadline);
        loop {
            let leader = tries.leader(&mut leadership).await?;
            let elsewhere = leader != self.this_node();
            let tried = tokio::select! {
                tried = timeout_at(deadline, attempt(group.clone(), leader)) => tried.ok(),
                () = moved_from(leader, &mut leadership), if elsewhere => None,
            };
            let tried = tried.unwrap_or_else(|| Tried::Unknown(format!("node {leader} did not answer")));
            match tried {
                Tried::Done(done) => return Some(Ok(done)),
                Tried::Full => return Some(Err(RouteError::DiskFull)),
                Tried::NotLeader(hint) => tries.hint(leader, hint),
                Tried::Unknown(why) => {
                    tracing::debug!(shard, leader, why, "a try ended without an outcome");
                    *unknown = Some(why);
                }
            }
            metrics::counter!("everstep_router_retries").increment(1);
            if !tries.pause(leader, &mut leadership).await {
                return None;
            }
        }
    }

    fn map(&self) -> Arc<Map> {
        let version = self.feed.cluster_version();
        let map = self.map.read().expect("no panic while held").clone();
        if map.version == version {
            return map;
        }
        self.refresh(version).unwrap_or(map)
    }

    fn refresh(&self, version: u64) -> Option<Arc<Map>> {
        let rows = self.local(SYSTEM_SHARD)?;
        let map = Arc::new(read_map(&rows, version)?);
        if let Ok(nodes) = tables::nodes(&rows) {
            self.peers.update(nodes);
        }
        *self.map.write().expect("no panic while held") = map.clone();
        Some(map)
    }
}

fn read_map(rows: &dyn Kv, version: u64) -> Option<Map> {
    let read = || -> Result<Map, statemachine::Fault> {
        let ranges = tables::slot_ranges(rows)?;
        let cluster = tables::cluster(rows)?.map(Arc::new);
        Ok(Map { version, cluster, slots: SlotMap::from_ranges(&ranges), ranges, rows: Arc::new(Rows::read(rows)?) })
    };
    read().inspect_err(|fault| tracing::error!(%fault, "the slot map cannot be read")).ok()
}

/// Whether the call cannot have reached the node.
pub(super) fn refused_at_connect(status: &tonic::Status) -> bool {
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return io.kind() == std::io::ErrorKind::ConnectionRefused;
        }
        cause = error.source();
    }
    status.code() == tonic::Code::FailedPrecondition
}

/// Ends when another node has been elected since, maybe in the same term.
async fn moved_from(leader: u64, leadership: &mut watch::Receiver<Leadership>) {
    let before = *leadership.borrow();
    let later = |now: &Leadership| *now != before && now.leader.is_some_and(|now| now != leader);
    if leadership.wait_for(later).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// The order of tries: whom to ask, how long to wait in between.
struct Tries {
    deadline: Instant,
    count: u32,
    hint: Option<(u64, Instant)>,
}

impl Tries {
    fn new(deadline: Instant) -> Self {
        Self { deadline, count: 0, hint: None }
    }

    /// Whom to ask: the node that another one named a moment ago, or who leads as this replica knows, waiting for one.
    async fn leader(&mut self, leadership: &mut watch::Receiver<Leadership>) -> Option<u64> {
        if let Some((leader, until)) = self.hint.take() {
            if Instant::now() < until {
                return Some(leader);
            }
        }
        let known = timeout_at(self.deadline, leadership.wait_for(|now| now.leader.is_some())).await.ok()?;
        known.ok()?.leader
    }

    fn hint(&mut self, asked: u64, leader: Option<u64>) {
        let other = leader.filter(|&leader| leader != asked);
        self.hint = other.map(|leader| (leader, Instant::now() + HINT));
    }

    /// Waits a little, less if the leader changes meanwhile. `false` at the deadline.
    async fn pause(&mut self, asked: u64, leadership: &mut watch::Receiver<Leadership>) -> bool {
        let most = PAUSE_FIRST.saturating_mul(1 << self.count.min(5)).min(PAUSE_MAX);
        self.count += 1;
        let pause = rand::rng().random_range(most / 2..=most);
        let changed = leadership.wait_for(|now| now.leader.is_some_and(|leader| leader != asked));
        tokio::select! {
            () = sleep(pause) => {}
            _ = changed => {}
        }
        Instant::now() < self.deadline
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_hint_is_followed_once_and_then_the_local_replica() {
        let (sender, mut leadership) = watch::channel(Leadership { term: 3, leader: Some(1) });
        let mut tries = Tries::new(Instant::now() + Duration::from_secs(1));
        tries.hint(1, Some(2));
        assert_eq!(tries.leader(&mut leadership).await, Some(2));
        assert_eq!(tries.leader(&mut leadership).await, Some(1));
        tries.hint(1, Some(1));
        assert_eq!(tries.hint, None);
        drop(sender);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_does_not_wait_for_a_leader_that_was_replaced() {
        for (next, ends) in [
            (Leadership { term: 5, leader: None }, false),
            (Leadership { term: 6, leader: Some(1) }, false),
            (Leadership { term: 5, leader: Some(3) }, true),
            (Leadership { term: 6, leader: Some(3) }, true),
        ] {
            let (sender, mut leadership) = watch::channel(Leadership { term: 5, leader: Some(1) });
            let mut moved = Box::pin(moved_from(1, &mut leadership));
            assert!(tokio::time::timeout(PAUSE_MAX, &mut moved).await.is_err(), "nothing happened");
            sender.send_replace(next);
            assert_eq!(tokio::time::timeout(PAUSE_MAX, moved).await.is_ok(), ends, "{next:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_leader_ends_the_pause_and_no_leader_ends_at_the_deadline() {
        let (sender, mut leadership) = watch::channel(Leadership { term: 3, leader: Some(1) });
        let mut tries = Tries::new(Instant::now() + Duration::from_secs(1));
        tries.count = 10;
        sender.send_replace(Leadership { term: 4, leader: Some(2) });
        let before = Instant::now();
        assert!(tries.pause(1, &mut leadership).await);
        assert_eq!(Instant::now(), before);
        sender.send_replace(Leadership { term: 5, leader: None });
        assert_eq!(tries.leader(&mut leadership).await, None);
        assert_eq!(Instant::now(), before + Duration::from_secs(1));
    }
}

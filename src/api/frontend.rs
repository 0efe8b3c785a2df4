//! What every handler works with: the namespace a call is in, ops and reads by workflow, tokens.

use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use proto::temporal::api::enums::v1::NamespaceState;
use proto::temporal::api::errordetails::v1::NamespaceInvalidStateFailure;
use statemachine::op::op::Kind as OpKind;
use statemachine::op::{self, answer, NamespaceFacts};
use statemachine::reject::code;
use statemachine::time::nanos_or_zero;
use statemachine::{state, Reject};
use tokio::time::Instant;

use super::admission::Admission;
use super::call::Call;
use super::errors::ApiError;
use super::quotas::Quotas;
use super::token::{bad_task_token, Kind, Tokens};
use super::validate;
use crate::cluster::{Committed, NamespaceError, Namespaces, QueryResults, Router, Target};
use crate::config::Config;
use crate::effects::Watchers;
use crate::matching::Matching;
use crate::raft::Snapshot;
use crate::telemetry::requests::name_namespace;

/// How long an op or a read is tried for a client that waits longer or for ever.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What the API is made of.
#[derive(Clone)]
pub struct ApiParts {
    pub router: Arc<Router>,
    pub namespaces: Arc<Namespaces>,
    pub matching: Matching,
    pub watchers: Arc<Watchers>,
    pub config: Arc<Config>,
}

pub struct Frontend {
    pub router: Arc<Router>,
    pub namespaces: Arc<Namespaces>,
    pub matching: Matching,
    pub watchers: Arc<Watchers>,
    pub config: Arc<Config>,
    pub quotas: Quotas,
    pub admission: Admission,
    tokens: OnceLock<Tokens>,
}

/// A namespace that a call is in.
pub type Namespace = Arc<state::Namespace>;

impl Frontend {
    pub fn new(parts: ApiParts) -> Self {
        let ApiParts { router, namespaces, matching, watchers, config } = parts;
        let quotas = Quotas::new(&config.frontend);
        Self {
            router,
            namespaces,
            matching,
            watchers,
            config,
            quotas,
            admission: Admission::default(),
            tokens: OnceLock::new(),
        }
    }

    // ---- namespaces ----

    /// The namespace that the caller named.
    pub async fn namespace<T>(&self, call: &Call<T>, name: &str) -> Result<Namespace, ApiError> {
        validate::namespace_name(name)?;
        let namespace = self.namespaces.by_name(name).await.map_err(|error| missing(error, name))?;
        name_namespace(&call.extensions, name);
        self.quotas.admit(&namespace.id, Instant::now())?;
        Ok(namespace)
    }

    /// The namespace of a call that carries a task token: the one named, or else the token's.
    pub async fn namespace_of_task<T>(
        &self,
        call: &Call<T>,
        name: &str,
        kind: Kind,
        token: &[u8],
    ) -> Result<Namespace, ApiError> {
        if !name.is_empty() {
            let namespace = self.namespace(call, name).await?;
            require_token(token)?;
            return Ok(namespace);
        }
        require_token(token)?;
        let id = self.tokens()?.namespace_of(kind, token).map_err(bad_task_token)?;
        let namespace = self.namespaces.by_id(&id).await.map_err(|error| missing(error, &id))?;
        name_namespace(&call.extensions, name_of(&namespace));
        self.quotas.admit(&namespace.id, Instant::now())?;
        Ok(namespace)
    }

    /// The task that a token names, in its namespace.
    pub fn task(&self, namespace: &state::Namespace, kind: Kind, token: &[u8]) -> Result<op::TaskRef, ApiError> {
        Ok(self.tokens()?.open_task(kind, &namespace.id, token)?)
    }

    // ---- ops ----

    /// Commits an op on a workflow. A refusal is an error.
    pub fn propose<'f>(
        &'f self,
        namespace_id: &str,
        workflow_id: &str,
        kind: OpKind,
        deadline: Instant,
    ) -> impl Future<Output = Result<Done, ApiError>> + Send + use<'f> {
        let target = Target::Workflow { namespace_id, workflow_id };
        let committed = self.router.propose(target, op::Op { kind: Some(kind) }, deadline);
        async move { accepted(committed.await?) }
    }

    /// Commits the completion of a workflow task, with answers to the queries that it carried.
    pub fn propose_answering<'f>(
        &'f self,
        task: &op::TaskRef,
        kind: OpKind,
        results: QueryResults,
        deadline: Instant,
    ) -> impl Future<Output = Result<Done, ApiError>> + Send + use<'f> {
        let target = Target::Workflow { namespace_id: &task.namespace_id, workflow_id: &task.workflow_id };
        let committed = self.router.propose_answering(target, &op::Op { kind: Some(kind) }, results, deadline);
        async move { accepted(committed.await?) }
    }

    /// Commits an op on the system shard, and waits until this node's own rows show it.
    pub async fn propose_to_system(&self, kind: OpKind, deadline: Instant) -> Result<Done, ApiError> {
        let op = op::Op { kind: Some(kind) };
        let done = accepted(self.router.propose(Target::System, op, deadline).await?)?;
        self.router.wait_applied(done.shard, done.index, deadline).await?;
        Ok(done)
    }

    // ---- reads ----

    /// Rows of a workflow's shard, with everything acknowledged before.
    pub async fn read(&self, namespace_id: &str, workflow_id: &str, deadline: Instant) -> Result<Snapshot, ApiError> {
        Ok(self.router.read(Target::Workflow { namespace_id, workflow_id }, deadline).await?)
    }

    /// Rows of the shard that an op was committed on, not older than it.
    pub async fn read_after(&self, shard: u32, index: u64, deadline: Instant) -> Result<Snapshot, ApiError> {
        self.router.wait_applied(shard, index, deadline).await?;
        self.router.local(shard).ok_or_else(|| ApiError::Unavailable(format!("shard {shard} is not on this node")))
    }

    /// Rows of all data shards, by shard. Each is consistent in itself and has everything acknowledged before.
    pub async fn read_all(&self, deadline: Instant) -> Result<Vec<Snapshot>, ApiError> {
        let shards = self.router.data_shards();
        let reads = shards.into_iter().map(|shard| self.router.read(Target::Shard(shard), deadline));
        Ok(futures::future::try_join_all(reads).await?)
    }

    pub fn tokens(&self) -> Result<&Tokens, ApiError> {
        if let Some(tokens) = self.tokens.get() {
            return Ok(tokens);
        }
        let cluster = self.router.cluster();
        let cluster = cluster.ok_or_else(|| ApiError::Unavailable("the cluster is not bootstrapped yet".into()))?;
        Ok(self.tokens.get_or_init(|| Tokens::new(&cluster.token_key)))
    }
}

/// An op that was accepted: what it answered and where.
pub struct Done {
    pub shard: u32,
    pub index: u64,
    pub answer: answer::Kind,
    pub queries: crate::cluster::Queries,
}

/// What a committed op was answered.
pub fn accepted(committed: Committed) -> Result<Done, ApiError> {
    let Committed { shard, index, answer, queries } = committed;
    match answer.kind {
        Some(answer::Kind::Reject(reject)) => Err(reject.into()),
        Some(answer) => Ok(Done { shard, index, answer, queries }),
        None => Err(ApiError::Internal("an op was committed without an answer")),
    }
}

fn require_token(token: &[u8]) -> Result<(), ApiError> {
    if token.is_empty() {
        return Err(Reject::invalid_argument("Task token not set on request.").into());
    }
    Ok(())
}

pub fn missing(error: NamespaceError, name: &str) -> ApiError {
    match error {
        NamespaceError::NotFound => Reject::namespace_not_found(name).into(),
        NamespaceError::Route(error) => error.into(),
    }
}

pub fn name_of(namespace: &state::Namespace) -> &str {
    namespace.info.as_ref().map(|info| info.name.as_str()).unwrap_or_default()
}

/// What an op on one of its workflows needs to know of a namespace.
pub fn facts(namespace: &state::Namespace) -> NamespaceFacts {
    let config = namespace.config.as_ref();
    NamespaceFacts {
        id: namespace.id.clone(),
        name: name_of(namespace).to_owned(),
        retention: nanos_or_zero(config.and_then(|config| config.workflow_execution_retention_ttl.as_ref())),
        search_attributes: namespace.search_attributes.clone(),
    }
}

/// Whether programs with this checksum were marked as bad.
pub fn is_bad_binary(namespace: &state::Namespace, checksum: &str) -> bool {
    let marked = namespace.config.as_ref().and_then(|config| config.bad_binaries.as_ref());
    marked.is_some_and(|marked| marked.binaries.contains_key(checksum))
}

/// Refuses what begins something new unless the namespace is in full use.
pub fn require_registered(namespace: &state::Namespace) -> Result<(), Reject> {
    let state = namespace.info.as_ref().map(|info| info.state()).unwrap_or_default();
    let shown = match state {
        NamespaceState::Registered => return Ok(()),
        NamespaceState::Deprecated => "Deprecated",
        NamespaceState::Deleted => "Deleted",
        NamespaceState::Unspecified => "Unspecified",
    };
    Err(Reject::with_detail(
        code::FAILED_PRECONDITION,
        format!("Namespace has invalid state: {shown}. Must be Registered."),
        &NamespaceInvalidStateFailure {
            namespace: name_of(namespace).to_owned(),
            state: state as i32,
            allowed_states: vec![NamespaceState::Registered as i32],
        },
    ))
}

//! What the supervisor knows of its nodes: where they are, whether they live, and how their connections end with them.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Mutex;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::layout::{Layout, NodeState, State};

/// One life of a node's process.
#[derive(Debug, Clone)]
pub(super) enum Life {
    Down,
    /// The token is cancelled when the process ends.
    Starting(CancellationToken),
    Serving(CancellationToken),
}

/// Which listener of a node a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Door {
    Api,
    Web,
    Http,
    Peer,
}

struct Member {
    node: NodeState,
    life: watch::Sender<Life>,
}

pub(super) struct Fleet {
    members: Vec<Member>,
    next: AtomicUsize,
    layout: Layout,
    state: Mutex<State>,
}

impl Fleet {
    pub(super) fn new(layout: Layout) -> Self {
        let member = |node: &NodeState| Member { node: node.clone(), life: watch::Sender::new(Life::Down) };
        let members = layout.state.nodes.iter().map(member).collect();
        let state = Mutex::new(layout.state.clone());
        Self { members, next: AtomicUsize::new(0), layout, state }
    }

    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The layout with the processes of now.
    pub(super) fn state(&self) -> State {
        self.state.lock().expect("no panic while held").clone()
    }

    fn member(&self, id: u64) -> &Member {
        self.members.iter().find(|member| member.node.id == id).expect("ids come from the same list")
    }

    /// A process was started. The token ends with it.
    pub(super) fn started(&self, id: u64, pid: Option<u32>, restarts: u32) -> CancellationToken {
        let token = CancellationToken::new();
        self.member(id).life.send_replace(Life::Starting(token.clone()));
        self.record(id, pid, restarts);
        token
    }

    pub(super) fn serving(&self, id: u64, token: &CancellationToken) {
        self.member(id).life.send_if_modified(|life| {
            let current = matches!(life, Life::Starting(_)) && !token.is_cancelled();
            if current {
                *life = Life::Serving(token.clone());
            }
            current
        });
    }

    /// The process ended: its connections are closed at once, so that clients come back to another node.
    pub(super) fn ended(&self, id: u64, restarts: u32) {
        if let Life::Starting(token) | Life::Serving(token) = self.member(id).life.send_replace(Life::Down) {
            token.cancel();
        }
        self.record(id, None, restarts);
    }

    fn record(&self, id: u64, pid: Option<u32>, restarts: u32) {
        let mut state = self.state.lock().expect("no panic while held");
        if let Some(node) = state.nodes.iter_mut().find(|node| node.id == id) {
            node.pid = pid;
            node.restarts = restarts;
        }
        if let Err(error) = self.layout.save(&state) {
            tracing::warn!("{error:#}");
        }
    }

    pub(super) async fn all_serving(&self) {
        for member in &self.members {
            let mut life = member.life.subscribe();
            // The sender lives as long as `self`.
            let _ = life.wait_for(|life| matches!(life, Life::Serving(_))).await;
        }
    }

    /// Living nodes, another first each time; those that are ready before those that are not.
    pub(super) fn candidates(&self, door: Door) -> Vec<(SocketAddr, CancellationToken)> {
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let count = self.members.len();
        let mut ready = Vec::new();
        let mut starting = Vec::new();
        for offset in 0..count {
            let member = &self.members[(first + offset) % count];
            let Some(address) = door.of(&member.node) else { continue };
            match &*member.life.borrow() {
                Life::Serving(token) => ready.push((address, token.clone())),
                Life::Starting(token) => starting.push((address, token.clone())),
                Life::Down => {}
            }
        }
        ready.extend(starting);
        ready
    }
}

impl Door {
    fn of(self, node: &NodeState) -> Option<SocketAddr> {
        match self {
            Self::Api => Some(node.api),
            Self::Web => node.web,
            Self::Http => node.http,
            Self::Peer => Some(node.peer),
        }
    }
}

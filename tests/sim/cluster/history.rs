//! What clients asked for and were told, in the order in which it happened.

use std::collections::BTreeMap;

/// A workflow: its shard and its id.
pub type Workflow = (u32, String);

#[derive(Debug, Clone)]
pub struct Call {
    pub workflow: Workflow,
    pub invoked: u64,
    /// When it was acknowledged, if it was.
    pub answered: Option<u64>,
}

/// A read that has begun.
#[derive(Debug, Clone)]
pub struct Reading {
    pub workflow: Workflow,
    pub invoked: u64,
    /// So many signals had been read by others before.
    pub known: usize,
}

/// Moments are numbers: of two, the smaller was first.
#[derive(Debug, Default)]
pub struct History {
    moment: u64,
    /// By the name of the signal.
    pub calls: BTreeMap<String, Call>,
    /// The most that was read of a workflow.
    pub longest: BTreeMap<Workflow, Vec<String>>,
}

impl History {
    fn moment(&mut self) -> u64 {
        self.moment += 1;
        self.moment
    }

    pub fn invoke(&mut self, name: &str, workflow: &Workflow) {
        let call = Call { workflow: workflow.clone(), invoked: self.moment(), answered: None };
        self.calls.entry(name.to_owned()).or_insert(call);
    }

    pub fn acknowledge(&mut self, name: &str) {
        let moment = self.moment();
        if let Some(call) = self.calls.get_mut(name) {
            call.answered.get_or_insert(moment);
        }
    }

    /// Whether a signal of this workflow was acknowledged: then it has started.
    pub fn has_started(&self, workflow: &Workflow) -> bool {
        self.calls.values().any(|call| call.workflow == *workflow && call.answered.is_some())
    }

    pub fn begin_reading(&mut self, workflow: &Workflow) -> Reading {
        let known = self.longest.get(workflow).map_or(0, Vec::len);
        Reading { workflow: workflow.clone(), invoked: self.moment(), known }
    }
}

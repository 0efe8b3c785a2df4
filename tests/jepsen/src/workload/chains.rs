//! Workload `chains`: workflows that continue as new some times and then complete.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;

use super::session::Tasks;
use super::{Context, Session};

const BETWEEN: Duration = Duration::from_millis(4000);
/// Runs of a chain after the first.
pub const CONTINUED: u32 = 3;

pub fn start(context: &Arc<Context>, clients: &mut JoinSet<()>) {
    for &node in &context.nodes {
        let session = Session::new(context, "chains", node);
        clients.spawn(async move {
            for number in 0.. {
                if !session.context.pause(BETWEEN).await {
                    return;
                }
                let key = format!("chain-{}-{number}", session.process);
                session.start("Chain", &key, Tasks::ToWorkers, &json!({ "left": CONTINUED })).await;
            }
        });
    }
}

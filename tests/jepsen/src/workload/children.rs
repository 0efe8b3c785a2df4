//! Workload `children`: parents that start children on other shards, one after the other, and wait for each.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;

use super::session::Tasks;
use super::{Context, Session};

const BETWEEN: Duration = Duration::from_millis(3000);
const CHILDREN: u32 = 2;

pub fn start(context: &Arc<Context>, clients: &mut JoinSet<()>) {
    for &node in &context.nodes {
        let session = Session::new(context, "children", node);
        clients.spawn(async move {
            for number in 0.. {
                if !session.context.pause(BETWEEN).await {
                    return;
                }
                let key = format!("parent-{}-{number}", session.process);
                session.start("Parent", &key, Tasks::ToWorkers, &json!({ "children": CHILDREN })).await;
            }
        });
    }
}

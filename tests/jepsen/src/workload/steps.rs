//! Workload `steps`: workflows of activities one after the other. The workers (`worker::activity`) do the mischief.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;

use super::session::Tasks;
use super::{Context, Session};

const BETWEEN: Duration = Duration::from_millis(2000);
const STEPS: u32 = 3;

pub fn start(context: &Arc<Context>, clients: &mut JoinSet<()>) {
    for &node in &context.nodes {
        let session = Session::new(context, "steps", node);
        clients.spawn(async move {
            for number in 0.. {
                if !session.context.pause(BETWEEN).await {
                    return;
                }
                let key = format!("steps-{}-{number}", session.process);
                session.start("Steps", &key, Tasks::ToWorkers, &json!({ "steps": STEPS })).await;
            }
        });
    }
}

//! Workload `timers`: workflows that wait for timers of different lengths, one after the other.

use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use serde_json::json;
use tokio::task::JoinSet;

use super::session::Tasks;
use super::{Context, Session};

const BETWEEN: Duration = Duration::from_millis(2000);

pub fn start(context: &Arc<Context>, clients: &mut JoinSet<()>) {
    for &node in &context.nodes {
        let mut session = Session::new(context, "timers", node);
        clients.spawn(async move {
            for number in 0.. {
                if !session.context.pause(BETWEEN).await {
                    return;
                }
                let millis: Vec<u64> = (0..3).map(|_| session.random.random_range(20..3000)).collect();
                let key = format!("timers-{}-{number}", session.process);
                session.start("Timers", &key, Tasks::ToWorkers, &json!({ "millis": millis })).await;
            }
        });
    }
}

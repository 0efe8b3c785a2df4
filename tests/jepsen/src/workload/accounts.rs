//! Workload `accounts`: a few workflows are accounts. A transfer is a signal to one, which signals the other; after the
//! end what all of them gave must be what all of them got. Accounts are never closed: a transfer may arrive late.

use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use serde_json::{json, Value};
use tokio::task::JoinSet;

use super::session::Tasks;
use super::{Context, Session};

const BETWEEN: Duration = Duration::from_millis(500);
const ACCOUNTS: u32 = 6;
/// Transfers of one process before it goes on to new accounts, so that histories stay short.
const TRANSFERS: u32 = 60;

pub fn start(context: &Arc<Context>, clients: &mut JoinSet<()>) {
    for &node in &context.nodes {
        clients.spawn(run(Session::new(context, "accounts", node)));
    }
}

async fn run(mut session: Session) {
    for epoch in 0.. {
        if session.context.stop.is_cancelled() {
            return;
        }
        let accounts: Vec<String> =
            (0..ACCOUNTS).map(|account| format!("account-{}-{epoch}-{account}", session.process)).collect();
        let mut opened = true;
        for account in &accounts {
            opened &= session.start("Account", account, Tasks::ToWorkers, &Value::Null).await.is_some();
        }
        for number in 0..TRANSFERS {
            if !opened || !session.context.pause(BETWEEN).await {
                break;
            }
            let from = session.random.random_range(0..accounts.len());
            let to = (from + session.random.random_range(1..accounts.len())) % accounts.len();
            let id = format!("{}-{epoch}-{number}", session.process);
            let transfer = json!({ "id": id, "to": accounts[to], "amount": session.random.random_range(1..100) });
            let _recorded = session.signal(&accounts[from], "transfer", &transfer).await;
        }
    }
}

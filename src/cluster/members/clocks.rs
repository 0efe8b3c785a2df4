//! Nodes compare their clocks: when they start, as a machine that has just been started may not know the time, and then
//! again and again. Clocks are compared as the machines show them, so that nobody follows somebody who follows it.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use tokio::time::sleep;

use super::greet::{ask, PATIENCE};
use crate::cluster::{clock, Router};

const EVERY: Duration = Duration::from_secs(10);
/// As long as it is not known whether the clock here is right.
const SOON: Duration = Duration::from_millis(200);
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// Runs until dropped.
pub(super) async fn keep_time(router: Arc<Router>) {
    loop {
        sleep(if clock::is_settled() { EVERY } else { SOON }).await;
        compare_clocks(&router, &[]).await;
    }
}

/// Returns once most nodes have told the same time, or after half a second. `more` are peer addresses to ask besides those
/// of the nodes that are known.
pub(in crate::cluster) async fn compare_clocks(router: &Router, more: &[String]) {
    let this_node = router.this_node();
    let known = router.peers.nodes().into_iter().filter(|node| node.node_id != this_node);
    let addresses: BTreeSet<String> = known.map(|node| node.peer_address).chain(more.iter().cloned()).collect();
    let own = clock::Reading::take();
    let asked = addresses.iter().map(|address| async move { own.ahead(time(address, this_node).await) });
    let ahead = hear(asked, addresses.len() + 1).await;
    clock::compare(own, &ahead, addresses.len() + 1);
}

/// One that does not answer keeps nobody waiting, and hides no other answer.
async fn hear<F: Future<Output = i64>>(asked: impl Iterator<Item = F>, nodes: usize) -> Vec<i64> {
    let asked: FuturesUnordered<F> = asked.collect();
    let mut answers = asked.take_until(Box::pin(sleep(PATIENCE)));
    let mut ahead = Vec::new();
    while clock::agreed(&ahead, nodes).is_none() {
        let Some(answer) = answers.next().await else { break };
        ahead.push(answer);
    }
    ahead
}

/// Asks until it is told: a node that is just starting does not tell.
async fn time(address: &str, this_node: u64) -> i64 {
    loop {
        match ask(address, this_node).await {
            Some(answer) if answer.time != 0 => return answer.time,
            _ => sleep(ASK_AGAIN).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_node_that_does_not_answer_hides_no_answers() {
        let heard = |answers: &'static [Option<i64>]| {
            let one = |answer: &'static Option<i64>| async move {
                match answer {
                    Some(time) => *time,
                    None => std::future::pending().await,
                }
            };
            hear(answers.iter().map(one), answers.len() + 1)
        };
        let (hour, began) = (3600 * 1_000_000_000, tokio::time::Instant::now());
        assert_eq!(heard(&[]).await, [0; 0]);
        assert_eq!(heard(&[None, Some(7)]).await, [7]);
        assert_eq!(heard(&[Some(7), None, Some(8), None]).await.len(), 2);
        assert_eq!(
            heard(&[Some(3_600_000_000_000), Some(3_600_000_000_000)]).await,
            [hour; 2],
            "both differ from here"
        );
        assert_eq!(began.elapsed(), Duration::ZERO);
        assert_eq!(heard(&[None, None, Some(7), None]).await, [7]);
        assert_eq!(began.elapsed(), PATIENCE);
    }
}

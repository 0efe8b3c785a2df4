//! The clock of a shard: proposes a Tick when the first row of its deadline table is due.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::Arc;
use std::time::Duration;

use statemachine::op::{answer, op, Op, Tick};
use statemachine::tables::DeadlineKey;
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::cluster::Router;

/// Rows fired by one Tick; more make the next entry wait.
const TICK_MAX: u32 = 256;
/// The wall clock may jump: nothing sleeps longer without a look at it.
const SLEEP_MAX: Duration = Duration::from_secs(5);
/// After a Tick that was not committed, or a table that could not be read.
const PAUSE: Duration = Duration::from_millis(20);

/// The earliest due time known, lowered from apply threads.
#[derive(Debug)]
pub(super) struct Alarm {
    earliest: AtomicI64,
    lowered: Notify,
}

impl Default for Alarm {
    fn default() -> Self {
        Self { earliest: AtomicI64::new(i64::MAX), lowered: Notify::new() }
    }
}

impl Alarm {
    pub(super) fn set(&self, due: i64) {
        if self.earliest.fetch_min(due, Ordering::AcqRel) > due {
            self.lowered.notify_one();
        }
    }

    /// Forgets what is set; before the table is read, so that nothing set meanwhile is lost.
    fn clear(&self) {
        self.earliest.store(i64::MAX, Ordering::Release);
    }

    /// Returns when something is due.
    async fn wait(&self, now: impl Fn() -> i64) {
        loop {
            let left = self.earliest.load(Ordering::Acquire).saturating_sub(now());
            if left <= 0 {
                return;
            }
            let pause = Duration::from_nanos(left.unsigned_abs()).min(SLEEP_MAX);
            tokio::select! {
                () = self.lowered.notified() => {}
                () = sleep(pause) => {}
            }
        }
    }
}

/// Runs while this node leads the shard.
pub(super) async fn keep_deadlines(shard: u32, router: Arc<Router>, alarm: Arc<Alarm>) {
    loop {
        alarm.clear();
        let Some(rows) = router.local(shard) else { return };
        match DeadlineKey::first(&rows) {
            Ok(Some(first)) if first.due <= router.time(shard) => {
                drop(rows);
                tick(shard, &router).await;
                continue; // What is left in the table has not been looked at.
            }
            Ok(Some(first)) => alarm.set(first.due),
            Ok(None) => {}
            Err(fault) => {
                tracing::error!(shard, %fault, "the deadlines cannot be read");
                sleep(PAUSE).await;
                continue;
            }
        }
        drop(rows);
        alarm.wait(|| router.time(shard)).await;
    }
}

/// Fires what is due, a bounded number of rows at a time.
async fn tick(shard: u32, router: &Router) {
    loop {
        let op = Op { kind: Some(op::Kind::Tick(Tick { max: TICK_MAX })) };
        match router.propose_locally(shard, op).await.map(|committed| committed.answer.kind) {
            Ok(Some(answer::Kind::Tick(fired))) if fired.more => {}
            Ok(Some(answer::Kind::Tick(fired))) if fired.fired > 0 => return,
            // The clock went back, or another leader was faster: no reason to hurry.
            Ok(_) => return sleep(PAUSE).await,
            Err(error) => {
                tracing::debug!(shard, %error, "a tick was not committed");
                sleep(PAUSE).await;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::now;

    #[tokio::test]
    async fn an_earlier_deadline_shortens_the_wait() {
        let alarm = Arc::new(Alarm::default());
        alarm.set(now() + 3_600_000_000_000);
        let waiting = tokio::spawn({
            let alarm = alarm.clone();
            async move { alarm.wait(now).await }
        });
        tokio::task::yield_now().await;
        let due = now() + 20_000_000;
        alarm.set(due);
        waiting.await.expect("the wait ends");
        assert!(now() >= due, "never early");
    }

    #[test]
    fn only_an_earlier_deadline_counts() {
        let alarm = Alarm::default();
        alarm.set(5);
        alarm.set(7);
        assert_eq!(alarm.earliest.load(Ordering::Acquire), 5);
        alarm.clear();
        alarm.set(7);
        assert_eq!(alarm.earliest.load(Ordering::Acquire), 7);
    }
}

//! How much one node takes: requests per second, of all and of each namespace, and long polls that wait at a time
//! (SEMANTICS B28). A limit of 0 is none. What is refused may come again a little later.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use proto::temporal::api::enums::v1::{ResourceExhaustedCause as Cause, ResourceExhaustedScope as Scope};
use proto::temporal::api::errordetails::v1::ResourceExhaustedFailure;
use statemachine::reject::code;
use statemachine::Reject;
use tokio::time::Instant;

use crate::config::Frontend;

/// Namespaces remembered at a time; at the limit all begin anew.
const NAMESPACES_MAX: usize = 10_000;

/// What waits long, counted apart (Temporal: frontend/configs/quotas.go, ExecutionAPICountLimitOverride).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LongPoll {
    WorkflowTasks,
    ActivityTasks,
    History,
    Query,
    Update,
    UpdatePoll,
    MultiOperation,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Any,
    Visibility,
}

pub struct Quotas {
    host: Option<Mutex<Bucket>>,
    namespaces: Mutex<HashMap<(String, Kind), Bucket>>,
    polls: Mutex<HashMap<(String, LongPoll), Arc<AtomicU32>>>,
    namespace_rate: u32,
    namespace_burst: u32,
    visibility_rate: u32,
    polls_max: u32,
}

impl Quotas {
    pub fn new(limits: &Frontend) -> Self {
        let host = limits.requests_per_second;
        let burst = limits.namespace_burst_ratio.max(1);
        Self {
            host: (host > 0).then(|| Mutex::new(Bucket::new(host, host, Instant::now()))),
            namespaces: Mutex::default(),
            polls: Mutex::default(),
            namespace_rate: limits.namespace_requests_per_second,
            namespace_burst: limits.namespace_requests_per_second.saturating_mul(burst),
            visibility_rate: limits.namespace_visibility_requests_per_second,
            polls_max: limits.namespace_long_polls,
        }
    }

    /// One more request of a namespace.
    pub fn admit(&self, namespace_id: &str, now: Instant) -> Result<(), Reject> {
        if !self.take(namespace_id, Kind::Any, self.namespace_rate, self.namespace_burst, now) {
            return Err(refused(Cause::RpsLimit, Scope::Namespace, "namespace rate limit exceeded"));
        }
        match &self.host {
            Some(host) if !host.lock().expect("no panic while held").take(now) => {
                Err(refused(Cause::RpsLimit, Scope::System, "service rate limit exceeded"))
            }
            _ => Ok(()),
        }
    }

    /// One more list or count of a namespace.
    pub fn admit_visibility(&self, namespace_id: &str, now: Instant) -> Result<(), Reject> {
        if !self.take(namespace_id, Kind::Visibility, self.visibility_rate, self.visibility_rate, now) {
            return Err(refused(Cause::RpsLimit, Scope::Namespace, "namespace rate limit exceeded"));
        }
        Ok(())
    }

    /// One more long poll of a namespace, for as long as what is returned lives.
    pub fn enter(&self, namespace_id: &str, kind: LongPoll) -> Result<Entered, Reject> {
        let count = self.count(namespace_id, kind);
        let entered = Entered(count);
        let waiting = entered.0.fetch_add(1, Ordering::Relaxed) + 1;
        if self.polls_max > 0 && waiting > self.polls_max {
            let text = "namespace concurrent poller limit exceeded";
            return Err(refused(Cause::ConcurrentLimit, Scope::Namespace, text));
        }
        Ok(entered)
    }

    fn count(&self, namespace_id: &str, kind: LongPoll) -> Arc<AtomicU32> {
        let mut polls = self.polls.lock().expect("no panic while held");
        if polls.len() >= NAMESPACES_MAX {
            polls.retain(|_, count| Arc::strong_count(count) > 1);
        }
        polls.entry((namespace_id.to_owned(), kind)).or_default().clone()
    }

    fn take(&self, namespace_id: &str, kind: Kind, rate: u32, burst: u32, now: Instant) -> bool {
        if rate == 0 {
            return true;
        }
        let mut buckets = self.namespaces.lock().expect("no panic while held");
        if buckets.len() >= NAMESPACES_MAX {
            buckets.clear();
        }
        let bucket = buckets.entry((namespace_id.to_owned(), kind)).or_insert_with(|| Bucket::new(rate, burst, now));
        bucket.take(now)
    }
}

fn refused(cause: Cause, scope: Scope, message: &str) -> Reject {
    let detail = ResourceExhaustedFailure { cause: cause as i32, scope: scope as i32 };
    Reject::with_detail(code::RESOURCE_EXHAUSTED, message, &detail)
}

/// A long poll that waits.
pub struct Entered(Arc<AtomicU32>);

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Fills up with time and gives one for each request.
struct Bucket {
    rate: f64,
    burst: f64,
    filled: f64,
    at: Instant,
}

impl Bucket {
    fn new(rate: u32, burst: u32, now: Instant) -> Self {
        Self { rate: rate.into(), burst: burst.into(), filled: burst.into(), at: now }
    }

    fn take(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.filled = (self.filled + passed * self.rate).min(self.burst);
        self.at = now;
        let given = self.filled >= 1.0;
        if given {
            self.filled -= 1.0;
        }
        given
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn quotas(change: impl FnOnce(&mut Frontend)) -> Quotas {
        let mut limits = Frontend::default();
        change(&mut limits);
        Quotas::new(&limits)
    }

    #[test]
    fn by_default_requests_are_not_counted() {
        let (quotas, now) = (quotas(|_| ()), Instant::now());
        assert!((0..100_000).all(|_| quotas.admit("a", now).is_ok() && quotas.admit_visibility("a", now).is_ok()));
    }

    #[test]
    fn a_namespace_has_a_burst_and_then_its_rate() {
        let quotas = quotas(|limits| limits.namespace_requests_per_second = 10);
        let now = Instant::now();
        assert_eq!((0..100).filter(|_| quotas.admit("a", now).is_ok()).count(), 20);
        let refused = quotas.admit("a", now).expect_err("over the rate");
        assert_eq!((refused.code(), refused.message()), (code::RESOURCE_EXHAUSTED, "namespace rate limit exceeded"));
        assert!(quotas.admit("b", now).is_ok());
        let later = now + Duration::from_millis(500);
        assert_eq!((0..100).filter(|_| quotas.admit("a", later).is_ok()).count(), 5);
    }

    #[test]
    fn the_node_as_a_whole_has_a_rate() {
        let quotas = quotas(|limits| limits.requests_per_second = 3);
        let now = Instant::now();
        let taken = ["a", "b", "c", "d"].map(|namespace| quotas.admit(namespace, now).is_ok());
        assert_eq!(taken, [true, true, true, false]);
    }

    #[test]
    fn long_polls_are_counted_while_they_wait() {
        let quotas = quotas(|limits| limits.namespace_long_polls = 2);
        let one = quotas.enter("a", LongPoll::History).expect("room");
        let _two = quotas.enter("a", LongPoll::History).expect("room");
        assert!(quotas.enter("a", LongPoll::History).is_err());
        assert!(quotas.enter("a", LongPoll::Query).is_ok() && quotas.enter("b", LongPoll::History).is_ok());
        drop(one);
        assert!(quotas.enter("a", LongPoll::History).is_ok());
    }
}

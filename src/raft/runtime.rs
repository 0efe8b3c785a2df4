//! openraft's runtime: tokio's, except that the ticks of all groups fall together.
//!
//! openraft gives each group's ticks a phase of its own, so that hundreds of groups spread their work. This server has a
//! few groups and rests most of the time, and then what a tick costs is waking up (docs/adr/0002-idle-cost.md).

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::OnceLock;
use std::time::Duration;

use openraft::{AsyncRuntime, Instant, OptionalSend};
use openraft_rt_tokio::{TokioInstant, TokioMpsc, TokioMutex, TokioOneshot, TokioRuntime, TokioWatch};

/// openraft waits until an instant for ticks, and for a microsecond while it gathers completions: those stay as they are.
const SHORT: Duration = Duration::from_micros(50);

/// Time between two ticks, µs; the shortest of this process. 0: not set.
static PERIOD: AtomicU64 = AtomicU64::new(0);
static EPOCH: OnceLock<TokioInstant> = OnceLock::new();

/// Tells how often a group's heartbeats make openraft tick (its `Config::tick_interval`).
pub(super) fn ticks_every(period: Duration) {
    let period = (period.as_micros() as u64).max(1);
    let shortest = |known: u64| Some(if known == 0 { period } else { known.min(period) });
    PERIOD.fetch_update(Ordering::Relaxed, Ordering::Relaxed, shortest).ok();
}

/// The next moment at which all groups tick.
fn aligned(at: TokioInstant, now: TokioInstant, epoch: TokioInstant, period: u64) -> TokioInstant {
    if period == 0 || at.saturating_duration_since(now) < SHORT {
        return at;
    }
    let since = at.saturating_duration_since(epoch).as_micros() as u64;
    epoch + Duration::from_micros(since.div_ceil(period) * period)
}

#[derive(Debug)]
pub struct Runtime(TokioRuntime);

impl AsyncRuntime for Runtime {
    type JoinError = <TokioRuntime as AsyncRuntime>::JoinError;
    type JoinHandle<T: OptionalSend + 'static> = <TokioRuntime as AsyncRuntime>::JoinHandle<T>;
    type Sleep = <TokioRuntime as AsyncRuntime>::Sleep;
    type Instant = TokioInstant;
    type TimeoutError = <TokioRuntime as AsyncRuntime>::TimeoutError;
    type Timeout<R, T: Future<Output = R> + OptionalSend> = <TokioRuntime as AsyncRuntime>::Timeout<R, T>;
    type ThreadLocalRng = <TokioRuntime as AsyncRuntime>::ThreadLocalRng;
    type Mpsc = TokioMpsc;
    type Watch = TokioWatch;
    type Oneshot = TokioOneshot;
    type Mutex<T: OptionalSend + 'static> = TokioMutex<T>;

    fn spawn<T>(future: T) -> Self::JoinHandle<T::Output>
    where
        T: Future + OptionalSend + 'static,
        T::Output: OptionalSend + 'static,
    {
        TokioRuntime::spawn(future)
    }

    fn sleep(duration: Duration) -> Self::Sleep {
        TokioRuntime::sleep(duration)
    }

    fn sleep_until(deadline: Self::Instant) -> Self::Sleep {
        let epoch = *EPOCH.get_or_init(TokioInstant::now);
        TokioRuntime::sleep_until(aligned(deadline, TokioInstant::now(), epoch, PERIOD.load(Ordering::Relaxed)))
    }

    fn timeout<R, F: Future<Output = R> + OptionalSend>(duration: Duration, future: F) -> Self::Timeout<R, F> {
        TokioRuntime::timeout(duration, future)
    }

    fn timeout_at<R, F: Future<Output = R> + OptionalSend>(deadline: Self::Instant, future: F) -> Self::Timeout<R, F> {
        TokioRuntime::timeout_at(deadline, future)
    }

    fn is_panic(join_error: &Self::JoinError) -> bool {
        TokioRuntime::is_panic(join_error)
    }

    fn thread_rng() -> Self::ThreadLocalRng {
        TokioRuntime::thread_rng()
    }

    fn new(threads: usize) -> Self {
        Self(TokioRuntime::new(threads))
    }

    fn block_on<F, T>(&mut self, future: F) -> T
    where
        F: Future<Output = T>,
    {
        self.0.block_on(future)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tick is late by less than a period, and two of a group never fall together.
    #[test]
    fn ticks_of_all_phases_fall_on_one_grid() {
        let epoch = TokioInstant::now();
        let period = Duration::from_millis(36);
        for phase in [1_000, 7_700, 20_000, 35_999] {
            let first = epoch + period * 20 + Duration::from_micros(phase);
            for number in 0..50 {
                let at = first + period * number;
                let tick = aligned(at, at - Duration::from_millis(1), epoch, 36_000);
                assert_eq!(tick, epoch + period * (21 + number));
                assert!(tick - at < period);
            }
        }
    }

    #[test]
    fn a_microsecond_stays_a_microsecond() {
        let now = TokioInstant::now();
        let soon = now + Duration::from_micros(1);
        assert_eq!(aligned(soon, now, now - Duration::from_secs(1), 36_000), soon);
    }
}

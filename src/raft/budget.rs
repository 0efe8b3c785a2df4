//! How much of a stream may be under way here: bytes that were taken from the sender and are not answered. A disk that is
//! slower than the network makes the sender wait, not this node's memory grow.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

const BYTES_MAX: u32 = 16 << 20;

/// The side that takes requests.
#[derive(Clone)]
pub struct Budget(Arc<Shared>);

/// The side that answers them, in their order. With it goes the stream.
pub struct Answers(Arc<Shared>);

struct Shared {
    free: Arc<Semaphore>,
    taken: Mutex<VecDeque<OwnedSemaphorePermit>>,
}

pub fn budget() -> (Budget, Answers) {
    let free = Arc::new(Semaphore::new(BYTES_MAX as usize));
    let shared = Arc::new(Shared { free, taken: Mutex::default() });
    (Budget(shared.clone()), Answers(shared))
}

impl Budget {
    /// Waits until there is room. A request of more than all there is waits until it is alone. `false`: nobody answers any more.
    pub async fn take(&self, bytes: usize) -> bool {
        let bytes = u32::try_from(bytes).unwrap_or(BYTES_MAX).min(BYTES_MAX);
        match self.0.free.clone().acquire_many_owned(bytes).await {
            Ok(permit) => {
                self.0.lock().push_back(permit);
                true
            }
            Err(_) => false,
        }
    }
}

impl Answers {
    /// The oldest request that was taken is answered.
    pub fn answered(&self) {
        let oldest = self.0.lock().pop_front();
        drop(oldest);
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        self.0.free.close();
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<OwnedSemaphorePermit>> {
        self.taken.lock().expect("nothing panics while holding what is taken")
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn what_is_answered_makes_room() {
        let (budget, answers) = budget();
        let half = BYTES_MAX as usize / 2;
        for _ in 0..2 {
            assert_eq!(budget.take(half).now_or_never(), Some(true));
        }
        assert_eq!(budget.take(1).now_or_never(), None);
        answers.answered();
        assert_eq!(budget.take(half).now_or_never(), Some(true));
        assert_eq!(budget.take(1).now_or_never(), None);
        answers.answered();
        answers.answered();
        assert_eq!(budget.take(usize::MAX).now_or_never(), Some(true), "alone");
        assert_eq!(budget.take(1).now_or_never(), None);
    }

    #[test]
    fn nobody_waits_for_answers_that_never_come() {
        let (budget, answers) = budget();
        assert_eq!(budget.take(usize::MAX).now_or_never(), Some(true));
        let mut waiting = Box::pin(budget.take(1));
        assert_eq!(waiting.as_mut().now_or_never(), None);
        drop(answers);
        assert_eq!(waiting.now_or_never(), Some(false));
    }
}

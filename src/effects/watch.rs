//! Watchers of runs: long polls of histories and results sleep here until a run changes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// Runs watched on one node; further watches wake by time alone.
const WATCHED_MAX: usize = 200_000;
/// A watch wakes at least so often, because an Effect may be lost.
const LOOK: Duration = Duration::from_secs(5);
const LOOK_UNREGISTERED: Duration = Duration::from_secs(1);

/// How far a run has come, as far as this node's replica has applied. Zero until something happens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    pub next_event_id: i64,
    pub closed: bool,
}

/// All watches of this node.
#[derive(Default)]
pub struct Watchers {
    runs: Mutex<HashMap<String, Watched>>,
}

struct Watched {
    progress: watch::Sender<Progress>,
    watches: usize,
}

impl Watchers {
    /// Watches a run from now on: read the run after this call, so that nothing falls in between.
    pub fn watch(self: &Arc<Self>, run_id: &str) -> Watch {
        let mut runs = self.runs.lock().expect("no panic while held");
        if !runs.contains_key(run_id) && runs.len() >= WATCHED_MAX {
            return Watch { registered: None };
        }
        let watched = runs
            .entry(run_id.to_owned())
            .or_insert_with(|| Watched { progress: watch::Sender::new(Progress::default()), watches: 0 });
        watched.watches += 1;
        let progress = watched.progress.subscribe();
        Watch { registered: Some(Registered { progress, watchers: self.clone(), run_id: run_id.to_owned() }) }
    }

    pub(super) fn changed(&self, run_id: &str, progress: Progress) {
        if let Some(watched) = self.runs.lock().expect("no panic while held").get(run_id) {
            watched.progress.send_replace(progress);
        }
    }

    /// Every watch looks again: the replica jumped over entries whose Effects nobody saw.
    pub(super) fn wake_all(&self) {
        for watched in self.runs.lock().expect("no panic while held").values() {
            watched.progress.send_modify(|_| {});
        }
    }
}

/// One watch; dropping it ends it.
pub struct Watch {
    registered: Option<Registered>,
}

struct Registered {
    progress: watch::Receiver<Progress>,
    watchers: Arc<Watchers>,
    run_id: String,
}

impl Watch {
    pub fn progress(&self) -> Progress {
        self.registered.as_ref().map(|registered| *registered.progress.borrow()).unwrap_or_default()
    }

    /// Returns when the run has changed since the last call, and now and then without reason: look again in a loop.
    pub async fn changed(&mut self) {
        match &mut self.registered {
            // Neither the time nor a sender that is gone tells the caller anything else than to look.
            Some(registered) => drop(timeout(LOOK, registered.progress.changed()).await),
            None => sleep(LOOK_UNREGISTERED).await,
        }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut runs = self.watchers.runs.lock().expect("no panic while held");
        if let Some(watched) = runs.get_mut(&self.run_id) {
            watched.watches -= 1;
            if watched.watches == 0 {
                runs.remove(&self.run_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_watch_wakes_on_its_run_and_leaves_nothing_behind() {
        let watchers = Arc::new(Watchers::default());
        let (mut one, mut two) = (watchers.watch("run"), watchers.watch("run"));
        let progress = Progress { next_event_id: 4, closed: false };
        watchers.changed("other", Progress::default());
        watchers.changed("run", progress);
        one.changed().await;
        two.changed().await;
        assert_eq!((one.progress(), two.progress()), (progress, progress));
        drop((one, two));
        assert!(watchers.runs.lock().expect("not poisoned").is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_between_watch_and_wait_is_not_missed() {
        let watchers = Arc::new(Watchers::default());
        let mut watch = watchers.watch("run");
        watchers.changed("run", Progress { next_event_id: 9, closed: true });
        let before = tokio::time::Instant::now();
        watch.changed().await;
        assert_eq!(tokio::time::Instant::now(), before);
        watch.changed().await;
        assert_eq!(tokio::time::Instant::now(), before + LOOK);
    }
}

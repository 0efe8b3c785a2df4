//! The one way out when going on could lose or invent data.

use std::sync::atomic::{AtomicBool, Ordering};

/// Exit code of a node that stopped itself over its storage.
pub const EXIT_CODE: i32 = 70;

static STOPPING: AtomicBool = AtomicBool::new(false);

/// Stops the process at once: one ERROR line, no clean-up that could make a half-done write look done.
pub fn stop(what: &str, why: impl std::fmt::Display) -> ! {
    if STOPPING.swap(true, Ordering::SeqCst) {
        // A disk that fails fails everybody; the first says so, and nobody goes on.
        loop {
            std::thread::park();
        }
    }
    tracing::error!(what, %why, "storage failed; this node stops without acknowledging");
    std::process::exit(EXIT_CODE)
}

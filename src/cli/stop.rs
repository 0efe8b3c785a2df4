//! When to stop: SIGTERM, SIGINT, or the end of standard input for a node whose supervisor may die.

use anyhow::Context;
use tokio::signal::unix::{signal, SignalKind};
use tokio_util::sync::CancellationToken;

/// Cancelled by the first signal. The second ends the process at once.
pub(super) fn on_signals() -> anyhow::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate()).context("cannot watch for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot watch for SIGINT")?;
    let token = stop.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if token.is_cancelled() {
                eprintln!("everstep: asked to stop twice, stopping at once");
                std::process::exit(130);
            }
            token.cancel();
        }
    });
    Ok(stop)
}

/// Also cancels `stop` when standard input ends. On a thread of its own: reading it would keep the runtime from ending.
pub(super) fn on_stdin_eof(stop: &CancellationToken) {
    let stop = stop.clone();
    std::thread::spawn(move || {
        if std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink()).is_err() {
            tracing::debug!("standard input cannot be read");
        }
        stop.cancel();
    });
}

//! One node's process: started, signalled, and told apart from one that ended by itself.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{ensure, Context};
use tokio::process::{Child, Command};

use super::Stuck;

/// A drain takes as long as the balancer needs to hand over; more than this is a hang.
const TERMINATE: Duration = Duration::from_secs(30);

pub struct Process {
    child: Option<Child>,
}

impl Process {
    pub fn new() -> Self {
        Self { child: None }
    }

    pub fn start(&mut self, command: &mut Command, folder: &Path) -> anyhow::Result<()> {
        ensure!(!self.is_running(), "it runs already");
        let log = fs_err::OpenOptions::new().create(true).append(true).open(folder.join("log"))?;
        let (log, _) = log.into_parts();
        command.stdout(Stdio::from(log.try_clone()?)).stderr(Stdio::from(log));
        self.child = Some(command.spawn().context("it does not start")?);
        Ok(())
    }

    pub fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// How it ended, if it ended without being asked to; told once.
    pub fn unexpected_end(&mut self) -> Option<String> {
        let status = self.child.as_mut()?.try_wait().ok()??;
        self.child = None;
        Some(status.to_string())
    }

    pub async fn signal(&mut self, name: &str) -> anyhow::Result<()> {
        let pid = self.child.as_ref().and_then(Child::id).context("it does not run")?;
        let sent = Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).status().await?;
        ensure!(sent.success(), "kill -{name} {pid} failed");
        Ok(())
    }

    pub async fn kill(&mut self) -> anyhow::Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        child.kill().await.context("kill")
    }

    pub async fn terminate(&mut self) -> anyhow::Result<()> {
        if !self.is_running() {
            return Ok(());
        }
        self.signal("TERM").await?;
        let Some(mut child) = self.child.take() else { return Ok(()) };
        // `wait` would close its standard input, which asks it to stop a second time: at once.
        let _open = child.stdin.take();
        match tokio::time::timeout(TERMINATE, child.wait()).await {
            Ok(ended) => {
                let ended = ended?;
                ensure!(ended.success(), Stuck(format!("after SIGTERM it ended with {ended}")));
                Ok(())
            }
            Err(_) => {
                child.kill().await?;
                Err(Stuck(format!("it did not end within {TERMINATE:?} after SIGTERM")).into())
            }
        }
    }
}

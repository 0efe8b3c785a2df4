//! One more node of a cluster that `everstep dev` runs, as a process of the test's own, and the command line.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use everstep::config::Config;

use super::dev::{self, Cluster};

pub struct Process {
    pub id: u64,
    pub api: SocketAddr,
    config: PathBuf,
    data: PathBuf,
    child: Child,
}

impl Process {
    /// Starts a node that joins.
    pub fn join(cluster: &Cluster, id: u64) -> Self {
        let mut config = Config::parse(&cluster.configuration(1)).expect("the supervisor's own");
        config.node_id = id;
        config.data_dir = cluster.directory().join(format!("node-{id}-data"));
        config.advertise = None;
        config.join = cluster.peers().iter().map(ToString::to_string).collect();
        config.peers.clear();
        let loopback = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        config.listen.api = loopback(dev::free_port());
        config.listen.peer = loopback(dev::free_port());
        (config.listen.web, config.listen.http, config.listen.metrics) = (None, None, None);
        let path = cluster.directory().join(format!("node-{id}.toml"));
        fs_err::write(&path, config.to_toml().expect("it can be written")).expect("written");
        let child = spawn(&path, &[]);
        Self { id, api: config.listen.api, config: path, data: config.data_dir, child }
    }

    pub fn kill(&mut self) {
        dev::kill(self.child.id());
        self.child.wait().expect("it was ours");
    }

    pub fn restart(&mut self, environment: &[(&str, &str)]) {
        self.child = spawn(&self.config, environment);
    }

    pub fn ended(&mut self) -> bool {
        self.child.try_wait().expect("it is ours").is_some()
    }

    /// Its exit code, once it has ended; `None` if it runs on.
    pub async fn wait(&mut self, patience: Duration) -> Option<Option<i32>> {
        let end = Instant::now() + patience;
        loop {
            if let Some(status) = self.child.try_wait().expect("it is ours") {
                return Some(status.code());
            }
            if Instant::now() > end {
                return None;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub fn data(&self) -> &Path {
        &self.data
    }

    pub fn log(&self) -> String {
        fs_err::read_to_string(self.config.with_extension("log")).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _gone_already = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn spawn(config: &Path, environment: &[(&str, &str)]) -> Child {
    let log = fs_err::File::options().create(true).append(true).open(config.with_extension("log"));
    Command::new(env!("CARGO_BIN_EXE_everstep"))
        .args(["server", "--config"])
        .arg(config)
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log.expect("a log file").into_parts().0)
        .spawn()
        .expect("the server was built for this test")
}

/// What `everstep cluster` printed; it must succeed.
pub fn everstep(arguments: &[&str], cluster: &Cluster) -> String {
    let peers: Vec<String> = cluster.peers().iter().map(ToString::to_string).collect();
    let output = Command::new(env!("CARGO_BIN_EXE_everstep"))
        .args(["cluster"])
        .args(arguments)
        .args(["--address", &peers.join(",")])
        .output()
        .expect("the command runs");
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("$ everstep cluster {}\n{text}", arguments.join(" "));
    assert!(output.status.success(), "{text}\n{}", cluster.last_log_lines());
    text
}

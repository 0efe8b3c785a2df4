//! What the servers' processes used, as /proc tells.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;

use super::options::Options;

/// Of /proc/PID/stat: one hundred a second on every Linux there is.
const TICKS_PER_SECOND: f64 = 100.0;
const PAGE: u64 = 4096;
const SCRAPE_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, Default)]
pub(super) struct Usage {
    pub(super) cpu: Duration,
    /// Now, not a difference.
    pub(super) memory_bytes: u64,
    pub(super) written_bytes: u64,
    pub(super) disk_bytes: u64,
    /// Of the log.
    pub(super) fsyncs: u64,
    known: bool,
    disk_known: bool,
    fsyncs_known: bool,
}

impl Usage {
    pub(super) fn of(options: &Options) -> anyhow::Result<Self> {
        let mut usage = Self {
            known: !options.pid.is_empty(),
            disk_known: !options.data_dir.is_empty(),
            fsyncs_known: !options.metrics.is_empty(),
            ..Self::default()
        };
        for pid in &options.pid {
            usage.add(*pid).with_context(|| format!("--pid {pid}"))?;
        }
        for directory in &options.data_dir {
            usage.disk_bytes += size(directory);
        }
        for address in &options.metrics {
            usage.fsyncs += fsyncs(address).with_context(|| format!("--metrics {address}"))?;
        }
        Ok(usage)
    }

    fn add(&mut self, pid: u32) -> anyhow::Result<()> {
        self.cpu += cpu(pid)?;
        let statm = fs_err::read_to_string(format!("/proc/{pid}/statm"))?;
        let pages: u64 = statm.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).unwrap_or_default();
        self.memory_bytes += pages * PAGE;
        // Readable for the same user only.
        let io = fs_err::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
        let written = io.lines().find_map(|line| line.strip_prefix("write_bytes: ")?.parse::<u64>().ok());
        self.written_bytes += written.unwrap_or_default();
        Ok(())
    }

    pub(super) fn since(&self, before: &Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(before.cpu),
            memory_bytes: self.memory_bytes,
            written_bytes: self.written_bytes.saturating_sub(before.written_bytes),
            disk_bytes: self.disk_bytes.saturating_sub(before.disk_bytes),
            fsyncs: self.fsyncs.saturating_sub(before.fsyncs),
            known: self.known,
            fsyncs_known: self.fsyncs_known,
            disk_known: self.disk_known,
        }
    }

    pub(super) fn is_known(&self) -> bool {
        self.known
    }

    pub(super) fn fsyncs_are_known(&self) -> bool {
        self.fsyncs_known
    }

    pub(super) fn disk_is_known(&self) -> bool {
        self.disk_known
    }
}

/// Of all its threads since it began.
pub(super) fn cpu(pid: u32) -> anyhow::Result<Duration> {
    let stat = fs_err::read_to_string(format!("/proc/{pid}/stat"))?;
    let after_name = stat.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks: u64 = [11, 12].iter().filter_map(|&at| fields.get(at)?.parse::<u64>().ok()).sum();
    Ok(Duration::from_secs_f64(ticks as f64 / TICKS_PER_SECOND))
}

/// As many as the histogram of their durations has counted.
fn fsyncs(address: &str) -> anyhow::Result<u64> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(SCRAPE_TIMEOUT))?;
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(fsyncs_in(&answer))
}

fn fsyncs_in(metrics: &str) -> u64 {
    let counts =
        metrics.lines().filter_map(|line| line.strip_prefix("everstep_raft_log_sync_seconds")?.strip_prefix("_count"));
    counts.filter_map(|line| line.rsplit(' ').next()?.trim().parse::<u64>().ok()).sum()
}

/// Files come and go while a server runs: what cannot be read counts nothing.
fn size(directory: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let Ok(entries) = fs_err::read_dir(directory) else { return 0 };
    let size_of = |entry: fs_err::DirEntry| match entry.metadata() {
        Ok(data) if data.is_dir() => size(&entry.path()),
        Ok(data) => data.blocks() * 512,
        Err(_) => 0,
    };
    entries.flatten().map(size_of).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fsyncs_are_counted_by_their_histogram() {
        let text = "# TYPE everstep_raft_log_sync_seconds histogram\neverstep_raft_log_sync_seconds_sum 0.2\n\
                    everstep_raft_log_sync_seconds_count 41\nother_count 5\n";
        assert_eq!(fsyncs_in(text), 41);
    }
}

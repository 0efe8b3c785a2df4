//! What the operating system knows about this process, from `/proc`. Where there is none, the metrics are absent.

use std::time::{SystemTime, UNIX_EPOCH};

pub(super) fn started() {
    metrics::counter!("restarts").absolute(1);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    metrics::gauge!("process_start_time_seconds").set(now.as_secs_f64());
}

pub(super) fn measure() {
    if let Ok(status) = fs_err::read_to_string("/proc/self/status") {
        if let Some(kibibytes) = field(&status, "VmRSS:") {
            metrics::gauge!("process_resident_memory_bytes").set(kibibytes * 1024.0);
        }
        if let Some(threads) = field(&status, "Threads:") {
            metrics::gauge!("process_threads").set(threads);
        }
    }
    if let Ok(entries) = fs_err::read_dir("/proc/self/fd") {
        metrics::gauge!("process_open_fds").set(entries.count() as f64);
    }
    if let Some(seconds) = fs_err::read_to_string("/proc/self/stat").ok().and_then(|stat| cpu_seconds(&stat)) {
        metrics::gauge!("process_cpu_seconds").set(seconds);
    }
}

fn field(status: &str, name: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Fields 14 and 15 (user and system time) in clock ticks; Linux shows 100 a second to programs.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let after_name = stat.rsplit_once(") ")?.1;
    let mut fields = after_name.split(' ').skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_proc() {
        assert_eq!(field("Name:\tx\nVmRSS:\t  2048 kB\n", "VmRSS:"), Some(2048.0));
        let stat = "7 (a ) b) S 1 1 1 0 -1 4194304 1 0 0 0 250 50 0 0 20 0 1 0 100 1 1";
        assert_eq!(cpu_seconds(stat), Some(3.0));
    }
}

//! Mistakes that each value alone does not show. One line each, the key first.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::ensure;

use super::{Config, Raft};

pub(super) fn check(config: &Config) -> anyhow::Result<()> {
    ensure!(!config.cluster_id.is_empty(), "cluster_id: must not be empty");
    ensure!(config.node_id >= 1, "node_id: must be 1 or more");
    ensure!(!config.data_dir.as_os_str().is_empty(), "data_dir: must not be empty");
    ensure!((1..=1024).contains(&config.data_shards), "data_shards: must be between 1 and 1024");
    check_listen(config)?;
    check_peers(config)?;
    check_raft(&config.raft)?;
    check_limits(config)?;
    check_bootstrap(config)?;
    crate::telemetry::check_level(&config.log.level).map_err(|error| anyhow::anyhow!("log.level: {error}"))
}

fn check_listen(config: &Config) -> anyhow::Result<()> {
    let listen = &config.listen;
    let all = [
        ("listen.api", Some(listen.api)),
        ("listen.peer", Some(listen.peer)),
        ("listen.web", listen.web),
        ("listen.http", listen.http),
        ("listen.metrics", listen.metrics),
    ];
    let mut taken = BTreeSet::new();
    for (key, address) in all {
        let Some(address) = address.filter(|address| address.port() != 0) else { continue };
        ensure!(taken.insert(address), "{key}: {address} is used by another listener of this node");
    }
    if let Some(address) = &config.advertise {
        check_address("advertise", address)?;
    }
    let reachable = config.advertise.is_some() || !listen.peer.ip().is_unspecified() || !config.peers.is_empty();
    ensure!(reachable, "advertise: needed when listen.peer is {}: other nodes cannot connect to that", listen.peer);
    Ok(())
}

fn check_peers(config: &Config) -> anyhow::Result<()> {
    for address in &config.join {
        check_address("join", address)?;
    }
    let one_way = config.join.is_empty() || config.peers.is_empty();
    ensure!(one_way, "join: not together with peers: a node joins a cluster, or a new one is made of its peers");
    if config.peers.is_empty() {
        return Ok(());
    }
    let mut ids = BTreeSet::new();
    let mut addresses = BTreeSet::new();
    for peer in &config.peers {
        ensure!(peer.id >= 1, "peers: a node's id must be 1 or more");
        ensure!(ids.insert(peer.id), "peers: id {} is there twice", peer.id);
        check_address("peers", &peer.address)?;
        ensure!(addresses.insert(&peer.address), "peers: address {} is there twice", peer.address);
    }
    ensure!(ids.contains(&config.node_id), "peers: node_id {} is not in the list", config.node_id);
    Ok(())
}

fn check_address(key: &str, address: &str) -> anyhow::Result<()> {
    let parts = address.rsplit_once(':').filter(|(host, _)| !host.is_empty());
    let port = parts.and_then(|(_, port)| port.parse::<u16>().ok()).filter(|port| *port != 0);
    ensure!(port.is_some(), "{key}: `{address}` is not host:port");
    Ok(())
}

fn check_raft(raft: &Raft) -> anyhow::Result<()> {
    ensure!(raft.heartbeat >= Duration::from_millis(5), "raft.heartbeat: must be 5ms or more");
    // Heartbeats may be 1.37 of their interval apart (`raft::groups`), and openraft refuses a shorter timeout.
    ensure!(
        raft.election_min * 5 >= raft.heartbeat * 7,
        "raft.election_min: must be at least 1.4 times raft.heartbeat"
    );
    ensure!(raft.election_max > raft.election_min, "raft.election_max: must be more than raft.election_min");
    ensure!(raft.append_entries_max >= 1, "raft.append_entries_max: must be 1 or more");
    ensure!(raft.append_bytes_max >= 1, "raft.append_bytes_max: must be 1 or more");
    ensure!(raft.propose_timeout > raft.election_max, "raft.propose_timeout: must be more than raft.election_max");
    Ok(())
}

fn check_limits(config: &Config) -> anyhow::Result<()> {
    let (limits, frontend) = (&config.limits, &config.frontend);
    ensure!(limits.history_events >= 1, "limits.history_events: must be 1 or more");
    ensure!(limits.history_bytes >= 1, "limits.history_bytes: must be 1 or more");
    ensure!(frontend.list_page_max >= 1, "frontend.list_page_max: must be 1 or more");
    ensure!(frontend.history_page_max >= 1, "frontend.history_page_max: must be 1 or more");
    ensure!(frontend.poll_timeout >= Duration::from_secs(1), "frontend.poll_timeout: must be 1s or more");
    ensure!(frontend.namespace_pollers >= 1, "frontend.namespace_pollers: must be 1 or more");
    ensure!(frontend.namespace_queues >= 1, "frontend.namespace_queues: must be 1 or more");
    let callbacks = &config.callbacks;
    ensure!(callbacks.request_timeout >= Duration::from_millis(1), "callbacks.request_timeout: must be 1ms or more");
    ensure!(callbacks.concurrent >= 1, "callbacks.concurrent: must be 1 or more");
    ensure!(callbacks.concurrent_per_destination >= 1, "callbacks.concurrent_per_destination: must be 1 or more");
    ensure!(config.storage.cache_bytes >= 1 << 20, "storage.cache_bytes: must be 1048576 (1 MiB) or more");
    ensure!(
        config.storage.write_buffers_bytes >= 4 << 20,
        "storage.write_buffers_bytes: must be 4194304 (4 MiB) or more"
    );
    ensure!(config.storage.log_tail_bytes >= 1 << 20, "storage.log_tail_bytes: must be 1048576 (1 MiB) or more");
    Ok(())
}

fn check_bootstrap(config: &Config) -> anyhow::Result<()> {
    let mut names = BTreeSet::new();
    for seed in &config.bootstrap.namespaces {
        ensure!(!seed.name.is_empty(), "bootstrap.namespaces: a name must not be empty");
        ensure!(names.insert(&seed.name), "bootstrap.namespaces: `{}` is there twice", seed.name);
        let enough = seed.retention >= config.limits.retention_min;
        ensure!(enough, "bootstrap.namespaces: the retention of `{}` is below limits.retention_min", seed.name);
    }
    let unnamed = config.bootstrap.search_attributes.keys().any(String::is_empty);
    ensure!(!unnamed, "bootstrap.search_attributes: a name must not be empty");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mistake_is_named() {
        let cases = [
            ("node_id = 0", "node_id: must be 1 or more"),
            ("data_shards = 0", "data_shards: must be between 1 and 1024"),
            ("[listen]\nweb = \"127.0.0.1:7233\"", "listen.web: 127.0.0.1:7233 is used by another"),
            ("[listen]\npeer = \"0.0.0.0:7234\"", "advertise: needed when listen.peer is 0.0.0.0:7234"),
            ("advertise = \"here\"", "advertise: `here` is not host:port"),
            ("[[peers]]\nid = 2\naddress = \"b:1\"", "peers: node_id 1 is not in the list"),
            ("[[peers]]\nid = 1\naddress = \"b\"", "peers: `b` is not host:port"),
            ("join = [\"a\"]", "join: `a` is not host:port"),
            ("join = [\"a:1\"]\n[[peers]]\nid = 1\naddress = \"b:1\"", "join: not together with peers"),
            ("[raft]\nelection_max = \"100ms\"", "raft.election_max: must be more than"),
            ("[raft]\nheartbeat = \"200ms\"", "raft.election_min: must be at least 1.4 times raft.heartbeat"),
            ("[log]\nlevel = \"loud\"", "log.level: "),
            ("[callbacks]\nconcurrent = 0", "callbacks.concurrent: must be 1 or more"),
            ("[frontend]\nnamespace_pollers = 0", "frontend.namespace_pollers: must be 1 or more"),
            (
                "[[bootstrap.namespaces]]\nname = \"a\"\nretention = \"1m\"",
                "bootstrap.namespaces: the retention of `a`",
            ),
        ];
        for (text, expected) in cases {
            let message = Config::parse(text).expect(text).validate().expect_err(text).to_string();
            assert!(message.starts_with(expected), "{text:?} gave {message:?}");
        }
        Config::default().validate().expect("the defaults are valid");
    }
}

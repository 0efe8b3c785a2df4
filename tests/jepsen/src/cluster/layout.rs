//! Where nodes listen, how they reach each other, and how a node's process is started.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use anyhow::Context;
use rand::Rng;
use tokio::net::TcpListener;
use tokio::process::Command;

use super::Plan;
use crate::client::NAMESPACE;
use crate::net::links::Links;
use crate::net::netns::Namespaces;
use crate::net::proxy::Proxy;
use crate::net::Net;
use crate::workload::sdk::NAMESPACE as SDK;

/// Below the range that the system gives to outgoing connections.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
/// Moves a node's wall clock; compiled at the start of a run. libfaketime cannot be loaded into the server, whose allocator
/// reads the clock while it is set up.
const SHIM: &str = include_str!("../../clock/shim.c");
const CLOCK_FILE: &str = "clock";

pub struct Addresses {
    pub api: SocketAddr,
    pub peer: SocketAddr,
    pub for_clients: SocketAddr,
    /// How this node reaches each node, itself included.
    pub peers: BTreeMap<u64, SocketAddr>,
}

/// Every ordered pair, and the clients to each node, go through a proxy of their own.
pub async fn behind_proxies(ids: &[u64], links: &Arc<Links>) -> anyhow::Result<(BTreeMap<u64, Addresses>, Vec<Proxy>)> {
    let mut held = Vec::new();
    let mut ports = BTreeMap::new();
    for &id in ids {
        let (api, peer) = (listen().await?, listen().await?);
        ports.insert(id, (api.local_addr()?, peer.local_addr()?));
        held.push((api, peer));
    }
    let (mut proxies, mut all) = (Vec::new(), BTreeMap::new());
    for &from in ids {
        let (api, peer) = ports[&from];
        let mut peers = BTreeMap::from([(from, peer)]);
        for &to in ids.iter().filter(|&&to| to != from) {
            let proxy = Proxy::start(listen().await?, (from, to), ports[&to].1, links.clone()).await?;
            peers.insert(to, proxy.address);
            proxies.push(proxy);
        }
        let clients = Proxy::start(listen().await?, (0, from), api, links.clone()).await?;
        all.insert(from, Addresses { api, peer, for_clients: clients.address, peers });
        proxies.push(clients);
    }
    drop(held);
    Ok((all, proxies))
}

/// In namespaces every node has an address of its own and the usual ports.
pub fn in_namespaces(ids: &[u64], namespaces: &Namespaces) -> BTreeMap<u64, Addresses> {
    let at = |id, port| SocketAddr::new(namespaces.address(id), port);
    let peers: BTreeMap<u64, SocketAddr> = ids.iter().map(|&id| (id, at(id, 7234))).collect();
    let one = |&id: &u64| {
        let api = at(id, 7233);
        (id, Addresses { api, peer: at(id, 7234), for_clients: api, peers: peers.clone() })
    };
    ids.iter().map(one).collect()
}

/// A loopback address for each process: a port that waits for a node that joins later is not taken by another run.
fn host(process: u32) -> IpAddr {
    // Linux has less than 2^22 processes.
    let [_, high, middle, low] = process.to_be_bytes();
    Ipv4Addr::new(127, 0x40 | high, middle, low).into()
}

async fn listen() -> anyhow::Result<TcpListener> {
    for _ in 0..200 {
        let port = rand::rng().random_range(PORTS);
        if let Ok(listener) = TcpListener::bind((host(std::process::id()), port)).await {
            return Ok(listener);
        }
    }
    anyhow::bail!("no free port")
}

/// A node's configuration; with `join` of one that comes to a cluster that is there. Long polls are short, so that a worker
/// that a fault cut off soon asks elsewhere.
pub fn config(id: u64, plan: &Plan, addresses: &Addresses, join: &[SocketAddr]) -> String {
    let data = plan.folder.join(format!("node-{id}")).join("data");
    let mut text = format!(
        "cluster_id = \"jepsen\"\nnode_id = {id}\ndata_dir = \"{}\"\nadvertise = \"{}\"\n",
        data.display(),
        addresses.peer
    );
    if join.is_empty() {
        text.push_str("peers = [\n");
        for (peer, address) in addresses.peers.iter().filter(|(peer, _)| **peer <= plan.nodes) {
            let _ = writeln!(text, "  {{ id = {peer}, address = \"{address}\" }},");
        }
        text.push_str("]\n");
    } else {
        let join: Vec<String> = join.iter().map(SocketAddr::to_string).collect();
        let _ = writeln!(text, "join = {join:?}");
    }
    let _ = write!(
        text,
        "[listen]\napi = \"{}\"\npeer = \"{}\"\n\
         [frontend]\npoll_timeout = \"10s\"\nhistory_poll_timeout = \"5s\"\n\
         [limits]\nrun_gap_min = \"0s\"\n\
         [bootstrap]\n\
         namespaces = [{{ name = \"{NAMESPACE}\", retention = \"72h\" }}, {{ name = \"{SDK}\", retention = \"72h\" }}]\n\
         [log]\nlevel = \"info\"\n",
        addresses.api, addresses.peer
    );
    if plan.small_logs {
        text.push_str("[raft]\nsnapshot_log_bytes = 1000000\nlog_entries_kept = 300\n");
        text.push_str("[storage]\nflush_every = \"5s\"\nflush_log_bytes = 500000\n");
        text.push_str("disk_reserve_bytes = 8388608\n");
    } else {
        text.push_str("[storage]\ndisk_reserve_bytes = 8388608\n");
    }
    text
}

/// The command that runs a node; its process ends when this one does.
pub fn command(id: u64, plan: &Plan, net: &Net, folder: &Path) -> Command {
    let mut command = match net {
        Net::Proxy(_) => Command::new(&plan.everstep),
        Net::Netns(namespaces) => {
            // Not `ip netns exec`: it gives the process mounts of its own, which would keep the other nodes' disks mounted.
            let mut command = Command::new("nsenter");
            command.arg(format!("--net=/run/netns/{}", namespaces.name(id))).arg(&plan.everstep);
            command
        }
    };
    command.arg("server").arg("--config").arg(folder.join("everstep.toml")).arg("--stop-on-stdin-eof");
    if plan.clocks {
        command.env("LD_PRELOAD", plan.folder.join("clock.so")).env("JEP_CLOCK", folder.join(CLOCK_FILE));
    }
    command.stdin(Stdio::piped()).kill_on_drop(true);
    command
}

/// Sets by how much the node's wall clock is wrong.
pub fn write_clock(folder: &Path, millis: i64) -> anyhow::Result<()> {
    // Renamed into place: a half-written file would be read as another time.
    let (new, file) = (folder.join("clock.new"), folder.join(CLOCK_FILE));
    fs_err::write(&new, (millis * 1_000_000).to_string())?;
    fs_err::rename(&new, &file).context("the clock of a node")
}

/// Compiles what moves clocks.
pub async fn make_clocks(folder: &Path) -> anyhow::Result<()> {
    let (source, library) = (folder.join("clock.c"), folder.join("clock.so"));
    fs_err::write(&source, SHIM)?;
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O2", "-o"]).arg(&library).arg(&source);
    let compiled = compiler.status().await.context("clocks need a C compiler, `cc`")?;
    anyhow::ensure!(compiled.success(), "{} does not compile", source.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn runs_beside_each_other_have_addresses_of_their_own() {
        let hosts = [1, 2, 0x102, 0x3f_ffff].map(host);
        assert_eq!(hosts.map(|host| host.to_string()), ["127.64.0.1", "127.64.0.2", "127.64.1.2", "127.127.255.255"]);
        let port = PORTS.end;
        let both = [TcpListener::bind((hosts[0], port)).await, TcpListener::bind((hosts[1], port)).await];
        assert!(both.iter().all(Result::is_ok), "{both:?}");
    }
}

//! Network namespaces: a node is alone in its own, with a veth to a bridge in the host's, and nftables drops what must
//! not arrive. Needs root, `ip` and `nft`.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Mutex;

use anyhow::{bail, ensure, Context};
use tokio::process::Command;

use super::links::{Pair, Trouble, Troubles};

/// Names of this run's interfaces begin with a number of its own, so that two runs can go on at once.
pub struct Namespaces {
    run: u8,
    nodes: Vec<u64>,
    troubles: Mutex<Troubles>,
}

impl Namespaces {
    pub async fn create(nodes: &[u64]) -> anyhow::Result<Self> {
        for run in 0..200_u8 {
            let bridge = format!("jep{run}");
            if ip(&["link", "add", &bridge, "type", "bridge"]).await.is_err() {
                continue;
            }
            let made = Self { run, nodes: nodes.to_vec(), troubles: Mutex::default() };
            let address = format!("{}/24", made.address(0));
            ip(&["address", "add", &address, "dev", &bridge]).await?;
            ip(&["link", "set", &bridge, "up"]).await?;
            for &node in nodes {
                made.add(node).await.with_context(|| format!("namespace of node {node}"))?;
            }
            return Ok(made);
        }
        bail!("no bridge could be made: netns mode needs root and iproute2")
    }

    /// Node 0 is the host, where the clients are.
    pub fn address(&self, node: u64) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(10, 77, self.run, 200_u8.wrapping_add(node as u8)))
    }

    pub fn name(&self, node: u64) -> String {
        format!("jep{}-{node}", self.run)
    }

    async fn add(&self, node: u64) -> anyhow::Result<()> {
        let name = self.name(node);
        let (outside, bridge) = (format!("jep{}v{node}", self.run), format!("jep{}", self.run));
        ip(&["netns", "add", &name]).await?;
        ip(&["link", "add", &outside, "type", "veth", "peer", "name", "eth0", "netns", &name]).await?;
        ip(&["link", "set", &outside, "master", &bridge, "up"]).await?;
        let address = format!("{}/24", self.address(node));
        ip(&["-n", &name, "address", "add", &address, "dev", "eth0"]).await?;
        ip(&["-n", &name, "link", "set", "lo", "up"]).await?;
        ip(&["-n", &name, "link", "set", "eth0", "up"]).await?;
        self.rules(node, "").await
    }

    pub async fn trouble(&self, pairs: &[(Pair, Trouble)]) -> anyhow::Result<()> {
        for (pair, trouble) in pairs {
            ensure!(
                !matches!(trouble, Trouble::Slow { .. }),
                "netns mode cannot delay (this kernel has no netem): {pair:?}; use --net proxy"
            );
        }
        self.change(|troubles| troubles.extend(pairs.iter().copied())).await
    }

    pub async fn heal(&self, pairs: &[Pair]) -> anyhow::Result<()> {
        self.change(|troubles| troubles.retain(|pair, _| !pairs.contains(pair))).await
    }

    async fn change(&self, change: impl FnOnce(&mut Troubles)) -> anyhow::Result<()> {
        let (before, after) = {
            let mut troubles = self.troubles.lock().expect("no panic while held");
            let before = troubles.clone();
            change(&mut troubles);
            (before, troubles.clone())
        };
        for &node in &self.nodes {
            let (old, new) = (self.drops(node, &before), self.drops(node, &after));
            if old != new {
                self.rules(node, &new).await?;
            }
        }
        Ok(())
    }

    /// Rules of a node's namespace: what must not arrive there, and towards clients, who have no namespace, not leave.
    fn drops(&self, node: u64, troubles: &Troubles) -> String {
        let mut rules = BTreeMap::from([("input", String::new()), ("output", String::new())]);
        for (&(from, to), trouble) in troubles {
            let (chain, side, other) = match (from, to) {
                (from, to) if to == node => ("input", "saddr", from),
                (from, 0) if from == node => ("output", "daddr", 0),
                _ => continue,
            };
            let often = match trouble {
                Trouble::Lossy { percent } => format!("numgen random mod 100 < {percent} "),
                Trouble::Cut | Trouble::Slow { .. } => String::new(),
            };
            if let Some(rules) = rules.get_mut(chain) {
                rules.push_str(&format!("ip {side} {} {often}drop; ", self.address(other)));
            }
        }
        let chain = |(name, rules): (&&str, &String)| {
            format!("chain {name} {{ type filter hook {name} priority 0; policy accept; {rules}}}; ")
        };
        rules.iter().map(chain).collect()
    }

    /// Replaces all rules of a namespace in one transaction.
    async fn rules(&self, node: u64, chains: &str) -> anyhow::Result<()> {
        let text = format!("table inet jep {{}}; delete table inet jep; table inet jep {{ {chains} }}");
        command("ip", &["netns", "exec", &self.name(node), "nft", &text]).await
    }

    /// Takes everything away again, as far as it is there.
    pub async fn remove(&self) {
        for &node in &self.nodes {
            let _gone = ip(&["netns", "del", &self.name(node)]).await;
        }
        let _gone = ip(&["link", "del", &format!("jep{}", self.run)]).await;
    }
}

async fn ip(arguments: &[&str]) -> anyhow::Result<()> {
    command("ip", arguments).await
}

async fn command(program: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let done =
        Command::new(program).args(arguments).output().await.with_context(|| format!("{program} does not run"))?;
    let said = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "{program} {}: {}", arguments.join(" "), said.trim());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_stands_at_the_receiver_and_towards_clients_at_the_sender() {
        let namespaces = Namespaces { run: 3, nodes: vec![1, 2], troubles: Mutex::default() };
        let troubles = Troubles::from([((1, 2), Trouble::Cut), ((2, 0), Trouble::Lossy { percent: 30 })]);
        let one = namespaces.drops(1, &troubles);
        assert!(!one.contains("drop"), "{one}");
        let two = namespaces.drops(2, &troubles);
        assert!(two.contains("ip saddr 10.77.3.201 drop"), "{two}");
        assert!(two.contains("ip daddr 10.77.3.200 numgen random mod 100 < 30 drop"), "{two}");
    }
}

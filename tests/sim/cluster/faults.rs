//! What goes wrong, by chance: links are cut, cut one way, held or slow; nodes are killed or lose power, one or all; disks
//! stall; clocks leap; leaders are asked to hand over. Each fault ends by itself, and all of them when the world heals.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use sim::Random;
use turmoil::Sim;

use crate::client;
use crate::record::{self, Command};
use crate::settings::{node_name, Settings};
use crate::storage::disk::{self, Crash};

type Pair = (String, String);

enum Undo {
    Repair(Vec<Pair>),
    RepairOneWay(Vec<Pair>),
    Release(Vec<Pair>),
    Restart(u64),
    Quicken,
}

pub struct Faults {
    settings: Arc<Settings>,
    random: Random,
    next: Duration,
    undo: Vec<(Duration, Undo)>,
    down: BTreeSet<u64>,
}

impl Faults {
    pub fn new(settings: Arc<Settings>, random: Random) -> Self {
        // A moment to begin with.
        Self { settings, random, next: Duration::from_millis(1500), undo: Vec::new(), down: BTreeSet::new() }
    }

    pub fn step(&mut self, sim: &mut Sim<'_>, now: Duration) {
        let (due, later) = std::mem::take(&mut self.undo).into_iter().partition(|(at, _)| *at <= now);
        self.undo = later;
        let due: Vec<(Duration, Undo)> = due;
        for (_, undo) in due {
            self.end(sim, undo);
        }
        let Some(every) = self.settings.faults_every else { return };
        if now >= self.next {
            self.next = now + Duration::from_millis(1 + self.random.below(every.as_millis() as u64));
            self.begin(sim, now);
        }
    }

    /// Ends all faults.
    pub fn heal(&mut self, sim: &mut Sim<'_>) {
        record::note(|| "heals".to_owned());
        for (_, undo) in std::mem::take(&mut self.undo) {
            self.end(sim, undo);
        }
        let mut all: Vec<String> = self.settings.node_names();
        all.extend((1..=self.settings.clients).map(client::name));
        for (at, one) in all.iter().enumerate() {
            for other in &all[at + 1..] {
                sim.repair(one.as_str(), other.as_str());
                sim.release(one.as_str(), other.as_str());
            }
        }
        for node in 1..=self.settings.nodes {
            disk::of_node(node).set_slowness(self.settings.slowness);
            disk::of_node(node).stall(Duration::ZERO);
        }
    }

    fn end(&mut self, sim: &mut Sim<'_>, undo: Undo) {
        match undo {
            Undo::Repair(pairs) => pairs.iter().for_each(|(a, b)| sim.repair(a.as_str(), b.as_str())),
            Undo::RepairOneWay(pairs) => pairs.iter().for_each(|(a, b)| sim.repair_oneway(a.as_str(), b.as_str())),
            Undo::Release(pairs) => pairs.iter().for_each(|(a, b)| sim.release(a.as_str(), b.as_str())),
            Undo::Restart(node) => {
                record::note(|| format!("n{node} starts"));
                self.down.remove(&node);
                self.links_of(node).iter().for_each(|(a, b)| sim.repair(a.as_str(), b.as_str()));
                sim.bounce(node_name(node));
            }
            Undo::Quicken => sim.set_max_message_latency(self.settings.latency_max),
        }
    }

    fn begin(&mut self, sim: &mut Sim<'_>, now: Duration) {
        let lasts = Duration::from_millis(self.random.one_of([80, 400, 1200, 4000]));
        let node = 1 + self.random.below(self.settings.nodes);
        let kind = self.random.below(14);
        record::note(|| format!("fault {kind} for {lasts:?}, n{node}"));
        record::with(|record| record.counted("faults"));
        let undo = match kind {
            0 | 1 => self.cut(sim, node),
            2 => self.cut_one_way(sim, node),
            3 | 4 => self.hold(sim, node),
            5 => {
                sim.set_max_message_latency(self.settings.latency_max * 20);
                Some(Undo::Quicken)
            }
            6 => self.crash(sim, node, Crash::Kill),
            7 | 8 => self.crash(sim, node, Crash::PowerCut),
            9 => {
                self.blackout(sim, now + lasts);
                None
            }
            10 => {
                disk::of_node(node).stall(now + lasts);
                None
            }
            11 => {
                disk::of_node(node).set_slowness(self.random.one_of([0, 5, 60]));
                None
            }
            12 => {
                self.tell(node, Command::Leap(lasts));
                None
            }
            _ => {
                let shard = self.random.below(self.settings.shards.into()) as u32;
                let to = 1 + self.random.below(self.settings.nodes);
                (1..=self.settings.nodes).for_each(|node| self.tell(node, Command::Transfer { shard, to }));
                None
            }
        };
        self.undo.extend(undo.map(|undo| (now + lasts, undo)));
    }

    fn tell(&self, node: u64, command: Command) {
        record::with(|record| record.commands.entry(node).or_default().push(command));
    }

    /// All links of a node, to nodes and clients.
    fn links_of(&self, node: u64) -> Vec<Pair> {
        let others = (1..=self.settings.nodes).filter(|other| *other != node).map(node_name);
        let clients = (1..=self.settings.clients).map(client::name);
        others.chain(clients).map(|other| (node_name(node), other)).collect()
    }

    /// The links between two sides of the nodes. Clients reach them all.
    fn sides(&mut self) -> Vec<Pair> {
        let (mut one, mut other) = (Vec::new(), Vec::new());
        for node in self.settings.node_names() {
            if self.random.percent(50) { &mut one } else { &mut other }.push(node);
        }
        let between = |a: &String| other.iter().map(|b| (a.clone(), b.clone())).collect::<Vec<_>>();
        one.iter().flat_map(between).collect()
    }

    /// One node from all others, or two sides, or one link.
    fn some_links(&mut self, node: u64) -> Vec<Pair> {
        let nodes = self.settings.nodes as usize;
        match self.random.below(3) {
            0 => self.links_of(node).into_iter().take(nodes - 1).collect(),
            1 => self.sides(),
            _ => {
                let at = self.random.index(nodes - 1);
                self.links_of(node).into_iter().skip(at).take(1).collect()
            }
        }
    }

    fn cut(&mut self, sim: &mut Sim<'_>, node: u64) -> Option<Undo> {
        let pairs = self.some_links(node);
        pairs.iter().for_each(|(a, b)| sim.partition(a.as_str(), b.as_str()));
        Some(Undo::Repair(pairs))
    }

    fn cut_one_way(&mut self, sim: &mut Sim<'_>, node: u64) -> Option<Undo> {
        let mut pairs = self.some_links(node);
        if self.random.percent(50) {
            pairs.iter_mut().for_each(|(a, b)| std::mem::swap(a, b));
        }
        pairs.iter().for_each(|(a, b)| sim.partition_oneway(a.as_str(), b.as_str()));
        Some(Undo::RepairOneWay(pairs))
    }

    fn hold(&mut self, sim: &mut Sim<'_>, node: u64) -> Option<Undo> {
        let pairs = self.some_links(node);
        pairs.iter().for_each(|(a, b)| sim.hold(a.as_str(), b.as_str()));
        Some(Undo::Release(pairs))
    }

    fn crash(&mut self, sim: &mut Sim<'_>, node: u64, how: Crash) -> Option<Undo> {
        if !self.down.insert(node) {
            return None;
        }
        if how == Crash::PowerCut {
            // Nobody is left to close connections.
            self.links_of(node).iter().for_each(|(a, b)| sim.partition(a.as_str(), b.as_str()));
        }
        sim.crash(node_name(node));
        let lost = disk::of_node(node).crash(how);
        record::note(|| format!("n{node} is down: {how:?}, {lost} unsynced writes are lost"));
        record::with(|record| {
            record.counted("crashes");
            record.commands.remove(&node);
        });
        Some(Undo::Restart(node))
    }

    /// All nodes lose power.
    fn blackout(&mut self, sim: &mut Sim<'_>, until: Duration) {
        for node in 1..=self.settings.nodes {
            let undo = self.crash(sim, node, Crash::PowerCut);
            let later = Duration::from_millis(self.random.below(300));
            self.undo.extend(undo.map(|undo| (until + later, undo)));
        }
    }
}

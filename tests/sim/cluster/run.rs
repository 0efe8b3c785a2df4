//! One seed: the cluster is set up, lives through its faults, heals, and is looked at.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use sim::{Checked, Random, Violation};
use turmoil::Sim;

use crate::client::{self, Client};
use crate::faults::Faults;
use crate::history::Workflow;
use crate::invariants::{acknowledged_once, linearizable, liveness};
use crate::record::{self, Record};
use crate::settings::{node_name, Settings};
use crate::storage::disk;
use crate::{node, workload};

const TICK: Duration = Duration::from_millis(1);
/// Ticks between two looks at the groups and the network.
const LOOK_EVERY: u64 = 50;
/// Segments that a connection holds; turmoil panics when there are more.
const SEGMENTS_MAX: usize = 1 << 16;

/// Panics of any task: none is expected.
pub static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

pub struct Verdict {
    pub digest: u64,
    pub summary: String,
    pub violation: Option<Violation>,
}

pub fn run(seed: u64, trace: bool) -> Verdict {
    let mut random = Random::new(seed);
    let settings = Arc::new(Settings::of_seed(&mut random));
    record::with(|record| {
        *record = Record::default();
        record.random = Random::new(random.word());
        record.trace = trace;
        record.note(&format!("{settings:?}"));
    });
    let mut world = build(&settings, &mut random);
    let mut faults = Faults::new(settings.clone(), Random::new(random.word()));
    let mut healed = None;
    let mut ticks = 0;
    while !record::with(|record| record.violation.is_some()) {
        let clients_done = match world.step() {
            Ok(done) => done,
            Err(error) => {
                record::violated("no_fault", error.to_string());
                break;
            }
        };
        ticks += 1;
        let now = world.elapsed();
        record::with(|record| record.now = now);
        if ticks % LOOK_EVERY == 0 {
            look(&world);
        }
        match healed {
            None if now < settings.load => faults.step(&mut world, now),
            None => {
                faults.heal(&mut world);
                record::with(|record| record.healed = true);
                healed = Some(now);
            }
            Some(since) if clients_done && all_caught_up(&settings) => {
                let checked = final_look(&settings);
                record::with(|record| {
                    record.check(checked);
                    record.counts.insert("ms to be well again", (now - since).as_millis() as u64);
                });
                break;
            }
            Some(since) => record::with(|record| {
                let checked = liveness::check(record, since, clients_done, settings.nodes, settings.shards);
                record.check(checked);
            }),
        }
    }
    record::with(|record| Verdict {
        digest: record.digest.0,
        summary: format!("{:.1} s{}", record.now.as_secs_f64(), record.summary()),
        violation: record.violation.clone(),
    })
}

fn build(settings: &Arc<Settings>, random: &mut Random) -> Sim<'static> {
    let mut world = turmoil::Builder::new()
        .rng_seed(random.word())
        .epoch(SystemTime::UNIX_EPOCH + Duration::from_nanos(workload::START as u64))
        .simulation_duration(settings.load + liveness::LIMIT * 2)
        .tick_duration(TICK)
        .max_message_latency(settings.latency_max)
        .tcp_capacity(SEGMENTS_MAX)
        .enable_random_order()
        .build();
    for number in 1..=settings.nodes {
        disk::of_node(number).set_slowness(settings.slowness);
        let settings = settings.clone();
        world.host(node_name(number), move || node::run(number, settings.clone()));
    }
    for number in 1..=settings.clients {
        let client = Client::new(number, settings.clone(), Random::new(random.word()));
        world.client(client::name(number), client.run());
    }
    world
}

/// No group has stopped, no task has panicked; and what is under way in the network counts for the digest.
fn look(world: &Sim<'_>) {
    let panics = std::mem::take(&mut *PANICS.lock().unwrap_or_else(PoisonError::into_inner));
    for panic in panics {
        record::violated("no_fault", panic);
    }
    let running = record::with(|record| record.running.clone());
    for (node, groups) in running {
        for group in groups.upgrade().iter().flat_map(|groups| groups.groups()) {
            if let Some(why) = group.status().stopped {
                record::violated("no_fault", format!("n{node} shard {} stopped: {why}", group.shard()));
            }
        }
    }
    let mut under_way = String::new();
    world.links(|links| {
        for message in links.flatten() {
            under_way += &format!("{:?} {}\n", message.pair(), message.protocol());
        }
    });
    record::with(|record| record.digest.add(under_way.as_bytes()));
}

fn all_caught_up(settings: &Settings) -> bool {
    record::with(|record| liveness::caught_up(record, settings.nodes, settings.shards))
}

/// What every workflow has in the end is what clients were told.
fn final_look(settings: &Settings) -> Checked {
    let groups = record::with(|record| record.running.get(&1).and_then(std::sync::Weak::upgrade));
    let missing = || Violation { invariant: "no_fault", what: "n1 does not run".to_owned() };
    let groups = groups.ok_or_else(missing)?;
    for shard in 0..settings.shards {
        let rows = groups.group(shard).ok_or_else(missing)?.snapshot();
        for number in 0..settings.workflows {
            let workflow: Workflow = (shard, workload::workflow_id(number));
            let signals = workload::signals(&rows, &workflow.1)
                .map_err(|fault| Violation { invariant: "no_fault", what: fault.to_string() })?;
            record::with(|record| {
                record.note(&format!("{workflow:?} has {} signals in the end", signals.len()));
                acknowledged_once::check(&record.history, &workflow, &signals)?;
                linearizable::order(&record.history, &workflow, &signals)?;
                let reading = record.history.begin_reading(&workflow);
                linearizable::read(&mut record.history, &reading, &signals)
            })?;
        }
    }
    Ok(())
}

//! What must always hold: one file each. Those of a run are looked at when its row has changed since the last time,
//! the others always.

pub mod activities_end_once;
pub mod activity_ids;
pub mod answered;
pub mod append_only;
pub mod buffered;
pub mod chains;
pub mod children_once;
pub mod clock;
pub mod closed_runs_rest;
pub mod contiguous;
pub mod current_runs;
pub mod deadlines_owned;
pub mod delivered_once;
pub mod doubled;
pub mod externals_end_once;
pub mod folded;
pub mod news_have_a_task;
pub mod no_orphans;
pub mod nothing_left;
pub mod one_close_event;
pub mod outbox_ids;
pub mod pending_counts;
pub mod ready_rows;
pub mod replicas_equal;
pub mod signals_once;
pub mod stale_tasks;
pub mod timers_in_time;
pub mod updates_once;
pub mod visible_rows;
pub mod workflow_tasks;

use proto::temporal::api::history::v1::HistoryEvent;
use statemachine::state::Run;

use crate::digest::Digest;
use crate::ledger::Ledger;
use crate::view::{RunRows, ShardView};
use crate::{Checked, Random, World};

/// A run with its history decoded.
pub struct Subject<'r> {
    pub rows: &'r RunRows<'r>,
    pub row: &'r Run,
    pub events: &'r [HistoryEvent],
}

impl Subject<'_> {
    /// Names the run in a violation.
    pub fn name(&self) -> String {
        format!("{} {}", self.row.workflow_id, self.row.run_id)
    }
}

const OF_RUNS: &[fn(&Subject<'_>) -> Checked] = &[
    activities_end_once::check,
    activity_ids::check,
    buffered::check,
    closed_runs_rest::check,
    contiguous::check,
    externals_end_once::check,
    news_have_a_task::check,
    one_close_event::check,
    pending_counts::check,
    timers_in_time::check,
    updates_once::check,
    workflow_tasks::check,
];

const OF_SHARDS: &[fn(&ShardView<'_>) -> Checked] = &[
    current_runs::check,
    deadlines_owned::check,
    no_orphans::check,
    outbox_ids::check,
    ready_rows::check,
    visible_rows::check,
];

/// Checks everything.
pub fn check_all(world: &mut World, random: &mut Random) -> Checked {
    for shard in &mut world.shards {
        shard.catch_up(random)?;
        replicas_equal::check(shard)?;
    }
    let mut ledger = std::mem::take(&mut world.ledger);
    let checked = check_shards(world, &mut ledger);
    world.ledger = ledger;
    checked
}

fn check_shards(world: &World, ledger: &mut Ledger) -> Checked {
    let views = world.shards.iter().map(|shard| ShardView::read(&shard.kv)).collect::<Checked<Vec<_>>>()?;
    for (at, view) in views.iter().enumerate() {
        clock::check(at, view, ledger)?;
        for check in OF_SHARDS {
            check(view)?;
        }
        for (key, rows) in &view.by_run {
            let Some(row) = &rows.row else { continue };
            let hash = Digest::of(rows.bytes);
            if ledger.verified.insert((at, *key), hash) == Some(hash) {
                continue;
            }
            append_only::check(at, *key, rows, ledger)?;
            let events = rows.events()?;
            let subject = Subject { rows, row, events: &events };
            for check in OF_RUNS {
                check(&subject)?;
            }
            folded::check(&subject, &world.shards[at].kv)?;
            signals_once::check(&subject, ledger)?;
        }
        ledger.forget_runs_but(at, &view.by_run);
    }
    chains::check(&views)?;
    children_once::check(&views)
}

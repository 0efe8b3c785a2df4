//! Once every message has arrived, every signal, cancel request and child start of an open run has its answer, and no
//! parent waits for a child that is over.

use crate::view::ShardView;
use crate::{require, Checked, World};

const NAME: &str = "answered";

/// Holds only when all outboxes are empty.
pub fn check(world: &World) -> Checked {
    let views = world.shards.iter().map(|shard| ShardView::read(&shard.kv)).collect::<Checked<Vec<_>>>()?;
    let undelivered: usize = views.iter().map(|view| view.outbox.len()).sum();
    require(undelivered == 0, NAME, || format!("{undelivered} messages are left"))?;
    for rows in views.iter().flat_map(|view| view.by_run.values()).filter(|rows| rows.is_open()) {
        let name = rows.row.as_ref().map(|row| row.workflow_id.as_str()).unwrap_or_default();
        require(rows.externals.is_empty(), NAME, || format!("{name}: no answer to {:?}", rows.externals))?;
        for child in &rows.children {
            require(!child.run_id.is_empty(), NAME, || format!("{name}: no answer to {child:?}"))?;
            let chain = views.iter().flat_map(|view| &view.runs).filter(|run| run.first_run_id == child.run_id);
            let lives = chain.into_iter().any(|run| run.close_time == 0);
            require(lives, NAME, || format!("{name} was not told of the end of {child:?}"))?;
        }
    }
    Ok(())
}

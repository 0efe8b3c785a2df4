//! Outbox ids were given out; the inbox holds nothing that its floor stands for.

use crate::view::ShardView;
use crate::{require, Checked};

const NAME: &str = "outbox_ids";

pub fn check(view: &ShardView<'_>) -> Checked {
    let above = view.outbox.iter().find(|row| row.id > view.sent || row.id == 0);
    require(above.is_none(), NAME, || format!("{above:?} with {} given out", view.sent))?;
    for (from, (floor, above)) in &view.inbox {
        let below = above.iter().find(|id| **id < *floor);
        require(below.is_none(), NAME, || format!("from {from}: {below:?} is kept below the floor {floor}"))?;
    }
    for (key, run) in view.by_run.iter().filter(|(_, run)| run.is_open()) {
        let unstarted = run.children.iter().filter(|child| child.run_id.is_empty()).map(|child| child.outbox_id);
        let under_way = run.externals.iter().map(|external| external.outbox_id);
        let unknown = unstarted.chain(under_way).find(|id| *id == 0 || *id > view.sent);
        require(unknown.is_none(), NAME, || format!("{key:?} waits for message {unknown:?}"))?;
    }
    Ok(())
}

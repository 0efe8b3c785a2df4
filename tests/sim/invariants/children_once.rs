//! A parent's event starts one child at most, and the child that the parent knows of is that one.

use std::collections::BTreeMap;

use crate::view::ShardView;
use crate::{require, Checked};

const NAME: &str = "children_once";

pub fn check(views: &[ShardView<'_>]) -> Checked {
    let mut chains: BTreeMap<(&str, i64), &str> = BTreeMap::new();
    for run in views.iter().flat_map(|view| &view.runs) {
        let Some(parent) = &run.parent else { continue };
        let event = (parent.run_id.as_str(), parent.initiated_event_id);
        let known = *chains.entry(event).or_insert(&run.first_run_id);
        require(known == run.first_run_id, NAME, || format!("{event:?} started {known} and {}", run.first_run_id))?;
    }
    for view in views {
        for rows in view.by_run.values() {
            let Some(parent) = &rows.row else { continue };
            for child in rows.children.iter().filter(|child| !child.run_id.is_empty()) {
                let found = chains.get(&(parent.run_id.as_str(), child.initiated_event_id));
                require(found.is_none_or(|found| *found == child.run_id), NAME, || {
                    format!("{} knows {child:?}, there is {found:?}", parent.run_id)
                })?;
            }
        }
    }
    Ok(())
}

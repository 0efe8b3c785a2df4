//! What must hold, one property per file. A checker sees the clients' operations and what was read after the end, and
//! never talks to anybody: `jep check FOLDER` runs them again on the files of a run.
//!
//! Every checker counts what it compared: one that compared nothing has shown nothing.

mod accounts;
mod chains;
mod children;
mod closes;
mod dates;
mod digests;
mod lists;
mod reads;
mod register;
mod sdk;
mod settled;
mod signals;
mod steps;
mod timers;
mod updates;
pub mod wgl;

#[cfg(test)]
pub mod testing;

use crate::history::History;
use crate::verdict::Checked;
use crate::workload::sdk::Language;

/// From the beginning of each fault until the cluster was whole again, in nanoseconds since the epoch.
pub type Outages = Vec<(i64, i64)>;

pub fn all(history: &History, outages: &Outages) -> Vec<Checked> {
    vec![
        signals::check(history),
        reads::check(history),
        register::check(history),
        steps::check(history),
        timers::check(history, outages),
        updates::check(history),
        dates::check(history),
        accounts::check(history),
        children::check(history),
        chains::check(history),
        closes::check(history),
        lists::check(history),
        digests::check(history),
        sdk::check(history, Language::Python),
        sdk::check(history, Language::Go),
    ]
}

//! Workflow executions: one file per operation on them.
//!
//! ```text
//!   start, signal, cancel, …  ─┐
//!   start_task                 ├─► Run (a run being changed) ─ add/record ─► event ─► evolve ─► rows
//!   task_completed ─► commands ┘        │                                                   (only writer)
//!                                       └─ finish: history batches, run row, visibility, ready task, effects
//! ```
//!
//! An event that may not interrupt a running workflow task is held back (`buffer`) and enters the history when the
//! task ends. Nothing here keeps state between operations.

pub mod buffer;
pub mod close;
pub mod commands;
pub mod continue_as_new;
pub mod cron;
pub mod delete;
pub mod events;
pub mod evolve;
pub mod options;
pub mod pause;
pub mod request_cancel;
pub mod resent;
pub mod reset;
pub mod retention;
pub mod retry;
pub mod run;
pub mod signal;
pub mod signal_with_start;
pub mod start;
pub mod start_task;
pub mod sticky;
pub mod task;
pub mod task_completed;
pub mod task_failed;
pub mod terminate;
pub mod timeouts;
pub mod versions;

pub use run::Run;

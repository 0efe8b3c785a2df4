//! Tests of matching: the synchronous core by itself, and the shell with two nodes in one process.

mod core;
mod promises;
mod shell;
mod support;

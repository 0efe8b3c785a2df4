mod core;
mod shell;
mod support;

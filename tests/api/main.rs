//! One node in this process, called as clients call it.

mod compression;
mod deep_failures;
mod health;
mod history;
mod limits;
mod namespaces;
mod queues;
mod reflection;
mod support;

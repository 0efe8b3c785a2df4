//! One node, in this process.

use std::time::Instant;

use anyhow::Context;
use tokio_util::sync::CancellationToken;

use super::layout::Layout;
use super::ready;
use crate::node;

pub(super) async fn run(layout: Layout, stop: CancellationToken) -> anyhow::Result<()> {
    let started = Instant::now();
    let config = layout.configs.first().context("a plan has a node")?.clone();
    let address = config.listen.api;
    let mut node = tokio::spawn(node::run(config, stop));
    tokio::select! {
        ended = &mut node => return ended?,
        () = ready::serving(address) => ready::announce(&layout, &layout.state, started),
    }
    node.await?
}

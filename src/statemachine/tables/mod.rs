//! Every table: its number, key layout and value. Numbers and layouts are for ever.
//!
//! ```text
//!   rows of a slot      [slot u16][table u8][…]         current run, run, history, pending things
//!   rows of the shard   [0xFFFF][table u8][order…]      deadlines, ready tasks, visibility; the slot stands in the key
//!   system shard        [0xFFFF][table u8][…]           cluster, nodes, slot map, namespaces, settings of queues
//! ```
//!
//! All integers are big-endian, so byte order is numeric order. See docs/adr/0001-key-layout.md.

mod callbacks;
mod deadlines;
mod history;
mod keys;
mod members;
mod outbox;
mod ready;
mod rows;
mod systems;
mod visible;

pub use callbacks::{callback, callbacks, put_callback, CallbackKey, ReadyPage};
pub use deadlines::{DeadlineKey, DeadlineKind};
pub use history::{append_batch, batch_at_or_before, event, read_batches, HistoryBatch};
pub use keys::{id_bytes, id_text, prefix_end, KeyReader, KeyWriter, RunKey};
pub use members::{member, members, placement, placements, put_member, put_placement};
pub use outbox::{
    delete_outbox, is_delivered, next_outbox_id, outbox, outbox_after, outbox_floor, put_delivered, put_outbox,
    raise_floor,
};
pub use ready::ReadyKey;
pub use rows::*;
pub use systems::*;
pub use visible::VisibleKey;

/// Numbers of tables. Never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Table {
    Cluster = 1,
    Node = 2,
    SlotRange = 3,
    Namespace = 4,
    NamespaceName = 5,
    Current = 16,
    Run = 17,
    History = 18,
    Activity = 19,
    ActivityId = 20,
    Timer = 21,
    Child = 22,
    SignalId = 23,
    Buffered = 24,
    External = 25,
    Update = 26,
    NamespaceHere = 30,
    Lane = 31,
    QueueConfig = 32,
    SystemCall = 33,
    Member = 34,
    Placement = 35,
    Callback = 42,
    CallbackReady = 43,
    Deadline = 48,
    Ready = 49,
    Visible = 50,
    Outbox = 51,
    ShardTime = 52,
    Inbox = 53,
}

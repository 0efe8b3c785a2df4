//! What must hold, whatever goes wrong.

pub mod acknowledged_once;
mod committed;
mod leaders;
pub mod linearizable;
pub mod liveness;
mod states;
mod votes;

pub use committed::Committed;
pub use leaders::Leaders;
pub use states::States;
pub use votes::Votes;

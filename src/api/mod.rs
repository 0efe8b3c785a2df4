//! The public API: Temporal's gRPC services. A call is decoded, its namespace found and its shape checked here; what is
//! stored decides in the core, so a handler only proposes an op or reads.
//!
//! ```text
//!   connection ─► metrics ─► envelope ─► fast lane ─► WorkflowService ─► handler ─► validate ─┬─► Router::propose
//!                                          └► routes ─► OperatorService                      ├─► Router::read ─► reads
//!                                                  └─► health, reflection                    └─► Matching::poll, query
//!   Reject, RouteError, Fault ─► errors ─► gRPC status with Temporal's detail
//! ```
//!
//! It never writes, never keeps state that matters, and knows no shard but by asking the router. A token that it gives
//! out is authenticated and good in one namespace only.

mod admission;
mod call;
mod connections;
mod envelope;
mod errors;
mod fast_lane;
mod frontend;
mod health;
mod operator_service;
mod quotas;
mod search_attributes;
mod server;
mod token;
mod validate;
mod versions;
mod workflow_service;

pub use frontend::{ApiParts, Frontend};
pub use server::serve;
pub use workflow_service::WorkflowService;

//! The agent of Plasmon: object store, references, scheduler and live stream of one node.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod config;
pub mod log;
pub mod machine;
pub mod node;
pub mod reactor;
pub mod references;
pub mod scheduler;
pub mod session;
pub mod store;
pub mod telemetry;

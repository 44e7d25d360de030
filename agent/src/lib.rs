//! The agent of Plasmon: object store, references, scheduler and live stream of one node.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod node;
pub mod telemetry;

//! Objects in external storage: a small store, a real disk, real processes.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

#[path = "spilling/deaths.rs"]
mod deaths;
#[path = "spilling/faults.rs"]
mod faults;
#[path = "spilling/files.rs"]
mod files;
#[path = "spilling/hammer.rs"]
mod hammer;
#[path = "spilling/lineage.rs"]
mod lineage;
#[path = "spilling/memory.rs"]
mod memory;
#[path = "spilling/pattern.rs"]
mod pattern;
#[path = "spilling/scenarios.rs"]
mod scenarios;
#[path = "spilling/store.rs"]
mod store;
